"""Dates of an export: which part is the month is decided once for the whole column.

Belongs here: reading one date, weighing the evidence of all of them, the decision. Does not belong here: what
becomes of a photograph without a date.

`10/18/2016` proves that the month comes first, `03/04/2016` proves nothing. An explicit setting wins over the
evidence; a column that proves both orders is refused, because every ambiguous date in it would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from fm_migration.errors import ExportError
from fm_migration.filemaker.problems import Problem

DateOrder = Literal["mdy", "dmy", "ymd"]

#: FileMaker and the clinics it serves are younger than this; an older photograph is a typing error.
EARLIEST = date(1990, 1, 1)

_PARTS = re.compile(r"([0-9]{1,4})([/.-])([0-9]{1,2})\2([0-9]{1,4})(?:[ T]+[0-9][0-9:., ]*(?:[AaPp]\.?[Mm]\.?)?Z?)?")
_SPACE = " \t\xa0"


class DateTally(NamedTuple):
    """How often a text stands in the date column, and where first."""

    times: int
    first_row: int


class ReadDate(NamedTuple):
    """A date as it was understood, and what is doubtful about it."""

    day: date | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class OrderDecision:
    """The date order of a column, and the evidence for it. The evidence counts rows."""

    order: DateOrder
    reason: Literal["explicit", "proven", "assumed"]
    month_first: int = 0
    day_first: int = 0
    ambiguous: int = 0
    year_first: int = 0

    @property
    def doubtful(self) -> bool:
        """Whether ambiguous dates were read in an order that nothing proves."""
        return self.reason == "assumed" and self.ambiguous > 0


def decide_order(column: Mapping[str, DateTally], name: str, explicit: DateOrder | None = None) -> OrderDecision:
    """The order of a column of dates, given each distinct text of it."""
    counts = {"mdy": 0, "dmy": 0, "ymd": 0, "ambiguous": 0, "": 0}
    first = {"mdy": 0, "dmy": 0}
    for text, seen in column.items():
        proof = _proof(text)
        counts[proof] += seen.times
        if proof in first:
            first[proof] = min(first[proof] or seen.first_row, seen.first_row)
    evidence = counts["mdy"], counts["dmy"], counts["ambiguous"], counts["ymd"]
    if explicit is not None:
        return OrderDecision(explicit, "explicit", *evidence)
    if counts["mdy"] and counts["dmy"]:
        raise ExportError(
            "deciding the date order of",
            name,
            f"{counts['mdy']} rows prove that the month comes first (row {first['mdy']}) and {counts['dmy']} that the "
            f"day does (row {first['dmy']}), both in the column date",
            "Correct the smaller group in FileMaker, or set FM_DATE_ORDER to mdy or dmy: the others are then flagged",
        )
    if counts["mdy"] or counts["dmy"]:
        return OrderDecision("mdy" if counts["mdy"] else "dmy", "proven", *evidence)
    # FileMaker's own default is the American order. Whoever needs another sets it: the caution says so.
    return OrderDecision("mdy", "assumed", *evidence)


def read_date(text: str, order: DateOrder, today: date) -> ReadDate:
    """The day that a text means in the given order, with its problems."""
    text = text.strip(_SPACE)
    if not text:
        return ReadDate(None, (Problem.MISSING_DATE,))
    parts = _numbers(text, order)
    if parts is None:
        return ReadDate(None, (Problem.IMPOSSIBLE_DATE,))
    year, month, day_of_month, short = parts
    problems: tuple[Problem, ...] = (Problem.TWO_DIGIT_YEAR,) if short else ()
    if short:
        year += 2000 if 2000 + year <= today.year else 1900
    try:
        day = date(year, month, day_of_month)
    except ValueError:
        return ReadDate(None, (Problem.IMPOSSIBLE_DATE,))
    if not EARLIEST <= day <= today:
        problems += (Problem.IMPLAUSIBLE_DATE,)
    return ReadDate(day, problems)


def _numbers(text: str, order: DateOrder) -> tuple[int, int, int, bool] | None:
    """Year, month, day, and whether the year has two digits; None if the text is not a date."""
    found = _PARTS.fullmatch(text)
    if found is None:
        return None
    first, _, second, third = found.groups()
    if len(first) == 4 or order == "ymd":
        # A year of four digits in front is ISO, in whatever locale.
        if len(third) > 2 or len(first) not in (2, 4):
            return None
        return int(first), int(second), int(third), len(first) == 2
    if len(first) > 2 or len(third) not in (2, 4):
        return None
    month, day = (first, second) if order == "mdy" else (second, first)
    return int(third), int(month), int(day), len(third) == 2


def _proof(text: str) -> str:
    """What a text proves: `mdy`, `dmy`, `ymd`, `ambiguous`, or nothing."""
    found = _PARTS.fullmatch(text.strip(_SPACE))
    if found is None:
        return ""
    first, _, second, third = found.groups()
    if len(first) == 4:
        return "ymd" if len(third) <= 2 else ""
    if len(first) > 2 or len(third) not in (2, 4):
        return ""
    one, two = int(first), int(second)
    if one > 31 or two > 31 or min(one, two) == 0 or min(one, two) > 12:
        return ""
    if one > 12:
        return "dmy"
    if two > 12:
        return "mdy"
    return "ambiguous" if one != two else ""
