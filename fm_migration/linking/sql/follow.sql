-- Where links that lead to nobody belong: from former patient to present one, along the tenures.

-- step: dangling
-- Former UUIDs that links point at, by the column they stand in. `following.py` fills it, a column at a time.
create temporary table dangling (column_number int not null, former_id uuid not null, links bigint not null)
on commit drop;

-- step: former
create temporary table former on commit drop as select distinct former_id from dangling;

-- step: analyze_former
analyze former;

-- step: successor
-- Each former patient's way to a present one, a tenure at a time. It goes on only along an id that the patient held when
-- it went and that was its alone then; to whoever held that id next, if that is one patient, who has it alone, was not
-- there at the same time and was known under no other id before: a known patient who takes an id is nobody's successor. Written the same way counts first; another case only where nobody else held it in another case.
-- A person's word (fm-migration settle) goes before all of it.
create temporary table successor on commit drop as
with recursive path as (
    select former_id, former_id as patient_id, null::text as outcome, 0 as steps from former
  union all
    select path.former_id, coalesce(settled.patient_id, next.patient_id),
           case
               when settled.patient_id is not null then case when settled.present then 'found' end
               when last.patient_id is null then 'never_seen'
               when last.ended is null then 'absent'
               when last.filemaker_id is null then 'without_id'
               when last.shared then 'ambiguous'
               when next.holders is null then 'absent'
               when next.holders > 1 or next.contested or next.was_there then 'ambiguous'
               when next.present then 'found'
           end,
           path.steps + 1
    from path
    left join lateral (
        select settlement.patient_id,
               exists (select from patients where patients.id = settlement.patient_id) as present
        from fm_migration.settlement where settlement.former_id = path.patient_id
    ) as settled on true
    left join lateral (
        select * from fm_migration.patient_identity as tenure
        where tenure.patient_id = path.patient_id order by tenure.began desc limit 1
    ) as last on true
    left join lateral (
        select min(holder.patient_id::text)::uuid as patient_id,
               nullif(count(distinct holder.patient_id), 0) as holders,
               bool_or(holder.shared or (holder.twin and holder.written <> last.written)) as contested,
               bool_or(exists (
                   select from fm_migration.patient_identity as earlier
                   where earlier.patient_id = holder.patient_id and earlier.began < holder.began
                     and (earlier.filemaker_id is distinct from last.filemaker_id
                          or (earlier.began < last.ended
                              and (earlier.ended is null or earlier.ended > last.began))))) as was_there,
               bool_or(exists (select from patients where patients.id = holder.patient_id)) as present
        from (
            select tenure.*, rank() over (order by tenure.began) as rank,
                   bool_or(tenure.written = last.written) over (partition by tenure.began) as written_the_same
            from fm_migration.patient_identity as tenure
            where tenure.filemaker_id = last.filemaker_id and tenure.patient_id <> last.patient_id
              and tenure.began >= last.ended and (tenure.written = last.written or not last.twin)
              -- Of two UUIDs from before all readings neither has come in the other's place, for all we know.
              and not tenure.recognised
        ) as holder
        where holder.rank = 1 and (holder.written = last.written or not holder.written_the_same)
    ) as next on true
    where path.outcome is null and path.steps < 1000
)
select former_id, patient_id, outcome from path
where outcome is not null;

-- step: index_successor
create unique index on successor (former_id);

-- step: analyze_successor
analyze successor;

-- step: count_links
-- By column, what became of the links that led to nobody.
select column_number,
       sum(links)::bigint as dangling,
       coalesce(sum(links) filter (where outcome = 'found'), 0)::bigint as found,
       coalesce(sum(links) filter (where outcome = 'never_seen'), 0)::bigint as never_seen,
       coalesce(sum(links) filter (where outcome = 'ambiguous'), 0)::bigint as ambiguous
from dangling join successor using (former_id)
group by column_number;

-- step: lead_agreements
-- Whose batch it was when a photograph agreed with its row, where only the app's own UUID tells that patient from others:
-- it follows like a link, since following is not a decision about whose something is.
update fm_migration.recognition as known set agreed_with = successor.patient_id
from successor
where successor.former_id = known.agreed_with and successor.outcome = 'found';
