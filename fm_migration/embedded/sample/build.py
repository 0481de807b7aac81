"""Putting a designed clinic where it belongs: objects into a bucket, rows into tables, files into a folder.

The tables exist already and are empty; the bucket is made when there is none. The order is: a note of which sample
this is, objects, files, and the rows last and in one transaction. So a database that is filled means that all the
rest is there, and a build that was killed is finished by the next one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import sql
from psycopg.pq import TransactionStatus

from fm_migration.embedded.sample import export, pictures, truth
from fm_migration.embedded.sample.model import DUMP_PREFIX, EXPORT_FILE, TRUTH_FILE, Clinic, StoredObject
from fm_migration.embedded.sample.words import STAFF
from fm_migration.errors import DatabaseError, ObjectStoreError

#: Says which sample a bucket holds. Outside the dump, where no listing of ours looks.
NOTE_KEY = "sample-clinic/identity.json"
_LOCK = 0x53414D504C45  # "SAMPLE": one load at a time
_CONTENT_TYPES = (
    ("patients", "patient"),
    ("images", "imagebatch"),
    ("images", "image"),
    ("documents", "document"),
    ("contacts", "contactrelationship"),
)

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build has left behind."""

    built: bool  # False: it was all there already
    export: Path
    truth: Path


def build(
    clinic: Clinic,
    connection: psycopg.Connection[Any],
    objects: Any,
    bucket: str,
    folder: Path,
    *,
    threads: int = 6,
    progress: Progress | None = None,
) -> BuildResult:
    """Make the sample, or leave it be when this very sample is there. `objects` is a boto3 S3 client.

    Anything else that is found in the way is left alone and refused. The connection must be outside a transaction.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise ValueError("the sample is loaded in one transaction of its own: pass a connection outside of any")
    on_progress = progress or _nothing
    result = BuildResult(True, folder / EXPORT_FILE, folder / TRUTH_FILE)
    noted = _prepare_bucket(clinic, objects, bucket)
    filled = _is_filled(clinic, connection)
    if filled and noted and _truth_matches(clinic, result.truth) and result.export.exists():
        return BuildResult(False, result.export, result.truth)
    if filled and not (noted or _truth_matches(clinic, result.truth)):
        raise _occupied(clinic, "holds patients, and nothing says of which sample")
    _put(objects, bucket, NOTE_KEY, _note(clinic), "application/json")
    sizes = _upload(clinic, objects, bucket, threads, on_progress)
    on_progress("writing files", 0, 2)
    _write(result.export, export.csv_bytes(clinic.rows))
    _write(result.truth, truth.to_json(truth.describe(clinic, sizes)))
    on_progress("writing files", 2, 2)
    if not filled:
        _load(clinic, connection, bucket, sizes, on_progress)
    return result


def _nothing(_what: str, _done: int, _total: int) -> None:
    return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _note(clinic: Clinic) -> bytes:
    return json.dumps(truth.identity(clinic), sort_keys=True).encode()


def _truth_matches(clinic: Clinic, path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return all(found.get(name) == value for name, value in truth.identity(clinic).items())


# --- objects --------------------------------------------------------------------------------------


def _prepare_bucket(clinic: Clinic, objects: Any, bucket: str) -> bool:
    """Whether the bucket already says that it holds this sample; refuses one that holds something else."""
    try:
        if not _has_bucket(objects, bucket):
            objects.create_bucket(Bucket=bucket)
            return False
        if objects.list_objects_v2(Bucket=bucket, Prefix=NOTE_KEY, MaxKeys=1).get("KeyCount"):
            note = objects.get_object(Bucket=bucket, Key=NOTE_KEY)["Body"].read()
            found = "an earlier sample"
        else:
            note, found = None, "objects that no sample made"
            if not objects.list_objects_v2(Bucket=bucket, Prefix=DUMP_PREFIX, MaxKeys=1).get("KeyCount"):
                return False
    except (ClientError, BotoCoreError) as error:
        raise ObjectStoreError(
            "preparing the sample clinic in bucket",
            bucket,
            f"the server answered {error}",
            "Check that the object server runs and that its keys may list, read and write",
        ) from error
    if note == _note(clinic):
        return True
    raise ObjectStoreError(
        "preparing the sample clinic in bucket",
        bucket,
        f"under {DUMP_PREFIX} there is {found}",
        "Use another bucket, or remove the whole sample and make it again",
    )


def _has_bucket(objects: Any, bucket: str) -> bool:
    try:
        objects.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket", "NotFound"):
            return False
        raise
    return True


def _upload(clinic: Clinic, objects: Any, bucket: str, threads: int, on_progress: Progress) -> dict[str, int]:
    """Draw and put every object; how many bytes each has. Drawing lets go of the GIL, so threads are enough."""
    everything = sorted((*clinic.objects, *clinic.uploads), key=_drawing_order)
    finished = 0
    lock = threading.Lock()

    def put(stored: StoredObject) -> tuple[str, int]:
        nonlocal finished
        content = _content(stored)
        _put(objects, bucket, stored.key, content, "image/jpeg")
        with lock:
            finished += 1
            if finished % 100 == 0 or finished == len(everything):
                on_progress("drawing photographs", finished, len(everything))
        return stored.key, len(content)

    with ThreadPoolExecutor(threads, thread_name_prefix="sample") as pool:
        waiting = [pool.submit(put, stored) for stored in everything]
        try:
            return dict(future.result() for future in waiting)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _drawing_order(stored: StoredObject) -> tuple[str, str, bool, int]:
    return pictures.scene_of(stored.picture) if stored.picture else ("", "", False, 0)


def _content(stored: StoredObject) -> bytes:
    if stored.picture is None:
        return f"not a photograph: {stored.key.rpartition('/')[2]}\n".encode()
    return pictures.draw(stored.picture)


def _put(objects: Any, bucket: str, key: str, content: bytes, content_type: str) -> None:
    try:
        objects.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)
    except (ClientError, BotoCoreError) as error:
        raise ObjectStoreError(
            "writing the sample clinic's object",
            key,
            f"the server answered {error}",
            "Check the object server and its disk, then make the sample again: it continues",
        ) from error


# --- rows -----------------------------------------------------------------------------------------


def _is_filled(clinic: Clinic, connection: psycopg.Connection[Any]) -> bool:
    """Whether the database holds this sample. Documents tell: no re-import touches them."""
    with connection.transaction():
        known = connection.execute(
            """
            SELECT (SELECT count(*) FROM patients) + (SELECT count(*) FROM documents_document)
                     + (SELECT count(*) FROM images_batch),
                   (SELECT count(*) FROM documents_document WHERE id = ANY(%s))
            """,
            ([clinic.documents[0].id, clinic.documents[-1].id],),
        ).fetchone()
    rows, ours = known or (0, 0)
    if rows and ours != 2:
        raise _occupied(clinic, "holds patients, batches or documents of another clinic")
    return bool(rows)


def _occupied(clinic: Clinic, found: str) -> DatabaseError:
    return DatabaseError(
        "making the sample clinic in",
        f"the database (seed {clinic.seed}, size {clinic.size}, {clinic.variant})",
        f"it {found}",
        "Use an empty database, or remove the whole sample and make it again",
    )


def _load(
    clinic: Clinic, connection: psycopg.Connection[Any], bucket: str, sizes: dict[str, int], on_progress: Progress
) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute("SELECT EXISTS (SELECT FROM patients)")
        if (cursor.fetchone() or (False,))[0]:
            return
        content_types = _content_types(cursor)
        content_type = content_types["patient"]
        staff = _staff(cursor)
        steps: tuple[tuple[str, Sequence[str], Iterable[tuple[object, ...]]], ...] = (
            ("patients", _PATIENT_COLUMNS, _patient_rows(clinic)),
            ("images_batch", _BATCH_COLUMNS, _batch_rows(clinic, content_type, staff)),
            ("images_image", _IMAGE_COLUMNS, _image_rows(clinic, staff, sizes)),
            ("documents_document", _DOCUMENT_COLUMNS, _document_rows(clinic, content_type, bucket)),
            ("contact_relationships", _RELATIONSHIP_COLUMNS, _relationship_rows(clinic, content_types)),
        )
        for number, (table, columns, rows) in enumerate(steps, start=1):
            _copy(cursor, table, columns, rows)
            on_progress("loading the database", number, len(steps))
        cursor.execute("ANALYZE patients, images_batch, images_image, documents_document, contact_relationships")


def _copy(cursor: psycopg.Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _content_types(cursor: psycopg.Cursor[Any]) -> dict[str, int]:
    """The ids of content types, which differ from database to database; made where `migrate` has not."""
    cursor.executemany(
        "INSERT INTO django_content_type (app_label, model) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        _CONTENT_TYPES,
    )
    cursor.execute(
        "SELECT model, id FROM django_content_type WHERE app_label || '.' || model = ANY(%s)",
        ([f"{app_label}.{model}" for app_label, model in _CONTENT_TYPES],),
    )
    return dict(cursor.fetchall())


def _staff(cursor: psycopg.Cursor[Any]) -> dict[str, int]:
    """The people who upload by hand, by user name. "!" is a password that Django accepts from nobody."""
    cursor.executemany(
        """
        INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff,
                               is_active, date_joined)
        VALUES (%s, '!', false, '', '', '', false, true, '2024-01-01 00:00:00+00')
        ON CONFLICT DO NOTHING
        """,
        [(name,) for name in STAFF],
    )
    cursor.execute("SELECT username, id FROM auth_user WHERE username = ANY(%s)", (list(STAFF),))
    return dict(cursor.fetchall())


_PATIENT_COLUMNS = (
    "id", "first_name", "last_name", "archived", "created_at", "updated_at", "mrn", "dob", "filemaker_metadata",
)  # fmt: skip


def _patient_rows(clinic: Clinic) -> Iterable[tuple[object, ...]]:
    for p in clinic.patients:
        yield (
            p.id, p.first_name, p.last_name, p.archived, p.created_at, p.created_at, p.mrn, p.dob, p.metadata_json,
        )  # fmt: skip


_BATCH_COLUMNS = (
    "id", "content_type_id", "object_id", "name", "description", "uploaded_by_id", "uploaded_at", "image_count",
)  # fmt: skip


def _batch_rows(clinic: Clinic, content_type: int, staff: dict[str, int]) -> Iterable[tuple[object, ...]]:
    for b in clinic.batches:
        uploaded_by = staff[b.uploaded_by] if b.uploaded_by else None
        yield b.id, content_type, b.object_id, b.name, b.description, uploaded_by, b.uploaded_at, b.image_count


_IMAGE_COLUMNS = (
    "id", "batch_id", "s3_key", "s3_thumbnail_key", "original_name", "file_size", "thumbnail_size", "width",
    "height", "mime_type", "category", "caption", "date_taken", "uploaded_by_id", "uploaded_at", "filemaker_id",
    "order",
)  # fmt: skip


def _image_rows(clinic: Clinic, staff: dict[str, int], sizes: dict[str, int]) -> Iterable[tuple[object, ...]]:
    for i in clinic.images:
        uploaded_by = staff[i.uploaded_by] if i.uploaded_by else None
        yield (
            i.id, i.batch_id, i.s3_key, i.thumbnail_key, i.original_name, sizes[i.s3_key],
            sizes.get(i.thumbnail_key), i.width, i.height, i.mime_type, i.category, i.caption, i.date_taken,
            uploaded_by, i.uploaded_at, i.filemaker_id, i.order,
        )  # fmt: skip


_DOCUMENT_COLUMNS = (
    "id", "content_type_id", "object_id", "s3_key", "filemaker_id", "filemaker_metadata", "file_name",
    "original_name", "file_size", "mime_type", "s3_bucket", "s3_url", "category", "description", "tags",
    "uploaded_by", "uploaded_at", "updated_at", "is_active",
)  # fmt: skip


def _document_rows(clinic: Clinic, content_type: int, bucket: str) -> Iterable[tuple[object, ...]]:
    for d in clinic.documents:
        yield (
            d.id, content_type if d.object_id else None, d.object_id, d.s3_key, d.filemaker_id, None, d.file_name,
            d.file_name, d.file_size, "application/pdf", bucket, f"s3://{bucket}/{d.s3_key}", "letter", "", "[]",
            "document import", d.uploaded_at, d.uploaded_at, True,
        )  # fmt: skip


_RELATIONSHIP_COLUMNS = (
    "id", "from_content_type_id", "from_object_id", "to_content_type_id", "to_object_id", "relationship", "created_at",
)  # fmt: skip


def _relationship_rows(clinic: Clinic, content_types: dict[str, int]) -> Iterable[tuple[object, ...]]:
    for r in clinic.relationships:
        start, to = content_types[r.start.model], content_types[r.to.model]
        yield r.id, start, r.start.id, to, r.to.id, r.relationship, r.created_at
