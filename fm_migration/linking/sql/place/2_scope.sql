-- What has changed since the table `photo` was worked out last, and what must be looked at because of it.

-- step: touched
create temporary table touched (photo text not null) on commit drop;

-- step: touch_everything
insert into touched
select photo from fm_migration.csv_metadata
union select photo from fm_migration.photo
union select coalesce('recid ' || recid, 'object ' || key) from fm_migration.s3_inventory
      where kind = 'original' and vanished is null
union select 'object ' || key from fm_migration.s3_inventory where kind = 'original' and vanished is null;

-- step: touch_rows
-- Rows of the export that are new, gone, or say something else.
insert into touched
select csv.photo
from fm_migration.csv_metadata as csv left join fm_migration.photo using (photo)
where photo.photo is null or not photo.in_export or photo.row_hash is distinct from hashtextextended(
    concat_ws('|', csv.recid, csv.image_id, csv.contact, csv.contact_text, csv.taken_on, csv.category, csv.type_text,
              array_to_string(csv.problems, ',')), 0)
union all
select photo from fm_migration.photo
where in_export and not exists (select from fm_migration.csv_metadata as csv where csv.photo = photo.photo);

-- step: touch_objects
-- Objects that have appeared, changed or gone since the inventory that was used last.
insert into touched
with moved as materialized (
    select key, recid, image_id from fm_migration.s3_inventory
    where greatest(first_seen, changed, coalesce(vanished, 0)) > :inventory_before
)
select coalesce('recid ' || recid, 'object ' || key) from moved
union all select 'object ' || key from moved
union all select photo.photo from moved join fm_migration.photo on photo.key = moved.key
union all select csv.photo from moved join fm_migration.csv_metadata as csv on csv.recid = moved.recid
union all select csv.photo from moved join fm_migration.csv_metadata as csv on csv.image_id = moved.image_id;

-- step: touch_homes
-- Rows whose contact leads to somebody else now. Whoever is absent keeps what hangs on the own batch.
insert into touched
select photo.photo
from fm_migration.photo
join fm_migration.csv_metadata as csv using (photo)
join contact_home as home on home.written = trim(csv.contact_text)
where photo.state not in ('duplicate_recid', 'malformed_row')
  and (photo.person is distinct from home.person
       or (photo.home <> home.status
           and not (home.status = 'absent' and photo.state = 'linked' and exists (
               select from fm_migration.recognition as known where known.clinic_image = photo.clinic_image))));

-- step: gone_owner
-- Patients who had batches and are gone. Where links were followed before, these are those who have nobody in their place.
create temporary table former on commit drop as
select distinct batch.object_id as former_id
from images_batch as batch
where batch.content_type_id = :content_type
  and not exists (select from patients where patients.id = batch.object_id);

-- step: present_owner
-- Every batch of patients with the one who has it, or will once links have been followed; in the word that outlives
-- re-imports. `alive`: that one sees it already.
create temporary table present_owner on commit drop as
select batch.id as batch_id, batch.object_id, owner.patient_id, patients.id is not null as alive,
       case when held.shared or held.twin or held.filemaker_id is null then owner.patient_id else held.filemaker_id end
           as person
from images_batch as batch
left join patients on patients.id = batch.object_id
left join successor on successor.former_id = batch.object_id and successor.outcome = 'found'
cross join lateral (select coalesce(patients.id, successor.patient_id) as patient_id) as owner
left join fm_migration.patient_identity as held on held.patient_id = owner.patient_id and held.ended is null
where batch.content_type_id = :content_type;

-- step: analyze_present_owner
analyze present_owner;

-- step: touch_app
-- Photographs whose image is not there, hangs somewhere else, or on somebody else's batch, than was worked out. That the
-- owner is gone changes nothing for what is linked, as long as nobody has come in the owner's place.
insert into touched
select photo.photo
from fm_migration.photo
left join images_image as image on image.id = photo.clinic_image
left join present_owner on present_owner.batch_id = image.batch_id
where photo.clinic_image is not null
  and (image.id is null or image.batch_id <> photo.batch_id
       or (present_owner.person is distinct from photo.owner
           and (present_owner.person is not null or photo.state <> 'linked'
                or exists (select from fm_migration.patient_identity as held
                           where held.ended is null and held.filemaker_id = photo.owner)
                or exists (select from fm_migration.patient_identity as held
                           where held.ended is null and held.patient_id = photo.owner))));

-- step: unfamiliar
-- Images that were never looked at, or that say something else now, with the photograph that they could show.
create temporary table unfamiliar on commit drop as
select image.id
from images_image as image
left join fm_migration.recognition as known on known.clinic_image = image.id
where known.clinic_image is null
   or known.looked_like <> hashtextextended(image.s3_key || '|' || coalesce(image.filemaker_id::text, ''), 0);

-- step: remember_uploads
-- What a person has uploaded, and that shows no original and claims no row, shows no photograph of FileMaker's: also
-- when that person's account is deleted one day.
insert into fm_migration.recognition as known (clinic_image, evidence, looked_like)
select image.id, 'hand', hashtextextended(image.s3_key || '|' || coalesce(image.filemaker_id::text, ''), 0)
from unfamiliar join images_image as image using (id)
where image.uploaded_by_id is not null
  and not exists (select from fm_migration.s3_inventory as object
                  where object.key = image.s3_key and object.kind = 'original')
  and not exists (select from fm_migration.csv_metadata as csv where csv.image_id = image.filemaker_id)
on conflict (clinic_image) do update set looked_like = excluded.looked_like where known.photo is null;

-- step: touch_unfamiliar
insert into touched
select coalesce('recid ' || object.recid, 'object ' || object.key)
from unfamiliar join images_image as image using (id)
join fm_migration.s3_inventory as object on object.key = image.s3_key and object.kind = 'original'
union all
select csv.photo
from unfamiliar join images_image as image using (id)
join fm_migration.s3_inventory as object on object.key = image.s3_key and object.kind = 'original'
join fm_migration.csv_metadata as csv on csv.image_id = object.image_id
union all
select csv.photo
from unfamiliar join images_image as image using (id)
join fm_migration.csv_metadata as csv on csv.image_id = image.filemaker_id
union all
select known.photo from unfamiliar join fm_migration.recognition as known on known.clinic_image = unfamiliar.id
where known.photo is not null
union all
select 'recid ' || hint.recid
from unfamiliar join images_image as image using (id)
left join images_batch as batch on batch.id = image.batch_id
cross join lateral (
    select coalesce(substring(image.s3_key from '(?:^|/)([0-9]+)(?:\.[A-Za-z]+)?$'),
                    substring(image.original_name from '^([0-9]+)(?:\.[A-Za-z]+)?$'),
                    substring(image.caption from '\mrecid[ :#]*([0-9]+)\M')) as recid
) as hint
where image.uploaded_by_id is null and hint.recid is not null
  and (image.s3_key ^@ any (cast(:dump_prefixes as text[]))
       or (batch.uploaded_by_id is null and batch.name ~ :import_name));

-- step: touch_unfinished
-- What the last plan would have changed and what did not come about, or was undone since.
insert into touched
with unfinished as materialized (
    select planned.table_name, planned.row_id::uuid as row_id
    from fm_migration.planned_change as planned
    where planned.plan_id in (
            select id from fm_migration.link_plan where id = :last_plan or undone_at >= :since)
      and planned.table_name in ('images_image', 'images_batch')
      and (planned.outcome is null or planned.outcome = 'overtaken' or planned.undone_at is not null)
)
select photo.photo from unfinished join fm_migration.photo on photo.clinic_image = unfinished.row_id
where unfinished.table_name = 'images_image'
union all
select photo.photo from unfinished join fm_migration.photo on photo.batch_id = unfinished.row_id
where unfinished.table_name = 'images_batch';

-- step: touch_decided
-- What people have asked for since, and images that were recognised and are gone.
insert into touched
select photo from fm_migration.decision where photo is not null and ended_at >= :since;

-- step: touch_restored
insert into touched
select photo from fm_migration.decision where id = any (cast(:restored as bigint[]));

-- step: scope
create temporary table scope on commit drop as select distinct photo from touched;

-- step: widen_to_neighbours
-- What shares a recid, an image id, or person and day with one of these is decided together with it.
insert into scope
select distinct near.photo
from (
    select other.photo from scope join fm_migration.csv_metadata as csv using (photo)
        join fm_migration.csv_metadata as other on other.recid = csv.recid
  union all
    select other.photo from scope join fm_migration.csv_metadata as csv using (photo)
        join fm_migration.csv_metadata as other on other.image_id = csv.image_id
  union all
    select other.photo from scope join fm_migration.photo as once using (photo)
        join fm_migration.photo as other on other.image_id = once.image_id
  union all
    select other.photo from scope join fm_migration.photo as once using (photo)
        join fm_migration.photo as other
            on other.person = once.person and other.taken_on is not distinct from once.taken_on
  union all
    select other.photo from scope join fm_migration.csv_metadata as csv using (photo)
        join contact_home as home on home.written = trim(csv.contact_text)
        join fm_migration.photo as other
            on other.person = home.person and other.taken_on is not distinct from csv.taken_on
  union all
    select known.contradicts from scope join fm_migration.recognition as known using (photo)
        where known.contradicts is not null
  union all
    select known.photo from scope join fm_migration.recognition as known on known.contradicts = scope.photo
  union all
    select csv.photo from scope join fm_migration.s3_inventory as object on scope.photo ^@ 'object ' and object.key = substr(scope.photo, 8)
        join fm_migration.csv_metadata as csv on csv.recid = object.recid
  union all
    select csv.photo from scope join fm_migration.s3_inventory as object on scope.photo ^@ 'object ' and object.key = substr(scope.photo, 8)
        join fm_migration.csv_metadata as csv on csv.image_id = object.image_id
  union all
    select csv.photo from scope join fm_migration.photo as once using (photo)
        join images_image as image on image.filemaker_id = once.image_id
        join fm_migration.recognition as known on known.clinic_image = image.id
        join fm_migration.csv_metadata as csv on csv.image_id = image.filemaker_id
) as near
where not exists (select from scope where scope.photo = near.photo);

-- step: widen_to_batches
-- A batch moves as a whole or not at all, so all of it is looked at.
insert into scope
select distinct near.photo
from (
    select other.photo from scope join fm_migration.photo as once using (photo)
        join fm_migration.photo as other on other.batch_id = once.batch_id
  union all
    select known.photo
    from scope join fm_migration.recognition as mine using (photo)
    join images_image as image on image.id = mine.clinic_image
    join images_image as beside on beside.batch_id = image.batch_id
    join fm_migration.recognition as known on known.clinic_image = beside.id and known.photo is not null
) as near
where not exists (select from scope where scope.photo = near.photo);

-- step: index_scope
create unique index on scope (photo);

-- step: analyze_scope
analyze scope;
