"""Links: the state of every photograph, plans, and the journal of what was done to the clinic's tables."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
create table fm_migration.link_plan (
    id              bigint generated always as identity primary key,
    kind            text not null check (kind in ('photographs', 'links', 'repair')),
    made_at         timestamptz not null default now(),
    hash            text not null,
    export_read_id  bigint references fm_migration.export_read,
    snapshot_id     bigint references fm_migration.inventory_snapshot,
    patient_read_id bigint not null references fm_migration.patient_read,
    inputs          text not null,
    photo_limit     bigint,
    counts          jsonb not null,
    doubts          text[] not null,
    run_id          text,
    applied_at      timestamptz,
    applied_run_id  text,
    undone_at       timestamptz
);
comment on table fm_migration.link_plan is
    'One row per plan: what would change in the clinic''s tables, from which inputs, and what became of it.';
comment on column fm_migration.link_plan.inputs is 'The versions of what the plan was made from.';
comment on column fm_migration.link_plan.doubts is
    'Why a person must approve the plan by its hash before it is applied; empty for an ordinary plan.';

create table fm_migration.photo (
    photo_id      uuid not null,
    row_number    bigint,
    recid         text,
    image_id      uuid,
    key           text,
    state         text not null,
    reason        text not null,
    filemaker_id  uuid,
    patient_id    uuid,
    taken_on      date,
    month         text not null,
    batch_id      uuid,
    clinic_image  uuid,
    plan_id       bigint not null references fm_migration.link_plan
);
create unique index photo_row on fm_migration.photo (row_number) where row_number is not null;
create index photo_clinic_image on fm_migration.photo (clinic_image) where clinic_image is not null;
create index photo_month on fm_migration.photo (month);
create index photo_recid on fm_migration.photo (recid);
comment on table fm_migration.photo is
    'One row per row of the export, and one per original without a row: its one state, and why. By the newest plan.';
comment on column fm_migration.photo.photo_id is
    'The image in the app that shows it, or a number of its own while there is none.';
comment on column fm_migration.photo.row_number is
    'Its row in csv_metadata; null for an original that no row names.';
comment on column fm_migration.photo.key is
    'Its original in the bucket.';
comment on column fm_migration.photo.state is
    'The one state it is in.';
comment on column fm_migration.photo.reason is
    'The state in words.';
comment on column fm_migration.photo.filemaker_id is
    'The patient''s FileMaker id.';
comment on column fm_migration.photo.patient_id is
    'The patient in the app.';
comment on column fm_migration.photo.taken_on is
    'The day it was taken.';
comment on column fm_migration.photo.month is
    'The month it was taken, by which thumbnails are partitioned; or undated.';
comment on column fm_migration.photo.batch_id is
    'The batch it hangs on, once the plan is applied.';
comment on column fm_migration.photo.clinic_image is
    'The image that shows it, once the plan is applied.';

create table fm_migration.planned_change (
    id          bigint generated always as identity primary key,
    plan_id     bigint not null references fm_migration.link_plan,
    table_name  text not null,
    row_id      text not null,
    action      text not null check (action in ('insert', 'update', 'delete')),
    before      jsonb,
    after       jsonb,
    reason      text not null
);
create index planned_change_plan on fm_migration.planned_change (plan_id, table_name, action);
create index planned_change_row on fm_migration.planned_change (row_id);
comment on table fm_migration.planned_change is
    'One row per row of the clinic''s tables that a plan would change, with the changed columns before and after.';

create table fm_migration.change (
    id           bigint generated always as identity primary key,
    planned_id   bigint not null unique references fm_migration.planned_change,
    plan_id      bigint not null references fm_migration.link_plan,
    outcome      text not null check (outcome in ('applied', 'already', 'overtaken')),
    run_id       text,
    applied_at   timestamptz not null default now(),
    undone_at    timestamptz,
    undo_outcome text check (undo_outcome in ('restored', 'overtaken'))
);
create index change_plan on fm_migration.change (plan_id);
comment on table fm_migration.change is
    'The journal: what became of each planned change. "overtaken": somebody had edited the row, and their edit won.';

create table fm_migration.consumed (
    consumer     text primary key check (consumer in ('photographs', 'links')),
    fingerprint  text not null,
    run_id       text,
    at           timestamptz not null default now()
);
comment on table fm_migration.consumed is
    'The state of the patients that links were last made from, written in the same transaction as the links.';

create view fm_migration.ambiguous_identity as
select filemaker_id, array_agg(patient_id order by patient_id) as patient_ids
from fm_migration.patient_identity where current group by filemaker_id having count(*) > 1;
comment on view fm_migration.ambiguous_identity is 'FileMaker ids that several present patients share.';

create view fm_migration.journal as
select change.id, link_plan.kind, change.plan_id, planned.table_name, planned.row_id, planned.action, planned.before,
       planned.after, planned.reason, change.outcome, change.applied_at, change.run_id, change.undone_at,
       change.undo_outcome
from fm_migration.change
join fm_migration.planned_change as planned on planned.id = change.planned_id
join fm_migration.link_plan on link_plan.id = change.plan_id;
comment on view fm_migration.journal is
    'What was done to which row of the clinic''s tables, when, why and by which run.';

create view fm_migration.state_count as
select state, count(*) as photographs from fm_migration.photo group by state;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    for view in ("state_count", "journal", "ambiguous_identity"):
        op.execute(f"drop view fm_migration.{view}")
    for table in ("consumed", "change", "planned_change", "photo", "link_plan"):
        op.execute(f"drop table fm_migration.{table}")
