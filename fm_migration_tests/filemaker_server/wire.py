"""HTTP on a socket: requests as they came, answers as they should go out, also half of one, or none.

An HTTP framework would protect its clients from what is wanted here: bodies that end before their length, connections
that are reset in the middle. So this is asyncio's protocol with httptools as the parser.

Belongs here: bytes and connections. Does not belong here: what is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, unquote

import httptools

#: nginx refuses more; FileMaker's own limit of a URI is 2,000 characters.
LONGEST_TARGET = 2_000
#: How long half an answer has to leave before the connection is reset.
LEAVE_SECONDS = 0.05

Ending = Literal["", "close", "reset", "hang"]


@dataclass(slots=True)
class Request:
    """One request. Names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: str
    secure: bool
    keep_alive: bool = True

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def segments(self) -> list[str]:
        """The words of the path, decoded; one slash at the end does not count."""
        words = [unquote(word) for word in self.path.split("/")[1:]]
        return words[:-1] if len(words) > 1 and not words[-1] else words

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def cookies(self) -> dict[str, str]:
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name: value for name, equals, value in pairs if equals}

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(slots=True)
class Answer:
    """What goes out: after `delay`, only the first `cut` bytes of the body, and then the `ending`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)
    delay: float = 0.0
    cut: int | None = None
    ending: Ending = ""
    #: The answer is what is in a container, whole.
    delivered: bool = False

    @property
    def sent(self) -> bytes:
        return self.body if self.cut is None else self.body[: self.cut]


Handler = Callable[[Request], Answer]
#: Called once an answer has gone out, or will not.
Done = Callable[[Request], None]


def html(status: int, text: str = "") -> Answer:
    """The proxy's own page."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n{text}"
    page += "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Answer(status, page.encode(), "text/html")


class Connection(asyncio.Protocol):
    """One client. Requests are answered in their order, one after the other."""

    def __init__(self, handle: Handler, done: Done, living: set[Connection], *, secure: bool) -> None:
        self._handle, self._done, self._secure = handle, done, secure
        self._living = living
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._busy = False
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._peer = ""

    # --- asyncio's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._living.add(self)
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._write(html(400), keep_alive=False, head_only=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's name
        self._transport = None
        self._waiting.clear()
        self._living.discard(self)

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    # --- the parser's calls ---

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}; {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("utf-8", "replace"),
            headers=self._headers,
            body=b"".join(self._body),
            peer=self._peer,
            secure=self._secure,
            keep_alive=self._parser.should_keep_alive(),
        )
        self._waiting.append(request)
        self._next()

    # --- answering ---

    def _next(self) -> None:
        while self._waiting and not self._busy and self._transport:
            request = self._waiting.popleft()
            answer = html(414) if len(request.target) > LONGEST_TARGET else self._handle(request)
            self._busy = True
            if answer.delay > 0:
                asyncio.get_running_loop().call_later(answer.delay, self._send, request, answer)
            else:
                self._send(request, answer, go_on=False)

    def _send(self, request: Request, answer: Answer, *, go_on: bool = True) -> None:
        self._done(request)
        if answer.ending == "hang":
            return
        self._write(answer, keep_alive=request.keep_alive, head_only=request.method == "HEAD")
        self._busy = False
        if go_on:
            self._next()

    def _write(self, answer: Answer, *, keep_alive: bool, head_only: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        keep_alive = keep_alive and not answer.ending
        silent = answer.ending == "reset" and answer.cut == 0
        if not silent:
            transport.write(_head(answer, keep_alive=keep_alive) + (b"" if head_only else answer.sent))
        if answer.ending == "reset":
            asyncio.get_running_loop().call_later(0 if silent else LEAVE_SECONDS, self._reset)
        elif not keep_alive:
            transport.close()

    def _reset(self) -> None:
        if self._transport is None:
            return
        with contextlib.suppress(OSError):
            # To linger for no time makes the kernel send RST instead of FIN.
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self._transport.abort()


def _head(answer: Answer, *, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Server: nginx"]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    if answer.content_type:
        lines.append(f"Content-Type: {answer.content_type}")
    if answer.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(answer.body)}")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
