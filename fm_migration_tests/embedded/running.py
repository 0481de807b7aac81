"""What runs on behalf of an FM_HOME, and its end.

Root's PostgreSQL runs out of a place of its own, so its processes are known by that one too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil

from fm_migration.embedded import processes, server_place
from fm_migration.embedded.state import StackLayout, read_state
from fm_migration_tests.waiting import PATIENCE_SECONDS, STOP_SECONDS


def processes_in(home: Path) -> list[psutil.Process]:
    link = StackLayout(home).postgres_data
    folders = [str(home), *([str(link.readlink())] if link.is_symlink() else [])]
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if not processes.is_alive(process):
                continue
            in_command = any(folder in part for folder in folders for part in process.cmdline())
            in_environment = process.environ().get("S3_DATA_DIR", "").startswith(str(home))
            if (in_command or in_environment) and process.pid != os.getpid():
                found.append(process)
    return found


def wait_until_nobody_runs(home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while processes_in(home):
        assert time.monotonic() < deadline, [process.cmdline() for process in processes_in(home)]
        time.sleep(0.1)


def clear_away(home: Path) -> None:
    """End whatever runs there, however long it would have taken, and remove what root's server has stored."""
    state = read_state(StackLayout(home))
    if state is not None:
        with contextlib.suppress(psutil.Error):
            state.keeper.process().terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while (left := processes_in(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        processes.end(process, signal.SIGKILL, STOP_SECONDS)
    server_place.remove(StackLayout(home).postgres_data)
