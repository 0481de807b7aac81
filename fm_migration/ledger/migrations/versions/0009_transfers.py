"""What was brought in from FileMaker itself or from a desktop export: rows, bytes, and how far it has come."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

SOURCES = """
alter table fm_migration.csv_metadata add column source text not null default 'export_file';
comment on column fm_migration.csv_metadata.source is
    'Where the row is from: export_file, or another source by its name (source_row).';
comment on table fm_migration.csv_metadata is
    'One row per row of the export that was read last (the newest export_read), with its problems, and after them the '
    'rows of other sources that the export does not have.';
comment on column fm_migration.csv_metadata.row_number is
    'Number of the row in the export, from 1, the header not counted. Rows of other sources are counted on.';

create table fm_migration.source_row (
    source             text not null,
    record             text not null,
    recid              text not null,
    image_id           text not null,
    contact            text not null,
    date               text not null,
    type               text not null,
    file_name          text not null,
    display_name       text not null,
    nexus_export_date  text not null,
    note               text not null,
    raw                text not null,
    modification       text not null,
    first_seen         timestamptz not null default now(),
    changed_at         timestamptz not null default now(),
    seen_at            timestamptz not null default now(),
    gone_at            timestamptz,
    primary key (source, record)
);
comment on table fm_migration.source_row is
    'The metadata that a source without an export file has told of each photograph, as text. csv_metadata takes it up.';
comment on column fm_migration.source_row.source is
    'Which source: filemaker_images (Data API), desktop_export.';
comment on column fm_migration.source_row.record is
    'What the source knows the photograph by: FileMaker''s own number of the record, or a path.';
comment on column fm_migration.source_row.date is
    'The day of the photograph as year-month-day where it could be read, else as it is written.';
comment on column fm_migration.source_row.raw is
    'All fields as they came, as JSON, without containers.';
comment on column fm_migration.source_row.modification is
    'FileMaker''s count of changes to the record, or what else changes with it.';
comment on column fm_migration.source_row.gone_at is
    'When a complete reading of the source missed it; csv_metadata has it no longer. The row is kept.';
"""

TRANSFERS = """
create table fm_migration.transfer (
    source        text not null,
    record        text not null,
    recid         text,
    image_id      uuid,
    modification  text not null default '',
    state         text not null check (state in ('waiting', 'arrived', 'present', 'quarantined')),
    reason        text not null default '',
    container     text,
    smaller_by    integer not null default 0,
    attempts      integer not null default 0,
    bytes         bigint,
    content_type  text,
    sha256        text,
    source_md5    text,
    object_key    text,
    first_seen    timestamptz not null default now(),
    tried_at      timestamptz,
    finished_at   timestamptz,
    run_id        text,
    primary key (source, record)
-- Room on each page for a photograph to arrive without touching another page.
) with (fillfactor = 70);
create index transfer_recid on fm_migration.transfer (recid);
create index transfer_state on fm_migration.transfer (source, state);
create unique index transfer_object on fm_migration.transfer (object_key) where state = 'arrived';
comment on table fm_migration.transfer is
    'One row per photograph of a source that brings bytes: whether they have arrived, and what proves it.';
comment on column fm_migration.transfer.record is
    'What the source knows the photograph by: FileMaker''s own number of the record, or a path.';
comment on column fm_migration.transfer.modification is
    'The record''s count of changes when it was tried last. One that is quarantined is tried again when it changes.';
comment on column fm_migration.transfer.state is
    'waiting: not here yet. arrived: brought and proven. present: an object of this name was there before. '
    'quarantined: failed for good, see the reason.';
comment on column fm_migration.transfer.reason is
    'Why it waits or is quarantined, by the names that docs/intake.md explains.';
comment on column fm_migration.transfer.container is
    'The container field that the bytes are from.';
comment on column fm_migration.transfer.smaller_by is
    'How many better containers were broken for ever, so that a smaller picture was taken; 0 for the best there is.';
comment on column fm_migration.transfer.attempts is
    'How often its bytes were asked for in vain since the record changed last.';
comment on column fm_migration.transfer.source_md5 is
    'The MD5 that the source itself told; the bytes had it.';

create table fm_migration.transfer_day (
    source           text not null,
    day              date not null,
    json_bytes       bigint not null default 0,
    container_bytes  bigint not null default 0,
    requests         bigint not null default 0,
    photographs      bigint not null default 0,
    primary key (source, day)
);
comment on table fm_migration.transfer_day is
    'What was transferred from a source on a day of the clinic''s calendar: answers and container bytes apart.';

create table fm_migration.transfer_walk (
    source        text primary key,
    started_at    timestamptz not null default now(),
    last_key      bigint,
    seen_there    text[] not null default '{}',
    completed_at  timestamptz,
    records       bigint
);
comment on table fm_migration.transfer_walk is
    'How far the records of a source were read: the next run goes on there.';
comment on column fm_migration.transfer_walk.last_key is
    'The recid of the last record read; null at the beginning.';
comment on column fm_migration.transfer_walk.seen_there is
    'The records of that recid that were read: two records may share one.';
comment on column fm_migration.transfer_walk.completed_at is
    'When the end was reached last.';
comment on column fm_migration.transfer_walk.records is
    'How many records the source said to have then.';

create table fm_migration.transfer_pace (
    source      text primary key,
    a_minute    double precision,
    paused      boolean not null default false,
    changed_at  timestamptz not null default now()
);
comment on table fm_migration.transfer_pace is
    'What a person has said while a run was under way: photographs a minute, or to pause. A run looks here each time.';
"""


def upgrade() -> None:
    op.execute(SOURCES)
    op.execute(TRANSFERS)


def downgrade() -> None:
    for table in ("transfer_pace", "transfer_walk", "transfer_day", "transfer", "source_row"):
        op.execute(f"drop table fm_migration.{table}")
    op.execute("delete from fm_migration.csv_metadata where source <> 'export_file'")
    op.execute("alter table fm_migration.csv_metadata drop column source")
