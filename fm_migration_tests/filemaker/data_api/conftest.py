"""Clients of the simulated FileMaker, and of answers that are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from fm_migration.filemaker.data_api.access import Access, Patience
from fm_migration.filemaker.data_api.addresses import server_origin
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings

QUICK = Patience(first=0.005, longest=0.02, engine_first=0.01, engine_longest=0.05, engine_total=1.0, call_timeout=10.0)
PASSWORD = "canary-password-7f3a"
ACCOUNT = "canary-account-51c2"

Start = Callable[..., FileMakerServer]
Connect = Callable[..., DataApi]


@pytest.fixture
def server() -> Iterator[Start]:
    """Starts simulated servers with these settings; they end with the test."""
    started: list[FileMakerServer] = []

    def start(**settings: Any) -> FileMakerServer:
        settings.setdefault("accounts", {ACCOUNT: PASSWORD})
        started.append(FileMakerServer(ServerSettings(**settings)))
        started[-1].__enter__()
        return started[-1]

    yield start
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Clients of a server; those that a test leaves open are ended."""
    opened: list[DataApi] = []

    def open_one(server: FileMakerServer, patience: Patience = QUICK, **changes: Any) -> DataApi:
        whom: dict[str, Any] = {"account": SecretStr(ACCOUNT), "password": SecretStr(PASSWORD)}
        access = Access(
            server_origin(server.url()),
            **{"database": "Clinic", "layout": "API_Images", "authority": server.ca_file, **whom, **changes},
        )
        opened.append(DataApi(access, tmp_path / "sessions", patience=patience))
        return opened[-1]

    yield open_one
    for api in opened:
        api.line.close()


def scripted(tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response]) -> DataApi:
    """A client that is answered by a function: for what no server does on demand."""
    origin = server_origin("https://filemaker.example.org")
    access = Access(origin, "Clinic", "API_Images", SecretStr(ACCOUNT), SecretStr(PASSWORD))

    def whole(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/sessions"):
            token = {"response": {"token": "t0"}, "messages": [{"code": "0", "message": "OK"}]}
            return httpx.Response(200, json=token, headers={"X-FM-Data-Access-Token": "t0"})
        return answer(request)

    return DataApi(access, tmp_path, patience=QUICK, transport=httpx.MockTransport(whole))
