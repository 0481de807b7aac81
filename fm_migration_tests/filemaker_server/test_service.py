"""Whatever a client sends: the server answers in FileMaker's form, and never by a mistake of its own."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration_tests.filemaker_server import ServerSettings
from fm_migration_tests.filemaker_server.service import Service
from fm_migration_tests.filemaker_server.wire import Request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CRITERIA = st.text(alphabet='=*@#?<>.…0123456789-/\\ "aB{}~!', max_size=8)
FIELDS = st.sampled_from(
    ["recid", "date", "Type", "id", "Keyword", "modified", "image_Full", "omit", "Nothing", "recid(2)"]
)
QUERY = st.lists(st.dictionaries(FIELDS, CRITERIA | JSON, max_size=3), max_size=3)
ORDER = st.lists(st.fixed_dictionaries({"fieldName": FIELDS, "sortOrder": st.sampled_from(["ascend", "descend", "x"])}))
FIND = st.dictionaries(
    st.sampled_from(["query", "sort", "limit", "offset", "portal", "dateformats", "layout.response", "script", "x"]),
    QUERY | ORDER | JSON,
    max_size=5,
)
WORDS = st.sampled_from(
    ["databases", "Clinic", "layouts", "API_Images", "API%20Contacts", "records", "_find", "sessions", "1", "x", "",
     "script", "Echo", "globals", "containers", "image_Full", "productInfo", "validateSession", "scripts"]
)  # fmt: skip
METHODS = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"])


def logged_in(**options: Any) -> tuple[Service, dict[str, str]]:
    service = Service(ServerSettings(records=12, contacts=3, **options))
    (account, password), *_ = service.settings.accounts.items()
    basic = base64.b64encode(f"{account}:{password}".encode()).decode()
    headers = {"content-type": "application/json", "authorization": f"Basic {basic}"}
    answer = service.handle(Request("POST", "/fmi/data/v1/databases/Clinic/sessions", headers, b"{}", "", True))
    token = dict(answer.headers)["X-FM-Data-Access-Token"]
    return service, headers | {"authorization": f"Bearer {token}"}


def expect_form(service: Service, request: Request) -> None:
    answer = service.handle(request)
    assert service.books.faults == []
    body = json.loads(answer.body)
    assert set(body) == {"messages", "response"}
    assert isinstance(body["messages"][0]["code"], str)
    assert (body["messages"][0]["code"] == "0") == (answer.status == 200)


@settings(max_examples=150, deadline=None)
@given(body=FIND | JSON)
def test_any_find_is_answered(body: Any) -> None:
    service, headers = logged_in()
    path = "/fmi/data/v1/databases/Clinic/layouts/API_Images/_find"
    expect_form(service, Request("POST", path, headers, json.dumps(body).encode(), "", True))


@settings(max_examples=150, deadline=None)
@given(
    method=METHODS,
    words=st.lists(WORDS, min_size=1, max_size=8),
    query=st.dictionaries(
        st.sampled_from(["_limit", "_offset", "_sort", "portal", "dateformats"]), st.text(max_size=9)
    ),
    body=st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()),
    content_type=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "multipart/form-data", ""]),
)
def test_any_request_is_answered(
    method: str, words: list[str], query: dict[str, str], body: bytes, content_type: str
) -> None:
    service, headers = logged_in()
    target = "/fmi/data/v1/" + "/".join(words) + "?" + "&".join(f"{name}={value}" for name, value in query.items())
    headers["content-type"] = content_type
    expect_form(service, Request(method, target, headers, body, "", True))


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=30), accept=st.sampled_from(["*/*", "application/octet-stream"]))
def test_any_odata_request_is_answered(text: str, accept: str) -> None:
    service, _ = logged_in(odata_octet_stream="name")
    basic = base64.b64encode(":".join(*service.settings.accounts.items()).encode()).decode()
    for target in (f"/fmi/odata/v4/{text}", f"/fmi/odata/v4/Clinic/Images('{text}')/image_Full/$value",
                   f"/fmi/odata/v4/Clinic/Images?$filter={text}"):  # fmt: skip
        service.handle(Request("GET", target, {"authorization": f"Basic {basic}", "accept": accept}, b"", "", True))
    assert service.books.faults == []
