"""Who held which FileMaker id since when, what each photograph is remembered as, and what people have decided."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

#: The history kept pairs; a tenure says from which reading to which, how it ended, and whether the id was shared.
TENURES = """
drop view fm_migration.ambiguous_identity;
alter table fm_migration.patient_identity rename to former_identity;
alter index fm_migration.patient_identity_patient rename to former_identity_patient;
alter table fm_migration.former_identity rename constraint patient_identity_pkey to former_identity_pkey;

create table fm_migration.patient_identity (
    patient_id    uuid not null,
    began         bigint not null,
    filemaker_id  uuid,
    written       text not null,
    ended         bigint,
    ending        text check (ending in ('gone', 'withdrawn')),
    shared        boolean not null default false,
    twin          boolean not null default false,
    awaited       boolean not null default false,
    passed        boolean not null default false,
    recognised    boolean not null default false,
    primary key (patient_id, began),
    check ((ended is null) = (ending is null))
-- Room on each page for a tenure to end without touching an index.
) with (fillfactor = 50);
comment on table fm_migration.patient_identity is
    'The tenures: which patient held which FileMaker id, from when to when. Rows are never removed: they lead stale '
    'links home.';
comment on column fm_migration.patient_identity.patient_id is
    'A UUID that the app has, or had, for a patient.';
comment on column fm_migration.patient_identity.began is
    'The reading of the patients (patient_read) that saw it first; 0 for what is older than all readings.';
comment on column fm_migration.patient_identity.filemaker_id is
    'The patient''s id in FileMaker, which a re-import keeps. Null for a patient without one, or with a malformed one.';
comment on column fm_migration.patient_identity.written is
    'The id as the app writes it: two ids that differ in case only may be two patients.';
comment on column fm_migration.patient_identity.ended is
    'The reading that missed it first; null while it holds.';
comment on column fm_migration.patient_identity.ending is
    'gone: the patient''s row went. withdrawn: the patient stayed, without this id.';
comment on column fm_migration.patient_identity.shared is
    'Whether somebody else, who was there at once, held the id written the same way; as of its last reading.';
comment on column fm_migration.patient_identity.twin is
    'The same of somebody who held the id written in another case.';
comment on column fm_migration.patient_identity.awaited is
    'One of several who shared an id and is gone: until that one is back, the id is not the others'' alone.';
comment on column fm_migration.patient_identity.passed is
    'The id came to a patient who was known before, and its former holder is gone: whose it is, a person must say.';
comment on column fm_migration.patient_identity.recognised is
    'Not seen by a reading, but told by the photographs under the UUID, or by a person (fm-migration settle).';

insert into fm_migration.patient_identity (patient_id, began, filemaker_id, written, ended, ending, shared)
select known.patient_id,
       coalesce((select min(id) from fm_migration.patient_read where read_at >= known.first_seen), 0),
       known.filemaker_id, upper(known.filemaker_id::text),
       case when not known.current then
           greatest(coalesce((select min(id) from fm_migration.patient_read where read_at >= known.last_seen), 0),
                    coalesce((select min(id) from fm_migration.patient_read where read_at >= known.first_seen), 0)) end,
       case when not known.current then
           case when exists (select from fm_migration.former_identity as other
                             where other.patient_id = known.patient_id and other.current) then 'withdrawn'
                else 'gone' end end,
       exists (select from fm_migration.former_identity as other
               where other.filemaker_id = known.filemaker_id and other.patient_id <> known.patient_id
                 and other.first_seen < case when known.current then 'infinity' else known.last_seen end
                 and known.first_seen < case when other.current then 'infinity' else other.last_seen end)
from fm_migration.former_identity as known
order by known.current desc
-- A patient had one id at a time; two of one reading were a fault of ours.
on conflict do nothing;
drop table fm_migration.former_identity;
create index patient_identity_filemaker on fm_migration.patient_identity (filemaker_id);
create index patient_identity_passed on fm_migration.patient_identity (filemaker_id) where passed;
create index patient_identity_awaited on fm_migration.patient_identity (filemaker_id) where awaited;

create table fm_migration.settlement (
    former_id     uuid primary key,
    patient_id    uuid not null,
    settled_at    timestamptz not null default now()
);
create index settlement_patient on fm_migration.settlement (patient_id);
comment on table fm_migration.settlement is
    'Former patients of whom a person has said who they are now (fm-migration settle).';

alter table fm_migration.patient_read
    add column malformed bigint not null default 0,
    add column ambiguous bigint not null default 0;

create view fm_migration.tenure as
select patient_id, filemaker_id, written, began_in.read_at as began_at, ended_in.read_at as ended_at, ending,
       shared or twin as shared, recognised
from fm_migration.patient_identity as identity
left join fm_migration.patient_read as began_in on began_in.id = identity.began
left join fm_migration.patient_read as ended_in on ended_in.id = identity.ended;
comment on view fm_migration.tenure is
    'For a person with psql: which patient held which FileMaker id, from when to when.';

create view fm_migration.ambiguous_identity as
select filemaker_id, array_agg(patient_id order by patient_id) as patient_ids
from fm_migration.patient_identity where ended is null and filemaker_id is not null
group by filemaker_id, written having count(*) > 1;
comment on view fm_migration.ambiguous_identity is 'FileMaker ids that several present patients share.';
"""

#: What a photograph is remembered as is kept from plan to plan, by a name that outlives the order of an export.
PHOTOS = """
drop view fm_migration.state_count;
drop table fm_migration.photo;
alter table fm_migration.csv_metadata add column photo text;
update fm_migration.csv_metadata set photo = named.photo
from (
    select row_number,
           name || case when nth > 1 then ' (' || nth || ')' else '' end as photo
    from (
        select row_number, name, row_number() over (partition by name order by row_number) as nth
        from (select row_number, coalesce('recid ' || recid, 'image ' || image_id, 'row ' || row_number) as name
              from fm_migration.csv_metadata) as one
    ) as numbered
) as named
where named.row_number = csv_metadata.row_number;
alter table fm_migration.csv_metadata alter column photo set not null;
create unique index csv_metadata_photo on fm_migration.csv_metadata (photo);
comment on column fm_migration.csv_metadata.photo is
    'The photograph that the row is about, by its recid (or image id, or number): the key of fm_migration.photo.';

create table fm_migration.photo (
    photo         text primary key,
    in_export     boolean not null,
    recid         text,
    image_id      uuid,
    key           text,
    state         text not null,
    reason        text not null,
    evidence      text check (evidence in ('object', 'claim', 'hint', 'made')),
    home          text not null check (home in ('found', 'ambiguous', 'absent', 'none')),
    filemaker_id  uuid,
    person        uuid,
    taken_on      date,
    month         text not null,
    batch_id      uuid,
    clinic_image  uuid,
    owner         uuid,
    row_hash      bigint,
    object_hash   bigint,
    plan_id       bigint not null
);
create unique index photo_clinic_image on fm_migration.photo (clinic_image) where clinic_image is not null;
create index photo_recid on fm_migration.photo (recid) where recid is not null;
create index photo_image_id on fm_migration.photo (image_id) where image_id is not null;
create index photo_person on fm_migration.photo (person, taken_on) where person is not null;
create index photo_batch on fm_migration.photo (batch_id) where batch_id is not null;
create index photo_month on fm_migration.photo (month);
create index photo_key on fm_migration.photo (key) where key is not null;
comment on table fm_migration.photo is
    'One row per photograph and per original: its one state, why, and by which evidence. Kept from plan to plan.';
comment on column fm_migration.photo.photo is
    'Its name, which outlives the order of the export: recid, else image id, else the key of its object.';
comment on column fm_migration.photo.in_export is
    'Whether a row of the export that was read last is about it.';
comment on column fm_migration.photo.key is
    'Its original in the bucket.';
comment on column fm_migration.photo.state is
    'The one state it is in.';
comment on column fm_migration.photo.reason is
    'The state in words.';
comment on column fm_migration.photo.evidence is
    'Why clinic_image is its image. object: the key is its original; claim: the FileMaker id; hint: a number in a name '
    'of the import''s; made: we have created it.';
comment on column fm_migration.photo.filemaker_id is
    'The FileMaker id of the patient whom the row names.';
comment on column fm_migration.photo.person is
    'Who that is, in a word that outlives re-imports: the FileMaker id, or the app''s UUID where that tells more.';
comment on column fm_migration.photo.month is
    'The month it was taken, by which thumbnails are partitioned; or undated.';
comment on column fm_migration.photo.batch_id is
    'The batch it hangs on, once the plan is applied.';
comment on column fm_migration.photo.clinic_image is
    'The image that shows it, once the plan is applied.';
comment on column fm_migration.photo.home is
    'Whether the patient whom the row names is found: one who is there; ambiguous; absent, known but not there; none.';
comment on column fm_migration.photo.owner is
    'Whose batch it hangs on, in the same word as person, once the plan is applied; null for nobody who is there.';
comment on column fm_migration.photo.row_hash is
    'What the row of the export said when the state was worked out, in one number.';
comment on column fm_migration.photo.object_hash is
    'The same of its original.';
comment on column fm_migration.photo.plan_id is
    'The plan that has worked the state out.';

create table fm_migration.recognition (
    clinic_image  uuid primary key,
    photo         text,
    evidence      text not null check (evidence in ('object', 'claim', 'hint', 'made', 'hand')),
    contradicts   text,
    looked_like   bigint not null,
    agreed_in     uuid,
    agreed_with   uuid,
    decided_at    timestamptz not null default now()
);
create index recognition_photo on fm_migration.recognition (photo) where photo is not null;
create index recognition_contradicts on fm_migration.recognition (contradicts) where contradicts is not null;
comment on table fm_migration.recognition is
    'One row per image of the app that shows a photograph: decided once, and kept. Several may show the same one.';
comment on column fm_migration.recognition.photo is
    'The photograph that it shows; null for what a person has uploaded and is none of FileMaker''s.';
comment on column fm_migration.recognition.contradicts is
    'Another photograph that other evidence names: then nothing moves, and a person is told.';
comment on column fm_migration.recognition.agreed_in is
    'The batch in which it was first seen to hang on the patient of its row.';
comment on column fm_migration.recognition.agreed_with is
    'Whose batch that was, in the same word as photo.person.';
comment on column fm_migration.recognition.looked_like is
    'What the image row said then, in one number: with another one it is looked at again.';

create table fm_migration.decision (
    id           bigint generated always as identity primary key,
    kind         text not null check (kind in ('placed', 'edited', 'deleted')),
    table_name   text not null,
    row_id       text not null,
    column_name  text not null default '',
    photo        text,
    patient_id   uuid,
    filemaker_id uuid,
    seen_at      timestamptz not null default now(),
    plan_id      bigint,
    ended_at     timestamptz
);
create unique index decision_standing on fm_migration.decision (kind, table_name, row_id, column_name)
    where ended_at is null;
create index decision_photo on fm_migration.decision (photo) where photo is not null;
comment on table fm_migration.decision is
    'What people have decided, as first seen: an image placed, edited or deleted. Never undone by us.';
comment on column fm_migration.decision.ended_at is
    'When it was seen to hold no more, or was taken back; null while it stands.';

create view fm_migration.original as
select key, recid, image_id, etag, size, extension, last_modified, hashtextextended(key, size) as object_hash,
       array[length(key) - length(replace(key, '/', '')), (size = 0)::int, -extract(epoch from last_modified)]
           as preference
from fm_migration.s3_inventory
where kind = 'original' and vanished is null;
comment on view fm_migration.original is
    'Every original that is there. Of several of one recid or image id the one with the lowest preference is the '
    'original: where a broken exporter left several, the plainest key, then one that is not empty, then the newest.';

create view fm_migration.made_or_removed as
select distinct on (row_id) row_id, action
from fm_migration.planned_change
where table_name = 'images_image' and action in ('insert', 'delete') and outcome in ('applied', 'already')
order by row_id, applied_at desc, id desc;
comment on view fm_migration.made_or_removed is
    'What we did last to an image of the app, making it or removing it. One that we made and that is gone was deleted '
    'by somebody else.';

create view fm_migration.photo_status as
select photo.*, csv.row_number, coalesce(holder.patient_id, self.patient_id) as patient_id,
       known.clinic_image is not null as shown
from fm_migration.photo
left join fm_migration.csv_metadata as csv on csv.photo = photo.photo
left join fm_migration.patient_identity as holder
    on holder.filemaker_id = photo.person and holder.ended is null and not holder.shared and not holder.twin
-- Not the table patients: a view of ours on a table of theirs would stand in the way of their next migration.
left join fm_migration.patient_identity as self on self.patient_id = photo.person and self.ended is null
left join fm_migration.recognition as known on known.clinic_image = photo.clinic_image;
comment on view fm_migration.photo_status is
    'Every photograph and original with its row of the export, its present patient, and whether its image was seen.';

create view fm_migration.double_image as
select known.clinic_image, photo.clinic_image as kept, known.photo
from fm_migration.recognition as known
join fm_migration.photo on photo.photo = known.photo and photo.clinic_image <> known.clinic_image
where known.contradicts is null and photo.state <> 'contradicting_evidence';
comment on view fm_migration.double_image is
    'Images that show a photograph which another image shows already; kept is the one that is the photograph.';

create table fm_migration.placement (
    only_row         boolean primary key default true check (only_row),
    export_read_id   bigint not null,
    export_version   text not null,
    inventory_version bigint not null,
    patients_version text not null,
    photo_limit      bigint,
    rules            text not null,
    plan_id          bigint not null,
    planned_at       timestamptz not null
);
comment on table fm_migration.placement is
    'What the table photo was worked out from last: what has not changed since needs no second look.';

create view fm_migration.state_count as
select state, count(*) as photographs from fm_migration.photo group by state;

alter table fm_migration.consumed add column undone_plan bigint;
comment on column fm_migration.consumed.undone_plan is
    'The plan of links that a person has undone since: these patients are not followed again by themselves.';
"""


#: Back to pairs. What only a tenure knows is lost; the photographs are worked out again by the next plan.
PAIRS = """
alter table fm_migration.consumed drop column undone_plan;
drop view fm_migration.state_count;
drop view fm_migration.photo_status;
drop view fm_migration.made_or_removed;
drop view fm_migration.double_image;
drop view fm_migration.original;
drop table fm_migration.placement;
drop table fm_migration.decision;
drop table fm_migration.settlement;
drop table fm_migration.recognition;
drop table fm_migration.photo;
alter table fm_migration.csv_metadata drop column photo;
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
    plan_id       bigint not null
);
create unique index photo_row on fm_migration.photo (row_number) where row_number is not null;
create index photo_clinic_image on fm_migration.photo (clinic_image) where clinic_image is not null;
create index photo_month on fm_migration.photo (month);
create index photo_recid on fm_migration.photo (recid);
create view fm_migration.state_count as
select state, count(*) as photographs from fm_migration.photo group by state;

drop view fm_migration.ambiguous_identity;
drop view fm_migration.tenure;
alter table fm_migration.patient_read drop column malformed, drop column ambiguous;
alter table fm_migration.patient_identity rename to tenures;
alter table fm_migration.tenures rename constraint patient_identity_pkey to tenures_pkey;
create table fm_migration.patient_identity (
    filemaker_id  uuid not null,
    patient_id    uuid not null,
    current       boolean not null,
    first_seen    timestamptz not null,
    last_seen     timestamptz not null,
    primary key (filemaker_id, patient_id)
) with (fillfactor = 50);
insert into fm_migration.patient_identity (filemaker_id, patient_id, current, first_seen, last_seen)
select filemaker_id, patient_id, bool_or(ended is null), coalesce(min(began_in.read_at), now()),
       coalesce(max(coalesce(ended_in.read_at, began_in.read_at)), now())
from fm_migration.tenures
left join fm_migration.patient_read as began_in on began_in.id = tenures.began
left join fm_migration.patient_read as ended_in on ended_in.id = tenures.ended
where filemaker_id is not null
group by 1, 2;
drop table fm_migration.tenures;
create index patient_identity_patient on fm_migration.patient_identity (patient_id);
create view fm_migration.ambiguous_identity as
select filemaker_id, array_agg(patient_id order by patient_id) as patient_ids
from fm_migration.patient_identity where current group by filemaker_id having count(*) > 1;
"""


def upgrade() -> None:
    op.execute(TENURES)
    op.execute(PHOTOS)


def downgrade() -> None:
    op.execute(PAIRS)
