"""Any table of strings, written in any dialect that exports were met in, reads back equal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration.filemaker import records
from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.reading import read
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration_tests.filemaker.strategies import DIALECTS, clinic_tables, opened, row, tables
from fm_migration_tests.filemaker.writing import HEADINGS, adds_up, workbook, write

_EIGHT_BIT = ("cp1252", "mac-roman")


def _cells(data: bytes, dialect: Dialect, width: int | None) -> list[list[str]]:
    chunks = records.read_records(io.BytesIO(data), dialect, "table", width)
    return [cells for chunk in chunks for cells in chunk.cells]


@settings(deadline=None)
@given(data=st.data(), dialect=st.sampled_from(DIALECTS), quote_all=st.booleans(), knows_width=st.booleans())
def test_any_table_in_a_known_dialect(
    data: st.DataObject, dialect: Dialect, quote_all: bool, knows_width: bool
) -> None:
    table = data.draw(tables(dialect))
    width = len(table[0]) if table and knows_width else None
    assert _cells(write(table, dialect, quote_all), dialect, width) == table


@settings(deadline=None)
@given(data=st.data(), dialect=st.sampled_from(DIALECTS), quote_all=st.booleans())
def test_any_table_whatever_the_size_of_the_blocks(data: st.DataObject, dialect: Dialect, quote_all: bool) -> None:
    # A block may end within a character, a separator or a quoted cell.
    table = data.draw(tables(dialect))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BLOCK", data.draw(st.integers(1, 9)))
        assert _cells(write(table, dialect, quote_all), dialect, None) == table


@settings(deadline=None)
@given(
    data=st.data(),
    dialect=st.sampled_from([d for d in DIALECTS if d.format != "tab" or not d.quoted]),
    header=st.booleans(),
    quote_all=st.booleans(),
    last_separator=st.booleans(),
)
def test_the_clinics_columns_with_any_texts_in_a_dialect_that_is_found_out(
    data: st.DataObject, dialect: Dialect, header: bool, quote_all: bool, last_separator: bool
) -> None:
    table = data.draw(clinic_tables(dialect))
    header = header or dialect.format == "mer"
    written = write([list(HEADINGS)] * header + table, dialect, quote_all, last_separator)
    # Arbitrary letters tell nothing about an 8-bit encoding; test_encoding.py has real words.
    options = ReadOptions(encoding=dialect.encoding if dialect.encoding in _EIGHT_BIT else None)
    export = opened(written, f"Image_data.{dialect.format}", options)
    assert [record.cells for record in export.records()] == table
    assert export.dialect.header == header
    assert adds_up(export.counts)
    if not written.isascii():
        assert (export.dialect.encoding, export.dialect.bom) == (dialect.encoding, dialect.bom)


# Without `_x`, which begins an escape, and without cells of blanks alone: openpyxl writes those without the mark that
# would keep them, so the file itself says that they are empty.
_SHEET_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=12).filter(
    lambda text: "_x" not in text and (not text or text.strip(" ") != "")
)


@settings(deadline=None)
@given(table=st.lists(st.lists(_SHEET_TEXT, min_size=8, max_size=8), max_size=5))
def test_any_table_in_a_workbook(table: list[list[str]]) -> None:
    table = [[*cells[:6], str(number), cells[7]] for number, cells in enumerate(table)]
    export = opened(workbook([list(HEADINGS), *table]), "Image_data.xlsx")
    assert [record.cells for record in export.records()] == table
    assert adds_up(export.counts)


class _Pipe(io.BytesIO):
    """A stream that cannot be rewound, like the body of an answer."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


def test_a_path_a_stream_and_a_stream_that_cannot_be_rewound_read_alike(tmp_path: Path) -> None:
    table = [row(1), row(2, type="L-Shoe")]
    data = write([list(HEADINGS), *table], Dialect())
    path = tmp_path / "Image data ü.csv"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data), _Pipe(data)):
        with read(source) as export:
            # More than once: dates are judged by the whole column before the first row is read.
            for _ in range(2):
                assert [record.cells for record in export.records()] == table
