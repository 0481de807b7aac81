-- The identity history: which patient UUIDs ever belonged to which FileMaker id.

-- step: look
-- The patients as they are now. The FileMaker id stands in a JSON object, or by an old fault of the clinic's script in
-- a JSON string in which that object is written out; in any case of letters. What is no UUID counts as malformed.
-- (`identity.py` makes it the table patient_now, or asks it directly.)
select patient_id, filemaker_text,
       case when filemaker_text ~ '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then filemaker_text::uuid end
           as filemaker_id
from (
    select id as patient_id,
           lower(trim(case jsonb_typeof(filemaker_metadata)
               when 'object' then filemaker_metadata ->> 'filemaker_id'
               when 'string' then substring(filemaker_metadata #>> '{}' from '"filemaker_id"\s*:\s*"([^"]*)"')
           end)) as filemaker_text
    from patients
    -- Without this the planner works the text out anew for each of its three uses.
    offset 0
) as read;

-- step: fingerprint
-- Equal fingerprints mean equal pairs of UUID and FileMaker id; the order of the rows does not matter. One hash is the
-- seed of the other, which spares a million texts.
select count(*) as patients,
       count(filemaker_text) as with_filemaker_id,
       count(*) || '-' || coalesce(sum(
           hashtextextended(coalesce(filemaker_text, ''), uuid_hash_extended(patient_id, 0))), 0) as fingerprint
from patient_now;

-- step: survey
-- Counts of what a person should know, and how many of the patients that we know as current are there. Patients are
-- counted, not ids: while only one of two who share an id is back, the id would look unambiguous.
select count(filemaker_id) as with_filemaker_id,
       count(*) filter (where filemaker_text <> '' and filemaker_id is null) as malformed,
       count(*) filter (where coalesce(filemaker_text, '') = '') as without_filemaker_id,
       count(*) as patients,
       (select count(*) from (select from patient_now where filemaker_id is not null
                              group by filemaker_id having count(*) > 1) as twice) as ambiguous,
       (select count(*) from fm_migration.patient_identity where current) as known,
       (select count(*) from (select filemaker_id from fm_migration.patient_identity where current
                              intersect all select filemaker_id from patient_now) as both_times) as known_present,
       coalesce(count(filemaker_id) || '-' || sum(uuid_hash_extended(filemaker_id, uuid_hash_extended(patient_id, 0))),
                '0-0') as data_version
from patient_now;

-- step: retire
-- A pair that is no longer in the table stays as history.
update fm_migration.patient_identity as known
set current = false, last_seen = now()
where current and not exists (
    select from patient_now
    where patient_now.filemaker_id = known.filemaker_id and patient_now.patient_id = known.patient_id
);

-- step: return
-- A pair of former days that is in the table again: a backup was restored.
update fm_migration.patient_identity as known
set current = true, last_seen = now()
from patient_now
where not known.current
  and patient_now.filemaker_id = known.filemaker_id and patient_now.patient_id = known.patient_id;

-- step: learn
-- Pairs seen for the first time, in the order of the primary key: that fills its index page after page, and many
-- cost a third less.
insert into fm_migration.patient_identity (filemaker_id, patient_id, current, first_seen, last_seen)
select filemaker_id, patient_id, true, now(), now()
from patient_now
where filemaker_id is not null and not exists (
    select from fm_migration.patient_identity as known
    where known.filemaker_id = patient_now.filemaker_id and known.patient_id = patient_now.patient_id
)
order by filemaker_id, patient_id;

-- step: record
insert into fm_migration.patient_read
    (fingerprint, data_version, patients, with_filemaker_id, known, known_present, run_id)
values (:fingerprint, :data_version, :patients, :with_filemaker_id, :known, :known_present, :run_id);
