"""The sensor that imports a new or changed export.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import import_photographs, within
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.defs.sensors.runs import ended, failed_last, link_run_is_active, request
from fm_migration.errors import ExportError, TransientError
from fm_migration.ledger import csv_metadata
from fm_migration.linking import applying
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.places import Places
from fm_migration.sources.export_file import observe_export, open_export
from fm_migration.watching.backoff import Observation, observe
from fm_migration.watching.exports import ExportState, Judged, judge

EXPORT_TAG = "fm/export"
_SHOWN = 16


@dg.sensor(
    job=import_photographs,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares FileMaker's export (a file, the newest of a folder, or an object of the bucket) with the one "
    "that was read last, and starts import_photographs when it is another one and has stopped changing. The first "
    "import is a person's to start. FM_WATCH_EXPORT=false switches it off.",
)
def new_export(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    values = settings.settings()
    if not values.watch_export:
        return dg.SkipReason("FM_WATCH_EXPORT is false: a person starts the imports")
    now = datetime.now(UTC)
    last = json.loads(context.cursor) if context.cursor else None
    with readable_failures():
        places = settings.places()
        try:
            seen = observe(Observation.from_dict(last) if last else None, observe_export(places), now)
            known = last["sha256"] if last and seen == Observation.from_dict(last) else None
            with database.engine().connect() as connection:
                last_applied = applying.last_applied(connection)
                export = ExportState(seen, known, csv_metadata.last_read(connection), last_applied is not None)
            judged = _judge(context.instance, places, export, now, timedelta(seconds=values.watch_settle_seconds))
        except (ExportError, ObjectMissingError, TransientError) as error:
            # Not there at the moment is not a state to act on: somebody may be putting another in its place.
            return dg.SkipReason(str(error))
    cursor = json.dumps({**seen.as_dict(), "sha256": judged.sha256})
    if not judged.decision.start:
        return dg.SensorResult(skip_reason=judged.decision.reason, cursor=cursor)
    tags = _tags(judged.sha256 or "")
    asked = request(context, judged.decision.reason, tags, run_config=within(last_applied))
    return dg.SensorResult(run_requests=[asked], cursor=cursor)


def _judge(
    instance: dg.DagsterInstance, places: Places, export: ExportState, now: datetime, settle: timedelta
) -> Judged:
    def content() -> str:
        with open_export(places) as file:
            return file.sha256

    return judge(
        export,
        now,
        settle=settle,
        run_is_active=link_run_is_active(instance),
        content=content,
        tried=lambda sha256: ended(instance, _tags(sha256)),
        unfinished=lambda sha256: failed_last(instance, _tags(sha256)),
    )


def _tags(sha256: str) -> dict[str, str]:
    return {EXPORT_TAG: sha256[:_SHOWN]}
