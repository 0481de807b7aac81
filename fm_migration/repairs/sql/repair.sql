-- What would change to repair chosen findings of the newest report. Each step plans one kind of repair; nothing here
-- writes to a table of the clinic. What a person has made or edited is never planned to go, and what cannot be proven
-- to be a leftover of a broken run stays. `referred` holds what rows of other tables refer to.

-- step: chosen
-- What the newest report has found in these classes and the clinic has not accepted.
create temporary table chosen on commit drop as
select class, subject, evidence from fm_migration.open_finding where class = any (cast(:classes as text[]));

-- step: doomed_image
-- Doubles that may go: nobody has uploaded them, their twin is the photograph, by the same object or one of its recid, and
-- whatever is written on them stands on the twin or in the export too. What staff have written stays with its row.
create temporary table doomed_image on commit drop as
select image.id, image.batch_id, kept.id as kept
from chosen
join images_image as image on image.id = (chosen.evidence ->> 'image')::uuid
join fm_migration.double_image as known on known.clinic_image = image.id
join images_image as kept on kept.id = known.kept and kept.id = (chosen.evidence ->> 'of')::uuid
left join fm_migration.s3_inventory as object on object.key = image.s3_key
left join fm_migration.s3_inventory as kept_object on kept_object.key = kept.s3_key
left join fm_migration.csv_metadata as csv on csv.photo = known.photo
where chosen.class = 'image_doubled' and image.uploaded_by_id is null
  and (image.s3_key = kept.s3_key or object.recid = kept_object.recid)
  and image.caption in ('', kept.caption, coalesce(csv.type_text, ''))
  and image.category in ('', 'other', kept.category, coalesce(csv.category, ''))
  and (image.date_taken is null or image.date_taken in (kept.date_taken, csv.taken_on))
  and not exists (select from fm_migration.photo where photo.clinic_image = image.id)
  and image.id::text not in (select id from referred);

-- step: merged
-- Imported batches of a patient and day that has another one: what no person has uploaded moves over there.
create temporary table merged on commit drop as
select batch.id, kept.id as kept
from chosen
join images_batch as batch on batch.id = (chosen.evidence ->> 'batch')::uuid
join images_batch as kept on kept.id = (chosen.evidence ->> 'of')::uuid
where chosen.class = 'batch_doubled' and batch.uploaded_by_id is null and kept.uploaded_by_id is null
  and kept.object_id = batch.object_id and kept.content_type_id = batch.content_type_id;

-- step: moved
create temporary table moved on commit drop as
select image.id, image.batch_id, merged.kept
from merged join images_image as image on image.batch_id = merged.id
where image.uploaded_by_id is null and not exists (select from doomed_image where doomed_image.id = image.id);

-- step: held
-- How many images each batch that is touched would hold afterwards, and how many it holds now.
create temporary table held on commit drop as
with touched as (
    select batch_id as id from doomed_image union select id from merged union select kept from merged
    union select (evidence ->> 'batch')::uuid from chosen where class in ('count_wrong', 'batch_empty')
)
select batch.id, batch.object_id, batch.image_count, count(image.id) as images,
       count(image.id) - count(doomed_image.id) - count(moved.id)
           + (select count(*) from moved as arriving where arriving.kept = batch.id) as afterwards
from touched join images_batch as batch using (id)
left join images_image as image on image.batch_id = batch.id
left join doomed_image on doomed_image.id = image.id
left join moved on moved.id = image.id
group by batch.id;

-- step: doomed_batch
-- Batches that hold nothing, or nothing any more, and that a run has made. No single mark proves a run. Nobody may have
-- uploaded it, which is also so once an account was deleted; name and text must be as imports write them, for who has
-- edited either has made the batch theirs; and one thing more must speak for a run: the text is that of the clinic's
-- command, or we have made it, or the same minute has made another such batch with the same text for another patient.
create temporary table doomed_batch on commit drop as
with as_imports_write as (
    select id, object_id, description, date_trunc('minute', uploaded_at) as minute from images_batch
    where uploaded_by_id is null and description in ('', 'Imported from FileMaker')
      and name ~ '^(\d{1,2} [A-Z][a-z]{2} \d{4}|Undated) \(FileMaker Import\)$'
), run as (
    select minute, description from as_imports_write
    group by minute, description having min(object_id::text) <> max(object_id::text)
), made_by_us as (
    select row_id from fm_migration.planned_change
    where table_name = 'images_batch' and action = 'insert' and outcome = 'applied'
)
select batch.id, chosen.class
from chosen
join as_imports_write as batch on batch.id = (chosen.evidence ->> 'batch')::uuid
join held on held.id = batch.id
left join run on run.minute = batch.minute and run.description = batch.description
where (chosen.class = 'batch_empty' or (chosen.class = 'batch_doubled' and batch.id in (select id from merged)))
  and held.afterwards = 0
  and (batch.description <> '' or run.minute is not null or batch.id::text in (select row_id from made_by_us))
  and batch.id::text not in (select id from referred);

-- step: plan_moves
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'images_image', id, 'update', jsonb_build_object('batch_id', batch_id),
       jsonb_build_object('batch_id', kept), 'its batch is a double of that one'
from moved order by id;

-- step: plan_new_keys
-- Where the file of an image lies now. No other image may show that object. This is a change of its own
-- beside a move of the same image.
insert into fm_migration.planned_change (plan_id, table_name, row_id, column_name, action, before, after, reason)
select :plan, 'images_image', image.id, 's3_key', 'update', jsonb_build_object('s3_key', image.s3_key),
       jsonb_build_object('s3_key', object.key), 'its file lies under this key now'
from chosen
join images_image as image on image.id = (chosen.evidence ->> 'image')::uuid
join fm_migration.s3_inventory as former on former.key = image.s3_key and former.vanished is not null
join fm_migration.s3_inventory as object
    on object.key = chosen.evidence ->> 'key' and object.vanished is null
    and object.etag = former.etag and object.size = former.size
where chosen.class = 'file_misplaced' and image.s3_key = chosen.evidence ->> 'of' and length(object.key) <= 500
  and not exists (select from images_image as other where other.s3_key = object.key)
  and not exists (select from doomed_image where doomed_image.id = image.id)
order by image.id;

-- step: plan_fewer_images
-- The whole row is the before-image, so that an undo can make it again. What must still be there is named beside it.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'images_image', doomed_image.id, 'delete', to_jsonb(image), jsonb_build_object('kept', kept),
       'another image shows this photograph'
from doomed_image join images_image as image using (id) order by doomed_image.id;

-- step: plan_fewer_batches
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, reason)
select distinct on (batch.id) :plan, 'images_batch', batch.id, 'delete', to_jsonb(batch),
       case when class = 'batch_empty' then 'a run has left it empty' else 'its images hang on its double' end
from doomed_batch join images_batch as batch using (id) order by batch.id, class;

-- step: plan_counts
-- Whom a batch belongs to is always among the values before: images move into it only as long as that is so.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'images_batch', held.id, 'update',
       jsonb_build_object('object_id', object_id)
       || case when recount then jsonb_build_object('image_count', image_count) else '{}' end,
       case when recount then jsonb_build_object('image_count', afterwards) else '{}' end,
       case when afterwards <> images then 'its images are others now' else 'its count is wrong' end
from held
cross join lateral (select afterwards <> image_count as recount) as wish
where (recount or exists (select from moved where moved.kept = held.id))
  and not exists (select from doomed_batch where doomed_batch.id = held.id)
order by held.id;

-- step: plan_quarantine
-- Thumbnails under our own prefix that no image shows. Those in the dump are the clinic's, and nothing there is ours to
-- touch.
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
select :plan, 'bucket', object.key, 'update',
       jsonb_build_object('key', object.key, 'etag', object.etag, 'size', object.size,
                          'written', object.last_modified),
       jsonb_build_object('key', cast(:quarantine_prefix as text) || :plan || '/' || object.key),
       'no image shows this thumbnail'
from chosen
join fm_migration.s3_inventory as object on object.key = chosen.evidence ->> 'key' and object.vanished is null
where chosen.class = 'thumbnail_without_image' and object.kind = 'thumbnail' and object.key ^@ :thumbnail_prefix
  and not exists (select from images_image as image where image.s3_thumbnail_key = object.key)
order by object.key;

-- step: count_by_class
-- How many findings of each class there are, and how many of them the plan repairs.
with planned as (
    select row_id, table_name, action, after from fm_migration.planned_change where plan_id = :plan
)
select chosen.class, count(*) as findings,
       count(*) filter (where case chosen.class
           when 'image_doubled' then exists (
               select from planned where table_name = 'images_image' and action = 'delete'
                                     and row_id = chosen.evidence ->> 'image')
           when 'batch_doubled' then (chosen.evidence ->> 'batch')::uuid in (select id from merged)
           when 'batch_empty' then exists (
               select from planned where table_name = 'images_batch' and action = 'delete'
                                     and row_id = chosen.evidence ->> 'batch')
           when 'count_wrong' then exists (
               select from planned where table_name = 'images_batch' and row_id = chosen.evidence ->> 'batch')
           when 'file_misplaced' then exists (
               select from planned where table_name = 'images_image' and after ? 's3_key'
                                     and row_id = chosen.evidence ->> 'image')
           else exists (select from planned where table_name = 'bucket' and row_id = chosen.evidence ->> 'key') end
       ) as repaired
from chosen group by chosen.class order by chosen.class;
