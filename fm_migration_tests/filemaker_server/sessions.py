"""Sessions and their tokens: who is logged in, since when, and how it ended.

Belongs here: tokens, their end after 15 idle minutes, and how many there may be. Does not belong here: which
accounts are good (`data_api.py`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

from fm_migration_tests.filemaker_server.clock import Clock
from fm_migration_tests.filemaker_server.errors import FileMakerError
from fm_migration_tests.filemaker_server.settings import ServerSettings

End = Literal["logged out", "expired", "revoked", "engine restarted", "window lost"]

TOKEN_LENGTH = 51
#: Ended sessions are remembered for the report; more than so many would only cost memory.
REMEMBERED = 20_000


@dataclass(slots=True)
class Session:
    """One log-in. It is good for the name of the database as it was written then."""

    number: int
    token: str
    account: str
    database: str
    opened: float
    used: float
    requests: int = 0
    ended: float | None = None
    how: End | None = None

    def summary(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "account": self.account,
            "opened": round(self.opened, 3),
            "used": round(self.used, 3),
            "requests": self.requests,
            "ended": None if self.ended is None else round(self.ended, 3),
            "how": self.how,
        }


class Sessions:
    """All of them, by token and by number."""

    def __init__(self, settings: ServerSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._live: dict[str, Session] = {}
        self._all: dict[int, Session] = {}
        #: Also of sessions that have ended: a token in a URL is a leak whenever it is found.
        self.tokens: set[str] = set()
        self.most_at_once = 0

    def open(self, account: str, database: str) -> Session:
        self._expire()
        limit = self._settings.max_sessions
        if limit and len(self._live) >= limit:
            raise FileMakerError(self._settings.max_sessions_code, status=self._settings.max_sessions_status)
        now = self._clock.now()
        session = Session(len(self.tokens) + 1, secrets.token_hex(26)[:TOKEN_LENGTH], account, database, now, now)
        self._live[session.token] = self._all[session.number] = session
        self.tokens.add(session.token)
        self._all.pop(session.number - REMEMBERED, None)
        self.most_at_once = max(self.most_at_once, len(self._live))
        return session

    def find(self, token: str) -> Session | None:
        """The live session with this token; being named resets its 15 minutes."""
        session = self.peek(token)
        if session:
            session.used = self._clock.now()
            session.requests += 1
        return session

    def peek(self, token: str) -> Session | None:
        session = self._live.get(token)
        if session and self._clock.now() - session.used >= self._settings.session_seconds:
            self._end_idle(session)
            return None
        return session

    def by_number(self, number: int) -> Session | None:
        session = self._all.get(number)
        if session and session.ended is None:
            self.peek(session.token)
        return session

    def end(self, session: Session, how: End) -> None:
        if self._live.pop(session.token, None):
            session.ended, session.how = self._clock.now(), how

    def end_all(self, how: End) -> int:
        self._expire()
        living = list(self._live.values())
        for session in living:
            self.end(session, how)
        return len(living)

    def live(self) -> list[Session]:
        self._expire()
        return list(self._live.values())

    def history(self) -> list[Session]:
        self._expire()
        return list(self._all.values())

    def _expire(self) -> None:
        for token in list(self._live):
            self.peek(token)

    def _end_idle(self, session: Session) -> None:
        self.end(session, "expired")
        session.ended = session.used + self._settings.session_seconds
