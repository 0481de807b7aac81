-- What would change in the clinic's tables so that every photograph hangs on its patient, and why. Links have been
-- followed before (follow.sql); here is decided where photographs are, and only for those about which something has
-- changed since the table `photo` was worked out last. Nothing here writes to a table of the clinic.

-- Who somebody is: the patient of every contact that the export names.

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
           case when successor.outcome = 'found' then successor.patient_id end, held.filemaker_id,
           coalesce(held.shared or held.twin, false), successor.outcome = 'ambiguous' or coalesce(held.shared, false)
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
-- What is written says who is meant: both in one condition would look to the planner as if they chose independently.
create index on contact_home (written);

-- step: analyze_contact_home
analyze contact_home;
