"""When to start a run for a new export, for new objects, for what the queue has told: the pure part of the sensors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.ledger.inbox import Waiting
from fm_migration.watching import exports, inbox, objects
from fm_migration.watching.backoff import LONGEST_PAUSE, Failures, Observation, observe
from fm_migration.watching.decision import LONGEST_WAIT, Decision, is_being_written
from fm_migration.watching.exports import ExportState
from fm_migration.watching.inbox import Drained, cheaper_to_look_up
from fm_migration.watching.objects import BucketDifference, ScanResult

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=30)
DIFFERENCE = BucketDifference(2, 1, 0, NOW - timedelta(minutes=5), "2-0a")


def test_what_is_seen_again_was_so_since_the_first_look() -> None:
    first = observe(None, "a", NOW)
    assert observe(first, "a", NOW + SETTLE) == first
    assert observe(first, "b", NOW + SETTLE) == Observation("b", NOW + SETTLE)
    assert Observation.from_dict(first.as_dict()) == first
    assert not first.is_stable(NOW + timedelta(seconds=29), SETTLE)
    assert first.is_stable(NOW + SETTLE, SETTLE)


# --- a new export -----------------------------------------------------------------------------------------------------


def _judge_export(
    export: ExportState, content: str = "new", tried: Failures | None = None, unfinished: Failures | None = None
) -> exports.Judged:
    return exports.judge(
        export,
        NOW,
        settle=SETTLE,
        run_is_active=False,
        content=lambda: content,
        tried=lambda _: tried,
        unfinished=lambda _: unfinished,
    )


def test_a_file_is_hashed_only_once_it_has_stood_still() -> None:
    moving = ExportState(Observation("mark", NOW - timedelta(seconds=1)), None, "old")
    assert _judge_export(moving, content="never asked").sha256 is None
    still = ExportState(Observation("mark", NOW - SETTLE), None, "old")
    assert _judge_export(still) == exports.Judged(Decision(True, "the export is not the one that was read last"), "new")


def test_a_hash_that_is_known_is_not_made_again() -> None:
    def never() -> str:
        raise AssertionError("the file was read for nothing")

    known = ExportState(Observation("mark", NOW), "old", "old")
    judged = exports.judge(
        known,
        NOW,
        settle=SETTLE,
        run_is_active=False,
        content=never,
        tried=lambda _: None,
        unfinished=lambda _: None,
    )
    assert judged.decision.reason == exports.IN_SYNC


@given(
    count=st.integers(0, 20),
    waited=st.integers(0, 7200),
    still=st.integers(0, 120),
    last=st.sampled_from(["old", "new"]),
)
def test_an_export_that_was_not_read_is_never_waited_for_in_vain(
    count: int, waited: int, still: int, last: str
) -> None:
    tried = Failures(count, NOW - timedelta(seconds=waited)) if count else None
    judged = _judge_export(ExportState(Observation("mark", NOW - timedelta(seconds=still)), None, last), tried=tried)
    patient_enough = still >= 30 and (not count or timedelta(seconds=waited) >= LONGEST_PAUSE)
    if last == "old" and patient_enough:
        assert judged.decision.start
    if last == "new" or still < 30:
        assert not judged.decision.start
    assert judged.decision.reason


# --- new objects ------------------------------------------------------------------------------------------------------


def _judge_objects(found: ScanResult, **changes: object) -> Decision:
    given_by_default = {"settle": SETTLE, "run_is_active": False, "tried": None, "unfinished": None}
    return objects.judge(found, NOW, **{**given_by_default, **changes})  # type: ignore[arg-type]


def test_a_difference_says_what_it_is() -> None:
    verdict = _judge_objects(ScanResult(DIFFERENCE.summary, DIFFERENCE, NOW))
    assert verdict == Decision(True, "2 new, 1 changed and 0 vanished objects")


@pytest.mark.parametrize(
    ("seconds_ago", "first_seen", "busy"),
    [(0, 0, True), (29, 60, True), (30, 60, False), (0, 899, True), (0, 900, False), (-3600, 0, True)],
)
def test_who_still_writes_is_waited_for_but_not_for_ever(seconds_ago: int, first_seen: int, busy: bool) -> None:
    """The last is a store whose clock is an hour ahead."""
    newest, first = NOW - timedelta(seconds=seconds_ago), NOW - timedelta(seconds=first_seen)
    assert is_being_written(newest, first, NOW, SETTLE) is busy
    assert timedelta(seconds=900) == LONGEST_WAIT


def test_a_difference_that_is_ingested_by_an_active_run_starts_no_second() -> None:
    found = ScanResult(DIFFERENCE.summary, DIFFERENCE, NOW)
    assert "in progress" in _judge_objects(found, run_is_active=True).reason
    assert "3 runs for it" in _judge_objects(found, tried=Failures(3, NOW)).reason
    assert _judge_objects(found, tried=Failures(3, NOW - LONGEST_PAUSE)).start


def test_a_run_that_failed_behind_the_reading_is_repeated_though_nothing_differs() -> None:
    in_sync = ScanResult("the inventory is as the bucket: 7 objects")
    assert _judge_objects(in_sync) == Decision(False, in_sync.summary)
    assert not _judge_objects(in_sync, unfinished=Failures(1, NOW)).start
    assert _judge_objects(in_sync, unfinished=Failures(1, NOW - LONGEST_PAUSE)).start


# --- what the queue has told ------------------------------------------------------------------------------------------


@given(events=st.integers(0, 5), age=st.integers(0, 2000), count=st.integers(0, 5), busy=st.booleans())
def test_what_waits_in_the_inbox_is_never_waited_for_in_vain(events: int, age: int, count: int, busy: bool) -> None:
    when = NOW - timedelta(seconds=age) if events else None
    verdict = inbox.judge(
        Drained(),
        Waiting(events, events, when, when, "f"),
        NOW,
        settle=SETTLE,
        run_is_active=busy,
        tried=Failures(count, NOW - LONGEST_PAUSE) if count else None,
        unfinished=None,
    )
    assert verdict.start is (events > 0 and age >= 30 and not busy)


@pytest.mark.parametrize(("keys", "known", "look_up"), [(1, 6_490, True), (7, 6_490, False), (900, 1_000_000, True)])
def test_a_few_objects_of_a_large_bucket_are_looked_up(keys: int, known: int, look_up: bool) -> None:
    assert cheaper_to_look_up(keys, known) is look_up
