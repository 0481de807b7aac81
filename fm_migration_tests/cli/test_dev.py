"""Every way to open the UI works from a clone, on the places that the settings name, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fm_migration.embedded.ports import free_port
from fm_migration.embedded.processes import end_child
from fm_migration_tests.conftest import SampleClinic
from fm_migration_tests.places import use_places
from fm_migration_tests.terminal import listen_to_ctrl_c
from fm_migration_tests.waiting import PATIENCE_SECONDS, STOP_SECONDS

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
QUERY = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename ... on RepositoryLocation { repositories { assetNodes { assetKey { path } } } } } } } } }"""


def _ask(port: int) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": QUERY}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answered: dict[str, Any] = json.load(answer)
    return answered


def _loaded_assets(port: int, process: subprocess.Popen[bytes]) -> tuple[str, set[str]]:
    """The name of the one location and its assets, once the UI answers and the location is loaded."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            (entry,) = _ask(port)["data"]["workspaceOrError"]["locationEntries"]
            loaded = entry["locationOrLoadError"]
        except (OSError, ValueError, KeyError):
            loaded = None
        if loaded is not None:
            assert loaded["__typename"] == "RepositoryLocation"
            nodes = [node for repository in loaded["repositories"] for node in repository["assetNodes"]]
            return entry["name"], {"/".join(node["assetKey"]["path"]) for node in nodes}
        time.sleep(0.3)
    raise AssertionError("the UI did not answer in time")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        # The browser's first day starts and ends this one too, which starts the next one.
        pytest.param([str(BIN / "fm-migration"), "dev", "--port"], marks=pytest.mark.long),
        pytest.param([str(BIN / "dg"), "dev", "--port"], marks=pytest.mark.long),
        [str(BIN / "dagster"), "dev", "-w", "workspace.yaml", "--port"],
    ],
    ids=["fm-migration dev", "dg dev", "dagster dev -w workspace.yaml"],
)
def test_the_ui_opens_and_ends(
    command: list[str], make_sample: Callable[[str], SampleClinic], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sample = make_sample("fresh")
    use_places(monkeypatch, sample.database_url, sample.bucket, sample.export)
    home = tmp_path / "dagster home"
    home.mkdir()
    (home / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
    port = free_port()
    environment = {**os.environ, "DAGSTER_HOME": str(home), "FM_HOME": str(tmp_path / "fm")}
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=listen_to_ctrl_c,
    )
    try:
        name, assets = _loaded_assets(port, process)
        assert name == "fm_migration.definitions"
        assert {"filemaker_export", "csv_metadata", "link_plan", "image_batches"} <= assets
    finally:
        process.send_signal(signal.SIGINT if "fm-migration" not in command[0] else signal.SIGTERM)
        try:
            # Without this it would not be known that it heeds the signal.
            process.wait(PATIENCE_SECONDS)
        finally:
            end_child(process, signal.SIGKILL, STOP_SECONDS, whole_session=True)
