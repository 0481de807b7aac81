"""What can go wrong with a call, by kind: each kind is met in its own way.

Belongs here: from an answer or a broken connection to one of our errors. Does not belong here: trying again.
FileMaker reports ordinary outcomes as HTTP 500 with a code in the body. `NO_MATCH` and `NO_RECORD` are answers, and
whoever asked is told so; they are never tried again and never a fault.
"""

from __future__ import annotations

import json
import ssl
from typing import Any, NamedTuple

import httpx

from fm_migration.errors import FmMigrationError, TransientError

NO_MATCH = "401"
NO_RECORD = "101"
#: The session has ended: expired, closed by an administrator, or gone with the engine. 112 comes when it is closed in
#: the middle of a request.
_SESSION_ENDED = frozenset({"952", "112"})
_LOGIN_REFUSED = frozenset({"212", "10"})
_CAPACITY = frozenset({"812", "956"})
_TRANSFER_LIMIT = "953"
_FILE_CLOSED = "802"
_LONGEST_WORDS = 120

#: What each code asks of a person; for the rest FileMaker's own words are shown.
_REMEDIES = {
    "102": "Put the field on the layout, or correct FM_FILEMAKER_CONTAINERS; field names are those of the layout",
    "105": "Correct FM_FILEMAKER_LAYOUT; upper and lower case count",
    "960": "This server is another version than we know: report it as a fault of fm_migration",
    "9": "Give the account the extended privilege fmrest and the right to see the layout",
}
_SERVER = "Look at the server's console, or try again later"


class FileMakerError(FmMigrationError):
    """FileMaker has answered, and the answer is a refusal that will not change by itself."""

    def __init__(
        self, doing: str, subject: str, found: str, remedy: str, *, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(doing, subject, found, remedy)
        self.status = status
        self.code = code


class LoginRefusedError(FileMakerError):
    """The account, the password or the token of Claris is not accepted."""


class TlsError(FileMakerError):
    """The server does not prove who it is."""


class SessionEndedError(TransientError):
    """The token is not known any more: log in again, and ask once more."""


class EngineDownError(TransientError):
    """The proxy answers, or nobody does: the engine behind it is off, dead or starting."""


class FileClosedError(TransientError):
    """The engine runs, and the database is not open: still starting, closed by somebody, or not of this name."""


class BrokenConnectionError(TransientError):
    """The connection broke off, or nothing came in time."""


class ServerFullError(TransientError):
    """No session is free."""


class ThrottledError(TransientError):
    """The server asks to wait; `seconds` as far as it says how long."""

    def __init__(self, doing: str, subject: str, found: str, remedy: str, seconds: float | None) -> None:
        super().__init__(doing, subject, found, remedy)
        self.seconds = seconds


class TransferLimitError(FileMakerError):
    """The server transmits nothing more: the year's limit is used up."""


#: What concerns no single record: it is waited for, as for a dead engine.
UNAVAILABLE = (
    EngineDownError,
    FileClosedError,
    BrokenConnectionError,
    ServerFullError,
    SessionEndedError,
    ThrottledError,
)


class Answer(NamedTuple):
    """A call that came to an end: HTTP's status, FileMaker's code, and what was asked for."""

    status: int
    code: str
    response: dict[str, Any]
    headers: httpx.Headers
    size: int

    @property
    def ok(self) -> bool:
        return self.code == "0"


def read_answer(response: httpx.Response, doing: str, subject: str) -> Answer:
    """The answer in a response. Only a refusal that nobody can make use of is raised."""
    size = len(response.content)
    told = _told(response)
    if told is None:
        raise _without_code(response, doing, subject)
    code, words = _code(told)
    if response.is_success and code == "":
        code = "0"
    if code in ("0", NO_MATCH, NO_RECORD):
        body = told.get("response")
        return Answer(response.status_code, code, body if isinstance(body, dict) else {}, response.headers, size)
    raise _refusal(response, code, words, doing, subject)


def _refusal(response: httpx.Response, code: str, words: str, doing: str, subject: str) -> FmMigrationError:
    """By FileMaker's code, whatever the status beside it: several were never seen with one."""
    found = f"FileMaker answers {response.status_code} with code {code or 'none'}: {words or 'nothing more'}"
    if code in _SESSION_ENDED:
        return SessionEndedError(doing, subject, found, "Nothing: another session is begun")
    if code in _LOGIN_REFUSED:
        return LoginRefusedError(
            doing,
            subject,
            found,
            "Correct FM_FILEMAKER_ACCOUNT and FM_FILEMAKER_PASSWORD, and see that the account has the extended "
            "privilege fmrest",
            status=response.status_code,
            code=code,
        )
    if code in _CAPACITY:
        remedy = "Wait: a session is free fifteen minutes after somebody has forgotten to log out"
        return ServerFullError(doing, subject, found, remedy)
    if code == _FILE_CLOSED:
        remedy = "Ask the hoster to open the file, or correct FM_FILEMAKER_DATABASE; upper and lower case count"
        return FileClosedError(doing, subject, found, remedy)
    if code == _TRANSFER_LIMIT:
        remedy = "Compare with the console; what is transferred counts anew from the day of the year's reset"
        return TransferLimitError(doing, subject, found, remedy, status=response.status_code, code=code)
    if response.status_code in (429, 503) and not code:
        return _throttled(response, doing, subject)
    return FileMakerError(
        doing, subject, found, _REMEDIES.get(code, _SERVER), status=response.status_code, code=code or None
    )


def _without_code(response: httpx.Response, doing: str, subject: str) -> FmMigrationError:
    """The answer of whoever stands before the engine: it is not JSON of FileMaker's."""
    status = response.status_code
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return _throttled(response, doing, subject)
    if status in (502, 503, 504):
        return EngineDownError(
            doing,
            subject,
            f"the proxy answers {status}: the engine behind it does not run",
            "Ask the hoster to start the Data API again if it stays so; it has come back by itself after 1 to 2 hours",
        )
    if status == 401:
        return LoginRefusedError(
            doing,
            subject,
            "the server answers 401 without a code, as it does for an expired token of Claris",
            "Renew FM_FILEMAKER_CLARIS_TOKEN, or correct the account",
            status=status,
        )
    if 200 <= status < 300:
        # A page of the proxy with status 200 is met under load; the same call works a moment later.
        return BrokenConnectionError(doing, subject, "the answer is not JSON", "Nothing: it is asked again")
    remedy = "Correct FM_FILEMAKER_URL, FM_FILEMAKER_DATABASE and FM_FILEMAKER_LAYOUT; upper and lower case count"
    return FileMakerError(doing, subject, f"the server answers {status}", remedy, status=status)


def _throttled(response: httpx.Response, doing: str, subject: str) -> ThrottledError:
    told = response.headers.get("retry-after", "")
    seconds = float(told) if told.isdecimal() else None
    return ThrottledError(doing, subject, f"the server answers {response.status_code}", "Nothing: we wait", seconds)


def of_connection(error: Exception, doing: str, subject: str) -> FmMigrationError:
    """For what httpx raises. The caller raises it outside of its `except`, so that no request hangs on it."""
    if isinstance(error, httpx.ConnectError) and _is_of_certificate(error):
        return TlsError(
            doing,
            subject,
            "the server's certificate is not one that we trust",
            "Set FM_FILEMAKER_CA to the certificate of the authority that signed it; checking cannot be switched off",
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return EngineDownError(doing, subject, "nobody answers at this address", "Check FM_FILEMAKER_URL and the line")
    found = f"the connection broke off ({type(error).__name__})"
    return BrokenConnectionError(doing, subject, found, "Nothing: it is asked again")


def _is_of_certificate(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _told(response: httpx.Response) -> dict[str, Any] | None:
    try:
        told = json.loads(response.content)
    except ValueError:
        # A log-in by a token of Claris is documented to be answered without a body.
        return {} if response.is_success and not response.content else None
    return told if isinstance(told, dict) else None


def _code(told: dict[str, Any]) -> tuple[str, str]:
    messages = told.get("messages")
    first = messages[0] if isinstance(messages, list) and messages and isinstance(messages[0], dict) else {}
    # A message may quote what was asked for; a find asks for our own keys, so nothing of a patient is in it.
    return str(first.get("code", "")), str(first.get("message", ""))[:_LONGEST_WORDS]
