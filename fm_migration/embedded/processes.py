"""Whether a process lives, and its end: asked for, waited for with a grace, then made.

In a container whose first process collects no dead children, a killed process stays in the process table as a
zombie. psutil counts it as running and waits for it without effect; here it counts as gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

POLL_SECONDS = 0.05


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_gone(process: psutil.Process, seconds: float) -> bool:
    """True when the process has ended within the time."""
    deadline = time.monotonic() + seconds
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(process: psutil.Process, signum: signal.Signals, seconds: float) -> None:
    """Ask a process to end, and insist when it has not after the time."""
    try:
        process.send_signal(signum)
        if not wait_gone(process, seconds):
            process.kill()
            wait_gone(process, seconds)
    except psutil.NoSuchProcess:
        return


def end_child(
    child: subprocess.Popen[Any], signum: signal.Signals, seconds: float, *, whole_session: bool = False
) -> None:
    """The same for a child of this process; with all that it has started, where it was given a session of its own.

    How long an end takes, and with which code, is not a reason to fail: a busy machine decides that.
    """
    if child.poll() is None:
        child.send_signal(signum)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    if whole_session:
        _end_session(child.pid, seconds)
    if child.poll() is None:
        child.kill()
        child.wait()


def working_in(folder: Path) -> list[psutil.Process]:
    """The living processes whose present folder this is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if is_alive(process) and Path(process.cwd()) == folder:
                found.append(process)
    return found


def in_session(session: int) -> list[psutil.Process]:
    """The living processes of a session, whose number is that of the process it began with."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session and is_alive(process):
                found.append(process)
    return found


def _end_session(session: int, seconds: float) -> None:
    """What the first process has started may still be at its end: it gets the same grace."""
    deadline = time.monotonic() + seconds
    while (left := in_session(session)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
