"""One request at a time over one connection, measured; what breaks becomes an error without the request in it.

Belongs here: sending. Does not belong here: sessions, trying again, what an answer means.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from fm_migration.errors import FmMigrationError
from fm_migration.filemaker.data_api.access import Access, Meter, Patience
from fm_migration.filemaker.data_api.failures import BrokenConnectionError, of_connection

#: No container of a photograph has so many bytes; more of them would only fill the memory.
LARGEST = 512 * 1024 * 1024
_AGENT = "fm_migration"

# httpx writes the URL of each request into its log, and a log-out has the token in it; httpcore writes headers.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno > logging.INFO)


class Line:
    """The connection to the server."""

    def __init__(
        self, access: Access, patience: Patience, meter: Meter, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.access = access
        self.meter = meter
        self._client = httpx.Client(
            base_url=access.origin.url,
            # No proxy of the environment's: a credential goes to the server and nowhere else.
            trust_env=False,
            verify=access.trust(),
            transport=transport,
            follow_redirects=False,
            timeout=httpx.Timeout(patience.call_timeout, connect=patience.connect_timeout),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            headers={"User-Agent": _AGENT, "Accept-Encoding": "gzip, deflate"},
        )

    def send(
        self,
        method: str,
        path: str,
        doing: str,
        subject: str,
        *,
        authorization: SecretStr | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """An answer of the Data API, read to its end."""
        headers = {} if authorization is None else {"Authorization": authorization.get_secret_value()}
        response, failure = self._sent(method, path, doing, subject, headers=headers, json=json, params=params)
        self.meter.requests += 1
        if failure is not None:
            raise failure
        assert response is not None  # noqa: S101  one of the two is there
        self.meter.json_bytes += len(response.content)
        return response

    def fetch(
        self, url: str, doing: str, subject: str, *, authorization: SecretStr | None = None, cookie: str | None = None
    ) -> tuple[httpx.Response, bytes]:
        """The bytes at a container's URL. Each is asked for with the cookie of its own and no other."""
        headers = {} if authorization is None else {"Authorization": authorization.get_secret_value()}
        if cookie is not None:
            headers["Cookie"] = cookie
        self.meter.requests += 1
        response, body, failure = self._fetched(url, doing, subject, headers)
        self.meter.container_bytes += len(body)
        if failure is not None:
            raise failure
        assert response is not None  # noqa: S101  one of the two is there
        return response, body

    def close(self) -> None:
        self._client.close()

    def _sent(
        self, method: str, path: str, doing: str, subject: str, **options: Any
    ) -> tuple[httpx.Response | None, FmMigrationError | None]:
        # Returned and not raised: what is raised inside an `except` keeps httpx's exception, and so the headers.
        try:
            return self._client.request(method, path, **options), None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return None, of_connection(error, doing, subject)
        finally:
            self._client.cookies.clear()

    def _fetched(
        self, url: str, doing: str, subject: str, headers: Mapping[str, str]
    ) -> tuple[httpx.Response | None, bytes, FmMigrationError | None]:
        body = bytearray()
        try:
            with self._client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as response:
                for piece in response.iter_raw():
                    body += piece
                    if len(body) > LARGEST:
                        found = f"it has more than {LARGEST:,} bytes"
                        return None, bytes(body), BrokenConnectionError(doing, subject, found, "Look at the container")
            return response, bytes(body), None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return None, bytes(body), of_connection(error, doing, subject)
        finally:
            self._client.cookies.clear()
