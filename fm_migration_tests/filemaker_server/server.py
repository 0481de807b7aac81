"""The server on its ports, in a thread of the process that asks for it.

    with FileMakerServer(ServerSettings(records=200)) as server:
        httpx.get(server.url("/fmi/data/vLatest/productInfo"), verify=server.ca)
        server.storms([Storm(on=["container"], after=10, status=502, for_requests=5)])
        assert server.report()["writes"] == 0

Belongs here: ports and the thread. Does not belong here: what is answered (`service.py`), nor a process of its own
(`process.py`).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fm_migration_tests.filemaker_server.handle import Handle
from fm_migration_tests.filemaker_server.service import Service
from fm_migration_tests.filemaker_server.settings import ServerSettings
from fm_migration_tests.filemaker_server.streaming import Origin
from fm_migration_tests.filemaker_server.tls import server_context
from fm_migration_tests.filemaker_server.wire import Answer, Connection, Done, Handler, Request, html

LOOPBACK = "127.0.0.1"
START_SECONDS = 30


class FileMakerServer(Handle):
    """The server on its ports, in a thread. Everything that a test asks of it is done between two requests."""

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        host: str = "localhost",
        bind: str = LOOPBACK,
        https_port: int = 0,
        http_port: int = 0,
        control_port: int = 0,
        names: Iterable[str] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings or ServerSettings()
        self.service = Service(self.settings, on_line)
        self.host, self._bind = host, bind
        self.account = next(iter(self.settings.accounts.items()))
        self._wanted = (https_port, http_port, control_port)
        self._names = list(dict.fromkeys([host, "localhost", LOOPBACK, "::1", *names]))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._living: set[Connection] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="filemaker-server-")
        self._context, self.ca_file = server_context(Path(self._folder.name), self._names)
        self.https_port = self.http_port = self.elsewhere_port = self.control_port = 0

    # --- starting and stopping ---

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="filemaker-server", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise TimeoutError("the simulated FileMaker Server did not start")
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._loop and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_SECONDS)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        self._loop = loop
        try:
            servers = loop.run_until_complete(self._listen())
        except OSError as error:
            self._failure = error
            loop.close()
            return
        finally:
            self._ready.set()
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(self._hang_up(servers))
            loop.close()

    async def _hang_up(self, servers: list[asyncio.Server]) -> None:
        """Clients that still hold a line notice it now, and not when somebody collects the garbage."""
        for server in servers:
            server.close()
        for connection in list(self._living):
            connection.abort()
        for _ in range(100):
            if not self._living:
                return
            await asyncio.sleep(0.01)

    async def _listen(self) -> list[asyncio.Server]:
        https_port, http_port, control_port = self._wanted
        service, bind = self.service, self._bind
        https = await self._listen_on(bind, https_port, service.handle, service.done, self._context)
        http = await self._listen_on(bind, http_port, service.handle, service.done, None)
        elsewhere = await self._listen_on(bind, 0, self._answer_elsewhere, _nothing, self._context)
        control = await self._listen_on(LOOPBACK, control_port, self._answer_control, _nothing, None)
        servers = [https, http, elsewhere, control]
        self.https_port, self.http_port, self.elsewhere_port, self.control_port = map(_port, servers)
        elsewhere_host = LOOPBACK if self.host != LOOPBACK else "localhost"
        service.origin = Origin(self.host, self.https_port, self.http_port, f"{elsewhere_host}:{self.elsewhere_port}")
        return servers

    async def _listen_on(
        self, bind: str, port: int, handle: Handler, done: Done, context: ssl.SSLContext | None
    ) -> asyncio.Server:
        def connection() -> Connection:
            return Connection(handle, done, self._living, secure=context is not None)

        return await asyncio.get_running_loop().create_server(connection, bind, port, ssl=context, backlog=512)

    def _answer_elsewhere(self, request: Request) -> Answer:
        """Another host, to which a client must not carry anything."""
        self.service.books.elsewhere(request)
        return html(404)

    def _answer_control(self, request: Request) -> Answer:
        """The path is the operation, the body its arguments as JSON."""
        try:
            arguments = json.loads(request.body) if request.body else {}
            result = self.service.do(request.path.strip("/"), arguments)
        except (TypeError, ValueError) as error:
            return Answer(400, json.dumps({"error": str(error)}).encode())
        return Answer(200, json.dumps(result, ensure_ascii=False).encode())

    # --- what a test says to it ---

    def _do(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """In the server's own thread, so between two requests."""
        assert self._loop is not None, "the server was not started"

        async def call() -> Any:
            return self.service.do(operation, arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


def _nothing(_: Request) -> None:
    """Nobody counts these requests."""


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
