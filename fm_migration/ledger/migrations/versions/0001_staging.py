"""Staging: what was read from the export, the bucket and the patients' table."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
create table fm_migration.export_read (
    id            bigint generated always as identity primary key,
    read_at       timestamptz not null default now(),
    source        text not null,
    sha256        text not null,
    bytes         bigint not null,
    dialect       jsonb not null,
    rows_present  bigint not null,
    rows_read     bigint not null,
    rows_refused  bigint not null,
    problems      jsonb not null,
    data_version  text not null,
    run_id        text,
    check (rows_present = rows_read + rows_refused)
);
comment on table fm_migration.export_read is 'One row per export that was read and accepted.';

create table fm_migration.csv_metadata (
    row_number         bigint primary key,
    record_number      bigint not null,
    recid              text,
    image_id           uuid,
    contact            uuid,
    contact_text       text not null,
    taken_on           date,
    date_text          text not null,
    file_name          text not null,
    type_text          text not null,
    category           text not null,
    nexus_export_date  text not null,
    raw                text not null,
    problems           text[] not null
);
create index csv_metadata_recid on fm_migration.csv_metadata (recid);
create index csv_metadata_image_id on fm_migration.csv_metadata (image_id);
create index csv_metadata_contact on fm_migration.csv_metadata (contact);
comment on table fm_migration.csv_metadata is
    'One row per row of the export that was read last (the newest export_read), with its problems.';
comment on column fm_migration.csv_metadata.row_number is
    'Number of the row in the export, from 1, the header not counted.';
comment on column fm_migration.csv_metadata.record_number is
    'Number of the record in the file, the header and blank lines counted.';
comment on column fm_migration.csv_metadata.recid is
    'FileMaker''s number of the photograph, as it is written.';
comment on column fm_migration.csv_metadata.image_id is
    'FileMaker''s UUID of the photograph.';
comment on column fm_migration.csv_metadata.contact is
    'The patient: a FileMaker id, or in newer exports the app''s UUID. Null when it is no UUID.';
comment on column fm_migration.csv_metadata.contact_text is
    'What stands in the column of the contact.';
comment on column fm_migration.csv_metadata.taken_on is
    'The day of the photograph, by the date order of the whole column.';
comment on column fm_migration.csv_metadata.date_text is
    'What stands in the column of the date.';
comment on column fm_migration.csv_metadata.file_name is
    'The name of the file in FileMaker.';
comment on column fm_migration.csv_metadata.type_text is
    'What the clinician wrote; never lost.';
comment on column fm_migration.csv_metadata.category is
    'The app''s category for it.';
comment on column fm_migration.csv_metadata.nexus_export_date is
    'When FileMaker exported the photograph, as it is written.';
comment on column fm_migration.csv_metadata.raw is
    'The row as it stands in the file.';
comment on column fm_migration.csv_metadata.problems is
    'What is wrong with the row, by the names that docs/exports.md explains.';

create table fm_migration.inventory_snapshot (
    id           bigint generated always as identity primary key,
    started_at   timestamptz not null,
    finished_at  timestamptz not null,
    source       text not null check (source in ('listing', 'inventory_report')),
    bucket       text not null,
    prefixes     text[] not null,
    objects      bigint not null,
    bytes        bigint not null,
    run_id       text
);
comment on table fm_migration.inventory_snapshot is
    'One row per complete listing. What is younger than started_at cannot be judged by it.';

create table fm_migration.s3_inventory (
    key             text primary key,
    kind            text not null check (kind in ('original', 'thumbnail', 'quarantine', 'other')),
    recid           text,
    image_id        uuid,
    path_contact    text,
    path_date       text,
    extension       text not null,
    etag            text not null,
    size            bigint not null,
    last_modified   timestamptz not null,
    storage_class   text not null,
    first_seen      bigint not null references fm_migration.inventory_snapshot,
    changed         bigint not null references fm_migration.inventory_snapshot,
    vanished        bigint references fm_migration.inventory_snapshot
);
create index s3_inventory_recid on fm_migration.s3_inventory (recid) where recid is not null;
create index s3_inventory_image_id on fm_migration.s3_inventory (image_id) where image_id is not null;
comment on table fm_migration.s3_inventory is
    'One row per object ever listed; present ones have vanished = null. The other marks are snapshots.';
comment on column fm_migration.s3_inventory.key is
    'The object''s key; a NUL character in it is stored as its picture.';
comment on column fm_migration.s3_inventory.kind is
    'original, thumbnail, quarantine or other, by the key alone.';
comment on column fm_migration.s3_inventory.recid is
    'The recid that the key names.';
comment on column fm_migration.s3_inventory.image_id is
    'The image UUID that the key names.';
comment on column fm_migration.s3_inventory.path_contact is
    'Whose photograph the folders claim it is; a claim, not an identity.';
comment on column fm_migration.s3_inventory.path_date is
    'Of which day the folders claim it is.';
comment on column fm_migration.s3_inventory.extension is
    'In lower case, without the dot. It proves nothing.';
comment on column fm_migration.s3_inventory.etag is
    'Without quotation marks; the MD5 unless it has a hyphen.';
comment on column fm_migration.s3_inventory.first_seen is
    'The snapshot that saw it first.';
comment on column fm_migration.s3_inventory.changed is
    'The snapshot that saw its content or description change last.';
comment on column fm_migration.s3_inventory.vanished is
    'The snapshot that missed it; null while it is there.';

create table fm_migration.patient_read (
    id                bigint generated always as identity primary key,
    read_at           timestamptz not null default now(),
    fingerprint       text not null,
    data_version      text not null,
    patients          bigint not null,
    with_filemaker_id bigint not null,
    known             bigint not null,
    known_present     bigint not null,
    run_id            text
);
comment on table fm_migration.patient_read is
    'One row per accepted reading of the patients, with the fingerprint that the table had.';

create table fm_migration.patient_identity (
    filemaker_id  uuid not null,
    patient_id    uuid not null,
    current       boolean not null,
    first_seen    timestamptz not null,
    last_seen     timestamptz not null,
    primary key (filemaker_id, patient_id)
-- Room on each page for a pair to be retired without touching an index.
) with (fillfactor = 60);
create index patient_identity_patient on fm_migration.patient_identity (patient_id);
comment on table fm_migration.patient_identity is
    'Every pair of FileMaker id and patient UUID ever seen. Rows are never removed: they lead stale links home.';
comment on column fm_migration.patient_identity.filemaker_id is
    'The patient''s id in FileMaker, which a re-import keeps.';
comment on column fm_migration.patient_identity.patient_id is
    'A UUID that the app has, or had, for this patient.';
comment on column fm_migration.patient_identity.current is
    'Whether the pair is in the patients'' table as of the newest patient_read.';
comment on column fm_migration.patient_identity.first_seen is
    'When the pair was seen first.';
comment on column fm_migration.patient_identity.last_seen is
    'For a current pair the time of its last change; it is present as of the newest patient_read.';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    for table in (
        "patient_identity",
        "patient_read",
        "s3_inventory",
        "inventory_snapshot",
        "csv_metadata",
        "export_read",
    ):
        op.execute(f"drop table fm_migration.{table}")
