"""Time that a test can move: sessions of 15 minutes end when it says so, not when it has waited."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the server started, and the date on its wall."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() - self._start + self._ahead

    def wall(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time moves forwards only")
        self._ahead += seconds
