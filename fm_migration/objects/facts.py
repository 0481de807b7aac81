"""What the store says about one object, whichever way we learned it (a listing, a HEAD, an inventory report)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

STANDARD = "STANDARD"


class ObjectFacts(NamedTuple):
    """One object as the store describes it.

    A named tuple, because a listing makes one per key and a frozen dataclass costs three times as much.
    """

    key: str
    etag: str  # without its quotation marks; empty when the server gives none
    size: int
    last_modified: datetime
    storage_class: str


def bare_etag(text: str) -> str:
    """The ETag without quotation marks; servers disagree on whether to send them."""
    return text.removeprefix("W/").strip('"')
