"""Whatever is ended is gone afterwards, and how it ended is nobody's failure."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from fm_migration.embedded.processes import end_child, in_session, is_alive
from fm_migration_tests.waiting import PATIENCE_SECONDS

#: Says that it is ready, because a signal that comes before the trap is set would end it.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


#: Not in sh, which cannot trap what the process that starts it ignores.
TIDY = """
import signal, sys, time
def tidy_up(*_):
    time.sleep(0.3)
    sys.exit(7)
signal.signal(signal.SIGTERM, tidy_up)
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


def _start(*command: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_child_that_does_not_heed_the_signal_is_killed_after_the_grace() -> None:
    with _start("sh", "-c", STUBBORN) as child:
        end_child(child, signal.SIGTERM, 0.2)
        assert child.returncode == -signal.SIGKILL
        end_child(child, signal.SIGTERM, 0.2)  # a second time, as a teardown after a failed test does


def test_a_child_gets_its_grace() -> None:
    with _start(sys.executable, "-c", TIDY) as child:
        end_child(child, signal.SIGTERM, PATIENCE_SECONDS)
        assert child.returncode == 7


@pytest.mark.parametrize("leader", ["wait", "exit"], ids=["the first lives", "the first has ended"])
def test_what_the_child_has_started_goes_with_its_session(leader: str) -> None:
    with _start("sh", "-c", f"({STUBBORN}) & {leader}") as child:
        started = in_session(child.pid)
        assert started
        end_child(child, signal.SIGTERM, 0.2, whole_session=True)
        _wait_until_gone(started)
        assert child.returncode is not None


def _wait_until_gone(started: list[psutil.Process]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(is_alive(process) for process in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)
