"""Functions for the harness to measure; they must be importable, because it calls them in another process."""

from __future__ import annotations

import time

PREPARATION_SECONDS = 0.5


def letters(count: int) -> str:
    """The preparation: slow on purpose, since its time must not count."""
    time.sleep(PREPARATION_SECONDS)
    return "x" * count


def count_letters(text: str, count: int) -> None:
    if len(text) != count:
        raise AssertionError(f"prepared {len(text)} letters instead of {count}")


def work(rounds: int) -> None:
    sum(range(rounds))


def fail() -> None:
    raise RuntimeError("no bucket called walnut")
