"""What goes wrong, when, and for how long: rules that a test hands over, played by a seed.

A storm waits for requests of some kind (`on`), lets some pass (`after`, `every`, `share`), and then strikes: at one
request, or for a while (`for_seconds`, `for_requests`), and then at the kinds that it `covers`.

Belongs here: whether a request is struck, and by what. Does not belong here: doing it (`server.py`).
"""

from __future__ import annotations

import random
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "any", "data", "login", "logout", "validate", "product", "databases", "layouts", "records", "record", "find",
    "script", "write", "container", "odata", "other",
]  # fmt: skip
#: What the engine behind the proxy serves: all of it dies together.
DATA_KINDS = frozenset(
    {"login", "logout", "validate", "product", "databases", "layouts", "records", "record", "find", "script", "write"}
)

Action = Literal[
    "status",  # an HTML page of the proxy's with `status`
    "code",  # FileMaker's own error `code`, with `status` if it is given
    "html",  # 200 and an HTML page
    "empty",  # 200 and no bytes
    "short",  # a body cut short, with a Content-Length that fits what is left
    "truncate",  # a body that ends before its Content-Length
    "corrupt",  # the right length, one byte wrong
    "reset",  # the connection is reset before any byte of the answer
    "reset_midway",  # or in the middle of it
    "hang",  # no answer at all
    "delay",  # the right answer, `seconds` late
    "revoke",  # the session of the request is ended first
    "window_missing",  # the session is closed in the middle: 500 with 112
    "restart",  # the engine restarts: all sessions are gone, then the request is served
    "stale",  # a container's URL redirects without a cookie
    "change",  # records are added and removed
]

#: Those that change the answer which the server would give, and so need it first.
ON_THE_ANSWER = frozenset({"short", "truncate", "corrupt", "reset_midway", "hang", "delay", "change"})


class Storm(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    on: list[Kind] = Field(["any"], description="kinds of request that it counts and strikes")
    action: Action = "status"

    after: int = Field(0, ge=0, description="so many are let through first")
    every: int = Field(1, ge=1, description="then every so many")
    share: float = Field(1.0, gt=0, le=1, description="and of these this share, by the seed")
    times: int | None = Field(None, ge=1, description="it strikes so often at most; None: for ever")
    records: list[int] | None = Field(None, description="it counts only containers of these records")

    for_seconds: float = Field(0, ge=0, description="once it strikes it lasts so long")
    for_requests: int = Field(0, ge=0, description="or for so many requests")
    covers: list[Kind] = Field([], description="what it strikes while it lasts; as `on` when empty")
    again: bool = Field(False, description="after it has lasted, it counts from the beginning")
    kills_sessions: bool = Field(False, description="as it begins all sessions end, as when an engine dies")

    status: int = 502
    code: str = "952"
    retry_after: int | None = None
    seconds: float = Field(0.0, ge=0)
    keep: float = Field(0.5, ge=0, le=1, description="share of the body that is kept when it is cut")
    add: int = Field(0, ge=0, description="records that `change` adds")
    add_like: bool = Field(False, description="what is added shares its recid with another, chosen by the seed")
    remove: int = Field(0, ge=0, description="and removes, chosen by the seed")
    remove_records: list[int] = Field([], description="or those named here")

    @model_validator(mode="after")
    def _named(self) -> Self:
        self.name = self.name or self.action
        return self


class _Watch:
    """How far one storm has come."""

    def __init__(self, storm: Storm, seed: str) -> None:
        self.storm = storm
        self.random = random.Random(seed)
        self._passed = self._struck = 0
        self._until: float | None = None
        self._left = 0
        self._over = False
        self.begins = False

    def strikes(self, kind: str, record: int | None, now: float) -> bool:
        self.begins = False
        storm = self.storm
        if self._lasting(now):
            return self._in_its_way(kind, record)
        if self._over or not _among(kind, storm.on) or not self._concerns(record):
            return False
        self._passed += 1
        beyond = self._passed - storm.after
        if beyond <= 0 or (beyond - 1) % storm.every or self.random.random() >= storm.share:
            return False
        self._begin(now)
        return True

    def _begin(self, now: float) -> None:
        storm = self.storm
        self.begins = True
        self._struck += 1
        self._over = storm.times is not None and self._struck >= storm.times
        if storm.for_seconds:
            self._until = now + storm.for_seconds
        if storm.for_requests:
            # The one that began it is the first.
            self._left = storm.for_requests - 1
        if storm.for_seconds or storm.for_requests:
            self._passed = 0
            self._over = self._over or not (storm.again or storm.times)

    def _lasting(self, now: float) -> bool:
        if self._until is not None and now >= self._until:
            self._until = None
        return self._until is not None or self._left > 0

    def _in_its_way(self, kind: str, record: int | None) -> bool:
        if not _among(kind, self.storm.covers or self.storm.on) or not self._concerns(record):
            return False
        self._left = max(0, self._left - 1)
        return True

    def _concerns(self, record: int | None) -> bool:
        return self.storm.records is None or record in self.storm.records


class Storms:
    """All rules that are in force, asked in their order."""

    def __init__(self) -> None:
        self._watches: list[_Watch] = []

    def set(self, storms: list[Storm], seed: int = 0) -> None:
        self._watches = [_Watch(storm, f"{seed}:{place}") for place, storm in enumerate(storms)]

    def striking(self, kind: str, record: int | None, now: float) -> list[tuple[Storm, bool, random.Random]]:
        """Each storm that strikes this request, whether it has just begun, and its own dice."""
        found = [watch for watch in self._watches if watch.strikes(kind, record, now)]
        return [(watch.storm, watch.begins, watch.random) for watch in found]


def _among(kind: str, kinds: list[Kind]) -> bool:
    return "any" in kinds or kind in kinds or ("data" in kinds and kind in DATA_KINDS)
