"""What the thumbnails may change: of an image of the app, its thumbnail and what is known of its original."""

from __future__ import annotations

from fm_migration import plans
from fm_migration.plans import TableRules

#: A person did not want it: it is not written again until the source or the recipe changes.
_UNWANTED = """
update fm_migration.thumbnail as known set undone_at = now()
from fm_migration.planned_change as reversal
where reversal.plan_id = :plan and reversal.table_name = 'images_image' and reversal.outcome = 'applied'
  and known.clinic_image = reversal.row_id::uuid
"""
_WANTED_AGAIN = """
update fm_migration.thumbnail as known set undone_at = null
from fm_migration.planned_change as done
where done.plan_id = :plan and done.table_name = 'images_image' and done.outcome = 'applied'
  and known.clinic_image = done.row_id::uuid
"""

IMAGES = TableRules(
    "images_image",
    changeable=("s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type"),
    locked=True,
    derive=(_WANTED_AGAIN,),
    derive_back=(_UNWANTED,),
)

THUMBNAILS = plans.register(plans.PlanKind("thumbnails", (IMAGES,)))
