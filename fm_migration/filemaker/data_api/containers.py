"""The bytes of a container, by either of two ways behind one seam: the Data API's URL, or OData.

Belongs here: how bytes are asked for, and what stands against them. Does not belong here: whether they are a picture.
An address dies with its session and within a quarter of an hour, so whoever asks reads the record just before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx

from fm_migration.errors import TransientError
from fm_migration.filemaker.data_api.addresses import container_url, origin_of, redirected, segment
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.filemaker.data_api.failures import (
    EngineDownError,
    FileMakerError,
    LoginRefusedError,
    ThrottledError,
    read_answer,
)
from fm_migration.filemaker.data_api.records import Record

_REDIRECTS = (301, 302, 303, 307, 308)


class ContainerRefusedError(TransientError):
    """No bytes came; docs/intake.md explains the reasons. The record is to be read again before the next try."""

    def __init__(self, subject: str, reason: str, found: str) -> None:
        super().__init__("fetching the container", subject, found, "Nothing: the record is read again, and then asked")
        self.reason = reason


@dataclass(frozen=True)
class Fetched:
    """What came."""

    body: bytes
    content_type: str
    #: How many bytes the server said there would be.
    announced: int | None


class ByteSource(Protocol):
    """A way to a container's bytes."""

    name: str

    def fetch(self, record: Record, container: str) -> Fetched:
        """The bytes of a container of a record that was read just now."""


class ContainerUrls:
    """By the URL that the record has in the field: with the session's token, and with the cookie that it is given."""

    name = "container"

    def __init__(self, api: DataApi) -> None:
        self._api = api

    def fetch(self, record: Record, container: str) -> Fetched:
        subject = shown(record, container)
        url = container_url(record.text(container), self._api.access.origin)
        if url is None:
            raise ContainerRefusedError(subject, "no_address", "its value is not an address on the server")
        response, body = self._get(url, subject, None)
        if response.status_code in _REDIRECTS:
            response, body = self._follow(response, url, subject)
        return read_bytes(response, body, subject)

    def _follow(self, response: httpx.Response, url: str, subject: str) -> tuple[httpx.Response, bytes]:
        """The address that a first request leads to, with the cookie of that answer; without one it is stale."""
        cookie = "; ".join(f"{one.name}={one.value}" for one in response.cookies.jar if one.value)
        target = redirected(response.headers.get("location", ""), url, self._api.access.origin)
        if not cookie:
            raise ContainerRefusedError(subject, "stale_address", "its address has died")
        if target is None:
            raise ContainerRefusedError(subject, "led_elsewhere", "its address leads to another server")
        return self._get(target, subject, cookie)

    def _get(self, url: str, subject: str, cookie: str | None) -> tuple[httpx.Response, bytes]:
        # One project found that no cookie comes without the token, five others send none. It goes to our server only.
        own = origin_of(url) == self._api.access.origin
        authorization = self._api.session.authorization if own else None
        return self._api.line.fetch(url, "fetching the container", subject, authorization=authorization, cookie=cookie)


class ODataValues:
    """By OData, another engine than the Data API's: no session, no cookie, the account with each call."""

    name = "odata"

    def __init__(self, api: DataApi, table: str, key_field: str) -> None:
        self._api = api
        self._table = table
        self._key_field = key_field

    def fetch(self, record: Record, container: str) -> Fetched:
        subject = shown(record, container)
        key = record.text(self._key_field)
        if not key:
            raise ContainerRefusedError(subject, "no_key", "the record has no key that OData could find it by")
        access = self._api.access
        quoted = segment(key.replace("'", "''"))
        path = (
            f"/fmi/odata/v4/{segment(access.database)}/{segment(self._table)}('{quoted}')/{segment(container)}/$value"
        )
        response, body = self._api.line.fetch(
            access.origin.url + path, "fetching by OData the container", subject, authorization=access.authorization
        )
        if response.status_code == 401:
            raise LoginRefusedError(
                "fetching by OData the container",
                subject,
                "the server answers 401",
                "Give the account the extended privilege fmodata, or unset FM_FILEMAKER_ODATA_TABLE",
                status=401,
            )
        return read_bytes(response, body, subject)


def read_bytes(response: httpx.Response, body: bytes, subject: str) -> Fetched:
    """The bytes of an answer, unless its status says that there are none."""
    status = response.status_code
    doing = "fetching the container"
    if status in (502, 503, 504):
        if "retry-after" in response.headers:
            told = response.headers["retry-after"]
            raise ThrottledError(
                doing, subject, f"the server answers {status}", "Nothing", float(told) if told.isdecimal() else None
            )
        raise EngineDownError(doing, subject, f"the proxy answers {status}", "Nothing: the engine is asked later")
    if status == 429:
        told = response.headers.get("retry-after", "")
        seconds = float(told) if told.isdecimal() else None
        raise ThrottledError(doing, subject, "the server answers 429", "Nothing: we wait", seconds)
    if status != 200:
        _raise_code(response, body, subject)
        raise ContainerRefusedError(subject, f"status_{status}", f"the server answers {status}")
    announced = response.headers.get("content-length", "")
    return Fetched(
        body,
        response.headers.get("content-type", "").partition(";")[0].strip().lower(),
        int(announced) if announced.isdecimal() else None,
    )


def _raise_code(response: httpx.Response, body: bytes, subject: str) -> None:
    """Codes that concern more than this container: the session, the year's limit. Others are this container's."""
    if not body.lstrip().startswith(b"{"):
        return
    told = httpx.Response(response.status_code, content=body)
    try:
        read_answer(told, "fetching the container", subject)
    except LoginRefusedError:
        return
    except FileMakerError as error:
        if error.code == "953":
            raise


def shown(record: Record, container: str) -> str:
    """A container for messages: by FileMaker's number of the record, which is nobody's name."""
    return f"{container} of record {record.number}"
