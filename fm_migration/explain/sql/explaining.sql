-- What is known of one patient, batch, photograph or object: the world as it is now, beside what we read last.
-- Each step answers for many at once, by an index of ours or in one pass over a table of the clinic's.
-- The steps meanings, homes and person read from `patient_now`, which `gathering.py` puts in front of them.

-- step: moments
-- As of when the answers hold: the newest reading of each source, the newest plan, the newest report.
select export.id as export_read, export.read_at as export_read_at,
       listing.started_at as listed_at, coalesce(listing.prefixes, '{}') as prefixes,
       read.read_at as patients_read_at,
       plan.id as plan, plan.applied_at as plan_applied_at, coalesce(plan.doubts, '{}') as plan_doubts,
       report.id as report, report.made_at as report_made_at
from (select) as always
left join lateral (select * from fm_migration.export_read order by id desc limit 1) as export on true
left join lateral (select * from fm_migration.inventory_snapshot order by id desc limit 1) as listing on true
left join lateral (select * from fm_migration.patient_read order by id desc limit 1) as read on true
left join lateral (select * from fm_migration.link_plan
                   where kind in ('photographs', 'restore') order by id desc limit 1) as plan
    on true
left join lateral (select * from fm_migration.report order by id desc limit 1) as report on true

-- step: meanings
-- What a UUID can be: each of these is another thing. The names of our thumbnails hold the app's UUID of the image.
select exists (select from patient_now where patient_id = :id) as patient,
       exists (select from patient_now where filemaker_id = :id)
           or exists (select from fm_migration.patient_identity where filemaker_id = :id) as contact,
       exists (select from fm_migration.patient_identity where patient_id = :id)
           or exists (select from images_batch where object_id = :id and content_type_id = :content_type)
           or exists (select from fm_migration.csv_metadata where contact = :id) as former,
       exists (select from images_batch where id = :id) as batch,
       exists (select from images_image where id = :id) as image,
       not exists (select from images_image where id = :id and filemaker_id = :id)
           and (exists (select from fm_migration.csv_metadata where image_id = :id)
                or exists (select from images_image where filemaker_id = :id)
                or exists (select from fm_migration.s3_inventory where image_id = :id and kind = 'original'))
           as photograph

-- step: homes
-- Which living patients an id leads to: as their UUID, as their FileMaker id (written like this, if they are told apart by
-- that), or as a UUID of former days, by the rules of follow.sql in `successor`. Of who has vanished since the patients
-- were read, the next reading will see who has that one's id now. `doubt`: why the one is nobody's for certain.
select asked.id, asked.written, 'uuid' as way, now.patient_id, null as doubt
from unnest(cast(:ids as uuid[]), cast(:written as text[])) as asked (id, written)
join patient_now as now on now.patient_id = asked.id
union
select asked.id, asked.written, 'filemaker_id', now.patient_id,
       case when held.shared then 'shared'
            when held.passed and not exists (
                select from fm_migration.settlement where settlement.patient_id = held.patient_id) then 'passed' end
from unnest(cast(:ids as uuid[]), cast(:written as text[])) as asked (id, written)
join patient_now as now on now.filemaker_id = asked.id
    and (asked.written is null or now.written = asked.written
         or not (exists (select from patient_now as other
                         where other.filemaker_id = asked.id and other.written = asked.written)
                 or exists (select from fm_migration.patient_identity as once
                            where once.filemaker_id = asked.id and once.written = asked.written and once.twin)))
left join fm_migration.patient_identity as held on held.patient_id = now.patient_id and held.ended is null
union
select asked.id, asked.written, 'history', successor.patient_id, null
from unnest(cast(:ids as uuid[]), cast(:written as text[])) as asked (id, written)
join successor on successor.former_id = asked.id and successor.outcome = 'found'
union
select asked.id, asked.written, 'history', now.patient_id, null
from unnest(cast(:ids as uuid[]), cast(:written as text[])) as asked (id, written)
join successor on successor.former_id = asked.id and successor.outcome = 'absent'
join lateral (
    select * from fm_migration.patient_identity as tenure
    where tenure.patient_id = asked.id order by tenure.began desc limit 1
) as last on not last.shared and last.filemaker_id is not null
join patient_now as now on now.filemaker_id = last.filemaker_id and (now.written = last.written or not last.twin)
where not exists (select from patient_now as there where there.patient_id = asked.id)
  and not exists (select from fm_migration.patient_identity as held
                  where held.patient_id = now.patient_id and held.ended is null)

-- step: former
create temporary table former on commit drop as select distinct unnest(cast(:ids as uuid[])) as former_id

-- step: whys
-- Why nobody follows somebody who is gone, or that a person has said who does.
select successor.former_id as id,
       case when successor.outcome = 'ambiguous' and last.shared then 'shared'
            when successor.outcome = 'ambiguous' then 'passed' else successor.outcome end as why,
       exists (select from fm_migration.settlement where settlement.former_id = successor.former_id) as settled
from successor
left join lateral (
    select * from fm_migration.patient_identity as tenure
    where tenure.patient_id = successor.former_id order by tenure.began desc limit 1
) as last on true

-- step: tenures
-- Who held which id since when, of these patients and of whoever held the same ids.
select patient_id, filemaker_id, written, began_at, ended_at, ending, shared, recognised,
       (select settlement.patient_id from fm_migration.settlement
        where settlement.former_id = tenure.patient_id) as settled
from fm_migration.tenure
where patient_id = any(cast(:ids as uuid[])) or filemaker_id = any(cast(:ids as uuid[]))
order by began_at nulls first, ended_at nulls last, patient_id

-- step: known_before
-- Ids of people whom the history knows, whether they are in the app now or not.
select asked.id from unnest(cast(:ids as uuid[])) as asked (id)
where exists (select from fm_migration.patient_identity where patient_id = asked.id)
   or exists (select from fm_migration.patient_identity where filemaker_id = asked.id)

-- step: archived
select id from patients where id = any(cast(:ids as uuid[])) and archived

-- step: may_read_names
-- Names are a courtesy: a clinic need neither have these columns nor let us read them.
select count(*) = 2 as allowed from pg_attribute
where attrelid = to_regclass('patients') and attname in ('first_name', 'last_name') and not attisdropped
  and has_column_privilege(attrelid, attnum, 'select')

-- step: names
select id, concat_ws(' ', first_name, last_name) as name
from patients where id = any(cast(:ids as uuid[])) order by 2

-- step: person
-- All ids of one person: the FileMaker ids, and the UUIDs that belong or belonged to them. An id that was withdrawn from
-- somebody who stayed was a mistake, and leads nowhere. Of a FileMaker id that two living patients share, the other one's
-- UUID is left out.
select person.id
from (
    select filemaker_id from patient_now where patient_id = any(cast(:ids as uuid[])) and filemaker_id is not null
    union select filemaker_id from fm_migration.patient_identity
          where filemaker_id is not null and ending is distinct from 'withdrawn'
            and (filemaker_id = any(cast(:ids as uuid[]))
                 or (patient_id = any(cast(:ids as uuid[]))
                     and not exists (select from patient_now as there
                                     where there.patient_id = patient_identity.patient_id)))
) as filemaker
cross join lateral (
    select filemaker.filemaker_id as id
    union all
    select known.patient_id from fm_migration.patient_identity as known
    where known.filemaker_id = filemaker.filemaker_id and known.ending is distinct from 'withdrawn'
      and not exists (select from patient_now where patient_now.patient_id = known.patient_id)
) as person
union
select unnest(cast(:ids as uuid[]))

-- step: rows_of_person
-- Rows that name any of these ids, without those that are known to name another patient by it: two who are told apart by
-- how their ids are written.
select csv.row_number
from fm_migration.csv_metadata as csv
left join fm_migration.photo_status as status on status.photo = csv.photo
where csv.contact = any(cast(:ids as uuid[]))
  and (status.patient_id is null or status.patient_id = any(cast(:patients as uuid[]))
       or cardinality(cast(:patients as uuid[])) = 0)
order by csv.row_number

-- step: images_of_person
select image.id
from images_batch as batch join images_image as image on image.batch_id = batch.id
where batch.content_type_id = :content_type and batch.object_id = any(cast(:ids as uuid[]))

-- step: batches_of_person
select count(*) as batches from images_batch
where content_type_id = :content_type and object_id = any(cast(:ids as uuid[]))

-- step: rows_named
-- Rows by recid as it is written, with or without leading zeros, by number, or by the photograph's FileMaker UUID.
select row_number, recid, image_id from fm_migration.csv_metadata
where recid = any(cast(:recids as text[])) or row_number = any(cast(:rows as bigint[]))
   or image_id = any(cast(:image_ids as uuid[]))
order by row_number

-- step: rows_like
select row_number from fm_migration.csv_metadata where ltrim(recid, '0') = ltrim(:recid, '0') order by row_number

-- step: keys_named
select key, kind from fm_migration.s3_inventory
where key = any(cast(:keys as text[])) or recid = any(cast(:recids as text[]))
   or image_id = any(cast(:image_ids as uuid[]))
order by vanished is not null, length(key) - length(replace(key, '/', '')), key

-- step: keys_ending
-- Objects by their names alone, without the folders.
select key, kind from fm_migration.s3_inventory where right(key, length(cast(:name as text)) + 1) = '/' || cast(:name as text)
order by vanished is not null, key limit 10

-- step: rows
-- Rows of the export, with how often their recid stands in it, whether those rows contradict each other, the original
-- that is theirs as far as it was listed, and what the newest plan says of them. `contradicting` is an image for which
-- two pieces of evidence name two photographs, this one among them.
select csv.row_number, csv.recid, csv.contact, trim(csv.contact_text) as written, csv.contact_text = '' as names_nobody,
       csv.taken_on, csv.problems, case when shared.records > 1 then null else csv.image_id end as image_id,
       coalesce(twin.times, 1) as times, coalesce(twin.versions > 1, false) as contradicted,
       coalesce(twin.first, csv.row_number) as first_of_recid,
       original.key as original, photo.state, photo.home, photo.clinic_image as planned_image,
       photo.batch_id as planned_batch, photo.month,
       claims.clinic_image as contradicting, claims.photo as shows, claims.contradicts,
       coalesce(photo.state = 'removed_by_staff', false) or gone.by_somebody is true as deleted
from fm_migration.csv_metadata as csv
left join fm_migration.photo using (photo)
left join lateral (
    select count(*) as times, min(row_number) as first,
           count(distinct (coalesce(contact::text, contact_text), taken_on, image_id)) as versions
    from fm_migration.csv_metadata as same where same.recid = csv.recid
) as twin on true
left join lateral (
    select count(distinct recid) as records from fm_migration.csv_metadata as same where same.image_id = csv.image_id
) as shared on true
left join lateral (
    select key from (
        select key, 1 as match_rank, preference from fm_migration.original where recid = csv.recid
        union all
        select key, 2, preference from fm_migration.original where image_id = csv.image_id and shared.records < 2
        union all
        select key, 3, null from fm_migration.s3_inventory
        where kind = 'original' and vanished is not null
          and (recid = csv.recid or (image_id = csv.image_id and shared.records < 2))
    ) as named
    order by match_rank, preference, key
    limit 1
) as original on true
left join lateral (
    select known.clinic_image, known.photo, known.contradicts
    from fm_migration.recognition as known
    where known.contradicts is not null and (known.photo = csv.photo or known.contradicts = csv.photo)
    order by known.photo = csv.photo desc, known.clinic_image limit 1
) as claims on true
left join lateral (
    -- Not by us.
    select not exists (select from fm_migration.made_or_removed as ours
                       where ours.row_id = photo.clinic_image::text and ours.action = 'delete') as by_somebody
    where exists (select from fm_migration.recognition as seen where seen.clinic_image = photo.clinic_image)
      and not exists (select from images_image as image where image.id = photo.clinic_image)
) as gone on true
where csv.row_number = any(cast(:rows as bigint[]))

-- step: images
-- Images of the app by id, by the photograph's FileMaker UUID, by the batch, by the key of either file or by the
-- photograph that they were recognised as; with whose they are, and what we know of their thumbnails. `given`: the batch
-- was ours, and somebody has given it to another owner.
with asked as materialized (
    select id from images_image as image
    where image.id = any(cast(:ids as uuid[])) or image.filemaker_id = any(cast(:filemaker_ids as uuid[]))
       or image.s3_key = any(cast(:keys as text[])) or image.batch_id = any(cast(:batches as uuid[]))
       or image.s3_thumbnail_key = any(cast(:thumbnail_keys as text[]))
    union
    select clinic_image from fm_migration.recognition where photo = any(cast(:photos as text[]))
)
select image.id, image.s3_key as key, image.batch_id as batch, image.filemaker_id, image.uploaded_at,
       image.uploaded_by_id is not null or known.evidence = 'hand' is true as by_hand,
       image.s3_thumbnail_key as thumbnail_key, batch.id is not null as has_batch,
       coalesce(batch.content_type_id = :content_type, false) as of_patients,
       batch.object_id as owner, patients.id is not null as owner_lives,
       mine.state as thumbnail_state, mine.reason as thumbnail_reason, mine.key as our_thumbnail,
       mine.source_key as thumbnail_source, mine.source_etag as thumbnail_etag, mine.made_at as thumbnail_made_at,
       mine.undone_at is not null as thumbnail_undone, coalesce(mine.mirrored_side, false) as mirrored_side,
       known.photo, csv.row_number as photo_row, photo.month as photo_month,
       coalesce(placed.written ->> 'object_id' <> batch.object_id::text, false) as given
from asked join images_image as image using (id)
left join images_batch as batch on batch.id = image.batch_id
left join patients on patients.id = batch.object_id and batch.content_type_id = :content_type
left join fm_migration.thumbnail as mine on mine.clinic_image = image.id
left join fm_migration.last_written as placed
    on placed.table_name = 'images_batch' and placed.row_id = batch.id::text
left join fm_migration.recognition as known on known.clinic_image = image.id
left join fm_migration.photo on photo.clinic_image = image.id
left join fm_migration.csv_metadata as csv on csv.photo = coalesce(known.photo, photo.photo)
order by (patients.id is not null) desc, image.s3_thumbnail_key <> '' desc, image.uploaded_at, image.id

-- step: objects
-- Objects as they were listed last; of one that has vanished, when it was missed, and where the same content lies now.
with asked as (
    select * from fm_migration.s3_inventory where key = any(cast(:keys as text[]))
), lost as (
    select distinct etag, size from asked where vanished is not null and size > 0
), found as (
    select lost.etag, lost.size, min(other.key) as key
    from fm_migration.s3_inventory as other join lost on lost.etag = other.etag and lost.size = other.size
    where other.vanished is null and other.kind = 'original'
    group by lost.etag, lost.size
)
select asked.key, asked.kind, asked.recid, asked.image_id, asked.size, asked.etag, asked.last_modified,
       asked.extension, missed_by.started_at as missed_at, found.key as moved_to
from asked
left join fm_migration.inventory_snapshot as missed_by on missed_by.id = asked.vanished
left join found on asked.vanished is not null and found.etag = asked.etag and found.size = asked.size

-- step: batch
-- A batch, with what it holds and what its count says; and the other imported batches of its patient and name, with or
-- without the zero before the day.
select batch.id, batch.object_id as owner, batch.content_type_id = :content_type as of_patients,
       batch.uploaded_by_id is not null as by_hand, batch.image_count as says,
       coalesce((select placed.written ->> 'object_id' <> batch.object_id::text from fm_migration.last_written as placed
                 where placed.table_name = 'images_batch' and placed.row_id = batch.id::text), false) as given,
       (select count(*) from images_image where batch_id = batch.id) as has,
       (select count(*) from images_batch as other
        where other.object_id = batch.object_id and other.content_type_id = batch.content_type_id
          and regexp_replace(other.name, '^0(?=\d [A-Z][a-z]{2} \d{4} \(FileMaker)', '')
            = regexp_replace(batch.name, '^0(?=\d [A-Z][a-z]{2} \d{4} \(FileMaker)', '')
          and other.id <> batch.id and other.uploaded_by_id is null
          and exists (select from images_image where batch_id = other.id)) as namesakes
from images_batch as batch where batch.id = :id

-- step: recorded
-- What the newest report has found about these subjects.
select class, subject, first_seen, waiver from fm_migration.finding
where subject = any(cast(:subjects as text[])) and last_report = (select max(id) from fm_migration.report)
order by class, subject
