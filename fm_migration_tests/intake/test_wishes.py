"""What a person wants of a run, and what a run does about it while it is under way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from fm_migration.errors import SettingsError
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.intake.bringing import SOURCE, Outcome, PhotographOutcome
from fm_migration.intake.wishes import Ending, QuietHours, Wishes, counted, tries_needed
from fm_migration.ledger import transfers
from fm_migration_tests.filemaker_server import FileMakerServer

Start = Callable[..., FileMakerServer]
Bring = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("text", "quiet", "loud"),
    [
        ("7:30-19", "12:00", "19:00"),
        ("22-6:15", "23:59", "6:15"),
        ("22-6:15", "0:00", "12:00"),
        ("0-23:59", "0:00", "23:59"),
    ],
)
def test_quiet_hours_may_span_midnight(text: str, quiet: str, loud: str) -> None:
    hours = QuietHours.parse(text)
    assert hours is not None
    assert hours.hold(datetime.strptime(quiet, "%H:%M"))  # noqa: DTZ007  a time of day
    assert not hours.hold(datetime.strptime(loud, "%H:%M"))  # noqa: DTZ007


@pytest.mark.parametrize("text", ["seven to nine", "25-3", "7:61-8", "7"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="quiet_hours"):
        QuietHours.parse(text)


def test_no_hours_are_no_wish() -> None:
    assert QuietHours.parse("  ") is None


@pytest.mark.parametrize(("which", "bytes_"), [("all", 30), ("json", 10), ("containers", 20)])
def test_which_bytes_count_is_a_setting(which: str, bytes_: int) -> None:
    assert counted(10, 20, which) == bytes_


@given(st.integers(0, 5_000), st.integers(0, 50_000))
def test_the_worse_the_weather_the_more_tries_prove_a_container_broken(failed: int, succeeded: int) -> None:
    """The chance to take a sound one for broken stays below one in a million, unless nearly everything fails."""
    tries = tries_needed(failed, succeeded)
    assert 3 <= tries <= 12
    assert tries <= tries_needed(failed + 1, succeeded)
    share = failed / (failed + succeeded) if failed + succeeded else 0.0
    assert share**tries < 1e-6 or share > 0.25


def test_quiet_hours_end_a_run_before_the_first_photograph(server: Start, bring: Bring) -> None:
    clinic = server(records=3)
    outcome = bring(clinic, Wishes(quiet_hours=QuietHours(time(0), time(23, 59, 59))))
    assert (outcome.ending, outcome.arrived) == (Ending.QUIET_HOURS, 0)
    assert "container" not in clinic.report()["requests"]


def test_a_pause_ends_a_run_that_is_under_way_and_gives_the_session_back(
    server: Start, bring: Bring, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fm_migration.intake import bringing

    monkeypatch.setattr(bringing, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(bringing, "_PAUSE_SECONDS", 0.03)
    clinic = server(records=9)

    def on_progress(told: PhotographOutcome) -> None:
        if told.done == 4:
            with engine.begin() as connection:
                transfers.set_pace(connection, SOURCE, transfers.Pace(paused=True))

    outcome = bring(clinic, on_progress=on_progress)
    assert outcome.ending is Ending.PAUSED
    assert 4 <= outcome.arrived < 9
    with engine.begin() as connection:
        transfers.set_pace(connection, SOURCE, transfers.Pace())
    assert bring(clinic).ending is Ending.COMPLETE
    assert clinic.report()["sessions_left"] == 0


class Clock:
    """Time passes by being looked at, and by sleeping: what is asserted of it does not hang on the machine."""

    seconds = 0.0

    def now(self) -> float:
        self.seconds += 0.01
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_pace_takes_effect_in_a_run_that_is_under_way(
    server: Start, bring: Bring, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fm_migration.intake import bringing

    clock = Clock()
    monkeypatch.setattr(bringing, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(DataApi, "now", staticmethod(clock.now))
    clinic = server(records=6)
    moments: list[float] = []

    def on_progress(_told: PhotographOutcome) -> None:
        moments.append(clock.seconds)
        if len(moments) == 2:
            with engine.begin() as connection:
                transfers.set_pace(connection, SOURCE, transfers.Pace(a_minute=60))

    assert bring(clinic, on_progress=on_progress, sleep=clock.sleep).arrived == 6
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[0] < 0.5
    assert all(pause > 0.99 for pause in pauses[1:])
    assert len(pauses) == 5
