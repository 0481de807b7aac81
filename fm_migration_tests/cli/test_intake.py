"""The commands of the intake, as a person types them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.intake.bringing import SOURCE
from fm_migration.ledger import transfers
from fm_migration.settings import settings
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings
from fm_migration_tests.places import use_filemaker, use_places


@pytest.fixture
def filemaker(
    engine: Engine, clinic_database: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FileMakerServer]:
    with FileMakerServer(ServerSettings(records=6, dead_share=0.2)) as server:
        use_places(monkeypatch, clinic_database, bucket, tmp_path / "none.csv")
        use_filemaker(monkeypatch, server)
        monkeypatch.setenv("FM_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
        (tmp_path / "dagster").mkdir()
        yield server
    settings.cache_clear()


def _say(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_photographs_are_brought_and_told_one_by_one(filemaker: FileMakerServer) -> None:
    told = _say("intake")
    alive = [row for row in filemaker.truth() if row["dead"] is None]
    assert f"{len(alive)} photographs of" in told
    assert all(f"recid {row['recid']}: {row['container']} arrived, {row['bytes']:,} bytes" in told for row in alive)
    assert "nothing is left to bring" in told
    assert "arrived" in _say("intake", "--status")
    assert filemaker.report()["sessions_left"] == 0


def test_a_dry_run_says_how_many_there_are(filemaker: FileMakerServer) -> None:
    assert "photographs would be fetched" in _say("intake", "--dry-run")


def test_a_person_pauses_paces_and_resumes(filemaker: FileMakerServer, engine: Engine) -> None:
    assert "is paused" in _say("intake", "--pause")
    assert "a person has paused the intake" in _say("intake")
    assert "is paused; pace: 30 photographs a minute" in _say("intake", "--set", "--pace", "30")
    assert "is not paused" in _say("intake", "--resume")
    assert "as its configuration says" in _say("intake", "--set", "--pace", "0")
    with engine.connect() as connection:
        assert transfers.read_pace(connection, SOURCE) == transfers.Pace()


def test_the_ways_are_compared_with_what_that_assumes(filemaker: FileMakerServer) -> None:
    told = _say("plan-intake", "--photographs", "6664", "--mean-megabytes", "1.8", "--pace", "12")
    for words in ("slow and steady", "scheduled", "desktop export", "OData", "Assumed:", "6,664 photographs of 1.8 MB"):
        assert words in told
