"""An export file as an `Export`: what it is, and its records as strings, as often as they are wanted.

Belongs here: opening, numbering and counting records. Does not belong here: what the values mean (`rows.py`).

Every pass streams in bounded memory. Nothing is dropped: records = header + rows + blank + refused, and the
counts are there after each complete pass.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, cast

from fm_migration.errors import ExportError
from fm_migration.filemaker import workbook
from fm_migration.filemaker.problems import Problem
from fm_migration.filemaker.records import RawChunk, read_records
from fm_migration.filemaker.sniffing import ReadOptions, Sniffed, sniff

_IN_MEMORY = 16 * 1024 * 1024
_CHUNK = 2000
_Stamp = tuple[int, int]


class Chunk(NamedTuple):
    """Consecutive rows of the export, in columns; `problems` is by place in the chunk."""

    first_row: int
    record_numbers: Sequence[int]
    cells: list[list[str]]
    raws: list[str]
    problems: dict[int, tuple[Problem, ...]]


class ExportRecord(NamedTuple):
    """One row of the export as it stands there. `cells` has the layout's width unless a problem says otherwise."""

    row_number: int
    record_number: int
    cells: list[str]
    raw: str
    problems: tuple[Problem, ...]


class Counts(NamedTuple):
    """How many records a complete pass met."""

    records: int
    header: int
    rows: int
    blank: int
    refused: tuple[int, ...]


class Export:
    """An export that was recognised. Its records can be passed over any number of times."""

    def __init__(
        self,
        source: BinaryIO | Path,
        name: str,
        sniffed: Sniffed,
        sheet: str | None = None,
        copy: BinaryIO | None = None,
        stamp: _Stamp | None = None,
    ) -> None:
        self.name = name
        self.dialect = sniffed.dialect
        self.layout = sniffed.layout
        self.size = sniffed.size
        self.sha256 = sniffed.sha256
        self.cautions = sniffed.cautions
        self._source = source
        self._sheet = sheet
        self._copy = copy
        self._stamp = stamp
        self._counts: Counts | None = None

    @property
    def counts(self) -> Counts:
        """The counts of the last complete pass; a pass is made if there was none."""
        if self._counts is None:
            for _ in self.chunks():
                pass
        assert self._counts is not None  # noqa: S101  a complete pass sets them
        return self._counts

    def records(self) -> Iterator[ExportRecord]:
        """The rows of the export one by one."""
        for chunk in self.chunks():
            for at, (number, cells, raw) in enumerate(zip(chunk.record_numbers, chunk.cells, chunk.raws, strict=True)):
                yield ExportRecord(chunk.first_row + at, number, cells, raw, chunk.problems.get(at, ()))

    def chunks(self) -> Iterator[Chunk]:
        """The rows of the export in chunks, in the order of the file."""
        with _opened(self._source) as stream:
            self._check_unchanged()
            yield from self._numbered(self._raw(stream))
            self._check_unchanged()

    def _raw(self, stream: BinaryIO) -> Iterator[RawChunk]:
        if self.dialect.format == "xlsx":
            return _of_workbook(stream, self.name, self._sheet)
        return read_records(stream, self.dialect, self.name, self.layout.width)

    def _numbered(self, raw_chunks: Iterator[RawChunk]) -> Iterator[Chunk]:
        """Rows with their numbers; the header, blank lines and refused records are counted and left out."""
        headers = header = int(self.dialect.header)
        records = rows = blank = 0
        refused: list[int] = []
        for raw in raw_chunks:
            if raw.refused:
                records += 1
                refused.append(records)
                continue
            chunk = _kept(raw, headers, records, rows)
            blank += raw.raws.count("")
            headers = 0 if any(raw.raws) else headers
            records += len(raw.raws)
            rows += len(chunk.cells)
            _flag_widths(chunk, self.layout.width)
            yield chunk
        self._counts = Counts(records, header - headers, rows, blank, tuple(refused))

    def _check_unchanged(self) -> None:
        if _stamp(self._source) != self._stamp:
            raise ExportError(
                "reading", self.name, "the file has changed while it was read", "Wait until the export is complete"
            )

    def close(self) -> None:
        """Lets go of the copy that was made of a stream that cannot be read twice."""
        if self._copy is not None:
            self._copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read(source: Path | BinaryIO, options: ReadOptions | None = None, name: str | None = None) -> Export:
    """The export at a path or in a stream, recognised; a file that cannot be is refused with an ExportError.

    A stream is copied to a temporary file when it cannot be rewound, because dates are judged by the whole
    column. The caller closes a stream; `Export.close` removes the copy.
    """
    options = options or ReadOptions()
    shown = name or (source.name if isinstance(source, Path) else Path(str(getattr(source, "name", "the export"))).name)
    again, copy = (source, None) if isinstance(source, Path) else _rewindable(source)
    stamp = _stamp(again)
    try:
        with _opened(again) as stream:
            sniffed = sniff(stream, shown, options)
    except BaseException:
        if copy is not None:
            copy.close()
        raise
    return Export(again, shown, sniffed, options.sheet, copy, stamp)


def _rewindable(source: BinaryIO) -> tuple[BinaryIO, BinaryIO | None]:
    if source.seekable():
        return source, None
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115  Export.close closes it
    shutil.copyfileobj(source, copy)
    return copy, copy


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise ExportError(
            "opening the export",
            source.name,
            f"it cannot be opened ({error.strerror})",
            "Check that the file is there and that this user may read it",
        ) from error
    with stream:
        yield stream


def _stamp(source: Path | BinaryIO) -> _Stamp | None:
    """Size and time of change of a file; None for a stream, which is its owner's to guard."""
    if not isinstance(source, Path):
        return None
    try:
        status = source.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _kept(raw: RawChunk, headers: int, records: int, rows: int) -> Chunk:
    """The rows of a chunk that follows so many records and rows: what is neither blank nor the header."""
    numbers = range(records + 1, records + 1 + len(raw.raws))
    if not headers and "" not in raw.raws:
        return Chunk(rows + 1, numbers, raw.cells, raw.raws, raw.problems)
    kept = [at for at, text in enumerate(raw.raws) if text][headers:]
    return Chunk(
        rows + 1,
        [numbers[at] for at in kept],
        [raw.cells[at] for at in kept],
        [raw.raws[at] for at in kept],
        {new: raw.problems[at] for new, at in enumerate(kept) if at in raw.problems},
    )


def _flag_widths(chunk: Chunk, width: int) -> None:
    if set(map(len, chunk.cells)) <= {width}:
        return
    for at, cells in enumerate(chunk.cells):
        if len(cells) != width:
            problem = Problem.MISSING_CELLS if len(cells) < width else Problem.EXTRA_CELLS
            chunk.problems[at] = (*chunk.problems.get(at, ()), problem)


def _of_workbook(stream: BinaryIO, name: str, sheet: str | None) -> Iterator[RawChunk]:
    rows = workbook.read_rows(stream, name, sheet)
    while cells := list(islice(rows, _CHUNK)):
        yield RawChunk(cells, [",".join(map(_quoted, row)) for row in cells], {})


def _quoted(cell: str) -> str:
    """A cell as FileMaker would write it in a .csv: the raw text of a row that was never text."""
    return '"' + cell.replace('"', '""') + '"' if cell else ""
