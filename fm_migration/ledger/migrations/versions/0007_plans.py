"""One life of a plan: the journal is one row a change, and what we last wrote is a table of its own.

Until now a change was two rows, one for the plan and one for what became of it, and what was last written was summed up
from all of them at every plan, which took longer with every healing.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

#: A change is keyed by its column too, because a table may hold two links to patients in one row.
ONE_ROW_A_CHANGE = """
alter table fm_migration.planned_change
    add column column_name text not null default '',
    add column outcome text check (outcome in ('applied', 'already', 'overtaken')),
    add column applied_at timestamptz,
    add column run_id text,
    add column undone_at timestamptz,
    add column undo_outcome text check (undo_outcome in ('restored', 'overtaken')),
    add column remembered jsonb,
    add column reverses bigint;
-- Half of each page stays free for the outcome, which then touches no index.
alter table fm_migration.planned_change set (fillfactor = 50);

update fm_migration.planned_change as planned
set outcome = change.outcome, applied_at = change.applied_at, run_id = change.run_id, undone_at = change.undone_at,
    undo_outcome = change.undo_outcome
from fm_migration.change where change.planned_id = planned.id;
update fm_migration.planned_change as planned
set column_name = (select min(name) from jsonb_object_keys(planned.after) as name)
from fm_migration.link_plan as plan
where plan.id = planned.plan_id and planned.action = 'update'
  and (plan.kind = 'links' or (plan.kind = 'repair' and planned.after ? 's3_key'));

drop view fm_migration.journal;
drop table fm_migration.change;

-- The plan is written in the same transaction or before, and goes with its changes: a look-up for each of them could
-- find nothing wrong, and costs a tenth of what following a re-import does.
alter table fm_migration.planned_change drop constraint planned_change_plan_id_fkey;

-- Whoever looks for a row looks by its id, so that comes first.
drop index fm_migration.planned_change_row;
create unique index planned_change_row on fm_migration.planned_change (row_id, plan_id, table_name, column_name);

comment on table fm_migration.planned_change is
    'The journal: one row a change of a row of the clinic''s tables, with the changed columns before and after, and '
    'what became of it.';
comment on column fm_migration.planned_change.column_name is
    'The link column, where a link is all that is changed: a row may hold two of them. Else empty: the whole row.';
comment on column fm_migration.planned_change.outcome is
    'Null until the plan is applied. "already": the row was so; "overtaken": somebody had edited it, and theirs won.';
comment on column fm_migration.planned_change.undo_outcome is
    'Whether an undo has put the row back, or has left it because somebody has changed it since.';
comment on column fm_migration.planned_change.remembered is
    'What last_written said of the changed columns before, for the undo.';
comment on column fm_migration.planned_change.reverses is
    'In the plan of an undo: the change that this one takes back.';

create view fm_migration.journal as
select planned.id, link_plan.kind, planned.plan_id, planned.table_name, planned.row_id, planned.column_name,
       planned.action, planned.before, planned.after, planned.reason, planned.outcome, planned.applied_at,
       planned.run_id, planned.undone_at, planned.undo_outcome
from fm_migration.planned_change as planned join fm_migration.link_plan on link_plan.id = planned.plan_id
where planned.outcome is not null;
comment on view fm_migration.journal is
    'What was done to which row of the clinic''s tables, when, why and by which run.';
"""

#: Which kinds there are is said by the domains that register them, in code.
PLANS = """
alter table fm_migration.link_plan drop constraint link_plan_kind_check;
alter table fm_migration.link_plan
    add column undoes bigint references fm_migration.link_plan,
    add column pruned_at timestamptz;
comment on column fm_migration.link_plan.undoes is 'In the plan of an undo: the plan that it takes back.';
comment on column fm_migration.link_plan.pruned_at is
    'When its changes were dropped from the journal; from then on it cannot be undone.';
"""

LAST_WRITTEN = """
create table fm_migration.last_written (
    table_name text not null,
    row_id     text not null,
    written    jsonb not null,
    primary key (table_name, row_id)
) with (fillfactor = 70);
comment on table fm_migration.last_written is
    'What we last wrote into a row of the clinic''s tables, as far as it was not undone: another value there is a '
    'person''s. Written in the same transaction as the row.';
comment on column fm_migration.last_written.written is
    'By column. That of a batch''s object_id moves along when the batch follows its patient to a new UUID.';
"""

#: Plan by plan as they were applied, which is how it would have been kept from the beginning.
FILL_LAST_WRITTEN = """
do $$
declare
    present bigint;
begin
    create temporary table effect on commit drop as
    select planned.id, planned.plan_id, planned.table_name, planned.row_id, planned.before, planned.outcome,
           planned.action = 'update' and planned.reason = 'its patient has a new UUID' as follows,
           jsonb_strip_nulls(case planned.table_name
               when 'images_batch' then jsonb_build_object('object_id', planned.after -> 'object_id')
               else jsonb_build_object(
                   'batch_id', planned.after -> 'batch_id', 'category', planned.after -> 'category',
                   'caption', planned.after -> 'caption', 'date_taken', planned.after -> 'date_taken',
                   'filemaker_id', planned.after -> 'filemaker_id') end) as wrote
    from fm_migration.planned_change as planned
    where planned.outcome in ('applied', 'already') and planned.undone_at is null and planned.action <> 'delete'
      and planned.table_name in ('images_batch', 'images_image');
    delete from effect where wrote = '{}';
    create index on effect (plan_id);
    analyze effect;
    for present in
        select plan_id from fm_migration.planned_change where outcome is not null
        group by plan_id order by min(applied_at), plan_id
    loop
        update fm_migration.planned_change as planned
        set remembered = (select jsonb_object_agg(name, known.written -> name)
                          from jsonb_object_keys(effect.wrote) as name where known.written ? name)
        from effect join fm_migration.last_written as known using (table_name, row_id)
        where effect.plan_id = present and planned.id = effect.id;
        update fm_migration.last_written as known set written = known.written || effect.wrote
        from effect
        where effect.plan_id = present and effect.follows and effect.outcome = 'applied'
          and known.table_name = effect.table_name and known.row_id = effect.row_id
          and known.written -> 'object_id' = effect.before -> 'object_id';
        insert into fm_migration.last_written as known (table_name, row_id, written)
        select table_name, row_id, wrote from effect where effect.plan_id = present and not follows
        on conflict (table_name, row_id) do update set written = known.written || excluded.written;
    end loop;
    drop table effect;
end $$;
"""

BACK_TO_TWO_ROWS = """
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

-- An undo was no plan: what it did stands on the changes that it took back. Of other kinds the older version knows
-- these four.
drop view fm_migration.journal;
delete from fm_migration.planned_change using fm_migration.link_plan
    where link_plan.id = planned_change.plan_id and link_plan.kind = 'undo';
update fm_migration.link_plan set undoes = null;
delete from fm_migration.link_plan where kind = 'undo';
update fm_migration.link_plan set kind = 'links' where kind not in ('photographs', 'links', 'repair', 'thumbnails');
alter table fm_migration.link_plan drop column undoes, drop column pruned_at;
alter table fm_migration.link_plan add constraint link_plan_kind_check
    check (kind in ('photographs', 'links', 'repair', 'thumbnails'));

insert into fm_migration.change (planned_id, plan_id, outcome, run_id, applied_at, undone_at, undo_outcome)
select id, plan_id, outcome, run_id, coalesce(applied_at, now()), undone_at, undo_outcome
from fm_migration.planned_change where outcome is not null order by applied_at, id;
drop table fm_migration.last_written;
alter table fm_migration.planned_change add foreign key (plan_id) references fm_migration.link_plan;
drop index fm_migration.planned_change_row;
create index planned_change_row on fm_migration.planned_change (row_id);
alter table fm_migration.planned_change reset (fillfactor);
alter table fm_migration.planned_change
    drop column column_name, drop column outcome, drop column applied_at, drop column run_id, drop column undone_at,
    drop column undo_outcome, drop column remembered, drop column reverses;
comment on table fm_migration.planned_change is
    'One row per row of the clinic''s tables that a plan would change, with the changed columns before and after.';

create view fm_migration.journal as
select change.id, link_plan.kind, change.plan_id, planned.table_name, planned.row_id, planned.action, planned.before,
       planned.after, planned.reason, change.outcome, change.applied_at, change.run_id, change.undone_at,
       change.undo_outcome
from fm_migration.change
join fm_migration.planned_change as planned on planned.id = change.planned_id
join fm_migration.link_plan on link_plan.id = change.plan_id;
comment on view fm_migration.journal is
    'What was done to which row of the clinic''s tables, when, why and by which run.';
"""


def upgrade() -> None:
    for statements in (ONE_ROW_A_CHANGE, PLANS, LAST_WRITTEN, FILL_LAST_WRITTEN):
        op.execute(statements)


def downgrade() -> None:
    op.execute(BACK_TO_TWO_ROWS)
