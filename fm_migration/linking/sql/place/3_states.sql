-- What each photograph in scope is: its original, and its one state as far as the export and the bucket decide it.

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
    left join contact_home as home on home.written = trim(csv.contact_text)
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
    left join contact_home as home on home.written = trim(csv.contact_text)
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
