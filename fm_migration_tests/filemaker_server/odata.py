"""OData: the other engine of the same server, and its way to a container's bytes: at once, by Basic, without a session.

Belongs here: everything below /fmi/odata/v4 that it takes to find a record and read it. Does not belong here: joins,
writing, batches; of filters only comparisons.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from xml.sax.saxutils import quoteattr

from fm_migration_tests.filemaker_server.clinic import Clinic, Field, Holding, Table, Upload, Value
from fm_migration_tests.filemaker_server.data_api import basic_account
from fm_migration_tests.filemaker_server.settings import CONTAINERS, ServerSettings
from fm_migration_tests.filemaker_server.streaming import container_answer
from fm_migration_tests.filemaker_server.wire import Answer, Request, html

_ENTITY = re.compile(r"(?P<table>[^()]+)\((?:'(?P<key>(?:[^']|'')*)'|(?P<number>\d+))\)")
_COMPARISON = re.compile(
    r"""(?:"(?P<quoted>[^"]+)"|(?P<name>\w+))\s+(?P<operator>eq|ne|gt|ge|lt|le)\s+"""
    r"""(?:'(?P<text>(?:[^']|'')*)'|(?P<literal>[\w.:+-]+))"""
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_EDM = {"text": "String", "number": "Decimal", "date": "Date", "timeStamp": "DateTimeOffset", "container": "Stream"}
_KNOWN_TYPES = {"image/gif", "image/png", "image/jpeg", "image/tiff", "application/pdf"}
TABLES = ("Images", "Contacts")


class OData:
    """Answers what begins with /fmi/odata."""

    def __init__(self, settings: ServerSettings, clinic: Clinic) -> None:
        self._settings, self._clinic = settings, clinic
        self._numbers: tuple[int, dict[str, int]] | None = None

    def answer(self, request: Request) -> Answer:
        if not self._settings.odata or request.segments[2:3] != ["v4"]:
            return html(404)
        if basic_account(request, self._settings.accounts) is None:
            refusal = _error(401, "212", "Invalid user account and/or password; please try again")
            refusal.headers.append(("WWW-Authenticate", 'Basic realm="FileMaker Server"'))
            return refusal
        if request.method != "GET":
            return _error(405, "1704", "Resource doesn't support the specified HTTP verb")
        return self._read(request.segments[3:], dict(request.parameters), _wants_name(request, self._settings))

    def target(self, request: Request) -> tuple[int, str] | None:
        """Which container of which record a request asks for."""
        words = request.segments[4:]
        found = _ENTITY.fullmatch(words[0]) if len(words) == 3 and words[2] == "$value" else None
        number = self._number(found) if found and found["table"] == "Images" else None
        return (number, words[1]) if number is not None and words[1] in CONTAINERS else None

    def _read(self, words: Sequence[str], parameters: Mapping[str, str], as_name: bool) -> Answer:
        if not words:
            return _json({"value": [{"name": self._settings.database, "url": self._settings.database}]})
        if words[0] != self._settings.database:
            return _error(404, "802", "Unable to open file")
        if len(words) == 1:
            return _json({"value": [{"name": name, "kind": "EntitySet", "url": name} for name in TABLES]})
        if words[1:] == ["$metadata"]:
            return Answer(200, self._metadata().encode(), "application/xml; charset=utf-8")
        if words[1] in self._clinic.tables:
            return self._collection(self._clinic.tables[words[1]], words[2:], parameters)
        return self._entity(words[1], words[2:], as_name)

    def _collection(self, table: Table, rest: Sequence[str], parameters: Mapping[str, str]) -> Answer:
        """Many records, in pages."""
        unknown = set(parameters) - {"$top", "$skip", "$count", "$select", "$filter"}
        tests = _tests(parameters.get("$filter", ""))
        top, skip = parameters.get("$top", "1000"), parameters.get("$skip", "0")
        if unknown or tests is None or not (top.isdigit() and skip.isdigit()):
            return _error(400, "1708", "Parameter value is invalid")
        numbers = table.numbers()
        if tests:
            numbers = [one for one in numbers if all(test(table.values(one)) for test in tests)]
        if list(rest) == ["$count"]:
            return Answer(200, str(len(numbers)).encode(), "text/plain; charset=utf-8")
        page = [_properties(table.values(one)) for one in numbers[int(skip) : int(skip) + int(top)]]
        chosen = [name.strip().strip('"') for name in parameters.get("$select", "").split(",") if name.strip()]
        if chosen:
            page = [{name: one[name] for name in chosen if name in one} for one in page]
        counted = {"@odata.count": len(numbers)} if parameters.get("$count") == "true" else {}
        return _json(counted | {"value": page})

    def _entity(self, word: str, rest: Sequence[str], as_name: bool) -> Answer:
        found = _ENTITY.fullmatch(word)
        table = self._clinic.tables.get(found["table"]) if found else None
        number = self._number(found) if found and table else None
        if table is None or number is None:
            return _error(404, "101", "Record is missing")
        if not rest:
            return _json(_properties(table.values(number)))
        if rest[1:] != ["$value"] or rest[0] not in table.values(number):
            return _error(404, "102", "Field is missing")
        value = table.values(number)[rest[0]]
        if as_name and isinstance(value, Holding | Upload):
            name = value.name if isinstance(value, Upload) else f"IMG_{value.record:05d}.{value.form.upper()}"
            return Answer(200, name.encode(), "text/plain; charset=utf-8")
        return self._value(value)

    def _number(self, found: re.Match[str]) -> int | None:
        """The key is the field `id`; a number is the record's own."""
        table = self._clinic.tables[found["table"]]
        if found["number"]:
            return int(found["number"]) if int(found["number"]) in table else None
        key = found["key"].replace("''", "'")
        return self._by_id().get(key.upper()) if table is self._clinic.images else self._scan(table, key)

    def _by_id(self) -> Mapping[str, int]:
        """Whoever asks first waits until all ids were computed."""
        images = self._clinic.images
        if self._numbers is None or self._numbers[0] != images.version:
            self._numbers = (images.version, {self._clinic.image_id(number): number for number in images.numbers()})
        return self._numbers[1]

    def _scan(self, table: Table, key: str) -> int | None:
        return next((number for number in table.numbers() if table.values(number)["id"] == key), None)

    def _value(self, value: Value) -> Answer:
        if not isinstance(value, Holding | Upload):
            return Answer(200, str(value).encode(), "text/plain; charset=utf-8")
        if isinstance(value, Holding) and value.empty:
            return Answer(204, b"", "")
        answer = container_answer(self._clinic, value)
        if (
            answer.status == 200
            and answer.content_type.startswith("image/")
            and answer.content_type not in _KNOWN_TYPES
        ):
            if self._settings.odata_heic == "refuse":
                return _error(415, "1708", "Parameter value is invalid")
            answer.content_type = "application/octet-stream"
        return answer

    def _metadata(self) -> str:
        sets, types = [], []
        for name in TABLES:
            layout = next(one for one in self._clinic.layouts.values() if one.table == name)
            plain = [one for one in layout.fields if "::" not in one.name]
            sets.append(f'<EntitySet Name="{name}" EntityType="Clinic.{name}_"/>')
            properties = "".join(_property(one) for one in plain)
            key = '<Key><PropertyRef Name="id"/></Key>'
            types.append(f'<EntityType Name="{name}_">{key}{properties}</EntityType>')
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
            '<Schema Namespace="Clinic" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
            f'{"".join(types)}<EntityContainer Name="Container">{"".join(sets)}</EntityContainer>'
            "</Schema></edmx:DataServices></edmx:Edmx>\n"
        )


def _wants_name(request: Request, settings: ServerSettings) -> bool:
    """One client's authors met a server that then answers a container with the name of its file."""
    accepted = request.headers.get("accept", "").partition(";")[0].strip()
    return settings.odata_octet_stream == "name" and accepted == "application/octet-stream"


def _tests(text: str) -> Sequence[Callable[[Mapping[str, Value]], bool]] | None:
    """Comparisons joined by `and`; None for everything else that a filter may be."""
    tests = []
    for part in re.split(r"\s+and\s+", text) if text.strip() else ():
        found = _COMPARISON.fullmatch(part.strip())
        if not found:
            return None
        name, compare = found["quoted"] or found["name"], _OPERATORS[found["operator"]]
        literal = found["text"].replace("''", "'") if found["text"] is not None else found["literal"]
        tests.append(partial(_compares, name=name, compare=compare, literal=literal))
    return tests


def _compares(values: Mapping[str, Value], name: str, compare: Callable[[Any, Any], bool], literal: str) -> bool:
    value = _as_json(values.get(name, ""))
    if value is None or literal == "null":
        return bool(compare(value, None)) if compare in (operator.eq, operator.ne) and literal == "null" else False
    try:
        return compare(float(value), float(literal)) if isinstance(value, int | float) else compare(str(value), literal)
    except ValueError:
        return False


def _property(one: Field) -> str:
    return f'<Property Name={quoteattr(one.name)} Type="Edm.{_EDM.get(one.result, "String")}"/>'


def _properties(values: Mapping[str, Value]) -> dict[str, Any]:
    """An entity without its streams; empty is null here."""
    plain = {name: value for name, value in values.items() if not isinstance(value, Holding | Upload | list)}
    return {name: _as_json(value) for name, value in plain.items()}


def _as_json(value: Value) -> Any:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, date):
        return value.isoformat()
    return None if value == "" else value


def _json(body: Mapping[str, Any]) -> Answer:
    return Answer(200, json.dumps(body, ensure_ascii=False).encode(), "application/json; odata.metadata=minimal")


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(status, json.dumps({"error": {"code": code, "message": message}}).encode())
