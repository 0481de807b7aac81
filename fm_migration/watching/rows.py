"""Whether an intake has brought rows that were not read yet. Pure.

An intake may take hours and brings rows all the time: they are read when none has come for a while, and at the latest
after a quarter of an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fm_migration.ledger.transfers import Unread
from fm_migration.watching.backoff import Failures
from fm_migration.watching.decision import FIRST_IMPORT, Decision, is_being_written, start_unless_waiting, wait


def judge(
    unread: Unread,
    now: datetime,
    *,
    imported: bool,
    settle: timedelta,
    run_is_active: bool,
    tried: Failures | None,
) -> Decision:
    """Whether to read them now."""
    if not unread.rows:
        return wait("no row has come that was not read")
    words = f"{unread.rows:,} rows have come that were not read"
    if not imported:
        return wait(f"{words}; {FIRST_IMPORT}")
    if is_being_written(unread.newest, unread.first, now, settle):
        return wait(f"{words}; waiting until none has come for {settle}")
    return start_unless_waiting(words, now, run_is_active=run_is_active, tried=tried)
