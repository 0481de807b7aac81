"""Listing is whole or fails: paging, dividing the key space, odd keys, damaged pages, small memory."""

from __future__ import annotations

import gc
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fm_migration.errors import FmMigrationError, ObjectStoreError, TransientError
from fm_migration.objects import listing
from fm_migration.objects.failures import UnreachableError
from fm_migration.objects.listing import GarbledPageError, _Page, _Span, list_objects, list_pages
from fm_migration.objects.store import ObjectStore, open_store
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.objects.conftest import DUMP, MANY, is_multipart, location_of, small_pages
from fm_migration_tests.objects.faults import FaultyProxy

BOTH = pytest.mark.parametrize("threads", [1, 6])

#: Digits and UUIDs, what stands just before and after them, what URLs and XML treat specially, and the ends of Unicode.
_LETTERS = "0123456789afAFgG/-_.~:@%+ &<>'\"\\\x01\x1f\x7fßé\ue000\uffee\U0001f9b6\U0010ffff"


def listed(store: ObjectStore, prefix: str, threads: int) -> list[str]:
    return [facts.key for facts in list_objects(store, prefix, threads=threads)]


def impatient_client(endpoint: str, bucket: Bucket) -> Any:
    """A client as a caller may hand it in: one that never tries again by itself."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=20),
    )


# --- Paging ------------------------------------------------------------------------------------------


@BOTH
def test_a_listing_does_not_end_after_the_first_thousand(dump: Bucket, threads: int) -> None:
    """A listing that forgot to page made the clinic believe that 5,577 uploads were missing."""
    keys = listed(open_store(location_of(dump)), DUMP, threads)
    assert len(keys) == len(set(keys)) == MANY
    assert set(keys) == {f"{DUMP}{recid}.jpg" for recid in range(1, MANY + 1)}


def test_one_thread_keeps_the_servers_order(dump: Bucket) -> None:
    keys = listed(open_store(location_of(dump)), DUMP, threads=1)
    assert keys == sorted(keys, key=lambda key: key.encode())


@BOTH
def test_a_listing_of_nothing_is_empty_and_no_error(store: ObjectStore, threads: int) -> None:
    assert listed(store, "no/such/prefix/", threads) == []


def test_the_facts_are_those_that_boto3_gives(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(f"{DUMP}1.jpg", b"one")
    bucket.put(f"{DUMP}2.jpg", b"")
    bucket.client.put_object(Bucket=bucket.name, Key=f"{DUMP}3.jpg", Body=b"3", StorageClass="STANDARD_IA")
    theirs = {item["Key"]: item for item in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]}
    ours = {facts.key: facts for facts in list_objects(store, DUMP)}
    assert ours.keys() == theirs.keys()
    for key, facts in ours.items():
        assert f'"{facts.etag}"' == theirs[key]["ETag"]
        assert facts.size == theirs[key]["Size"]
        assert facts.last_modified == theirs[key]["LastModified"]
        assert facts.storage_class == theirs[key]["StorageClass"]
        assert not is_multipart(facts)


def test_multipart_uploads_are_told_by_their_etag(bucket: Bucket, store: ObjectStore) -> None:
    key = f"{DUMP}1.jpg"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    where = {"Bucket": bucket.name, "Key": key, "UploadId": upload}
    part = bucket.client.upload_part(**where, PartNumber=1, Body=b"whole")
    bucket.client.complete_multipart_upload(
        **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    (facts,) = list_objects(store, DUMP)
    assert is_multipart(facts)


def test_the_clients_own_listing_is_left_as_it_was(bucket: Bucket, store: ObjectStore) -> None:
    """The hook that keeps pages from botocore's parser works for our calls only: the client may be shared."""
    bucket.put("a b+c.jpg")
    assert listed(store, "", 1) == ["a b+c.jpg"]
    assert [item["Key"] for item in store.client.list_objects_v2(Bucket=bucket.name)["Contents"]] == ["a b+c.jpg"]


# --- Dividing the key space --------------------------------------------------------------------------


@st.composite
def _key_and_page(draw: st.DrawFn) -> tuple[list[str], int, int, str]:
    prefix = draw(st.sampled_from(["", "d/", "d"]))
    middle = draw(st.sampled_from(["", "same/folder/", "0a1b2c3d-4e5f-"]))
    names = st.text(_LETTERS, max_size=6) | st.integers(0, 9999).map(str)
    keys = sorted({prefix + middle * draw(st.booleans()) + name for name in draw(st.lists(names, min_size=2))})
    first = draw(st.integers(0, len(keys) - 1))
    return keys, first, draw(st.integers(first, len(keys) - 1)), prefix


@given(_key_and_page())
@example((["1", "10", "9~", "9é", "9\U0010ffff", ":", "z"], 0, 1, ""))
@settings(max_examples=400)
def test_the_spans_hold_every_key_behind_the_page_exactly_once(case: tuple[list[str], int, int, str]) -> None:
    keys, first, last, prefix = case

    def owners(spans: Sequence[_Span], key: str) -> int:
        return sum(key.startswith(span.prefix) and key > span.after and span.holds(key) for span in spans)

    page = _Page([], keys[first], keys[last], ordered=True, token="more")
    spans = _Span(prefix).divided(page)
    # Every span may turn out large and be divided again: the rest must then still be tiled.
    for span in list(spans):
        inside = [key for key in keys[last + 1 :] if owners([span], key)]
        if inside:
            parts = span.divided(_Page([], inside[0], inside[0], ordered=True, token="more"))
            for key in inside[1:] if parts else []:
                assert owners(parts, key) == 1
    for key in keys[last + 1 :] if spans else []:
        assert owners(spans, key) == 1
    for key in keys[: last + 1]:
        assert owners(spans, key) == 0


_odd_key = st.text(_LETTERS, min_size=1, max_size=8).filter(
    # The test server keeps objects as files, and has no name for these.
    lambda key: not key.startswith("/") and not any(part in ("", ".", "..") for part in key.split("/"))
)


@given(keys=st.sets(_odd_key, min_size=1, max_size=30), size=st.integers(1, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parallel_and_sequential_listings_agree_on_any_keys(bucket: Bucket, keys: set[str], size: int) -> None:
    prefix = f"{uuid.uuid4().hex}/"
    for key in keys:
        bucket.put(prefix + key)
    in_turn, in_parallel = (
        listed(small_pages(open_store(location_of(bucket)), size), prefix, threads) for threads in (1, 4)
    )
    assert in_turn == sorted(prefix + key for key in keys)
    assert sorted(in_parallel) == in_turn


@pytest.mark.parametrize(
    "names",
    [
        [f"{recid}.jpg" for recid in range(100_000, 100_060)],  # all in one span, which is divided again
        [f"{uuid.uuid5(uuid.NAMESPACE_OID, str(n))}.jpg" for n in range(60)],
        [f"{uuid.uuid5(uuid.NAMESPACE_OID, str(n))}.jpg".upper() for n in range(60)],
        [f"IMG_{n:04}.jpg" for n in range(60)],  # no first character that was expected
        [f"{n % 4}.jpg/{uuid.uuid5(uuid.NAMESPACE_OID, str(n))}.jpg" for n in range(60)],
    ],
    ids=["six digits", "uuids", "UUIDS", "camera names", "keys inside keys"],
)
def test_every_layout_of_the_dump_is_listed_whole_in_parallel(
    bucket: Bucket, store: ObjectStore, names: list[str]
) -> None:
    expected = {DUMP + name for name in names} | {DUMP, DUMP + "~", DUMP + "Ω"}
    for key in expected:
        bucket.put(key)
    keys = listed(small_pages(store, 4), DUMP, threads=4)
    assert len(keys) == len(expected)
    assert set(keys) == expected


def test_large_spans_are_divided_while_threads_are_idle(bucket: Bucket, proxy: FaultyProxy) -> None:
    for recid in range(100_000, 100_040):
        bucket.put(f"{DUMP}{recid}.jpg")
    store = small_pages(ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name), 3)
    assert len(listed(store, DUMP, threads=4)) == 40
    prefixes = {path.partition("&prefix=")[2].partition("&")[0] for path in proxy.requests}
    assert len(prefixes) > 12, prefixes


def test_a_server_that_ignores_startafter_is_found_out(bucket: Bucket, store: ObjectStore) -> None:
    for recid in range(10):
        bucket.put(f"{DUMP}{recid}.jpg")

    def forget(params: dict[str, Any], **_: Any) -> None:
        params.pop("StartAfter", None)

    store.client.meta.events.register("provide-client-params.s3.ListObjectsV2", forget)
    with pytest.raises(ObjectStoreError, match="List with one thread"):
        listed(small_pages(store, 3), DUMP, threads=4)
    assert len(listed(store, DUMP, threads=1)) == 10


# --- A failed page is not a short listing ---------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "fault", ["500", "503", "429", "cut off", "shortened", "web page", "error in a 200", "no token"]
)
def test_a_page_that_cannot_be_had_fails_the_whole_listing(
    bucket: Bucket, proxy: FaultyProxy, threads: int, fault: str
) -> None:
    for recid in range(20):
        bucket.put(f"{DUMP}{recid}.jpg")
    store = small_pages(ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name), 4)
    # Only pages that promise more can lack the token of the next.
    proxy.rule = lambda number, _path: fault if number >= (1 if fault == "no token" else 3) else None
    with pytest.raises(TransientError):
        listed(store, DUMP, threads)


@BOTH
@pytest.mark.parametrize(
    "fault", ["500", "503", "429", "cut off", "shortened", "web page", "error in a 200", "no verdict"]
)
def test_a_page_that_arrives_at_the_second_try_is_not_doubled(
    bucket: Bucket, proxy: FaultyProxy, threads: int, fault: str
) -> None:
    for recid in range(20):
        bucket.put(f"{DUMP}{recid}.jpg")
    store = small_pages(ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name), 4)
    seen: set[str] = set()

    def first_time(_number: int, path: str) -> str | None:
        if path in seen:
            return None
        seen.add(path)
        return fault

    proxy.rule = first_time
    keys = listed(store, DUMP, threads)
    assert len(keys) == 20
    assert len(set(keys)) == 20


def test_a_listing_that_loses_its_permission_halfway_fails(bucket: Bucket, proxy: FaultyProxy) -> None:
    for recid in range(20):
        bucket.put(f"{DUMP}{recid}.jpg")
    store = small_pages(ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name), 4)
    proxy.rule = lambda number, _path: "403" if number == 3 else None
    with pytest.raises(ObjectStoreError) as failure:
        listed(store, DUMP, threads=1)
    assert not isinstance(failure.value, TransientError)
    assert len(proxy.requests) == 3, "a refusal is not repeated"


def test_a_token_that_leads_nowhere_does_not_turn_for_ever(bucket: Bucket, store: ObjectStore) -> None:
    for recid in range(5):
        bucket.put(f"{DUMP}{recid}.jpg")

    def stuck(params: dict[str, Any], **_: Any) -> None:
        params.pop("ContinuationToken", None)

    store.client.meta.events.register("provide-client-params.s3.ListObjectsV2", stuck)
    with pytest.raises(GarbledPageError, match="continues with itself"):
        listed(small_pages(store, 2), DUMP, threads=1)


def test_an_odd_answer_names_the_prefix_and_a_remedy(bucket: Bucket, proxy: FaultyProxy) -> None:
    store = ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name)
    proxy.rule = lambda _number, _path: "web page"
    with pytest.raises(FmMigrationError) as failure:
        listed(store, DUMP, threads=1)
    assert str(failure.value) == (
        f"listing {bucket.name}/{DUMP}: a page cannot be read: it is damaged, or no XML of a listing. "
        "Run again; if it happens again, check what stands between here and the store."
    )


def test_a_server_that_is_gone_is_not_asked_over_and_over(bucket: Bucket) -> None:
    store = ObjectStore(impatient_client("http://127.0.0.1:9", bucket), bucket.name)
    with pytest.raises(UnreachableError, match="nobody answers at"):
        listed(store, DUMP, threads=4)


def test_an_object_store_that_is_no_object_store(bucket: Bucket, proxy: FaultyProxy) -> None:
    location = location_of(bucket, url=f"s3://{bucket.name}?endpoint={proxy.endpoint}")
    proxy.rule = lambda _number, _path: "web page"
    with pytest.raises(FmMigrationError, match="is not an S3 server"):
        open_store(location).check()


# --- Memory and manners ------------------------------------------------------------------------------


def test_a_slow_reader_holds_the_listing_back(bucket: Bucket, proxy: FaultyProxy) -> None:
    """Bounded memory: pages are not fetched far ahead of who reads them."""
    for recid in range(100_000, 100_120):
        bucket.put(f"{DUMP}{recid}.jpg")
    store = small_pages(ObjectStore(impatient_client(proxy.endpoint, bucket), bucket.name), 2)
    threads = 2
    pages = list_pages(store, DUMP, threads=threads)
    next(pages), next(pages)
    most = 2 + threads * (listing.PAGES_AHEAD + 1)
    # Whoever would run away does so within this time.
    threading.Event().wait(0.7)
    delivered = sum(1 for path in proxy.requests if "max-keys=2" in path)
    empty_spans = 12
    assert delivered <= most + empty_spans
    assert sum(map(len, pages)) == 120 - 4


def test_a_reader_who_stops_early_leaves_no_threads_behind(bucket: Bucket, store: ObjectStore) -> None:
    for recid in range(100_000, 100_050):
        bucket.put(f"{DUMP}{recid}.jpg")
    objects = list_objects(small_pages(store, 2), DUMP, threads=4)
    assert len(list(islice(objects, 9))) == 9
    del objects
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing")]


def test_a_listing_has_no_memory_of_the_former_one(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(f"{DUMP}1.jpg")
    assert len(list(store.list(DUMP))) == 1
    bucket.put(f"{DUMP}2.jpg")
    assert len(list(store.list(DUMP))) == 2
    elsewhere = replace(location_of(bucket), bucket="no-such-bucket")
    with pytest.raises(ObjectStoreError, match="no such bucket"):
        list(open_store(elsewhere).list(DUMP))
