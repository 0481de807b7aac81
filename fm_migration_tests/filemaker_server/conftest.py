"""A server for each test module, and a plain client that knows nothing but HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings

StartServer = Callable[..., FileMakerServer]
Connect = Callable[..., "PlainClient"]


class PlainClient:
    """httpx with the paths filled in. Nothing is retried, nothing is hidden."""

    def __init__(self, server: FileMakerServer, version: str = "vLatest") -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url(), verify=server.ca, timeout=30)
        self.base = f"/fmi/data/{version}"
        self.database = f"{self.base}/databases/{server.settings.database}"
        self.token = ""

    def log_in(self, **options: Any) -> httpx.Response:
        options = {"auth": self.server.account, "json": {}} | options
        answer = self.http.post(f"{self.database}/sessions", **options)
        self.token = answer.headers.get("X-FM-Data-Access-Token", "")
        return answer

    def log_out(self) -> httpx.Response:
        return self.http.delete(f"{self.database}/sessions/{self.token}")

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(f"{self.database}{path}", headers=self.bearer, **options)

    def find(self, layout: str = "API_Images", **body: Any) -> httpx.Response:
        return self.http.post(f"{self.database}/layouts/{layout}/_find", headers=self.bearer, json=body)

    def records(self, layout: str = "API_Images", **parameters: Any) -> httpx.Response:
        return self.get(f"/layouts/{layout}/records", params=parameters)

    def fields(self, number: int, layout: str = "API_Images") -> dict[str, Any]:
        answer = self.get(f"/layouts/{layout}/records/{number}")
        return dict(answer.json()["response"]["data"][0]["fieldData"])


def code(answer: httpx.Response) -> tuple[int, str]:
    """HTTP's status and FileMaker's code."""
    return answer.status_code, answer.json()["messages"][0]["code"]


def found(answer: httpx.Response) -> list[int]:
    """The numbers of the records in an answer."""
    assert answer.status_code == 200, answer.text
    return [int(one["recordId"]) for one in answer.json()["response"]["data"]]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Servers with settings of their own, which end with the test, and must not have made a mistake."""
    with ExitStack() as stack:

        def started(**settings: Any) -> FileMakerServer:
            server = stack.enter_context(FileMakerServer(ServerSettings(**({"records": 30} | settings))))
            stack.callback(_expect_no_faults, server)
            return server

        yield started


def _expect_no_faults(server: FileMakerServer) -> None:
    assert server.report()["faults"] == []


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Clients that are logged in."""
    with ExitStack() as stack:

        def connected(server: FileMakerServer, version: str = "vLatest") -> PlainClient:
            client = PlainClient(server, version)
            stack.callback(client.http.close)
            assert client.log_in().status_code == 200
            return client

        yield connected
