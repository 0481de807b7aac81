-- The identity history: which patient held which FileMaker id, from which reading of the patients to which.

-- step: look
-- The patients as they are now. The FileMaker id stands in a JSON object, or by an old fault of the clinic's script in
-- a JSON string in which that object is written out. What is not a UUID counts as malformed.
-- (`identity.py` puts it in the place of {look} in the other steps.)
select patient_id, written,
       case when written ~ '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then written::uuid end
           as filemaker_id
from (
    select id as patient_id,
           coalesce(trim(case jsonb_typeof(filemaker_metadata)
               when 'object' then filemaker_metadata ->> 'filemaker_id'
               when 'string' then substring(filemaker_metadata #>> '{}' from '"filemaker_id"\s*:\s*"([^"]*)"')
           end), '') as written
    from patients
    -- Without this the planner works the text out anew for each of its three uses.
    offset 0
) as read;

-- step: fingerprint
-- Equal fingerprints mean equal pairs of UUID and id as written; the order of the rows does not matter. One hash is the
-- seed of the other, which spares a million texts.
with patient_now as materialized ({look})
select count(*) as patients,
       count(*) filter (where written <> '') as with_filemaker_id,
       count(*) || '-' || coalesce(sum(hashtextextended(written, uuid_hash_extended(patient_id, 0))), 0) as fingerprint
from patient_now;

-- step: survey
-- The same, with what a person should know and the version of the pairs.
with patient_now as materialized ({look})
select count(*) as patients,
       count(filemaker_id) as with_filemaker_id,
       count(*) filter (where written <> '' and filemaker_id is null) as malformed,
       count(*) filter (where written = '') as without_filemaker_id,
       count(*) || '-' || coalesce(sum(hashtextextended(written, uuid_hash_extended(patient_id, 0))), 0) as fingerprint,
       coalesce(count(filemaker_id) || '-' || sum(uuid_hash_extended(filemaker_id, uuid_hash_extended(patient_id, 0))),
                '0-0') as data_version
from patient_now;

-- step: last_read
select fingerprint, data_version, known, known_present, ambiguous
from fm_migration.patient_read order by id desc limit 1;

-- step: presence
-- How many of the FileMaker ids that somebody held at the last reading, or a short time before it, are there now. The
-- holders are counted, not ids: while only one of two who share an id is back, the id would look unambiguous.
with patient_now as materialized ({look}), held as (
    select filemaker_id, count(*) as holders from fm_migration.patient_identity
    where filemaker_id is not null
      and (ended is null
           or (ending = 'gone' and ended >= (select min(id) from fm_migration.patient_read
                                             where read_at > now() - cast(:reimport_lasts as interval))))
    group by filemaker_id
), there as (
    select filemaker_id, count(*) as holders from patient_now where filemaker_id is not null group by filemaker_id
), compared as (
    -- Who was replaced meanwhile is both gone and there: one person.
    select least(held.holders, greatest(there.holders, 1)) as known, least(held.holders, coalesce(there.holders, 0))
        as present
    from held left join there using (filemaker_id)
)
select coalesce(sum(known), 0)::bigint as known, coalesce(sum(present), 0)::bigint as known_present from compared;

-- step: unconcerned
-- Whether what has changed since the links were made is nothing but new patients whom nothing waits for: nobody who was
-- there is gone or has another id, no former patient had that id, and no row of the export names them. A run that broke
-- off may have read the patients and led no link. The history knows everybody then, and whoever the links wait for would
-- look like nobody: so the newest reading must be the one that the links were made from.
with patient_now as materialized ({look})
select (select fingerprint from fm_migration.patient_read order by id desc limit 1)
       = all (select fingerprint from fm_migration.consumed)
and not exists (
    select from fm_migration.patient_identity as held
    left join patient_now on patient_now.patient_id = held.patient_id
                          and patient_now.filemaker_id is not distinct from held.filemaker_id
    where held.ended is null and patient_now.patient_id is null
) and not exists (
    select from patient_now
    where not exists (select from fm_migration.patient_identity as held
                      where held.patient_id = patient_now.patient_id and held.ended is null)
      and (exists (select from fm_migration.patient_identity as former
                   where former.filemaker_id = patient_now.filemaker_id)
           or exists (select from fm_migration.patient_identity as former
                      where former.patient_id = patient_now.patient_id)
           or exists (select from fm_migration.csv_metadata as csv
                      where csv.contact in (patient_now.filemaker_id, patient_now.patient_id)))
) as unconcerned;

-- step: differ
-- Where the patients and the open tenures differ. A patient has one id at a time, so one open tenure.
create temporary table difference on commit drop as
with patient_now as materialized ({look})
select present.patient_id, present.filemaker_id, present.written,
       held.patient_id as held_by, held.began, held.filemaker_id as held_id
from patient_now as present
full join (select * from fm_migration.patient_identity where ended is null) as held using (patient_id)
where present.patient_id is null or held.patient_id is null
   or present.filemaker_id is distinct from held.filemaker_id or present.written <> held.written;

-- step: analyze_difference
analyze difference;

-- step: count_difference
-- Ids that were held and are nobody's now, and those that are somebody's again or for the first time.
with lost as (
    select held_id as filemaker_id from difference where held_id is not null and patient_id is null
    except select filemaker_id from difference where filemaker_id is not null
), found as (
    select filemaker_id from difference where filemaker_id is not null
    except select held_id from difference where held_id is not null
)
select (select count(*) from lost
        where not exists (select from fm_migration.patient_identity as held
                          where held.filemaker_id = lost.filemaker_id and held.ended is null
                            and held.patient_id not in (select held_by from difference where held_by is not null)))
           as absent,
       (select count(*) from difference where patient_id is not null and held_id is not null and filemaker_id is null)
           as withdrawn,
       (select count(*) from found
        where exists (select from fm_migration.patient_identity as former
                      where former.filemaker_id = found.filemaker_id and former.ended is not null)
          and not exists (select from fm_migration.patient_identity as held
                          where held.filemaker_id = found.filemaker_id and held.ended is null)) as returned;

-- step: record
insert into fm_migration.patient_read
    (fingerprint, data_version, patients, with_filemaker_id, malformed, known, known_present, run_id)
values (:fingerprint, :data_version, :patients, :with_filemaker_id, :malformed, :known, :known_present, :run_id)
returning id;

-- step: end
-- A tenure ends with its patient's row, or without it. One of several who shared an id is awaited: the others do not
-- become its only holders because a re-import has not got to that one yet.
update fm_migration.patient_identity as tenure
set ended = :reading,
    ending = case when gone then 'gone' else 'withdrawn' end,
    awaited = gone and (shared or twin)
from (
    select held_by, began, patient_id is null as gone from difference
    where held_by is not null and (patient_id is null or filemaker_id is distinct from held_id)
) as over
where tenure.patient_id = over.held_by and tenure.began = over.began;

-- step: begin
insert into fm_migration.patient_identity (patient_id, began, filemaker_id, written)
select patient_id, :reading, filemaker_id, written from difference
where patient_id is not null and (held_by is null or filemaker_id is distinct from held_id)
order by filemaker_id, patient_id;

-- step: doubt
-- An id whose former holder is gone, and that has come to a patient who was there already, tells nobody for certain any
-- more: a re-import brings ids by new patients. Nor does it after the next re-import of whoever has it.
create temporary table doubtful on commit drop as
with taken as materialized (
    select patient_id, filemaker_id from difference
    where patient_id is not null and held_by is not null
      and filemaker_id is not null and filemaker_id is distinct from held_id
)
select taken.patient_id
from taken
join fm_migration.patient_identity as former
    on former.filemaker_id = taken.filemaker_id and former.patient_id <> taken.patient_id and former.ending = 'gone'
union
select difference.patient_id
from fm_migration.patient_identity as before join difference on difference.filemaker_id = before.filemaker_id
where before.passed and difference.patient_id is not null;

-- step: pass
-- A step of its own, for the few clinics that have such: nobody knows yet how many tenures begin with this reading, and
-- PostgreSQL would look for them through all the ids that there are.
update fm_migration.patient_identity as tenure set passed = true
from doubtful
where tenure.patient_id = doubtful.patient_id and tenure.began = :reading and tenure.ended is null;

-- step: rewrite
-- The same id in another case, or another malformed one, is not a new tenure.
update fm_migration.patient_identity as tenure set written = difference.written
from difference
where tenure.patient_id = difference.held_by and tenure.began = difference.began
  and difference.patient_id is not null and difference.filemaker_id is not distinct from difference.held_id;

-- step: affect
-- The ids whose holders are others now, and those whose awaited holders nobody needs to wait for any longer.
create temporary table affected on commit drop as
select filemaker_id from difference where filemaker_id is not null
union
select held_id from difference where held_id is not null
union
select filemaker_id from fm_migration.patient_identity as tenure
join fm_migration.patient_read on patient_read.id = tenure.ended
where awaited and read_at < now() - cast(:awaited_for as interval);

-- step: analyze_affected
analyze affected;

-- step: contest
-- Of these the ones that several hold, or have held until they were last seen.
create temporary table contested on commit drop as
select filemaker_id,
       count(distinct patient_id) filter (where awaited) as awaited,
       count(distinct written) filter (where ended is null) > 1 as told_apart,
       min(ended) filter (where awaited) as since,
       max(ended) filter (where awaited) as until
from fm_migration.patient_identity join affected using (filemaker_id)
where ended is null or awaited
group by filemaker_id having count(*) > 1 or bool_or(shared or twin or awaited);

-- step: release
-- As many are back as were awaited, of all or of those whose id was written the same way; or they have been away for
-- longer than any re-import takes. Where those who are there are told apart by how their ids are written, who comes back
-- with another spelling is not known to be one of those who went.
update fm_migration.patient_identity as tenure set awaited = false
from contested
where tenure.filemaker_id = contested.filemaker_id and tenure.awaited
  and (not contested.told_apart
       and (select count(distinct patient_id) from fm_migration.patient_identity as back
            where back.filemaker_id = contested.filemaker_id and back.began >= contested.since) >= contested.awaited
       or (select count(distinct patient_id) from fm_migration.patient_identity as back
           where back.filemaker_id = contested.filemaker_id and back.written = tenure.written
             and back.began >= contested.since)
          >= (select count(distinct patient_id) from fm_migration.patient_identity as away
              where away.filemaker_id = contested.filemaker_id and away.written = tenure.written and away.awaited)
       or (select read_at from fm_migration.patient_read where id = contested.until)
          < now() - cast(:awaited_for as interval));

-- step: share
-- Whose id is not theirs alone: somebody else who is there, or who is awaited, has it too.
update fm_migration.patient_identity as tenure
set shared = others.shared, twin = others.twin
from (
    select mine.patient_id, mine.began,
           coalesce(bool_or(other.written = mine.written), false) as shared,
           coalesce(bool_or(other.written <> mine.written), false) as twin
    from contested
    join fm_migration.patient_identity as mine using (filemaker_id)
    left join fm_migration.patient_identity as other
        on other.filemaker_id = mine.filemaker_id and other.patient_id <> mine.patient_id
        and (other.ended is null or other.awaited)
    where mine.ended is null
    group by mine.patient_id, mine.began
) as others
where tenure.patient_id = others.patient_id and tenure.began = others.began
  and (tenure.shared, tenure.twin) <> (others.shared, others.twin);

-- step: count_ambiguous
-- How many ids have several holders now; a year's worth of history does not make it slower.
update fm_migration.patient_read
set ambiguous = (
    select count(*) from (
        select from fm_migration.patient_identity
        where ended is null and (shared or twin) group by filemaker_id having count(*) > 1) as several)
where id = :reading
returning ambiguous;

-- step: analyze
analyze fm_migration.patient_identity;
