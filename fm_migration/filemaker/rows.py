"""Rows of an export in their final form: parsed, classified, and with every problem named.

Belongs here: what each cell means, and what can only be known from the whole export (date order, duplicates).
Does not belong here: finding the patient or the object that a row speaks of. No row is dropped, whatever is
wrong with it; `Problem.blocks_linking` says which rows must not be linked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeVar

from fm_migration.filemaker.dates import DateOrder, DateTally, OrderDecision, ReadDate, decide_order, read_date
from fm_migration.filemaker.problems import Caution, Problem
from fm_migration.filemaker.reading import Chunk, Counts, Export
from fm_migration.filemaker.types import Classified, TypeTable, built_in_types

#: How long a text may be before the app's column cuts it (original_name; category).
LONGEST_NAME = 255
LONGEST_TYPE = 100
#: More digits than this do not fit into a bigint.
LONGEST_RECID = 18

_SPACE = " \t\xa0"
_REMEMBERED = 100_000

_Value = TypeVar("_Value")


class Row(NamedTuple):
    """One photograph's metadata. Ids are None when missing or malformed; what stood there is in `raw`.

    The fields up to `problems` are the columns of the table `csv_metadata`, in its order.
    """

    row_number: int
    record_number: int
    recid: str | None
    image_id: str | None
    contact: str | None
    contact_text: str
    taken_on: date | None
    date_text: str
    file_name: str
    type_text: str
    category: str
    nexus_export_date: str
    raw: str
    #: Which photograph the row is about, by a name that outlives the order of the export.
    photo: str
    problems: tuple[Problem, ...]
    side: str | None
    display_name: str
    note: str


#: The columns that `copy_values` gives, for a COPY statement.
COPY_COLUMNS = Row._fields[: Row._fields.index("problems") + 1]


@dataclass(frozen=True)
class ExportSurvey:
    """What only the whole export tells."""

    counts: Counts
    dates: OrderDecision
    duplicate_recids: frozenset[str]
    duplicate_image_ids: frozenset[str]
    cautions: tuple[Caution, ...]


def survey(export: Export, date_order: DateOrder | None = None) -> ExportSurvey:
    """One pass over the export: the order of its dates, and which ids stand in it more than once."""
    at, width = export.layout.positions, export.layout.width
    recids, image_ids, dates = _Repeated(_recids), _Repeated(_uuids), _DateColumn()
    for chunk in export.chunks():
        # A row of the wrong width may hold anything anywhere, so it proves nothing.
        cells = [row if len(row) == width else [""] * width for row in chunk.cells]
        if "recid" in at:
            recids.add(_column(cells, at["recid"]))
        if "image_id" in at:
            image_ids.add(_column(cells, at["image_id"]))
        if "date" in at:
            dates.add(_column(cells, at["date"]), chunk.first_row)
    decision = decide_order(dates.seen(), export.name, date_order)
    cautions = list(export.cautions)
    cautions += [Caution.AMBIGUOUS_DATE_ORDER] if decision.doubtful else []
    cautions += [Caution.REFUSED_RECORDS] if export.counts.refused else []
    return ExportSurvey(export.counts, decision, recids.repeated, image_ids.repeated, tuple(cautions))


def normalise(export: Export, found: ExportSurvey, today: date, types: TypeTable | None = None) -> Iterator[list[Row]]:
    """The rows of the export in chunks, in the order of the file."""
    normaliser = _Normaliser(export, found, today, types or built_in_types())
    for chunk in export.chunks():
        yield normaliser.rows(chunk)


def copy_values(row: Row) -> tuple[object, ...]:
    """The row as values for COPY, in the order of `COPY_COLUMNS`; problems become a list of plain texts."""
    return (*row[: len(COPY_COLUMNS) - 1], [problem.value for problem in row.problems] if row.problems else [])


def recid_of(text: str) -> str | None:
    """The recid in a cell, as it is written there (0077 stays 0077); None if there is none."""
    text = text.strip(_SPACE)
    return text if text.isdecimal() and text.isascii() and len(text) <= LONGEST_RECID else None


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BARE_UUID = re.compile(r"[0-9a-f]{32}")


def uuid_of(text: str) -> str | None:
    """The UUID in a cell in its canonical form: lower case, with hyphens, without braces; None if there is none."""
    text = text.lower()
    if _UUID.fullmatch(text):
        return text
    text = text.strip(_SPACE).removeprefix("{").removesuffix("}")
    if _UUID.fullmatch(text):
        return text
    if _BARE_UUID.fullmatch(text):
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return None


def text_of(cell: str) -> str:
    """A text with FileMaker's returns as line feeds and its repetitions parted by semicolons."""
    if cell.isprintable():
        return cell
    return cell.replace("\x0b", "\n").replace("\x1d", "; ").replace("\x00", "\ufffd")


def _column(cells: list[list[str]], at: int) -> list[str]:
    return [row[at] for row in cells]


def _recids(cells: list[str]) -> list[str | None]:
    together = "".join(cells)
    if (
        together.isdecimal()
        and together.isascii()
        and min(map(len, cells)) > 0
        and max(map(len, cells)) <= LONGEST_RECID
    ):
        return [*cells]
    return list(map(recid_of, cells))


def _uuids(cells: list[str]) -> list[str | None]:
    lowered = list(map(str.lower, cells))
    matches = map(_UUID.fullmatch, lowered)
    return [text if match else uuid_of(text) for text, match in zip(lowered, matches, strict=True)]


class _Repeated:
    """Finds the ids that occur more than once, in memory that grows with the number of ids and no more."""

    def __init__(self, read: Callable[[list[str]], list[str | None]]) -> None:
        self._read = read
        self._once: set[str] = set()
        self._again: set[str] = set()

    def add(self, cells: list[str]) -> None:
        """Takes the cells of a chunk into account."""
        ids = [found for found in self._read(cells) if found is not None]
        fresh = set(ids)
        if len(fresh) < len(ids):
            self._again.update(found for found, times in Counter(ids).items() if times > 1)
        if not fresh.isdisjoint(self._once):
            self._again |= fresh & self._once
        self._once |= fresh

    @property
    def repeated(self) -> frozenset[str]:
        """The ids that were met more than once."""
        return frozenset(self._again)


class _DateColumn:
    """Each distinct text of the date column: how often it stands there, and where first."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def add(self, cells: list[str], first_row: int) -> None:
        """Takes the cells of a chunk into account."""
        for text in set(cells) - self._first.keys():
            self._first[text] = first_row + cells.index(text)
        self._times.update(cells)

    def seen(self) -> dict[str, DateTally]:
        """What was met."""
        return {text: DateTally(times, self._first[text]) for text, times in self._times.items()}


class _Remembered(dict[str, _Value]):
    """What texts mean, worked out once for each text: dates and types repeat all the time."""

    def __init__(self, read: Callable[[str], _Value]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> _Value:
        if len(self) >= _REMEMBERED:
            self.clear()
        value = self[text] = self._read(text)
        return value


class _Normaliser:
    """Turns chunks of an export into rows, column by column."""

    def __init__(self, export: Export, found: ExportSurvey, today: date, types: TypeTable) -> None:
        self._at = export.layout.positions
        self._width = export.layout.width
        self._survey = found
        self._dates = _Remembered(lambda text: read_date(text, found.dates.order, today))
        self._types = _Remembered(types.classify)
        self._times: Counter[str] = Counter()

    def rows(self, chunk: Chunk) -> list[Row]:
        """The rows of a chunk in their final form."""
        cells = [row if len(row) == self._width else self._fitted(row) for row in chunk.cells]
        flags = _Flags(chunk.problems)
        recid_cells, image_cells = self._cells(cells, "recid"), self._cells(cells, "image_id")
        contact_cells, date_cells = self._cells(cells, "contact"), self._cells(cells, "date")
        types, files = _texts(self._cells(cells, "type")), _texts(self._cells(cells, "file_name"))
        recids = _recids(recid_cells)
        image_ids = _uuids(image_cells)
        contacts = _uuids(contact_cells)
        dates = [self._dates[text] for text in date_cells]
        classified = [self._types[text] for text in types]
        self._flag_recids(flags, recids, recid_cells, image_ids)
        self._flag_image_ids(flags, image_ids, image_cells)
        self._flag_contacts(flags, contacts, contact_cells)
        self._flag_dates(flags, dates)
        self._flag_texts(flags, classified, types, files)
        raws = _storable(flags, chunk.raws)
        count = len(cells)
        return list(
            map(
                Row,
                range(chunk.first_row, chunk.first_row + count),
                chunk.record_numbers,
                recids,
                image_ids,
                contacts,
                _texts(contact_cells),
                [read.day for read in dates],
                _texts(date_cells),
                files,
                types,
                [kind.category for kind in classified],
                _texts(self._cells(cells, "nexus_export_date")),
                raws,
                self._photos(recids, image_ids, chunk),
                flags.of_each(count),
                [kind.side for kind in classified],
                _texts(self._cells(cells, "display_name")),
                _texts(self._cells(cells, "note")),
            )
        )

    def _photos(self, recids: list[str | None], image_ids: list[str | None], chunk: Chunk) -> list[str]:
        """Each row's photograph by its recid, else its image id, else its number; repeated ones are numbered.

        A row of the wrong width may hold another photograph's id, so it is known by its number.
        """
        names = []
        for at, (recid, image_id) in enumerate(zip(recids, image_ids, strict=True)):
            if len(chunk.cells[at]) != self._width:
                name, repeated = f"row {chunk.first_row + at}", False
            elif recid is not None:
                name, repeated = f"recid {recid}", recid in self._survey.duplicate_recids
            elif image_id is not None:
                name, repeated = f"image {image_id}", image_id in self._survey.duplicate_image_ids
            else:
                name, repeated = f"row {chunk.first_row + at}", False
            if repeated:
                self._times[name] += 1
                name = name if self._times[name] == 1 else f"{name} ({self._times[name]})"
            names.append(name)
        return names

    def _fitted(self, row: list[str]) -> list[str]:
        """A row of the wrong width in the right one: cells beyond it have no column, missing ones are empty."""
        return [*row[: self._width], *[""] * (self._width - len(row))]

    def _cells(self, cells: list[list[str]], name: str) -> list[str]:
        at = self._at.get(name)
        return [""] * len(cells) if at is None else _column(cells, at)

    def _flag_recids(
        self, flags: _Flags, recids: list[str | None], cells: list[str], image_ids: list[str | None]
    ) -> None:
        repeated = self._survey.duplicate_recids
        for at, recid in enumerate(recids):
            if recid is None:
                missing = Problem.MISSING_RECID if image_ids[at] is None else Problem.KNOWN_BY_IMAGE_ID
                flags.add(at, _absent(cells[at], missing, Problem.MALFORMED_RECID))
            elif recid in repeated:
                flags.add(at, Problem.DUPLICATE_RECID)

    def _flag_image_ids(self, flags: _Flags, image_ids: list[str | None], cells: list[str]) -> None:
        if "image_id" not in self._at:
            return
        repeated = self._survey.duplicate_image_ids
        for at, image_id in enumerate(image_ids):
            if image_id is None:
                flags.add(at, _absent(cells[at], Problem.MISSING_IMAGE_ID, Problem.MALFORMED_IMAGE_ID))
            elif image_id in repeated:
                flags.add(at, Problem.DUPLICATE_IMAGE_ID)

    def _flag_contacts(self, flags: _Flags, contacts: list[str | None], cells: list[str]) -> None:
        for at, contact in enumerate(contacts):
            if contact is None:
                flags.add(at, _absent(cells[at], Problem.MISSING_CONTACT, Problem.MALFORMED_CONTACT))

    def _flag_dates(self, flags: _Flags, dates: list[ReadDate]) -> None:
        for at, read in enumerate(dates):
            if read.problems:
                flags.add(at, *read.problems)

    def _flag_texts(self, flags: _Flags, classified: list[Classified], types: list[str], files: list[str]) -> None:
        for at, (kind, text, file_name) in enumerate(zip(classified, types, files, strict=True)):
            if not kind.known:
                flags.add(at, _absent(text, Problem.MISSING_TYPE, Problem.UNKNOWN_TYPE))
            if len(file_name) > LONGEST_NAME or len(text) > LONGEST_TYPE:
                flags.add(at, Problem.OVER_LONG)


class _Flags:
    """The problems of the rows of a chunk, by place; most rows have none."""

    def __init__(self, found: dict[int, tuple[Problem, ...]]) -> None:
        self._found = dict(found)

    def add(self, at: int, *problems: Problem) -> None:
        """Adds problems to the row at this place."""
        self._found[at] = (*self._found.get(at, ()), *problems)

    def of_each(self, count: int) -> list[tuple[Problem, ...]]:
        """The problems of each of so many rows."""
        every: list[tuple[Problem, ...]] = [()] * count
        for at, problems in self._found.items():
            every[at] = problems
        return every


def _absent(text: str, missing: Problem, malformed: Problem) -> Problem:
    return malformed if text.strip(_SPACE) else missing


def _texts(cells: list[str]) -> list[str]:
    return cells if "".join(cells).isprintable() else list(map(text_of, cells))


def _storable(flags: _Flags, raws: list[str]) -> list[str]:
    """The raw texts without the one character that PostgreSQL cannot store; what cannot be read is flagged."""
    together = "".join(raws)
    if "\ufffd" in together:
        for at, raw in enumerate(raws):
            if "\ufffd" in raw:
                flags.add(at, Problem.UNDECODABLE_TEXT)
    if "\x00" not in together:
        return raws
    for at, raw in enumerate(raws):
        if "\x00" in raw:
            flags.add(at, Problem.NUL_CHARACTER)
    return [raw.replace("\x00", "\ufffd") for raw in raws]
