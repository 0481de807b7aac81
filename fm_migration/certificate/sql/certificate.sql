-- What a certificate says, and whether it still holds. Nothing here writes to a table that lasts.

-- step: basis
-- The newest reading of the export with the states that the newest plan gave its rows. They add up, or the plan is of
-- an older export than the one that was read last.
select export.id as export_read, export.read_at, export.sha256 as export_sha256, export.bytes as export_bytes,
       export.rows_read, export.rows_refused,
       plan.id as plan, plan.hash as plan_hash, plan.made_at as planned_at, plan.applied_at,
       listing.id as snapshot, listing.started_at as listed_at, listing.bucket,
       (select max(id) from fm_migration.patient_read) as patient_read,
       (select max(id) from fm_migration.report) as report,
       (select coalesce(jsonb_object_agg(state, photographs order by state), '{}') from (
            select state, count(*) as photographs from fm_migration.photo where in_export group by state
        ) as counted) as states
from (select) as always
left join lateral (select * from fm_migration.export_read order by id desc limit 1) as export on true
left join lateral (select * from fm_migration.inventory_snapshot order by id desc limit 1) as listing on true
left join lateral (select * from fm_migration.link_plan
                   where id = (select plan_id from fm_migration.placement)) as plan on true

-- step: waivers
-- The findings that the clinic has accepted, as of the newest report.
select class, subject, waiver as reason from fm_migration.finding
where waiver is not null and last_report = (select max(id) from fm_migration.report)
order by class, subject

-- step: originals
-- Every original with the hash of its bytes, if this very version of it was read, with the state of its row, and with
-- the image that shows it on a living patient's record. In the order of the keys' bytes.
with read as (
    select distinct on (source_key, source_etag) source_key, source_etag, original_sha256
    from fm_migration.thumbnail where original_sha256 <> ''
    order by source_key, source_etag, made_at desc
), named as (
    select distinct on (photo.key) photo.key, photo.recid, photo.state,
           case when patients.id is not null then image.id end as image
    from fm_migration.photo
    left join images_image as image on image.id = photo.clinic_image and image.s3_key = photo.key
    left join images_batch as batch on batch.id = image.batch_id and batch.content_type_id = :content_type
    left join patients on patients.id = batch.object_id
    where photo.key is not null
    order by photo.key, patients.id is null, photo.photo
)
select object.key, object.size as bytes, object.etag, read.original_sha256 as sha256, named.recid, named.state,
       named.image::text as image
from fm_migration.s3_inventory as object
left join read on read.source_key = object.key and read.source_etag = object.etag
left join named on named.key = object.key
where object.kind = 'original' and object.vanished is null
order by object.key collate "C"

-- step: prepare
create temporary table certified (
    key text not null, bytes bigint not null, etag text not null, sha256 text, image uuid
) on commit drop

-- step: prepare_bucket
create temporary table in_bucket (
    key text not null, bytes bigint not null, etag text not null, is_original boolean not null
) on commit drop

-- step: analyze
analyze certified

-- step: analyze_bucket
analyze in_bucket

-- step: gone
select key from certified where not exists (select from in_bucket where in_bucket.key = certified.key)
order by key collate "C"

-- step: changed
-- Another object under the same key. Where the bytes are read again, they decide, and not the ETag.
select certified.key, certified.bytes as bytes_then, in_bucket.bytes as bytes_now
from certified join in_bucket using (key)
where certified.bytes <> in_bucket.bytes
   or certified.etag <> in_bucket.etag and not (cast(:bytes_decide as boolean) and certified.sha256 is not null)
order by key collate "C"

-- step: to_read
-- What has a hash to be compared with, and may still be the same.
select certified.key, certified.sha256
from certified join in_bucket using (key)
where certified.sha256 is not null and certified.bytes = in_bucket.bytes
order by key collate "C"

-- step: new_objects
select count(*) as objects
from in_bucket where is_original and not exists (select from certified where certified.key = in_bucket.key)

-- step: images
-- Images that showed an original on a living patient's record then, and do not now.
select certified.image::text as image, certified.key,
       case when image.id is null then 'gone' when image.s3_key <> certified.key then 'other_object'
            when batch.id is null then 'no_batch' else 'no_patient' end as what
from certified
left join images_image as image on image.id = certified.image
left join images_batch as batch on batch.id = image.batch_id and batch.content_type_id = :content_type
left join patients on patients.id = batch.object_id
where certified.image is not null
  and (image.s3_key is distinct from certified.key or patients.id is null)
order by certified.key collate "C"
