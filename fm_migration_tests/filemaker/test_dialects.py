"""Dialects and encodings that were met in the wild, each found out without being told."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from fm_migration.errors import ExportError
from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.problems import Caution, Problem
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration_tests.filemaker.strategies import CONTACT, normalised, opened, row, rows
from fm_migration_tests.filemaker.writing import HEADINGS, adds_up, workbook, write

_CLINIC = Dialect(bom=True, header=True)


def test_the_clinics_own_csv_with_byte_order_mark_and_header() -> None:
    export = opened(write([list(HEADINGS), *rows(3)], _CLINIC), "Image_dataV9.csv")
    assert export.dialect == _CLINIC
    assert export.layout.positions["date"] == 0
    assert export.dialect.as_metadata()["record_separator"] == "CRLF"


def test_filemakers_own_csv_with_bare_returns_and_no_header() -> None:
    dialect = Dialect(record_separator="\r")
    export = opened(write(rows(3), dialect, quote_all=True))
    assert export.dialect == dialect
    assert [record.cells for record in export.records()] == rows(3)


def test_a_tab_file_with_bare_returns_in_which_quotation_marks_are_text() -> None:
    dialect = Dialect("tab", record_separator="\r", delimiter="\t", quoted=False)
    table = [row(1, type='"5" heel lift'), row(2, type='a "Left" shoe')]
    export = opened(write(table, dialect), "Image_data.tab")
    assert export.dialect == dialect
    assert [record.cells for record in export.records()] == table


def test_a_tab_file_of_a_program_that_quotes_every_cell() -> None:
    table = [row(1, type="with\ttab"), row(2, type="with\nreturn")]
    export = opened(write(table, Dialect("tab", delimiter="\t"), quote_all=True), "Image_data.tab")
    assert export.dialect.quoted
    assert [record.cells for record in export.records()] == table


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_merge_file_with_comma_or_semicolon(delimiter: str) -> None:
    table = [row(1, type="x, y; z")]
    written = write([list(HEADINGS), *table], Dialect("mer", delimiter=delimiter), quote_all=True)
    export = opened(written, "Image_data.mer")
    assert (export.dialect.delimiter, export.dialect.header) == (delimiter, True)
    assert [record.cells for record in export.records()] == table


def test_a_merge_file_always_has_a_header_so_an_unknown_one_is_no_row() -> None:
    with pytest.raises(ExportError, match="not a header that we know"):
        opened(write([["a", "b"], ["1", "2"]], Dialect("mer")), "Image_data.mer")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("bom", [True, False])
def test_unicode_with_and_without_its_mark(encoding: str, bom: bool) -> None:
    table = [row(1, display_name="Fuß von Zoë 足"), row(2)]
    export = opened(write([list(HEADINGS), *table], Dialect(encoding=encoding, bom=bom)))
    assert (export.dialect.encoding, export.dialect.bom) == (encoding, bom)
    assert [record.cells for record in export.records()] == table


_NAMES = ["René Müller", "José Núñez", "Zoë’s “old” shoe – 5°", "Ångström Åse", "FRANÇOIS", "Weiß, Jörg"]


@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman"])
@pytest.mark.parametrize("name", _NAMES)
def test_windows_and_mac_are_told_apart_by_their_letters(encoding: str, name: str) -> None:
    export = opened(write([list(HEADINGS), row(1, display_name=name)], Dialect(encoding=encoding)))
    assert export.dialect.encoding == encoding
    assert Caution.GUESSED_ENCODING in export.cautions
    assert normalised(export)[0].display_name == name


@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman"])
def test_the_first_letter_beyond_ascii_may_stand_in_row_5000(encoding: str) -> None:
    table = rows(6000)
    table[4999][4] = "René Müller"
    export = opened(write([list(HEADINGS), *table], Dialect(encoding=encoding)))
    assert export.dialect.encoding == encoding
    assert [record.cells for record in export.records()] == table


def test_an_explicit_encoding_wins_over_the_guess() -> None:
    written = write([list(HEADINGS), row(1, display_name="René")], Dialect(encoding="cp1252"))
    export = opened(written, options=ReadOptions(encoding="Mac Roman"))
    assert next(export.records()).cells[4] == "RenÈ"
    assert not export.cautions


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "characters are not text"), ("utf-16", "look like"), ("klingon", "not an encoding")],
)
def test_an_explicit_encoding_that_cannot_be_is_refused(encoding: str, found: str) -> None:
    data = write([list(HEADINGS), row(1, display_name="é" * 20)], Dialect(encoding="cp1252"))
    with pytest.raises(ExportError, match=found):
        opened(data, options=ReadOptions(encoding=encoding))


def test_one_broken_byte_in_much_utf_8_marks_its_row_and_does_not_turn_the_file_into_another_encoding() -> None:
    table = [row(number, display_name="Zoë") for number in range(1, 20)]
    data = write([list(HEADINGS), *table], Dialect()).replace(b"IMG_7", b"IM\xe9_7")
    export = opened(data)
    made = normalised(export)
    assert Caution.DAMAGED_TEXT in export.cautions
    assert [read.row_number for read in made if Problem.UNDECODABLE_TEXT in read.problems] == [7]
    assert made[7].display_name == "Zoë"


def test_line_ends_that_change_half_way_lose_no_row() -> None:
    first, second = rows(6)[:3], rows(6)[3:]
    data = write([list(HEADINGS), *first], Dialect()) + write(second, Dialect(record_separator="\n"))
    assert [record.cells for record in opened(data).records()] == rows(6)
    tabs = write(first, Dialect(delimiter="\t", quoted=False)) + write(
        second, Dialect(record_separator="\r", delimiter="\t", quoted=False)
    )
    assert [record.cells for record in opened(tabs, "x.tab").records()] == rows(6)


def test_line_ends_that_change_after_a_megabyte_lose_no_row() -> None:
    table = rows(20_000)
    data = write([list(HEADINGS), *table[:4000]], Dialect()) + write(table[4000:], Dialect(record_separator="\r"))
    export = opened(data)
    assert [record.cells[6] for record in export.records()] == [cells[6] for cells in table]
    assert adds_up(export.counts)


def test_returns_and_repetitions_within_fields_part_no_rows() -> None:
    export = opened(write([*rows(2), row(3, type="Left\x0bLat", display_name="one\x1dtwo\x85")], Dialect()))
    assert next(r for r in export.records() if r.row_number == 3).cells[4] == "one\x1dtwo\x85"
    made = normalised(export)[2]
    assert (made.type_text, made.category, made.display_name) == ("Left\nLat", "left_lat", "one; two\x85")
    assert "Left\x0bLat" in made.raw


def test_blank_lines_are_counted_and_are_no_rows() -> None:
    data = b"\r\n" + write([list(HEADINGS), row(1)], Dialect()) + b"\r\n\r\n" + write([row(2)], Dialect())
    export = opened(data)
    assert [(record.row_number, record.record_number) for record in export.records()] == [(1, 3), (2, 6)]
    assert export.counts == (6, 1, 2, 3, ())


def test_a_record_of_megabytes_is_refused_and_counted_and_the_others_are_read() -> None:
    table = [row(1), row(2, type="x" * 3_000_000), row(3)]
    export = opened(write([list(HEADINGS), *table], Dialect()))
    assert [record.cells[6] for record in export.records()] == ["1001", "1003"]
    assert export.counts.refused == (3,)
    assert adds_up(export.counts)


def test_a_file_that_spans_many_blocks_keeps_its_quoted_returns() -> None:
    table = [row(number, type=f'line 1\r\nline {number}, and a "mark"') for number in range(1, 8000)]
    export = opened(write([list(HEADINGS), *table], Dialect()))
    assert [record.cells for record in export.records()] == table


def test_workbooks_give_numbers_and_dates_back_as_texts() -> None:
    sheet: list[list[object]] = [
        list(HEADINGS),
        [
            datetime(2016, 10, 18),  # noqa: DTZ001  Excel knows no time zones
            "a.jpg",
            "A0000000-0000-4000-8000-000000000001",
            CONTACT,
            2.5,
            None,
            77.0,
            "NA",
        ],
        [datetime(2016, 10, 18, 9, 30), True, "", CONTACT, "=1+1", None, "0077", "Dorsal"],  # noqa: DTZ001
    ]
    export = opened(workbook(sheet), "Image_data.xlsx")
    first, second = normalised(export)
    assert (first.recid, first.type_text, first.date_text, first.display_name) == ("77", "NA", "2016-10-18", "2.5")
    assert (second.recid, second.date_text, second.display_name) == ("0077", "2016-10-18 09:30:00", "=1+1")
    assert first.taken_on == second.taken_on == date(2016, 10, 18)
    assert export.dialect.as_metadata() == {"format": "xlsx", "header": True}


def test_a_workbook_without_header_and_with_empty_rows() -> None:
    table = [*rows(2), [""] * 8, row(4)]
    export = opened(workbook(table), "Image_data.xlsx")
    assert [record.record_number for record in export.records()] == [1, 2, 4]
    assert export.counts == (4, 0, 3, 1, ())
