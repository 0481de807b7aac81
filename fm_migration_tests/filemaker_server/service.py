"""The server without its sockets: every request passes here, is struck by storms or not, answered, counted, logged.

Belongs here: the way of a request through the parts, and what can be asked of the whole (`OPERATIONS`). Does not
belong here: any single answer, and ports (`server.py`).
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from fm_migration_tests.filemaker_server.books import Books
from fm_migration_tests.filemaker_server.clinic import Clinic, Holding
from fm_migration_tests.filemaker_server.clock import Clock
from fm_migration_tests.filemaker_server.data_api import DataApi, bearer, code_of
from fm_migration_tests.filemaker_server.errors import FileMakerError
from fm_migration_tests.filemaker_server.odata import OData
from fm_migration_tests.filemaker_server.sessions import Sessions
from fm_migration_tests.filemaker_server.settings import FIXED, ServerSettings
from fm_migration_tests.filemaker_server.storms import DATA_KINDS, ON_THE_ANSWER, Storm, Storms
from fm_migration_tests.filemaker_server.streaming import FOLDER, Address, Origin, Streaming
from fm_migration_tests.filemaker_server.wire import Answer, Request, html


class Service:
    """The server without its sockets: from a request to an answer."""

    def __init__(self, settings: ServerSettings, on_line: Callable[[str], None] | None = None) -> None:
        self.settings = settings
        self.clock = Clock()
        self.books = Books(self.clock, on_line)
        self.clinic = Clinic(settings)
        self.sessions = Sessions(settings, self.clock)
        self.origin = Origin("localhost", 443, 80, "elsewhere.invalid")
        self.streaming = Streaming(settings, self.clock, self.sessions, self.clinic, lambda: self.origin)
        self.data = DataApi(settings, self.sessions, self.clinic, self.streaming, self.books)
        self.odata = OData(settings, self.clinic)
        self.weather = Storms()
        #: Engines that are off: "data" (with its containers) or "odata".
        self.off: set[str] = set()
        self._dice = random.Random(settings.seed)

    # --- requests ---

    def handle(self, request: Request) -> Answer:
        """Whatever happens: a mistake in here must not look like the weather."""
        try:
            return self._handle(request)
        except Exception:
            self.books.faults.append(traceback.format_exc())
            return html(500)

    def _handle(self, request: Request) -> Answer:
        kind, address = self._classify(request)
        self.books.begin(request, kind)
        self.books.look_for_credentials(
            request,
            kind=kind,
            accounts=self.settings.accounts,
            tokens=self.sessions.tokens,
            cookies=self.streaming.cookies,
        )
        user = self.data.user_of(request)
        target = self._target(request, kind, address)
        answer = self._through_storms(request, kind, address, target)
        answer.delay += self._latency(kind)
        if target and answer.delivered:
            value = self.clinic.in_container(*target)
            dead = isinstance(value, Holding) and value.dead
            (self.books.dead_asked if dead else self.books.fetched)[target] += 1
        self.books.answered(request, kind, answer, code_of(answer), user)
        return answer

    def done(self, _: Request) -> None:
        self.books.end()

    def _classify(self, request: Request) -> tuple[str, Address | None]:
        path = request.path
        if path.startswith("/fmi/data/"):
            return self.data.kind(request), None
        if path.startswith("/fmi/odata/"):
            return "odata", None
        if path.startswith(f"/{FOLDER}/"):
            return "container", self.streaming.address(request)
        return "other", None

    def _target(self, request: Request, kind: str, address: Address | None) -> tuple[int, str] | None:
        if address:
            return address.record, address.container
        return self.odata.target(request) if kind == "odata" else None

    def _through_storms(
        self, request: Request, kind: str, address: Address | None, target: tuple[int, str] | None
    ) -> Answer:
        striking = self.weather.striking(kind, target[0] if target else None, self.clock.now())
        for storm, begins, _ in striking:
            self.books.storms[storm.name] += 1
            if begins and storm.kills_sessions:
                self.sessions.end_all("engine restarted")
            answer = self._instead(storm, request)
            if answer:
                return answer
        answer = self._served(request, kind, address)
        for storm, _, dice in striking:
            if storm.action in ON_THE_ANSWER:
                self._spoil(answer, storm, dice)
        return answer

    def _served(self, request: Request, kind: str, address: Address | None) -> Answer:
        if not request.secure and self.settings.http == "redirect":
            answer = html(301)
            answer.headers.append(("Location", f"https://{self.origin.host}:{self.origin.https_port}{request.target}"))
            return answer
        if kind == "odata":
            return html(502) if "odata" in self.off else self.odata.answer(request)
        if "data" in self.off and (kind in DATA_KINDS or kind == "container"):
            return html(502)
        if kind == "container":
            if self._budget_is_spent():
                return FileMakerError("953", status=self.settings.budget_status).answer()
            return self._container(request, address)
        return self.data.answer(request) if request.path.startswith("/fmi/data/") else html(404)

    def _budget_is_spent(self) -> bool:
        budget = self.settings.budget_bytes
        return bool(budget) and self.settings.budget_counts != "json" and self.data.spent() >= budget

    def _container(self, request: Request, address: Address | None) -> Answer:
        token = bearer(request)
        if token and self.settings.container_resets_session:
            self.sessions.find(token)
        return self.streaming.answer(request, address, token)

    def _latency(self, kind: str) -> float:
        seconds = self.settings.latency.get(kind, self.settings.latency.get("any", 0.0))
        return seconds * (1 + self._dice.random() * self.settings.latency_jitter) if seconds else 0.0

    # --- storms ---

    def _instead(self, storm: Storm, request: Request) -> Answer | None:
        """What goes out instead of the answer that the server would give."""
        session = self.data.session_of(request)
        if storm.action == "revoke" and session:
            self.sessions.end(session, "revoked")
        if storm.action == "restart":
            self.sessions.end_all("engine restarted")
        if storm.action == "window_missing" and session:
            self.sessions.end(session, "window lost")
            return FileMakerError("112").answer()
        if storm.action == "stale":
            return self.streaming.stale(request)
        return _replacement(storm)

    def _spoil(self, answer: Answer, storm: Storm, dice: random.Random) -> None:
        answer.delivered &= storm.action in ("change", "delay")
        if storm.action == "change":
            self._change(storm, dice)
        elif storm.action == "delay":
            answer.delay += storm.seconds
        elif storm.action == "hang":
            answer.ending = "hang"
        elif answer.status == 200 and answer.body:
            _cut(answer, storm, dice)

    def _change(self, storm: Storm, dice: random.Random) -> None:
        for _ in range(storm.add):
            numbers = self.clinic.images.numbers()
            like = numbers[dice.randrange(len(numbers))] if storm.add_like and numbers else None
            self.clinic.add_image({"recid": self.clinic.recid(like)} if like else None)
        for number in storm.remove_records:
            self.clinic.remove_image(number)
        numbers = self.clinic.images.numbers()
        for _ in range(min(storm.remove, len(numbers))):
            self.clinic.remove_image(numbers[dice.randrange(len(numbers))])

    # --- the report ---

    def report(self) -> dict[str, Any]:
        history = self.sessions.history()
        ends: dict[str, int] = {}
        for session in history:
            ends[session.how or "live"] = ends.get(session.how or "live", 0) + 1
        images = self.clinic.images
        return self.books.report() | {
            "sessions_at_once_most": self.sessions.most_at_once,
            "sessions_live": len(self.sessions.live()),
            "sessions_left": sum(session.how in (None, "expired") for session in history),
            "sessions_by_end": ends,
            "sessions": [session.summary() for session in history[-1000:]],
            "records": len(images),
            "records_added": list(images.added),
            "records_removed": list(images.removed),
            "container_redirects": self.streaming.redirects,
        }

    # --- what a test says to it: each takes and gives what JSON can hold ---

    def clear_report(self) -> None:
        """Counts from the beginning; sessions and records stay as they are."""
        self.books.clear()

    def log(self) -> list[str]:
        return list(self.books.log)

    def truth(self) -> list[dict[str, Any]]:
        """Each photograph with the SHA-256 of its best picture, or why there is none."""
        return list(self.clinic.truth())

    def storms(self, storms: list[dict[str, Any]], seed: int = 0) -> None:
        """These and no others from now on."""
        self.weather.set([Storm.model_validate(one) for one in storms], seed)

    def change_settings(self, **values: Any) -> None:
        for name, value in values.items():
            if name in FIXED:
                raise ValueError(f"{name} cannot change while the server runs")
            setattr(self.settings, name, value)

    def advance(self, seconds: float) -> None:
        """The clock goes forwards: sessions and URLs grow old."""
        self.clock.advance(seconds)

    def end_sessions(self) -> int:
        """As an administrator does in the console."""
        return self.sessions.end_all("revoked")

    def stop_engine(self, engine: str = "data") -> None:
        """502 until it is started; the Data API's engine takes its sessions with it, and containers fail too."""
        if engine not in ("data", "odata"):
            raise ValueError(f"there is no engine {engine}, only data and odata")
        self.off.add(engine)
        if engine == "data":
            self.sessions.end_all("engine restarted")

    def start_engine(self, engine: str = "data") -> None:
        self.off.discard(engine)

    def close_database(self) -> None:
        """The engine answers, the file is not open: 802."""
        self.data.closed = True
        self.sessions.end_all("revoked")

    def open_database(self) -> None:
        self.data.closed = False

    def add_records(self, count: int = 1) -> list[int]:
        return [self.clinic.add_image() for _ in range(count)]

    def remove_records(self, numbers: list[int]) -> list[int]:
        return [number for number in numbers if self.clinic.remove_image(number)]

    def do(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """One of OPERATIONS by its name."""
        if operation not in OPERATIONS:
            raise ValueError(f"there is no operation {operation}; there are {', '.join(OPERATIONS)}")
        return getattr(self, operation)(**arguments)


#: What `FileMakerServer`, `ServerProcess` and the control port offer.
OPERATIONS = (
    "report", "clear_report", "log", "truth", "storms", "change_settings", "advance", "end_sessions", "stop_engine",
    "start_engine", "close_database", "open_database", "add_records", "remove_records",
)  # fmt: skip


def _replacement(storm: Storm) -> Answer | None:
    if storm.action == "status":
        answer = html(storm.status)
        if storm.retry_after is not None:
            answer.headers.append(("Retry-After", str(storm.retry_after)))
        return answer
    if storm.action == "code":
        given = storm.status if "status" in storm.model_fields_set else None
        return FileMakerError(storm.code, status=given).answer()
    if storm.action == "html":
        return html(200, "<p>The service is starting.</p>\r\n")
    if storm.action == "empty":
        return Answer(200, b"", "application/octet-stream")
    if storm.action == "reset":
        return Answer(200, b"", cut=0, ending="reset")
    return None


def _cut(answer: Answer, storm: Storm, dice: random.Random) -> None:
    """Part of the body, or all of it with one byte wrong."""
    kept = min(len(answer.body) - 1, int(len(answer.body) * storm.keep))
    if storm.action == "short":
        answer.body = answer.body[:kept]
    elif storm.action == "truncate":
        answer.cut, answer.ending = kept, "close"
    elif storm.action == "reset_midway":
        answer.cut, answer.ending = max(1, kept), "reset"
    elif storm.action == "corrupt":
        place = dice.randrange(len(answer.body))
        answer.body = answer.body[:place] + bytes([answer.body[place] ^ 0x55]) + answer.body[place + 1 :]
