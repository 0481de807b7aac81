"""What plans of linking and of repairs may do to batches, images and the identity history.

Belongs here: columns, guards and what follows from a change. Does not belong here: what is to be changed
(`sql/place/`), and how (`fm_migration.plans`).
"""

from __future__ import annotations

from fm_migration.clinic.references import list_referred
from fm_migration.plans import Guards, TableRules

#: Why a link is led elsewhere where that is not a decision about whose it is.
FOLLOWED = "its patient has a new UUID"

#: Batches that still belong to whom they did when the plan was made: a photograph goes into no other one. Of an undo
#: that is undone the batches that come back with it, too: the changes of the first plan may be long past.
_HOMES = """
        homes as materialized (
            select batch.id from fm_migration.planned_change as planned
            join images_batch as batch on batch.id = planned.row_id::uuid
            where planned.plan_id in (:origin, :plan)
              and planned.table_name = 'images_batch' and planned.column_name = ''
              and batch.object_id::text = coalesce(planned.before, planned.after) ->> 'object_id'
        ),
"""
_ID_IS_FREE = """
        not exists (select from images_image as other
                    where other.filemaker_id = (wanted.after ->> 'filemaker_id')::uuid)
"""
#: Looked up by its hash, whatever the planner thinks of how few homes there are: `is true` keeps it from joining them.
_GOES_HOME = "((wanted.after ->> 'batch_id')::uuid in (select id from homes)) is true"

#: Cached counts that what somebody did meanwhile made others of.
_RECOUNT = """
with touched as (
    select row_id::uuid as id from fm_migration.planned_change
    where plan_id = :plan and table_name = 'images_batch'
), counted as (
    select touched.id, count(image.id) as images
    from touched left join images_image as image on image.batch_id = touched.id
    group by touched.id
)
update images_batch as batch set image_count = counted.images
from counted where batch.id = counted.id and batch.image_count <> counted.images
"""
#: An undo puts back the counts as they were, right or wrong; but counts anew where the count is another than was
#: written, where something was left, and where the plan had found its count there already.
_RECOUNT_DOUBTFUL = """
with reversal as (
    select table_name, row_id, before, after, outcome = 'overtaken' as was_left
    from fm_migration.planned_change where plan_id = :plan
), doubtful as (
    select (after ->> 'batch_id')::uuid as id from reversal where table_name = 'images_image' and was_left
    union select (before ->> 'batch_id')::uuid from reversal where table_name = 'images_image' and was_left
    union select row_id::uuid from reversal where table_name = 'images_batch' and was_left
    union select batch.id from reversal join images_batch as batch on batch.id = reversal.row_id::uuid
          where table_name = 'images_batch' and batch.image_count <> (reversal.after ->> 'image_count')::int
    union select row_id::uuid from fm_migration.planned_change
          where plan_id = :undone and table_name = 'images_batch' and outcome = 'already' and after ? 'image_count'
), counted as (
    select doubtful.id, count(image.id) as images
    from doubtful left join images_image as image on image.batch_id = doubtful.id
    group by doubtful.id
)
update images_batch as batch set image_count = counted.images
from counted where batch.id = counted.id and batch.image_count <> counted.images
"""

BATCHES = TableRules(
    "images_batch",
    changeable=("object_id", "image_count"),
    # The clinic's further columns are nullable, or the contract would have been broken.
    insertable=(
        "id", "content_type_id", "object_id", "name", "description", "uploaded_by_id", "uploaded_at", "image_count",
    ),
    derived=("image_count",),
    forward=Guards(delete="not exists (select from images_image as image where image.batch_id = target.id)"),
    backward=Guards(
        # What somebody has uploaded since would be taken along. What we have put there ourselves may be.
        update="""
            (not wanted.before ? 'object_id' or not exists (
                select from images_image as image
                where image.batch_id = target.id and image.uploaded_at > wanted.written_at
                  and not exists (select from fm_migration.last_written as known
                                  where known.table_name = 'images_image' and known.row_id = image.id::text
                                    and known.written ->> 'batch_id' = target.id::text)))
        """,
        delete="not exists (select from images_image as image where image.batch_id = target.id)",
    ),
    remembered=("object_id",),
    follows=f"(wanted.column_name <> '' or wanted.reason = '{FOLLOWED}')",
    locked=True,
    derive=(_RECOUNT,),
    derive_back=(_RECOUNT_DOUBTFUL,),
    list_referred=list_referred,
)  # fmt: skip

IMAGES = TableRules(
    "images_image",
    changeable=("batch_id", "category", "caption", "date_taken", "filemaker_id", "s3_key"),
    insertable=(
        "id", "batch_id", "s3_key", "s3_thumbnail_key", "original_name", "file_size", "thumbnail_size", "width",
        "height", "mime_type", "category", "caption", "date_taken", "uploaded_by_id", "uploaded_at", "filemaker_id",
        "order",
    ),
    # These follow from the object alone.
    derived=("s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type"),
    given=_HOMES,
    forward=Guards(
        insert=_GOES_HOME,
        update=f"""
            (not wanted.after ? 'batch_id' or {_GOES_HOME}) and {_ID_IS_FREE}
            and case when wanted.after ? 's3_key'
                     then wanted.after ->> 's3_key' not in (select s3_key from images_image)
                          and exists (select from fm_migration.s3_inventory as object
                                      where object.key = wanted.after ->> 's3_key' and object.vanished is null)
                     else true end
        """,
        delete="""
            exists (select from images_image as kept where kept.id = (wanted.after ->> 'kept')::uuid)
            and not exists (select from fm_migration.photo where photo.clinic_image = target.id)
        """,
    ),
    backward=Guards(
        insert="exists (select from images_batch as batch where batch.id = (wanted.after ->> 'batch_id')::uuid)",
        # An image cannot go back into a batch that was deleted.
        update=f"""
            (not wanted.after ? 'batch_id'
             or exists (select from images_batch as former where former.id = (wanted.after ->> 'batch_id')::uuid))
            and {_ID_IS_FREE}
        """,
    ),
    remembered=("batch_id", "category", "caption", "date_taken", "filemaker_id"),
    locked=True,
    list_referred=list_referred,
)  # fmt: skip

#: Whose a former UUID was, recognised by its photographs: a tenure from before all readings.
IDENTITIES = TableRules(
    "fm_migration.patient_identity",
    insertable=("patient_id", "began", "filemaker_id", "written", "ended", "ending", "recognised"),
    filled={"shared": "false", "twin": "false", "awaited": "false", "passed": "false"},
    key=("patient_id", "began"),
    forward=Guards(
        insert="""
            not exists (select from fm_migration.patient_identity as known
                        where known.patient_id = (wanted.after ->> 'patient_id')::uuid)
        """
    ),
)

#: Who a former patient is, as a person has said.
SETTLEMENTS = TableRules(
    "fm_migration.settlement",
    insertable=("former_id", "patient_id"),
    filled={"settled_at": "now()"},
    key=("former_id",),
)

#: What staff have decided and a person takes back.
DECISIONS = TableRules("fm_migration.decision", changeable=("ended_at",))

#: In the order of their references.
TABLES = (BATCHES, IMAGES, IDENTITIES, DECISIONS)
