-- What lies in the bucket, brought up to date with a complete listing in the table `listed`.

-- step: prepare
create temporary table listed (
    key text not null, kind text not null, recid text, image_id uuid, path_contact text, path_date text,
    extension text not null, etag text not null, size bigint not null, last_modified timestamptz not null,
    storage_class text not null
) on commit drop;

-- step: notice
-- What the queue has told and no reading has taken in yet, as of before this reading begins: what is told later may be
-- younger than the reading.
create temporary table noticed on commit drop as
select bucket, key, sequencer, happened_at from fm_migration.inbox where done is null;

-- step: survey
-- What was listed, beside what was there last time under the same prefixes.
select count(*) as objects,
       coalesce(sum(size), 0)::bigint as bytes,
       count(*) filter (where kind = 'original') as originals,
       coalesce(sum(size) filter (where kind = 'original'), 0)::bigint as original_bytes,
       count(*) filter (where kind = 'thumbnail') as thumbnails,
       count(*) filter (where kind = 'quarantine') as quarantined,
       count(*) filter (where kind = 'other') as others,
       count(*) filter (where kind = 'original' and size = 0) as empty_originals,
       count(*) filter (where kind = 'original' and recid is null and image_id is null) as unnamed_originals,
       coalesce(count(*) || '-' || sum(hashtextextended(key || '|' || etag || '|' || size, 0)), '0-0') as data_version,
       (select count(*) from fm_migration.s3_inventory
        where vanished is null and kind = 'original'
          and exists (select from unnest(cast(:prefixes as text[])) as prefix where starts_with(key, prefix))) as originals_before
from listed;

-- step: record
insert into fm_migration.inventory_snapshot (started_at, finished_at, source, bucket, prefixes, objects, bytes, run_id)
values (:started_at, clock_timestamp(), :source, :bucket, :prefixes, :objects, :bytes, :run_id)
returning id;

-- step: change
-- Objects whose content or description is another one now, or that have come back. The others cost no write.
update fm_migration.s3_inventory as known
set kind = listed.kind, recid = listed.recid, image_id = listed.image_id, path_contact = listed.path_contact,
    path_date = listed.path_date, extension = listed.extension, etag = listed.etag, size = listed.size,
    last_modified = listed.last_modified, storage_class = listed.storage_class, changed = :snapshot, vanished = null
from listed
where listed.key = known.key
  and (known.vanished is not null
       or (known.kind, known.etag, known.size, known.last_modified, known.storage_class)
          is distinct from (listed.kind, listed.etag, listed.size, listed.last_modified, listed.storage_class)
       or (known.recid, known.image_id, known.path_contact, known.path_date)
          is distinct from (listed.recid, listed.image_id, listed.path_contact, listed.path_date));

-- step: appear
insert into fm_migration.s3_inventory
    (key, kind, recid, image_id, path_contact, path_date, extension, etag, size, last_modified, storage_class,
     first_seen, changed)
select distinct on (key)
       key, kind, recid, image_id, path_contact, path_date, extension, etag, size, last_modified, storage_class,
       cast(:snapshot as bigint), cast(:snapshot as bigint)
from listed
where not exists (select from fm_migration.s3_inventory as known where known.key = listed.key);

-- step: analyze_inventory
analyze fm_migration.s3_inventory;

-- step: vanish
-- Marked with the snapshot that missed them, never removed. Only what lies under the listed prefixes can be missed.
-- The missing ones are found first, by subtracting one list from the other: that never compares each with each.
with missing as materialized (
    select key from fm_migration.s3_inventory
    where vanished is null
      and exists (select from unnest(cast(:prefixes as text[])) as prefix where starts_with(key, prefix))
    except
    select key from listed
)
update fm_migration.s3_inventory as known
set vanished = :snapshot
from missing
where known.key = missing.key;

-- step: ingest
-- What was told is done, once a reading has seen it: a complete listing all that was told before it, an inventory
-- report what had happened before it was made.
update fm_migration.inbox
set done = :snapshot
from noticed
where (inbox.bucket, inbox.key, inbox.sequencer) = (noticed.bucket, noticed.key, noticed.sequencer)
  and noticed.bucket = :bucket and (cast(:everything as boolean) or noticed.happened_at <= :started_at);

-- step: forget
-- A message may come twice, but not after the longest time that a queue keeps one, which is two weeks.
delete from fm_migration.inbox where done is not null and received_at < now() - interval '30 days';

-- step: record_events
-- Single objects were looked up: what can be judged is still as of the last complete reading.
insert into fm_migration.inventory_snapshot (started_at, finished_at, source, bucket, prefixes, objects, bytes, run_id)
select started_at, clock_timestamp(), 'events', bucket, prefixes, objects, bytes, :run_id
from fm_migration.inventory_snapshot order by id desc limit 1
returning id;

-- step: vanish_noticed
update fm_migration.s3_inventory as known
set vanished = :snapshot
where vanished is null
  and key in (select key from noticed where bucket = :bucket)
  and not exists (select from listed where listed.key = known.key);

-- step: survey_present
-- The same figures as those of a listing, of what is there now by all that was read.
select count(*) as objects,
       coalesce(sum(size), 0)::bigint as bytes,
       count(*) filter (where kind = 'original') as originals,
       coalesce(sum(size) filter (where kind = 'original'), 0)::bigint as original_bytes,
       count(*) filter (where kind = 'thumbnail') as thumbnails,
       count(*) filter (where kind = 'quarantine') as quarantined,
       count(*) filter (where kind = 'other') as others,
       count(*) filter (where kind = 'original' and size = 0) as empty_originals,
       count(*) filter (where kind = 'original' and recid is null and image_id is null) as unnamed_originals,
       coalesce(count(*) || '-' || sum(hashtextextended(key || '|' || etag || '|' || size, 0)), '0-0') as data_version
from fm_migration.s3_inventory
where vanished is null
  and exists (select from unnest(cast(:prefixes as text[])) as prefix where starts_with(key, prefix));

-- step: correct
update fm_migration.inventory_snapshot set objects = :objects, bytes = :bytes where id = :snapshot;

-- step: differing
-- Which of these objects the inventory does not have as they are. Whoever wrote the same bytes again has changed nothing.
select listed.key, known.key is null or known.vanished is not null as is_new
from unnest(cast(:keys as text[]), cast(:etags as text[]), cast(:sizes as bigint[])) as listed (key, etag, size)
left join fm_migration.s3_inventory as known using (key)
where known.key is null or known.vanished is not null or (known.etag, known.size) <> (listed.etag, listed.size);

-- step: present
select count(*) as objects from fm_migration.s3_inventory
where vanished is null
  and exists (select from unnest(cast(:prefixes as text[])) as prefix where starts_with(key, prefix));
