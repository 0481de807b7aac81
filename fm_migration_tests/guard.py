"""Ends a test run when it is told to, and leaves nothing of it running: a process around pytest.

pytest alone can promise neither. Dagster sets handlers of its own for SIGINT and SIGTERM while it executes a run, so a
test run that was told to end went on to the next test, once for 25 minutes. And what tests start, daemons, servers and
their helpers, lives in sessions of its own, or has lost the process that started it. So pytest runs in a child, and
the process whose number people and make know only waits for it, hears signals, and ends all of its descendants.

Belongs here: signals, descendants, and the temporary folder of a run. Does not belong here: anything about tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil

from fm_migration.embedded.processes import is_alive

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What pytest gets to put its things away when it is told to end, and then what each of the others gets.
PYTEST_SECONDS = 2.5
OTHERS_SECONDS = 2.5
#: After a run that has come to its end by itself, the servers stop by themselves, on a busy machine slowly.
SERVERS_SECONDS = 10.0
_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class _ToldToEnd(BaseException):
    def __init__(self, signum: int) -> None:
        self.signum = signum


def stand_guard() -> None:
    """Go on in a child, with a temporary folder of its own; this process stays behind as its guard."""
    folder = Path(tempfile.mkdtemp(prefix="tests-of-fm_migration-"))
    # Root's PostgreSQL runs as another user, who has to pass through to its place.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)
    if "MAKELEVEL" in os.environ:
        # Where make needs a shell between itself and us, its SIGTERM ends that shell and comes no further.
        _control_process(_PR_SET_PDEATHSIG, signal.SIGTERM)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = os.fork()
    if child != 0:
        _guard(child, folder)
    _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What a shell starts in the background has SIGINT ignored. Dagster gives SIGTERM whatever SIGINT has, and then all
    # that the tests start would ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _use_as_temporary_folder(folder)


def _use_as_temporary_folder(folder: Path) -> None:
    # The folders of the tests stay where people look for them after a failure.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _control_process(option: int, value: int) -> None:
    """Linux only: orphans become children of this process; or, this process ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _guard(child: int, folder: Path) -> NoReturn:
    for signum in SIGNALS:
        # What a shell or nohup has let us ignore stays ignored.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _tell)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        status = _wait_for(child)
    except _ToldToEnd as told:
        status = told.signum
        _hear_nothing_more()
        # Ctrl-C comes from the terminal to the child as well, and a second one would disturb its tidying up.
        if told.signum != signal.SIGINT:
            os.kill(child, signal.SIGINT)
        _wait_until_gone(lambda: _lives(child), PYTEST_SECONDS)
    else:
        _hear_nothing_more()
        _wait_until_gone(_descendants, SERVERS_SECONDS)
    _end_descendants()
    shutil.rmtree(folder, ignore_errors=True)
    _end_as(status)


def _tell(signum: int, _: object) -> None:
    raise _ToldToEnd(signum)


def _hear_nothing_more() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _wait_for(child: int) -> int:
    """The child's wait status. Orphans of the run, which are ours by now, are collected by the way."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            return status


def _wait_until_gone(left: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while left() and time.monotonic() < deadline:
        _collect()
        time.sleep(_POLL_SECONDS)


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and is_alive(psutil.Process(pid))


def _collect() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _descendants() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if is_alive(process)]


def _end_descendants() -> None:
    """Ask all of them, so that servers stop properly; then kill, until those that are just being born are gone too."""
    _signal_all(signal.SIGTERM)
    _wait_until_gone(_descendants, OTHERS_SECONDS)
    while _descendants():
        _signal_all(signal.SIGKILL)
        _wait_until_gone(_descendants, OTHERS_SECONDS)
    _collect()


def _signal_all(signum: signal.Signals) -> None:
    for process in _descendants():
        with contextlib.suppress(psutil.Error):
            process.send_signal(signum)


def _end_as(status: int) -> NoReturn:
    """End as the child has, or by the signal that we were told with; for whoever waits it makes no difference."""
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
