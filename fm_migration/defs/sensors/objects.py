"""The two sensors that ingest new objects: one scans the bucket, one listens to S3's events.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import import_photographs, within
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.defs.sensors.runs import ended, failed_last, link_run_is_active, request
from fm_migration.errors import TransientError
from fm_migration.ledger import inbox, inventory
from fm_migration.linking import applying
from fm_migration.objects.events import ObjectEvent, open_queue
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings
from fm_migration.sources.bucket import newest_report
from fm_migration.watching import inbox as watched_inbox
from fm_migration.watching import objects as watched_objects
from fm_migration.watching.decision import FIRST_IMPORT, Decision
from fm_migration.watching.objects import ScanResult, scan_bucket, scan_reports

#: Which difference between bucket and inventory a run was started for.
OBJECTS_TAG = "fm/objects"
#: Every run that one of these two sensors starts.
INGESTS = {"fm/takes_in": "objects"}
#: The export is not read again: what is new in it comes by `new_export`.
INGESTED_BY = [dg.AssetKey(name) for name in ("s3_inventory", "link_plan", "image_batches", "patient_links")]

#: Beside a queue, and beside S3's own reports, the scan of the bucket is there for what they have missed.
BACKING_UP = timedelta(hours=1)


@dg.sensor(
    job=import_photographs,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Scans the bucket, FM_WATCH_PAGES thousand objects at a tick, compares each with its row of "
    "s3_inventory, and ingests what is new, changed or gone once it has stopped changing. Beside a queue "
    "(FM_OBJECT_EVENTS) it begins a round once an hour. FM_WATCH_OBJECTS=false switches it off.",
)
def new_objects(
    context: dg.SensorEvaluationContext,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
) -> dg.SensorResult | dg.SkipReason:
    values = settings.settings()
    if not values.watch_objects:
        return dg.SkipReason("FM_WATCH_OBJECTS is false: a person materializes s3_inventory")
    now = datetime.now(UTC)
    with readable_failures():
        try:
            with database.engine().begin() as connection:
                last = applying.last_applied(connection)
                if last is None:
                    return dg.SkipReason(FIRST_IMPORT)
                found = _scan(connection, objects.store(), values, now)
        except TransientError as error:
            return dg.SkipReason(f"the bucket could not be looked at this time: {error}")
    state = _state(found.difference.fingerprint if found.difference else "")
    decision = watched_objects.judge(
        found,
        now,
        settle=timedelta(seconds=values.watch_settle_seconds),
        run_is_active=link_run_is_active(context.instance),
        tried=ended(context.instance, state),
        unfinished=failed_last(context.instance, INGESTS),
    )
    return _ingest(context, decision, state, within(last))


def _scan(connection: Connection, store: ObjectStore, values: Settings, now: datetime) -> ScanResult:
    if values.inventory_reports:
        return scan_reports(connection, lambda: newest_report(store, values).created_at, now, rest=BACKING_UP)
    rest = BACKING_UP if values.object_events else timedelta()
    return scan_bucket(connection, store, values.original_prefixes, now, pages=values.watch_pages, rest=rest)


@dg.sensor(
    job=import_photographs,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Drains the SQS queue of FM_OBJECT_EVENTS, FM_OBJECT_EVENTS_MESSAGES at a tick at most, into "
    "fm_migration.inbox, and ingests what waits there. A message is deleted only when what it tells is committed. "
    "Without the setting it does nothing; new_objects backs it up.",
)
def object_events(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    values = settings.settings()
    if values.object_events is None:
        return dg.SkipReason("FM_OBJECT_EVENTS names no queue; new_objects scans the bucket instead")
    with readable_failures():
        location = settings.places().objects

        def concerns_us(event: ObjectEvent) -> bool:
            # The thumbnails that we write cause events too.
            return event.bucket == location.bucket and event.key.startswith(values.original_prefixes)

        try:
            drained = watched_inbox.drain(
                database.engine(),
                open_queue(values.object_events, location),
                concerns_us,
                most=values.object_events_messages,
            )
        except TransientError as error:
            return dg.SkipReason(f"the queue could not be read this time: {error}")
        with database.engine().connect() as connection:
            waiting = inbox.waiting(connection, location.bucket)
            known = inventory.present(connection, values.original_prefixes)
            last = applying.last_applied(connection)
    if last is None:
        return dg.SkipReason(f"{drained.summary}; {FIRST_IMPORT}")
    state = _state(f"inbox {waiting.fingerprint}")
    decision = watched_inbox.judge(
        drained,
        waiting,
        datetime.now(UTC),
        settle=timedelta(seconds=values.watch_settle_seconds),
        run_is_active=link_run_is_active(context.instance),
        tried=ended(context.instance, state),
        unfinished=failed_last(context.instance, INGESTS),
    )
    config = within(last)
    if watched_inbox.cheaper_to_look_up(waiting.keys, known):
        config.setdefault("ops", {})["s3_inventory"] = {"config": {"only_new": True}}
    return _ingest(context, decision, state, config)


def _ingest(
    context: dg.SensorEvaluationContext, decision: Decision, state: dict[str, str], config: dict[str, Any]
) -> dg.SensorResult | dg.SkipReason:
    if not decision.start:
        return dg.SkipReason(decision.reason)
    tags = {**INGESTS, **state}
    asked = request(context, decision.reason, tags, asset_selection=INGESTED_BY, run_config=config)
    return dg.SensorResult(run_requests=[asked])


def _state(fingerprint: str) -> dict[str, str]:
    return {OBJECTS_TAG: fingerprint or "none"}
