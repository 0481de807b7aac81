"""The export that a person means: a file, the newest matching file of a folder, or an object of the bucket.

Belongs here: where the bytes are, and handing their rows on. What they mean is the business of `filemaker/`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from fm_migration.errors import ExportError
from fm_migration.filemaker import columns, reading, rows, types
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration.ledger.csv_metadata import EXPORT_FILE, SourceRows
from fm_migration.places import Places
from fm_migration.settings import Settings

#: What FileMaker exports that we can read; other files in the same folder are left alone.
ENDINGS = (".csv", ".tab", ".mer", ".xlsx")


@dataclass(frozen=True)
class ExportFile:
    """An export at hand: where it came from, and a local file to read."""

    source: str
    path: Path
    sha256: str
    size: int


class ExportFileSource:
    """The export of FM_EXPORT as a source of rows."""

    name = EXPORT_FILE

    def is_in_use(self, _connection: Connection, places: Places) -> bool:
        return bool(places.export)

    @contextlib.contextmanager
    def open(self, _connection: Connection, places: Places) -> Iterator[SourceRows]:
        with (
            open_export(places) as file,
            open_rows(self.name, file.path, file.source, places.settings) as found,
        ):
            yield found


@contextlib.contextmanager
def open_rows(
    source: str, content: BinaryIO | Path, origin: str, settings: Settings, options: ReadOptions | None = None
) -> Iterator[SourceRows]:
    """The rows of a file or a stream in the form of an export, under the name of a source."""
    options = options or ReadOptions(
        encoding=settings.export_encoding, profiles=columns.load_profiles(settings.export_columns)
    )
    with reading.read(content, options, origin) as export:
        survey = rows.survey(export, settings.date_order)
        today = datetime.now(settings.zone).date()
        yield SourceRows(
            source=source,
            origin=origin,
            sha256=export.sha256,
            bytes=export.size,
            rows=survey.counts.rows,
            refused=len(survey.counts.refused),
            chunks=rows.normalise(export, survey, today, types.load_types(settings.export_types)),
            dialect=export.dialect.as_metadata(),
            date_order=survey.dates.order,
            date_order_reason=survey.dates.reason,
            cautions=survey.cautions,
        )


@contextlib.contextmanager
def open_export(places: Places) -> Iterator[ExportFile]:
    """The export as a local file; one that lies in the bucket is fetched for the length of the block."""
    if places.export.startswith("s3://"):
        with tempfile.TemporaryDirectory(prefix="fm-export-") as folder:
            yield _fetch(places, Path(folder))
    else:
        path = _local_file(places.export, places.settings.export_pattern)
        yield ExportFile(str(path), path, _sha256(path), path.stat().st_size)


def observe_export(places: Places) -> str:
    """What can be told of the export without reading it: another text means that it may be another one."""
    if places.export.startswith("s3://"):
        facts = places.store.head(_key_of(places))
        return f"{places.export} {facts.etag} {facts.size}"
    path = _local_file(places.export, places.settings.export_pattern)
    state = path.stat()
    return f"{path} {state.st_size} {state.st_mtime_ns}"


def _fetch(places: Places, folder: Path) -> ExportFile:
    key = _key_of(places)
    path = folder / Path(key).name
    path.write_bytes(places.store.read(key))
    return ExportFile(places.export, path, _sha256(path), path.stat().st_size)


def _key_of(places: Places) -> str:
    bucket, _, key = places.export.removeprefix("s3://").partition("/")
    if bucket != places.objects.bucket or not key:
        raise ExportError(
            "finding the export",
            places.export,
            f"it is not an object of the bucket {places.objects.bucket}, which is the one that we may read",
            f"Put it there and set FM_EXPORT to s3://{places.objects.bucket}/KEY, or to a local file",
        )
    return key


def _local_file(export: str, pattern: str) -> Path:
    if not export:
        raise ExportError(
            "finding", "the export", "FM_EXPORT is not set", "Set it to a file, a folder or s3://bucket/key"
        )
    path = Path(export).expanduser()
    try:
        return _newest(path, pattern) if path.is_dir() else _readable(path)
    except PermissionError as error:
        raise ExportError(
            "reading the export", str(path), "this user may not read it", "Give the user of this process read access"
        ) from error


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ExportError("finding the export", str(path), "there is no such file", "Correct FM_EXPORT")
    with path.open("rb"):
        return path


def _newest(folder: Path, pattern: str) -> Path:
    found = [
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in ENDINGS and fnmatch.fnmatch(path.name, pattern)
    ]
    if not found:
        raise ExportError(
            "looking for an export in",
            str(folder),
            f"no file there ends in {', '.join(ENDINGS)} and matches {pattern}",
            "Put the export there, or correct FM_EXPORT and FM_EXPORT_PATTERN",
        )
    return _readable(max(found, key=lambda path: (path.stat().st_mtime_ns, path.name)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
