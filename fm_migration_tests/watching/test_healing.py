"""When to heal: every reason to wait has its words, and no state is waited for in vain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fm_migration.clinic.healing import Decision, World, decide
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.patience import LONGEST_PAUSE, Failures, Seen

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANGED = World(fingerprint="new", consumed="old", known=100, known_present=100)
SETTLE = timedelta(seconds=5)


def _decide(world: World, last: Seen | None = None, now: datetime = NOW, **given_: Any) -> Decision:
    options = {"run_on_its_way": False, "failures": None, "settle": SETTLE, "tolerated_missing": 0.02, **given_}
    return decide(world, last, now, **options)


def test_changed_patients_who_are_all_there_start_a_run_at_once() -> None:
    assert _decide(CHANGED).start


@pytest.mark.parametrize(
    ("world", "options", "words"),
    [
        (replace(CHANGED, consumed=None), {}, "run import_photographs first"),
        (replace(CHANGED, consumed="new"), {}, "as they are"),
        (replace(CHANGED, known_present=60), {}, "60 of 100 known patients are there"),
        (replace(CHANGED, known_present=0), {}, "a re-import is under way"),
        (replace(CHANGED, known_present=99), {}, "waiting until the table has stood still"),
        (CHANGED, {"run_on_its_way": True}, "on its way"),
        (CHANGED, {"failures": Failures(1, NOW)}, "has failed 1 times"),
    ],
)
def test_each_reason_to_wait_is_said(world: World, options: dict[str, Any], words: str) -> None:
    decision = _decide(world, **options)
    assert not decision.start
    assert words in decision.words


def test_a_table_with_a_few_missing_heals_once_it_stands_still() -> None:
    world = replace(CHANGED, known_present=99)
    first = _decide(world)
    assert not _decide(world, first.seen, NOW + timedelta(seconds=4)).start
    assert _decide(world, first.seen, NOW + timedelta(seconds=5)).start


def test_a_table_that_still_moves_starts_its_time_anew() -> None:
    moving = replace(CHANGED, known_present=98)
    first = _decide(moving)
    later = _decide(replace(CHANGED, fingerprint="newer", known_present=99), first.seen, NOW + timedelta(seconds=6))
    assert not later.start
    assert later.seen.since == NOW + timedelta(seconds=6)


def test_the_pause_doubles_and_ends() -> None:
    pauses = [Failures(count, NOW).pause_ends() - NOW for count in range(1, 12)]
    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)]
    assert pauses[-1] == LONGEST_PAUSE
    assert _decide(CHANGED, now=NOW + LONGEST_PAUSE, failures=Failures(11, NOW)).start


@given(
    present=st.integers(0, 100), failures=st.integers(0, 20), waited=st.integers(0, 100_000), busy=st.booleans()
)  # fmt: skip
def test_a_settled_difference_is_never_waited_for_in_vain(present: int, failures: int, waited: int, busy: bool) -> None:
    """Level-triggered: once the people are back, the table stands still and no run is on its way, healing starts."""
    world = replace(CHANGED, known_present=present)
    told = Failures(failures, NOW) if failures else None
    now = NOW + timedelta(seconds=waited)
    decision = _decide(world, Seen("new", NOW), now, run_on_its_way=busy, failures=told)
    patient_enough = waited >= 5 and (not failures or now >= NOW + LONGEST_PAUSE)
    if present >= 98 and patient_enough and not busy:
        assert decision.start
    if present < 98 or busy:
        assert not decision.start
