"""When links follow: every reason to wait has its words, nobody waits for nothing, and a long wait is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.watching.backoff import LONGEST_PAUSE, Failures
from fm_migration.watching.healing import LONGEST_WAIT, HealingDecision, Patients, PatientsObservation, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=5)
ALERT_AFTER = timedelta(minutes=10)
#: Everybody was re-imported and is there.
CHANGED = Patients(fingerprint="new", consumed="old", known=100, known_present=100)


def _decide(
    patients: Patients, last: PatientsObservation | None = None, now: datetime = NOW, **given_: Any
) -> HealingDecision:
    options = {"run_is_active": False, "failures": None, "settle": SETTLE, "alert_after": ALERT_AFTER, **given_}
    return decide(patients, last, now, **options)


def _later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_changed_patients_who_are_all_there_start_a_run_at_once() -> None:
    assert _decide(CHANGED) == HealingDecision(
        True, "the patients have changed since the links were made", PatientsObservation("new", NOW, NOW)
    )


@pytest.mark.parametrize(
    ("patients", "options", "words"),
    [
        (replace(CHANGED, consumed=None), {}, "nothing was linked yet: run import_photographs first"),
        (replace(CHANGED, consumed="new"), {}, "the links were made from the patients as they are"),
        (replace(CHANGED, concerns_nobody=True), {}, "no link and no photograph waits for them"),
        (replace(CHANGED, known_present=60), {}, "40 of 100 known patients are missing; waiting until the table has"),
        (replace(CHANGED, known_present=0), {}, "100 of 100 known patients are missing"),
        (replace(CHANGED, known_present=99), {}, "not changed for 0:00:05, at most 0:01:00"),
        (CHANGED, {"run_is_active": True}, "a run that writes links is in progress"),
        (CHANGED, {"failures": Failures(1, NOW)}, "has failed 1 times for this state; the failed run says what to do"),
        (
            replace(CHANGED, consumed="new", undone_plan=7),
            {},
            "plan 7 has led the links to these patients, and a person",
        ),
    ],
)
def test_each_reason_to_wait_is_said(patients: Patients, options: dict[str, Any], words: str) -> None:
    decision = _decide(patients, **options)
    assert not decision.start
    assert words in decision.reason


# --- people are missing -----------------------------------------------------------------------------------------------


def test_a_table_with_people_missing_heals_once_it_stands_still() -> None:
    half = replace(CHANGED, known_present=50)
    first = _decide(half)
    assert not _decide(half, first.observation, _later(4)).start
    assert _decide(half, first.observation, _later(5)).start


def test_a_table_that_still_moves_starts_its_time_anew() -> None:
    first = _decide(replace(CHANGED, known_present=98))
    moved = _decide(replace(CHANGED, fingerprint="newer", known_present=99), first.observation, _later(6))
    assert not moved.start
    assert moved.observation == PatientsObservation("newer", since=_later(6), differs_since=NOW)


def test_a_table_that_never_stands_still_is_waited_for_a_minute() -> None:
    last: PatientsObservation | None = None
    starts: list[int] = []
    for second in range(0, 90, 2):
        moving = replace(CHANGED, fingerprint=f"state {second}", known_present=second)
        decision = _decide(moving, last, _later(second))
        last = decision.observation
        starts += [second] if decision.start else []
    assert starts[0] == LONGEST_WAIT.total_seconds() == 60


def test_a_reimport_that_is_never_finished_heals_who_is_back_and_is_quiet_then() -> None:
    """Whoever is missing is history after the run, so the next look finds nothing to do."""
    broken_off = replace(CHANGED, known_present=60)
    first = _decide(broken_off)
    assert _decide(broken_off, first.observation, _later(5)).start
    healed = Patients("new", consumed="new", known=100, known_present=60)
    after = _decide(healed, first.observation, _later(10))
    assert not after.start
    assert after.observation.differs_since is None


# --- what a person has undone -----------------------------------------------------------------------------------------


def test_a_healing_that_a_person_has_undone_is_not_well_and_says_what_starts_it_again() -> None:
    undone = Patients("same", consumed="same", undone_plan=7)
    decision = _decide(undone)
    assert not decision.start
    assert "a person has undone it" in decision.reason
    assert "when the patients change, or when somebody runs heal_links" in decision.reason


def test_what_is_undone_raises_no_alarm() -> None:
    undone = Patients("same", consumed="same", undone_plan=7)
    first = _decide(undone)
    assert not _decide(undone, first.observation, NOW + 10 * ALERT_AFTER).alarm


def test_after_an_undo_other_patients_are_followed() -> None:
    assert _decide(replace(CHANGED, undone_plan=7)).start


# --- a wait that takes long -------------------------------------------------------------------------------------------


def _alarms(patients: Patients, minutes: int, last: PatientsObservation | None = None, **options: Any) -> list[int]:
    """In which minutes a person is told, when a look is taken in each."""
    told = []
    for minute in range(minutes):
        decision = _decide(patients, last, NOW + timedelta(minutes=minute), **options)
        last = decision.observation
        told += [minute] if decision.alarm else []
    return told


def test_a_long_wait_is_told_once() -> None:
    assert _alarms(CHANGED, 120, run_is_active=True) == [10]


def test_a_wait_that_moves_is_one_wait() -> None:
    last: PatientsObservation | None = None
    told: list[int] = []
    for minute in range(60):
        moving = replace(CHANGED, fingerprint=f"state {minute}")
        decision = _decide(moving, last, NOW + timedelta(minutes=minute), run_is_active=True)
        last = decision.observation
        told += [minute] if decision.alarm else []
    assert told == [10]


def test_the_next_wait_is_told_too() -> None:
    told = NOW + ALERT_AFTER
    first = _decide(CHANGED, _decide(CHANGED, run_is_active=True).observation, told, run_is_active=True)
    assert first.alarm
    well = _decide(replace(CHANGED, consumed="new"), first.observation, told)
    assert not well.observation.alarmed
    assert _alarms(CHANGED, 30, well.observation, run_is_active=True) == [10]


@pytest.mark.parametrize(
    "patients",
    [
        pytest.param(replace(CHANGED, consumed=None), id="nothing was imported"),
        pytest.param(replace(CHANGED, consumed="new"), id="all is well"),
        pytest.param(replace(CHANGED, concerns_nobody=True), id="new patients"),
    ],
)
def test_where_nobody_waits_nobody_is_told(patients: Patients) -> None:
    assert _alarms(patients, 120) == []


def test_failures_are_waited_out_and_told() -> None:
    assert _alarms(CHANGED, 12, failures=Failures(50, NOW + timedelta(minutes=5))) == [10]


def test_a_run_that_is_started_raises_no_alarm() -> None:
    """Not even where it is late: the daemon was down all night, say."""
    last = PatientsObservation("new", NOW, differs_since=NOW - timedelta(hours=9))
    decision = _decide(CHANGED, last)
    assert (decision.start, decision.alarm) == (True, False)


# --- what is remembered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "observation",
    [
        PatientsObservation("f", NOW),
        PatientsObservation("f", NOW, _later(3)),
        PatientsObservation("f", NOW, _later(3), True),
    ],
)
def test_what_is_remembered_outlives_the_cursor(observation: PatientsObservation) -> None:
    assert PatientsObservation.from_dict(observation.as_dict()) == observation


def test_the_pause_doubles_and_ends() -> None:
    pauses = [Failures(count, NOW).pause_ends() - NOW for count in range(1, 12)]
    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)]
    assert pauses[-1] == LONGEST_PAUSE
    assert _decide(CHANGED, now=NOW + LONGEST_PAUSE, failures=Failures(11, NOW)).start


@given(
    present=st.integers(0, 100), failures=st.integers(0, 20), waited=st.integers(0, 100_000), busy=st.booleans()
)  # fmt: skip
def test_a_settled_difference_is_never_waited_for_in_vain(present: int, failures: int, waited: int, busy: bool) -> None:
    """Level-triggered: once the table stops changing and no run is in progress, healing starts, whoever is missing."""
    patients = replace(CHANGED, known_present=present)
    told = Failures(failures, NOW) if failures else None
    now = _later(waited)
    decision = _decide(patients, PatientsObservation("new", NOW, NOW), now, run_is_active=busy, failures=told)
    patient_enough = (present == 100 or waited >= 5) and (not failures or now >= NOW + LONGEST_PAUSE)
    if patient_enough and not busy:
        assert decision.start
    if busy or (present < 100 and waited < 5):
        assert not decision.start
