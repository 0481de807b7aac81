"""The days of a desktop export in one form: folders and manifests of one export may be written in several.

Belongs here: deciding, form by form, whether the month or the day comes first. Does not belong here: reading one date
(`filemaker/dates.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from fm_migration.filemaker.dates import DateOrder, read_date

_EITHER: tuple[DateOrder, DateOrder] = ("mdy", "dmy")


class Days(NamedTuple):
    """Each text with the day that it means, as year-month-day; '' where nothing proves which day that is."""

    iso: Mapping[str, str]
    #: How many dates were read month first though nothing proves it.
    assumed: int
    #: How many could be two days, in a form that is written both ways.
    uncertain: int


def read_days(texts: Iterable[str], today: date, explicit: DateOrder | None = None) -> Days:
    """What each date means. Texts that are not dates are left out of `iso`."""
    forms: dict[str, Counter[str]] = {}
    for text in texts:
        if text:
            forms.setdefault(_form(text), Counter())[text] += 1
    iso: dict[str, str] = {}
    assumed = uncertain = 0
    for form, column in forms.items():
        order = explicit if form != "." else None
        proven: set[DateOrder] = set(filter(None, (_proof(text, today) for text in column)))
        for text, times in column.items():
            days = _meanings(text, today)
            if len(days) == 2 and order is None and len(proven) > 1:
                iso[text] = ""
                uncertain += times
                continue
            # Nobody writes the month first with full stops between; FileMaker's own default is the American order.
            usual: DateOrder = "dmy" if form == "." else "mdy"
            way = order if order is not None else next(iter(proven), usual)
            assumed += times if len(days) == 2 and order is None and not proven and form != "." else 0
            day = read_date(text, way, today).day or (next(iter(days)) if order is None and len(days) == 1 else None)
            if day is not None:
                iso[text] = day.isoformat()
    return Days(iso, assumed, uncertain)


def _form(text: str) -> str:
    return next((mark for mark in "./-" if mark in text), "")


def _meanings(text: str, today: date) -> set[date]:
    return {day for order in _EITHER for day in [read_date(text, order, today).day] if day is not None}


def _proof(text: str, today: date) -> DateOrder | None:
    """Which order a text proves: it is a day in that one only. A year in front proves nothing for the others."""
    if text[:4].isdecimal():
        return None
    readable = [order for order in _EITHER if read_date(text, order, today).day is not None]
    return readable[0] if len(readable) == 1 else None
