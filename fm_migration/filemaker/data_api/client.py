"""Calls in a session, tried again by the kind of their failure, and the breaker that waits for a dead engine.

Belongs here: when to try again. Does not belong here: what is asked (`records.py`, `containers.py`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from fm_migration.errors import TransientError
from fm_migration.filemaker.data_api.access import Access, Meter, Patience
from fm_migration.filemaker.data_api.addresses import segment
from fm_migration.filemaker.data_api.failures import (
    UNAVAILABLE,
    Answer,
    BrokenConnectionError,
    EngineDownError,
    ServerFullError,
    SessionEndedError,
    ThrottledError,
    read_answer,
)
from fm_migration.filemaker.data_api.line import Line
from fm_migration.filemaker.data_api.sessions import Session, TokenFile
from fm_migration.retrying import retry

_Value = TypeVar("_Value")
#: No wait is longer than this without a look at whether somebody wants something else.
LOOK_SECONDS = 2.0
#: A session is free after fifteen minutes at the latest, so this many times the first pause between two log-ins.
_FULL = 30


class DataApi:
    """A client of one database. Use it as a context: the session is ended whatever happens inside."""

    def __init__(
        self,
        access: Access,
        tokens: Path,
        *,
        patience: Patience | None = None,
        meter: Meter | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.access = access
        self.patience = patience or Patience()
        self.meter = meter or Meter()
        self.line = Line(access, self.patience, self.meter, transport)
        self.session = Session(self.line, access, TokenFile(tokens, access))
        self.breaker = Breaker(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.session.end()
        finally:
            self.line.close()

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """A call below the database. A session that has ended is begun anew, and the call replayed, once."""

        def once() -> Answer:
            return self._in_session(method, path, doing, json=json, params=params)

        return self.patiently(once)

    @staticmethod
    def now() -> float:
        """The clock by which ages are told."""
        return time.monotonic()

    def patiently(self, call: Callable[[], _Value]) -> _Value:
        """What a call returns, after as many tries as its failures deserve."""
        waits = self.patience
        return retry(
            call,
            attempts=waits.attempts,
            first_wait=waits.first,
            longest_wait=waits.longest,
            jitter=waits.first,
            on=self._deserves_another,
        )

    def steadily(
        self,
        ask: Callable[[], _Value],
        *,
        waited_for: tuple[type[TransientError], ...] = UNAVAILABLE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> _Value:
        """What a call returns, however often the engine dies meanwhile."""
        while True:
            try:
                return ask()
            except waited_for:
                self.breaker.wait(sleep)

    def product(self) -> dict[str, Any]:
        """What the server says about itself, without a log-in. An answer does not mean that the database is open."""
        doing, subject = "asking for the version of", self.access.origin.url
        answer = read_answer(self.line.send("GET", f"{self.access.api}/productInfo", doing, subject), doing, subject)
        told = answer.response.get("productInfo")
        return told if isinstance(told, dict) else {}

    def _in_session(self, method: str, path: str, doing: str, **options: Any) -> Answer:
        try:
            return self._send(method, path, doing, **options)
        except SessionEndedError:
            pass
        self.session.renew()
        return self._send(method, path, doing, **options)

    def _send(self, method: str, path: str, doing: str, **options: Any) -> Answer:
        subject = self.access.origin.url
        below = f"{self.access.api}/databases/{segment(self.access.database)}{path}"
        authorization = self.session.authorization
        response = self.line.send(method, below, doing, subject, authorization=authorization, **options)
        answer = read_answer(response, doing, subject)
        self.session.used()
        return answer

    def _deserves_another(self, error: Exception) -> bool | float:
        """Whether, and after how many seconds when the pause is not the usual one."""
        if isinstance(error, ThrottledError) and error.seconds is not None:
            return min(error.seconds, self.patience.engine_longest)
        if isinstance(error, ServerFullError):
            return self.patience.first * _FULL * random.uniform(0.8, 1.2)  # noqa: S311  no secret
        if isinstance(error, EngineDownError):
            # The breaker's: the same call a second later would only find the same.
            return False
        return isinstance(error, BrokenConnectionError | SessionEndedError | ThrottledError)


class Breaker:
    """Open while the engine is down: nothing but its own questions is sent then.

    It asks for the version first, which needs no session, and then for a log-in, because the proxy answers before the
    database is open. The pause between two questions doubles.
    """

    def __init__(self, api: DataApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._questions = 0
        self._next = 0.0
        #: Since when the engine is down; None while it is up.
        self.open_since: float | None = None
        #: How often it was found dead in this run.
        self.storms = 0

    @property
    def is_open(self) -> bool:
        return self.open_since is not None

    def trip(self) -> None:
        """The engine was found dead. Its sessions are gone with it, unless it was only the proxy for a moment."""
        if self.open_since is None:
            self.open_since = self._clock()
            self._questions = 0
            self.storms += 1
            self._plan_next()
        self._api.session.doubt()

    @property
    def seconds_to_next(self) -> float:
        """How long until it is worth asking again."""
        return max(0.0, self._next - self._clock())

    @property
    def exhausted(self) -> bool:
        """Whether a run has waited as long as it should."""
        waits = self._api.patience
        return self.open_since is not None and self._clock() - self.open_since > waits.engine_total

    def ask(self) -> bool:
        """Whether the engine is up again; call it when the pause is over."""
        if self.open_since is None:
            return True
        if self.seconds_to_next > 0:
            return False
        try:
            self._api.product()
            _ = self._api.session.authorization
        except TransientError:
            self._questions += 1
            self._plan_next()
            return False
        self.open_since = None
        return True

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until the engine is up again; a run that has waited as long as it should ends in a failure."""
        self.trip()
        while not self.ask():
            if self.exhausted:
                raise TransientError(
                    "waiting for FileMaker's engine at",
                    self._api.access.origin.url,
                    f"it has not come back within {self._api.patience.engine_total:,.0f} seconds",
                    "Ask the hoster to start the Data API again; what is here stays, and the next run goes on",
                )
            sleep(min(self.seconds_to_next, LOOK_SECONDS))

    def _plan_next(self) -> None:
        waits = self._api.patience
        # The first question comes soon: it may have been the proxy for a moment.
        longer = waits.engine_first * 2 ** min(self._questions - 1, 20)
        pause = min(longer, waits.engine_longest) if self._questions else waits.first
        self._next = self._clock() + pause * random.uniform(0.8, 1.2)  # noqa: S311  no secret
