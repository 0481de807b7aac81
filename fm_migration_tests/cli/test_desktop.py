"""The commands of the desktop export at a terminal."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.filemaker.desktop.script import Names, as_text, as_xml


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
