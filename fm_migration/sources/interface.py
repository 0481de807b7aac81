"""What a source of rows is, for those that give them and for those that take them.

A new source is a module of this room with an object of this kind, and a line in `registry.py`; nothing else in the
house knows how many there are. One that brings records instead of a file keeps them by `ledger/transfers.py`, and is a
`BroughtSource`: its dates, ids and types are read by the same rules as an export's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection

from fm_migration.ledger.csv_metadata import SourceRows
from fm_migration.places import Places


class RowSource(Protocol):
    """A place that rows about photographs come from."""

    @property
    def name(self) -> str:
        """What stands in `csv_metadata.source`."""
        ...

    def is_in_use(self, connection: Connection, places: Places, /) -> bool:
        """Whether the settings, or what was brought in before, say that there is something to read."""
        ...

    def open(self, connection: Connection, places: Places, /) -> AbstractContextManager[SourceRows]:
        """Its rows, which are read inside the block; an error of ours where they cannot be had."""
        ...
