"""What a request says, read as strictly as a real server does: every unknown parameter is refused.

Belongs here: reading parameters and bodies. Does not belong here: doing what they ask for (`data_api.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any

from fm_migration_tests.filemaker_server.clinic import Layout, Upload
from fm_migration_tests.filemaker_server.errors import FileMakerError
from fm_migration_tests.filemaker_server.queries import Order
from fm_migration_tests.filemaker_server.wire import Request

SCRIPT_WORDS = ("script", "script.prerequest", "script.presort")
SCRIPT_PARAMETERS = {name for word in SCRIPT_WORDS for name in (word, f"{word}.param")}


def need_json(request: Request) -> None:
    if request.content_type != "application/json":
        raise FileMakerError("1705")


def json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise FileMakerError("1708") from error
    if not isinstance(body, dict):
        raise FileMakerError("1708")
    # Some clients write null for what they do not want.
    return {name: value for name, value in body.items() if value is not None}


def only(parameters: Mapping[str, Any], allowed: set[str]) -> None:
    """A real server refuses every parameter that it does not know."""
    unknown = [name for name in parameters if name not in allowed]
    if unknown:
        raise FileMakerError("960", f"Unknown parameter(s): {', '.join(unknown)}")


def common(layout: Layout, prefix: str) -> set[str]:
    """What every reading takes. A portal's limits are named after it."""
    portals = {f"{prefix}{word}.{name}" for name in layout.portals for word in ("limit", "offset")}
    return {"portal", "layout.response", "dateformats", *portals, *SCRIPT_PARAMETERS}


def json_value(text: str | None, default: Any) -> Any:
    if text is None or text == "":
        return default
    try:
        return json.loads(text)
    except ValueError as error:
        raise FileMakerError("960") from error


def whole_number(parameters: Mapping[str, Any], name: str, default: int, least: int) -> int:
    """A number, or the text of one."""
    value = parameters.get(name, default)
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) < least:
        raise FileMakerError("960")
    return int(text)


def dates_of(parameters: Mapping[str, Any]) -> int:
    text = str(parameters.get("dateformats", "0"))
    if text not in ("0", "1", "2"):
        raise FileMakerError("960")
    return int(text)


def order_of(items: Any) -> list[Order]:
    """One field may come without the list around it: a client in TypeScript sends it so."""
    items = [items] if isinstance(items, dict) else items
    if not isinstance(items, list):
        raise FileMakerError("960")
    order: list[Order] = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("fieldName"), str):
            raise FileMakerError("960")
        direction = str(item.get("sortOrder", "ascend")).lower()
        if direction not in ("ascend", "descend"):
            raise FileMakerError("960")
        order.append((item["fieldName"], direction == "descend"))
    return order


def query_of(body: Mapping[str, Any]) -> list[dict[str, str]]:
    query = body.get("query")
    if not isinstance(query, list) or not query or not all(isinstance(one, dict) for one in query):
        raise FileMakerError("1708")
    return [{name: _criterion_text(value) for name, value in one.items()} for one in query]


def _criterion_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise FileMakerError("1708")
    return str(value)


def uploaded(request: Request) -> Upload:
    if request.content_type != "multipart/form-data":
        raise FileMakerError("1705")
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode("latin-1")
    for part in message_from_bytes(head + request.body).walk():
        if part.get_filename():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            return Upload(data, part.get_content_type(), str(part.get_filename()))
    raise FileMakerError("1708")
