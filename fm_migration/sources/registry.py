"""The sources of rows, the most trusted first: a photograph that two of them name is the first one's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection

from fm_migration.ledger.csv_metadata import SourceRows
from fm_migration.ledger.transfers import DESKTOP_EXPORT, FILEMAKER_IMAGES
from fm_migration.places import Places
from fm_migration.sources.brought import BroughtSource
from fm_migration.sources.export_file import ExportFileSource
from fm_migration.sources.interface import RowSource

SOURCES: tuple[RowSource, ...] = (
    ExportFileSource(),
    BroughtSource(DESKTOP_EXPORT, "the desktop export"),
    BroughtSource(FILEMAKER_IMAGES, "FileMaker's Data API"),
)


@contextmanager
def open_sources(
    connection: Connection, places: Places, sources: tuple[RowSource, ...] = SOURCES
) -> Iterator[list[SourceRows]]:
    """The rows of every source that is in use. With none in use the first one says what is missing."""
    in_use = [source for source in sources if source.is_in_use(connection, places)] or [sources[0]]
    with ExitStack() as opened:
        yield [opened.enter_context(source.open(connection, places)) for source in in_use]
