"""Other ways to read FileMaker's Data API: a plain loop with httpx, and python-fmrest.

Both read everything in pages by key, with the record where a page ended read again, because two records may share a
recid; that is the work of ours too, without its retries, its budget and its care for the session.

Belongs here: the peers. Does not belong here: timing them, and ours (`bench/filemaker.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")
ORDER = [{"fieldName": "recid", "sortOrder": "ascend"}]
PAGE = 100


class Where(NamedTuple):
    """A server, and as whom to speak to it."""

    url: str
    authority: str
    account: str
    password: str
    database: str = "Clinic"
    layout: str = "API_Images_Lean"


def best(fields: Mapping[str, Any]) -> str | None:
    """The address in the largest container that is filled."""
    return next((fields[name] for name in CONTAINERS if fields[name] not in ("", "?")), None)


class PlainHttpx:
    """What one writes in an afternoon: no retries, one client, its cookies kept."""

    def __init__(self, where: Where) -> None:
        self._where = where
        trust = ssl.create_default_context(cafile=where.authority)
        self._http = httpx.Client(base_url=where.url, verify=trust, follow_redirects=True, timeout=60)
        self._database = f"/fmi/data/vLatest/databases/{where.database}"
        self._token = ""

    @contextmanager
    def session(self) -> Iterator[PlainHttpx]:
        answer = self._http.post(
            f"{self._database}/sessions", auth=(self._where.account, self._where.password), json={}
        )
        self._token = answer.raise_for_status().headers["X-FM-Data-Access-Token"]
        try:
            yield self
        finally:
            self._http.delete(f"{self._database}/sessions/{self._token}")
            self._http.close()

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """The fields of each record, once."""
        path, headers = (
            f"{self._database}/layouts/{self._where.layout}/_find",
            {"Authorization": f"Bearer {self._token}"},
        )
        last, seen = 0, set[str]()
        while True:
            body = {"query": [{"recid": f">={last}"}], "sort": ORDER, "limit": str(PAGE)}
            answer = self._http.post(path, headers=headers, json=body)
            records = answer.raise_for_status().json()["response"]["data"]
            new = [one for one in records if one["recordId"] not in seen]
            if not new:
                return
            last, seen = new[-1]["fieldData"]["recid"], {one["recordId"] for one in records}
            yield [one["fieldData"] for one in new]

    def fetch(self, address: str) -> bytes:
        return self._http.get(address).raise_for_status().content


class Fmrest:
    """python-fmrest, by its own means."""

    def __init__(self, where: Where) -> None:
        import fmrest

        self._server = fmrest.Server(
            where.url,
            user=where.account,
            password=where.password,
            database=where.database,
            layout=where.layout,
            api_version="vLatest",
            verify_ssl=where.authority,
        )

    @contextmanager
    def session(self) -> Iterator[Fmrest]:
        self._server.login()
        try:
            yield self
        finally:
            self._server.logout()

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        last, seen = 0, set[int]()
        while True:
            found = list(self._server.find([{"recid": f">={last}"}], sort=ORDER, limit=PAGE))
            new = [record for record in found if record.record_id not in seen]
            if not new:
                return
            last, seen = new[-1]["recid"], {record.record_id for record in found}
            yield [record.to_dict() for record in new]

    def fetch(self, address: str) -> bytes:
        content: bytes = self._server.fetch_file(address)[3].content
        return content
