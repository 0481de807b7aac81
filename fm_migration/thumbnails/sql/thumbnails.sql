-- Which images need a thumbnail, and what was made written into the clinic's images.
-- The steps page, ids, by_month and survey read from `source`, which `thumbnailing.py` puts in front of them.

-- step: source
-- Every image of a linked photograph, with its original as listed last and what we know of its thumbnail.
-- `outdated`: nothing was tried with the present source and recipe, or our thumbnail was lost. What could not be had is
-- tried again after a newer listing that still has it. `unshown`: there is one, and the app does not show it.
-- `replaced`: somebody has put another thumbnail in the place of ours, and theirs stays.
select image.id as clinic_image, photo.month, image.s3_key as source_key, image.s3_thumbnail_key as present_key,
       object.etag, object.size, coalesce(csv.type_text, '') as type_text,
       mine.state, mine.key as our_key, mine.mirrored_side,
       mine.clinic_image is not null
           and (mine.source_key <> image.s3_key or coalesce(mine.source_etag <> object.etag, false)) as source_changed,
       coalesce(mine.clinic_image is null
           or mine.recipe <> :recipe
           or mine.source_key <> image.s3_key
           or mine.source_etag <> object.etag
           or (mine.state = 'unavailable' and object.key is not null and mine.snapshot_id < newest.id)
           or exists (
               select from fm_migration.s3_inventory as lost
               where lost.key = mine.key and lost.vanished > coalesce(mine.snapshot_id, 0)), false) as outdated,
       coalesce(mine.state in ('current', 'adopted', 'partial') and image.s3_thumbnail_key = ''
           and mine.undone_at is null, false) as unshown,
       coalesce(mine.undone_at is null and image.s3_thumbnail_key not in ('', mine.key), false) as replaced,
       -- The clinic's own thumbnail, which may be as good as ours: the one that the app shows, else one in the dump.
       case when image.s3_thumbnail_key <> '' and (mine.key is distinct from image.s3_thumbnail_key
                                                   or mine.state = 'adopted') then image.s3_thumbnail_key
            else (select min(theirs.key) from fm_migration.s3_inventory as theirs
                  where theirs.recid = photo.recid and theirs.kind = 'thumbnail' and theirs.vanished is null
                    and not starts_with(theirs.key, :thumbnail_prefix)) end as existing_key
from fm_migration.photo
join images_image as image on image.id = photo.clinic_image
left join fm_migration.s3_inventory as object on object.key = image.s3_key and object.vanished is null
left join fm_migration.thumbnail as mine on mine.clinic_image = image.id
left join fm_migration.csv_metadata as csv on csv.photo = photo.photo
cross join (select max(id) as id from fm_migration.inventory_snapshot) as newest
where photo.state in ('linked', 'placed_by_staff')

-- step: ids
-- What is to be done, in the order of the ids.
select clinic_image from source
where month = any(cast(:months as text[])) and not replaced
  and (outdated or unshown or :force) and (present_key = '' or not :only_missing)
order by clinic_image limit :limit

-- step: page
-- Some of it with all that it takes; what another run has done meanwhile is left out.
select clinic_image, source_key, present_key, etag, size, type_text, our_key, source_changed, existing_key
from source
where clinic_image = any(cast(:ids as uuid[])) and not replaced
  and (outdated or unshown or :force) and (present_key = '' or not :only_missing)
order by clinic_image

-- step: by_month
-- The months that have something to do, and what it is in one word: a run that changes nothing leaves the same word.
select month, count(*) as pending,
       count(*) || '-' || sum(hashtextextended(clinic_image::text || coalesce(etag, '') || :recipe, 0)) as version
from source where not replaced and (outdated or unshown)
group by month order by month

-- step: months
-- The months that any linked photograph was taken in.
select distinct month from fm_migration.photo where state in ('linked', 'placed_by_staff') order by month

-- step: survey
-- How the images of these months stand; of all months when none are given.
select count(*) as images,
       count(*) filter (where not replaced and (outdated or unshown)) as pending,
       count(*) filter (where present_key = '') as without,
       count(*) filter (where state = 'current') as current,
       count(*) filter (where state = 'adopted') as adopted,
       count(*) filter (where state = 'partial') as partial,
       count(*) filter (where state = 'unreadable') as unreadable,
       count(*) filter (where state = 'not_an_image') as not_an_image,
       count(*) filter (where state = 'unavailable') as unavailable,
       count(*) filter (where replaced) as replaced_by_others,
       count(*) filter (where mirrored_side) as mirrored_side,
       count(*) || '-' || coalesce(sum(hashtextextended(clinic_image::text || coalesce(our_key, state, ''), 0)), 0)
           as version
from source where month = any(cast(:months as text[])) or cast(:months as text[]) is null

-- step: others_without
-- Images of the app that show no photograph of the export, such as those uploaded by hand, and have no thumbnail.
select count(*) as images from images_image as image
where s3_thumbnail_key = '' and not exists (
    select from fm_migration.photo
    where photo.clinic_image = image.id and photo.state in ('linked', 'placed_by_staff'))

-- step: readings
-- The newest readings of the patients and of the bucket. Thumbnails may be made before either.
select (select max(id) from fm_migration.patient_read) as patient_read_id,
       (select max(id) from fm_migration.inventory_snapshot) as snapshot_id

-- step: prepare
create temporary table finished (
    clinic_image uuid primary key, source_key text not null, source_etag text not null, state text not null,
    reason text not null, key text, size bigint, width integer, height integer, mime_type text not null,
    original_sha256 text not null, mean_colour text not null, mirrored_side boolean not null,
    present_key text not null, after jsonb not null
) on commit drop

-- step: write
-- What changes in the app, written and journalled in one statement: nothing where the row says it already, or where
-- somebody has changed it since it was read.
with wanted as (
    select image.id, former.before, finished.after,
           case finished.state when 'current' then 'a thumbnail was made'
                               when 'adopted' then 'the clinic''s thumbnail is faithful'
                               when 'partial' then 'a thumbnail was made of what is left of the picture'
                               else 'its thumbnail showed another picture' end as reason
    from finished
    join images_image as image on image.id = finished.clinic_image
    cross join lateral (
        select jsonb_object_agg(name, to_jsonb(image) -> name) as before from jsonb_object_keys(finished.after) as name
    ) as former
    where finished.after <> '{}' and not to_jsonb(image) @> finished.after
      and image.s3_key = finished.source_key and image.s3_thumbnail_key = finished.present_key
    order by image.id
    for no key update of image
), done as (
    update images_image as target
    set s3_thumbnail_key = new.s3_thumbnail_key, thumbnail_size = new.thumbnail_size, width = new.width,
        height = new.height, mime_type = new.mime_type
    from wanted cross join lateral jsonb_populate_record(null::images_image, wanted.after) as new
    where target.id = wanted.id
    returning wanted.id, wanted.before, wanted.after, wanted.reason
)
insert into fm_migration.planned_change
    (plan_id, table_name, row_id, action, before, after, reason, outcome, applied_at, run_id)
select :plan, 'images_image', id, 'update', before, after, reason, 'applied', now(), cast(:run_id as text) from done

-- step: record
-- Of an image that shows no thumbnail of ours any more, the key is forgotten too.
insert into fm_migration.thumbnail as known
    (clinic_image, source_key, source_etag, recipe, state, reason, key, size, width, height, mime_type,
     original_sha256, mean_colour, mirrored_side, attempts, snapshot_id, run_id)
select clinic_image, source_key, source_etag, :recipe, state, reason, key, size, width, height, mime_type,
       original_sha256, mean_colour, mirrored_side, 1, (select max(id) from fm_migration.inventory_snapshot),
       cast(:run_id as text)
from finished
order by clinic_image
on conflict (clinic_image) do update
set source_key = excluded.source_key, source_etag = excluded.source_etag, recipe = excluded.recipe,
    state = excluded.state, reason = excluded.reason, key = excluded.key, size = excluded.size,
    width = excluded.width, height = excluded.height, mime_type = excluded.mime_type,
    original_sha256 = excluded.original_sha256, mean_colour = excluded.mean_colour,
    mirrored_side = excluded.mirrored_side, snapshot_id = excluded.snapshot_id, run_id = excluded.run_id,
    made_at = now(), undone_at = null,
    attempts = case when (known.source_key, known.source_etag, known.recipe)
                         = (excluded.source_key, excluded.source_etag, excluded.recipe)
                    then known.attempts + 1 else 1 end

-- step: count_changes
update fm_migration.link_plan
set counts = jsonb_build_object('changes', (counts ->> 'changes')::bigint + cast(:rows as bigint))
where id = :plan
