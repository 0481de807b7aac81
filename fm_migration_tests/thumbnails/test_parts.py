"""The pure parts: what is read ahead, how progress is told, which months come next, and the verdict on a file."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.images.outcome import Made, NotAnImage, Outcome, Partial, RefusalReason, Unreadable
from fm_migration.thumbnails.judging import ThumbnailDecision, judge
from fm_migration.thumbnails.progress import Progress, every, format_duration
from fm_migration.thumbnails.thumbnailing import MonthPending, Pending
from fm_migration.watching.backoff import LONGEST_PAUSE, Failures
from fm_migration.watching.thumbnails import choose, newest_first
from fm_migration_tests.waiting import PATIENCE_SECONDS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = "thumbnails/aa-bb/old.jpg"


# --- reading ahead ----------------------------------------------------------------------------------------------------


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_says_rate_and_time_left() -> None:
    assert Progress(250, 1000, 10.0).message == "250 of 1,000 photographs, 25.0 a second, 30 s left"
    assert Progress(0, 1000, 10.0).message == "0 of 1,000 photographs, 0.0 a second"
    assert Progress(0, 0, 0.0).seconds_left is None


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (99, "99 s"), (720, "12 min"), (11_100, "3 h 05 min")])
def test_times_are_for_people(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


def test_the_clock_ticks_while_nothing_else_happens_and_stops_with_the_block() -> None:
    ticks: list[int] = []
    with every(0.01, lambda: ticks.append(1)):
        ends = time.monotonic() + PATIENCE_SECONDS
        while len(ticks) < 3 and time.monotonic() < ends:
            time.sleep(0.01)
    assert len(ticks) >= 3
    after = len(ticks)
    time.sleep(0.05)
    assert len(ticks) == after


# --- which months -----------------------------------------------------------------------------------------------------

MONTHS = [MonthPending("2019-05", 3, "v"), MonthPending("2024-11", 5, "v"), MonthPending("undated", 1, "v")]


def _never(_: MonthPending) -> Failures | None:
    return None


def test_the_newest_months_come_first_and_the_undated_last() -> None:
    assert [one.month for one in newest_first(MONTHS)] == ["2024-11", "2019-05", "undated"]


def test_each_reason_to_wait_is_said() -> None:
    assert choose([], (), 0, 1, _never, NOW).reason == "every thumbnail is current"
    busy = choose(MONTHS, {"2024-11"}, 1, 1, _never, NOW)
    assert busy.months == ()
    assert "9 photographs of 3 months" in busy.reason
    assert "1 runs are in progress" in busy.reason
    assert "FM_THUMBNAIL_RUNS is 0" in choose(MONTHS, (), 0, 0, _never, NOW).reason
    paused = choose(MONTHS, (), 0, 3, lambda _: Failures(1, NOW), NOW)
    assert paused.months == ()
    assert "3 months pause" in paused.reason


@given(
    pending=st.sets(st.sampled_from(["undated", *(f"20{year}-06" for year in range(10, 30))])),
    active_runs=st.sets(st.sampled_from(["undated", *(f"20{year}-06" for year in range(10, 30))]), max_size=4),
    most=st.integers(1, 5),
    tries=st.integers(0, 12),
    waited=st.integers(0, 10_000),
)
def test_never_too_many_never_twice_and_never_waited_for_in_vain(
    pending: Collection[str], active_runs: Collection[str], most: int, tries: int, waited: int
) -> None:
    months = [MonthPending(month, 1, "v") for month in sorted(pending)]
    told = Failures(tries, NOW) if tries else None
    now = NOW + timedelta(seconds=waited)
    choice = choose(months, active_runs, len(active_runs), most, lambda _: told, now)
    chosen = {one.month for one in choice.months}
    assert len(chosen) == len(choice.months) <= max(0, most - len(active_runs))
    assert chosen <= set(pending) - set(active_runs)
    patient_enough = not tries or now >= NOW + LONGEST_PAUSE
    if set(pending) - set(active_runs) and len(active_runs) < most and patient_enough:
        assert chosen
    assert choice.reason


# --- the verdict ------------------------------------------------------------------------------------------------------

MADE = Made(
    thumbnail=b"small", format="JPEG", mime="image/jpeg", extension="jpg", thumbnail_width=225, thumbnail_height=300,
    width=3024, height=4032, original_mime="image/heic", original_sha256="ab", orientation=5, has_metadata=True,
    mean_colour="#808080", perceptual_hash="0",
)  # fmt: skip


def _pending(
    present: str = "", ours: str | None = None, *, changed: bool = False, theirs: str | None = None
) -> Pending:
    return Pending(uuid.uuid4(), "dump/1.heic", present, "etag", 9, "Left", ours, changed, theirs)


def _judge(pending: Pending, outcome: Outcome, adopted: int | None = None, *, side: bool = True) -> ThumbnailDecision:
    return judge(
        pending,
        "etag",
        outcome,
        adopted_size=adopted,
        recipe_hash="r",
        prefix="thumbnails/",
        names_a_side=side,
    )


def test_a_thumbnail_is_uploaded_and_named_in_the_row() -> None:
    verdict = _judge(_pending(), MADE)
    assert verdict.upload == b"small"
    after = verdict.finished.after
    assert after["s3_thumbnail_key"] == verdict.finished.key
    assert (after["thumbnail_size"], after["width"], after["height"]) == (5, 3024, 4032)
    assert after["mime_type"] == "image/heic"
    assert verdict.finished.mirrored_side
    assert not _judge(_pending(), MADE, side=False).finished.mirrored_side


def test_an_adopted_one_is_not_uploaded() -> None:
    verdict = _judge(_pending(theirs="dump/1_thumb.jpg"), MADE, 99)
    assert verdict.upload is None
    assert verdict.finished.state == "adopted"
    assert verdict.finished.after["s3_thumbnail_key"] == "dump/1_thumb.jpg"
    assert verdict.finished.after["thumbnail_size"] == 99


def test_a_part_says_how_much() -> None:
    part = Partial(**{name: getattr(MADE, name) for name in Made.__slots__}, recognisable=0.62)
    assert _judge(_pending(), part).finished.state == "partial"
    assert _judge(_pending(), part).finished.reason == "62% of the picture can be seen"


@pytest.mark.parametrize(
    "outcome", [Unreadable(RefusalReason.DAMAGED, "image/jpeg", "ab"), NotAnImage("text/html", "ab")]
)
def test_without_a_thumbnail_the_row_stays_unless_it_shows_another_picture(outcome: Outcome) -> None:
    assert _judge(_pending(), outcome).finished.after == {}
    kept = _judge(_pending(OURS, OURS), outcome).finished
    assert (kept.after, kept.key) == ({}, OURS)
    theirs = _judge(_pending("dump/1_thumb.jpg", None, changed=True), outcome).finished
    assert theirs.after == {}
    wrong = _judge(_pending(OURS, OURS, changed=True), outcome).finished
    assert (wrong.after["s3_thumbnail_key"], wrong.key) == ("", None)
