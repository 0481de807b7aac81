"""Whether what was read can be the whole of it: empty and suddenly much smaller inputs are somebody's mishap.

Pure. Used for the export, the bucket and the patients alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from fm_migration.errors import ImplausibleInputError


@dataclass(frozen=True)
class Shrinkage:
    """How many things there are now, how many there were at the last good reading, and how much less is tolerated."""

    what: str
    now: int
    before: int | None
    tolerated: float

    @property
    def implausible(self) -> bool:
        if self.now == 0:
            return True
        return self.before is not None and self.now < self.before * (1 - self.tolerated)

    def refuse_if_implausible(self, doing: str, subject: str, remedy: str) -> None:
        if self.implausible:
            former = "" if self.before is None else f", and the last good reading had {self.before:,}"
            raise ImplausibleInputError(doing, subject, f"it holds {self.now:,} {self.what}{former}", remedy)
