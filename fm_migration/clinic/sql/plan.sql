-- What would change in the clinic's tables so that every photograph hangs on its patient, and why.
-- Each step makes a temporary table or fills one; nothing here writes to a table of the clinic.

-- step: live
-- The patients that are there now.
create temporary table live on commit drop as
select id as patient_id from patients;

-- step: successor
-- Where a former UUID leads: its FileMaker ids, and the patients that have them now. Only a single answer counts.
create temporary table successor on commit drop as
select former.patient_id as former_id,
       min(present.patient_id::text)::uuid as patient_id,
       count(distinct present.patient_id) as patients
from fm_migration.patient_identity as former
join fm_migration.patient_identity as present using (filemaker_id)
join live on live.patient_id = present.patient_id
where not former.current and present.current
  and not exists (select from live where live.patient_id = former.patient_id)
group by former.patient_id;

-- step: contact_home
-- Who a contact of the export is: a present patient by app UUID, else by FileMaker id, else a former UUID by history.
-- Photographs are grouped by person, which outlives re-imports: the FileMaker id, unless two patients share it.
create temporary table contact_home on commit drop as
with contact as (
    select distinct contact from fm_migration.csv_metadata where contact is not null
), shared as (
    select filemaker_id from fm_migration.patient_identity where current group by 1 having count(*) > 1
), way as (
    select contact, 1 as way, live.patient_id, known.filemaker_id
    from contact join live on live.patient_id = contact.contact
    left join fm_migration.patient_identity as known on known.patient_id = live.patient_id and known.current
  union all
    select contact, 2, live.patient_id, contact
    from contact join fm_migration.patient_identity as known on known.filemaker_id = contact.contact and known.current
    join live on live.patient_id = known.patient_id
  union all
    select contact, 3, live.patient_id, present.filemaker_id
    from contact
    join fm_migration.patient_identity as former on former.patient_id = contact.contact and not former.current
    join fm_migration.patient_identity as present on present.filemaker_id = former.filemaker_id and present.current
    join live on live.patient_id = present.patient_id
)
select contact,
       count(distinct patient_id) as patients,
       min(patient_id::text)::uuid as patient_id,
       coalesce(min(filemaker_id::text) filter (where shared.filemaker_id is null), min(patient_id::text))::uuid
           as person,
       min(filemaker_id::text)::uuid as filemaker_id
from (select *, min(way) over (partition by contact) as best from way) as ranked
left join shared using (filemaker_id)
where way = best
group by contact;

-- step: original
-- The original of a recid, and that of an image id. Where a broken exporter left several, the plainest key wins, then
-- one that is not empty, then the newest.
create temporary table original on commit drop as
select distinct on (name) name, key, etag, size, extension
from (
    select 'r' || recid as name, * from fm_migration.s3_inventory
    where kind = 'original' and vanished is null and recid is not null
  union all
    select 'i' || image_id, * from fm_migration.s3_inventory
    where kind = 'original' and vanished is null and image_id is not null
) as named
order by name, length(key) - length(replace(key, '/', '')), size = 0, last_modified desc, key;

-- step: index_original
create unique index on original (name);

-- step: candidate
-- Every row of the export with its one state. The order of the cases is the order of what a person must settle first.
create temporary table candidate on commit drop as
with repeated as (
    select recid, min(row_number) as first_row, min(said) <> max(said) as contradicts_itself
    from fm_migration.csv_metadata
    cross join lateral (select coalesce(contact::text, contact_text) || '|' || coalesce(taken_on::text, '') || '|' ||
                               coalesce(image_id::text, '') as said) as saying
    where recid is not null
    group by recid having count(*) > 1
), shared as (
    select image_id from fm_migration.csv_metadata
    where image_id is not null
    group by image_id having min(recid) is distinct from max(recid)
), placed as (
    select csv.*, shared.image_id is not null as shared_id,
           contradicts_itself or csv.row_number > first_row as repeats,
           coalesce(by_recid.key, by_image.key) as key,
           coalesce(by_recid.size, by_image.size) as size,
           coalesce(by_recid.extension, by_image.extension) as extension,
           home.patients, home.patient_id, home.person, home.filemaker_id
    from fm_migration.csv_metadata as csv
    left join repeated on repeated.recid = csv.recid
    left join shared on shared.image_id = csv.image_id
    left join original as by_recid on by_recid.name = 'r' || csv.recid
    -- Where several records have one image id, an object of that name could be any of them.
    left join original as by_image on by_image.name = 'i' || csv.image_id and shared.image_id is null
    left join contact_home as home on home.contact = csv.contact
), stated as (
    select *,
           case
               when repeats then 'duplicate_recid'
               when problems && cast(:unreadable as text[]) then 'malformed_row'
               when contact is null and contact_text = '' then 'no_contact'
               when contact is null then 'malformed_contact'
               when key is null then 'no_object'
               -- A key that the app's column cannot hold would fail the whole import.
               when extension = any(cast(:unsupported as text[])) or length(key) > 500 then 'unsupported_file'
               when coalesce(patients, 0) = 0 then 'no_patient'
               when patients > 1 then 'ambiguous_patient'
               else 'linked'
           end as state
    from placed
)
select row_number, recid, case when shared_id then null else image_id end as image_id, key, size, extension,
       taken_on, type_text, category, patient_id, person, filemaker_id,
       coalesce(to_char(taken_on, 'YYYY-MM'), 'undated') as month,
       case when state = 'linked'
                 and :limit < count(*) filter (where state = 'linked') over (order by row_number) then 'beyond_limit'
            else state end as state,
       case when shared_id or image_id is null then 'recid:' || coalesce(recid, '') || ':' || row_number
            else 'image:' || image_id end as natural_key
from stated;

-- step: analyze_candidate
-- Only of what it is joined and counted by.
analyze candidate (row_number, state, patient_id, person, taken_on);

-- step: match
-- Images of the app that show a photograph of the export: by FileMaker id, else by key, else, for images that no
-- person uploaded, by the recid in key, name or caption. The lower the way, the surer.
create temporary table match on commit drop as
with wanted as (
    select row_number, recid, image_id, key, patient_id from candidate where state in ('linked', 'beyond_limit')
), identified as (
    select wanted.row_number, image.id as image, 1 as way
    from wanted join images_image as image on image.filemaker_id = wanted.image_id
  union all
    select wanted.row_number, image.id, 2 from wanted join images_image as image on image.s3_key = wanted.key
), named as (
    -- Only of what is not identified yet: reading numbers out of texts takes longest.
    select id,
           coalesce(substring(s3_key from '(?:^|/)([0-9]+)(?:\.[A-Za-z]+)?$'),
                    substring(original_name from '^([0-9]+)(?:\.[A-Za-z]+)?$'),
                    substring(caption from '\mrecid[ :#]*([0-9]+)\M')) as recid
    from images_image as image
    where uploaded_by_id is null and not exists (select from identified where identified.image = image.id)
), found as (
    select row_number, image, way from identified
  union all
    select wanted.row_number, named.id, 3 from wanted join named on named.recid = wanted.recid
), of_image as (
    -- An image shows one photograph.
    select distinct on (image) row_number, image, way from found order by image, way, row_number
)
select of_image.row_number, of_image.image, of_image.way, image.batch_id,
       -- A photograph has one image; the others are doubles that earlier runs have left. The visible one is kept.
       row_number() over (
           partition by of_image.row_number
           order by of_image.way = 1 desc, (batch.object_id = wanted.patient_id) desc nulls last,
                    image.s3_thumbnail_key <> '' desc, image.uploaded_at, image.id
       ) as turn
from of_image
join wanted using (row_number)
join images_image as image on image.id = of_image.image
left join images_batch as batch on batch.id = image.batch_id;

-- step: written
-- What we last wrote into a row, as far as it was not undone: a value that differs from it is a human's. Leading a
-- batch from its patient's former UUID to the present one is no decision of ours about whose it is.
create temporary table written on commit drop as
select planned.row_id::uuid as row_id,
       (array_agg(after.object_id order by change.id desc)
           filter (where after.object_id is not null and planned.reason <> 'its patient has a new UUID'))[1]
           as object_id,
       (array_agg(after.batch_id order by change.id desc) filter (where after.batch_id is not null))[1] as batch_id,
       (array_agg(after.category order by change.id desc) filter (where after.category is not null))[1] as category,
       (array_agg(after.caption order by change.id desc) filter (where after.caption is not null))[1] as caption,
       (array_agg(after.date_taken order by change.id desc) filter (where after.date_taken is not null))[1]
           as date_taken,
       (array_agg(after.filemaker_id order by change.id desc) filter (where after.filemaker_id is not null))[1]
           as filemaker_id
from fm_migration.change
join fm_migration.planned_change as planned on planned.id = change.planned_id
cross join lateral jsonb_to_record(planned.after) as after (
    object_id uuid, batch_id uuid, category text, caption text, date_taken date, filemaker_id uuid)
where change.undone_at is null and change.outcome in ('applied', 'already')
  and planned.table_name in ('images_batch', 'images_image')
group by planned.row_id::uuid;

-- step: album
-- Every batch of patients with who owns it as it stands: itself when the patient lives, else by history, else nobody;
-- and whether that is whom we have given it to, whatever UUID the person had then.
create temporary table album on commit drop as
select batch.id as batch_id, batch.object_id, batch.uploaded_by_id is not null as by_hand, batch.name,
       batch.uploaded_at,
       coalesce(live.patient_id, case when successor.patients = 1 then successor.patient_id end) as owner,
       live.patient_id is not null as alive,
       (coalesce(given.patient_id, case when given_then.patients = 1 then given_then.patient_id end)
           = coalesce(live.patient_id, case when successor.patients = 1 then successor.patient_id end))
           is true as ours
from images_batch as batch
left join live on live.patient_id = batch.object_id
left join successor on successor.former_id = batch.object_id
left join written on written.row_id = batch.id
left join live as given on given.patient_id = written.object_id
left join successor as given_then on given_then.former_id = written.object_id
where batch.content_type_id = :content_type;

-- step: verdict
-- Whom an imported batch with recognised photographs should belong to. A batch whose owner is known follows its owner,
-- for staff may have moved it or what hangs in it; one that is all our doing follows its photographs when the export
-- has been corrected, and one that belongs to nobody follows the majority of them.
create temporary table verdict on commit drop as
with share as (
    select match.batch_id, candidate.patient_id, count(*) as photographs,
           count(*) filter (where written.batch_id = match.batch_id) as placed_by_us,
           count(distinct candidate.filemaker_id) as persons, min(candidate.filemaker_id::text)::uuid as person,
           bool_or(candidate.state = 'linked') as wanted
    from match
    join candidate using (row_number)
    left join written on written.row_id = match.image
    where match.turn = 1
    group by match.batch_id, candidate.patient_id
), shown as (
    select distinct on (batch_id) batch_id, patient_id, persons, person,
           count(*) over whole as patients, sum(placed_by_us) over whole as placed_by_us,
           bool_or(wanted) over whole as wanted
    from share
    window whole as (partition by batch_id)
    order by batch_id, photographs desc, patient_id
), held as (
    select batch_id, count(*) as images from images_image group by batch_id
), judged as (
    select album.batch_id, album.owner, shown.patient_id, shown.patients, shown.persons, shown.person,
           album.owner is null or (album.ours and shown.patients = 1 and shown.placed_by_us = held.images)
               as by_photographs
    from album join shown using (batch_id) join held using (batch_id)
    where not album.by_hand and shown.wanted
)
select batch_id, patients, persons, person, by_photographs,
       case when by_photographs then patient_id else owner end as patient_id
from judged;

-- step: placement
-- Where each photograph to be linked is, or has to go. It stays in a batch of its patient, in one that a person made,
-- and wherever a person has moved it or its batch. It leaves a batch of nobody, and one of ours that is now wrong.
create temporary table placement on commit drop as
select candidate.row_number, match.image, match.batch_id as present_batch,
       coalesce(verdict.patient_id, album.owner) as present_owner,
       case
           when match.image is null then 'create'
           when album.batch_id is null then 'move'
           when coalesce(verdict.patient_id, album.owner) = candidate.patient_id then 'stay'
           when album.by_hand then 'placed_by_staff'
           when album.owner is null then 'move'
           when album.ours and written.batch_id = match.batch_id then 'move'
           else 'placed_by_staff'
       end as decision
from candidate
left join match on match.row_number = candidate.row_number and match.turn = 1
left join album on album.batch_id = match.batch_id
left join verdict on verdict.batch_id = match.batch_id
left join written on written.row_id = match.image
where candidate.state = 'linked';

-- step: session
-- The photographs of one patient and day that need a batch: a batch in which others of them hang already, else the one
-- that we would have made, else an imported one of that patient and name, else none yet. The clinic's command pads the
-- day with a zero; our earlier versions did not, and their batches are adopted too.
create temporary table session on commit drop as
with needed as (
    select candidate.person, candidate.taken_on, min(candidate.patient_id::text)::uuid as patient_id,
           count(*) as photographs
    from candidate join placement using (row_number)
    where placement.decision in ('create', 'move')
    group by candidate.person, candidate.taken_on
), named as (
    select needed.*,
           coalesce(to_char(taken_on, 'DD Mon YYYY'), 'Undated') || ' (FileMaker Import)' as name,
           to_char(taken_on, 'FMDD Mon YYYY') || ' (FileMaker Import)' as unpadded_name,
           person::text || '|' || coalesce(taken_on::text, 'undated') as natural_key
    from needed
), neighbour as (
    select distinct on (candidate.person, candidate.taken_on) candidate.person, candidate.taken_on,
           placement.present_batch as batch_id
    from candidate join placement using (row_number)
    join album on album.batch_id = placement.present_batch and not album.by_hand
    where placement.decision = 'stay'
    order by candidate.person, candidate.taken_on, album.uploaded_at, album.batch_id
), namesake as (
    select distinct on (named.person, named.taken_on) named.person, named.taken_on, album.batch_id
    from named join album on album.object_id = named.patient_id and not album.by_hand
                         and album.name in (named.name, named.unpadded_name)
    left join verdict on verdict.batch_id = album.batch_id
    where coalesce(verdict.patient_id, album.owner) = named.patient_id
    order by named.person, named.taken_on, album.uploaded_at, album.batch_id
)
select named.*, coalesce(neighbour.batch_id, namesake.batch_id) as batch_id, false as is_new
from named
left join neighbour on neighbour.person = named.person and neighbour.taken_on is not distinct from named.taken_on
left join namesake on namesake.person = named.person and namesake.taken_on is not distinct from named.taken_on;

-- step: minted
-- Ids for what is to be made: UUIDv5 of natural keys, which PostgreSQL cannot compute. `planning.py` fills it.
create temporary table minted (natural_key text primary key, id uuid not null) on commit drop;

-- step: settle_sessions
-- A session gets the batch that was minted for it: a new one, or one of ours that is there already and belongs to the
-- patient. If staff have moved that one to somebody else, the session goes on to the next id (`planning.py` repeats).
update session
set batch_id = minted.id, is_new = taken.id is null
from minted
left join images_batch as taken on taken.id = minted.id
left join album as mine on mine.batch_id = minted.id
left join verdict on verdict.batch_id = minted.id
where session.batch_id is null
  and minted.natural_key = 'batch|' || session.natural_key || cast(:attempt as text)
  and (taken.id is null or coalesce(verdict.patient_id, mine.owner) = session.patient_id);

-- step: target
-- The batch and image of every photograph to be linked, once the plan is applied.
create temporary table target on commit drop as
select candidate.row_number, candidate.patient_id, placement.decision, placement.image as present_image,
       placement.present_batch,
       coalesce(placement.image, minted.id) as image,
       case when placement.decision in ('create', 'move') then session.batch_id else placement.present_batch end
           as batch_id
from candidate
join placement using (row_number)
left join session on session.person = candidate.person and session.taken_on is not distinct from candidate.taken_on
left join minted on placement.image is null and minted.natural_key = 'photo|' || candidate.natural_key;

-- step: analyze_target
analyze target;

-- step: plan_new_batches
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
select :plan, 'images_batch', batch_id, 'insert',
       jsonb_build_object(
           'id', batch_id, 'content_type_id', cast(:content_type as int), 'object_id', patient_id, 'name', name,
           'description', '', 'uploaded_by_id', null, 'image_count', photographs,
           'uploaded_at', coalesce((taken_on + time '12:00') at time zone :zone, :undated_at)),
       'no batch of this patient and day'
from session where is_new
order by batch_id;

-- step: plan_new_images
-- Order: after what hangs in the batch already, by recid. No database default exists, so every column is supplied.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
select :plan, 'images_image', target.image, 'insert',
       jsonb_build_object(
           'id', target.image, 'batch_id', target.batch_id, 's3_key', candidate.key, 's3_thumbnail_key', '',
           'original_name', left(regexp_replace(candidate.key, '^.*/', ''), 255),
           'file_size', least(candidate.size, 2147483647), 'thumbnail_size', null, 'width', null, 'height', null,
           'mime_type', coalesce(cast(:mime_types as jsonb) ->> candidate.extension, 'application/octet-stream'),
           'category', candidate.category, 'caption', candidate.type_text, 'date_taken', candidate.taken_on,
           'uploaded_by_id', null, 'filemaker_id', candidate.image_id,
           'uploaded_at', coalesce((candidate.taken_on + time '12:00') at time zone :zone, :undated_at),
           'order', coalesce(present.last, -1) + row_number() over (
               partition by target.batch_id order by length(candidate.recid), candidate.recid, candidate.row_number)),
       'no image shows this photograph'
from target
join candidate using (row_number)
left join (select batch_id, max("order") as last from images_image group by batch_id) as present
    on present.batch_id = target.batch_id
where target.decision = 'create';

-- step: plan_moves_and_fills
-- An image that is adopted changes batch when it must, and gets what was empty; what a person wrote there stays, and
-- what we wrote there follows the export.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'images_image', image, 'update', before, after, reason
from (
    select target.image,
           jsonb_strip_nulls(jsonb_build_object('batch_id', case when moves then to_jsonb(image.batch_id) end,
               'category', case when categorised then to_jsonb(image.category) end,
               'caption', case when captioned then to_jsonb(image.caption) end))
           || case when dated then jsonb_build_object('date_taken', image.date_taken) else '{}' end
           || case when identified then jsonb_build_object('filemaker_id', null) else '{}' end as before,
           jsonb_strip_nulls(jsonb_build_object('batch_id', case when moves then target.batch_id end,
               'category', case when categorised then candidate.category end,
               'caption', case when captioned then candidate.type_text end,
               'date_taken', case when dated then candidate.taken_on end,
               'filemaker_id', case when identified then candidate.image_id end)) as after,
           case when moves then 'hangs on another patient''s batch' else 'fills what is empty' end as reason
    from target
    join candidate using (row_number)
    join images_image as image on image.id = target.present_image
    left join written on written.row_id = image.id
    -- As long as we have written nothing, what is empty may be filled; then only what still is as we wrote it.
    cross join lateral (select
        target.decision = 'move' as moves,
        image.category is distinct from candidate.category and candidate.category <> ''
            and image.category = coalesce(written.category, '') as categorised,
        image.caption is distinct from candidate.type_text and candidate.type_text <> ''
            and image.caption = coalesce(written.caption, '') as captioned,
        image.date_taken is distinct from candidate.taken_on and candidate.taken_on is not null
            and image.date_taken is not distinct from written.date_taken as dated,
        image.filemaker_id is null and written.filemaker_id is null and candidate.image_id is not null
            and not exists (select from images_image as other where other.filemaker_id = candidate.image_id)
            as identified
    ) as wish
    where moves or categorised or captioned or dated or identified
) as wished;

-- step: plan_batches
-- Batches that are re-linked, and the count of every batch that gains or loses. Whom each belongs to now is always
-- among the values before: if staff have moved it by the time the plan is applied, nothing is put into it.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
with gained as (
    select batch_id, count(*) as images from target where decision in ('create', 'move') group by batch_id
), lost as (
    select present_batch as batch_id, count(*) as images from target where decision = 'move' group by present_batch
), held as (
    select batch_id, count(*) as images from images_image group by batch_id
)
select :plan, 'images_batch', batch.id, 'update',
       jsonb_build_object('object_id', batch.object_id)
       || case when recount then jsonb_build_object('image_count', batch.image_count) else '{}' end,
       case when relink then jsonb_build_object('object_id', verdict.patient_id) else '{}' end
       || case when recount then jsonb_build_object('image_count', counted.images) else '{}' end,
       case when relink and verdict.by_photographs then 'its photographs are this patient''s'
            when relink then 'its patient has a new UUID'
            when gained.images > 0 then 'more photographs of this patient and day'
            else 'its count is wrong' end
from images_batch as batch
left join verdict on verdict.batch_id = batch.id
left join gained on gained.batch_id = batch.id
left join lost on lost.batch_id = batch.id
left join held on held.batch_id = batch.id
cross join lateral (
    select coalesce(held.images, 0) - coalesce(lost.images, 0) + coalesce(gained.images, 0) as images
) as counted
cross join lateral (select
    verdict.patient_id is not null and verdict.patient_id <> batch.object_id as relink,
    counted.images <> batch.image_count as recount
) as wish
where coalesce(verdict.batch_id, gained.batch_id, lost.batch_id) is not null
  and (relink or recount or gained.images > 0 or lost.images > 0);

-- step: plan_recognitions
-- First contact: a UUID that nobody recorded, but whose batches' photographs all belong to one FileMaker id, was that
-- person's. It joins the history once the plan is applied, so that what else points at it is led home too.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
select :plan, 'fm_migration.patient_identity', album.object_id, 'insert',
       jsonb_build_object('filemaker_id', min(verdict.person::text), 'patient_id', album.object_id),
       'all photographs under this UUID are one person''s'
from verdict join album using (batch_id)
where album.owner is null
  and not exists (select from fm_migration.patient_identity as known where known.patient_id = album.object_id)
group by album.object_id
having count(distinct verdict.person) = 1 and bool_and(verdict.persons = 1 and verdict.patients = 1);

-- step: analyze_changes
-- Only of what a change is looked up by; the images before and after are wide.
analyze fm_migration.planned_change (plan_id, table_name, action, row_id);

-- step: visibility
-- How many images a patient's gallery shows now, how many it would show, and how many would change hands between two
-- patients that both live.
select count(*) filter (where now_owner.patient_id is not null) as visible_before,
       count(*) filter (where then_owner.patient_id is not null)
           + (select count(*) from target where decision = 'create') as visible_after,
       count(*) filter (where now_owner.patient_id <> then_owner.patient_id) as changing_hands
from images_image as image
join images_batch as batch on batch.id = image.batch_id and batch.content_type_id = :content_type
left join live as now_owner on now_owner.patient_id = batch.object_id
left join target on target.present_image = image.id and target.decision = 'move'
left join verdict on verdict.batch_id = batch.id
left join live as then_owner on then_owner.patient_id = coalesce(
    case when target.row_number is not null then target.patient_id end, verdict.patient_id, batch.object_id);

-- step: hash
-- The content of the plan in one word; the order in which it was made does not matter.
select count(*) || '-' || coalesce(sum(hashtextextended(
    table_name || row_id || action || coalesce(before::text, '') || coalesce(after::text, ''), 0)), 0) as content
from fm_migration.planned_change where plan_id = :plan;

-- step: count_changes
select count(*) filter (where table_name = 'images_batch' and action = 'insert') as batches_created,
       count(*) filter (where table_name = 'images_image' and action = 'insert') as images_created,
       count(*) filter (where table_name = 'images_batch' and action = 'update' and after ? 'object_id')
           as batches_relinked,
       count(*) filter (where table_name = 'images_batch' and action = 'update' and not after ? 'object_id'
                              and after ? 'image_count') as batches_recounted,
       count(*) filter (where table_name = 'images_image' and action = 'update' and after ? 'batch_id') as images_moved,
       count(*) filter (where table_name = 'images_image' and action = 'update' and not after ? 'batch_id')
           as images_filled,
       count(*) filter (where table_name = 'fm_migration.patient_identity') as patients_recognised,
       count(*) as changes
from fm_migration.planned_change where plan_id = :plan;

-- step: forget_photos
truncate fm_migration.photo;

-- step: record_photos
-- The state of every row, and of every original that no row names.
insert into fm_migration.photo
    (photo_id, row_number, recid, image_id, key, state, reason, filemaker_id, patient_id, taken_on, month, batch_id,
     clinic_image, plan_id)
select coalesce(target.image, gen_random_uuid()), candidate.row_number, candidate.recid, candidate.image_id,
       candidate.key,
       case when target.decision = 'placed_by_staff' then 'placed_by_staff' else candidate.state end,
       cast(:reasons as jsonb) ->> case when target.decision = 'placed_by_staff' then 'placed_by_staff'
                                        else candidate.state end,
       candidate.filemaker_id, candidate.patient_id, candidate.taken_on, candidate.month, target.batch_id,
       target.image, :plan
from candidate left join target using (row_number)
union all
select gen_random_uuid(), null, recid, image_id, key, 'no_metadata', cast(:reasons as jsonb) ->> 'no_metadata', null,
       null, null, 'undated', null, null, :plan
from fm_migration.s3_inventory as object
where kind = 'original' and vanished is null
  and not exists (select from fm_migration.csv_metadata as csv where csv.recid = object.recid)
  and not exists (select from fm_migration.csv_metadata as csv where csv.image_id = object.image_id);

-- step: analyze_photos
analyze fm_migration.photo;
