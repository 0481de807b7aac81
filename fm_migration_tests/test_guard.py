"""A test run ends within ten seconds of being told to, however it is told, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fm_migration.embedded.processes import end_child, is_alive
from fm_migration_tests import endless
from fm_migration_tests.terminal import listen_to_ctrl_c
from fm_migration_tests.waiting import PATIENCE_SECONDS, STOP_SECONDS

PROJECT = Path(__file__).parents[1]
ENDLESS = "fm_migration_tests/endless.py"
MARK = "GUARD_TEST_MARK"
PROMISED_SECONDS = 10


Start = Callable[[list[str]], "Run"]


class Run:
    """A test run in a process of its own, as from a terminal, and everything that it has started."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._arrivals, self._mark = folder / "arrivals", uuid.uuid4().hex
        self._arrivals.mkdir()
        self._temporary = folder / "temporary"
        self._temporary.mkdir(mode=0o711)
        outside = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTEST_DEBUG_TEMPROOT", "PYTEST_ADDOPTS"}
        ours = {n: v for n, v in os.environ.items() if n not in outside and not n.startswith("PYTEST_XDIST")}
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**ours, MARK: self._mark, endless.ARRIVALS: str(self._arrivals), "TMPDIR": str(self._temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=listen_to_ctrl_c,
            )

    def wait_until_in_the_middle(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(self._arrivals.iterdir()):
            assert self.process.poll() is None, self.output.read_text("utf-8")
            assert time.monotonic() < deadline, self.output.read_text("utf-8")
            time.sleep(0.1)

    def processes(self) -> list[psutil.Process]:
        """Known by a variable that they inherit, so that those without parents count too."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if is_alive(process) and process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def left_in_the_temporary_folder(self) -> list[str]:
        return [path.name for path in self._temporary.iterdir() if not path.name.startswith("pytest-of-")]


@pytest.fixture
def start(reachable: Path) -> Iterator[Start]:
    started: list[Run] = []

    def begin(command: list[str]) -> Run:
        started.append(Run(command, reachable))
        return started[-1]

    yield begin
    for run in started:
        for process in run.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        end_child(run.process, signal.SIGKILL, STOP_SECONDS)


MAKE = ["make", "test", "TEST_WORKERS=1", f"ARGS={ENDLESS}"]
PYTEST = [sys.executable, "-m", "pytest", ENDLESS, "-n"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "signum", "whole_group"),
    [
        pytest.param(MAKE, signal.SIGINT, True, id="Ctrl-C in the terminal"),
        pytest.param(MAKE, signal.SIGTERM, False, id="SIGTERM to make"),
        pytest.param([*PYTEST, "1"], signal.SIGTERM, False, id="SIGTERM to pytest", marks=pytest.mark.long),
        pytest.param(
            [*PYTEST, "0"], signal.SIGTERM, False, id="SIGTERM to pytest without workers", marks=pytest.mark.long
        ),
    ],
)
def test_a_run_ends_in_the_middle_of_everything(
    start: Start, command: list[str], signum: signal.Signals, whole_group: bool
) -> None:
    run = start(command)
    run.wait_until_in_the_middle()
    # make or the guard, pytest, a worker or none, the keeper, two servers with helpers, a stubborn shell.
    assert len(run.processes()) >= 7
    told = time.monotonic()
    (os.killpg if whole_group else os.kill)(run.process.pid, signum)
    run.process.wait(PATIENCE_SECONDS)
    took = time.monotonic() - told
    assert run.processes() == []
    assert run.process.returncode != 0
    assert run.left_in_the_temporary_folder() == []
    assert took < PROMISED_SECONDS


@pytest.mark.slow
def test_what_a_run_has_left_running_goes_with_a_shell_of_make_too(start: Start) -> None:
    """`make coverage` needs a shell around pytest, which a SIGTERM to make ends without a word to pytest."""
    shell = ["sh", "-c", f"trap : EXIT; {sys.executable} -m pytest -n 0 {ENDLESS}; true"]
    run = start(["env", "MAKELEVEL=1", *shell])
    run.wait_until_in_the_middle()
    told = time.monotonic()
    run.process.terminate()
    run.process.wait(PATIENCE_SECONDS)
    while run.processes():
        assert time.monotonic() - told < PROMISED_SECONDS, run.processes()
        time.sleep(0.1)


#: A run that leaves two processes behind, one of them without its parent; neither heeds any signal but SIGKILL.
LEAVING = """
import subprocess, sys
from fm_migration_tests import guard
guard.SERVERS_SECONDS = guard.OTHERS_SECONDS = 0.5
guard.stand_guard()
stubborn = "trap '' TERM; sleep 300 & sleep 300"
print(subprocess.Popen(["sh", "-c", stubborn], start_new_session=True).pid, flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_test_leaves_running_is_ended_and_the_result_stays(start: Start, code: int) -> None:
    run = start([sys.executable, "-c", LEAVING, str(code)])
    assert run.process.wait(PATIENCE_SECONDS) == code, run.output.read_text("utf-8")
    assert int(run.output.read_text("utf-8")) > 0
    assert run.processes() == []
    assert run.left_in_the_temporary_folder() == []


#: A run in which Dagster has executed something, and which then starts a program.
EXECUTING = """
import subprocess, sys
import dagster as dg
from fm_migration_tests.guard import stand_guard
stand_guard()
dg.materialize([dg.asset(lambda: None, name="nothing")])
sys.exit(subprocess.run(["sh", "-c", "kill -TERM $$; exit 0"]).returncode == 0)
"""


def test_what_a_run_in_the_background_starts_heeds_sigterm(start: Start) -> None:
    run = start(["sh", "-c", f"trap '' INT; exec {sys.executable} -c '{EXECUTING}'"])
    assert run.process.wait(PATIENCE_SECONDS) == 0, run.output.read_text("utf-8")


def test_a_run_that_crashes_is_seen_to_have_crashed(start: Start) -> None:
    crashing = "import os; from fm_migration_tests.guard import stand_guard; stand_guard(); os.kill(os.getpid(), 11)"
    run = start([sys.executable, "-c", crashing])
    assert run.process.wait(PATIENCE_SECONDS) == -signal.SIGSEGV
