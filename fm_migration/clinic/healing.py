"""When to heal: whether the patients have changed since the links were made, and whether the change is over.

Pure: the state of the world in, a decision with its words out. State, not events: a tick that never came costs time
and nothing else, because the next one compares the same two states.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fm_migration.patience import Failures, Seen, look


@dataclass(frozen=True)
class World:
    """The patients as they are, and the state of them that the links were last made from."""

    fingerprint: str
    consumed: str | None
    known: int
    known_present: int

    @property
    def missing(self) -> int:
        return self.known - self.known_present


@dataclass(frozen=True)
class Decision:
    """Start a run or not, why in words, and what to remember until the next look."""

    start: bool
    words: str
    seen: Seen


def decide(
    world: World,
    last: Seen | None,
    now: datetime,
    *,
    run_on_its_way: bool,
    failures: Failures | None,
    settle: timedelta,
    tolerated_missing: float,
) -> Decision:
    """Whether to start a healing run now."""
    seen = look(last, world.fingerprint, now)
    words = _reason_to_wait(world, seen, now, run_on_its_way, failures, settle, tolerated_missing)
    if words is not None:
        return Decision(False, words, seen)
    return Decision(True, "the patients have changed since the links were made", seen)


def _reason_to_wait(
    world: World,
    seen: Seen,
    now: datetime,
    run_on_its_way: bool,
    failures: Failures | None,
    settle: timedelta,
    tolerated_missing: float,
) -> str | None:
    if world.consumed is None:
        return "nothing was linked yet: run import_photographs first"
    if world.fingerprint == world.consumed:
        return "the links were made from the patients as they are"
    if world.missing > world.known * tolerated_missing:
        return (
            f"a re-import is under way: {world.known_present:,} of {world.known:,} known patients are there. If the "
            "others were really removed, materialize patient_map with accept_missing: true"
        )
    # With every known patient back, the re-import is done; with a few missing, only standing still tells.
    if world.missing and not seen.stood_still(now, settle):
        return f"{world.missing:,} known patients are missing; waiting until the table has stood still for {settle}"
    if run_on_its_way:
        return "a run that writes links is on its way"
    if failures is not None and now < failures.pause_ends():
        return (
            f"healing has failed {failures.count} times for this state; the failed run says what to do. "
            f"{failures.next_try()}"
        )
    return None
