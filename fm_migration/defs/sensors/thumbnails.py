"""The sensor that keeps thumbnails current, months by month.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

from datetime import UTC, datetime

import dagster as dg

from fm_migration.defs.assets.thumbnails import MAKES_THUMBNAILS
from fm_migration.defs.backfills import months_under_way
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import make_thumbnails
from fm_migration.defs.partitions import MONTH, month_partitions, new_months
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.defs.sensors.runs import active_runs, ended, request
from fm_migration.images.recipe import Recipe
from fm_migration.thumbnails.thumbnailing import MonthPending, months, pending_by_month
from fm_migration.watching.thumbnails import choose

PENDING_TAG = "fm/pending"


@dg.sensor(
    job=make_thumbnails,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts make_thumbnails for months that hold photographs without a current thumbnail, the newest "
    "first, FM_THUMBNAIL_RUNS at a time. A month whose last runs have changed nothing pauses, longer each time.",
)
def pending_thumbnails(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult:
    values = settings.settings()
    with readable_failures(), database.engine().connect() as connection:
        pending = pending_by_month(connection, Recipe().hash, values.thumbnail_prefix)
        unknown = new_months(context.instance, months(connection))
    runs = active_runs(context.instance, MAKES_THUMBNAILS, {dg.AssetKey("thumbnails")})
    choice = choose(
        pending,
        _months_of(context.instance, runs) | months_under_way(context.instance),
        len(runs),
        values.thumbnail_runs,
        # Whether they failed or ended well: runs for exactly what is still pending have changed nothing.
        lambda one: ended(context.instance, _tags(one)),
        datetime.now(UTC),
    )
    return dg.SensorResult(
        run_requests=[request(context, choice.reason, _tags(one), partition_key=one.month) for one in choice.months],
        skip_reason=None if choice.months else choice.reason,
        dynamic_partitions_requests=[month_partitions.build_add_request(unknown)] if unknown else [],
    )


def _tags(one: MonthPending) -> dict[str, str]:
    return {PENDING_TAG: f"{one.month} {one.version}"}


def _months_of(instance: dg.DagsterInstance, runs: list[dg.DagsterRun]) -> set[str]:
    """The months of these runs, those of a range included."""
    known = list(instance.get_dynamic_partitions(MONTH))
    found: set[str] = set()
    for run in runs:
        first = run.tags.get("dagster/asset_partition_range_start", run.tags.get("dagster/partition"))
        last = run.tags.get("dagster/asset_partition_range_end", first)
        if first in known and last in known:
            found.update(known[known.index(first) : known.index(last) + 1])
    return found
