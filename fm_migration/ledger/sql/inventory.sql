-- What lies in the bucket, brought up to date with a complete listing in the table `listed`.

-- step: prepare
create temporary table listed (
    key text not null, kind text not null, recid text, image_id uuid, path_contact text, path_date text,
    extension text not null, etag text not null, size bigint not null, last_modified timestamptz not null,
    storage_class text not null
) on commit drop;

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

-- step: vanish
-- Marked with the snapshot that missed them, never removed. Only what lies under the listed prefixes can be missed.
update fm_migration.s3_inventory as known
set vanished = :snapshot
where vanished is null
  and exists (select from unnest(cast(:prefixes as text[])) as prefix where starts_with(key, prefix))
  and not exists (select from listed where listed.key = known.key);
