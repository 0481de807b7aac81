"""What the persons own, and what staff and we have done to it.

Belongs here: the clinic's rows as they stand (`View`), the export and the listing as last read, what staff have placed,
edited and deleted, and who wrote which cell last. Does not belong here: any verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fm_migration_tests.linking.world import DUMP, Photograph

BATCHES, IMAGES, DOCUMENTS, PATIENTS = "images_batch", "images_image", "documents_document", "patients"
RELATIONS = "contact_relationships"
#: Every column that links to a patient.
LINKS = (
    (BATCHES, "object_id"),
    (DOCUMENTS, "object_id"),
    (RELATIONS, "from_object_id"),
    (RELATIONS, "to_object_id"),
)

RowOf = dict[str, Any]


class Cell(NamedTuple):
    table: str
    row: str
    column: str


@dataclass(frozen=True)
class View:
    """The rows of the clinic's tables, by table and primary key."""

    tables: dict[str, dict[str, RowOf]]

    def __getitem__(self, table: str) -> dict[str, RowOf]:
        return self.tables[table]

    def value(self, cell: Cell) -> Any:
        row = self[cell.table].get(cell.row)
        return None if row is None else row[cell.column]

    def target(self, image: str) -> str:
        """Whose page an image is on: the UUID that its batch points at."""
        return str(self[BATCHES][self[IMAGES][image]["batch_id"]]["object_id"])

    def images_of(self, batch: str) -> list[str]:
        return [image for image, row in self[IMAGES].items() if row["batch_id"] == batch]

    def images_with(self, key: str) -> list[str]:
        return [image for image, row in self[IMAGES].items() if row["s3_key"] == key]

    def link_cells(self) -> Iterator[tuple[Cell, str]]:
        for table, column in LINKS:
            for row, values in self[table].items():
                if values[column]:
                    yield Cell(table, row, column), values[column]


@dataclass(frozen=True)
class Difference:
    """What has become of the rows from one view to the next."""

    added: tuple[tuple[str, str], ...]
    gone: tuple[tuple[str, str], ...]
    cells: tuple[Cell, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.cells)


def difference(before: View, after: View) -> Difference:
    added, gone, cells = [], [], []
    for table in before.tables:
        old, new = before[table], after[table]
        added += [(table, row) for row in new if row not in old]
        gone += [(table, row) for row in old if row not in new]
        for row in old:
            if row in new and old[row] != new[row]:
                cells += [Cell(table, row, column) for column in old[row] if old[row][column] != new[row][column]]
    return Difference(tuple(added), tuple(gone), tuple(cells))


@dataclass(frozen=True)
class Writer:
    """Who wrote a cell last: a plan of ours by its number, or staff."""

    who: str
    plan: int = 0


STAFF = Writer("staff")
#: Two runs at once: which of the plans wrote it is not asked.
SOME_RUN = Writer("run")


@dataclass
class Things:
    """What is known of the clinic beside the rows themselves."""

    #: The rows of the export and the names of the originals, as last read.
    export: list[Photograph] = field(default_factory=list)
    originals: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    #: Which recids each image id has ever stood beside, in any export.
    claims: dict[str, set[str]] = field(default_factory=dict)
    #: Images that staff have put into the batch where they are; batches that they have given to whom they point at.
    placed: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    #: Images that a person uploaded, whatever became of the account; batches that a person made.
    uploaded: set[str] = field(default_factory=set)
    made_by_hand: set[str] = field(default_factory=set)
    #: Cells that staff have written, and what.
    edited: dict[Cell, Any] = field(default_factory=dict)
    #: Recids whose image staff have deleted, when we had seen it; and when nobody could know that there was one.
    removed: set[str] = field(default_factory=set)
    removed_unseen: set[str] = field(default_factory=set)
    #: Recids whose image the undoing of a plan took away again.
    taken_back: set[str] = field(default_factory=set)
    #: Images that a plan has looked at, so that we know of them.
    seen: set[str] = field(default_factory=set)
    #: Those among them that a plan has seen on the page of whom their row of the export named; and those that it saw on
    #: somebody else's instead, where somebody must have put them.
    agreed: set[str] = field(default_factory=set)
    found_elsewhere: set[str] = field(default_factory=set)
    #: Where things were when a plan last looked or we last wrote: who puts one back there has decided nothing.
    known_at: dict[Cell, Any] = field(default_factory=dict)
    writer: dict[Cell, Writer] = field(default_factory=dict)
    #: Cells that a person has taken back from us by undoing a plan, until we write them again.
    undone: set[Cell] = field(default_factory=set)

    def read_export(self, rows: list[Photograph]) -> None:
        self.export = list(rows)
        for row in rows:
            self.claims.setdefault(image_id_of(row).lower(), set()).add(row.recid)

    def rows_of(self, recid: str) -> list[Photograph]:
        return [row for row in self.export if row.recid == recid]

    def originals_of(self, recid: str) -> list[str]:
        return sorted(name for name in self.originals if name.partition(".")[0] == recid)

    def contradicts(self, image: RowOf) -> bool:
        """Whether FileMaker's image id on an image row says another photograph than its key."""
        claimed = (image["filemaker_id"] or "").lower()
        rows = {row.recid for row in self.export if image_id_of(row).lower() == claimed}
        return bool(claimed) and bool(rows) and recid_of(image) not in rows

    def in_place_by_staff(self, image: str) -> bool:
        """Whether people have decided where an image is."""
        return image in self.placed or image in self.uploaded or image in self.found_elsewhere


def image_id_of(row: Photograph) -> str:
    return row.cells()[2]


def recid_of(image: RowOf) -> str | None:
    """The recid that an image's key names, when the key lies in the dump's prefix."""
    key = str(image["s3_key"])
    return key.removeprefix(DUMP).partition(".")[0] if key.startswith(DUMP) else None
