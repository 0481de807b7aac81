-- Which image of the clinic shows which photograph, with the evidence for it.

-- step: considered
-- Images that show one of these photographs, or could.
create temporary table considered on commit drop as
select known.clinic_image as id from scope join fm_migration.recognition as known using (photo)
union select known.clinic_image from scope join fm_migration.recognition as known on known.contradicts = scope.photo
union select id from unfamiliar
union select image.id from candidate join images_image as image on image.filemaker_id = candidate.image_id
union select image.id from original join images_image as image on image.s3_key = original.key
union select photo.clinic_image from scope join fm_migration.photo using (photo) where photo.clinic_image is not null;

-- step: evidence
-- What each piece of evidence says of an image. The object is the picture; FileMaker's image id is a claim; a number in a
-- name is a hint, which counts for rows of the import only: those whose key lies in a dump's prefix, or whose batch bears
-- the import's name, was uploaded by nobody and is none that we have made. What a person has uploaded never gives one.
create temporary table evidence on commit drop as
with claimed as (
    select image_id, (array_agg(photo order by row_number))[1] as photo
    from fm_migration.csv_metadata
    where image_id in (select image.filemaker_id from considered join images_image as image using (id))
    group by image_id having min(recid) is not distinct from max(recid)
), named as (
    select image_id, (array_agg(photo order by row_number))[1] as photo
    from fm_migration.csv_metadata
    where image_id in (select object.image_id from considered join images_image as image using (id)
                       join fm_migration.s3_inventory as object on object.key = image.s3_key)
    group by image_id having min(recid) is not distinct from max(recid)
), seen as (
    select image.id, image.batch_id, image.filemaker_id, image.s3_thumbnail_key, image.uploaded_at,
           hashtextextended(image.s3_key || '|' || coalesce(image.filemaker_id::text, ''), 0) as looked_like,
           case when object.recid is not null then 'recid ' || object.recid
                when object.key is not null then coalesce(named.photo, 'object ' || object.key) end as by_object,
           claimed.photo as by_claim,
           known.photo as by_memory, known.evidence as remembered,
           case when hint.counts then 'recid ' || hint.recid end as by_hint
    from considered
    join images_image as image using (id)
    left join images_batch as batch on batch.id = image.batch_id
    left join fm_migration.s3_inventory as object on object.key = image.s3_key and object.kind = 'original'
    left join named on named.image_id = object.image_id
    left join claimed on claimed.image_id = image.filemaker_id
    left join fm_migration.recognition as known on known.clinic_image = image.id
    left join fm_migration.last_written as made
        on made.table_name = 'images_batch' and made.row_id = image.batch_id::text
    cross join lateral (
        select coalesce(substring(image.s3_key from '(?:^|/)([0-9]+)(?:\.[A-Za-z]+)?$'),
                        substring(image.original_name from '^([0-9]+)(?:\.[A-Za-z]+)?$'),
                        substring(image.caption from '\mrecid[ :#]*([0-9]+)\M')) as recid,
               image.uploaded_by_id is null and known.evidence is distinct from 'hand'
                   and (image.s3_key ^@ any (cast(:dump_prefixes as text[]))
                        or (batch.uploaded_by_id is null and batch.name ~ :import_name and made.row_id is null))
                   as counts
    ) as hint
)
select seen.*,
       coalesce(by_object, by_memory, by_claim, by_hint) as photo,
       case when by_object is not null then 'object'
            when by_memory is not null then remembered
            when by_claim is not null then 'claim'
            when by_hint is not null then 'hint' end as evidence,
       coalesce(
           case when by_claim <> coalesce(by_object, by_memory, by_claim) then by_claim end,
           case when by_memory <> coalesce(by_object, by_memory) then by_memory end,
           case when by_object is null and by_hint <> coalesce(by_memory, by_claim) then by_hint end) as contradicts
from seen;

-- step: analyze_evidence
analyze evidence;

-- step: contradicted
-- Photographs of which evidence says two things: nothing of theirs moves.
create temporary table contradicted on commit drop as
select photo from evidence where contradicts is not null
union select contradicts from evidence where contradicts is not null;

-- step: match
-- The images of each photograph, best first: the one that was it before, one that FileMaker's id names, the one on the
-- right patient's batch, one with a thumbnail. The others are doubles that earlier runs have left.
create temporary table match on commit drop as
select evidence.photo, evidence.id as image, evidence.evidence, evidence.batch_id,
       row_number() over (
           partition by evidence.photo
           order by evidence.contradicts is not null, (photo.clinic_image = evidence.id) is true desc,
                    evidence.evidence = 'hint',
                    evidence.filemaker_id is not null desc,
                    (present_owner.patient_id = candidate.patient_id) is true desc,
                    evidence.s3_thumbnail_key <> '' desc, evidence.uploaded_at, evidence.id
       ) as rank
from evidence
join scope using (photo)
left join candidate using (photo)
left join fm_migration.photo using (photo)
left join present_owner on present_owner.batch_id = evidence.batch_id;

-- step: index_match
create index on match (photo);

-- step: deleted
-- Photographs that were seen in the app and whose image is gone, though we have not taken it away: somebody has deleted
-- it. That is remembered, for as long as no image shows it.
create temporary table deleted on commit drop as
with gone as materialized (
    select scope.photo, photo.clinic_image
    from scope
    join fm_migration.photo using (photo)
    where exists (select from fm_migration.recognition as seen where seen.clinic_image = photo.clinic_image)
      and not exists (select from images_image as image where image.id = photo.clinic_image)
      and not exists (select from match where match.photo = scope.photo)
)
select photo, clinic_image from gone
-- Asked for each of the few, not of the whole journal.
where (select action from fm_migration.made_or_removed as ours where ours.row_id = gone.clinic_image::text)
      is distinct from 'delete';

-- step: remember_deleted
insert into fm_migration.decision (kind, table_name, row_id, photo, plan_id)
select 'deleted', 'images_image', clinic_image, photo, :plan from deleted
on conflict do nothing;

-- step: forget_deleted
-- An image shows it again: somebody has brought it back.
update fm_migration.decision set ended_at = now()
from match
where decision.photo = match.photo and decision.kind = 'deleted' and decision.ended_at is null;
