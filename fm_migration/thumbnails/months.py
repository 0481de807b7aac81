"""Which months a person means: `2016-10..2017-03`, `2016-10,undated`. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from fm_migration.errors import FmMigrationError

UNDATED = "undated"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])|undated")


def months_meant(text: str, known: Collection[str]) -> list[str]:
    """The known months that a list of months and ranges names, sorted. The ends of a range need not be known."""
    meant: set[str] = set()
    for part in (part.strip() for part in text.split(",")):
        first, dots, last = part.partition("..")
        for end in (first, last) if dots else (first,):
            if not _MONTH.fullmatch(end) or (dots and end == UNDATED):
                raise _not_understood(part)
        if dots and first > last:
            raise _not_understood(part)
        # In the order of text, the undated come behind every month, and so lie in no range.
        found = {month for month in known if first <= month <= (last if dots else first)}
        if not found:
            raise FmMigrationError(
                "choosing months by",
                part,
                f"no linked photograph was taken then; there are some from {min(known, default='no month')} to "
                f"{max((month for month in known if month != UNDATED), default='no month')}",
                "Correct --months; `undated` are those without a date",
            )
        meant |= found
    return sorted(meant)


def _not_understood(part: str) -> FmMigrationError:
    return FmMigrationError(
        "choosing months by",
        part or "nothing",
        "it is neither a month nor a range of months",
        "Write --months 2016-10, --months 2016-10..2017-03, or several of them with commas in between",
    )
