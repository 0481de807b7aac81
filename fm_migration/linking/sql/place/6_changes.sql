-- What would change in the tables of the clinic: the rows of the plan.

-- step: plan_new_batches
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
select :plan, 'images_batch', batch_id, 'insert',
       jsonb_build_object(
           'id', batch_id, 'content_type_id', cast(:content_type as int), 'object_id', patient_id, 'name', name,
           'description', '', 'uploaded_by_id', null, 'image_count', photographs,
           'uploaded_at', coalesce((taken_on + time '12:00') at time zone :zone, :undated_at)),
       'no batch of this patient and day'
from patient_day where is_new
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
join candidate using (photo)
left join (
    select batch_id, max("order") as last from images_image
    where batch_id in (select batch_id from target where decision = 'create') group by batch_id
) as present on present.batch_id = target.batch_id
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
    join candidate using (photo)
    join images_image as image on image.id = target.present_image
    left join fm_migration.last_written as memory
        on memory.table_name = 'images_image' and memory.row_id = image.id::text
    cross join lateral (
        select memory.written ->> 'category' as category, memory.written ->> 'caption' as caption,
               (memory.written ->> 'date_taken')::date as date_taken,
               coalesce(memory.written ? 'filemaker_id', false) as has_id
    ) as written
    -- As long as we have written nothing, what is empty may be filled; then only what still is as we wrote it.
    cross join lateral (select
        target.decision = 'move' as moves,
        image.category is distinct from candidate.category and candidate.category <> ''
            and image.category = coalesce(written.category, '') as categorised,
        image.caption is distinct from candidate.type_text and candidate.type_text <> ''
            and image.caption = coalesce(written.caption, '') as captioned,
        image.date_taken is distinct from candidate.taken_on and candidate.taken_on is not null
            and image.date_taken is not distinct from written.date_taken as dated,
        image.filemaker_id is null and not written.has_id and candidate.image_id is not null
            and not exists (select from images_image as other where other.filemaker_id = candidate.image_id)
            as identified
    ) as wish
    where target.decision in ('stay', 'move', 'placed_by_staff')
      and (moves or categorised or captioned or dated or identified)
) as wished;

-- step: plan_batches
-- Batches that move, and the count of every batch that gains or loses. Whom each belongs to now is always among the
-- values before: if staff have moved it by the time the plan is applied, nothing is put into it.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
with gained as (
    select batch_id, count(*) as images from target where decision in ('create', 'move') group by batch_id
), lost as (
    select present_batch as batch_id, count(*) as images from target where decision = 'move' group by present_batch
), concerned as (
    select batch_id from batch_target union select batch_id from gained union select batch_id from lost
    union select batch_owner.batch_id from target
          join batch_owner on batch_owner.batch_id = target.present_batch and not batch_owner.by_hand
          where target.decision = 'stay'
), holding as (
    select batch_id, count(*) as images from images_image
    where batch_id in (select batch_id from concerned) group by batch_id
)
select :plan, 'images_batch', batch.id, 'update',
       jsonb_build_object('object_id', batch.object_id)
       || case when recount then jsonb_build_object('image_count', batch.image_count) else '{}' end,
       case when moves then jsonb_build_object('object_id', batch_target.patient_id) else '{}' end
       || case when recount then jsonb_build_object('image_count', counted.images) else '{}' end,
       case when moves then 'its photographs are this patient''s'
            when gained.images > 0 then 'more photographs of this patient and day'
            else 'its count is wrong' end
from concerned
join images_batch as batch on batch.id = concerned.batch_id
left join batch_target on batch_target.batch_id = batch.id
left join gained on gained.batch_id = batch.id
left join lost on lost.batch_id = batch.id
left join holding on holding.batch_id = batch.id
cross join lateral (
    select coalesce(holding.images, 0) - coalesce(lost.images, 0) + coalesce(gained.images, 0) as images
) as counted
cross join lateral (select
    batch_target.patient_id is not null and batch_target.patient_id <> batch.object_id as moves,
    counted.images <> batch.image_count as recount
) as wish
where moves or recount or gained.images > 0 or lost.images > 0;

-- step: plan_recognitions
-- First contact: a UUID that nobody recorded was somebody's, if all photographs under it are that one's and nothing under
-- it speaks against it. It joins the history once the plan is applied, so that what else points at it is led home too.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
with unknown as (
    select distinct batch_owner.object_id
    from batch_owner join placement_of on placement_of.present_batch = batch_owner.batch_id
    where batch_owner.nobody
), under as (
    select unknown.object_id,
           case when evidence.contradicts is not null or known.contradicts is not null then 'contradiction of ' || image.id
                -- What is not looked at now and has a row that names nobody for certain speaks against it all the same.
                else coalesce(candidate.claim, once.person::text,
                              case when once.in_export then 'photograph ' || once.photo end) end as claim,
           candidate.home, candidate.filemaker_id, candidate.person
    from unknown
    join present_owner using (object_id)
    join images_image as image on image.batch_id = present_owner.batch_id
    left join evidence on evidence.id = image.id
    left join fm_migration.recognition as known on known.clinic_image = image.id
    left join candidate on candidate.photo = coalesce(evidence.photo, known.photo)
    left join fm_migration.photo as once on once.photo = coalesce(evidence.photo, known.photo)
)
select :plan, 'fm_migration.patient_identity', object_id, 'insert',
       jsonb_build_object('patient_id', object_id, 'began', 0, 'filemaker_id', min(filemaker_id::text),
                          'written', upper(min(filemaker_id::text)), 'ended', 0, 'ending', 'gone', 'recognised', true),
       'all photographs under this UUID are one person''s'
from under
group by object_id
having count(distinct claim) = 1 and bool_and(home = 'found') filter (where claim is not null)
   and min(filemaker_id::text) is not null
   -- Somebody who is told from others by UUID alone cannot be recognised by an id.
   and bool_and(person = filemaker_id) filter (where claim is not null);

-- step: named
-- Rows of the export may name a UUID that is recognised here. Whose they are follows from that at once, and not only at
-- the next plan: they are looked at again with these tenures.
select (planned.after ->> 'patient_id')::uuid as patient_id, 0 as began,
       (planned.after ->> 'filemaker_id')::uuid as filemaker_id, planned.after ->> 'written' as written,
       0 as ended, 'gone' as ending, true as recognised
from fm_migration.planned_change as planned
where planned.plan_id = :plan and planned.table_name = 'fm_migration.patient_identity'
  and planned.row_id <> all (cast(:presumed as text[]))
  and exists (select from contact_home
              where contact_home.contact::text = planned.row_id and contact_home.status = 'none');

-- step: forget_presumed
delete from fm_migration.patient_identity where recognised and patient_id = any (cast(:presumed as uuid[]));

-- step: touch_presumed
insert into touched
select photo from fm_migration.csv_metadata where contact = any (cast(:presumed as uuid[]));

-- step: plan_restoring
-- Deletions of staff's that a person takes back.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'fm_migration.decision', id::text, 'update', jsonb_build_object('ended_at', null),
       jsonb_build_object('ended_at', now()), 'a person wants the photograph back'
from fm_migration.decision where id = any (cast(:restored as bigint[]));

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

-- step: visible_now
-- How many images the galleries of living patients show.
select count(*) as visible from images_image as image
join present_owner on present_owner.batch_id = image.batch_id and present_owner.alive;

-- step: visibility
-- How many more or fewer there would be, and how many would change hands between two patients that both live.
select count(*) filter (where now_owner.alive) as shown_now,
       count(*) filter (where then_patient.id is not null)
           + (select count(*) from target where decision = 'create') as shown_then,
       count(*) filter (where now_owner.alive and now_owner.patient_id <> then_patient.id) as changing_hands
from (
    select image.id, image.batch_id from images_image as image where image.batch_id in (select batch_id from batch_target)
  union
    select present_image, present_batch from target where decision = 'move'
) as image
left join present_owner as now_owner on now_owner.batch_id = image.batch_id
left join target on target.present_image = image.id and target.decision = 'move'
left join batch_target on batch_target.batch_id = image.batch_id
cross join lateral (
    select coalesce(case when target.photo is not null then target.patient_id end, batch_target.patient_id,
                    now_owner.object_id) as id
) as goes_to
left join patients as then_patient on then_patient.id = goes_to.id;
