"""The page docs/desktop-export.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from fm_migration.filemaker.desktop.manifest import COLUMNS
from fm_migration.filemaker.desktop.states import State

PAGE = (Path(__file__).parents[3] / "docs/desktop-export.md").read_text("utf-8")


def test_the_table_of_states_is_that_of_the_code() -> None:
    expected = "| state | | what it means | what to do |\n|---|---|---|---|\n" + "".join(
        f"| `{state.value}` | {state.kind.value} | {state.meaning[0].upper()}{state.meaning[1:]} | {state.remedy} |\n"
        for state in State
    )
    found = re.search(r"<!-- states: .*?-->\n\n(.*?)\n?<!-- end -->", PAGE, re.DOTALL)
    assert found
    assert found[1] == expected, f"put this into docs/desktop-export.md:\n{expected}"


def test_the_columns_of_the_manifest_are_on_the_page() -> None:
    assert f"`{' '.join(COLUMNS)}`" in PAGE


def test_the_page_says_that_the_script_was_never_run_in_filemaker() -> None:
    assert "never run in FileMaker" in PAGE
