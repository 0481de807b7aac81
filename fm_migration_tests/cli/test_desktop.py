"""The commands of the desktop export at a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.script import Names, as_text, as_xml
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.desktop_exports import DesktopExport, picture
from fm_migration_tests.filemaker.desktop.writing import OTHER, PATIENT, path_of
from fm_migration_tests.places import use_places


def test_the_script_is_printed_as_it_is() -> None:
    """A line that is broken to the terminal's width, or a bracket taken for markup, would spoil it."""
    assert CliRunner().invoke(app, ["filemaker-script"]).stdout == as_text(Names())
    assert CliRunner().invoke(app, ["filemaker-script", "--format", "xml"]).stdout == as_xml(Names())


def test_the_script_is_made_for_the_users_own_names(tmp_path: Path) -> None:
    file = tmp_path / "script.xml"
    options = [
        "--format",
        "xml",
        "--layout",
        "Fotos",
        "--table",
        "Bilder",
        "--container",
        "groß",
        "--container",
        "klein",
    ]
    made = CliRunner().invoke(app, ["filemaker-script", *options, "--date", "Tag", "--output", str(file)])
    assert made.exit_code == 0
    assert file.read_text(encoding="utf-8") == as_xml(
        Names(layout="Fotos", table="Bilder", containers=("groß", "klein"), date="Tag")
    )


def test_a_script_that_was_altered_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "script.xml"
    file.write_text(as_xml(Names()), encoding="utf-8")
    assert CliRunner().invoke(app, ["filemaker-script", "--check", str(file)]).exit_code == 0
    file.write_text(as_xml(Names()).replace("End Loop", "Loop End"), encoding="utf-8")
    checked = CliRunner().invoke(app, ["filemaker-script", "--check", str(file)])
    assert checked.exit_code == 1
    assert "the step of id 73 is 'End Loop', not 'Loop End'" in checked.stdout


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket) -> DesktopExport:
    use_places(monkeypatch, clinic_database, bucket, Path())
    monkeypatch.setenv("FM_EXPORT", "")
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
    return DesktopExport(tmp_path)


def test_an_export_is_brought_after_a_look_at_what_would_be_done(export: DesktopExport, bucket: Bucket) -> None:
    """Counts, states and remedies; no path, because the folders are patients' ids."""
    export.photograph(1000)
    export.photograph(1001, patient=OTHER)
    looked = CliRunner().invoke(app, ["desktop-export", str(export.root), "--dry-run"])
    assert (looked.exit_code, "2 photographs would be brought, 0 were there" in looked.stdout) == (0, True)
    assert bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"] == 0
    export.photograph(1002, b"")
    brought = CliRunner().invoke(app, ["desktop-export", str(export.root), "--workers", "2"])
    assert brought.exit_code == 1, "something was left"
    assert "2 photographs brought, 0 were there" in brought.stdout
    assert "3 records in the manifest, 2 photographs have the MD5 that FileMaker knows" in brought.stdout
    words = brought.stdout.split()
    assert {"taken", "empty", "manifest"} <= set(words)
    assert not any(patient.lower() in brought.output.lower() for patient in (PATIENT, OTHER))
    export.file(path_of(1002), picture(1002))
    again = CliRunner().invoke(app, ["desktop-export", str(export.root)])
    assert (again.exit_code, "1 photographs brought, 2 were there" in again.stdout) == (0, True)


def test_the_folder_is_a_setting_too(export: DesktopExport, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = CliRunner().invoke(app, ["desktop-export"])
    assert isinstance(refused.exception, SettingsError)
    assert "no folder was named" in str(refused.exception)
    export.file(f"{PATIENT}/2016-10-18/1.jpg", picture(1))
    monkeypatch.setenv("FM_DESKTOP_EXPORT", str(export.root))
    brought = CliRunner().invoke(app, ["desktop-export"])
    assert brought.exit_code == 0
    assert "There is no manifest: nothing proves" in brought.stdout
