"""The failure catalogue, as far as it concerns files: refuse loudly what cannot be read, flag what can."""

from __future__ import annotations

import dataclasses
import zipfile
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest

from fm_migration.errors import ExportError, SettingsError
from fm_migration.filemaker.columns import built_in_profiles, load_profiles
from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.problems import Caution, Problem
from fm_migration.filemaker.reading import read
from fm_migration.filemaker.rows import COPY_COLUMNS, Row, copy_values, survey
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration_tests.filemaker.strategies import (
    CONTACT,
    OTHER_CONTACT,
    export_of,
    image_id,
    normalised,
    opened,
    row,
    rows,
)
from fm_migration_tests.filemaker.writing import HEADINGS, write


def _only(*records: list[str]) -> Row:
    (made,) = normalised(export_of(*records))
    return made


def _archive(*names: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


# 1. Unreadable, empty, unknown columns: fail loudly.


def _may_be_linked(row: Row) -> bool:
    return not any(problem.blocks_linking for problem in row.problems)


@pytest.mark.parametrize(
    ("data", "name", "found"),
    [
        (b"", "x.csv", "empty"),
        (b"", "x.xlsx", "empty"),
        (b"\xef\xbb\xbf", "x.csv", "blank lines"),
        (b"\r\n\r\n \r\n", "x.csv", "blank lines"),
        (b"%PDF-1.7\n", "x.csv", "PDF"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "x.csv", "JPEG"),
        (b"\x1f\x8b\x08\x00", "x.csv.gz", "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "x.xls", "old Office"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>Sign in</html>", "x.csv", "web page"),
        (b'<?xml version="1.0"?><FMPXMLRESULT/>', "x.xml", "XML"),
        (_archive("word/document.xml"), "x.xlsx", "without a workbook"),
        (_archive("xl/workbook.xml"), "x.xlsx", "Error"),
        (_archive("xl/workbook.xml")[:40], "x.xlsx", "damaged"),
        (bytes(range(256)) * 10, "x.csv", "binary"),
    ],
    # Named by what is expected: an archive holds the time, and the workers of a test run must agree on the names.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_export_is_refused_by_what_it_is(data: bytes, name: str, found: str) -> None:
    with pytest.raises(ExportError, match=found) as caught:
        opened(data, name)
    assert caught.value.remedy


def test_a_file_that_is_not_there_or_not_readable_is_an_export_error(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(ExportError, match="cannot be opened"):
            read(path)


def test_a_header_alone_is_an_export_of_no_rows() -> None:
    export = export_of()
    assert normalised(export) == []
    assert (export.counts.header, export.counts.rows) == (1, 0)


def test_unknown_and_missing_columns_are_named_beside_the_expected_ones() -> None:
    """Unknown ones by their place: a first line that was taken for a heading may hold somebody's name."""
    headings = ["date", "id", "id_Contact", "record", "Type"]
    with pytest.raises(ExportError) as caught:
        opened(write([headings, ["", "", "", "", ""]], Dialect()))
    assert "columns are date, id, id_Contact, column 4, Type" in caught.value.found
    assert "unknown: column 4;" in caught.value.found
    assert "missing: recid" in caught.value.found
    assert "expected: date, fileNane, id, id_Contact" in caught.value.found


def test_a_column_twice_is_refused() -> None:
    with pytest.raises(ExportError, match="named twice: contact"):
        opened(write([[*HEADINGS, "ID contact"], [*row(1), CONTACT]], Dialect()))


def test_columns_in_another_order_without_a_header_are_described_without_showing_a_patient() -> None:
    table = [list(reversed(row(number, display_name="Canary Patient"))) for number in range(1, 4)]
    with pytest.raises(ExportError) as caught:
        opened(write(table, Dialect()))
    assert "look like text, number, date, text, UUID, UUID, text, date" in caught.value.found
    assert "Canary" not in str(caught.value)
    assert CONTACT not in str(caught.value)


def test_a_first_row_whose_texts_are_headings_by_chance_is_a_row() -> None:
    (made,) = normalised(export_of(row(1, type="Date", display_name="ID"), header=False))
    assert made.type_text == "Date"


def test_a_row_where_a_header_must_be_is_not_shown_in_the_message() -> None:
    with pytest.raises(ExportError) as caught:
        opened(write([row(1, display_name="Canary Patient")], Dialect("mer")), "Image_data.mer")
    assert "Canary" not in str(caught.value)
    assert CONTACT not in str(caught.value)


def test_a_header_of_unknown_words_is_not_taken_for_a_photograph() -> None:
    with pytest.raises(ExportError, match="not a header that we know"):
        opened(write([list("abcdefgh"), *rows(3)], Dialect()))


def test_both_column_sets_with_and_without_header() -> None:
    early = [["0077", CONTACT, "10/18/2016", "Dorsal", "a note"]]
    for table in (early, [["recid", "id_Contact", "date", "Type", "Note"], *early]):
        export = opened(write(table, Dialect()))
        (made,) = normalised(export)
        assert export.layout.profile == "photographs_without_ids"
        assert (made.recid, made.note, made.image_id, made.problems) == ("0077", "a note", None, ())


def test_headings_are_known_in_any_case_order_and_with_their_table() -> None:
    headings = ["Images::recid", "ID_CONTACT", "Images::Type", "Date", "id", "fileName"]
    (made,) = normalised(opened(write([headings, ["7", CONTACT, "AFO", "1/2/2016", image_id(1), "a.jpg"]], Dialect())))
    assert (made.recid, made.category, made.file_name, made.problems) == ("7", "afo", "a.jpg", ())


def test_a_clinic_adds_headings_and_profiles_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(
        '[headings]\nrecid = ["Nummer"]\nignored = ["Zusatz"]\n'
        '[profiles.ours]\norder = ["recid", "ignored", "contact", "date", "type"]\n',
        "utf-8",
    )
    options = ReadOptions(profiles=load_profiles(path))
    by_heading = write(
        [["Nummer", "Zusatz", "id_Contact", "date", "Type"], ["7", "x", CONTACT, "1/2/2016", "AFO"]], Dialect()
    )
    by_position = write([["7", "x", CONTACT, "1/2/2016", "AFO"]], Dialect())
    for data in (by_heading, by_position):
        export = opened(data, options=options)
        assert (export.layout.profile, normalised(export)[0].recid) == ("ours", "7")
    # The built-in ones still hold, and are not changed for others.
    assert opened(write(rows(1), Dialect()), options=options).layout.profile == "photographs"
    assert built_in_profiles().field_of("Nummer") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[headings", "cannot be read"),
        ("[colums]", "unknown sections"),
        ('[headings]\nrecord = ["x"]', "none of the fields"),
        ("[headings]\nrecid = 7", "not a list"),
        ('[profiles.x]\norder = ["date"]', "needs recid"),
        ('[profiles.x]\norder = ["recid", "recid"]', "needs recid"),
        ('[profiles]\nx = "y"', "must have the keys"),
    ],
)
def test_a_faulty_columns_file_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=found):
        load_profiles(path)


def test_a_profile_that_is_asked_for_by_name_must_exist_and_fit() -> None:
    data = write(rows(1), Dialect())
    assert opened(data, options=ReadOptions(profile="photographs")).layout.profile == "photographs"
    with pytest.raises(ExportError, match="no profile 'other'"):
        opened(data, options=ReadOptions(profile="other"))
    with pytest.raises(ExportError, match="expected 5 columns"):
        opened(data, options=ReadOptions(profile="photographs_without_ids"))


# 4. Ids in any case, and ids that are none.


def test_ids_are_canonical_whatever_their_case_and_the_original_is_kept() -> None:
    made = _only(row(1, contact=f"{{{CONTACT}}}", image_id=image_id(1).replace("-", "")))
    assert made.contact == CONTACT.lower()
    assert made.contact_text == f"{{{CONTACT}}}"
    assert made.image_id == image_id(1).lower()
    assert made.problems == ()


@pytest.mark.parametrize("text", ["12345", "x" * 36, CONTACT[:-1], CONTACT + "0", f"{CONTACT}\x1d{OTHER_CONTACT}"])
def test_a_contact_that_is_no_uuid_is_a_problem_of_its_row_and_of_no_other(text: str) -> None:
    first, bad = normalised(export_of(row(1), row(2, contact=text)))
    assert (bad.contact, bad.problems, _may_be_linked(bad)) == (None, (Problem.MALFORMED_CONTACT,), False)
    assert (first.contact, first.problems) == (CONTACT.lower(), ())


# 5. One recid twice.


def test_a_recid_that_stands_twice_is_flagged_on_every_one_of_its_rows() -> None:
    table = rows(5000)
    table[4999][6] = table[0][6]
    table[2][2] = table[1][2].lower()
    made = normalised(export_of(*table))
    assert [read.row_number for read in made if Problem.DUPLICATE_RECID in read.problems] == [1, 5000]
    assert [read.row_number for read in made if Problem.DUPLICATE_IMAGE_ID in read.problems] == [2, 3]
    assert not _may_be_linked(made[0])


# 6. Rows with something missing.


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"recid": ""}, Problem.KNOWN_BY_IMAGE_ID),
        ({"recid": "77.0"}, Problem.MALFORMED_RECID),
        ({"recid": "7" * 19}, Problem.MALFORMED_RECID),
        ({"recid": "-7"}, Problem.MALFORMED_RECID),
        ({"recid": "٧"}, Problem.MALFORMED_RECID),
        ({"recid": "7\x1d8"}, Problem.MALFORMED_RECID),
        ({"image_id": " "}, Problem.MISSING_IMAGE_ID),
        ({"image_id": "7"}, Problem.MALFORMED_IMAGE_ID),
        ({"contact": ""}, Problem.MISSING_CONTACT),
        ({"date": ""}, Problem.MISSING_DATE),
        ({"date": "2/30/2016"}, Problem.IMPOSSIBLE_DATE),
        ({"date": "10/18/2061"}, Problem.IMPLAUSIBLE_DATE),
        ({"date": "10/18/16"}, Problem.TWO_DIGIT_YEAR),
        ({"type": ""}, Problem.MISSING_TYPE),
        ({"type": "something else"}, Problem.UNKNOWN_TYPE),
        ({"type": "Dorsal " + "x" * 94}, Problem.OVER_LONG),
        ({"file_name": "x" * 256}, Problem.OVER_LONG),
        ({"display_name": "a\x00b"}, Problem.NUL_CHARACTER),
        ({"display_name": "a\ufffdb"}, Problem.UNDECODABLE_TEXT),
    ],
)
def test_a_problem_of_a_row_is_flagged_and_the_row_is_kept(cells: dict[str, str], problem: Problem) -> None:
    faultless, made = normalised(export_of(row(1), row(2, **cells)))
    assert faultless.problems == ()
    assert made.problems == (problem,)
    assert made.row_number == 2
    assert made.file_name == cells.get("file_name", "IMG_2.jpg")


def test_a_row_without_any_id_is_kept_and_not_linked() -> None:
    made = _only(row(1, recid="", image_id=""))
    assert set(made.problems) == {Problem.MISSING_RECID, Problem.MISSING_IMAGE_ID}
    assert not _may_be_linked(made)
    assert _may_be_linked(_only(row(1, recid="")))


def test_a_row_without_contact_and_date_is_kept_with_both_problems() -> None:
    made = _only(row(1, contact="", date=""))
    assert set(made.problems) == {Problem.MISSING_CONTACT, Problem.MISSING_DATE}
    assert made.recid == "1001"


def test_every_value_stays_the_string_that_it_was() -> None:
    made = _only(row(1, recid="0077", type="NA", nexus_export_date="NULL", display_name="1e5"))
    assert (made.recid, made.type_text, made.nexus_export_date, made.display_name) == ("0077", "NA", "NULL", "1e5")


def test_rows_of_the_wrong_width_are_kept_with_their_raw_text_and_are_not_linked() -> None:
    short, long = row(2)[:5], [*row(3), "more"]
    made = normalised(export_of(row(1), short, long, row(4)))
    assert [read.problems[:1] for read in made] == [(), (Problem.MISSING_CELLS,), (Problem.EXTRA_CELLS,), ()]
    assert [_may_be_linked(read) for read in made] == [True, False, False, True]
    assert made[1].raw == ",".join(short)
    assert made[1].file_name == "IMG_2.jpg"
    assert made[2].recid == "1003"


def test_every_row_is_named_once_and_a_row_of_the_wrong_width_by_its_number() -> None:
    """Its recid may be another photograph's: it neither takes the name nor makes it ambiguous."""
    one, other, unknown = row(1), row(2), row(3, recid="", image_id="")
    made = normalised(export_of([*one, "more"], one, [*one, "more"], other, other, unknown))
    names = [read.photo for read in made]
    assert names == ["row 1", "recid 1001", "row 3", "recid 1002", "recid 1002 (2)", "row 6"]
    assert Problem.DUPLICATE_RECID not in made[1].problems


def test_a_quoted_cell_that_holds_whole_rows_is_flagged() -> None:
    lines = [",".join(cells) for cells in [list(HEADINGS), *rows(6)]]
    # Two marks that fit each other by chance: rows 2 to 4 make one row of the right width.
    lines[2] = lines[2].replace("10/15", '"10/15')
    lines[4] = lines[4].replace("/2016,", '/2016",')
    made = normalised(opened("\r\n".join(lines).encode()))
    assert [read.row_number for read in made if Problem.SWALLOWED_LINES in read.problems] == [2]
    assert not _may_be_linked(made[1])
    assert all(str(number) in made[1].raw for number in (1002, 1003, 1004))


def test_a_mark_within_a_quoted_cell_that_is_not_doubled_is_read_as_text() -> None:
    lines = [",".join(f'"{cell}"' for cell in cells) for cells in rows(3)]
    lines[1] = lines[1].replace("Dorsal", 'a 5" lift')
    made = normalised(opened("\r".join(lines).encode()))
    assert made[1].type_text == 'a 5" lift'
    assert Problem.BROKEN_QUOTING in made[1].problems
    assert _may_be_linked(made[1])


def test_a_truncated_file_flags_its_last_row() -> None:
    data = write([list(HEADINGS), *rows(3)], Dialect(), quote_all=True)
    made = normalised(opened(data[:-40]))
    assert [bool(read.problems) for read in made] == [False, False, True]
    assert not _may_be_linked(made[2])


# 16. The file changes while it is read.


def test_a_file_that_changes_between_two_passes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(write([list(HEADINGS), *rows(3)], Dialect()))
    export = read(path)
    survey(export)
    with path.open("ab") as file:
        file.write(write([row(4)], Dialect()))
    with pytest.raises(ExportError, match="changed while it was read"):
        normalised(export)
    path.unlink()
    with pytest.raises(ExportError, match="cannot be opened"):
        normalised(export)


# What the others need.


def test_every_problem_and_caution_has_a_meaning_and_a_remedy() -> None:
    for known in (*Problem, *Caution):
        assert known.meaning
        assert known.remedy
        assert not known.remedy.endswith(".")


def test_values_for_copy_are_in_the_order_of_the_columns() -> None:
    made = _only(row(1, type="", date="1/2/2016"))
    values = dict(zip(COPY_COLUMNS, copy_values(made), strict=True))
    assert values["problems"] == ["missing_type"]
    assert values["taken_on"] == date(2016, 1, 2)
    assert values["raw"] == made.raw
    assert COPY_COLUMNS[-1] == "problems"


def test_an_export_says_what_it_is() -> None:
    data = write([list(HEADINGS), *rows(2)], Dialect())
    export = opened(data)
    assert export.size == len(data)
    assert len(export.sha256) == 64
    assert dataclasses.asdict(export.dialect)["format"] == "csv"
