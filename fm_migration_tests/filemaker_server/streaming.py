"""Containers as a client gets them: a URL in the record, then a redirect with a cookie, then the bytes.

The URL's 64 hexadecimal digits say which container of which record it means, in whose session it was given out, and
when. So none of them needs to be remembered, and each can be found to be stale.

Belongs here: container URLs and how they are answered. Does not belong here: what is in a container (`clinic.py`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fm_migration_tests.filemaker_server.clinic import Clinic, Holding, Upload, Value
from fm_migration_tests.filemaker_server.clock import Clock
from fm_migration_tests.filemaker_server.sessions import Session, Sessions
from fm_migration_tests.filemaker_server.settings import CONTAINERS, ServerSettings
from fm_migration_tests.filemaker_server.wire import Answer, Request, html

COOKIE = "X-FMS-Session-Key"
FOLDER = "Streaming_SSL"
#: Volume and way of storing, as they are met: inside the file, outside of it, outside and encrypted.
PLACES = (
    ("MainDB", "EmbeddedRCFileProcessor"),
    ("Additional_1", "RCFileProcessor"),
    ("Additional_1", "SecuredRCFileProcessor"),
)
#: Offers of a cookie that are remembered; a client uses one at once.
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Address:
    """What a container's URL says."""

    record: int
    container: str
    session: int
    issued: int
    serial: int


@dataclass(frozen=True)
class Origin:
    """Where the server is reached."""

    host: str
    https_port: int
    http_port: int
    #: A host of another name, because cookies are kept by name and not by port.
    elsewhere: str


class Streaming:
    """Gives out URLs, and answers them."""

    def __init__(
        self, settings: ServerSettings, clock: Clock, sessions: Sessions, clinic: Clinic, origin: Callable[[], Origin]
    ) -> None:
        self._settings, self._clock, self._sessions, self._clinic = settings, clock, sessions, clinic
        self._origin = origin
        self._key, self._stream_key = secrets.token_bytes(32), secrets.token_bytes(32)
        self._serial = 0
        self._offers: OrderedDict[str, str] = OrderedDict()
        #: Cookies that were given out, for looking whether one is in a URL.
        self.cookies: set[str] = set()
        self.redirects = 0

    # --- giving out ---

    def url(self, session: Session, record: int, container: str, value: Value) -> str:
        """The value of a container field: another URL at each reading; empty is "" or "?"."""
        if isinstance(value, Holding) and value.empty:
            return "?" if value.dead == "question" else ""
        if not isinstance(value, Holding | Upload):
            return ""
        self._serial = (self._serial + 1) % (1 << 24)
        address = Address(record, container, session.number, int(self._clock.now()), self._serial)
        words = self._sealed(address)
        volume, kind = PLACES[record % len(PLACES)]
        if record * 37 % 100 < self._settings.extension_share * 100:
            words += f".{value.form if isinstance(value, Holding) else value.name.rpartition('.')[2]}"
        return f"{self._host()}{FOLDER}/{volume}/{words}?RCType={kind}"

    def _host(self) -> str:
        """All that was met before the path, with the slash where there is one."""
        at = self._origin()
        return {
            "port": f"https://{at.host}:{at.https_port}/",
            "upper": f"https://{at.host.upper()}:{at.https_port}/",
            "443": f"https://{at.host}:443/",
            "glued": f"https://{at.host}",
            "http": f"http://{at.host}:{at.http_port}/",
            "path": "/",
            "elsewhere": f"https://{at.elsewhere}/",
        }[self._settings.container_urls]

    def _sealed(self, address: Address) -> str:
        plain = b"".join(
            (
                address.record.to_bytes(5),
                CONTAINERS.index(address.container).to_bytes(1),
                address.session.to_bytes(3),
                address.issued.to_bytes(4),
                address.serial.to_bytes(3),
            )
        )
        tag = hashlib.blake2b(plain, key=self._key, digest_size=16).digest()
        return (tag + self._veiled(plain, tag)).hex()

    def _veiled(self, data: bytes, tag: bytes) -> bytes:
        veil = hashlib.blake2b(tag, key=self._stream_key, digest_size=16).digest()
        return (int.from_bytes(data) ^ int.from_bytes(veil)).to_bytes(16)

    def address(self, request: Request) -> Address | None:
        """What the URL of a request means; None for one that this server never gave out."""
        words = request.segments
        if len(words) != 3 or words[0] != FOLDER or words[1] not in {volume for volume, _ in PLACES}:
            return None
        try:
            sealed = bytes.fromhex(words[2].partition(".")[0])
        except ValueError:
            return None
        plain = self._veiled(sealed[16:], sealed[:16]) if len(sealed) == 32 else b""
        if not plain or hashlib.blake2b(plain, key=self._key, digest_size=16).digest() != sealed[:16]:
            return None
        numbers = (int.from_bytes(plain[start:end]) for start, end in ((0, 5), (5, 6), (6, 9), (9, 13), (13, 16)))
        record, container, session, issued, serial = numbers
        return Address(record, CONTAINERS[container], session, issued, serial)

    # --- answering ---

    def answer(self, request: Request, address: Address | None, bearer: str | None) -> Answer:
        if address is None:
            return html(404)
        if request.method != "GET":
            return html(405)
        since = self._stale_for(address)
        if since is not None:
            return self._stale(request, since)
        if self._settings.authenticated_stream == 2:
            return self.bytes_of(address)
        return self._by_cookie(request, address, bearer)

    def _stale_for(self, address: Address) -> float | None:
        """For how long this URL has been dead: by its age, or with its session."""
        session = self._sessions.by_number(address.session)
        died = address.issued + self._settings.url_seconds
        if session is None or session.ended is not None:
            died = min(died, session.ended or 0.0 if session else 0.0)
        gone = self._clock.now() - died
        return gone if gone >= 0 else None

    def _stale(self, request: Request, since: float) -> Answer:
        """At first it still redirects, but gives no cookie; later it refuses."""
        if since < self._settings.stale_redirect_seconds and not _is_redirect(request):
            return self._redirect(request, cookie=None)
        return html(401)

    def stale(self, request: Request) -> Answer:
        """What a URL that has just died answers."""
        return self._stale(request, 0.0)

    def _by_cookie(self, request: Request, address: Address, bearer: str | None) -> Answer:
        name = request.segments[2]
        shown = request.cookies.get(COOKIE)
        offered = self._offers.get(name)
        if shown and (shown == offered or (self._settings.cookie_holds_for == "all" and shown in self.cookies)):
            return self.bytes_of(address)
        if _is_redirect(request) or (offered and self._settings.second_get == "refuse"):
            return html(401)
        if self._settings.container_bearer == "required" and not (bearer and self._sessions.peek(bearer)):
            return self._redirect(request, cookie=None)
        cookie = secrets.token_hex(20)
        self._offers[name] = cookie
        self.cookies.add(cookie)
        if len(self._offers) > REMEMBERED:
            self.cookies.discard(self._offers.popitem(last=False)[1])
        return self._redirect(request, cookie=cookie)

    def _redirect(self, request: Request, cookie: str | None) -> Answer:
        self.redirects += 1
        location = f"{request.target}{'&' if '?' in request.target else '?'}Redirect"
        style = self._settings.redirect_location
        if style == "absolute" or (style == "alternate" and self.redirects % 2):
            scheme = "https" if request.secure else "http"
            location = f"{scheme}://{request.headers.get('host', self._origin().host)}{location}"
        elif style == "elsewhere":
            location = f"https://{self._origin().elsewhere}{location}"
        answer = html(302)
        answer.headers.append(("Location", location))
        if cookie:
            answer.headers.append(("Set-Cookie", f"{COOKIE}={cookie}; HttpOnly"))
        return answer

    def bytes_of(self, address: Address) -> Answer:
        if address.record not in self._clinic.images:
            return html(404)
        return container_answer(self._clinic, self._clinic.in_container(address.record, address.container))


def container_answer(clinic: Clinic, value: Value) -> Answer:
    """The bytes, or what a broken container answers instead, for ever."""
    if isinstance(value, Upload):
        return Answer(200, value.data, value.content_type, delivered=True)
    assert isinstance(value, Holding)
    if value.dead in _DEAD_STATUS:
        answer = html(_DEAD_STATUS[value.dead])
    else:
        answer = Answer(200, clinic.content(value), value.content_type)
    answer.delivered = True
    return answer


_DEAD_STATUS = {"html": 200, "error": 500, "refused": 401, "gateway": 502}


def _is_redirect(request: Request) -> bool:
    return any(name == "Redirect" for name, _ in request.parameters)
