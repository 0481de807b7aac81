"""The advice before an intake: its figures follow from what it says to assume."""

from __future__ import annotations

import pytest

from fm_migration.intake.planning import Assumptions, advice, assumptions_in_words, compare_ways

CLINIC = Assumptions()


def test_the_clinics_own_figures() -> None:
    """6,664 photographs of 1.8 MB, a tenth of them dead: about eleven gigabytes, which are 8 % of the year's limit."""
    desktop, steady, scheduled, odata = compare_ways(CLINIC)
    assert steady.gigabytes == pytest.approx(10.9, abs=0.1)
    assert steady.counted_gigabytes / CLINIC.yearly_gb == pytest.approx(0.08, abs=0.01)
    assert steady.days == pytest.approx(6_664 / (12 * 60 * 24))
    assert scheduled.days == pytest.approx(6.664)
    assert desktop.counted_gigabytes == desktop.requests == 0
    assert odata.requests < steady.requests < scheduled.requests


def test_where_containers_do_not_count_next_to_nothing_does() -> None:
    _, steady, *_ = compare_ways(Assumptions(counts="json"))
    assert steady.counted_gigabytes < 0.02


def test_every_assumption_is_said() -> None:
    said = " ".join(assumptions_in_words(CLINIC))
    for figure in ("6,664", "1.8 MB", "9%", "12 a minute", "250 every six hours", "144 GB", "FM_FILEMAKER_USED_GB"):
        assert figure in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Assumptions(photographs=0), "Nothing is left"),
        (Assumptions(used_gb=140), "4.0 GB are left of the year's limit"),
        (Assumptions(photographs=1_000_000, yearly_gb=9_999), "it takes 58 days at this pace"),
        (CLINIC, "Both may be mixed"),
    ],
)
def test_the_advice_follows_the_figures(given: Assumptions, words: str) -> None:
    assert words in advice(given)
