"""The jobs that people start: import everything, heal the links, undo a plan.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from fm_migration.defs.assets.links import WRITES_LINKS
from fm_migration.defs.assets.thumbnails import MAKES_THUMBNAILS
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import FIRST, LONG, RETRY, SHORT
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource
from fm_migration.linking import applying
from fm_migration.operations import undoing

import_photographs = dg.define_asset_job(
    "import_photographs",
    selection=dg.AssetSelection.assets(
        "csv_metadata", "s3_inventory", "patient_map", "patient_links", "link_plan", "image_batches", "orphan_report"
    ),
    tags={**WRITES_LINKS, **LONG},
    description="Everything, from the export and the bucket to the galleries and the report on them: for the first "
    "time, and whenever there is a new export. To start small, set `limit` of link_plan; for a dry run, materialize "
    "link_plan alone.",
)

import_desktop_export = dg.define_asset_job(
    "import_desktop_export",
    selection=dg.AssetSelection.assets(
        "desktop_export",
        "csv_metadata",
        "s3_inventory",
        "patient_map",
        "patient_links",
        "link_plan",
        "image_batches",
        "orphan_report",
    ),
    tags={**WRITES_LINKS, **LONG},
    description="The same for what was exported with FileMaker Pro: brings the folder or prefix of FM_DESKTOP_EXPORT "
    "into the dump, then everything up to the galleries and the report on them. Running it again is safe.",
)

bring_photographs = dg.define_asset_job(
    "bring_photographs",
    selection=dg.AssetSelection.assets("filemaker_images"),
    # No tag that others wait for: it may take hours, and healing goes on beside it.
    description="Photographs and their rows from FileMaker's Data API into the bucket, as many as its config says. "
    "What has come is linked by import_photographs, which the sensor `new_rows` starts once the first import was "
    "made. The schedule `filemaker_intake` starts it by FM_FILEMAKER_EVERY_SIX_HOURS.",
)

report = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets("s3_inventory", "patient_map", "link_plan", "orphan_report"),
    # It writes nothing of the clinic's, so it bears no tag that others wait for: healing goes on beside it.
    tags=LONG,
    description="A report from fresh readings of the bucket and of the patients, and from a plan that knows them. The "
    "export is not read again: the sensor `new_export` sees to that. The schedule `nightly_report` starts it.",
)

heal_links = dg.define_asset_job(
    "heal_links",
    selection=dg.AssetSelection.assets("patient_map", "patient_links", "link_plan", "image_batches"),
    # Seconds are the rule. A run whose machine went down with it stays "started", and would keep the next one waiting
    # for the six hours of dagster.yaml; after this time Dagster takes it for failed, and the sensor tries again.
    tags={**WRITES_LINKS, **SHORT, **FIRST},
    description="After a re-import of the patients: reads who is who now, and points every link at the new UUIDs. The "
    "sensor `patients_reimported` starts it by itself.",
)


class UndoConfig(dg.Config):
    """Configuration of undo_plan."""

    plan: int = Field(description="The number of the plan, as `image_batches` and `fm-migration plans` show it.")


@dg.op(
    tags=WRITES_LINKS,
    pool="database",
    retry_policy=RETRY,
    description="Puts back whatever nobody has changed since.",
)
def undo(
    context: dg.OpExecutionContext, config: UndoConfig, database: DatabaseResource, objects: ObjectStoreResource
) -> None:
    with readable_failures():
        done = undoing.undo(database.engine(), objects.store(), config.plan, run_id=context.run.run_id)
        context.log.info("plan %s: %s rows restored, %s left", done.plan, done.restored, len(done.left))
        context.add_output_metadata({"restored": done.restored, "left": list(done.left[:100])})


def within(last: applying.LastApplied | None) -> dict[str, Any]:
    """The run config of a run that nobody has asked for: who has started small wants no more than that."""
    return {"ops": {"link_plan": {"config": {"limit": last.limit}}}} if last and last.limit else {}


@dg.job(
    tags={**WRITES_LINKS, **LONG},
    # What the launchpad opens with: one number to fill in, where there would be an error about a missing entry.
    config={"ops": {"undo": {"config": {"plan": 0}}}},
    description="Takes an applied plan back: whatever nobody has changed since is as it was before. Rows in which "
    "somebody has changed something are listed; of these the other columns go back.",
)
def undo_plan() -> None:
    undo()


make_thumbnails = dg.define_asset_job(
    "make_thumbnails",
    selection=dg.AssetSelection.assets("thumbnails"),
    tags=MAKES_THUMBNAILS,
    description="The thumbnails of a month, or of any range of months as a backfill. The sensor `pending_thumbnails` "
    "starts it by itself for months that have something to do.",
)
