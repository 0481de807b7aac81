"""Calling again what has failed for a passing reason.

Belongs here: the one loop around a call, with growing pauses. Does not belong here: which failures pass (the errors say
so themselves), and how patient somebody may be (each caller).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from fm_migration.errors import FmMigrationError

_Answer = TypeVar("_Answer")


def is_transient(error: Exception) -> bool:
    """Whether an error of ours says that it may go away by itself."""
    return isinstance(error, FmMigrationError) and error.transient


def retry(
    call: Callable[[], _Answer],
    *,
    attempts: int,
    first_wait: float,
    longest_wait: float,
    jitter: float = 1.0,
    on: Callable[[Exception], bool | float] = is_transient,
) -> _Answer:
    """What the call returns, or the error of its last attempt.

    `on` may answer with a number: the pause in seconds that the other side has asked for.
    """
    caller = stamina.RetryingCaller(
        attempts=attempts, timeout=None, wait_initial=first_wait, wait_max=longest_wait, wait_jitter=jitter
    )
    return caller(on, call)
