"""S3 Inventory: the daily or weekly list of a bucket that AWS writes, read instead of listing the bucket.

Belongs here: the manifest, its checksums, CSV and Parquet data files, as the same facts that a listing gives. Does
not belong here: deciding how old a report may be; `InventoryReport.created_at` says how old it is.

Every file is fetched whole and its MD5 compared before its first row is given out.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from fm_migration.errors import ObjectStoreError
from fm_migration.objects.facts import STANDARD, ObjectFacts, bare_etag
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.objects.store import ObjectStore

READING = "reading the inventory report"
#: Data files up to this size stay in memory while they are read; larger ones go through a temporary file.
SPOOL_BYTES = 64 << 20
BATCH_ROWS = 10_000
MANIFEST_BYTES = 64 << 20

_ASK_AGAIN = "Wait for the next report, or list the bucket instead"
_SET_FIELDS = "Add Size, Last modified and ETag to the fields of the bucket's inventory configuration"

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a report, as its manifest names it."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """A report whose manifest has been read and verified; `objects` reads the data."""

    store: ObjectStore
    manifest_key: str
    source_bucket: str
    created_at: datetime
    file_format: Literal["CSV", "Parquet"]
    columns: tuple[str, ...]  # of a CSV, which has no header line; a Parquet file carries its own
    files: tuple[DataFile, ...]

    def objects(self, prefix: str = "") -> Iterator[ObjectFacts]:
        """The current objects below a prefix as of `created_at`; older versions and delete markers are left out."""
        for number, file in enumerate(self.files, start=1):
            with _fetched(self.store, file, number, len(self.files)) as body:
                yield from self._rows_of(body, number, prefix)

    def _rows_of(self, body: IO[bytes], number: int, prefix: str) -> Iterator[ObjectFacts]:
        rows = _csv_rows(body, self.columns) if self.file_format == "CSV" else _parquet_rows(body)
        to_facts = _csv_facts if self.file_format == "CSV" else _parquet_facts
        position = 1
        try:
            for row in rows:
                facts = _current(row, to_facts)
                if facts is not None and facts.key.startswith(prefix):
                    yield facts
                position += 1
        except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
            raise ObjectStoreError(
                READING,
                f"data file {number} of {len(self.files)}",
                f"row {position} cannot be read ({type(error).__name__})",
                f"{_SET_FIELDS}; if they are there, the file is damaged: {_ASK_AGAIN.lower()}",
            ) from None


def open_report(store: ObjectStore, manifest_key: str, *, source_bucket: str) -> InventoryReport:
    """Read and verify a manifest. `store` is the bucket that the reports are written to, often not the listed one."""
    text = _read(store, manifest_key, "its manifest")
    checksum_key = manifest_key.removesuffix(".json") + ".checksum"
    expected = _read(store, checksum_key, "its manifest.checksum").decode("ascii", "replace").strip().lower()
    if _md5(text) != expected:
        raise _damaged("its manifest", "its MD5 is not the one in manifest.checksum")
    try:
        manifest = json.loads(text)
        report = InventoryReport(
            store=store,
            manifest_key=manifest_key,
            source_bucket=manifest["sourceBucket"],
            created_at=datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1000, UTC),
            file_format=manifest["fileFormat"],
            columns=tuple(name.strip() for name in manifest["fileSchema"].split(",")),
            files=tuple(
                DataFile(file["key"], int(file["size"]), file["MD5checksum"].lower()) for file in manifest["files"]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged("its manifest", f"it is not an inventory manifest ({type(error).__name__})") from None
    _refuse_unfit(report, source_bucket)
    return report


def latest_manifest(store: ObjectStore, prefix: str) -> str:
    """The key of the newest manifest below `prefix` (`<destination prefix>/<source bucket>/<configuration>/`).

    Only manifests that have their checksum beside them count: it is written last.
    """
    keys = {facts.key for facts in store.list(prefix)}
    complete = [
        key for key in keys if key.endswith("/manifest.json") and key.removesuffix(".json") + ".checksum" in keys
    ]
    if not complete:
        raise ObjectMissingError(
            "looking for an inventory report below",
            f"{store.bucket}/{prefix}",
            "there is no manifest.json with its manifest.checksum",
            "The first report comes up to 48 hours after the inventory was configured; list the bucket until then",
        )
    # Their folders are named by time: 2026-03-10T01-00Z.
    return max(complete, key=lambda key: key.split("/")[-2])


def _refuse_unfit(report: InventoryReport, source_bucket: str) -> None:
    if report.source_bucket != source_bucket:
        raise ObjectStoreError(
            READING,
            "its manifest",
            f"it lists the bucket {report.source_bucket}, not {source_bucket}",
            "Name the manifest of the bucket in FM_OBJECTS_URL",
        )
    if report.file_format not in ("CSV", "Parquet"):
        raise ObjectStoreError(
            READING,
            "its manifest",
            f"its data files are {report.file_format}, which is not read here",
            "Set the output format of the bucket's inventory configuration to Apache Parquet or CSV",
        )
    wanted = {"Key", "Size", "LastModifiedDate", "ETag"}
    if report.file_format == "CSV" and not wanted <= set(report.columns):
        missing = ", ".join(sorted(wanted - set(report.columns)))
        raise ObjectStoreError(READING, "its manifest", f"the report lacks the fields {missing}", _SET_FIELDS)


def _read(store: ObjectStore, key: str, what: str) -> bytes:
    try:
        return store.read(key, max_bytes=MANIFEST_BYTES)
    except ObjectMissingError:
        raise ObjectMissingError(READING, what, "there is no such object", _ASK_AGAIN) from None


@contextmanager
def _fetched(store: ObjectStore, file: DataFile, number: int, count: int) -> Iterator[IO[bytes]]:
    """A data file at its first byte, verified."""
    what = f"data file {number} of {count}"
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as body:
        try:
            for chunk in store.stream(file.key):
                digest.update(chunk)
                body.write(chunk)
        except ObjectMissingError:
            raise ObjectMissingError(READING, what, "the manifest names it, and it is not there", _ASK_AGAIN) from None
        if digest.hexdigest() != file.md5:
            raise _damaged(what, "its MD5 is not the one in the manifest")
        body.seek(0)
        yield body


def _csv_rows(body: IO[bytes], columns: tuple[str, ...]) -> Iterator[_Row]:
    with gzip.open(body, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
        for row in csv.reader(text, strict=True):
            if row:
                yield dict(zip(columns, row, strict=True))


def _csv_facts(row: _Row) -> ObjectFacts:
    return ObjectFacts(
        # Spaces come as plus signs here, whatever the key has.
        unquote_plus(row["Key"], errors="strict"),
        bare_etag(row["ETag"]),
        int(row["Size"]),
        datetime.fromisoformat(row["LastModifiedDate"]),
        row.get("StorageClass") or STANDARD,
    )


def _parquet_rows(body: IO[bytes]) -> Iterator[_Row]:
    file = pq.ParquetFile(body)
    columns = [
        name
        for name in ("key", "size", "last_modified_date", "e_tag", "storage_class", "is_latest", "is_delete_marker")
        if name in file.schema_arrow.names
    ]
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        yield from batch.to_pylist()


def _parquet_facts(row: _Row) -> ObjectFacts:
    modified: datetime = row["last_modified_date"]
    return ObjectFacts(
        row["key"],
        bare_etag(row["e_tag"]),
        int(row["size"]),
        modified if modified.tzinfo else modified.replace(tzinfo=UTC),
        row.get("storage_class") or STANDARD,
    )


def _current(row: _Row, to_facts: Callable[[_Row], ObjectFacts]) -> ObjectFacts | None:
    """The facts of a row, unless it is an older version or a delete marker (which has no size and no ETag)."""
    latest = row.get("IsLatest", row.get("is_latest"))
    marker = row.get("IsDeleteMarker", row.get("is_delete_marker"))
    if _flag(latest, default=True) and not _flag(marker, default=False):
        return to_facts(row)
    return None


def _flag(value: object, *, default: bool) -> bool:
    """CSV has `true` and `false`, Parquet has booleans, and a report without versions has neither."""
    if value in (None, ""):
        return default
    return value is True or str(value).lower() == "true"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _damaged(what: str, found: str) -> ObjectStoreError:
    return ObjectStoreError(READING, what, found, _ASK_AGAIN)
