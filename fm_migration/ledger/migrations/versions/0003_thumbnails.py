"""Thumbnails: what was made of each original, and plans that write them into the clinic's images."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
create table fm_migration.thumbnail (
    clinic_image     uuid primary key,
    source_key       text not null,
    source_etag      text not null,
    recipe           text not null,
    state            text not null check (
        state in ('current', 'adopted', 'partial', 'unreadable', 'not_an_image', 'unavailable')),
    reason           text not null,
    key              text,
    size             bigint,
    width            integer,
    height           integer,
    mime_type        text not null,
    original_sha256  text not null,
    mean_colour      text not null,
    mirrored_side    boolean not null,
    attempts         integer not null,
    snapshot_id      bigint references fm_migration.inventory_snapshot,
    made_at          timestamptz not null default now(),
    undone_at        timestamptz,
    run_id           text,
    check (key is not null or state not in ('current', 'adopted', 'partial'))
);
create index thumbnail_state on fm_migration.thumbnail (state) where state <> 'current';
create index thumbnail_sha256 on fm_migration.thumbnail (original_sha256);
comment on table fm_migration.thumbnail is
    'One row per image of the app that was looked at: its thumbnail, or why there is none.';
comment on column fm_migration.thumbnail.clinic_image is
    'The image in the app.';
comment on column fm_migration.thumbnail.source_key is
    'The original that was read.';
comment on column fm_migration.thumbnail.source_etag is
    'Its ETag then: with another one the thumbnail is out of date. Empty when the listing did not know the object.';
comment on column fm_migration.thumbnail.recipe is
    'The hash of how it was made: with another one the thumbnail is out of date.';
comment on column fm_migration.thumbnail.state is
    'current: made by us; adopted: the clinic''s own is faithful; partial: the original is damaged, its upper part is '
    'shown; unreadable, not_an_image: there is none, until the object changes; unavailable: the object could not be '
    'had, tried again after the next listing.';
comment on column fm_migration.thumbnail.reason is
    'The state in words, where there is more to say.';
comment on column fm_migration.thumbnail.key is
    'The thumbnail in the bucket, as we wrote it into the app.';
comment on column fm_migration.thumbnail.size is
    'Bytes of the thumbnail.';
comment on column fm_migration.thumbnail.width is
    'Of the original, as seen upright.';
comment on column fm_migration.thumbnail.height is
    'Of the original, as seen upright.';
comment on column fm_migration.thumbnail.mime_type is
    'Of the original, by its content; empty when it was not read.';
comment on column fm_migration.thumbnail.original_sha256 is
    'Of the original: equal ones are the same file twice. Empty when it was not read.';
comment on column fm_migration.thumbnail.mean_colour is
    'Of the picture as #rrggbb; empty when there is none.';
comment on column fm_migration.thumbnail.mirrored_side is
    'Whether its Type names a side and its EXIF orientation is a mirrored one: software that ignores the orientation '
    'shows a left foot as a right one. The thumbnail is right.';
comment on column fm_migration.thumbnail.attempts is
    'How often it was tried with this source and recipe.';
comment on column fm_migration.thumbnail.snapshot_id is
    'The newest listing of the bucket when it was tried.';
comment on column fm_migration.thumbnail.undone_at is
    'When a person undid the writing into the app; it is not written again until the source or the recipe changes.';

alter table fm_migration.link_plan drop constraint link_plan_kind_check;
alter table fm_migration.link_plan add constraint link_plan_kind_check
    check (kind in ('photographs', 'links', 'repair', 'thumbnails'));
-- A clinic may make thumbnails before its patients were ever read.
alter table fm_migration.link_plan alter column patient_read_id drop not null;
"""

# What was written into the app stays there. Its journal cannot: the older version knows no such plans.
WITHOUT = """
drop table fm_migration.thumbnail;
delete from fm_migration.change using fm_migration.link_plan
    where link_plan.id = change.plan_id and link_plan.kind = 'thumbnails';
delete from fm_migration.planned_change using fm_migration.link_plan
    where link_plan.id = planned_change.plan_id and link_plan.kind = 'thumbnails';
delete from fm_migration.link_plan where kind = 'thumbnails';
alter table fm_migration.link_plan alter column patient_read_id set not null;
alter table fm_migration.link_plan drop constraint link_plan_kind_check;
alter table fm_migration.link_plan add constraint link_plan_kind_check
    check (kind in ('photographs', 'links', 'repair'));
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute(WITHOUT)
