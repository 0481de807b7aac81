"""What `fm-migration backfill` understands, before there is anything to hand to a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.errors import FmMigrationError
from fm_migration.thumbnails.months import months_meant

KNOWN = ["2016-10", "2016-12", "2017-03", "undated"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2016-10", ["2016-10"]),
        ("2016-10..2017-03", ["2016-10", "2016-12", "2017-03"]),
        ("2016-11..2017-02", ["2016-12"]),
        ("undated", ["undated"]),
        (" 2017-03 , 2016-10..2016-11,undated", ["2016-10", "2017-03", "undated"]),
    ],
)
def test_months_and_ranges_are_understood(text: str, meant: list[str]) -> None:
    assert months_meant(text, KNOWN) == meant


@pytest.mark.parametrize(
    "text", ["", "2016", "2016-13", "2016-10...2017-03", "2017-03..2016-10", "2016-10..undated", ","]
)
def test_what_is_no_month_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(FmMigrationError, match=r"Write --months 2016-10"):
        months_meant(text, KNOWN)


def test_a_month_without_photographs_is_named_with_those_that_have_some() -> None:
    with pytest.raises(FmMigrationError, match="there are some from 2016-10 to 2017-03"):
        months_meant("2031-01", KNOWN)


@pytest.mark.parametrize("words", [[], ["--all", "--missing"], ["--months", "2016-10", "--watch", "abc"]])
def test_one_wish_at_a_time(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(FmMigrationError, match="Give one of --months, --all, --missing, --watch and --cancel"):
        CliRunner().invoke(app, ["backfill", *words], catch_exceptions=False)
