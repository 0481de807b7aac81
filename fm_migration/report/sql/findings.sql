-- What is not as it should be between export, bucket and app, from the stamped snapshots and the app's tables at one
-- moment. Each step below `repeated` decides one class of findings and puts it into `found`. What is younger than a
-- snapshot that would have to know it goes in as `young`, and is reported as too new to judge. Only `record` and the
-- steps after it write, and only to our own tables.

-- step: found
create temporary table found (
    class text not null, subject text not null, evidence jsonb not null, young boolean not null default false,
    waiver text
) on commit drop;

-- step: shown
-- Every image of the app: its batch, the patient if that is one who lives, its object as listed last, and the photograph
-- of the export that it shows. What lies outside the listed prefixes was never looked for, so its object counts as there.
create temporary table shown on commit drop as
select image.id as image, image.batch_id as batch, image.s3_key as key, image.s3_thumbnail_key as thumbnail_key,
       image.filemaker_id, image.uploaded_by_id is not null as by_hand, image.uploaded_at,
       batch.id is not null as has_batch, coalesce(batch.content_type_id = :content_type, false) as of_patient,
       patients.id as patient, coalesce(patients.archived, false) as archived,
       object.key is not null as known, object.key is not null and object.vanished is null as stored,
       image.s3_key ^@ any (cast(:prefixes as text[])) as listed, object.etag, object.size,
       photo.photo, photo.recid,
       case when photo.photo is not null then coalesce(photo.taken_on::text, 'undated')
            else image.date_taken::text end as day
from images_image as image
left join images_batch as batch on batch.id = image.batch_id
left join patients on patients.id = batch.object_id and batch.content_type_id = :content_type
left join fm_migration.s3_inventory as object on object.key = image.s3_key
left join fm_migration.photo on photo.clinic_image = image.id and photo.state in ('linked', 'placed_by_staff');

-- step: index_shown
create index on shown (key);

-- step: index_shown_by_image
create unique index on shown (image);

-- step: analyze_shown
analyze shown;

-- step: batch_owner
-- Every batch of patients with what hangs in it. Its day is that of most of its photographs: names may be edited.
create temporary table batch_owner on commit drop as
select batch.id as batch, batch.object_id as owner, patients.id as patient, batch.uploaded_by_id is not null as by_hand,
       batch.name, batch.image_count, batch.uploaded_at, coalesce(held.images, 0) as images, held.of_rows, held.day,
       greatest(batch.uploaded_at, held.last_upload) > now() - cast(:upload_time as interval) as in_upload
from images_batch as batch
left join patients on patients.id = batch.object_id
left join (
    select batch, count(*) as images, count(photo) as of_rows, mode() within group (order by day) as day,
           max(uploaded_at) as last_upload
    from shown group by batch
) as held on held.batch = batch.id
where batch.content_type_id = :content_type;

-- step: analyze_album
analyze batch_owner;

-- step: stray
-- Images whose object is gone, though an object of the same content lies under another key that no image shows. A
-- photograph that was moved once is pointed at one place only.
create temporary table stray on commit drop as
select distinct on (now_at) image, now_at, size
from (
    select distinct on (gone.image) gone.image, there.key as now_at, there.size
    from shown as gone
    join fm_migration.s3_inventory as former on former.key = gone.key and former.vanished is not null
    join fm_migration.s3_inventory as there
        on there.etag = former.etag and there.size = former.size and there.vanished is null
        and there.kind in ('original', 'other')
    where former.size > 0 and former.etag <> '' and gone.listed and not gone.stored
      and not exists (select from shown as other where other.key = there.key)
    order by gone.image, (there.recid = former.recid) is true desc, there.key
) as found_again
order by now_at, image;

-- step: repeated
-- Recids that stand in the export more than once: their rows are named by their number.
create temporary table repeated on commit drop as
select recid from fm_migration.csv_metadata where recid is not null group by recid having count(*) > 1;

-- step: row_states
-- Rows whose state is a class of its own. A row without an object is none when the app shows its photograph all the
-- same, because the object was moved. It is too new when the export is newer than the listing; not when it was
-- missing before. A row without a patient is too new when the patient has been entered since the patients were read.
insert into found
with moved as materialized (
    select photo.photo
    from fm_migration.photo
    join shown on shown.image = photo.clinic_image and shown.patient is not null
    left join stray using (image)
    where photo.state = 'no_object' and (shown.stored or stray.image is not null)
)
select case photo.state when 'duplicate_recid' then 'recid_doubled'
                        when 'malformed_row' then 'row_unusable'
                        when 'no_contact' then 'row_unusable'
                        when 'malformed_contact' then 'row_unusable'
                        when 'no_object' then 'row_without_object'
                        when 'no_patient' then 'row_without_patient'
                        when 'ambiguous_patient' then
                            case when photo.home = 'ambiguous' then 'ambiguous_patient' else 'owner_unsettled' end
                        else photo.state end,
       named.subject,
       jsonb_strip_nulls(jsonb_build_object(
           'row', csv.row_number, 'recid', photo.recid, 'key', photo.key,
           'filemaker_id', coalesce(photo.filemaker_id, could_be.filemaker_id), 'could_be', could_be.patients,
           'patient', case when photo.state in ('placed_by_staff', 'ambiguous_patient') then photo.patient_id end,
           'image', coalesce(photo.clinic_image::text, claims.clinic_image::text, deleted.row_id),
           'batch', case when photo.state = 'ambiguous_patient' then photo.batch_id end,
           'former', case when photo.state = 'ambiguous_patient' and photo.home <> 'ambiguous' then batch.object_id end,
           'shows', claims.photo, 'contradicts', claims.contradicts,
           'state', case when photo.state in ('malformed_row', 'no_contact', 'malformed_contact') then photo.state end)),
       case photo.state
           when 'no_object' then cast(:export_is_newer as boolean) and not exists (
               select from fm_migration.finding as before
               where before.class = 'row_without_object' and before.subject = named.subject)
           -- Two lists, each looked into by its hash: one condition over both would read all people for each row.
           when 'no_patient' then coalesce(
               csv.contact in (select patient_id from person)
               or csv.contact in (select filemaker_id from person where filemaker_id is not null), false)
           else false
       end
from fm_migration.photo_status as photo
join fm_migration.csv_metadata as csv using (photo)
left join repeated on repeated.recid = photo.recid
left join moved using (photo)
left join images_batch as batch on photo.state = 'ambiguous_patient' and batch.id = photo.batch_id
left join fm_migration.decision as deleted
    on photo.state = 'removed_by_staff' and deleted.photo = photo.photo and deleted.kind = 'deleted'
    and deleted.ended_at is null
left join lateral (
    -- What an image shows by the best evidence, and what another piece of evidence names.
    select known.clinic_image, known.photo, known.contradicts
    from fm_migration.recognition as known
    where known.contradicts is not null and (known.photo = photo.photo or known.contradicts = photo.photo)
    order by known.photo = photo.photo desc, known.clinic_image limit 1
) as claims on photo.state = 'contradicting_evidence'
left join lateral (
    select holder.filemaker_id, string_agg(holder.patient_id::text, ', ' order by holder.patient_id) as patients
    from fm_migration.patient_identity as holder
    where holder.filemaker_id = csv.contact and holder.ended is null
    group by holder.filemaker_id
) as could_be on photo.state = 'ambiguous_patient' and photo.home = 'ambiguous'
cross join lateral (
    select case when photo.recid is null or repeated.recid is not null then 'row ' || csv.row_number
                else 'recid ' || photo.recid end as subject
) as named
where photo.state in ('duplicate_recid', 'malformed_row', 'no_contact', 'malformed_contact', 'no_object', 'no_patient',
                      'ambiguous_patient', 'contradicting_evidence', 'removed_by_staff', 'placed_by_staff')
  and moved.photo is null;

-- step: not_applied
-- What a plan would show and the app does not; and, once the plan was applied, what somebody has moved or deleted since.
insert into found
select case when now_on.patient is not null and cast(:applied as boolean) then 'placed_by_staff'
            when now_on.image is null and photo.shown and cast(:applied as boolean) and taken.image is null
                then 'removed_by_staff'
            else 'not_applied' end,
       case when photo.recid is null or repeated.recid is not null then 'row ' || photo.row_number
            else 'recid ' || photo.recid end,
       jsonb_strip_nulls(jsonb_build_object(
           'row', photo.row_number, 'recid', photo.recid, 'key', photo.key, 'patient', photo.patient_id,
           'filemaker_id', photo.filemaker_id, 'image', coalesce(now_on.image, photo.clinic_image),
           'state', photo.state))
from fm_migration.photo_status as photo
left join shown as now_on on now_on.image = photo.clinic_image
left join repeated on repeated.recid = photo.recid
-- Not by us.
left join lateral (
    select photo.clinic_image as image from fm_migration.made_or_removed as ours
    where ours.row_id = photo.clinic_image::text and ours.action = 'delete'
) as taken on now_on.image is null and photo.shown
where (photo.state = 'linked'
       and (now_on.image is null or (now_on.patient is not null and now_on.patient <> photo.patient_id)))
   or (photo.state = 'beyond_limit'
       and not exists (select from shown where shown.key = photo.key and shown.patient is not null));

-- step: undated
insert into found
select 'undated',
       case when photo.recid is null or repeated.recid is not null then 'row ' || photo.row_number
            else 'recid ' || photo.recid end,
       jsonb_strip_nulls(jsonb_build_object(
           'row', photo.row_number, 'recid', photo.recid, 'image', photo.clinic_image, 'patient', photo.patient_id))
from fm_migration.photo_status as photo
left join repeated on repeated.recid = photo.recid
where photo.state in ('linked', 'placed_by_staff') and photo.taken_on is null;

-- step: object_without_row
-- Originals that no row names and no patient's page shows. One that was uploaded after the export was read may be in
-- the next export.
insert into found
select 'object_without_row', 'object ' || photo.key,
       jsonb_strip_nulls(jsonb_build_object('key', photo.key, 'recid', photo.recid, 'size', object.size)),
       object.last_modified > :export_read_at
from fm_migration.photo
join fm_migration.s3_inventory as object on object.key = photo.key and object.vanished is null
where photo.state = 'no_metadata'
  and not exists (select from shown where shown.key = photo.key and shown.patient is not null)
  and not exists (select from stray where stray.now_at = photo.key);

-- step: second_original
-- Further originals of a photograph that no patient's page shows; `of` is the one that is shown.
insert into found
select 'second_original', 'object ' || second.key,
       jsonb_strip_nulls(jsonb_build_object(
           'key', second.key, 'of', first.key, 'recid', coalesce(second.recid, first.recid), 'size', object.size))
from fm_migration.photo as second
join fm_migration.s3_inventory as object on object.key = second.key and object.vanished is null
left join lateral (
    select photo.key, photo.recid from fm_migration.photo
    where photo.key is not null and photo.state <> 'second_original'
      and (photo.recid = second.recid or photo.image_id = second.image_id)
    order by photo.recid = second.recid desc nulls last, photo.photo limit 1
) as first on true
where second.state = 'second_original'
  and not exists (select from shown where shown.key = second.key and shown.patient is not null);

-- === who is not there =================================================================================================

-- step: lost_link
-- Links of other tables to patients who are not there; `findings.py` fills it, a column at a time.
create temporary table lost_link (
    name text not null, table_name text not null, column_name text not null, row_id text not null, pointing text not null,
    former_id uuid
) on commit drop;

-- step: former
-- Whoever is pointed at and is not there: where their links belong is asked of the rules by which links are followed.
create temporary table former on commit drop as
select owner as former_id from batch_owner where patient is null
union
select former_id from lost_link where former_id is not null;

-- step: lost
-- What is known of them: by which id, who could be meant, and why nobody follows. One who is there in the newest reading,
-- or has gone a few minutes before, may be back under a new UUID at any moment.
create temporary table lost on commit drop as
select successor.former_id, successor.outcome, last.filemaker_id,
       case when successor.outcome = 'ambiguous' then could_be.patients end as could_be,
       coalesce(last.ended is null
                or (successor.outcome = 'absent' and last.ended >= (
                        select min(id) from fm_migration.patient_read
                        where read_at > now() - cast(:reimport_lasts as interval))), false)
           and last.patient_id is not null as young
from successor
left join lateral (
    select * from fm_migration.patient_identity as tenure
    where tenure.patient_id = successor.former_id order by tenure.began desc limit 1
) as last on true
left join lateral (
    select string_agg(holder.patient_id::text, ', ' order by holder.patient_id) as patients
    from fm_migration.patient_identity as holder
    where holder.filemaker_id = last.filemaker_id and holder.ended is null
) as could_be on true;

-- step: analyze_lost
analyze lost;

-- step: batch_without_patient
-- Only batches that hold images: an empty one hides nothing. One that we had placed and that somebody has given to a
-- patient of whom no id is known is that person's decision, and not taken back.
insert into found
select case when lost.outcome = 'ambiguous' then 'link_ambiguous'
            when lost.outcome in ('without_id', 'never_seen') and placed.written ->> 'object_id' <> batch_owner.owner::text
                then 'given_batch_lost'
            else 'batch_without_patient' end,
       'batch ' || batch_owner.batch,
       jsonb_strip_nulls(jsonb_build_object(
           'batch', batch_owner.batch, 'patient', batch_owner.owner, 'has', batch_owner.images, 'filemaker_id', lost.filemaker_id,
           'state', lost.outcome, 'could_be', lost.could_be)),
       lost.young
from batch_owner
join lost on lost.former_id = batch_owner.owner
left join fm_migration.last_written as placed
    on placed.table_name = 'images_batch' and placed.row_id = batch_owner.batch::text
where batch_owner.patient is null and batch_owner.images > 0;

-- step: link_without_patient
insert into found
select case when lost.outcome = 'ambiguous' then 'link_ambiguous' else 'link_without_patient' end,
       'link ' || lost_link.name || ' ' || lost_link.row_id,
       jsonb_strip_nulls(jsonb_build_object(
           'table', lost_link.table_name, 'column', lost_link.column_name, 'of', lost_link.row_id,
           'patient', lost_link.pointing, 'filemaker_id', lost.filemaker_id, 'state', coalesce(lost.outcome, 'never_seen'),
           'could_be', lost.could_be)),
       coalesce(lost.young, false)
from lost_link left join lost using (former_id);

-- step: shared_holder
-- Patients whose FileMaker id somebody else has too now: what was led to them before may have been the other one's.
create temporary table shared_holder on commit drop as
select patient_id, filemaker_id from fm_migration.patient_identity where ended is null and shared;

-- step: image_without_batch
-- An image that staff have put on a batch of something else than a patient is theirs.
insert into found
select 'image_without_batch', 'image ' || image,
       jsonb_strip_nulls(jsonb_build_object('image', image, 'key', key, 'batch', batch, 'recid', recid))
from shown
where not has_batch or (not of_patient and (photo is not null or not by_hand));

-- step: image_without_object
-- What was uploaded after the listing began may be missing from it.
insert into found
select 'image_without_object', 'image ' || image,
       jsonb_strip_nulls(jsonb_build_object('image', image, 'key', key, 'batch', batch, 'recid', recid)),
       not known and uploaded_at > :listed_at
from shown
where listed and not stored and not exists (select from stray where stray.image = shown.image);

-- step: file_misplaced
-- The key where the file is now; `of` is the one that the image names.
insert into found
select 'file_misplaced', 'image ' || stray.image,
       jsonb_strip_nulls(jsonb_build_object(
           'image', stray.image, 'key', stray.now_at, 'of', shown.key, 'size', stray.size, 'recid', shown.recid))
from stray join shown using (image);

-- step: file_unreadable
-- As the thumbnails have found them, as long as the object is the one that was read; empty ones are known by the listing.
insert into found
select 'file_unreadable', 'object ' || key,
       jsonb_strip_nulls(jsonb_build_object(
           'key', key, 'image', min(image::text), 'recid', min(recid), 'size', min(size), 'state', min(state)))
from (
    select shown.key, shown.image, shown.recid, shown.size, made.state
    from shown join fm_migration.thumbnail as made on made.clinic_image = shown.image
    where made.state in ('unreadable', 'partial') and made.source_key = shown.key and shown.stored
      and made.source_etag in ('', shown.etag)
  union all
    select photo.key, photo.clinic_image, photo.recid, object.size, null
    from fm_migration.photo join fm_migration.s3_inventory as object on object.key = photo.key
    where object.size = 0 and object.vanished is null and photo.in_export
) as damaged
group by key;

-- step: file_not_an_image
insert into found
select 'file_not_an_image', 'object ' || key,
       jsonb_strip_nulls(jsonb_build_object(
           'key', key, 'image', min(image::text), 'recid', min(recid), 'state', min(state)))
from (
    select shown.key, shown.image, shown.recid, null as state
    from shown join fm_migration.thumbnail as made on made.clinic_image = shown.image
    where made.state = 'not_an_image' and made.source_key = shown.key and shown.stored
      and made.source_etag in ('', shown.etag)
  union all
    select key, null, recid, state from fm_migration.photo where state = 'unsupported_file'
) as other_file
group by key;

-- step: content_under_two_patients
-- The same bytes, by the listing's checksum or by that of whoever read them, on the records of two patients. A checksum
-- with a hyphen is none of the whole file, and all empty files are alike.
insert into found
with content as (
    select image, patient, key, size || ':' || etag as content
    from shown where patient is not null and stored and size > 0 and etag <> '' and etag not like '%-%'
  union all
    select shown.image, shown.patient, shown.key, made.original_sha256
    from shown join fm_migration.thumbnail as made on made.clinic_image = shown.image
    where shown.patient is not null and shown.stored and shown.size > 0 and made.original_sha256 <> ''
      and made.source_key = shown.key and made.source_etag in ('', shown.etag)
), shared as (
    select content from content group by content having min(patient::text) <> max(patient::text)
), twice as (
    select content.* from content join shared using (content)
)
select distinct on (twice.image) 'content_under_two_patients', 'image ' || twice.image,
       jsonb_build_object('image', twice.image, 'key', twice.key, 'patient', twice.patient, 'of', other.image)
from twice join twice as other on other.content = twice.content and other.patient <> twice.patient
order by twice.image, other.image;

-- step: image_doubled
-- Images that no person uploaded and that show a photograph which another one shows already.
insert into found
select 'image_doubled', 'image ' || twin.image,
       jsonb_strip_nulls(jsonb_build_object('image', twin.image, 'of', known.kept, 'batch', twin.batch, 'key', twin.key))
from fm_migration.double_image as known
join shown as twin on twin.image = known.clinic_image
join shown as kept on kept.image = known.kept
where not twin.by_hand;

-- step: batch_doubled
-- Two imported batches of one patient and day; where no photograph tells the day, the name does, with or without the
-- zero before the day. The one with most photographs of the export is the batch.
insert into found
select 'batch_doubled', 'batch ' || batch,
       jsonb_build_object('batch', batch, 'of', kept, 'patient', owner, 'has', images), in_upload
from (
    select batch_owner.*, first_value(batch) over same_day as kept, row_number() over same_day as rank
    from batch_owner
    where not by_hand and images > 0
    window same_day as (
        partition by owner, case when day = 'undated' then 'Undated (FileMaker Import)'
                                 when day is null then regexp_replace(name, '^\d [A-Z][a-z]{2} \d{4} \(FileMaker', '0\&')
                                 else to_char(day::date, 'DD Mon YYYY') || ' (FileMaker Import)' end
        order by of_rows desc, images desc, uploaded_at, batch
    )
) as ranked
where rank > 1;

-- step: batch_empty
insert into found
select 'batch_empty', 'batch ' || batch, jsonb_build_object('batch', batch, 'patient', owner), in_upload
from batch_owner where images = 0;

-- step: count_wrong
insert into found
select 'count_wrong', 'batch ' || batch,
       jsonb_build_object('batch', batch, 'patient', owner, 'says', image_count, 'has', images), in_upload
from batch_owner where image_count <> images;

-- step: thumbnail_missing
-- Photographs of the export that show none although their file has a picture; and those that show one which is gone. Who
-- has undone a thumbnail does not want it.
insert into found
select 'thumbnail_missing', 'image ' || shown.image,
       jsonb_strip_nulls(jsonb_build_object(
           'image', shown.image, 'key', nullif(shown.thumbnail_key, ''), 'recid', shown.recid, 'state', made.state)),
       shown.thumbnail_key <> '' and (coalesce(made.made_at, shown.uploaded_at) > :listed_at)
from shown
left join fm_migration.thumbnail as made on made.clinic_image = shown.image
left join fm_migration.s3_inventory as object on object.key = shown.thumbnail_key and object.vanished is null
where shown.photo is not null and shown.stored
  and case when shown.thumbnail_key = ''
           then made.undone_at is null
                and not coalesce(made.state in ('unreadable', 'not_an_image') and made.source_key = shown.key
                                 and made.source_etag in ('', shown.etag), false)
           else object.key is null and shown.thumbnail_key ^@ any (cast(:prefixes as text[])) end;

-- step: thumbnail_stale
insert into found
select 'thumbnail_stale', 'image ' || shown.image,
       jsonb_strip_nulls(jsonb_build_object('image', shown.image, 'key', shown.thumbnail_key, 'recid', shown.recid))
from shown
join fm_migration.thumbnail as made on made.clinic_image = shown.image and made.key = shown.thumbnail_key
where made.state in ('current', 'adopted', 'partial') and shown.stored
  and (made.source_key <> shown.key or made.source_etag not in ('', shown.etag));

-- step: thumbnail_without_image
-- Ours that no image shows, and of the clinic's own those whose original is gone too: the others wait beside their
-- originals, and may be adopted. A run that makes thumbnails writes the object first and the row a little later.
insert into found
select 'thumbnail_without_image', 'thumbnail ' || object.key,
       jsonb_strip_nulls(jsonb_build_object('key', object.key, 'recid', object.recid, 'size', object.size)),
       object.last_modified > case when object.key ^@ :thumbnail_prefix
                                   then :listed_at - cast(:making_time as interval) else :listed_at end
from fm_migration.s3_inventory as object
where object.kind = 'thumbnail' and object.vanished is null and object.key ^@ any (cast(:prefixes as text[]))
  and not exists (select from shown where shown.thumbnail_key = object.key)
  and (object.key ^@ :thumbnail_prefix
       or (not exists (select from fm_migration.s3_inventory as original
                       where original.kind = 'original' and original.vanished is null
                         and original.recid = object.recid)
           and not exists (select from fm_migration.s3_inventory as original
                           where original.kind = 'original' and original.vanished is null
                             and original.image_id = object.image_id)));

-- step: mirrored_side
insert into found
select 'mirrored_side', 'image ' || shown.image,
       jsonb_strip_nulls(jsonb_build_object('image', shown.image, 'key', shown.key, 'recid', shown.recid))
from shown
join fm_migration.thumbnail as made on made.clinic_image = shown.image
where made.mirrored_side and made.source_key = shown.key and shown.stored and made.source_etag in ('', shown.etag);

-- step: archived_patient
insert into found
select 'archived_patient', 'patient ' || patient,
       jsonb_strip_nulls(jsonb_build_object(
           'patient', patient, 'filemaker_id', min(person.filemaker_id::text), 'has', count(*)))
from shown left join person on person.patient_id = shown.patient
where archived group by patient;

-- step: too_new
-- What is too young to be judged, whatever it would be.
insert into found
select distinct on (subject) 'too_new', subject, evidence || jsonb_build_object('state', class)
from found where young order by subject, class;

-- step: forget_young
delete from found where young;

-- step: waive
-- An accepted finding keeps its reason; a line for the very subject goes before one for the whole class.
update found set waiver = accepted.message
from (
    select distinct on (found.class, found.subject) found.class, found.subject, waiver.message
    from found join waiver on waiver.class = found.class and waiver.subject in (found.subject, '*')
    order by found.class, found.subject, waiver.subject = '*'
) as accepted
where accepted.class = found.class and accepted.subject = found.subject;

-- step: populations
-- How many there are of what each class is about. Classes that the app's own tables prove in one look are not here:
-- they may hold any share. What is compared between two sources may come from a wrong one.
select (select count(*) from fm_migration.csv_metadata) as rows,
       (select count(*) from fm_migration.s3_inventory where kind = 'original' and vanished is null) as originals,
       (select count(*) from fm_migration.s3_inventory where kind = 'thumbnail' and vanished is null) as thumbnails,
       (select count(*) from shown where listed) as images,
       (select count(*) from shown where photo is not null) as photographs;

-- step: withhold
delete from found where class = any (cast(:withheld as text[])) and waiver is null;

-- step: count_found
select class, waiver is not null as waived, count(*) as findings from found group by 1, 2;

-- step: count_new
-- What the report before this one did not have. Of a class that it has withheld nobody can say. An archived patient is
-- the same person under the UUID of after a re-import.
select class, count(*) as findings from found
where waiver is null and class <> 'too_new'
  and class <> all (cast(:withheld_before as text[]))
  and not exists (
      select from fm_migration.finding as before
      where before.class = found.class and before.last_report = :before
        and coalesce(case when before.class = 'archived_patient' then before.evidence ->> 'filemaker_id' end,
                     before.subject)
          = coalesce(case when found.class = 'archived_patient' then found.evidence ->> 'filemaker_id' end,
                     found.subject))
group by class;

-- step: content
-- All that is open in one word; the order does not matter.
select count(*) || '-' || coalesce(sum(hashtextextended(
    class || '|' || subject || '|' || evidence::text || '|' || coalesce(waiver, ''), 0)), 0) as content
from found;

-- step: bucket
-- What is there of each kind, under the prefixes that were listed.
select kind, count(*) as objects, sum(size)::bigint as bytes
from fm_migration.s3_inventory
where vanished is null and key ^@ any (cast(:prefixes as text[]))
group by kind;

-- step: states
select state, count(*) as photographs from fm_migration.photo where in_export group by state;

-- step: originals
-- The same by originals: each is one photograph's, or in a state of its own.
select state, count(*) as originals from fm_migration.photo where key is not null group by state;

-- step: images
-- Images as the gallery shows them: on a patient's batch, the patient there, and the object too.
select count(*) as images,
       count(*) filter (where patient is not null and (stored or not listed)) as visible,
       count(*) filter (where not has_batch or not of_patient) as without_batch,
       count(*) filter (where of_patient and patient is null) as without_patient,
       count(*) filter (where patient is not null and listed and not stored) as without_object,
       count(distinct patient) filter (where stored or not listed) as patients_with_photographs,
       (select count(*) from patients) as patients
from shown;

-- step: linked_rows
-- What became of the rows that are linked by the plan: their photograph shows, or the first thing that it lacks.
select count(*) filter (where shown.image is null) as not_applied,
       count(*) filter (where shown.image is not null and shown.patient is null) as without_patient,
       count(*) filter (where shown.patient is not null and shown.listed and not shown.stored) as without_object,
       count(*) filter (where shown.patient is not null and (shown.stored or not shown.listed)) as visible
from fm_migration.photo left join shown on shown.image = photo.clinic_image
where photo.state in ('linked', 'placed_by_staff');

-- step: thumbnails
select case when made.clinic_image is null and shown.thumbnail_key <> '' then 'of_the_clinic'
            else coalesce(made.state, 'missing') end as state, count(*) as photographs
from shown left join fm_migration.thumbnail as made on made.clinic_image = shown.image
where shown.photo is not null
group by 1;

-- step: hidden
-- Originals that could be shown and that no patient's page shows, by their state; without what the clinic has accepted,
-- and without what its people have deleted in the app.
select state, count(*) as photographs
from (
    select photo.key, min(photo.state) as state
    from fm_migration.photo
    join fm_migration.s3_inventory as object on object.key = photo.key and object.vanished is null
    left join fm_migration.csv_metadata as csv on csv.photo = photo.photo
    where object.size > 0 and photo.state not in ('unsupported_file', 'removed_by_staff')
      and not exists (select from shown where shown.key = photo.key and shown.patient is not null)
      and not exists (select from fm_migration.thumbnail as made
                      where made.clinic_image = photo.clinic_image and made.state = 'unreadable')
      and not exists (select from found where waiver is not null and evidence ->> 'row' = csv.row_number::text)
      and not exists (select from found where waiver is not null and evidence ->> 'key' = photo.key)
    group by photo.key
) as original
group by state;

-- step: record
insert into fm_migration.report
    (run_id, export_read_id, snapshot_id, patient_read_id, plan_id, verdict, totals, counts, waived, withheld,
     data_version)
values (:run_id, :export_read_id, :snapshot_id, :patient_read_id, :plan, :verdict, cast(:totals as jsonb),
        cast(:counts as jsonb), cast(:waived as jsonb), cast(:withheld as jsonb), :data_version)
returning id, made_at;

-- step: keep
-- One row per class and subject, for ever: what is found again goes on, what is not found any more is closed by its
-- last report.
insert into fm_migration.finding as known
    (class, subject, severity, evidence, first_report, last_report, first_seen, last_seen, waiver)
select class, subject, cast(:severities as jsonb) ->> class, evidence, :report, :report, now(), now(), waiver
from found order by class, subject
on conflict (class, subject) do update
set severity = excluded.severity, evidence = excluded.evidence, last_report = excluded.last_report,
    last_seen = excluded.last_seen, waiver = excluded.waiver;

-- step: analyze_findings
analyze fm_migration.finding;
