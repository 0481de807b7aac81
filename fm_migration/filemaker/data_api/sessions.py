"""The one session of a run: begun, kept where the next run finds it, renewed, and always ended.

A session lives fifteen minutes after the last call that named its token. FileMaker allows few of them, and one that
nobody ended takes its place until then; so a killed run's token lies in a file that only this user may read, and the
next run takes it up or ends it. The token is nowhere else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from fm_migration.errors import FmMigrationError, TransientError
from fm_migration.filemaker.data_api.access import Access
from fm_migration.filemaker.data_api.addresses import segment
from fm_migration.filemaker.data_api.failures import (
    FileMakerError,
    LoginRefusedError,
    SessionEndedError,
    read_answer,
)
from fm_migration.filemaker.data_api.line import Line

#: How long a session lives without a call, and when we make one only to keep it.
LIFETIME_SECONDS = 900.0
KEEP_ALIVE_SECONDS = 600.0
_TOKEN_HEADER = "X-FM-Data-Access-Token"  # noqa: S105  a header's name


class TokenFile:
    """A private file with the token of the session that is open, as long as one is."""

    def __init__(self, folder: Path, access: Access) -> None:
        self._path = folder / f"session-{access.fingerprint()}.json"

    def read(self) -> SecretStr | None:
        """The token that a run before has left; None when it has ended its session, or was somebody else's."""
        try:
            if self._path.stat().st_mode & 0o077:
                # Others could have read it, or put another one there.
                self.remove()
                return None
            token = json.loads(self._path.read_text("utf-8"))["token"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return SecretStr(token) if isinstance(token, str) and token else None

    def write(self, token: SecretStr) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"token": token.get_secret_value()}, file)
        draft.replace(self._path)

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()


class Session:
    """The session that is open, or none."""

    def __init__(
        self, line: Line, access: Access, tokens: TokenFile, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._access = access
        self._tokens = tokens
        self._clock = clock
        self._path = f"{access.api}/databases/{segment(access.database)}/sessions"
        self._token: SecretStr | None = None
        self._used_at = 0.0
        #: Counts up with each log-in: what was read in an earlier session may not hold any more.
        self.number = 0

    @property
    def authorization(self) -> SecretStr:
        """The header of a call in this session; a session is begun when none is open."""
        token = self._token or self._begin()
        return SecretStr(f"Bearer {token.get_secret_value()}")

    def used(self) -> None:
        """A call that named the token has come back: fifteen minutes begin anew."""
        self._used_at = self._clock()

    @property
    def idle_seconds(self) -> float:
        return self._clock() - self._used_at if self._token is not None else 0.0

    def keep_alive(self) -> None:
        """A cheap call when the session would end soon: container bytes do not keep it."""
        if self._token is not None and self.idle_seconds > KEEP_ALIVE_SECONDS and not self._is_known(self._token):
            self.drop()

    def renew(self) -> None:
        """Begin another session after the server has refused this one; a half-dead one is ended first."""
        self.end()
        self._begin()

    def end(self) -> None:
        """Log out. A session that the server does not know any more has ended already."""
        token, self._token = self._token, None
        if token is None or self._log_out(token):
            self._tokens.remove()

    def drop(self) -> None:
        """Forget a session that is known to have ended."""
        self._token = None
        self._tokens.remove()

    def doubt(self) -> None:
        """Ask whether the session is still known before it is used again: its engine was found dead."""
        self._token = None

    def _begin(self) -> SecretStr:
        left = self._tokens.read()
        if left is not None:
            if self._is_known(left):
                return self._take(left)
            self._tokens.remove()
        return self._take(self._log_in())

    def _take(self, token: SecretStr) -> SecretStr:
        self._tokens.write(token)
        self._token = token
        self.number += 1
        self.used()
        return token

    def _log_in(self) -> SecretStr:
        doing, subject = "logging in to FileMaker at", self._access.origin.url
        response = self._line.send(
            "POST", self._path, doing, subject, authorization=self._access.authorization, json={}
        )
        answer = read_answer(response, doing, subject)
        token = response.headers.get(_TOKEN_HEADER) or answer.response.get("token")
        if not isinstance(token, str) or not token:
            raise FileMakerError(
                doing,
                subject,
                "the answer has no token",
                "See that a FileMaker Server answers there, and that its Data API is switched on",
                status=response.status_code,
            )
        return SecretStr(token)

    def _log_out(self, token: SecretStr) -> bool:
        """Whether the server has answered. If not, the token stays in its file, for the next run to end it."""
        doing, subject = "logging out from FileMaker at", self._access.origin.url
        path = f"{self._path}/{segment(token.get_secret_value())}"
        try:
            read_answer(self._line.send("DELETE", path, doing, subject), doing, subject)
        except SessionEndedError:
            return True
        except FmMigrationError:
            # The run's own end must not fail on it.
            return False
        return True

    def _is_known(self, token: SecretStr) -> bool:
        doing, subject = "asking for the session at", self._access.origin.url
        bearer = SecretStr(f"Bearer {token.get_secret_value()}")
        response = self._line.send("GET", f"{self._access.api}/validateSession", doing, subject, authorization=bearer)
        try:
            known = read_answer(response, doing, subject).ok
        except (SessionEndedError, LoginRefusedError):
            return False
        except TransientError:
            raise
        except FmMigrationError:
            # A server that does not know the question: the next call will tell.
            return True
        if known:
            self.used()
        return known
