"""Hypothesis strategies for tables and dialects, and the plain rows that many tests start from."""

from __future__ import annotations

import io
from datetime import date
from functools import cache
from itertools import product

from hypothesis import strategies as st

from fm_migration.filemaker.dialect import Dialect, Format
from fm_migration.filemaker.reading import Export, read
from fm_migration.filemaker.rows import Row, normalise, survey
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration_tests.filemaker.writing import HEADINGS, write

TODAY = date(2025, 11, 18)

CONTACT = "5B0C7A1E-1D2F-4A3B-8C4D-9E5F6A7B8C9D"
OTHER_CONTACT = "0F1E2D3C-4B5A-4697-8877-665544332211"

_ENCODINGS = (
    ("utf-8", False),
    ("utf-8", True),
    ("utf-16-le", True),
    ("utf-16-le", False),
    ("utf-16-be", True),
    ("utf-16-be", False),
    ("cp1252", False),
    ("mac-roman", False),
)
_KINDS: tuple[tuple[Format, str, bool], ...] = (
    ("csv", ",", True),
    ("mer", ",", True),
    ("mer", ";", True),
    ("tab", "\t", False),
    ("tab", "\t", True),
)

#: Every dialect of text that exports were met in.
DIALECTS = [
    Dialect(format=kind, encoding=encoding, bom=bom, record_separator=end, delimiter=delimiter, quoted=quoted)
    for (kind, delimiter, quoted), (encoding, bom), end in product(_KINDS, _ENCODINGS, ("\r\n", "\n", "\r"))
]


def image_id(number: int) -> str:
    """An invented image UUID as FileMaker writes it."""
    return f"A0000000-0000-4000-8000-{number:012X}"


def row(number: int, **cells: str) -> list[str]:
    """A faultless row of the clinic's columns, with some cells replaced."""
    faultless = {
        "date": f"10/{13 + number % 15}/2016",
        "file_name": f"IMG_{number}.jpg",
        "image_id": image_id(number),
        "contact": CONTACT,
        "display_name": f"Photo {number}",
        "nexus_export_date": "7/1/2025",
        "recid": str(1000 + number),
        "type": "Dorsal",
    }
    return list((faultless | cells).values())


def rows(count: int) -> list[list[str]]:
    """So many faultless rows."""
    return [row(number) for number in range(1, count + 1)]


def opened(data: bytes, name: str = "Image_data.csv", options: ReadOptions | None = None) -> Export:
    """The export in these bytes."""
    return read(io.BytesIO(data), options, name)


def export_of(*records: list[str], header: bool = True, dialect: Dialect | None = None) -> Export:
    """An export of these rows, as the clinic's CSV would hold them."""
    table = [list(HEADINGS), *records] if header else list(records)
    return opened(write(table, dialect or Dialect()))


def normalised(export: Export) -> list[Row]:
    """All rows of an export in their final form."""
    found = survey(export)
    return [row for chunk in normalise(export, found, TODAY) for row in chunk]


@cache
def texts(dialect: Dialect, line_ends: bool = True) -> st.SearchStrategy[str]:
    """Texts that the dialect can hold: anything, but for what its encoding or its lack of quoting rules out.

    Without quoting, a line end of another kind than the file's can be told from the file's only by who knows it.
    """
    excluded = "" if dialect.quoted else dialect.delimiter + (dialect.record_separator if line_ends else "\r\n")
    if dialect.encoding.startswith("utf"):
        any_character = st.characters(exclude_categories=["Cs"], exclude_characters=excluded)
    else:
        every = bytes(range(256)).decode(dialect.encoding, "ignore")
        any_character = st.sampled_from([character for character in every if character not in excluded])
    awkward = [character for character in '",;\t\r\n\x0b\x0c\x1c\x1d\x1e\x00 0NA' if character not in excluded]
    return st.text(any_character | st.sampled_from(awkward), max_size=12)


@st.composite
def tables(draw: st.DrawFn, dialect: Dialect) -> list[list[str]]:
    """Tables of two to six columns of any texts, of which no row would read as a blank line."""
    width = draw(st.integers(2, 6))
    cells = st.lists(texts(dialect), min_size=width, max_size=width)
    return draw(st.lists(cells, max_size=8))


@st.composite
def clinic_tables(draw: st.DrawFn, dialect: Dialect) -> list[list[str]]:
    """Rows of the clinic's columns whose free texts are anything."""
    free = texts(dialect, line_ends=False)
    return [
        row(number, file_name=draw(free), display_name=draw(free), type=draw(free), recid=draw(_RECIDS))
        for number in range(1, draw(st.integers(1, 6)) + 1)
    ]


_RECIDS = st.integers(0, 10**6).map(lambda number: f"{number:04}")
