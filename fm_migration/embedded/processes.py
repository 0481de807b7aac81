"""Whether a process lives, and waiting for its end.

In a container whose first process collects no dead children, a killed process stays in the process table as a
zombie. psutil counts it as running and waits for it in vain; here it counts as gone.
"""

from __future__ import annotations

import signal
import time

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
