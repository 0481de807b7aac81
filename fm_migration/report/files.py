"""A report as files: the page, and all findings as CSV and Parquet, in a folder or in the bucket.

Belongs here: where the files go and that nobody ever sees half of one. Does not belong here: what is in the page.

    <place>/latest.html               the newest page, under a name that stays
    <place>/<report>/report.html      each report under its number
    <place>/<report>/findings.csv     every finding, the accepted ones too, one row each
    <place>/<report>/findings.parquet
"""

from __future__ import annotations

import csv
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from fm_migration.errors import FmMigrationError, SettingsError
from fm_migration.objects.store import ObjectStore
from fm_migration.report import page, reading
from fm_migration.report.reading import Finding, ReportData
from fm_migration.settings import Settings

#: Evidence that has a column of its own; whatever else there is stands in the column `more`, as JSON.
EVIDENCE = (
    "row", "recid", "key", "image", "batch", "patient", "filemaker_id", "table", "column", "of", "says", "has", "size",
    "state",
)  # fmt: skip
_NUMBERS = ("row", "size")
#: Rows in memory at a time.
AT_ONCE = 10_000

PAGE, CSV, PARQUET, LATEST = "report.html", "findings.csv", "findings.parquet", "latest.html"
_TYPES = {
    PAGE: "text/html; charset=utf-8",
    CSV: "text/csv; charset=utf-8",
    PARQUET: "application/vnd.apache.parquet",
    LATEST: "text/html; charset=utf-8",
}
#: A spreadsheet takes a cell that begins like this for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("severity", pa.string()),
        ("subject", pa.string()),
        ("status", pa.string()),
        ("first_seen", pa.timestamp("us", tz="UTC")),
        ("last_seen", pa.timestamp("us", tz="UTC")),
        *((name, pa.int64() if name in _NUMBERS else pa.string()) for name in EVIDENCE),
        ("more", pa.string()),
        ("waiver", pa.string()),
        ("meaning", pa.string()),
        ("remedy", pa.string()),
    ]
)


@dataclass(frozen=True)
class Published:
    """Where a report lies now: paths of a folder, or URLs of the bucket."""

    report: int
    page: str
    latest: str
    csv: str
    parquet: str
    findings: int
    shown: int
    #: Whether these are paths on this machine.
    local: bool
    data: ReportData


def publish(connection: Connection, settings: Settings, store: ObjectStore | None = None) -> Published:
    """Write the newest report. Call it after the transaction that made the report, in one that only reads.

    The page comes after the files that it points at, and `latest.html` last, so that whoever follows a link finds
    what it promises; a second call writes the same files again.
    """
    place = find_place(settings, store)
    data = reading.read_report(connection)
    with tempfile.TemporaryDirectory(prefix="fm-migration-report-") as folder:
        findings = write_tables(reading.stream_findings(connection, data), Path(folder))
        made = page.make_page(data, reading.shown_findings(connection, data, page.ROOM), settings.zone)
        Path(folder, PAGE).write_text(made.text(), encoding="utf-8")
        Path(folder, LATEST).write_text(made.text(beside=f"{data.report}/"), encoding="utf-8")
        for name in (CSV, PARQUET, PAGE, LATEST):
            place.put(name if name == LATEST else f"{data.report}/{name}", Path(folder, name))
    return Published(
        report=data.report,
        page=place.address(f"{data.report}/{PAGE}"),
        latest=place.address(LATEST),
        csv=place.address(f"{data.report}/{CSV}"),
        parquet=place.address(f"{data.report}/{PARQUET}"),
        findings=findings,
        shown=made.shown,
        local=isinstance(place, ReportFolder),
        data=data,
    )


@dataclass(frozen=True)
class ReportFolder:
    """Reports in a folder of this machine; made for its owner alone when it is not there yet."""

    root: Path

    def put(self, name: str, source: Path) -> None:
        target = self.root / name
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(exist_ok=True)
            _replace(target, source)
        except OSError as error:
            raise FmMigrationError(
                "writing the report to",
                str(target),
                error.strerror or type(error).__name__,
                "Let FM_REPORTS name a folder that can be written, and see that there is room",
            ) from None

    def address(self, name: str) -> str:
        return str((self.root / name).absolute())


@dataclass(frozen=True)
class ReportPrefix:
    """Reports below a prefix of a bucket."""

    store: ObjectStore
    prefix: str

    def put(self, name: str, source: Path) -> None:
        # The name stays and the content changes: nobody should be shown yesterday's.
        cache_control = "no-cache" if name == LATEST else None
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            self.store.put(self.prefix + name, body, _TYPES[source.name], cache_control=cache_control)

    def address(self, name: str) -> str:
        return f"s3://{self.store.bucket}/{quote(self.prefix + name)}"


def find_place(settings: Settings, store: ObjectStore | None) -> ReportFolder | ReportPrefix:
    """Where the settings want reports: FM_REPORTS, else the bucket when it is a real one, else the home folder."""
    if settings.reports is None and settings.objects_url is None:
        return ReportFolder(settings.home / "reports")
    if settings.reports is not None and not settings.reports.startswith("s3://"):
        return ReportFolder(Path(settings.reports).expanduser())
    if store is None:
        raise SettingsError(
            "opening the place of the reports",
            settings.reports or f"{settings.own_prefix}reports/ in the bucket",
            "it is in an object store, and none was opened",
            "Set FM_REPORTS to a folder, or hand over the object store",
        )
    if settings.reports is None:
        return ReportPrefix(store, f"{settings.own_prefix}reports/")
    parts = urlsplit(settings.reports)
    prefix = f"{parts.path.strip('/')}/"
    same_bucket = parts.netloc == store.bucket
    protected = (*settings.original_prefixes, settings.thumbnail_prefix) if same_bucket else ()
    return ReportPrefix(
        ObjectStore(store.client, parts.netloc, writable_prefixes=(prefix,), protected_prefixes=protected), prefix
    )


def write_tables(findings: Iterable[Finding], folder: Path) -> int:
    """Write both tables in one pass, some thousand findings at a time; how many there were."""
    number = 0
    with (
        # The mark in front tells spreadsheets that it is UTF-8; `pandas.read_csv` and others step over it.
        Path(folder, CSV).open("w", encoding="utf-8-sig", newline="") as text,
        pq.ParquetWriter(Path(folder, PARQUET), SCHEMA, compression="zstd") as table,
    ):
        csv.writer(text).writerow(SCHEMA.names)
        for records in _in_blocks(map(_record, findings)):
            number += len(records)
            _write_csv(text, records)
            table.write_table(pa.Table.from_pylist(records, SCHEMA))
    return number


def _write_csv(text: TextIO, records: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(text)
    for record in records:
        writer.writerow([_cell(record[name]) for name in SCHEMA.names])


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        # An apostrophe in front makes it text, and is not shown.
        return f"'{value}" if value.startswith(_FORMULA) else value
    if value is None or isinstance(value, int):
        return value
    return value.isoformat(timespec="seconds")


def _record(finding: Finding) -> dict[str, Any]:
    evidence = dict(finding.evidence)
    known = {name: _own_column(name, evidence) for name in EVIDENCE}
    return {
        "class": finding.kind.value,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "status": finding.status.value,
        "first_seen": finding.first_seen,
        "last_seen": finding.last_seen,
        **known,
        "more": json.dumps(evidence, ensure_ascii=False, sort_keys=True) if evidence else None,
        "waiver": finding.waiver,
        "meaning": finding.kind.meaning,
        "remedy": finding.kind.remedy,
    }


def _own_column(name: str, evidence: dict[str, Any]) -> str | int | None:
    """Take a value out of the evidence if it suits its column; what does not stays and ends up in `more`."""
    value = evidence.get(name)
    if name in _NUMBERS and isinstance(value, int):
        return int(evidence.pop(name))
    if name not in _NUMBERS and isinstance(value, str | int | float):
        return str(evidence.pop(name))
    if value is None:
        evidence.pop(name, None)
    return None


def _in_blocks(records: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while block := list(islice(records, AT_ONCE)):
        yield block


def _replace(target: Path, source: Path) -> None:
    """Copy beside the target and rename, so that a reader finds the old file or the new one, and both whole."""
    number, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "wb") as file, source.open("rb") as content:
            shutil.copyfileobj(content, file)
        # As any other file would be: who may come near is decided by the folder.
        Path(draft).chmod(0o644)
        Path(draft).replace(target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
