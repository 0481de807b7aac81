"""What is told or seen of new objects before the inventory knows them: the queue's inbox, and the place of a look."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
create table fm_migration.inbox (
    bucket       text not null,
    key          text not null,
    sequencer    text not null,
    event        text not null,
    happened_at  timestamptz not null,
    received_at  timestamptz not null default clock_timestamp(),
    done         bigint references fm_migration.inventory_snapshot,
    primary key (bucket, key, sequencer)
);
create index inbox_undone on fm_migration.inbox (received_at) where done is null;
comment on table fm_migration.inbox is
    'One row per event that the queue of FM_OBJECT_EVENTS has told of an original, however often it was told.';
comment on column fm_migration.inbox.sequencer is
    'Orders the events of one key; by it a message that comes twice is known.';
comment on column fm_migration.inbox.happened_at is
    'By the object store''s clock.';
comment on column fm_migration.inbox.done is
    'The snapshot of the inventory that has taken it in; null while it waits.';

create table fm_migration.refused_message (
    message_id   text primary key,
    body         text not null,
    reason       text not null,
    received_at  timestamptz not null default clock_timestamp()
);
comment on table fm_migration.refused_message is
    'Messages of the queue that are no events of S3, kept as they came; nothing waits for them.';

create table fm_migration.object_watch (
    only_row       boolean primary key default true check (only_row),
    snapshot_id    bigint not null references fm_migration.inventory_snapshot,
    prefixes       text[] not null,
    position       integer not null,
    after_key      text not null,
    objects        bigint not null,
    round_ended_at timestamptz,
    differs_since  timestamptz
);
comment on table fm_migration.object_watch is
    'Where the sensor new_objects stands in its look around the bucket, which takes several ticks.';
comment on column fm_migration.object_watch.after_key is
    'It goes on behind this key. Here and not in the sensor''s cursor, because a key may carry a patient''s id.';

alter table fm_migration.inventory_snapshot drop constraint inventory_snapshot_source_check;
alter table fm_migration.inventory_snapshot add constraint inventory_snapshot_source_check
    check (source in ('listing', 'inventory_report', 'events'));
comment on table fm_migration.inventory_snapshot is
    'One row per reading of the bucket. What is younger than started_at cannot be judged by it. A reading of "events" '
    'has looked up single objects and leaves started_at as the last complete listing has set it.';
"""

#: A snapshot that was read from events has no place in the former form; its marks go to the listing before it.
RETURN_TO_LISTINGS = """
create temporary table events_snapshot on commit drop as
select id, (select max(before.id) from fm_migration.inventory_snapshot as before
            where before.id < snapshot.id and before.source <> 'events') as listing
from fm_migration.inventory_snapshot as snapshot where source = 'events';
update fm_migration.s3_inventory set first_seen = listing from events_snapshot where first_seen = events_snapshot.id;
update fm_migration.s3_inventory set changed = listing from events_snapshot where changed = events_snapshot.id;
update fm_migration.s3_inventory set vanished = listing from events_snapshot where vanished = events_snapshot.id;
update fm_migration.link_plan set snapshot_id = listing from events_snapshot where snapshot_id = events_snapshot.id;
update fm_migration.thumbnail set snapshot_id = listing from events_snapshot where snapshot_id = events_snapshot.id;
update fm_migration.report set snapshot_id = listing from events_snapshot where snapshot_id = events_snapshot.id;
delete from fm_migration.inventory_snapshot where source = 'events';
alter table fm_migration.inventory_snapshot drop constraint inventory_snapshot_source_check;
alter table fm_migration.inventory_snapshot add constraint inventory_snapshot_source_check
    check (source in ('listing', 'inventory_report'));
comment on table fm_migration.inventory_snapshot is
    'One row per complete listing. What is younger than started_at cannot be judged by it.';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    for table in ("object_watch", "refused_message", "inbox"):
        op.execute(f"drop table fm_migration.{table}")
    op.execute(RETURN_TO_LISTINGS)
