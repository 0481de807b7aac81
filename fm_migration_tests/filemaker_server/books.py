"""What the server writes down: the log, in the form of a real server's, and the figures of its report.

The report answers what a clinic would want to know of whoever reads its server: did it write, how many sessions did
it hold, did it fetch anything twice, did it carry a password where none belongs.

Belongs here: counting. Does not belong here: judging.
"""

from __future__ import annotations

import base64
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from fm_migration_tests.filemaker_server.clock import Clock
from fm_migration_tests.filemaker_server.wire import Answer, Request

LOG_LINES = 200_000
_SECRET = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{40,51}(?![0-9a-zA-Z])")


class Books:
    """One set for the whole server; `clear` begins a new one."""

    def __init__(self, clock: Clock, on_line: Callable[[str], None] | None = None) -> None:
        self._clock = clock
        self._on_line = on_line
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._in_flight = 0
        self.clear()

    def clear(self) -> None:
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.storms: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.scripts = 0
        self.logins = self.logins_refused = 0
        self.most_at_once = 0
        self.records_sent = 0
        self.bytes_json = self.bytes_containers = self.bytes_odata = 0
        self.bytes_by_day: dict[str, Counter[str]] = {}
        #: (record, container): how often its bytes went out whole.
        self.fetched: Counter[tuple[int, str]] = Counter()
        #: The same of containers that hold nothing sound.
        self.dead_asked: Counter[tuple[int, str]] = Counter()
        #: Mistakes of this server's own.
        self.faults: list[str] = []
        self.credentials_in_urls: list[str] = []
        self.credentials_elsewhere: list[str] = []
        self.credentials_without_tls: Counter[str] = Counter()
        self.requests_elsewhere = 0
        self.user_agents: Counter[str] = Counter()

    # --- one request ---

    def begin(self, request: Request, kind: str) -> None:
        self._in_flight += 1
        self.most_at_once = max(self.most_at_once, self._in_flight)
        self.requests[kind] += 1
        self.user_agents[request.headers.get("user-agent", "")[:200]] += 1
        if not request.secure and (request.headers.get("authorization") or request.headers.get("cookie")):
            self.credentials_without_tls[kind] += 1

    def end(self) -> None:
        self._in_flight -= 1

    def answered(self, request: Request, kind: str, answer: Answer, code: str, user: str) -> None:
        size = len(answer.sent)
        self.statuses[f"{kind} {answer.status}"] += 1
        if code != "0":
            self.codes[code] += 1
        self._add_bytes(kind, size)
        moment = self._clock.wall()
        stamp = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} +0000"
        level = "INFO" if code == "0" and answer.status < 400 else "ERROR"
        path = request.path
        self._write("\t".join((stamp, code, level, request.peer, user, request.method, path, str(size))))

    def _add_bytes(self, kind: str, size: int) -> None:
        day = self.bytes_by_day.setdefault(f"{self._clock.wall():%Y-%m-%d}", Counter())
        if kind == "container":
            self.bytes_containers += size
            day["containers"] += size
        elif kind == "odata":
            self.bytes_odata += size
            day["odata"] += size
        else:
            self.bytes_json += size
            day["json"] += size

    def _write(self, line: str) -> None:
        self.log.append(line)
        if self._on_line:
            self._on_line(line)

    # --- secrets where they do not belong ---

    def look_for_credentials(
        self, request: Request, *, kind: str, accounts: dict[str, str], tokens: set[str], cookies: set[str]
    ) -> None:
        """The token is part of the path of a log-out, and nowhere else."""
        target = request.target
        if kind == "logout":
            return
        # Most requests have nothing that could be one.
        found = [
            f"{kind}: a token or a cookie" for word in _SECRET.findall(target) if word in tokens or word in cookies
        ]
        found += [f"{kind}: {what}" for what in _passwords_in(target, accounts)]
        self.credentials_in_urls += found

    def elsewhere(self, request: Request) -> None:
        """A request to the host that is not the server: whatever it carries was given away."""
        self.requests_elsewhere += 1
        names = ("authorization", "cookie", "x-fm-data-access-token")
        self.credentials_elsewhere += [name for name in names if request.headers.get(name)]

    # --- the report ---

    def report(self) -> dict[str, Any]:
        again = {f"{record} {name}": count for (record, name), count in self.fetched.items() if count > 1}
        return {
            "requests": dict(self.requests),
            "requests_at_once_most": self.most_at_once,
            "statuses": dict(self.statuses),
            "codes": dict(self.codes),
            "storms": dict(self.storms),
            "logins": self.logins,
            "logins_refused": self.logins_refused,
            "writes": sum(self.writes.values()),
            "writes_by_kind": dict(self.writes),
            "scripts_run": self.scripts,
            "records_sent": self.records_sent,
            "containers_fetched": sum(self.fetched.values()),
            "containers_distinct": len(self.fetched),
            "containers_fetched_again": sum(count - 1 for count in again.values()),
            "containers_fetched_again_which": dict(list(again.items())[:100]),
            "dead_asked": sum(self.dead_asked.values()),
            "dead_asked_again": sum(count - 1 for count in self.dead_asked.values()),
            "faults": list(self.faults),
            "bytes_json": self.bytes_json,
            "bytes_containers": self.bytes_containers,
            "bytes_odata": self.bytes_odata,
            "bytes_by_day": {day: dict(counts) for day, counts in self.bytes_by_day.items()},
            "credentials_in_urls": len(self.credentials_in_urls),
            "credentials_in_urls_where": self.credentials_in_urls[:100],
            "credentials_elsewhere": len(self.credentials_elsewhere),
            "credentials_elsewhere_which": self.credentials_elsewhere[:100],
            "credentials_without_tls": sum(self.credentials_without_tls.values()),
            "requests_elsewhere": self.requests_elsewhere,
            "user_agents": dict(self.user_agents.most_common(20)),
        }


def _passwords_in(target: str, accounts: dict[str, str]) -> Iterable[str]:
    if "@" in target.partition("?")[0].partition("://")[2].partition("/")[0]:
        yield "a name before an @"
    text = unquote(target)
    values = {value for part in text.partition("?")[2].split("&") for value in part.split("=", 1)}
    for name, password in accounts.items():
        basic = base64.b64encode(f"{name}:{password}".encode()).decode()
        if password in text or basic in text:
            yield "a password"
        elif name in values:
            yield "an account"
