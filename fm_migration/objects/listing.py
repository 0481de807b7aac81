"""Listing a bucket: every key exactly once, or an exception; in bounded memory; in parallel when that helps.

Belongs here: asking for pages, reading them, and dividing the key space between threads. Does not belong here:
what a key means (`keys.py`).

botocore signs, sends, redirects and retries; only its parsing is left out, because it takes twelve times as long
as ElementTree. A hook keeps the page's bytes and hands botocore an empty page to parse.

The division of the key space never assumes anything about keys. It begins with an ordinary first page, and only
when that page is not the last are the keys behind it divided into spans that tile the whole rest: one for each
first character that recids and UUIDs may have, and one for everything between and after those. A span that turns
out large is divided again while threads are idle. Characters that were guessed badly cost an empty request each,
never a key.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from operator import lt
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_plus

# Signed requests to the user's own store: no document of a stranger is read, and expat limits entity expansion.
from xml.etree import ElementTree as ET

from fm_migration.errors import ObjectStoreError, TransientError
from fm_migration.objects.facts import STANDARD, ObjectFacts, bare_etag
from fm_migration.objects.failures import STORE_FAILURES, UnreachableError, translated
from fm_migration.retrying import retry

THREADS = 8
#: How often one page is asked for, beyond botocore's own retries: for throttling that outlasts those, for 429 that
#: botocore does not repeat, and for pages that arrive garbled.
PAGE_ATTEMPTS = 4
#: Pages that a span delivers before it may be divided. Below that, dividing costs more requests than it saves.
PATIENCE = 2
#: Pages that may wait for their reader, per thread: what bounds the memory.
PAGES_AHEAD = 2

_DIGITS = "0123456789"
_UUID_NAME = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-")
_BODY = "fm_migration.body"
#: With a wildcard for the service, because botocore calls such hooks before its own, one of which parses the whole page
#: to see whether it is an error in disguise. What is not a page of a listing is found out below.
_BEFORE_BOTOCORE_READS = "before-parse.*.ListObjectsV2"
_keep_body: ContextVar[bool] = ContextVar("keep_body", default=False)


class Listable(Protocol):
    """What a listing needs of a store: a boto3 S3 client and a bucket's name."""

    @property
    def client(self) -> Any: ...

    @property
    def bucket(self) -> str: ...


class GarbledPageError(TransientError):
    """A page that came with status 200 and yet is not a page of a listing."""


def list_objects(store: Listable, prefix: str = "", *, threads: int = THREADS) -> Iterator[ObjectFacts]:
    """Every object below `prefix`, once each.

    With one thread in the server's order, with more in no particular order. Whoever reads the iterator to its end
    has read everything; if a page cannot be had, an exception comes instead of the end.
    """
    for page in list_pages(store, prefix, threads=threads):
        yield from page


def list_pages(store: Listable, prefix: str = "", *, threads: int = THREADS) -> Iterator[list[ObjectFacts]]:
    """The same as `list_objects`, a page of up to 1,000 at a time, for callers that write in batches."""
    pages = _Pages(store, prefix)
    everything = _Span(prefix)
    first = pages.fetch(everything)
    if first.objects:
        yield first.objects
    if first.token is None:
        return
    # A store that does not list in the order of the keys (S3 directory buckets) cannot be divided.
    spans = everything.divided(first) if threads > 1 and first.ordered else []
    if spans:
        yield from _read_in_parallel(pages, spans, threads)
    else:
        yield from _read_in_turn(pages, everything, first)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a listing, in the order of the keys."""

    objects: list[ObjectFacts]
    #: Where to go on; None when the listing ends here.
    after: str | None


def list_stretch(store: Listable, prefix: str, *, after: str = "", pages: int) -> Stretch:
    """At most so many pages of the keys below `prefix` that come behind `after`: a listing that pauses."""
    fetching = _Pages(store, prefix)
    span = _Span(prefix, after=after)
    objects: list[ObjectFacts] = []
    token: str | None = None
    for _ in range(pages):
        page = fetching.fetch(span, token)
        if page.last and not (page.ordered and page.first > after):
            raise fetching.out_of_order()
        objects += page.objects
        token, after = page.token, page.last or after
        if token is None:
            return Stretch(objects, None)
    return Stretch(objects, after)


class _Page(NamedTuple):
    objects: list[ObjectFacts]  # those that belong to the span
    first: str
    last: str
    ordered: bool
    token: str | None  # None when the span ends here


@dataclass(frozen=True, slots=True)
class _Span:
    """The keys that begin with `prefix`, come after `after` and before `before`, and do not begin with `skip`."""

    prefix: str
    after: str = ""
    before: str | None = None
    skip: str | None = None

    def holds(self, key: str) -> bool:
        return (self.before is None or key < self.before) and (self.skip is None or not key.startswith(self.skip))

    def divided(self, page: _Page) -> list[_Span]:
        """Spans that together hold the keys of this one behind `page`; none when it is better left whole.

        The division is by the character at which the names in the folder of this page begin to differ. The order of
        keys is that of their UTF-8 bytes, which is the order of their characters.
        """
        last = page.last
        if self.before is not None or (self.skip is not None and last.startswith(self.skip)):
            return []
        folder = max(_shared_folder(page.first, last), self.prefix, key=len)
        if len(last) <= len(folder):
            return []
        head = last[len(folder)]
        heads = [head, *(letter for letter in _alphabet(last) if letter > head)]
        spans = [_Span(folder + head, after=last), *(_Span(folder + letter) for letter in heads[1:])]
        for lower, upper in pairwise(heads):
            if ord(upper) - ord(lower) > 1:
                spans.append(_gap(folder, folder + lower, before=folder + upper))
        return [*spans, _gap(self.prefix, folder + heads[-1])]


def _gap(prefix: str, group: str, before: str | None = None) -> _Span:
    """The keys behind all that begin with `group`.

    Asking for what comes after `group~` passes nearly all of the group over on the server, and `skip` the rest.
    """
    return _Span(prefix, after=group + "~", before=before, skip=group)


def _shared_folder(first: str, last: str) -> str:
    shared = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        shared += 1
    return first[: first.rfind("/", 0, shared) + 1]


def _alphabet(key: str) -> str:
    """What names like this one may begin with: digits, and for UUIDs the letters of their case."""
    name = key.rpartition("/")[2]
    if not _UUID_NAME.match(name):
        return _DIGITS
    return _DIGITS + ("ABCDEF" if any(letter in "ABCDEF" for letter in name[:13]) else "abcdef")


class _Pages:
    """Fetches the pages of one bucket's listing, whichever thread asks."""

    def __init__(self, store: Listable, prefix: str) -> None:
        self._client, self._bucket = store.client, store.bucket
        self._subject = f"{store.bucket}/{prefix}"
        self._client.meta.events.register(_BEFORE_BOTOCORE_READS, _take_body, unique_id="fm-migration-listing")

    def fetch(self, span: _Span, token: str | None = None) -> _Page:
        """One page of a span: the first, or the one that `token` continues with."""
        request = {"Bucket": self._bucket, "Prefix": span.prefix}
        if token is not None:
            request["ContinuationToken"] = token
        elif span.after:
            request["StartAfter"] = span.after
        # A gap is empty nearly always: one key is enough to see that, where a page would list its neighbour.
        limit = {"MaxKeys": 1} if span.before is not None and token is None else {}
        page = self._fetch_again_if_transient(request | limit)
        if page.token is not None and page.token == token:
            raise self._garbled("it continues with itself")
        if span.before is not None and page.last >= span.before:
            page = page._replace(token=None)
        if span.before is None and span.skip is None:
            return page
        return page._replace(objects=[facts for facts in page.objects if span.holds(facts.key)])

    def out_of_order(self) -> ObjectStoreError:
        return ObjectStoreError(
            "listing",
            self._subject,
            "the server does not list keys in the order of their bytes, or ignores StartAfter",
            "List with one thread",
        )

    def _fetch_again_if_transient(self, request: dict[str, Any]) -> _Page:
        return retry(
            partial(self._fetch_once, request),
            attempts=PAGE_ATTEMPTS,
            first_wait=0.2,
            longest_wait=10.0,
            on=_worth_another_try,
        )

    def _fetch_once(self, request: dict[str, Any]) -> _Page:
        with _body_kept():
            try:
                answer = self._client.list_objects_v2(EncodingType="url", **request)
            except STORE_FAILURES as error:
                endpoint = str(self._client.meta.endpoint_url)
                raise translated(error, "listing", self._subject, endpoint) from None
        try:
            return _parsed(answer[_BODY])
        except (ET.ParseError, ValueError, KeyError, TypeError):
            raise self._garbled("it is damaged, or no XML of a listing") from None

    def _garbled(self, found: str) -> GarbledPageError:
        return GarbledPageError(
            "listing",
            self._subject,
            f"a page cannot be read: {found}",
            "Run again; if it happens again, check what stands between here and the store",
        )


def _worth_another_try(error: Exception) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, UnreachableError)


@contextmanager
def _body_kept() -> Iterator[None]:
    reset = _keep_body.set(True)
    try:
        yield
    finally:
        _keep_body.reset(reset)


def _take_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """botocore's hook: keep a good page's bytes, give botocore's parser nothing to do. Only for our own calls."""
    if _keep_body.get() and response_dict["status_code"] == 200:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"<ListBucketResult/>"


def _parsed(body: bytes) -> _Page:
    root = ET.fromstring(body)  # noqa: S314 - see the import
    # AWS and its imitators use different name spaces, or none.
    space, _, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        raise ValueError(name)
    space = space and space + "}"
    truncated = {"true": True, "false": False}[root.findtext(f"{space}IsTruncated", "").strip()]
    token = root.findtext(f"{space}NextContinuationToken")
    if truncated and not token:
        raise ValueError("no token")
    encoded = root.findtext(f"{space}EncodingType") == "url"
    objects = [_facts(item, space, encoded) for item in root.iterfind(f"{space}Contents")]
    keys = [facts.key for facts in objects]
    return _Page(
        objects=objects,
        first=keys[0] if keys else "",
        last=keys[-1] if keys else "",
        ordered=all(map(lt, keys, keys[1:])),
        token=token if truncated else None,
    )


def _facts(item: ET.Element, space: str, encoded: bool) -> ObjectFacts:
    texts = {part.tag: part.text for part in item}
    key = texts[f"{space}Key"] or ""
    if encoded and ("%" in key or "+" in key):
        # Strict: a key whose bytes are not UTF-8 would otherwise become another key.
        key = unquote_plus(key, errors="strict")
    return ObjectFacts(
        key,
        bare_etag(texts.get(f"{space}ETag") or ""),
        int(texts[f"{space}Size"] or ""),
        datetime.fromisoformat(texts[f"{space}LastModified"] or ""),
        texts.get(f"{space}StorageClass") or STANDARD,
    )


def _read_in_turn(pages: _Pages, span: _Span, page: _Page) -> Iterator[list[ObjectFacts]]:
    while page.token is not None:
        page = pages.fetch(span, page.token)
        if page.objects:
            yield page.objects


def _read_in_parallel(pages: _Pages, spans: list[_Span], threads: int) -> Iterator[list[ObjectFacts]]:
    crew = _Crew(pages, spans, threads)
    with ThreadPoolExecutor(threads, thread_name_prefix="listing") as pool:
        try:
            for _ in range(threads):
                pool.submit(crew.work)
            yield from crew.delivered()
        finally:
            crew.stop()


class _Crew:
    """Threads that take spans, fetch their pages, and divide a span again when one of them is idle."""

    def __init__(self, pages: _Pages, spans: list[_Span], threads: int) -> None:
        self._pages = pages
        self._threads = threads
        self._changed = threading.Condition()
        self._waiting = deque(spans)
        self._busy = 0
        self._ready: deque[list[ObjectFacts]] = deque()
        self._failure: BaseException | None = None
        self._stopped = False

    def delivered(self) -> Iterator[list[ObjectFacts]]:
        """The pages as they come. Ends only when every span has been read to its end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._failure or self._finished())
                if self._failure is not None:
                    raise self._failure
                if not self._ready:
                    return
                page = self._ready.popleft()
                self._changed.notify_all()
            yield page

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def work(self) -> None:
        """What each thread does until there is nothing left."""
        while (span := self._take()) is not None:
            try:
                self._read(span)
            # Whatever it is must reach the reader: a thread that dies quietly would leave a short listing.
            except BaseException as error:
                with self._changed:
                    self._failure = self._failure or error
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _finished(self) -> bool:
        return not self._waiting and not self._busy

    def _take(self) -> _Span | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or not self._busy or self._stopped or self._failure is not None
            )
            if self._stopped or self._failure is not None or not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _read(self, span: _Span) -> None:
        token: str | None = None
        previous = span.after
        for number in range(1, 1 << 62):
            page = self._pages.fetch(span, token)
            if page.last and not (page.ordered and page.first > previous):
                raise self._pages.out_of_order()
            if not self._deliver(page.objects) or page.token is None:
                return
            if number >= PATIENCE and self._somebody_idle():
                parts = span.divided(page)
                if parts:
                    self._hand_over(parts)
                    return
            token, previous = page.token, page.last or previous

    def _deliver(self, objects: list[ObjectFacts]) -> bool:
        """Hand a page to the reader, waiting when it lags behind; false when nobody reads any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._ready) < PAGES_AHEAD * self._threads or self._stopped or self._failure is not None
            )
            if self._stopped or self._failure is not None:
                return False
            if objects:
                self._ready.append(objects)
                self._changed.notify_all()
            return True

    def _somebody_idle(self) -> bool:
        with self._changed:
            return not self._waiting and self._busy < self._threads

    def _hand_over(self, spans: list[_Span]) -> None:
        with self._changed:
            self._waiting.extend(spans)
            self._changed.notify_all()
