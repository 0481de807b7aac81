-- What would change in the clinic's tables so that every photograph hangs on its patient, and why. Links have been
-- followed before (follow.sql); here is decided where photographs are, and only for those about which something has
-- changed since the table `photo` was worked out last. Nothing here writes to a table of the clinic.

-- === who somebody is =================================================================================================

-- step: contact
-- The contacts of the export, as they are written there.
create temporary table contact on commit drop as
select distinct contact, trim(contact_text) as written
from fm_migration.csv_metadata where contact is not null;

-- step: former
-- Contacts that are UUIDs of former patients, as newer exports name them.
create temporary table former on commit drop as
select distinct contact.contact as former_id
from contact
where exists (select from fm_migration.patient_identity as known where known.patient_id = contact.contact)
  and not exists (select from patients where patients.id = contact.contact);

-- step: contact_home
-- Who a contact is: a present patient by app UUID, else by FileMaker id written the same way, else in another case where
-- nobody was ever told from others by it, else a former app UUID by history. An id that several hold, or whose other
-- holder is awaited, or that has passed to somebody who was known before, is nobody's for certain.
-- `person` outlives re-imports: the FileMaker id, where that is one patient's alone.
create temporary table contact_home on commit drop as
with claim as (
    select contact.contact, contact.written, 1 as rank, held.patient_id, held.filemaker_id,
           held.shared or held.twin as told_by_uuid, false as doubtful
    from contact
    join fm_migration.patient_identity as held on held.patient_id = contact.contact and held.ended is null
  union all
    select contact.contact, contact.written, 2, held.patient_id, held.filemaker_id, held.twin,
           held.shared or (held.passed and not exists (
               select from fm_migration.settlement where settlement.patient_id = held.patient_id))
    from contact
    join fm_migration.patient_identity as held
        on held.filemaker_id = contact.contact and held.ended is null and held.written = contact.written
  union all
    select contact.contact, contact.written, 3, held.patient_id, held.filemaker_id, false,
           held.shared or held.twin or (held.passed and not exists (
               select from fm_migration.settlement where settlement.patient_id = held.patient_id))
    from contact
    join fm_migration.patient_identity as held
        on held.filemaker_id = contact.contact and held.ended is null and held.written <> contact.written
    where not exists (
        select from fm_migration.patient_identity as once
        where once.filemaker_id = contact.contact and once.written = contact.written and once.twin)
  union all
    select contact.contact, contact.written, 4,
           case when successor.verdict = 'found' then successor.patient_id end, held.filemaker_id,
           coalesce(held.shared or held.twin, false), successor.verdict = 'ambiguous' or coalesce(held.shared, false)
    from contact
    join successor on successor.former_id = contact.contact
    left join fm_migration.patient_identity as held
        on held.patient_id = successor.patient_id and held.ended is null
), best as (
    select *, min(rank) over (partition by contact, written) as best from claim
), found as (
    select contact, written, count(distinct patient_id) as patients, bool_or(doubtful) as doubtful,
           min(patient_id::text)::uuid as patient_id, min(filemaker_id::text)::uuid as filemaker_id,
           bool_or(told_by_uuid) as told_by_uuid
    from best where rank = best
    group by contact, written
)
select contact.contact, contact.written,
       case when found.doubtful or found.patients > 1 then 'ambiguous'
            when found.patients = 1 then 'found'
            when known.former is not null then 'absent'
            else 'none' end as status,
       case when found.patients = 1 and not found.doubtful then found.patient_id end as patient_id,
       case when found.doubtful or found.patients > 1 then null
            when found.patients = 1 then
                case when found.told_by_uuid or found.filemaker_id is null then found.patient_id
                     else found.filemaker_id end
            else known.former end as person,
       case when found.patients = 1 and not found.doubtful then found.filemaker_id else known.former end as filemaker_id
from contact
left join found using (contact, written)
left join lateral (
    -- Somebody whom we know and who is not there: by FileMaker id, or by a former UUID.
    select coalesce(
        (select filemaker_id from fm_migration.patient_identity as held
         where held.filemaker_id = contact.contact limit 1),
        (select filemaker_id from fm_migration.patient_identity as held
         where held.patient_id = contact.contact order by began desc limit 1)) as former
    where found.contact is null or found.patients = 0
) as known on true;

-- step: index_contact_home
create index on contact_home (contact, written);

-- step: analyze_contact_home
analyze contact_home;

-- === what has changed ================================================================================================

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
join contact_home as home on home.contact = csv.contact and home.written = trim(csv.contact_text)
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
left join successor on successor.former_id = batch.object_id and successor.verdict = 'found'
cross join lateral (select coalesce(patients.id, successor.patient_id) as patient_id) as owner
left join fm_migration.patient_identity as held on held.patient_id = owner.patient_id and held.ended is null
where batch.content_type_id = :content_type;

-- step: analyze_present_owner
analyze present_owner;

-- step: touch_app
-- Photographs whose image is not there, hangs somewhere else, or on somebody else's batch, than was worked out. That the
-- owner is gone changes nothing, as long as nobody has come in the owner's place.
insert into touched
select photo.photo
from fm_migration.photo
left join images_image as image on image.id = photo.clinic_image
left join present_owner on present_owner.batch_id = image.batch_id
where photo.clinic_image is not null
  and (image.id is null or image.batch_id <> photo.batch_id
       or (present_owner.person is distinct from photo.owner
           and (present_owner.person is not null
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
        join contact_home as home on home.contact = csv.contact and home.written = trim(csv.contact_text)
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

-- === what each of them is ============================================================================================

-- step: original
-- The original of each recid, and of each image id, in scope.
create temporary table original on commit drop as
select distinct on (name) name, key, size, extension, object_hash
from (
    select 'r' || object.recid as name, object.*
    from fm_migration.original as object
    where object.recid in (select recid from scope join fm_migration.csv_metadata using (photo) where recid is not null
                           union all select substr(photo, 7) from scope where photo ^@ 'recid ')
  union all
    select 'i' || object.image_id, object.*
    from fm_migration.original as object
    where object.image_id in (select image_id from scope join fm_migration.csv_metadata using (photo)
                              where image_id is not null)
) as named
order by name, preference, key;

-- step: index_original
create unique index on original (name);

-- step: candidate
-- Every row of the export in scope with its one state, as far as it does not depend on the app. The order of the cases
-- is the order of what a person must settle first.
create temporary table candidate on commit drop as
with repeated as (
    -- Rows of one recid, or without any of one image id.
    select name, min(row_number) as first_row, min(said) <> max(said) as contradicts_itself
    from fm_migration.csv_metadata as csv
    left join contact_home as home on home.contact = csv.contact and home.written = trim(csv.contact_text)
    cross join lateral (select coalesce('r' || recid, 'i' || image_id) as name,
                               coalesce(home.person::text, csv.contact::text, contact_text) || '|' ||
                               coalesce(taken_on::text, '') || '|' || coalesce(image_id::text, '') as said) as saying
    where recid in (select near.recid from scope join fm_migration.csv_metadata as near using (photo))
       or (recid is null
           and image_id in (select near.image_id from scope join fm_migration.csv_metadata as near using (photo)))
    group by name having count(*) > 1
), shared as (
    select image_id from fm_migration.csv_metadata
    where image_id in (select csv.image_id from scope join fm_migration.csv_metadata as csv using (photo))
    group by image_id having min(recid) is distinct from max(recid)
), placed as (
    select csv.*, shared.image_id is not null as shared_id, disputed,
           coalesce(contradicts_itself or csv.row_number > first_row, false) as repeats,
           coalesce(csv.row_number > first_row, false) as repeats_another,
           coalesce(by_recid.key, by_image.key) as key,
           coalesce(by_recid.size, by_image.size) as size,
           coalesce(by_recid.extension, by_image.extension) as extension,
           coalesce(by_recid.object_hash, by_image.object_hash) as object_hash,
           -- Whom a row names that cannot be told from another, or not be read, is nobody's to say.
           case when not disputed then home.status end as home,
           case when not disputed then home.patient_id end as patient_id,
           case when not disputed then home.person end as person,
           case when not disputed then home.filemaker_id end as filemaker_id
    from scope
    join fm_migration.csv_metadata as csv using (photo)
    left join repeated on repeated.name = coalesce('r' || csv.recid, 'i' || csv.image_id)
    left join shared on shared.image_id = csv.image_id
    left join original as by_recid on by_recid.name = 'r' || csv.recid
    -- Where several records have one image id, an object of that name could be any of them.
    left join original as by_image on by_image.name = 'i' || csv.image_id and shared.image_id is null
    left join contact_home as home on home.contact = csv.contact and home.written = trim(csv.contact_text)
    cross join lateral (
        select coalesce(contradicts_itself or csv.row_number > first_row, false)
               or csv.problems && cast(:unreadable as text[]) as disputed
    ) as doubt
)
select photo, row_number, recid, case when shared_id then null else image_id end as image_id, shared_id,
       -- A row that repeats another has no original of its own.
       case when not repeats_another then key end as key, size, extension, object_hash,
       taken_on, type_text, category, coalesce(home, 'none') as home, patient_id, person, filemaker_id,
       coalesce(contact = patient_id, false) as by_uuid,
       hashtextextended(concat_ws('|', recid, image_id, contact, contact_text, taken_on, category, type_text,
                                  array_to_string(problems, ',')), 0) as row_hash,
       coalesce(to_char(taken_on, 'YYYY-MM'), 'undated') as month,
       coalesce(person::text, case when not disputed then 'contact ' || contact end, 'row of ' || photo) as claim,
       case
           when repeats then 'duplicate_recid'
           when problems && cast(:unreadable as text[]) then 'malformed_row'
           when contact is null and contact_text = '' then 'no_contact'
           when contact is null then 'malformed_contact'
           when key is null then 'no_object'
           -- A key that the app's column cannot hold would fail the whole import.
           when extension = any(cast(:unsupported as text[])) or length(key) > 500 then 'unsupported_file'
           when home = 'ambiguous' then 'ambiguous_patient'
           when home = 'found' then 'linked'
           when home = 'absent' then 'absent'
           else 'no_patient'
       end as state,
       case when shared_id or image_id is null then replace(photo, 'recid ', 'recid:') else 'image:' || image_id end
           as natural_key
from placed;

-- step: index_candidate
create unique index on candidate (photo);

-- step: analyze_candidate
analyze candidate (photo, row_number, state, patient_id, person, taken_on);

-- === which image shows it ============================================================================================

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
select scope.photo, photo.clinic_image
from scope
join fm_migration.photo using (photo)
where exists (select from fm_migration.recognition as seen where seen.clinic_image = photo.clinic_image)
  and not exists (select from images_image as image where image.id = photo.clinic_image)
  and not exists (select from fm_migration.made_or_removed as ours
                  where ours.row_id = photo.clinic_image::text and ours.action = 'delete')
  and not exists (select from match where match.photo = scope.photo);

-- step: remember_deleted
insert into fm_migration.decision (kind, table_name, row_id, photo, plan_id)
select 'deleted', 'images_image', clinic_image, photo, :plan from deleted
on conflict do nothing;

-- step: forget_deleted
-- An image shows it again: somebody has brought it back.
update fm_migration.decision set ended_at = now()
from match
where decision.photo = match.photo and decision.kind = 'deleted' and decision.ended_at is null;

-- === where it belongs ================================================================================================

-- step: batch_owner
-- The batches in which these images hang: who has each, whether a person made it, and whether we gave it to whom it
-- belongs. `nobody`: its patient was never seen, and we have not placed it. A batch is an import's by its marks, or
-- because we have made it; one whose uploader's account was deleted is still a person's.
create temporary table batch_owner on commit drop as
select batch.id as batch_id, batch.object_id, present_owner.patient_id as owner, present_owner.person,
       batch.name, batch.uploaded_at,
       batch.uploaded_by_id is not null
           or not (last_written.row_id is not null
                   or (batch.name ~ :import_name and batch.description in ('', :import_description))
                   or batch.description = :import_description) as by_hand,
       (last_written.written ->> 'object_id')::uuid is not distinct from batch.object_id as ours,
       last_written.written ? 'object_id' is true as placed_once,
       present_owner.patient_id is null and not (last_written.written ? 'object_id') is true
           and not exists (select from fm_migration.patient_identity as known
                           where known.patient_id = batch.object_id) as nobody,
       gone.filemaker_id as gone_id
from images_batch as batch
join present_owner on present_owner.batch_id = batch.id
left join fm_migration.last_written
    on last_written.table_name = 'images_batch' and last_written.row_id = batch.id::text
left join lateral (
    select filemaker_id from fm_migration.patient_identity as tenure
    where tenure.patient_id = batch.object_id order by began desc limit 1
) as gone on present_owner.patient_id is null
where batch.id in (select batch_id from evidence)
   or batch.id in (select once.batch_id from scope join fm_migration.photo as once using (photo));

-- step: index_batch_owner
create unique index on batch_owner (batch_id);

-- step: held
-- Everything that hangs in these batches, with whose it claims to be. An image that shows no known photograph claims
-- nothing, and one whose evidence contradicts itself claims two things. `placed_by_row`: it is where its row once said,
-- because we have put it there, or because the clinic's command had and it agreed when it was first looked at; and nobody
-- has moved it or given its batch away since.
create temporary table held on commit drop as
select image.batch_id, image.id as image,
       case when evidence.contradicts is not null then 'contradiction of ' || image.id
            else coalesce(candidate.claim, once.person::text, 'photograph ' || coalesce(evidence.photo, known.photo)) end
           as claim,
       candidate.patient_id, candidate.home,
       coalesce((last_written.written ->> 'batch_id')::uuid, known.agreed_in) = image.batch_id is true
           and not batch_owner.by_hand
           and ((batch_owner.ours and batch_owner.placed_once)
                or known.agreed_with in (batch_owner.person, batch_owner.gone_id, batch_owner.object_id) is true)
           as placed_by_row
from batch_owner
join images_image as image using (batch_id)
left join evidence on evidence.id = image.id
left join fm_migration.recognition as known on known.clinic_image = image.id
left join candidate on candidate.photo = coalesce(evidence.photo, known.photo)
left join fm_migration.photo as once on once.photo = coalesce(evidence.photo, known.photo)
left join fm_migration.last_written
    on last_written.table_name = 'images_image' and last_written.row_id = image.id::text;

-- step: batch_target
-- Batches that move as a whole: all that hangs there is one present patient's, counting what cannot be linked today; and
-- the batch belongs to nobody, or is all our doing and the export has been corrected.
create temporary table batch_target on commit drop as
select batch_owner.batch_id, min(held.patient_id::text)::uuid as patient_id, batch_owner.nobody
from batch_owner join held using (batch_id)
where not batch_owner.by_hand
group by batch_owner.batch_id, batch_owner.nobody, batch_owner.ours, batch_owner.placed_once, batch_owner.owner
having count(*) = count(held.claim) and count(distinct held.claim) = 1 and bool_and(held.home = 'found')
   and (batch_owner.nobody
        or (batch_owner.ours and batch_owner.placed_once and batch_owner.owner <> min(held.patient_id::text)::uuid
            and bool_and(held.placed_by_row)));

-- step: placement
-- Where each photograph to be linked is, or has to go. It stays with its patient, in a batch that a person made, and
-- wherever a person has moved it or its batch. It leaves a batch of nobody, and one of ours that is now wrong.
create temporary table placement_of on commit drop as
select candidate.photo, match.image, match.evidence, match.batch_id as present_batch,
       case
           when match.image is null and exists (
               select from fm_migration.decision
               where decision.photo = candidate.photo and kind = 'deleted' and ended_at is null
                 and id <> all (cast(:restored as bigint[]))) then 'removed_by_staff'
           when match.image is null then case when candidate.home = 'found' then 'create' else 'wait' end
           when coalesce(batch_target.patient_id, batch_owner.owner) = candidate.patient_id then 'stay'
           when candidate.home = 'absent' and batch_owner.owner is null and batch_owner.gone_id = candidate.filemaker_id
               then 'stay'
           when (written.written ->> 'batch_id')::uuid <> match.batch_id or batch_owner.by_hand then 'placed_by_staff'
           when candidate.home = 'absent' then
               case when batch_owner.batch_id is null or batch_owner.owner is null then 'wait'
                    when batch_owner.ours and batch_owner.placed_once then 'unsettled'
                    else 'placed_by_staff' end
           when batch_owner.batch_id is null or batch_owner.nobody then 'move'
           -- It was put with somebody who is gone, and the row names somebody else now, or one of several who may
           -- have come in that one's place.
           when batch_owner.owner is null and held.placed_by_row
                and (batch_owner.gone_id is distinct from candidate.filemaker_id
                     or candidate.by_uuid) then 'move'
           -- Its patient is gone and nobody follows for certain: whose this is, a person must say.
           when batch_owner.owner is null then
               case when batch_owner.ours or (batch_owner.gone_id is not null and not batch_owner.placed_once)
                    then 'unsettled' else 'placed_by_staff' end
           when held.placed_by_row then 'move'
           else 'placed_by_staff'
       end as decision
from candidate
left join match on match.photo = candidate.photo and match.rank = 1
left join batch_owner on batch_owner.batch_id = match.batch_id
left join batch_target on batch_target.batch_id = match.batch_id
left join fm_migration.last_written as written
    on written.table_name = 'images_image' and written.row_id = match.image::text
left join held on held.image = match.image
where candidate.state in ('linked', 'absent')
  and not exists (select from contradicted where contradicted.photo = candidate.photo);

-- step: limit
-- Of a plan that is limited on purpose only the first photographs are linked.
create temporary table beyond_limit on commit drop as
select photo
from (
    select candidate.photo, row_number() over (order by candidate.row_number) as turn
    from candidate join placement_of using (photo)
    where candidate.state = 'linked' and placement_of.decision in ('create', 'move', 'stay')
) as counted
where turn > :limit;

-- step: hold_back
delete from placement_of using beyond_limit where placement_of.photo = beyond_limit.photo;

-- step: hold_back_batches
-- A batch all of whose photographs are held back stays too.
delete from batch_target
where not exists (
    select from placement_of where placement_of.present_batch = batch_target.batch_id);

-- step: patient_day
-- The photographs of one person and day that need a batch: a batch in which others of them hang already, else an imported
-- one of that patient and name, else none yet. Names are padded as the clinic's own command pads them; older ones of ours
-- are not.
create temporary table patient_day on commit drop as
with needed as (
    select candidate.person, candidate.taken_on, min(candidate.patient_id::text)::uuid as patient_id,
           count(*) as photographs
    from candidate join placement_of using (photo)
    where placement_of.decision in ('create', 'move')
    group by candidate.person, candidate.taken_on
), named as (
    select needed.*,
           case when taken_on is null then 'Undated' else to_char(taken_on, 'DD Mon YYYY') end
               || ' (FileMaker Import)' as name,
           case when taken_on is null then 'Undated' else to_char(taken_on, 'FMDD Mon YYYY') end
               || ' (FileMaker Import)' as former_name,
           person::text || '|' || coalesce(taken_on::text, 'undated') as natural_key
    from needed
), neighbour as (
    select distinct on (person, taken_on) person, taken_on, batch_id
    from (
        select candidate.person, candidate.taken_on, placement_of.present_batch as batch_id, batch_owner.uploaded_at
        from candidate join placement_of using (photo)
        join batch_owner on batch_owner.batch_id = placement_of.present_batch and not batch_owner.by_hand
        where placement_of.decision = 'stay'
    ) as beside
    order by person, taken_on, uploaded_at, batch_id
), namesake as (
    select distinct on (named.person, named.taken_on) named.person, named.taken_on, batch.id as batch_id
    from named
    join present_owner on present_owner.patient_id = named.patient_id
    join images_batch as batch on batch.id = present_owner.batch_id
    left join batch_target on batch_target.batch_id = batch.id
    where batch.name in (named.name, named.former_name) and batch.uploaded_by_id is null
      and coalesce(batch_target.patient_id, named.patient_id) = named.patient_id
    order by named.person, named.taken_on, batch.uploaded_at, batch.id
)
select named.*, coalesce(neighbour.batch_id, namesake.batch_id) as batch_id, false as is_new
from named
left join neighbour on neighbour.person = named.person and neighbour.taken_on is not distinct from named.taken_on
left join namesake on namesake.person = named.person and namesake.taken_on is not distinct from named.taken_on;

-- step: minted
-- Ids for what is to be made: UUIDv5 of natural keys, which PostgreSQL cannot compute. `placing.py` fills it.
create temporary table minted (natural_key text primary key, id uuid not null) on commit drop;

-- step: settle_days
-- A day gets the batch that was minted for it: a new one, or one of ours that is there already and belongs to the
-- patient. If staff have moved that one to somebody else, the day goes on to the next id (`placing.py` repeats).
update patient_day
set batch_id = minted.id, is_new = taken.id is null
from minted
left join images_batch as taken on taken.id = minted.id
left join present_owner as mine on mine.batch_id = minted.id
left join batch_target on batch_target.batch_id = minted.id
where patient_day.batch_id is null
  and minted.natural_key = 'batch|' || patient_day.natural_key || cast(:attempt as text)
  and (taken.id is null or coalesce(batch_target.patient_id, mine.patient_id) = patient_day.patient_id);

-- step: target
-- The batch and image of every photograph in scope that is to be linked, once the plan is applied.
create temporary table target on commit drop as
select candidate.photo, candidate.patient_id, placement_of.decision, placement_of.image as present_image,
       placement_of.present_batch, placement_of.evidence,
       coalesce(placement_of.image, minted.id) as image,
       case when placement_of.decision in ('create', 'move') then patient_day.batch_id
            else placement_of.present_batch end as batch_id
from candidate
join placement_of using (photo)
left join patient_day
    on patient_day.person = candidate.person and patient_day.taken_on is not distinct from candidate.taken_on
left join minted on placement_of.decision = 'create' and minted.natural_key = 'photo|' || candidate.natural_key;

-- step: analyze_target
analyze target;

-- === what would change ===============================================================================================

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
                else coalesce(candidate.claim, once.person::text) end as claim,
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

-- === what is remembered ==============================================================================================

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
    from fm_migration.original as object
    left join lateral (select photo from fm_migration.csv_metadata as csv
                       where csv.recid = object.recid order by row_number limit 1) as by_row on true
    left join lateral (select min(photo) as photo from fm_migration.csv_metadata as csv
                       where csv.image_id = object.image_id) as by_id on true
    where object.recid in (select substr(photo, 7) from scope where photo ^@ 'recid ')
       or object.image_id in (select csv.image_id from scope join fm_migration.csv_metadata as csv using (photo))
       or object.key in (select substr(photo, 8) from scope where photo ^@ 'object ')
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
