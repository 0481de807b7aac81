"""When the intake will be finished, by how it has gone so far."""

from __future__ import annotations

from datetime import date

from fm_migration.intake.forecasting import forecast
from fm_migration.ledger.transfers import Day

TODAY = date(2025, 3, 12)


def test_the_last_days_say_how_fast_it_goes() -> None:
    days = [Day(date(2025, 3, 10), photographs=100), Day(date(2025, 3, 11)), Day(TODAY, photographs=300)]
    seen = forecast(days, here=400, left=1_000, mean_bytes=2e6, today=TODAY)
    assert (seen.a_day, seen.finished, seen.left_bytes) == (200, date(2025, 3, 17), 2_000_000_000)
    assert seen.points == (
        (date(2025, 3, 10), 100, False),
        (TODAY, 400, False),
        (TODAY, 400, True),
        (date(2025, 3, 17), 1_400, True),
    )
    assert "1,000 photographs are left, about 2.00 GB; at 200 a day they are here on 17 Mar 2025" in seen.words


def test_a_schedule_says_it_better() -> None:
    seen = forecast([Day(TODAY, photographs=5)], here=5, left=1_001, mean_bytes=0, today=TODAY, every_six_hours=250)
    assert seen.finished == date(2025, 3, 14)


def test_before_anything_has_come_nothing_is_claimed() -> None:
    seen = forecast([], here=0, left=10, mean_bytes=0, today=TODAY)
    assert seen.finished is None
    assert "nothing has come yet" in seen.words


def test_nothing_left_is_finished() -> None:
    assert forecast([], here=3, left=0, mean_bytes=0, today=TODAY).finished == TODAY
