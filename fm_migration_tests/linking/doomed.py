"""A process that applies a plan and stops after one of the steps, to be killed there.

It is split off a process that has imported everything, which saves the seconds of a start. The steps are found by
wrapping the functions that do them, so that the code under test knows nothing of it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from fm_migration import database
from fm_migration.clinic import contract
from fm_migration.linking import applying, consuming
from fm_migration.plans import applying as plans_applying
from fm_migration.plans import life, locks, written

#: After which call of which function the apply is at a step, in the order of the steps.
STEPS: dict[str, tuple[ModuleType, str, int]] = {
    "locked": (locks, "lock", 1),
    "verified": (contract, "verify", 1),
    "batches made": (plans_applying, "_do", 1),
    "images made": (plans_applying, "_do", 2),
    "recognised": (plans_applying, "_do", 3),
    "images changed": (plans_applying, "_do", 4),
    "batches changed": (plans_applying, "_do", 5),
    "what was written remembered": (written, "remember", 1),
    "counted": (plans_applying, "_derive", 1),
    "marked": (life, "mark_applied", 1),
    "noted what was consumed": (consuming, "consume", 1),
}
#: Beside them: when all is done and nothing committed.
ABOUT_TO_COMMIT = "about to commit"


def stopping(step: str, stop: Callable[[Any], object]) -> tuple[ModuleType, str, Callable[..., Any]]:
    """What to put in the place of the step's function: it does its work, and the so-manieth time calls `stop`."""
    owner, name, number = STEPS[step]
    original, calls = getattr(owner, name), itertools.count(1)

    def wrapped(connection: Any, *arguments: Any, **options: Any) -> Any:
        result = original(connection, *arguments, **options)
        if next(calls) == number:
            stop(connection)
        return result

    return owner, name, wrapped


@contextmanager
def doomed(url: str, plan: int, step: str) -> Iterator[BaseProcess]:
    """A process that has come to the step of its apply. It ends with the block, if nobody killed it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_apply, args=(url, plan, step, sending))
    process.start()
    sending.close()
    try:
        assert receiving.recv() == "here"
        yield process
    finally:
        receiving.close()
        process.kill()
        process.join()


def _apply(url: str, plan: int, step: str, sending: Connection) -> None:
    def wait_for_the_end(_connection: object) -> None:
        sending.send("here")
        time.sleep(3600)

    if step != ABOUT_TO_COMMIT:
        setattr(*stopping(step, wait_for_the_end))
    with database.open_engine(url).begin() as connection:
        applying.apply_plan(connection, plan)
        wait_for_the_end(connection)
