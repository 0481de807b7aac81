"""The clinic's tables, as its Django app makes them.

Belongs here: the definitions, to join against, to insert into, and to make a sample clinic with. Does not
belong here: which of it we depend on (`contract.py`). We own none of these tables and never alter one; only
the embedded sample clinic and tests call `metadata.create_all`.

Three habits of Django are kept on purpose. No column has a database default, so a direct writer supplies
every NOT NULL column. Foreign keys are checked at commit and have no ON DELETE action, because Django does
the cascading itself. Every foreign key column is indexed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    insert,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

metadata = MetaData()

#: The natural keys of the content types that we look up: (app_label, model).
PATIENT_CONTENT_TYPE = ("patients", "patient")
IMAGE_BATCH_CONTENT_TYPE = ("images", "imagebatch")


def _required(name: str, type_: TypeEngine[T]) -> Column[T]:
    return Column(name, type_, nullable=False)


def _moment(name: str) -> Column[datetime]:
    return _required(name, DateTime(timezone=True))


def _json(name: str, *, nullable: bool) -> Column[Any]:
    # Without none_as_null a Python None is stored as the JSON value null, which is not SQL's NULL:
    # `IS NULL` misses it, and Django never writes it.
    return Column(name, JSONB(none_as_null=True), nullable=nullable)


def _reference(name: str, type_: TypeEngine[T], target: str, *, nullable: bool) -> Column[T]:
    key = ForeignKey(target, deferrable=True, initially="DEFERRED")
    return Column(name, type_, key, nullable=nullable, index=True)


django_content_type = Table(
    "django_content_type",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _required("app_label", String(100)),
    _required("model", String(100)),
    UniqueConstraint("app_label", "model"),
)

auth_user = Table(
    "auth_user",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _required("password", String(128)),
    Column("last_login", DateTime(timezone=True)),
    _required("is_superuser", Boolean()),
    Column("username", String(150), nullable=False, unique=True),
    _required("first_name", String(150)),
    _required("last_name", String(150)),
    _required("email", String(254)),
    _required("is_staff", Boolean()),
    _required("is_active", Boolean()),
    _moment("date_joined"),
)

# A re-import deletes these rows and makes them again under new ids. Nothing but `filemaker_metadata` says
# that two rows are one person, and the database neither indexes it nor keeps it unique.
patients = Table(
    "patients",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _required("first_name", String(100)),
    _required("last_name", String(100)),
    _required("archived", Boolean()),
    _moment("created_at"),
    _moment("updated_at"),
    Column("mrn", String(50), unique=True),
    Column("clinic_id", Uuid()),
    Column("dob", Date()),
    Column("title", String(20)),
    Column("middle_name", String(100)),
    Column("preferred_name", String(100)),
    Column("gender", String(20)),
    Column("phone", String(30)),
    Column("mobile", String(30)),
    Column("work_phone", String(30)),
    Column("email", String(254)),
    Column("address", String(200)),
    Column("suburb", String(100)),
    Column("state", String(30)),
    Column("postcode", String(12)),
    Column("country", String(60)),
    Column("emergency_name", String(200)),
    Column("emergency_phone", String(30)),
    Column("health_fund", String(100)),
    Column("health_fund_number", String(50)),
    Column("pension_number", String(50)),
    Column("insurer_reference", String(50)),
    Column("referrer", String(200)),
    Column("occupation", String(100)),
    Column("shoe_size", String(20)),
    Column("weight_kg", Integer()),
    Column("alerts", Text()),
    Column("comments", Text()),
    _json("filemaker_metadata", nullable=True),
)

# The link to the patient is (content_type_id, object_id): no foreign key, so it goes stale without a sound.
images_batch = Table(
    "images_batch",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("content_type_id", Integer(), "django_content_type.id", nullable=False),
    _required("object_id", Uuid()),
    _required("name", String(255)),
    _required("description", Text()),
    _reference("uploaded_by_id", Integer(), "auth_user.id", nullable=True),
    _moment("uploaded_at"),
    _required("image_count", Integer()),
    Index("images_batch_content_object_idx", "content_type_id", "object_id"),
)

# `filemaker_id` is the photograph's FileMaker UUID (column `id` of the export), not its recid.
# `s3_thumbnail_key` is '' when there is no thumbnail.
images_image = Table(
    "images_image",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("batch_id", Uuid(), "images_batch.id", nullable=False),
    _required("s3_key", String(500)),
    _required("s3_thumbnail_key", String(500)),
    _required("original_name", String(255)),
    _required("file_size", Integer()),
    Column("thumbnail_size", Integer()),
    Column("width", Integer()),
    Column("height", Integer()),
    _required("mime_type", String(100)),
    _required("category", String(100)),
    _required("caption", Text()),
    Column("date_taken", Date()),
    _reference("uploaded_by_id", Integer(), "auth_user.id", nullable=True),
    _moment("uploaded_at"),
    Column("filemaker_id", Uuid(), unique=True),
    _required("order", Integer()),
)

# The same kind of link as a batch's, and it goes stale in the same way.
documents_document = Table(
    "documents_document",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("content_type_id", Integer(), "django_content_type.id", nullable=True),
    Column("object_id", Uuid()),
    _required("s3_key", String(512)),
    Column("filemaker_id", Uuid(), unique=True),
    _json("filemaker_metadata", nullable=True),
    _required("file_name", String(255)),
    _required("original_name", String(255)),
    _required("file_size", Integer()),
    _required("mime_type", String(100)),
    _required("s3_bucket", String(100)),
    _required("s3_url", String(1000)),
    _required("category", String(100)),
    _required("description", Text()),
    _json("tags", nullable=False),
    _required("uploaded_by", String(255)),
    _moment("uploaded_at"),
    _moment("updated_at"),
    _required("is_active", Boolean()),
)

# A table that not every clinic has: how patients belong to one another, or to something else. Either of its two generic
# links may lead to a patient, and both go stale at once.
contact_relationships = Table(
    "contact_relationships",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("from_content_type_id", Integer(), "django_content_type.id", nullable=False),
    _required("from_object_id", Uuid()),
    _reference("to_content_type_id", Integer(), "django_content_type.id", nullable=False),
    _required("to_object_id", Uuid()),
    _required("relationship", String(50)),
    _moment("created_at"),
)

# One table that keeps a patient from being deleted, and one that goes with the patient: between them they
# stand for all the others that hang on patients by a real foreign key.
appointments_appointment = Table(
    "appointments_appointment",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("patient_id", Uuid(), "patients.id", nullable=False),
    _moment("starts_at"),
    _required("kind", String(50)),
)

notes_note = Table(
    "notes_note",
    metadata,
    Column("id", Uuid(), primary_key=True),
    _reference("patient_id", Uuid(), "patients.id", nullable=False),
    _required("body", Text()),
    _moment("created_at"),
)


@event.listens_for(django_content_type, "after_create")
def _fill_content_types(_table: Table, connection: Connection, **_options: object) -> None:
    """Write the rows that Django's `migrate` writes: without them no generic link can be read or made."""
    names = [
        ("contenttypes", "contenttype"),
        ("auth", "user"),
        PATIENT_CONTENT_TYPE,
        ("images", "image"),
        IMAGE_BATCH_CONTENT_TYPE,
        ("documents", "document"),
        ("contacts", "contactrelationship"),
        ("appointments", "appointment"),
        ("notes", "note"),
    ]
    rows = [{"app_label": app_label, "model": model} for app_label, model in names]
    connection.execute(insert(django_content_type), rows)
