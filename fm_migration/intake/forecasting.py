"""When the intake will be finished, and how many gigabytes are left, by how it has gone so far. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from fm_migration.ledger.transfers import Day

#: So many of the last days on which something came say how fast it goes.
_LOOKED_AT = 7
#: Further ahead nobody plans, and a picture becomes a line.
_FURTHEST = timedelta(days=3_650)
_RUNS_A_DAY = 4
GIGA = 1_000_000_000


@dataclass(frozen=True)
class Forecast:
    """What is left, and how it would go on."""

    left: int
    left_bytes: int
    a_day: float
    finished: date | None
    #: Day, photographs that are here at its end, and whether that is only expected.
    points: tuple[tuple[date, int, bool], ...]

    @property
    def words(self) -> str:
        if self.left == 0:
            return "nothing is left to bring"
        amount = f"{self.left:,} photographs are left, about {self.left_bytes / GIGA:,.2f} GB"
        if self.finished is None:
            return f"{amount}; nothing has come yet to tell how long that takes"
        return f"{amount}; at {self.a_day:,.0f} a day they are here on {self.finished:%d %b %Y}"


def forecast(
    days: Sequence[Day], *, here: int, left: int, mean_bytes: float, today: date, every_six_hours: int = 0
) -> Forecast:
    """By the schedule where one brings photographs, else by the last days on which some came."""
    active = [one for one in days if one.photographs > 0]
    recent = active[-_LOOKED_AT:]
    a_day = float(every_six_hours * _RUNS_A_DAY)
    if not a_day and recent:
        a_day = sum(one.photographs for one in recent) / len(recent)
    finished = None
    if left == 0:
        finished = today
    elif a_day > 0:
        finished = today + min(timedelta(days=math.ceil(left / a_day)), _FURTHEST)
    return Forecast(left, round(left * mean_bytes), a_day, finished, _points(active, here, left, today, finished))


def _points(
    active: Sequence[Day], here: int, left: int, today: date, finished: date | None
) -> tuple[tuple[date, int, bool], ...]:
    """Backwards from what is here now: what came before the ledger counted stands at the beginning of the line."""
    points: list[tuple[date, int, bool]] = []
    at = here
    for one in reversed(active):
        points.append((one.day, at, False))
        at -= one.photographs
    points.reverse()
    if not points or points[-1][0] != today:
        points.append((today, here, False))
    if finished is not None and finished > today:
        points += [(today, here, True), (finished, here + left, True)]
    return tuple(points)
