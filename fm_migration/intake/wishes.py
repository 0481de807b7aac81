"""What a person wants of a run: how many, how fast, when not, how much a day. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from fm_migration.errors import SettingsError

_HOURS = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*-\s*(\d{1,2})(?::(\d{2}))?")
#: The chance that a sound container is taken for one that is broken for ever.
_RISK = 1e-7
_FEWEST, _MOST = 3, 12


class Ending(StrEnum):
    """Why a run has ended. Every one of them is a good end: what is left, the next run brings."""

    COMPLETE = "complete"
    LIMIT = "limit"
    DAILY_BYTES = "daily_bytes"
    SERVER_LIMIT = "server_limit"
    QUIET_HOURS = "quiet_hours"
    PAUSED = "paused"
    DRY_RUN = "dry_run"
    NOT_SET = "not_set"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Ending.COMPLETE: "all records were read, and everything that can arrive is here",
    Ending.LIMIT: "as many photographs as this run was asked for are here; the next run goes on",
    Ending.DAILY_BYTES: "the bytes of this day are used up; the run of tomorrow goes on",
    Ending.SERVER_LIMIT: "FileMaker transmits nothing more (953): the year's limit is used up, see the console",
    Ending.QUIET_HOURS: "the quiet hours have begun; a run after them goes on",
    Ending.PAUSED: "a person has paused the intake; `fm-migration intake --resume` lets it go on",
    Ending.NOT_SET: "FM_FILEMAKER_URL is not set, so nothing is brought from there (docs/intake.md)",
    Ending.DRY_RUN: "a dry run: nothing was fetched or written",
}


@dataclass(frozen=True)
class QuietHours:
    """Hours of the clinic's day in which FileMaker is left to its users. They may span midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours | None:
        """`7:30-19`; None for an empty text."""
        if not text.strip():
            return None
        match = _HOURS.fullmatch(text.strip())
        if match is not None:
            begin, begin_minute, end, end_minute = (int(part or 0) for part in match.groups())
            if max(begin, end) < 24 and max(begin_minute, end_minute) < 60:
                return cls(time(begin, begin_minute), time(end, end_minute))
        raise SettingsError(
            "reading the hours", "quiet_hours", f"{text!r} is not a pair of hours", "Write them as 7:30-19:00"
        )

    def hold(self, now: datetime) -> bool:
        """Whether it is quiet at this time of the clinic's day."""
        at = now.time()
        if self.begin <= self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


@dataclass(frozen=True)
class Wishes:
    """Of one run."""

    limit: int | None = None
    batch_size: int = 100
    #: Photographs a minute at most; None: as fast as one after the other comes.
    a_minute: float | None = None
    quiet_hours: QuietHours | None = None
    daily_bytes: int | None = None
    dry_run: bool = False


def counted(json_bytes: int, container_bytes: int, which: str) -> int:
    """The bytes that count towards a limit. Whether containers do is not certain, so a setting says it."""
    return {"json": json_bytes, "containers": container_bytes}.get(which, json_bytes + container_bytes)


def tries_needed(failed: int, succeeded: int) -> int:
    """How often a container must fail before it is taken for broken for ever.

    `failed` counts tries in vain for containers that arrived later, so it tells the weather and not the dead. In calm
    weather few tries prove it; where every fifth one fails, as many more as keep the risk the same.
    """
    share = (failed + 1) / (failed + succeeded + 20)
    return min(max(math.ceil(math.log(_RISK) / math.log(share)), _FEWEST), _MOST)
