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
);
create index patient_identity_patient on fm_migration.patient_identity (patient_id);
comment on table fm_migration.patient_identity is
    'Every pair of FileMaker id and patient UUID ever seen. Rows are never removed: they lead stale links home.';
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
