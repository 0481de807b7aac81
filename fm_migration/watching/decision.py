"""What every decision of a sensor comes to, and the reasons to wait that they share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fm_migration.watching.backoff import Failures

#: Who writes without a pause is not waited for longer than this.
LONGEST_WAIT = timedelta(minutes=15)
#: What changes the galleries for the first time is a person's to start.
FIRST_IMPORT = "nothing was imported yet: run import_photographs first"
RUN_IS_ACTIVE = "a run that writes links is in progress"


@dataclass(frozen=True)
class Decision:
    """Start a run or not, and why."""

    start: bool
    reason: str


def wait(reason: str) -> Decision:
    return Decision(False, reason)


def is_being_written(newest: datetime | None, first: datetime | None, now: datetime, settle: timedelta) -> bool:
    """Whether somebody is still writing, as far as the newest change tells, and may go on for now."""
    if newest is None or now - newest >= settle:
        return False
    return first is None or now - first < LONGEST_WAIT


def start_unless_waiting(reason: str, now: datetime, *, run_is_active: bool, tried: Failures | None) -> Decision:
    """Start for this reason, unless a run is in progress, or earlier ones changed nothing and it is too soon."""
    if run_is_active:
        return wait(f"{reason}; {RUN_IS_ACTIVE}")
    if tried is not None and now < tried.pause_ends():
        return wait(f"{reason}; {tried.count} runs for it have changed nothing, see the last one. {tried.next_try()}")
    return Decision(True, reason)
