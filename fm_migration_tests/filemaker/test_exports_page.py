"""The page docs/exports.md says what the code does: its tables are the code's, and its examples work."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from fm_migration.filemaker.columns import FIELDS, built_in_profiles, load_profiles
from fm_migration.filemaker.problems import Caution, Problem
from fm_migration.filemaker.reading import read
from fm_migration.filemaker.rows import Row, normalise, survey
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration.filemaker.types import load_types
from fm_migration.sources.export_file import ENDINGS

PAGE = (Path(__file__).parents[2] / "docs/exports.md").read_text("utf-8")


def table(name: str) -> str:
    """The lines of the table under the comment of this name, without its head."""
    found = re.search(rf"<!-- {name}: .*?-->\n\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found, f"docs/exports.md has lost its comment {name}"
    return "".join(found[1].splitlines(keepends=True)[2:])


def example(title: str) -> str:
    found = re.search(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/exports.md has lost its example {title}"
    return found[1]


def lines(cells: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in cells)


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def test_the_table_of_problems_is_that_of_the_code() -> None:
    expected = lines(
        (f"`{problem}`", sentence(problem.meaning), problem.remedy, "not linked" if problem.blocks_linking else "")
        for problem in Problem
    )
    assert table("problems") == expected, f"put this into docs/exports.md:\n{expected}"


def test_the_table_of_cautions_is_that_of_the_code() -> None:
    expected = lines((f"`{caution}`", sentence(caution.meaning), caution.remedy) for caution in Caution)
    assert table("cautions") == expected, f"put this into docs/exports.md:\n{expected}"


def test_all_endings_fields_and_column_sets_are_on_the_page() -> None:
    assert [ending for ending in ENDINGS if f"`{ending}`" not in PAGE] == []
    assert [field for field in FIELDS if f"`{field}`" not in PAGE] == []
    profiles = built_in_profiles()
    assert [known.name for known in profiles.profiles if f"`{profiles.described(known)}`" not in PAGE] == []


@pytest.fixture
def columns_file(tmp_path: Path) -> Path:
    path = tmp_path / "columns.toml"
    path.write_text(example("columns.toml"), "utf-8")
    return path


def rows_of(name: str, columns: Path) -> tuple[str, list[Row]]:
    """The profile and the rows of an example file, read with the example of columns."""
    export = read(io.BytesIO(example(name).encode()), ReadOptions(profiles=load_profiles(columns)), name)
    chunks = normalise(export, survey(export), date(2026, 3, 1))
    return export.layout.profile, [row for chunk in chunks for row in chunk]


def test_the_example_of_headings_reads_the_file_beside_it(columns_file: Path) -> None:
    profile, (row,) = rows_of("with-header.csv", columns_file)
    assert (profile, row.recid, row.taken_on, row.category) == ("photographs", "0077", date(2016, 10, 18), "dorsal")
    assert (row.contact, row.problems) == ("5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c11", ())


def test_the_example_of_a_profile_reads_the_file_beside_it(columns_file: Path) -> None:
    profile, rows = rows_of("without-header.csv", columns_file)
    assert profile == "german"
    assert [(row.recid, row.type_text, row.note, row.problems) for row in rows] == [
        ("0077", "Dorsal", "", ()),
        ("0078", "Plantar", "after fitting", ()),
    ]


def test_the_example_of_types_classifies_as_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "types.csv"
    path.write_text(example("types.csv"), "utf-8")
    types = load_types(path)
    promised = re.findall(r"^\| `(.*?)` \| `(.*?)` \|(?: (left|right) )?\s*\|$", PAGE, re.MULTILINE)
    assert len(promised) == 9
    found = [(text, types.classify(text)) for text, *_ in promised]
    assert [(text, kind.category, kind.side or "") for text, kind in found] == promised
