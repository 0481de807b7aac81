"""The order of dates is decided once for the whole column, and a column that proves both is refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration.errors import ExportError
from fm_migration.filemaker.dates import DateOrder, DateTally, OrderDecision, decide_order, read_date
from fm_migration.filemaker.problems import Caution, Problem
from fm_migration.filemaker.rows import survey
from fm_migration_tests.filemaker.strategies import TODAY, export_of, normalised, row, rows


def _decided(*texts: str, explicit: DateOrder | None = None) -> OrderDecision:
    return decide_order({text: DateTally(1, at) for at, text in enumerate(texts, 1)}, "dates.csv", explicit)


def test_one_date_proves_the_order_of_the_whole_column() -> None:
    assert _decided("03/04/2016", "10/18/2016").order == "mdy"
    assert _decided("03/04/2016", "18/10/2016").order == "dmy"
    assert _decided("3.4.2016", "18.10.2016").reason == "proven"


def test_dates_that_prove_nothing_are_read_month_first_and_the_export_is_marked() -> None:
    export = export_of(row(1, date="03/04/2016"), row(2, date="5/6/2017"))
    found = survey(export)
    assert (found.dates.order, found.dates.reason, found.dates.ambiguous) == ("mdy", "assumed", 2)
    assert Caution.AMBIGUOUS_DATE_ORDER in found.cautions
    assert normalised(export)[0].taken_on == date(2016, 3, 4)


def test_dates_that_read_alike_in_both_orders_are_no_cause_for_doubt() -> None:
    assert not _decided("4/4/2016", "2017-05-06").doubtful


def test_a_column_that_proves_both_orders_is_refused_with_its_rows() -> None:
    export = export_of(*rows(3), row(4, date="18/10/2016"))
    with pytest.raises(ExportError, match=r"3 rows .*\(row 1\).* 1 .*\(row 4\)"):
        survey(export)


def test_an_explicit_order_wins_over_the_proof_and_what_cannot_be_is_flagged() -> None:
    decision = _decided("10/18/2016", "18/10/2016", explicit="dmy")
    assert (decision.order, decision.reason) == ("dmy", "explicit")
    assert read_date("18/10/2016", "dmy", TODAY).day == date(2016, 10, 18)
    assert read_date("10/18/2016", "dmy", TODAY).problems == (Problem.IMPOSSIBLE_DATE,)


def test_the_proof_may_stand_in_the_last_row_of_many() -> None:
    export = export_of(*(row(number, date="03/04/2016") for number in range(1, 6000)), row(6000, date="13/4/2016"))
    made = normalised(export)
    assert {read.taken_on for read in made} == {date(2016, 4, 3), date(2016, 4, 13)}


def test_a_row_of_the_wrong_width_proves_nothing() -> None:
    shifted = row(9, date="18/10/2016")
    assert survey(export_of(*rows(3), [*shifted, "more"])).dates.order == "mdy"


@pytest.mark.parametrize(
    ("text", "day", "problems"),
    [
        ("10/18/2016", date(2016, 10, 18), ()),
        ("1/2/2016", date(2016, 1, 2), ()),
        ("01-02-2016", date(2016, 1, 2), ()),
        (" 1.2.2016\u00a0", date(2016, 1, 2), ()),
        ("2016-10-18", date(2016, 10, 18), ()),
        ("2016/1/2", date(2016, 1, 2), ()),
        ("10/18/2016 14:05:09", date(2016, 10, 18), ()),
        ("10/18/2016 2:05 PM", date(2016, 10, 18), ()),
        ("2016-10-18T14:05:09.5Z", date(2016, 10, 18), ()),
        ("10/18/16", date(2016, 10, 18), (Problem.TWO_DIGIT_YEAR,)),
        ("10/18/99", date(1999, 10, 18), (Problem.TWO_DIGIT_YEAR,)),
        ("", None, (Problem.MISSING_DATE,)),
        ("  ", None, (Problem.MISSING_DATE,)),
        ("2/30/2016", None, (Problem.IMPOSSIBLE_DATE,)),
        ("13/13/2016", None, (Problem.IMPOSSIBLE_DATE,)),
        ("0/0/0000", None, (Problem.IMPOSSIBLE_DATE,)),
        ("10/18-2016", None, (Problem.IMPOSSIBLE_DATE,)),
        ("42661", None, (Problem.IMPOSSIBLE_DATE,)),
        ("١/٢/٢٠١٦", None, (Problem.IMPOSSIBLE_DATE,)),
        ("someday", None, (Problem.IMPOSSIBLE_DATE,)),
        ("12/31/1989", date(1989, 12, 31), (Problem.IMPLAUSIBLE_DATE,)),
        ("11/19/2025", date(2025, 11, 19), (Problem.IMPLAUSIBLE_DATE,)),
        ("11/18/2025", date(2025, 11, 18), ()),
    ],
)
def test_a_date_as_exports_write_it(text: str, day: date | None, problems: tuple[Problem, ...]) -> None:
    assert read_date(text, "mdy", TODAY) == (day, problems)


_PATTERNS: dict[DateOrder, str] = {"mdy": "{m}/{d}/{y}", "dmy": "{d}.{m}.{y}", "ymd": "{y}-{m}-{d}"}


@settings(deadline=None)
@given(day=st.dates(date(1990, 1, 1), TODAY), order=st.sampled_from(["mdy", "dmy", "ymd"]), padded=st.booleans())
def test_any_day_reads_back(day: date, order: DateOrder, padded: bool) -> None:
    m, d = (f"{day.month:02}", f"{day.day:02}") if padded else (str(day.month), str(day.day))
    assert read_date(_PATTERNS[order].format(y=day.year, m=m, d=d), order, TODAY) == (day, ())


@settings(deadline=None)
@given(days=st.lists(st.dates(date(1990, 1, 1), TODAY), min_size=1), order=st.sampled_from(["mdy", "dmy"]))
def test_a_column_in_one_order_is_never_taken_for_the_other_once_it_proves_one(
    days: list[date], order: DateOrder
) -> None:
    days = [*days, days[0].replace(day=13) - timedelta(0)]
    texts = [_PATTERNS[order].format(y=day.year, m=day.month, d=day.day) for day in days]
    assert _decided(*texts).order == order


@settings(deadline=None)
@given(text=st.text(max_size=20), order=st.sampled_from(["mdy", "dmy", "ymd"]))
def test_reading_a_date_is_total(text: str, order: DateOrder) -> None:
    read = read_date(text, order, TODAY)
    assert (read.day is None) == bool({Problem.MISSING_DATE, Problem.IMPOSSIBLE_DATE} & set(read.problems))
