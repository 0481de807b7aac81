"""S3 Inventory reports as AWS documents them: the same facts as a listing, verified, or an error."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fm_migration.errors import ObjectStoreError
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.objects.inventory_report import latest_manifest, open_report
from fm_migration.objects.store import ObjectStore
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.objects.conftest import DUMP, is_multipart

SOURCE = "clinic-photographs"
FOLDER = f"reports/{SOURCE}/daily/2026-03-10T01-00Z/"
MANIFEST = f"{FOLDER}manifest.json"
COLUMNS = ["Bucket", "Key", "Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded"]
WHEN = datetime(2026, 3, 9, 8, 30, 15, 123000, tzinfo=UTC)

FACTS = [
    ObjectFacts(f"{DUMP}1.jpg", "0cc175b9c0f1b6a831c399e269772661", 1_800_000, WHEN, "STANDARD"),
    ObjectFacts(f"{DUMP}2.jpg", "92eb5ffee6ae2fec3ad71c777531578f-3", 38_000_000, WHEN, "STANDARD_IA"),
    ObjectFacts(f'{DUMP}a b+c%20ü,"quoted".jpg', "4a8a08f09d37b73795649038408b5f33", 0, WHEN, "STANDARD"),
    ObjectFacts("elsewhere/3.jpg", "8277e0910d750195b448797616e091ad", 3, WHEN, "STANDARD"),
]

Reports = Callable[..., None]


def as_csv(facts: list[ObjectFacts], columns: list[str] = COLUMNS) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for item in facts:
        row = {
            "Bucket": SOURCE,
            "Key": quote_plus(item.key, safe="/"),
            "Size": item.size,
            "LastModifiedDate": item.last_modified.strftime("%Y-%m-%dT%H:%M:%S.") + "123Z",
            "ETag": item.etag,
            "StorageClass": item.storage_class,
            "IsMultipartUploaded": str(is_multipart(item)).lower(),
        }
        writer.writerow([row[column] for column in columns])
    return gzip.compress(text.getvalue().encode())


def as_parquet(facts: list[ObjectFacts]) -> bytes:
    table = pa.table(
        {
            "bucket": [SOURCE] * len(facts),
            "key": [item.key for item in facts],
            "size": pa.array([item.size for item in facts], pa.int64()),
            # AWS writes milliseconds without a zone.
            "last_modified_date": pa.array(
                [item.last_modified.replace(tzinfo=None) for item in facts], pa.timestamp("ms")
            ),
            "e_tag": [item.etag for item in facts],
            "storage_class": [item.storage_class for item in facts],
            "is_multipart_uploaded": [is_multipart(item) for item in facts],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def publish(bucket: Bucket, files: list[bytes], file_format: str = "CSV", **changes: Any) -> dict[str, Any]:
    """Put a report into the bucket as AWS would."""
    suffix = "parquet" if file_format == "Parquet" else "csv.gz"
    named = {f"reports/{SOURCE}/daily/data/{uuid.uuid4()}.{suffix}": body for body in files}
    for key, body in named.items():
        bucket.put(key, body)
    manifest = {
        "sourceBucket": SOURCE,
        "destinationBucket": f"arn:aws:s3:::{bucket.name}",
        "version": "2016-11-30",
        "creationTimestamp": "1773104400000",
        "fileFormat": file_format,
        "fileSchema": ", ".join(COLUMNS) if file_format == "CSV" else "message s3.inventory { ... }",
        "files": [
            {"key": key, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()} for key, body in named.items()
        ],
    } | changes
    text = json.dumps(manifest, indent=2).encode()
    bucket.put(MANIFEST, text)
    bucket.put(f"{FOLDER}manifest.checksum", hashlib.md5(text).hexdigest().encode())
    return manifest


def read_all(store: ObjectStore, prefix: str = "") -> list[ObjectFacts]:
    return list(open_report(store, MANIFEST, source_bucket=SOURCE).objects(prefix))


@pytest.mark.parametrize(("file_format", "write"), [("CSV", as_csv), ("Parquet", as_parquet)])
def test_a_report_gives_the_facts_of_a_listing(
    bucket: Bucket, store: ObjectStore, file_format: str, write: Callable[[list[ObjectFacts]], bytes]
) -> None:
    publish(bucket, [write(FACTS[:1]), write(FACTS[1:]), write([])], file_format)
    report = open_report(store, MANIFEST, source_bucket=SOURCE)
    assert list(report.objects()) == FACTS
    assert list(report.objects(DUMP)) == FACTS[:3]
    assert report.created_at == datetime(2026, 3, 10, 1, 0, tzinfo=UTC)
    assert [is_multipart(facts) for facts in report.objects()] == [False, True, False, False]


def test_older_versions_and_delete_markers_are_left_out(bucket: Bucket, store: ObjectStore) -> None:
    rows = [
        ["1.jpg", "true", "false", "7", "2026-03-09T08:30:15.000Z", "aa"],
        ["1.jpg", "false", "false", "6", "2025-03-09T08:30:15.000Z", "bb"],
        ["2.jpg", "true", "true", "", "2026-03-09T08:30:15.000Z", ""],
    ]
    text = "\n".join(",".join(f'"{value}"' for value in row) for row in rows)
    publish(
        bucket, [gzip.compress(text.encode())], fileSchema="Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
    )
    assert [(facts.key, facts.etag, facts.storage_class) for facts in read_all(store)] == [("1.jpg", "aa", "STANDARD")]


def test_a_data_file_that_was_altered(bucket: Bucket, store: ObjectStore) -> None:
    manifest = publish(bucket, [as_csv(FACTS[:2]), as_csv(FACTS[2:])])
    bucket.put(manifest["files"][1]["key"], as_csv(FACTS[2:3]))
    with pytest.raises(ObjectStoreError, match=r"data file 2 of 2: its MD5 is not the one in the manifest"):
        read_all(store)


def test_not_one_row_of_an_altered_file_is_given_out(bucket: Bucket, store: ObjectStore) -> None:
    manifest = publish(bucket, [as_csv(FACTS)])
    bucket.put(manifest["files"][0]["key"], as_csv(FACTS + FACTS))
    objects = open_report(store, MANIFEST, source_bucket=SOURCE).objects()
    with pytest.raises(ObjectStoreError):
        next(objects)


def test_a_data_file_that_is_missing(bucket: Bucket, store: ObjectStore) -> None:
    manifest = publish(bucket, [as_csv(FACTS)])
    bucket.client.delete_object(Bucket=bucket.name, Key=manifest["files"][0]["key"])
    with pytest.raises(ObjectMissingError, match="data file 1 of 1: the manifest names it, and it is not there"):
        read_all(store)


def test_a_manifest_that_was_altered(bucket: Bucket, store: ObjectStore) -> None:
    publish(bucket, [as_csv(FACTS)])
    text = store.read(MANIFEST)
    bucket.put(MANIFEST, text.replace(b"2016-11-30", b"2016-11-31"))
    with pytest.raises(ObjectStoreError, match=r"its MD5 is not the one in manifest\.checksum"):
        read_all(store)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.checksum"])
def test_a_report_that_is_not_finished(bucket: Bucket, store: ObjectStore, name: str) -> None:
    publish(bucket, [as_csv(FACTS)])
    bucket.client.delete_object(Bucket=bucket.name, Key=FOLDER + name)
    with pytest.raises(ObjectMissingError, match="Wait for the next report"):
        read_all(store)
    with pytest.raises(ObjectMissingError, match=r"no manifest\.json with its manifest\.checksum"):
        latest_manifest(store, "reports/")


def test_orc_is_refused_with_a_remedy(bucket: Bucket, store: ObjectStore) -> None:
    publish(bucket, [b"ORC"], "ORC")
    with pytest.raises(ObjectStoreError, match="its data files are ORC") as failure:
        read_all(store)
    assert "Apache Parquet or CSV" in failure.value.remedy


def test_the_report_of_another_bucket(bucket: Bucket, store: ObjectStore) -> None:
    publish(bucket, [as_csv(FACTS)], sourceBucket="somebody-elses")
    with pytest.raises(ObjectStoreError, match="lists the bucket somebody-elses, not clinic-photographs"):
        read_all(store)


def test_a_report_without_the_fields_that_are_needed(bucket: Bucket, store: ObjectStore) -> None:
    publish(bucket, [as_csv(FACTS, ["Bucket", "Key"])], fileSchema="Bucket, Key")
    with pytest.raises(ObjectStoreError, match="lacks the fields ETag, LastModifiedDate, Size"):
        read_all(store)


@pytest.mark.parametrize(
    ("body", "row"),
    [
        (as_csv(FACTS)[:-12], "row "),  # a gzip that ends too early
        (b"not compressed at all", "row 1 "),
        (
            gzip.compress(b'"clinic-photographs","1.jpg","many","2026-03-09T08:30:15.000Z","aa","STANDARD","false"\n'),
            "row 1 ",
        ),
        (gzip.compress(b'"clinic-photographs","1.jpg"\n'), "row 1 "),
    ],
    ids=["cut off", "not gzip", "no number", "too few values"],
)
def test_a_file_that_cannot_be_read_although_its_md5_is_right(
    bucket: Bucket, store: ObjectStore, body: bytes, row: str
) -> None:
    publish(bucket, [body])
    with pytest.raises(ObjectStoreError, match="data file 1 of 1") as failure:
        read_all(store)
    assert row in failure.value.found


def test_parquet_that_is_none(bucket: Bucket, store: ObjectStore) -> None:
    publish(bucket, [b"PAR1 but not really"], "Parquet")
    with pytest.raises(ObjectStoreError, match="data file 1 of 1"):
        read_all(store)


@pytest.mark.parametrize("text", [b"[]", b"{}", b"not json", b'{"sourceBucket": "x", "files": 3}'])
def test_a_manifest_that_is_none(bucket: Bucket, store: ObjectStore, text: bytes) -> None:
    bucket.put(MANIFEST, text)
    bucket.put(f"{FOLDER}manifest.checksum", hashlib.md5(text).hexdigest().encode())
    with pytest.raises(ObjectStoreError, match="it is not an inventory manifest"):
        read_all(store)


def test_the_newest_finished_report_is_found(bucket: Bucket, store: ObjectStore) -> None:
    base = f"reports/{SOURCE}/daily/"
    for day in ("2026-03-08T01-00Z", "2026-03-09T01-00Z", "2025-12-31T01-00Z"):
        bucket.put(f"{base}{day}/manifest.json")
        bucket.put(f"{base}{day}/manifest.checksum")
    bucket.put(f"{base}2026-03-10T01-00Z/manifest.json")  # still being written
    bucket.put(f"{base}hive/dt=2026-03-10-01-00/symlink.txt")
    assert latest_manifest(store, base) == f"{base}2026-03-09T01-00Z/manifest.json"
