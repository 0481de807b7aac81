"""Waiting on purpose: until something has stopped changing, and longer after each run that has changed nothing.

Pure, and shared by everything that decides from tick to tick. What is decided stands where it is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

#: The pause after the first run that has changed nothing; it doubles with each further one.
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
#: After so many doublings the pause is longer than the longest; far more of them, and no clock can tell it.
_DOUBLINGS = 10


@dataclass(frozen=True)
class Observation:
    """What the last look saw, and since when it has been so."""

    fingerprint: str
    since: datetime

    def is_stable(self, now: datetime, settle: timedelta) -> bool:
        return now - self.since >= settle

    def as_dict(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint, "since": self.since.isoformat()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, str]) -> Observation:
        return cls(stored["fingerprint"], datetime.fromisoformat(stored["since"]))


def observe(last: Observation | None, fingerprint: str, now: datetime) -> Observation:
    """What is seen now: the same as before, since then, or something else, since now."""
    return last if last is not None and last.fingerprint == fingerprint else Observation(fingerprint, now)


@dataclass(frozen=True)
class Failures:
    """Runs for the present state that have left it as it was."""

    count: int
    last: datetime

    def pause_ends(self) -> datetime:
        return self.last + min(FIRST_PAUSE * int(2 ** min(self.count - 1, _DOUBLINGS)), LONGEST_PAUSE)

    def next_try(self) -> str:
        """In words, for the message of a tick."""
        return f"Next try at {self.pause_ends():%H:%M:%S} UTC"
