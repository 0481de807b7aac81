"""A proxy that forwards requests to the object server untouched, and spoils the answers that a test names."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

#: What happens to an answer: given the number of the request (from 1) and its path, a fault or None.
Rule = Callable[[int, str], str | None]

_ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>by the test</Message></Error>"


class FaultyProxy:
    """`rule` decides which requests suffer; `requests` counts those that came."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "", parts.port or 80)
        self.rule: Rule = lambda _number, _path: None
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault_for(self, path: str) -> str | None:
        with self._lock:
            self.requests.append(path)
            return self.rule(len(self.requests), path)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fault = proxy.fault_for(self.path)
                if fault is not None and fault.isdigit():
                    codes = {"429": b"TooManyRequests", "503": b"SlowDown"}
                    self._send(int(fault), _ERROR % codes.get(fault, b"InternalError"))
                    return
                status, headers, body = self._forward()
                self._send(status, _spoiled(body, fault), headers, promised=len(body) if fault == "cut off" else None)

            def log_message(self, *_: Any) -> None:
                pass

            def _forward(self) -> tuple[int, dict[str, str], bytes]:
                connection = http.client.HTTPConnection(*proxy.upstream, timeout=30)
                try:
                    # The Host header is part of the signature, so it goes on as it came.
                    connection.putrequest("GET", self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        connection.putheader(name, value)
                    connection.endheaders()
                    answer = connection.getresponse()
                    return answer.status, dict(answer.getheaders()), answer.read()
                finally:
                    connection.close()

            def _send(
                self, status: int, body: bytes, headers: dict[str, str] | None = None, promised: int | None = None
            ) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(promised or len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = promised is not None

        return Handler


def _spoiled(body: bytes, fault: str | None) -> bytes:
    match fault:
        case None:
            return body
        case "cut off":  # the connection ends before the promised length
            return body[: len(body) // 2]
        case "shortened":  # well-formed as HTTP, half a document as XML
            return body[: len(body) // 2]
        case "web page":
            return b"<html><body>Please log in to the guest network</body></html>"
        case "error in a 200":
            return _ERROR % b"InternalError"
        case "no token":
            return _without(body, b"NextContinuationToken")
        case "no verdict":
            return _without(body, b"IsTruncated")
        case _:
            raise AssertionError(fault)


def _without(body: bytes, element: bytes) -> bytes:
    start, end = body.index(b"<" + element + b">"), body.index(b"</" + element + b">")
    return body[:start] + body[end + len(element) + 3 :]
