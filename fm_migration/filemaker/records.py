"""A decoded stream cut into records and cells: every character of the file ends in exactly one record.

Belongs here: record separators, quoting, and what to do when the quoting is broken. Does not belong here: what
a cell means. Never `str.splitlines()` (it cuts at FileMaker's vertical tabs and group separators) and never
`str.strip()` without saying what.

Blocks of ordinary lines go through the csv module in one call. A block in which a record spans lines, or in
which the csv module finds a fault, is taken record by record: a quotation mark too many would otherwise
swallow the rest of the file into one cell, silently. Such a record falls back to its line end and is flagged.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from fm_migration.errors import ExportError
from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.problems import Problem

_BLOCK = 256 * 1024
#: A line longer than this many characters is not a record of a photograph; it is refused, not read.
MAX_LINE = 1024 * 1024
#: How far a quoted cell may reach. Beyond it, its opening quotation mark is taken for a stray one.
MAX_LINES_OF_RECORD = 1000
MAX_RECORD = 1024 * 1024
#: How often that may happen before the file is refused: each time costs a look at so many lines.
MAX_RECOVERIES = 1000

_LINE_END = re.compile(r"\r\n|\r|\n")


class RawChunk(NamedTuple):
    """Records as they stand in the file: the cells and the raw text of each, and the problems of some.

    Kept in columns because a million small objects cost more than all of the parsing. A refused record comes
    alone, with no cells.
    """

    cells: list[list[str]]
    raws: list[str]
    problems: dict[int, tuple[Problem, ...]]
    refused: bool = False


REFUSED = RawChunk([], [], {}, refused=True)


class _Lines(NamedTuple):
    lines: list[str]
    #: Whether there are line ends among the characters of the lines.
    strays: bool = True
    refused: bool = False


class _Parsed(NamedTuple):
    cells: list[str]
    raw: str
    problems: tuple[Problem, ...] = ()


def read_records(stream: BinaryIO, dialect: Dialect, name: str, width: int | None) -> Iterator[RawChunk]:
    """The records of the stream from its start, in chunks; `width` is the number of columns, if known."""
    blocks = _split(stream, dialect, name)
    return iter(_Reader(blocks, dialect, name, width)) if dialect.quoted else _literal(blocks, dialect, width)


def parse_lines(lines: list[str], dialect: Dialect) -> list[list[str]]:
    """The cells of a few complete lines, leniently: for looking at the head of a file."""
    if not dialect.quoted:
        return [line.split(dialect.delimiter) for line in lines if line]
    blocks = iter([_Lines(lines)])
    reader = _Reader(blocks, dialect, "", None)
    return [cells for chunk in reader for cells, raw in zip(chunk.cells, chunk.raws, strict=True) if raw]


def _split(stream: BinaryIO, dialect: Dialect, name: str) -> Iterator[_Lines]:
    """The lines of the stream without their separators."""
    separator = dialect.record_separator
    pending, skipping = "", False
    for text in _decoded(stream, dialect, name):
        text = pending + text
        lines = text.split(separator)
        strays = _has_strays(text, separator, len(lines) - 1)
        pending = lines.pop()
        if skipping and lines:
            yield _Lines([""], refused=True)
            skipping = False
            del lines[0]
        if len(pending) > MAX_LINE and not skipping:
            # Two exports put together may change their line ends half-way.
            *more, pending = _LINE_END.split(pending)
            lines += more
        if len(pending) > MAX_LINE:
            # The last character may be the first half of a separator.
            pending, skipping = pending[-1:], True
        if lines:
            yield _Lines(lines, strays)
    if skipping:
        yield _Lines([""], refused=True)
    elif pending:
        yield _Lines([pending])


def _has_strays(text: str, separator: str, separators: int) -> bool:
    expected = {end: separators if end in separator else 0 for end in "\r\n"}
    return any(text.count(end) != number for end, number in expected.items())


def _decoded(stream: BinaryIO, dialect: Dialect, name: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(dialect.encoding)("replace" if dialect.damaged else "strict")
    stream.seek(len(dialect.mark))
    try:
        while block := stream.read(_BLOCK):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise ExportError(
            "decoding",
            name,
            f"its bytes are not {dialect.encoding} text any more, so the file has changed since it was opened",
            "Wait until the export is complete, then read it again",
        ) from error


def _literal(blocks: Iterator[_Lines], dialect: Dialect, width: int | None) -> Iterator[RawChunk]:
    """Records of a file without quoting: a delimiter is a delimiter."""
    delimiter = dialect.delimiter
    for block in blocks:
        if block.refused:
            yield REFUSED
            continue
        cells = [line.split(delimiter) for line in block.lines]
        if not block.strays or width is None or all(len(row) == width for row in cells):
            yield RawChunk(cells, block.lines, {})
            continue
        parted = [
            _mixed_line_ends(line, dialect, width) or [_Parsed(line.split(delimiter), line)] for line in block.lines
        ]
        yield _chunk([record for records in parted for record in records])


def _chunk(records: list[_Parsed]) -> RawChunk:
    return RawChunk(
        [record.cells for record in records],
        [record.raw for record in records],
        {at: record.problems for at, record in enumerate(records) if record.problems},
    )


class _Reader:
    """Records of a file with quoting."""

    def __init__(self, blocks: Iterator[_Lines], dialect: Dialect, name: str, width: int | None) -> None:
        self._blocks = blocks
        self._dialect = dialect
        self._name = name
        self._width = width
        # The lines at hand, and how many of them are done: only for the slow way.
        self._lines: list[str] = []
        self._done = 0
        self._taken = 0
        self._waiting: _Lines | None = None
        self._recoveries = 0

    def __iter__(self) -> Iterator[RawChunk]:
        while (block := self._next_block()) is not None:
            if block.refused:
                yield REFUSED
                continue
            cells = self._straight(block)
            if cells is None:
                yield _chunk(self._record_by_record(block.lines))
            else:
                yield RawChunk(cells, block.lines, {})

    def _next_block(self) -> _Lines | None:
        block, self._waiting = self._waiting, None
        return block or next(self._blocks, None)

    def _straight(self, block: _Lines) -> list[list[str]] | None:
        """The cells of lines of which each is one faultless record, else None."""
        lines = block.lines
        if block.strays and any(line.endswith(("\r", "\n")) for line in lines):
            # The csv module would take such a character for a line end, and drop it.
            return None
        try:
            cells = list(csv.reader(lines, delimiter=self._dialect.delimiter, strict=True))
        except csv.Error:
            return None
        # A record takes at least one line, so as many records as lines means one line each.
        return cells if len(cells) == len(lines) else None

    def _record_by_record(self, lines: list[str]) -> list[_Parsed]:
        self._lines, self._done = lines, 0
        records: list[_Parsed] = []
        while self._done < len(self._lines):
            records += self._next_records()
            self._done += self._taken
        self._lines = []
        return records

    def _next_records(self) -> list[_Parsed]:
        """The record that starts at the first line not done: mostly one, more if its line ends are mixed."""
        reader = csv.reader(self._ahead(), delimiter=self._dialect.delimiter, strict=True)
        self._taken = 0
        try:
            cells = next(reader)
        except csv.Error:
            return self._first_line_alone()
        taken = self._lines[self._done : self._done + self._taken]
        if taken[-1].endswith(("\r", "\n")):
            return self._first_line_alone()
        if len(taken) > 1 and self._width is not None and len(cells) != self._width:
            return self._first_line_alone()
        problems = (Problem.SWALLOWED_LINES,) if self._swallows(taken) else ()
        return [_Parsed(cells, self._dialect.record_separator.join(taken), problems)]

    def _ahead(self) -> Iterator[str]:
        """The lines from the first one not done, as far as one record may reach."""
        size = 0
        for at in range(self._done, self._done + MAX_LINES_OF_RECORD):
            if at == len(self._lines) and not self._fetched():
                return
            line = self._lines[at]
            size += len(line)
            if size > MAX_RECORD and at > self._done:
                return
            self._taken = at - self._done + 1
            yield line + self._dialect.record_separator

    def _fetched(self) -> bool:
        """Whether there are more lines at hand now. A refused line ends every record."""
        if self._waiting is None:
            self._waiting = next(self._blocks, None)
        if self._waiting is None or self._waiting.refused:
            return False
        self._lines += self._waiting.lines
        self._waiting = None
        return True

    def _first_line_alone(self) -> list[_Parsed]:
        """What the quoting of several lines could not make sense of is read by its line end."""
        line = self._lines[self._done]
        if self._taken > 1:
            self._recoveries += 1
            if self._recoveries > MAX_RECOVERIES:
                raise self._broken()
        self._taken = 1
        width = self._width
        cells, faulty = _lenient(line, self._dialect.delimiter)
        if width is not None and len(cells) != width and (parts := _mixed_line_ends(line, self._dialect, width)):
            return parts
        return [_Parsed(cells, line, (Problem.BROKEN_QUOTING,) if faulty else ())]

    def _swallows(self, taken: list[str]) -> bool:
        """Whether each line of a record of several lines could be a row of its own."""
        if len(taken) < 2 or self._width is None or self._width < 3:
            return False
        return all(line.count(self._dialect.delimiter) >= self._width - 1 for line in taken)

    def _broken(self) -> ExportError:
        return ExportError(
            "reading",
            self._name,
            f"the quotation marks of more than {MAX_RECOVERIES} rows do not balance",
            "Export again as .xlsx, or as .tab if no text holds a tab",
        )


def _lenient(line: str, delimiter: str) -> tuple[list[str], bool]:
    """The cells of one line, whatever its quoting, and whether the quoting is faulty."""
    cells: list[str] = []
    at, faulty = 0, False
    while True:
        if line.startswith('"', at):
            cell, end, clean = _quoted(line, at + 1, delimiter)
            if end < 0:
                # It never closes: the mark is text, and so is every later one, or this would not be linear.
                return [*cells, *line[at:].split(delimiter)], True
            faulty = faulty or not clean
        else:
            end = line.find(delimiter, at)
            end = len(line) if end < 0 else end
            cell = line[at:end]
        cells.append(cell)
        if end >= len(line):
            return cells, faulty
        at = end + len(delimiter)


def _quoted(line: str, at: int, delimiter: str) -> tuple[str, int, bool]:
    """The text of a quoted cell, where it ends (-1: never), and whether every mark in it is doubled."""
    parts: list[str] = []
    clean = True
    while (mark := line.find('"', at)) >= 0:
        after = mark + 1
        if line.startswith('"', after):
            parts.append(line[at:after])
            at = after + 1
        elif after == len(line) or line.startswith(delimiter, after):
            return "".join((*parts, line[at:mark])), after, clean
        else:
            parts.append(line[at:after])
            at, clean = after, False
    return "", -1, False


def _mixed_line_ends(line: str, dialect: Dialect, width: int) -> list[_Parsed]:
    """The records of a line whose other line ends part it into whole records; empty if they do not."""
    parts = [part for part in _LINE_END.split(line) if part]
    if len(parts) < 2:
        return []
    rows = [_lenient(part, dialect.delimiter)[0] if dialect.quoted else part.split(dialect.delimiter) for part in parts]
    if any(len(row) != width for row in rows):
        return []
    return [_Parsed(row, part) for row, part in zip(rows, parts, strict=True)]
