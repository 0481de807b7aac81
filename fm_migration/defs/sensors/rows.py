"""The sensor that takes in the rows of an intake.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import import_photographs, within
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.defs.sensors.runs import ended, link_run_is_active, request
from fm_migration.ledger import transfers
from fm_migration.linking import applying
from fm_migration.watching.rows import judge

ROWS_TAG = "fm/rows"
_SHOWN = 60


@dg.sensor(
    job=import_photographs,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts import_photographs when an intake from FileMaker, or a desktop export, has brought rows that "
    "were not read yet, none has come for FM_WATCH_SETTLE_SECONDS, and the first import was made by a person.",
)
def new_rows(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    values = settings.settings()
    with readable_failures(), database.engine().connect() as connection:
        unread = transfers.unread(connection)
        last_applied = applying.last_applied(connection)
    tags = {ROWS_TAG: unread.fingerprint[:_SHOWN]}
    decision = judge(
        unread,
        datetime.now(UTC),
        imported=last_applied is not None,
        settle=timedelta(seconds=values.watch_settle_seconds),
        run_is_active=link_run_is_active(context.instance),
        tried=ended(context.instance, tags),
    )
    if not decision.start:
        return dg.SkipReason(decision.reason)
    return request(context, decision.reason, tags, run_config=within(last_applied))
