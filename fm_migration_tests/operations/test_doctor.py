"""The doctor: all well on a good clinic; each thing that can be wrong gives one line with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.operations.doctor import Examination, examine
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.places import DUMP, EXPORT_HEAD, use_places


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "Image_dataV10.csv"
    path.write_text(EXPORT_HEAD, encoding="utf-8")
    return path


@pytest.fixture
def clinic(monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket, export: Path) -> str:
    """A clinic on which nothing is wrong; the URL of its database."""
    bucket.put(f"{DUMP}1000.jpg")
    use_places(monkeypatch, clinic_database, bucket, export)
    return clinic_database


def _examine() -> dict[str, Examination]:
    return {finding.check: finding for finding in examine()}


def _sick(findings: dict[str, Examination]) -> list[str]:
    return [name for name, finding in findings.items() if not finding.well]


def test_nothing_is_wrong_with_a_good_clinic(clinic: str) -> None:
    findings = _examine()
    assert _sick(findings) == []
    assert list(findings) == [
        "python",
        "settings",
        "database",
        "clock of the database",
        "rights",
        "locks",
        "contract",
        "our schema",
        "bucket",
        "clock of the object store",
        "dump",
        "writing under our own prefixes",
        "export",
    ]


def test_its_own_trace_in_the_bucket_is_removed(clinic: str, bucket: Bucket) -> None:
    _examine()
    keys = [item["Key"] for item in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
    assert keys == [f"{DUMP}1000.jpg"]


def test_a_changed_table_of_the_clinic_is_named(clinic: str) -> None:
    with psycopg.connect(clinic) as connection:
        connection.execute("alter table images_batch rename column object_id to owner_id")
    finding = _examine()["contract"]
    assert not finding.well
    assert "images_batch" in finding.said
    assert "object_id" in finding.said
    assert finding.remedy


def test_a_missing_schema_of_ours_is_named_with_the_command(clinic: str) -> None:
    with psycopg.connect(clinic) as connection:
        connection.execute("drop schema fm_migration cascade")
    assert _examine()["our schema"].remedy == "Run `fm-migration db upgrade`"


def test_an_unreachable_database_does_not_hide_the_rest(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DATABASE_URL", "postgresql://clinic:secret@127.0.0.1:9/app")
    findings = _examine()
    assert _sick(findings) == ["database"]
    assert "FM_DATABASE_URL" in findings["database"].remedy
    assert "bucket" in findings


def test_a_missing_bucket_is_named(clinic: str, monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> None:
    monkeypatch.setenv("FM_OBJECTS_URL", bucket.url.replace(bucket.name, "nobody-made-this"))
    findings = _examine()
    assert _sick(findings) == ["bucket"]
    assert "nobody-made-this" in findings["bucket"].said
    assert "FM_OBJECTS_URL" in findings["bucket"].remedy


def test_an_empty_dump_is_named(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DUMP_PREFIXES", "elsewhere/")
    assert _examine()["dump"].remedy.startswith("Correct FM_DUMP_PREFIXES")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "no file there ends in .csv"),
    ],
)
def test_an_export_that_is_not_there_is_named(
    clinic: str, export: Path, prepare: Callable[[Path], object], said: str
) -> None:
    prepare(export)
    finding = _examine()["export"]
    assert not finding.well
    assert said in finding.said


def test_a_real_database_is_never_mixed_with_the_sample_bucket(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FM_OBJECTS_URL")
    findings = _examine()
    assert list(findings) == ["python", "settings"]
    assert findings["settings"].remedy.startswith("Set both")


def test_the_command_exits_1_and_prints_json_when_asked(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    well = CliRunner().invoke(app, ["doctor", "--json"])
    assert well.exit_code == 0
    assert {finding["well"] for finding in json.loads(well.stdout)} == {True}
    monkeypatch.setenv("FM_DUMP_PREFIXES", "elsewhere/")
    sick = CliRunner().invoke(app, ["doctor"])
    assert sick.exit_code == 1
    assert "✗ dump: " in sick.stdout
    assert "→ Correct FM_DUMP_PREFIXES" in sick.stdout


def test_no_credential_is_printed(clinic: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_DATABASE_URL", "postgresql://clinic:hunter2@127.0.0.1:9/app")
    printed = CliRunner().invoke(app, ["doctor", "--json"]).stdout
    assert "hunter2" not in printed
    assert bucket.secret_key not in printed
