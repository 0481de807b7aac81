"""Dates of a desktop export: each form of writing them is decided by itself."""

from __future__ import annotations

from datetime import date

from fm_migration.filemaker.desktop.days import read_days

TODAY = date(2025, 3, 10)


def test_forms_do_not_contradict_one_another() -> None:
    days = read_days(["2016-10-18", "18.10.2016", "10/18/2016", "3/4/2016", "03.04.2016"], TODAY)
    assert days.iso == {
        "2016-10-18": "2016-10-18",
        "18.10.2016": "2016-10-18",
        "10/18/2016": "2016-10-18",
        "3/4/2016": "2016-03-04",
        "03.04.2016": "2016-04-03",
    }
    assert (days.assumed, days.uncertain) == (0, 0)


def test_a_form_that_is_written_both_ways_leaves_its_doubtful_days_out() -> None:
    """Those that can be one day only are that day."""
    days = read_days(["10-18-2016", "18-10-2016", "3-4-2016", "3-4-2016"], TODAY)
    assert days.iso == {"10-18-2016": "2016-10-18", "18-10-2016": "2016-10-18", "3-4-2016": ""}
    assert days.uncertain == 2


def test_a_setting_wins_and_an_assumption_is_counted() -> None:
    assert read_days(["3/4/2016"], TODAY).assumed == 1
    assert read_days(["3/4/2016"], TODAY).iso == {"3/4/2016": "2016-03-04"}
    assert read_days(["3/4/2016"], TODAY, "dmy").iso == {"3/4/2016": "2016-04-03"}
    assert read_days(["3/4/2016"], TODAY, "dmy").assumed == 0


def test_what_is_no_date_is_left_as_it_is() -> None:
    assert read_days(["", "soon", "13/13/2016"], TODAY).iso == {}
