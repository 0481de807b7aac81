"""Whether there is an export that was not read yet. Pure.

A file is told by what costs nothing to ask (name, size, time, ETag), and its content is hashed only when that is new
and has stopped changing: somebody may still be writing it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fm_migration.watching.backoff import Failures, Observation
from fm_migration.watching.decision import FIRST_IMPORT, Decision, start_unless_waiting, wait

IN_SYNC = "the export is the one that was read last"


@dataclass(frozen=True)
class ExportState:
    """The export that is there: since when it looks so, its hash as far as it is known, and the one read last."""

    seen: Observation
    sha256: str | None
    last_read: str | None
    #: Whether photographs were ever linked: reading an export, or planning, is not importing it.
    imported: bool = True


@dataclass(frozen=True)
class Judged:
    """The verdict, and the hash for the next look."""

    decision: Decision
    sha256: str | None


def judge(
    export: ExportState,
    now: datetime,
    *,
    settle: timedelta,
    run_is_active: bool,
    content: Callable[[], str],
    tried: Callable[[str], Failures | None],
    unfinished: Callable[[str], Failures | None],
) -> Judged:
    """Whether to import now.

    `content` hashes the export. `tried` reports runs for an export with this hash that have ended, `unfinished` of
    those at the end of which it had failed.
    """
    if not export.imported:
        return Judged(wait(FIRST_IMPORT), export.sha256)
    if export.sha256 is None and not export.seen.is_stable(now, settle):
        return Judged(wait(f"the export looks new; waiting until it has not changed for {settle}"), None)
    sha256 = export.sha256 or content()
    if sha256 != export.last_read:
        reason = "the export is not the one that was read last"
        return Judged(start_unless_waiting(reason, now, run_is_active=run_is_active, tried=tried(sha256)), sha256)
    failed = unfinished(sha256)
    if failed is None:
        return Judged(wait(IN_SYNC), sha256)
    reason = "the export was read, and the run failed behind that"
    return Judged(start_unless_waiting(reason, now, run_is_active=run_is_active, tried=failed), sha256)
