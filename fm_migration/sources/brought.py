"""The rows that FileMaker's Data API or a desktop export has brought: kept in our schema, given like those of a file.

Belongs here: turning kept rows into the form of an export, so that their dates, ids and types are read by the same
rules. Does not belong here: bringing them (`filemaker/`), and keeping them (`ledger/transfers.py`).
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from sqlalchemy import Connection

from fm_migration.filemaker.columns import FIELDS, Profile, Profiles
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration.ledger import transfers
from fm_migration.ledger.csv_metadata import SourceRows
from fm_migration.places import Places
from fm_migration.sources.export_file import open_rows

_FIELDS = tuple(name for name in FIELDS if name != "ignored")
_FORM = ReadOptions(
    encoding="utf-8",
    delimiter=",",
    quoted=True,
    header=True,
    profiles=Profiles((Profile("brought", _FIELDS),), {name: (name,) for name in _FIELDS}),
)
_IN_MEMORY = 16 * 1024 * 1024


@dataclass(frozen=True)
class BroughtSource:
    """What one of the sources without an export file has brought."""

    name: str
    #: For people: where it came from.
    origin: str

    def is_in_use(self, connection: Connection, _places: Places) -> bool:
        """Also when all its rows are gone: that is refused as implausible, not taken for a source that never was."""
        return transfers.is_known(connection, self.name)

    @contextmanager
    def open(self, connection: Connection, places: Places) -> Iterator[SourceRows]:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            content = cast(BinaryIO, file)
            _write(connection, self.name, content)
            with open_rows(self.name, content, self.origin, places.settings, _FORM) as found:
                yield found


def _write(connection: Connection, source: str, content: BinaryIO) -> None:
    text = io.TextIOWrapper(content, encoding="utf-8", newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(_FIELDS)
    writer.writerows([getattr(row, name) for name in _FIELDS] for row in transfers.rows_of(connection, source))
    text.flush()
    text.detach()
    content.seek(0)
