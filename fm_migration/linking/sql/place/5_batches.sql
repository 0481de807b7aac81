-- Where each photograph belongs: the batch of its patient and day, and what is held back.

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
           -- It has left the batch in which we had put it, or in which it once agreed with its row.
           when coalesce((written.written ->> 'batch_id')::uuid, known.agreed_in) <> match.batch_id or batch_owner.by_hand
               then 'placed_by_staff'
           -- The row was corrected to somebody who is not there: nobody has decided anything.
           when candidate.home = 'absent' then
               case when batch_owner.owner is null or held.placed_by_row then 'wait' else 'placed_by_staff' end
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
left join fm_migration.recognition as known on known.clinic_image = match.image
where candidate.state in ('linked', 'absent')
  and not exists (select from contradicted where contradicted.photo = candidate.photo);

-- step: limit
-- Of a plan that is limited on purpose only the first photographs are linked.
create temporary table beyond_limit on commit drop as
select photo
from (
    select candidate.photo, row_number() over (order by candidate.row_number) as rank
    from candidate join placement_of using (photo)
    where candidate.state = 'linked' and placement_of.decision in ('create', 'move', 'stay')
) as counted
where rank > :limit;

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
