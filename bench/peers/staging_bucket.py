"""A bucket as large as one likes, for measuring clients: an S3 server that answers one request, ListObjectsV2.

    python -m bench.peers.staging_bucket --objects 1000000 --delay 0.05

Its keys exist as a sorted list and nowhere else, so a million of them cost a second instead of an hour of uploads,
and a page costs the server under a millisecond, so that the client is what is measured. It reads no signature and
stores nothing. It prints its port and ends when its standard input does, that is with whoever started it.

Belongs here: what S3 documents about listing, as far as the clients in question use it. Whatever else they ask for is
answered with 501, so that a client which asks for more shows.
"""

from __future__ import annotations

import argparse
import base64
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

FOLDER = "filemaker-import/images-bulk-dump/"
LARGEST_PAGE = 1000


def keys_of(objects: int) -> list[str]:
    """The keys of a dump of so many photographs, in the order of their bytes, as S3 lists them."""
    return sorted(f"{FOLDER}{recid}.jpg" for recid in range(1, objects + 1))


class Page(NamedTuple):
    """A part of the keys, whether more follow, and how many were allowed."""

    keys: Sequence[str]
    truncated: bool
    limit: int


def page_of(keys: Sequence[str], prefix: str, after: str, limit: int) -> Page:
    """The first keys that begin with `prefix` and come after `after`."""
    start = max(bisect_left(keys, prefix), bisect_right(keys, after))
    end = bisect_left(keys, prefix + "\U0010ffff")
    return Page(keys[start : min(end, start + limit)], start + limit < end, limit)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is one write; with Nagle's algorithm the last packet of it would wait for an acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        prefix = asked.get("prefix", "")
        # Below the folder no key has a further slash, so there a delimiter changes nothing.
        if asked.get("list-type") != "2" or ("delimiter" in asked and not prefix.startswith(FOLDER)):
            self._answer(HTTPStatus.NOT_IMPLEMENTED, "<Error><Code>NotImplemented</Code></Error>")
            return
        time.sleep(self.server.delay)
        token = asked.get("continuation-token")
        after = base64.b64decode(token).decode() if token else asked.get("start-after", "")
        limit = min(int(asked.get("max-keys", LARGEST_PAGE)), LARGEST_PAGE)
        page = page_of(self.server.keys, prefix, after, limit)
        self._answer(HTTPStatus.OK, _as_xml(page, encoded=asked.get("encoding-type") == "url"))

    def _answer(self, status: HTTPStatus, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Silent: a line per page would be part of what is measured."""


def _as_xml(page: Page, *, encoded: bool) -> str:
    shown = quote if encoded else escape
    contents = "".join(
        f"<Contents><Key>{shown(key)}</Key><LastModified>2025-11-03T04:05:06.000Z</LastModified>"
        f"<ETag>&quot;{hash(key) & (1 << 128) - 1:032x}&quot;</ETag><Size>{26_000 + len(key) * 40_000}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in page.keys
    )
    token = base64.b64encode(page.keys[-1].encode()).decode() if page.truncated else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<KeyCount>{len(page.keys)}</KeyCount><MaxKeys>{page.limit}</MaxKeys>"
        f"{'<EncodingType>url</EncodingType>' if encoded else ''}"
        f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>"
        f"{f'<NextContinuationToken>{token}</NextContinuationToken>' if token else ''}{contents}</ListBucketResult>"
    )


class Server(ThreadingHTTPServer):
    """Serves the listing of so many objects on a free port of the loopback, each page after a delay."""

    daemon_threads = True

    def __init__(self, objects: int, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys = keys_of(objects)
        self.delay = delay

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.staging_bucket", description="A bucket to list.")
    parser.add_argument("--objects", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each page takes, as on a real network")
    options = parser.parse_args(arguments)
    server = Server(options.objects, options.delay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.url, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
