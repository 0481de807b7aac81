"""Which months to make thumbnails of next. Pure: what is pending in, a choice with its words out.

State, not events: a month is chosen because it has something to do now, whoever missed the moment it came up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from fm_migration.thumbnails.thumbnailing import MonthPending
from fm_migration.watching.backoff import Failures


@dataclass(frozen=True)
class Chosen:
    """The months to start a run for, and in words why those or none."""

    months: tuple[MonthPending, ...]
    reason: str


def choose(
    pending: Sequence[MonthPending],
    active_runs: Collection[str],
    runs: int,
    most: int,
    tried: Callable[[MonthPending], Failures | None],
    now: datetime,
) -> Chosen:
    """At most as many months as keep `most` runs in progress; `runs` are already, for the months `under_way`.

    `tried` reports runs that have ended and left the very same work behind: those months pause, the longer the more
    often it happened.
    """
    if not pending:
        return Chosen((), "every thumbnail is current")
    photographs = sum(one.pending for one in pending)
    open_months = [one for one in newest_first(pending) if one.month not in active_runs]
    free = most - runs
    chosen: list[MonthPending] = []
    pausing = 0
    for one in open_months:
        if len(chosen) >= free:
            break
        tries = tried(one)
        if tries is not None and now < tries.pause_ends():
            pausing += 1
        else:
            chosen.append(one)
    reason = f"{photographs:,} photographs of {len(pending):,} months have no current thumbnail"
    if chosen:
        return Chosen(tuple(chosen), reason)
    if most == 0:
        return Chosen((), f"{reason}; FM_THUMBNAIL_RUNS is 0, so a person starts the runs")
    if free <= 0:
        return Chosen((), f"{reason}; {runs} runs are in progress")
    if not open_months:
        return Chosen((), f"{reason}; runs or a backfill for all of these are in progress")
    return Chosen((), f"{reason}; {pausing} months pause, because their last runs have changed nothing")


def newest_first(pending: Sequence[MonthPending]) -> list[MonthPending]:
    """The photographs that are looked at most come first; those without a date last."""
    return sorted(pending, key=lambda one: (one.month != "undated", one.month), reverse=True)
