"""A test that never ends and heeds no signal, for `test_guard.py` to end. pytest finds it only when it is named.

It is in the middle of a run of Dagster's, which catches interrupts; servers run beside it; and what it has started has
a session of its own and ignores signals.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import dagster as dg

from fm_migration.embedded.stack import Stack

#: Names the folder in which each process that has come to the middle of its run leaves a file.
ARRIVALS = "ENDLESS_TEST_ARRIVALS"


@dg.op
def wait_for_ever() -> None:
    stubborn = subprocess.Popen(["sh", "-c", "trap '' INT TERM HUP; while :; do sleep 1; done"], start_new_session=True)
    Path(os.environ[ARRIVALS], str(stubborn.pid)).touch()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)


@dg.job
def endless() -> None:
    wait_for_ever()


def test_it_never_ends(servers: Stack) -> None:
    endless.execute_in_process()
