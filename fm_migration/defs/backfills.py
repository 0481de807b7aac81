"""Backfills of thumbnails: handed to the daemon, looked at, cancelled.

Belongs here: what Dagster keeps of a backfill. Does not belong here: choosing months by what they need, and printing.

A backfill is a row of the instance's storage that the daemon works off, by the asset's backfill policy and through the
queue; the UI writes it through GraphQL, and here it is written by the same function (`_private.py`), without a server.
fm_migration_tests/e2e/test_backfills.py plays it under a real daemon.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.defs._private import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
    make_new_backfill_id,
)

THUMBNAILS = dg.AssetKey("thumbnails")
BACKFILL_TAG = "dagster/backfill"
#: The daemon gives a sign of life every 30 seconds; one that is busy may be late.
SIGN_OF_LIFE = timedelta(seconds=120)
_NEEDED = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
_UNDER_WAY = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING]
_WELL = (BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED)


@dataclass(frozen=True)
class Backfill:
    """How a backfill stands."""

    id: str
    months: tuple[str, ...]
    #: Whether the daemon has done with it.
    ended: bool
    well: bool
    cancelled: bool
    #: Its runs by their status, in lower case.
    runs: dict[str, int]
    failed_runs: tuple[str, ...]


def launch(instance: dg.DagsterInstance, definitions: dg.Definitions, months: Sequence[str], title: str) -> str:
    """Hand a backfill of these months to the daemon; its id."""
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=definitions.resolve_asset_graph(),
        partition_names=list(months),
        asset_selection=[THUMBNAILS],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def look_up(instance: dg.DagsterInstance, backfill_id: str) -> Backfill | None:
    """How it stands now; None when there is no such backfill of thumbnails."""
    found = instance.get_backfill(backfill_id)
    if found is None:
        return None
    runs = instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: backfill_id}))
    return Backfill(
        id=backfill_id,
        months=tuple(_months(found)),
        ended=found.status in BULK_ACTION_TERMINAL_STATUSES,
        well=found.status in _WELL,
        cancelled=found.status in (BulkActionStatus.CANCELING, BulkActionStatus.CANCELED),
        runs=dict(Counter(run.status.value.lower() for run in runs)),
        failed_runs=tuple(run.run_id for run in runs if run.status == dg.DagsterRunStatus.FAILURE),
    )


def cancel(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Ask the daemon to cancel it and its runs; false when there is none under way by this id.

    The daemon looks at backfills twice a minute, so what waits in the queue is cancelled here and starts no more.
    """
    found = instance.get_backfill(backfill_id)
    if found is None or found.status not in _UNDER_WAY:
        return False
    instance.update_backfill(found._replace(status=BulkActionStatus.CANCELING))
    waiting = dg.RunsFilter(tags={BACKFILL_TAG: backfill_id}, statuses=[dg.DagsterRunStatus.QUEUED])
    for run in instance.get_runs(waiting):
        instance.run_coordinator.cancel_run(run.run_id)
    return True


def months_under_way(instance: dg.DagsterInstance) -> set[str]:
    """The months of all backfills of thumbnails that the daemon works on, those without a run yet included."""
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=_UNDER_WAY))
    return {month for backfill in backfills for month in _months(backfill)}


def last_sign_of_life(instance: dg.DagsterInstance) -> datetime | None:
    """When the parts of the daemon that a backfill needs were last seen to be running, all of them."""
    beats = instance.get_daemon_heartbeats()
    if not all(name in beats for name in _NEEDED):
        return None
    return datetime.fromtimestamp(min(beats[name].timestamp for name in _NEEDED), UTC)


def daemon_runs(instance: dg.DagsterInstance) -> bool:
    seen = last_sign_of_life(instance)
    return seen is not None and datetime.now(UTC) - seen < SIGN_OF_LIFE


def _months(backfill: PartitionBackfill) -> list[str]:
    data = backfill.asset_backfill_data
    if data is None:
        return []
    subset = data.target_subset.partitions_subsets_by_asset_key.get(THUMBNAILS)
    return sorted(subset.get_partition_keys()) if subset is not None else []
