"""A real Dagster: daemon, code server and run workers as processes of their own, on a home of their own.

For tests and for `bench/healing.py`. The home has the project's dagster.yaml, so that is under test too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import InstigatorStatus

from fm_migration.embedded import object_server
from fm_migration.embedded.processes import end_child
from fm_migration.embedded.stack import Stack
from fm_migration.settings import settings
from fm_migration_tests.e2e.runs import LOCATION
from fm_migration_tests.terminal import listen_to_ctrl_c

PROJECT = Path(__file__).parents[2]
SENSOR = "patients_reimported"
#: Names the file that `slow_definitions` reads; without a file there is no delay.
DELAY_FILE = "HEALING_TESTS_DELAY_FILE"
STOP_SECONDS = 60
#: A run may wait for its turn behind other work of a busy machine, so this is long; nothing waits for all of it.
PATIENCE_SECONDS = 900


def environment_for(stack: Stack, database_url: str, bucket: str, export: Path) -> dict[str, str]:
    """The FM_* variables that point a process at this database, this bucket and this export."""
    return {
        "FM_HOME": str(stack.layout.home),
        "FM_DATABASE_URL": database_url,
        "FM_OBJECTS_URL": f"s3://{bucket}?endpoint={object_server.url(stack.objects_port)}&region={object_server.REGION}",
        "FM_OBJECTS_ACCESS_KEY": stack.access_key,
        "FM_OBJECTS_SECRET_KEY": stack.secret_key,
        "FM_EXPORT": str(export),
        # Thumbnails do not depend on who owns them, and their runs would only take the processor from the healing.
        "FM_THUMBNAIL_RUNS": "0",
    }


def wait_for(what: str, happened: Callable[[], bool], seconds: float = PATIENCE_SECONDS, every: float = 0.1) -> float:
    """Look until it has happened; how long that took."""
    started = time.monotonic()
    while not happened():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"after {seconds} s still not so: {what}")
        time.sleep(every)
    return time.monotonic() - started


class Dagster:
    """One instance with its daemon, which can be started and stopped again and again."""

    def __init__(
        self, home: Path, environment: Mapping[str, str], dagster_yaml: Path = PROJECT / "dagster.yaml"
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._delay = home / "delay"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("FM_", "DAGSTER_"))}
        self.environment = {**ours, **environment, "DAGSTER_HOME": str(home), DELAY_FILE: str(self._delay)}
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copyfile(dagster_yaml, home / "dagster.yaml")
        location = {
            "module_name": "fm_migration_tests.e2e.slow_definitions",
            "location_name": LOCATION,
            "working_directory": str(PROJECT),
        }
        self._workspace = home / "workspace.yaml"
        self._workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": location}]}), "utf-8")
        # Made by one process before others open it: SQLite storages that several make at once can be spoilt.
        with self.instance() as instance:
            instance.get_runs_count()

    @contextlib.contextmanager
    def as_its_own(self) -> Iterator[None]:
        """This process has the instance's variables for a while, as its own processes have them."""
        ours = {name: value for name, value in self.environment.items() if name.startswith(("FM_", "DAGSTER_"))}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            settings.cache_clear()
            yield
        settings.cache_clear()

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with self.as_its_own(), dg.DagsterInstance.get() as instance:
            yield instance

    def slow_down(self, seconds: float) -> None:
        """Healing runs wait so long between reading and writing, from the next one on."""
        self._delay.write_text(str(seconds), "utf-8")

    def start(self) -> None:
        """Start the daemon; it brings its code server along."""
        with (self.home / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program("dagster-daemon"), "run", "-w", str(self._workspace)],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that nothing it has started can stay behind.
                start_new_session=True,
                preexec_fn=listen_to_ctrl_c,
            )

    def stop(self) -> None:
        """Stop the daemon as a person does, with Ctrl-C, and see that its children are gone too."""
        if self._process is None:
            return
        process, self._process = self._process, None
        # The code server lets a run that is under way come to its end, so its end may follow the daemon's by a while.
        end_child(process, signal.SIGINT, STOP_SECONDS, whole_session=True)

    def log(self) -> str:
        """What the daemon has printed."""
        return (self.home / "daemon.log").read_text("utf-8", errors="replace")

    def command(self, *words: str, folder: Path | None = None) -> str:
        """Run a command of Dagster's or of ours on this instance, and return what it printed."""
        program, *arguments = words
        finished = subprocess.run(
            [self._program(program), *arguments],
            cwd=folder or self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(f"{' '.join(words)} failed:\n{finished.stdout}{finished.stderr}")
        return finished.stdout

    def launch(self, job: str) -> None:
        """Queue a job, for the daemon to run."""
        self.command("dagster", "job", "launch", "-w", str(self._workspace), "-j", job)

    def switch_sensor(self, *, on: bool) -> None:
        """Start or stop the sensor of re-imports, as the switch in the UI does."""
        status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
        with self.instance() as instance:
            (state,) = [state for state in instance.all_instigator_state() if state.instigator_name == SENSOR]
            instance.update_instigator_state(state.with_status(status))

    def runs(self, *statuses: dg.DagsterRunStatus) -> Sequence[dg.DagsterRun]:
        """The runs in these states, the newest first; all of them when none is named."""
        with self.instance() as instance:
            return instance.get_runs(dg.RunsFilter(statuses=list(statuses)) if statuses else None)

    def healings(self, *statuses: dg.DagsterRunStatus) -> Sequence[dg.DagsterRun]:
        """Those of them that write links, whoever has asked for them."""
        links = dg.AssetKey("image_batches")
        return [
            run
            for run in self.runs(*statuses)
            if run.job_name == "heal_links" or links in (run.asset_selection or frozenset())
        ]

    def ticks(self, since: float) -> Sequence[str]:
        """What the sensor has said in the ticks that began after this moment; nothing where it started a run."""
        with self.instance() as instance:
            states = [state for state in instance.all_instigator_state() if state.instigator_name == SENSOR]
            return [
                tick.skip_reason or ""
                for state in states
                for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
                if tick.is_completed
            ]

    def wait_until_idle(self) -> None:
        """Wait until no run is in progress."""
        active_runs = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
        wait_for("no run is in progress", lambda: not self.runs(*active_runs), every=1)

    @staticmethod
    def _program(name: str) -> str:
        return str(Path(sys.executable).parent / name)


_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
