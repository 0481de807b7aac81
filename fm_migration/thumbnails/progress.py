"""How far the making of thumbnails is, in figures and in words. Pure, but for the clock that ticks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: A run says how far it is at least this often.
EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Progress:
    """So many of so many in so many seconds."""

    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Photographs a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None while nothing is done yet."""
        return (self.total - self.done) / self.rate if self.rate else None

    @property
    def message(self) -> str:
        left = self.seconds_left
        ends = "" if left is None else f", {format_duration(left)} left"
        return f"{self.done:,} of {self.total:,} photographs, {self.rate:.1f} a second{ends}"


def format_duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call something at regular intervals while the block runs: also while the block waits for a slow file."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(seconds):
            call()

    clock = threading.Thread(target=tick, name="progress", daemon=True)
    clock.start()
    try:
        yield
    finally:
        over.set()
        clock.join()
