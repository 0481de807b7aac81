"""Addresses: of the server, of its calls, and of a container's bytes, which must never lead a credential elsewhere.

A container's value is a URL with an explicit `:443`, often without an extension. Also met: a host that is glued to the
next word, `http://`, and a bare path. What does not lead to the configured server is cut down to its path
`/Streaming_SSL/…` and asked for there; without such a path it is not an address at all.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from fm_migration.errors import SettingsError

_PORTS = {"https": 443, "http": 80}
#: The host may be glued to it, without a slash between.
_STREAM = re.compile(r"Streaming_SSL/\S+", re.IGNORECASE)
#: Longer ones are refused by the server.
LONGEST = 2_000


class Origin(NamedTuple):
    """Where a server is, comparable: scheme, host in lower case, port."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port of a URL, with the port that its scheme has by default; None when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return Origin(parts.scheme, parts.hostname.lower().rstrip("."), port or _PORTS[parts.scheme])


def server_origin(url: str) -> Origin:
    """The server that FM_FILEMAKER_URL names: https only, and without a credential."""
    origin = origin_of(url)
    if origin is None or origin.scheme != "https" or urlsplit(url).path.strip("/"):
        found = "it is not https://host" if origin is None or origin.scheme == "https" else "http is not encrypted"
        raise SettingsError(
            "checking the setting",
            "FM_FILEMAKER_URL",
            found,
            "Write it as https://filemaker.example.org, without a path and without an account",
        )
    return origin


def segment(name: str) -> str:
    """A name of a database, layout, table or field as one segment of a path."""
    return quote(name, safe="")


def container_url(value: str, origin: Origin) -> str | None:
    """Where a container's bytes are asked for; None when its value is not an address."""
    value = value.strip()
    if not value.startswith("/") and origin_of(value) == origin and not re.search(r"\s", value):
        return value
    path = _STREAM.search(value)
    return None if path is None else f"{origin.url}/{path[0]}"


def redirected(location: str, asked: str, origin: Origin) -> str | None:
    """Where a redirection leads to, when that is the same server; None when it is not."""
    target = urljoin(asked, location)
    return target if origin_of(target) == origin else None
