"""The Data API: which paths there are, what each takes, and what it answers.

Belongs here: everything below /fmi/data. Does not belong here: reading parameters (`parameters.py`), the bytes of
containers (`streaming.py`), and what goes wrong on purpose (`storms.py`).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from fm_migration_tests.filemaker_server.books import Books
from fm_migration_tests.filemaker_server.clinic import Clinic, Field, Holding, Layout, Table, Upload, Value
from fm_migration_tests.filemaker_server.errors import FileMakerError
from fm_migration_tests.filemaker_server.parameters import (
    SCRIPT_PARAMETERS,
    common,
    dates_of,
    json_object,
    json_value,
    need_json,
    only,
    order_of,
    query_of,
    uploaded,
    whole_number,
)
from fm_migration_tests.filemaker_server.queries import Finder, day_format
from fm_migration_tests.filemaker_server.sessions import Session, Sessions
from fm_migration_tests.filemaker_server.settings import ServerSettings
from fm_migration_tests.filemaker_server.streaming import Streaming
from fm_migration_tests.filemaker_server.wire import Answer, Request, html

VERSIONS = ("v1", "v2", "vLatest")
DEFAULT_LIMIT, DEFAULT_PORTAL_LIMIT = 100, 50
SCRIPTS = {"Echo": "0", "Fail": "5"}


@dataclass(slots=True)
class Call:
    """A request on its way through the Data API."""

    request: Request
    words: list[str]
    session: Session | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A path, by its words: `*` stands for any. What serves it, by method, with the kind of request it is."""

    words: tuple[str, ...]
    methods: Mapping[str, tuple[str, Callable[[Call], Answer]]]


class DataApi:
    """Answers what begins with /fmi/data."""

    def __init__(
        self, settings: ServerSettings, sessions: Sessions, clinic: Clinic, streaming: Streaming,
        books: Books,
    ) -> None:  # fmt: skip
        self._settings, self._sessions = settings, sessions
        self._clinic, self._streaming, self._books = clinic, streaming, books
        self._finder = Finder(clinic)
        self._answers = 0
        #: The engine is up and the database is not: log-ins get 802, and sessions are gone.
        self.closed = False
        records = ("databases", "*", "layouts", "*", "records")
        self._routes = [
            Route(("productInfo",), {"GET": ("product", self._product)}),
            Route(("validateSession",), {"GET": ("validate", self._validate)}),
            Route(("databases",), {"GET": ("databases", self._databases)}),
            Route(("databases", "*", "sessions"), {"POST": ("login", self._login)}),
            Route(("databases", "*", "sessions", "*"), {"DELETE": ("logout", self._logout)}),
            Route(("databases", "*", "layouts"), {"GET": ("layouts", self._layouts)}),
            Route(("databases", "*", "layouts", "*"), {"GET": ("layouts", self._layout)}),
            Route(("databases", "*", "scripts"), {"GET": ("layouts", self._scripts)}),
            Route(("databases", "*", "globals"), {"PATCH": ("write", self._set_globals)}),
            Route(records, {"GET": ("records", self._records), "POST": ("write", self._create)}),
            Route(
                (*records, "*"),
                {
                    "GET": ("record", self._record),
                    "PATCH": ("write", self._edit),
                    "DELETE": ("write", self._delete),
                    "POST": ("write", self._duplicate),
                },
            ),
            Route((*records, "*", "containers", "*"), {"POST": ("write", self._upload)}),
            Route((*records, "*", "containers", "*", "*"), {"POST": ("write", self._upload)}),
            Route((*records[:-1], "_find"), {"POST": ("find", self._find)}),
            Route((*records[:-1], "script", "*"), {"GET": ("script", self._run_script)}),
        ]

    # --- the way in ---

    def kind(self, request: Request) -> str:
        route = self._route(request)
        if route is None:
            return "other"
        return route.methods.get(request.method, ("other", None))[0]

    def answer(self, request: Request) -> Answer:
        try:
            return self._served(request)
        except FileMakerError as error:
            return error.answer()

    def _served(self, request: Request) -> Answer:
        route = self._route(request)
        if route is None:
            raise FileMakerError("1700")
        if request.method not in route.methods:
            raise FileMakerError("1704")
        _, serve = route.methods[request.method]
        return serve(Call(request, request.segments[3:]))

    def _route(self, request: Request) -> Route | None:
        words = request.segments
        if len(words) < 4 or words[:2] != ["fmi", "data"] or words[2] not in VERSIONS:
            return None
        words = words[3:]
        return next((route for route in self._routes if _fits(route.words, words)), None)

    def user_of(self, request: Request) -> str:
        """Who a request says it is, for the log."""
        session = self.session_of(request)
        if session:
            return session.account
        by_basic = request.headers.get("authorization", "").lower().startswith("basic ")
        return (basic_account(request, self._settings.accounts) or "") if by_basic else ""

    def session_of(self, request: Request) -> Session | None:
        token = bearer(request)
        return self._sessions.peek(token) if token else None

    # --- without a session ---

    def _product(self, _: Call) -> Answer:
        info = {
            "name": "FileMaker Data API Engine",
            "buildDate": "11/20/2023",
            "version": self._settings.version,
            "dateFormat": "MM/dd/yyyy",
            "timeFormat": "HH:mm:ss",
            "timeStampFormat": "MM/dd/yyyy HH:mm:ss",
        }
        return self._ok({"productInfo": info})

    def _databases(self, call: Call) -> Answer:
        self._account(call.request)
        return self._ok({"databases": [] if self.closed else [{"name": self._settings.database}]})

    def _login(self, call: Call) -> Answer:
        try:
            return self._let_in(call)
        except FileMakerError:
            self._books.logins_refused += 1
            raise

    def _let_in(self, call: Call) -> Answer:
        request, database = call.request, call.words[1]
        need_json(request)
        body = json_object(request) if request.body.strip() else {}
        only(body, {"fmDataSource"})
        sources = body.get("fmDataSource", [])
        if not isinstance(sources, list) or not all(isinstance(one, dict) for one in sources):
            raise FileMakerError("1708")
        by_fmid = request.headers.get("authorization", "").lower().startswith("fmid ")
        if by_fmid and request.headers["authorization"][5:].strip() in self._settings.fmid_expired:
            return html(401)
        account = self._account(request, fmid=True)
        if self.closed or not self._opens(database):
            raise FileMakerError("802")
        session = self._sessions.open(account, database)
        self._books.logins += 1
        answer = self._ok({"token": session.token})
        if by_fmid and self._settings.fmid_login_body != "token":
            answer = self._ok({}) if self._settings.fmid_login_body == "object" else Answer(200, b"")
        answer.headers.append(("X-FM-Data-Access-Token", session.token))
        return answer

    def _opens(self, database: str) -> bool:
        """Another case opens the file too; its token is then good for paths in that case only."""
        own = self._settings.database
        return database == own or (self._settings.other_spelling == "952" and database.lower() == own.lower())

    def _account(self, request: Request, *, fmid: bool = False) -> str:
        """Who the header says it is, if that is true."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            raise FileMakerError("10")
        if fmid and scheme.lower() == "fmid" and value.strip() in self._settings.fmid_tokens:
            return "fmid"
        name = basic_account(request, self._settings.accounts) if scheme.lower() == "basic" else None
        if name is None:
            raise FileMakerError("212")
        return name

    # --- sessions ---

    def _validate(self, call: Call) -> Answer:
        self._enter(call, named=False)
        return self._ok({})

    def _logout(self, call: Call) -> Answer:
        session = self._sessions.find(call.words[3])
        if session is None or session.database != call.words[1]:
            raise FileMakerError("952")
        self._sessions.end(session, "logged out")
        return self._ok({})

    def _enter(self, call: Call, *, named: bool = True) -> Session:
        """The session that the call names. Its token is good for the database as it was written at log-in."""
        if not call.request.headers.get("authorization"):
            raise FileMakerError("10")
        token = bearer(call.request)
        session = self._sessions.find(token) if token else None
        if session is None or (named and session.database != call.words[1]):
            raise FileMakerError("952")
        self._within_budget()
        call.session = session
        return session

    def _within_budget(self) -> None:
        budget = self._settings.budget_bytes
        if budget and self.spent() >= budget:
            raise FileMakerError("953", status=self._settings.budget_status)

    def spent(self) -> int:
        """What counts against the year's limit, by the options."""
        counts, books = self._settings.budget_counts, self._books
        containers = books.bytes_containers + books.bytes_odata
        return {"json": books.bytes_json, "containers": containers, "both": books.bytes_json + containers}[counts]

    # --- metadata ---

    def _layouts(self, call: Call) -> Answer:
        self._enter(call)
        names = list(self._clinic.layouts.values())
        plain = [{"name": one.name, "table": one.table} for one in names]
        inner = {"name": "Old", "isFolder": True, "folderLayoutNames": plain[3:4]}
        folder = {"name": "API", "isFolder": True, "folderLayoutNames": [*plain[1:3], inner]}
        return self._ok({"layouts": [plain[0], folder, *plain[4:]]})

    def _layout(self, call: Call) -> Answer:
        self._enter(call)
        layout = self._named_layout(call.words[3])
        only(dict(call.request.parameters), {"recordId"})
        return self._ok(layout.metadata())

    def _scripts(self, call: Call) -> Answer:
        self._enter(call)
        echo, fail = ({"name": name, "isFolder": False} for name in SCRIPTS)
        return self._ok({"scripts": [echo, {"name": "More", "isFolder": True, "folderScriptNames": [fail]}]})

    def _named_layout(self, name: str) -> Layout:
        layout = self._clinic.layouts.get(name)
        if layout is None:
            raise FileMakerError("105")
        return layout

    # --- reading ---

    def _records(self, call: Call) -> Answer:
        self._enter(call)
        layout = self._named_layout(call.words[3])
        parameters = dict(call.request.parameters)
        allowed = {"_limit", "_offset", "_sort", *common(layout, "_")}
        only(parameters, allowed)
        order = order_of(json_value(parameters.get("_sort"), [])) if "_sort" in parameters else []
        dates = dates_of(parameters)
        numbers = self._finder.select(layout, None, order, dates)
        limit, offset = whole_number(parameters, "_limit", DEFAULT_LIMIT, 1), whole_number(parameters, "_offset", 1, 0)
        portals = self._portals(layout, json_value(parameters.get("portal"), None), parameters, "_")
        return self._found(call, layout, numbers, limit, offset, parameters, portals)

    def _record(self, call: Call) -> Answer:
        self._enter(call)
        layout = self._named_layout(call.words[3])
        parameters = dict(call.request.parameters)
        only(parameters, common(layout, "_"))
        number = self._number(layout, call.words[5])
        portals = self._portals(layout, json_value(parameters.get("portal"), None), parameters, "_")
        return self._found(call, layout, [number], 1, 1, parameters, portals)

    def _find(self, call: Call) -> Answer:
        self._enter(call)
        layout = self._named_layout(call.words[3])
        need_json(call.request)
        body = json_object(call.request)
        only(body, {"query", "sort", "limit", "offset", *common(layout, "")})
        numbers = self._finder.select(layout, query_of(body), order_of(body.get("sort", [])), dates_of(body))
        if not numbers:
            raise FileMakerError("401", status=self._settings.no_match_status)
        limit, offset = whole_number(body, "limit", DEFAULT_LIMIT, 1), whole_number(body, "offset", 1, 0)
        portal = json_value(body["portal"], None) if isinstance(body.get("portal"), str) else body.get("portal")
        return self._found(call, layout, numbers, limit, offset, body, self._portals(layout, portal, body, ""))

    def _number(self, layout: Layout, word: str) -> int:
        if not (word.isascii() and word.isdigit()) or int(word) not in self._clinic.tables[layout.table]:
            raise FileMakerError("101")
        return int(word)

    def _portals(
        self, layout: Layout, names: Any, parameters: Mapping[str, Any], prefix: str
    ) -> dict[str, tuple[int, int]]:
        """Limit and offset of each portal that is wanted; all of them when none is named."""
        wanted = list(layout.portals) if names is None else names
        if not isinstance(wanted, list):
            raise FileMakerError("960")
        return {
            name: (
                whole_number(parameters, f"{prefix}limit.{name}", DEFAULT_PORTAL_LIMIT, 1),
                whole_number(parameters, f"{prefix}offset.{name}", 1, 0),
            )
            for name in wanted
            if name in layout.portals
        }

    def _found(
        self, call: Call, layout: Layout, numbers: Sequence[int], limit: int, offset: int,
        parameters: Mapping[str, Any], portals: Mapping[str, tuple[int, int]],
    ) -> Answer:  # fmt: skip
        shown = layout
        if parameters.get("layout.response"):
            shown = self._named_layout(str(parameters["layout.response"]))
        scripts = self._scripts_of(parameters)
        start = max(0, offset - 1)
        page = numbers[start : start + limit]
        if not page and self._settings.past_end == "101":
            raise FileMakerError("101")
        table = self._clinic.tables[layout.table]
        dates = dates_of(parameters)
        data = [self._written(call, table, shown, number, dates, portals) for number in page]
        self._books.records_sent += len(data)
        info: dict[str, Any] = {"database": self._settings.database, "layout": shown.name, "table": shown.table}
        counts = {"totalRecordCount": len(table), "foundCount": len(numbers), "returnedCount": len(data)}
        if self._settings.counts == "strings":
            info |= {name: str(count) for name, count in counts.items()}
        elif self._settings.counts == "numbers":
            info |= counts
        response = {"data": data} if self._settings.counts == "absent" else {"dataInfo": info, "data": data}
        return self._ok(response | scripts)

    def _written(
        self, call: Call, table: Table, layout: Layout, number: int, dates: int, portals: Mapping[str, tuple[int, int]]
    ) -> dict[str, Any]:
        """One record as JSON has it."""
        values = table.values(number)
        fields: dict[str, Any] = {}
        for one in layout.fields:
            if one.name not in values and one.calculated:
                values |= self._calculated(values, one.name)
            self._write_field(fields, call, number, one, values.get(one.name, ""), dates)
        related, about = {}, []
        for name, (limit, offset) in portals.items():
            if name in layout.portals:
                related[name], count = self._rows(layout.portals[name], number, limit, offset, dates)
                about.append(
                    {
                        "portalObjectName": name,
                        "database": self._settings.database,
                        "table": name,
                        "foundCount": count,
                        "returnedCount": len(related[name]),
                    }
                )
        return {
            "fieldData": fields,
            "portalData": related,
            "recordId": str(number),
            "modId": str(table.modification(number)),
            "portalDataInfo": about,
        }

    def _calculated(self, values: Mapping[str, Value], name: str) -> dict[str, Value]:
        container = name.rpartition("_")[0]
        return self._clinic.proof(values.get(container, ""), container)

    def _write_field(
        self, fields: dict[str, Any], call: Call, number: int, one: Field, value: Value, dates: int
    ) -> None:
        if one.repetitions > 1:
            for place, part in enumerate(value, start=1):
                bare = place == 1 and self._settings.first_repetition == "bare"
                fields[one.name if bare else f"{one.name}({place})"] = self._plain(part, dates)
        elif isinstance(value, Holding | Upload):
            assert call.session is not None
            name = value.container if isinstance(value, Holding) else one.name
            fields[one.name] = self._streaming.url(call.session, number, name, value)
        else:
            fields[one.name] = self._plain(value, dates)

    def _plain(self, value: Value, dates: int) -> Any:
        if isinstance(value, date):
            day = day_format(dates, self._settings)
            return value.strftime(f"{day} %H:%M:%S" if isinstance(value, datetime) else day)
        return value

    def _rows(
        self, fields: Sequence[Field], contact: int, limit: int, offset: int, dates: int
    ) -> tuple[list[dict[str, Any]], int]:
        numbers = self._clinic.images_of(contact)
        start = max(0, offset - 1)
        rows = []
        for number in numbers[start : start + limit]:
            values = self._clinic.images.values(number)
            row = {one.name: self._plain(values[one.name.rpartition("::")[2]], dates) for one in fields}
            row |= {"recordId": str(number), "modId": str(self._clinic.images.modification(number))}
            rows.append(row)
        return rows, len(numbers)

    # --- scripts ---

    def _scripts_of(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """The results of the scripts that come with a request."""
        results: dict[str, str] = {}
        for word in ("script.prerequest", "script.presort", "script"):
            if word in parameters:
                results |= self._script(str(parameters[word]), str(parameters.get(f"{word}.param", "")), word[6:])
        return results

    def _scripts_in(self, call: Call) -> dict[str, str]:
        """Of a request that takes nothing but scripts."""
        parameters = dict(call.request.parameters)
        only(parameters, SCRIPT_PARAMETERS)
        return self._scripts_of(parameters)

    def _script(self, name: str, parameter: str, suffix: str) -> dict[str, str]:
        if name not in SCRIPTS:
            raise FileMakerError("104")
        self._books.scripts += 1
        return {f"scriptResult{suffix}": parameter, f"scriptError{suffix}": SCRIPTS[name]}

    def _run_script(self, call: Call) -> Answer:
        self._enter(call)
        self._named_layout(call.words[3])
        parameters = dict(call.request.parameters)
        only(parameters, {"script.param"})
        return self._ok(self._script(call.words[5], parameters.get("script.param", ""), ""))

    # --- writing: counted, because whoever only reads must not do it ---

    def _writing(self, call: Call, what: str) -> Table:
        self._books.writes[what] += 1
        self._enter(call)
        if self._settings.read_only:
            raise FileMakerError("200")
        return self._clinic.tables[self._named_layout(call.words[3]).table]

    def _create(self, call: Call) -> Answer:
        table = self._writing(call, "create")
        need_json(call.request)
        values = self._field_data(call)
        number = self._clinic.add_image(values) if table is self._clinic.images else table.add(values)
        return self._ok({"recordId": str(number), "modId": "0"})

    def _edit(self, call: Call) -> Answer:
        table = self._writing(call, "edit")
        number = self._number(self._named_layout(call.words[3]), call.words[5])
        need_json(call.request)
        values = self._field_data(call)
        expected = json_object(call.request).get("modId")
        if expected is not None and str(expected) != str(table.modification(number)):
            raise FileMakerError("306")
        return self._ok({"modId": str(table.change(number, values))})

    def _delete(self, call: Call) -> Answer:
        table = self._writing(call, "delete")
        number = self._number(self._named_layout(call.words[3]), call.words[5])
        scripts = self._scripts_in(call)
        _ = self._clinic.remove_image(number) if table is self._clinic.images else table.remove(number)
        return self._ok(scripts)

    def _duplicate(self, call: Call) -> Answer:
        table = self._writing(call, "duplicate")
        number = self._number(self._named_layout(call.words[3]), call.words[5])
        scripts = self._scripts_in(call)
        values = table.values(number)
        copy = self._clinic.add_image(values) if table is self._clinic.images else table.add(values)
        return self._ok({"recordId": str(copy), "modId": "0"} | scripts)

    def _field_data(self, call: Call) -> dict[str, Value]:
        body = json_object(call.request)
        only(body, {"fieldData", "portalData", "modId", "options", "dateformats", *SCRIPT_PARAMETERS})
        layout = self._named_layout(call.words[3])
        values = body.get("fieldData")
        if not isinstance(values, dict):
            raise FileMakerError("1708")
        for name in values:
            one = layout.field(name)
            if one is None:
                raise FileMakerError("102")
            if one.calculated or one.result == "container":
                raise FileMakerError("201")
        return {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}

    def _upload(self, call: Call) -> Answer:
        table = self._writing(call, "upload")
        layout = self._named_layout(call.words[3])
        number = self._number(layout, call.words[5])
        one = layout.field(call.words[7])
        if one is None or one.result != "container":
            raise FileMakerError("102")
        upload = uploaded(call.request)
        return self._ok({"modId": str(table.change(number, {one.name: upload}))})

    def _set_globals(self, call: Call) -> Answer:
        self._books.writes["globals"] += 1
        self._enter(call)
        need_json(call.request)
        only(json_object(call.request), {"globalFields"})
        return self._ok({})

    # --- the way out ---

    def _ok(self, response: Mapping[str, Any]) -> Answer:
        """The order of the two keys varies between the answers of a real server."""
        messages = [{"code": "0", "message": "OK"}]
        body: dict[str, Any] = {"response": response, "messages": messages}
        self._answers += 1
        if self._settings.key_order == "varies" and self._answers % 3 == 0:
            body = {"messages": messages, "response": response}
        return Answer(200, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def basic_account(request: Request, accounts: Mapping[str, str]) -> str | None:
    """The account of a Basic header whose password is right."""
    value = request.headers.get("authorization", "").partition(" ")[2]
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name if accounts.get(name) == password else None


def code_of(answer: Answer) -> str:
    """FileMaker's code in an answer, for the log."""
    if answer.status < 400 or not answer.content_type.startswith("application/json"):
        return "0" if answer.status < 400 else str(answer.status)
    try:
        return str(json.loads(answer.body)["messages"][0]["code"])
    except (ValueError, LookupError, TypeError):
        return str(answer.status)


def _fits(pattern: Sequence[str], words: Sequence[str]) -> bool:
    return len(pattern) == len(words) and all(
        word == wanted or (wanted == "*" and word) for wanted, word in zip(pattern, words, strict=True)
    )
