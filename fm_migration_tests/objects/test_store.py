"""Opening, reading and writing: clear errors, and a guard in front of every original."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fm_migration.errors import FmMigrationError, ObjectStoreError, SettingsError, TransientError
from fm_migration.objects.failures import ObjectChangedError, ObjectMissingError, UnreachableError
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_client, open_store
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.objects.conftest import DUMP, OWN, location_of
from fm_migration_tests.objects.faults import FaultyProxy

ORIGINAL = f"{DUMP}1204.jpg"


# --- FM_OBJECTS_URL ----------------------------------------------------------------------------------


def test_a_url_with_everything() -> None:
    location = ObjectsLocation.parse("s3://clinic-files?endpoint=http://127.0.0.1:4566/&region=eu-central-1", "k", "s")
    assert location == ObjectsLocation(
        "clinic-files", "http://127.0.0.1:4566", "eu-central-1", access_key="k", secret_key=SecretStr("s")
    )
    assert location.url == "s3://clinic-files?endpoint=http://127.0.0.1:4566&region=eu-central-1"


def test_a_plain_url_leaves_credentials_and_region_to_aws() -> None:
    location = ObjectsLocation.parse("s3://clinic-files")
    assert location == ObjectsLocation("clinic-files")
    assert location.url == "s3://clinic-files"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://host/bucket", "the scheme is http"),
        ("clinic-files", "the scheme is missing"),
        ("", "the scheme is missing"),
        ("s3://", "the bucket is missing"),
        ("s3://?endpoint=http://host", "the bucket is missing"),
        ("s3://not a bucket", "the bucket is missing"),
        ("s3://clinic-files/some/prefix", "a key follows the bucket"),
        ("s3://clinic-files?endpoint=host:9000", "the endpoint is not an http"),
        ("s3://clinic-files?endpoint=http://me:hunter2@host:9000", "the endpoint carries credentials"),
        ("s3://me:hunter2@clinic-files", "it carries credentials"),
        ("s3://clinic-files?zone=1", "unknown options: zone"),
    ],
)
def test_a_bad_url_is_a_readable_error(url: str, found: str) -> None:
    with pytest.raises(SettingsError) as failure:
        ObjectsLocation.parse(url)
    assert failure.value.subject == "FM_OBJECTS_URL"
    assert found in failure.value.found
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("keys", [("key", None), (None, "secret")])
def test_half_a_pair_of_keys_is_refused(keys: tuple[str | None, str | None]) -> None:
    with pytest.raises(SettingsError, match="only one of them is set"):
        ObjectsLocation.parse("s3://clinic-files", *keys)


def test_the_secret_key_is_never_shown(bucket: Bucket) -> None:
    location = location_of(bucket)
    assert bucket.secret_key not in f"{location} {location!r} {location.url}"


def test_other_servers_are_spoken_to_by_path() -> None:
    client = open_client(
        ObjectsLocation.parse("s3://clinic-files?endpoint=http://objects.clinic.example:9000", "k", "s")
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "clinic-files", "Key": "a"})
    assert url.startswith("http://objects.clinic.example:9000/clinic-files/a?")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert client.meta.config.read_timeout == 60


# --- check -------------------------------------------------------------------------------------------


def failure_of_check(location: ObjectsLocation) -> FmMigrationError:
    with pytest.raises(FmMigrationError) as failure:
        open_store(location).check()
    return failure.value


def test_a_good_bucket_passes(store: ObjectStore) -> None:
    store.check()


def test_a_missing_bucket(bucket: Bucket) -> None:
    failure = failure_of_check(replace(location_of(bucket), bucket="nobody-made-this"))
    assert str(failure) == (
        "reaching the bucket nobody-made-this: there is no such bucket. "
        "Correct the bucket in FM_OBJECTS_URL, or create it."
    )
    assert not failure.transient


def client_without_patience(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2),
    )


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("http://127.0.0.1:9", "connection refused"), ("http://no-such-host.invalid", "its name is unknown to the DNS")],
)
def test_nobody_at_the_address(endpoint: str, reason: str) -> None:
    with pytest.raises(UnreachableError) as failure:
        ObjectStore(client_without_patience(endpoint), "clinic-files").check()
    assert failure.value.found == f"nobody answers at {endpoint} ({reason})"
    assert failure.value.transient


def test_the_servers_clock_can_be_asked(store: ObjectStore) -> None:
    assert abs(store.server_time() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    with pytest.raises(UnreachableError, match="asking for the time"):
        ObjectStore(client_without_patience("http://127.0.0.1:9"), "clinic-files").server_time()


def test_an_access_key_that_the_server_does_not_know(bucket: Bucket) -> None:
    failure = failure_of_check(location_of(bucket, access_key="AKIAUNKNOWNTOTHEM00"))
    assert "does not know the access key" in failure.found


def test_no_credentials_at_all(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    failure = failure_of_check(ObjectsLocation.parse(bucket.url))
    assert "no usable credentials" in failure.found
    assert "FM_OBJECTS_ACCESS_KEY" in failure.remedy


# --- Reading -----------------------------------------------------------------------------------------


def test_reading_what_was_listed(bucket: Bucket, store: ObjectStore) -> None:
    body = bytes(range(256)) * 9000
    bucket.put(ORIGINAL, body)
    (facts,) = store.list(DUMP)
    assert store.read(ORIGINAL, etag=facts.etag) == body
    assert b"".join(store.stream(ORIGINAL, etag=facts.etag, chunk_bytes=65_536)) == body
    # A HEAD tells the time to the second, a listing to the millisecond.
    assert store.head(ORIGINAL) == facts._replace(last_modified=facts.last_modified.replace(microsecond=0))
    assert facts.etag == hashlib.md5(body).hexdigest()


def test_an_object_that_vanished_between_listing_and_reading(bucket: Bucket, store: ObjectStore) -> None:
    """Catalogue 16."""
    bucket.put(ORIGINAL)
    (facts,) = store.list(DUMP)
    bucket.client.delete_object(Bucket=bucket.name, Key=ORIGINAL)
    for attempt in (
        lambda: store.read(ORIGINAL, etag=facts.etag),
        lambda: list(store.stream(ORIGINAL)),
        lambda: store.head(ORIGINAL),
        lambda: store.copy(ORIGINAL, f"{OWN}copy.jpg"),
    ):
        with pytest.raises(ObjectMissingError, match=r"1204\.jpg: there is no such object"):
            attempt()


def test_an_object_that_was_replaced_since_it_was_listed(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(ORIGINAL, b"as listed")
    (facts,) = store.list(DUMP)
    bucket.put(ORIGINAL, b"somebody else's")
    for attempt in (
        lambda: store.read(ORIGINAL, etag=facts.etag),
        lambda: list(store.stream(ORIGINAL, etag=facts.etag)),
        lambda: store.copy(ORIGINAL, f"{OWN}copy.jpg", source_etag=facts.etag),
    ):
        with pytest.raises(ObjectChangedError):
            attempt()
    assert store.read(ORIGINAL) == b"somebody else's"


def test_a_server_that_ignores_the_condition_is_found_out(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(ORIGINAL, b"another")

    def forget(params: dict[str, Any], **_: Any) -> None:
        params.pop("IfMatch", None)

    store.client.meta.events.register("provide-client-params.s3.GetObject", forget)
    with pytest.raises(ObjectChangedError):
        store.read(ORIGINAL, etag="0" * 32)


def test_too_large_is_refused_before_it_is_fetched(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(ORIGINAL, b"x" * 5_000)
    assert len(store.read(ORIGINAL, max_bytes=5_000)) == 5_000
    with pytest.raises(ObjectStoreError, match="5,000 bytes, more than the 4,999 allowed"):
        store.read(ORIGINAL, max_bytes=4_999)


def test_a_connection_that_breaks_off_is_no_short_photograph(bucket: Bucket, proxy: FaultyProxy) -> None:
    bucket.put(ORIGINAL, b"x" * 50_000)
    store = open_store(location_of(bucket, url=f"s3://{bucket.name}?endpoint={proxy.endpoint}"))
    proxy.rule = lambda _number, _path: "cut off"
    with pytest.raises(TransientError, match="broke off"):
        store.read(ORIGINAL)
    with pytest.raises(TransientError, match="broke off"):
        list(store.stream(ORIGINAL))


# --- Writing -----------------------------------------------------------------------------------------


def test_writing_under_our_own_prefix(bucket: Bucket, store: ObjectStore) -> None:
    etag = store.put(f"{OWN}a/1.webp", b"small picture", "image/webp", cache_control="max-age=60")
    answer = bucket.client.get_object(Bucket=bucket.name, Key=f"{OWN}a/1.webp")
    assert answer["Body"].read() == b"small picture"
    assert (answer["ContentType"], answer["CacheControl"]) == ("image/webp", "max-age=60")
    assert store.head(f"{OWN}a/1.webp").etag == etag


def test_bytes_that_change_on_their_way_are_not_stored(bucket: Bucket, store: ObjectStore) -> None:
    def corrupt(params: dict[str, Any], **_: Any) -> None:
        params["Body"] = b"altered on the way"

    store.client.meta.events.register("provide-client-params.s3.PutObject", corrupt)
    with pytest.raises(TransientError, match="BadDigest"):
        store.put(f"{OWN}1.jpg", b"as it was made", "image/jpeg")
    assert list(store.list(OWN)) == []


def test_only_if_new_leaves_what_is_there(store: ObjectStore) -> None:
    store.put(f"{OWN}1.jpg", b"first", "image/jpeg", only_if_new=True)
    with pytest.raises(ObjectChangedError):
        store.put(f"{OWN}1.jpg", b"second", "image/jpeg", only_if_new=True)
    assert store.read(f"{OWN}1.jpg") == b"first"


def test_an_original_is_brought_with_what_proves_it(bucket: Bucket, store: ObjectStore) -> None:
    etag = store.add_original(ORIGINAL, b"picture", "image/jpeg", {"fm-sha256": "abc"})
    assert bucket.client.get_object(Bucket=bucket.name, Key=ORIGINAL)["Body"].read() == b"picture"
    assert (store.head(ORIGINAL).etag, store.metadata(ORIGINAL)) == (etag, {"fm-sha256": "abc"})


def test_bringing_an_original_never_overwrites_one(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(ORIGINAL, b"the clinic's")
    with pytest.raises(ObjectChangedError, match="is there already"):
        store.add_original(ORIGINAL, b"ours", "image/jpeg")
    assert store.read(ORIGINAL) == b"the clinic's"


@pytest.mark.parametrize("key", [f"{OWN}1.jpg", f"{DUMP}../1.jpg", DUMP, "elsewhere/1.jpg"])
def test_an_original_is_brought_to_the_dump_and_nowhere_else(store: ObjectStore, key: str) -> None:
    with pytest.raises(ObjectStoreError, match="outside the prefixes"):
        store.add_original(key, b"picture", "image/jpeg")


def test_copying_keeps_the_type(bucket: Bucket, store: ObjectStore) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=ORIGINAL, Body=b"picture", ContentType="image/jpeg")
    store.copy(ORIGINAL, f"{OWN}kept.jpg", source_etag=store.head(ORIGINAL).etag)
    assert bucket.client.head_object(Bucket=bucket.name, Key=f"{OWN}kept.jpg")["ContentType"] == "image/jpeg"


def test_deleting_our_own_twice_is_no_error(store: ObjectStore) -> None:
    store.put(f"{OWN}1.jpg", b"x", "image/jpeg")
    store.delete_own(f"{OWN}1.jpg")
    store.delete_own(f"{OWN}1.jpg")
    assert list(store.list(OWN)) == []


def test_no_method_touches_an_original(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(ORIGINAL, b"the only copy")
    store.put(f"{OWN}1.jpg", b"x", "image/jpeg")
    for attempt in (
        lambda: store.put(ORIGINAL, b"x", "image/jpeg"),
        lambda: store.copy(f"{OWN}1.jpg", ORIGINAL),
        lambda: store.delete_own(ORIGINAL),
    ):
        with pytest.raises(ObjectStoreError, match="Originals are never written"):
            attempt()
    assert store.read(ORIGINAL) == b"the only copy"


@given(st.text(max_size=30) | st.text("thumbnails/. ", max_size=24))
def test_nothing_is_sent_for_a_key_outside_our_prefixes(key: str) -> None:
    # A client that cannot do anything: what reaches it fails with an AttributeError.
    store = ObjectStore(object(), "clinic-files", writable_prefixes=[OWN], protected_prefixes=[DUMP])
    parts = key.removeprefix(OWN).split("/")
    if key.startswith(OWN) and not any(part in ("", ".", "..") for part in parts):
        return
    with pytest.raises(ObjectStoreError):
        store.put(key, b"x", "image/jpeg")
    with pytest.raises(ObjectStoreError):
        store.delete_own(key)


def test_a_store_without_writable_prefixes_only_reads(bucket: Bucket) -> None:
    store = open_store(location_of(bucket))
    with pytest.raises(ObjectStoreError):
        store.put("anything.jpg", b"x", "image/jpeg")


@pytest.mark.parametrize("own", ["", "/", DUMP, f"{DUMP}thumbs/", "filemaker-import/", "thumbnails"])
def test_a_writable_prefix_must_stay_clear_of_the_originals(own: str) -> None:
    with pytest.raises(SettingsError):
        ObjectStore(object(), "clinic-files", writable_prefixes=[own], protected_prefixes=[DUMP])


# --- What messages do not say ------------------------------------------------------------------------


def test_no_error_shows_the_folders_of_a_key(bucket: Bucket) -> None:
    """A folder may be named after a patient, and botocore puts whole URLs into its texts."""
    canary = "Xaver-Canary-1901-01-01"
    dead = ObjectStore(client_without_patience("http://127.0.0.1:9"), "clinic-files", writable_prefixes=[f"{canary}/"])
    alive = open_store(location_of(bucket), writable_prefixes=[f"{canary}/"])
    attempts: list[Callable[[ObjectStore], object]] = [
        lambda store: store.read(f"{canary}/{uuid.uuid4()}.jpg"),
        lambda store: store.head(f"{canary}/letter of {canary}.pdf"),
        lambda store: store.copy(f"{canary}/a.jpg", f"{canary}/b.jpg"),
        lambda store: store.put(f"else/{canary}.pdf", b"x", "application/pdf"),
    ]
    failures = []
    for store in (dead, alive):
        for attempt in attempts:
            with pytest.raises(FmMigrationError) as failure:
                attempt(store)
            failures.append(failure.value)
    for error in failures:
        assert canary not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
