-- What is remembered for the next plan: states, recognised images, and what people have decided.

-- step: stated
-- The state of every photograph and original in scope.
create temporary table stated on commit drop as
select candidate.photo, true as in_export, candidate.recid, candidate.image_id, candidate.key,
       case
           when candidate.state not in ('linked', 'absent') then candidate.state
           when contradicted.photo is not null then 'contradicting_evidence'
           when beyond_limit.photo is not null then 'beyond_limit'
           when target.decision in ('removed_by_staff', 'placed_by_staff') then target.decision
           when target.decision = 'unsettled' then 'ambiguous_patient'
           when target.decision = 'wait' then 'no_patient'
           else 'linked'
       end as state,
       target.evidence, candidate.home, candidate.filemaker_id, candidate.person, candidate.taken_on, candidate.month,
       coalesce(target.batch_id, mine.batch_id) as batch_id,
       case when target.decision = 'removed_by_staff' then null else coalesce(target.image, mine.image) end as image,
       coalesce(target.present_image, mine.image) is not null as shown,
       case when target.decision in ('create', 'move') or (target.decision = 'stay' and candidate.home = 'found')
            then candidate.person else present_owner.person end as owner,
       candidate.row_hash, candidate.object_hash
from candidate
left join target using (photo)
left join contradicted using (photo)
left join beyond_limit using (photo)
left join match as mine on mine.photo = candidate.photo and mine.rank = 1
left join present_owner on present_owner.batch_id = coalesce(target.present_batch, mine.batch_id)
union all
-- Originals that no row names; and second originals of a photograph, in a state of their own.
select named.photo, false, object.recid, object.image_id, object.key, named.state, match.evidence, 'none', null, null,
       null, 'undated', match.batch_id, match.image, match.image is not null, present_owner.person, null,
       object.object_hash
from (
    select distinct on (object.key) object.*, coalesce(by_row.photo, by_id.photo) as row_photo
    from (
        select object.key from scope join fm_migration.s3_inventory as object on object.recid = substr(scope.photo, 7)
        where scope.photo ^@ 'recid '
      union
        select object.key from scope join fm_migration.csv_metadata as csv using (photo)
            join fm_migration.s3_inventory as object on object.image_id = csv.image_id
      union
        select substr(photo, 8) from scope where photo ^@ 'object '
    ) as near
    join fm_migration.original as object using (key)
    left join lateral (select photo from fm_migration.csv_metadata as csv
                       where csv.recid = object.recid order by row_number limit 1) as by_row on true
    left join lateral (select min(photo) as photo from fm_migration.csv_metadata as csv
                       where csv.image_id = object.image_id) as by_id on true
) as object
left join original as best on best.name = 'r' || object.recid
left join candidate on candidate.photo = object.row_photo
cross join lateral (
    select case when object.recid is not null and object.row_photo is null and best.key = object.key
                then 'recid ' || object.recid else 'object ' || object.key end as photo,
           case when object.row_photo is null and (object.recid is null or best.key = object.key) then 'no_metadata'
                when candidate.shared_id and object.recid is null then 'no_metadata'
                else 'second_original' end as state
) as named
left join match on match.photo = named.photo and match.rank = 1
left join present_owner on present_owner.batch_id = match.batch_id
where object.row_photo is null or candidate.key is distinct from object.key;

-- step: forget_photos
-- Names that are neither a row nor an original any more. One whose image is still in the app stays known by it.
delete from fm_migration.photo using scope
where photo.photo = scope.photo and not exists (select from stated where stated.photo = photo.photo);

-- step: free_images
-- An image that shows another photograph than before: the column is unique.
update fm_migration.photo set clinic_image = null
from stated
where photo.clinic_image = stated.image and photo.photo <> stated.photo;

-- step: record_photos
insert into fm_migration.photo as known
    (photo, in_export, recid, image_id, key, state, reason, evidence, home, filemaker_id, person, taken_on, month,
     batch_id, clinic_image, owner, row_hash, object_hash, plan_id)
select photo, in_export, recid, image_id, key, state, cast(:reasons as jsonb) ->> state,
       case when image is null then null when shown then evidence else 'made' end,
       home, filemaker_id, person, taken_on, month, batch_id, image, owner, row_hash, object_hash, :plan
from stated
on conflict (photo) do update
set in_export = excluded.in_export, recid = excluded.recid, image_id = excluded.image_id, key = excluded.key,
    state = excluded.state, reason = excluded.reason, evidence = excluded.evidence, home = excluded.home,
    filemaker_id = excluded.filemaker_id, person = excluded.person, taken_on = excluded.taken_on,
    month = excluded.month, batch_id = excluded.batch_id, clinic_image = excluded.clinic_image,
    owner = excluded.owner, row_hash = excluded.row_hash, object_hash = excluded.object_hash,
    plan_id = excluded.plan_id
where (known.in_export, known.recid, known.image_id, known.key, known.state, known.evidence, known.home,
       known.filemaker_id, known.person, known.taken_on, known.batch_id, known.clinic_image, known.owner,
       known.row_hash, known.object_hash)
      is distinct from
      (excluded.in_export, excluded.recid, excluded.image_id, excluded.key, excluded.state, excluded.evidence,
       excluded.home, excluded.filemaker_id, excluded.person, excluded.taken_on, excluded.batch_id,
       excluded.clinic_image, excluded.owner, excluded.row_hash, excluded.object_hash);

-- step: record_recognitions
-- What was decided about an image is kept, with its evidence.
insert into fm_migration.recognition as known (clinic_image, photo, evidence, contradicts, looked_like, agreed_in,
                                                agreed_with)
select evidence.id, evidence.photo, evidence.evidence, evidence.contradicts, evidence.looked_like,
       agreed.batch_id, agreed.person
from evidence
left join target on target.present_image = evidence.id
left join batch_owner on batch_owner.batch_id = target.present_batch
left join fm_migration.recognition as before on before.clinic_image = evidence.id
-- The first time counts: where it agrees later, a person may have put it.
cross join lateral (
    select case when before.agreed_in is not null then before.agreed_in
                when target.decision = 'stay' then target.present_batch end as batch_id,
           case when before.agreed_in is not null then before.agreed_with
                when target.decision = 'stay' then batch_owner.person end as person
) as agreed
where evidence.photo is not null
on conflict (clinic_image) do update
set photo = excluded.photo, evidence = excluded.evidence, contradicts = excluded.contradicts,
    looked_like = excluded.looked_like, agreed_in = excluded.agreed_in, agreed_with = excluded.agreed_with,
    decided_at = now()
where (known.photo, known.evidence, known.contradicts, known.looked_like, known.agreed_in, known.agreed_with)
      is distinct from
      (excluded.photo, excluded.evidence, excluded.contradicts, excluded.looked_like, excluded.agreed_in,
       excluded.agreed_with);

-- step: record_placed
-- Where people have put photographs, as first seen.
insert into fm_migration.decision (kind, table_name, row_id, photo, patient_id, filemaker_id, plan_id)
select 'placed', 'images_image', target.image, target.photo, batch_owner.object_id,
       coalesce(batch_owner.gone_id, present_owner.person), :plan
from target
join batch_owner using (batch_id)
join present_owner using (batch_id)
where target.decision = 'placed_by_staff'
on conflict do nothing;

-- step: end_placed
update fm_migration.decision set ended_at = now()
from target
where decision.kind = 'placed' and decision.ended_at is null and decision.row_id = target.image::text
  and decision.table_name = 'images_image' and target.decision in ('stay', 'move');

-- step: record_edited
-- What people have written on an image where we had written something else.
insert into fm_migration.decision (kind, table_name, row_id, column_name, photo, plan_id)
select 'edited', 'images_image', image.id, edited.column_name, target.photo, :plan
from target
join images_image as image on image.id = target.present_image
join fm_migration.last_written as memory on memory.table_name = 'images_image' and memory.row_id = image.id::text
cross join lateral (
    select 'category' as column_name
        where memory.written ? 'category' and memory.written ->> 'category' <> image.category
    union all select 'caption' where memory.written ? 'caption' and memory.written ->> 'caption' <> image.caption
    union all select 'date_taken'
        where memory.written ? 'date_taken' and (memory.written ->> 'date_taken')::date is distinct from image.date_taken
) as edited
on conflict do nothing;

-- step: record_placement
insert into fm_migration.placement
    (export_read_id, export_version, inventory_version, patients_version, photo_limit, rules, plan_id, planned_at)
values (:export_read_id, :export_version, :inventory_now, :patients_version, :photo_limit, :rules, :plan, now())
on conflict (only_row) do update
set export_read_id = excluded.export_read_id, export_version = excluded.export_version,
    inventory_version = excluded.inventory_version, patients_version = excluded.patients_version,
    photo_limit = excluded.photo_limit, rules = excluded.rules, plan_id = excluded.plan_id,
    planned_at = excluded.planned_at;

-- step: note_made
-- What an applied plan has made is in the app now: if it is not there at the next look, somebody has deleted it.
-- Ids are made of natural keys: an image of this id may have shown another photograph once, before it was undone.
insert into fm_migration.recognition as known (clinic_image, photo, evidence, looked_like)
select image.id, photo.photo, case when planned.action = 'insert' then 'made' else photo.evidence end,
       hashtextextended(image.s3_key || '|' || coalesce(image.filemaker_id::text, ''), 0)
from fm_migration.planned_change as planned
join images_image as image on image.id = planned.row_id::uuid
join fm_migration.photo on photo.clinic_image = image.id
where planned.plan_id = :plan and planned.table_name = 'images_image'
  and (planned.action = 'insert' or planned.after ?| array['filemaker_id', 's3_key'])
  and planned.outcome in ('applied', 'already')
on conflict (clinic_image) do update
set photo = excluded.photo, evidence = excluded.evidence, looked_like = excluded.looked_like,
    contradicts = case when excluded.evidence <> 'made' then known.contradicts end,
    agreed_in = case when excluded.evidence <> 'made' then known.agreed_in end,
    agreed_with = case when excluded.evidence <> 'made' then known.agreed_with end;

-- step: analyze_photos
analyze fm_migration.photo;

-- step: analyze_recognitions
analyze fm_migration.recognition;

-- step: states
select state, in_export, count(*) as photographs, count(key) as originals from fm_migration.photo group by 1, 2;
