"""A mail server for tests, on loopback: keeps what it is given, and refuses what it is told to refuse."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Mailbox:
    """What was delivered, and how the server behaves."""

    port: int = 0
    letters: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    #: Command to answer: `{"RCPT": "550 no such user"}`.
    refuses: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("AUTH PLAIN",)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    box = Mailbox()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            for line in iter(self.rfile.readline, b""):
                words = line.decode().strip()
                verb = words[:4].upper()
                if verb in box.refuses:
                    self._say(box.refuses[verb])
                elif verb == "EHLO":
                    *first, last = ("test", *box.extensions)
                    self._say("\r\n".join([*(f"250-{name}" for name in first), f"250 {last}"]))
                elif verb == "DATA":
                    self._say("354 go on")
                    box.letters.append("".join(text.decode() for text in iter(self.rfile.readline, b".\r\n")))
                    self._say("250 kept")
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    if verb == "RCPT":
                        box.recipients.append(words.partition(":")[2])
                    if verb == "AUTH":
                        box.logins.append(words.split()[-1])
                    self._say("235 welcome" if verb == "AUTH" else "250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()
