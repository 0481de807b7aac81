"""Finds out how an export was written: format, encoding, separators, quoting, header.

Belongs here: the choice, and refusing what is not an export. Does not belong here: reading it (`records.py`,
`workbook.py`). The encoding is judged by the whole file (`encoding.py`), the separators by its first records:
every combination that is possible is tried, and the one wins in which the columns make sense.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import PurePath
from typing import BinaryIO, NamedTuple

from fm_migration.errors import ExportError
from fm_migration.filemaker import columns, workbook
from fm_migration.filemaker.columns import ColumnLayout, Profiles
from fm_migration.filemaker.dialect import Dialect, Format
from fm_migration.filemaker.encoding import HEAD_BYTES, Encoding, choose_encoding, survey_bytes
from fm_migration.filemaker.problems import Caution
from fm_migration.filemaker.records import parse_lines

_SAMPLE_LINES = 200
#: Characters that no text has: all controls but line ends, tabs and FileMaker's own.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b\x1c\x1e\x1f]")
_FORMATS: dict[str, Format] = {".csv": "csv", ".tab": "tab", ".tsv": "tab", ".mer": "mer"}
_HINTED = {".csv": ",", ".tab": "\t", ".tsv": "\t", ".mer": ",;"}
_DELIMITERS = (",", ";", "\t", "|")

#: How other kinds of files begin, and what they are called.
_STRANGERS = (
    (b"%PDF", "a PDF file"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an .xls or other old Office file"),
    (b"\x00\x01\x00\x00\x00\x02\x00\x01", "a FileMaker database"),
    (b"<?xml", "an XML file"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"PAR1", "a Parquet file"),
)


@dataclass(frozen=True)
class ReadOptions:
    """What a person knows better than the sniffer. None means: find out."""

    encoding: str | None = None
    record_separator: str | None = None
    delimiter: str | None = None
    quoted: bool | None = None
    header: bool | None = None
    profile: str | None = None
    sheet: str | None = None
    profiles: Profiles = field(default_factory=columns.built_in_profiles)


class Sniffed(NamedTuple):
    """What the bytes told."""

    dialect: Dialect
    layout: ColumnLayout
    size: int
    sha256: str
    cautions: tuple[Caution, ...]


def sniff(stream: BinaryIO, name: str, options: ReadOptions | None = None) -> Sniffed:
    """How the export in a seekable stream was written; `name` gives a hint and is used in messages."""
    options = options or ReadOptions()
    facts = survey_bytes(stream)
    if facts.size == 0:
        raise _refused(name, "it is empty (0 bytes)", "Export again; check that the disk was not full")
    if facts.head.startswith(b"PK\x03\x04"):
        rows = workbook.sample(stream, name, options.sheet)
        layout = columns.identify(rows, options.profiles, name, options.header, options.profile)
        return Sniffed(Dialect("xlsx", "", header=layout.header), layout, facts.size, facts.sha256, ())
    _refuse_strangers(facts.head, name)
    encoding = choose_encoding(stream, facts, name, options.encoding)
    dialect, layout = _structure(_head_text(facts.head, encoding), facts.size, name, encoding, options)
    cautions = [Caution.GUESSED_ENCODING] if encoding.guessed else []
    cautions += [Caution.DAMAGED_TEXT] if encoding.damaged else []
    return Sniffed(dialect, layout, facts.size, facts.sha256, tuple(cautions))


def _refuse_strangers(head: bytes, name: str) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20]
    for magic, kind in _STRANGERS:
        if head.startswith(magic) or start.lower().startswith(magic.lower()):
            raise _refused(name, f"it is {kind}, not an export", _HOW_TO_EXPORT)


def _head_text(head: bytes, encoding: Encoding) -> str:
    return head.removeprefix(encoding.bom).decode(encoding.name, "replace")


def _structure(
    text: str, size: int, name: str, encoding: Encoding, options: ReadOptions
) -> tuple[Dialect, ColumnLayout]:
    if not text.strip("\r\n \t\x1a\x00"):
        raise _refused(name, f"its {size} bytes hold nothing but blank lines", "Export again, with the records found")
    suffix = PurePath(name).suffix.lower()
    header = True if options.header is None and suffix == ".mer" else options.header
    best: tuple[tuple[bool, float], Dialect, ColumnLayout | None, list[list[str]]] | None = None
    for dialect, preference in _possible(text, suffix, encoding, options):
        rows = _rows(text, size <= HEAD_BYTES, dialect)
        layout = columns.recognise(rows, options.profiles, header, options.profile)
        score = (layout is not None, preference + _consistency(rows))
        if best is None or score > best[0]:
            best = score, dialect, layout, rows
    if best is None:
        raise _refused(name, "no text could be made of its first records", _HOW_TO_EXPORT)
    _, dialect, layout, rows = best
    if layout is None and len(_CONTROL.findall(text)) * 20 > len(text):
        raise _refused(name, "it is binary, not text", _HOW_TO_EXPORT)
    layout = layout or columns.identify(rows, options.profiles, name, header, options.profile)
    return replace(dialect, header=layout.header), layout


def _possible(text: str, suffix: str, encoding: Encoding, options: ReadOptions) -> list[tuple[Dialect, float]]:
    """Every dialect that the first records could be in, with how likely it is before looking at columns."""
    hinted = _HINTED.get(suffix, "")
    separators = _separators(text, options.record_separator)
    delimiters = (
        [options.delimiter] if options.delimiter else [known for known in _DELIMITERS if known in text] or [","]
    )
    possible = []
    for (separator, share), delimiter in product(separators.items(), delimiters):
        kinds = [options.quoted] if options.quoted is not None else _quotings(text, separator, delimiter)
        for at, quoted in enumerate(kinds):
            dialect = Dialect(
                format=_FORMATS.get(suffix, "tab" if delimiter == "\t" else "csv"),
                encoding=encoding.name,
                bom=bool(encoding.bom),
                record_separator=separator,
                delimiter=delimiter,
                quoted=quoted,
                damaged=encoding.damaged,
            )
            possible.append((dialect, 2 * share + 0.3 * (delimiter in hinted) - 0.1 * at))
    return possible


def _separators(text: str, explicit: str | None) -> dict[str, float]:
    """The record separators that occur, with their shares outside quotation marks."""
    if explicit:
        return {explicit: 1.0}
    bare = re.sub(r'"[^"]*"', "", text)
    counts = {found: _line_ends(bare)[found] + 0.001 * number for found, number in _line_ends(text).items() if number}
    total = sum(counts.values())
    return {found: number / total for found, number in counts.items()} or {"\r\n": 1.0}


def _line_ends(text: str) -> dict[str, int]:
    both = text.count("\r\n")
    return {"\r\n": both, "\n": text.count("\n") - both, "\r": text.count("\r") - both}


def _quotings(text: str, separator: str, delimiter: str) -> list[bool]:
    """Whether cells may be quoted, the likelier answer first. FileMaker quotes .csv and .mer, and never .tab."""
    if delimiter != "\t":
        return [True]
    if '"' not in text:
        return [False]
    cells = [cell for line in text.split(separator)[:20] for cell in line.split(delimiter) if cell]
    return [True, False] if all(cell.startswith('"') and cell.endswith('"') for cell in cells) else [False, True]


def _rows(text: str, whole: bool, dialect: Dialect) -> list[list[str]]:
    """The first records of a text that is the whole file or only its beginning."""
    lines = text.split(dialect.record_separator, _SAMPLE_LINES)
    if not whole or len(lines) > _SAMPLE_LINES:
        # The last piece is cut off, or it is all the rest.
        lines = lines[:-1] or lines
    try:
        return parse_lines(lines, dialect)
    except ExportError:
        return []


def _consistency(rows: Sequence[Sequence[str]]) -> float:
    """The share of records with the commonest width; nothing for a single column."""
    if not rows:
        return -1
    width, number = Counter(len(row) for row in rows).most_common(1)[0]
    return number / len(rows) if width > 1 else 0


_HOW_TO_EXPORT = "Export from FileMaker as .csv, .tab, .mer or .xlsx"


def _refused(name: str, found: str, remedy: str) -> ExportError:
    return ExportError("reading the export", name, found, remedy)
