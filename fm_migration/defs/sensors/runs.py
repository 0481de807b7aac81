"""What sensors ask of the instance: which runs are in progress, and which have ended for the same state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import dagster as dg

from fm_migration.defs.assets.links import WRITES_LINKS
from fm_migration.watching.backoff import Failures

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
#: Why a sensor has started the run, in words.
BECAUSE_TAG = "fm/because"
#: How many ended runs of one state are looked at; the pause has reached its longest by then.
_LOOKED_AT = 10
_LINK_ASSETS = {dg.AssetKey("image_batches"), dg.AssetKey("patient_links")}


def active_runs(instance: dg.DagsterInstance, tags: Mapping[str, str], assets: set[dg.AssetKey]) -> list[dg.DagsterRun]:
    """Runs with these tags, or that somebody has started in the UI for one of these assets."""
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=ACTIVE))
        if tags.items() <= run.tags.items() or assets & (run.asset_selection or set())
    ]


def link_run_is_active(instance: dg.DagsterInstance) -> bool:
    """Whether links are being written, by a job of ours or by somebody who materializes these assets in the UI."""
    return bool(active_runs(instance, WRITES_LINKS, _LINK_ASSETS))


def ended(
    instance: dg.DagsterInstance, tags: Mapping[str, str], statuses: list[dg.DagsterRunStatus] | None = None
) -> Failures | None:
    """The newest runs with these tags that have ended, however that was unless `statuses` says."""
    return _as_failures(
        instance.get_run_records(dg.RunsFilter(tags=dict(tags), statuses=statuses or ENDED), limit=_LOOKED_AT)
    )


def failed_last(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> Failures | None:
    """Those that have failed since the last one that ended otherwise: what they were to do may be half done."""
    records = instance.get_run_records(dg.RunsFilter(tags=dict(tags), statuses=ENDED), limit=_LOOKED_AT)
    return _as_failures(takewhile(lambda record: record.dagster_run.status == dg.DagsterRunStatus.FAILURE, records))


def request(context: dg.SensorEvaluationContext, reason: str, tags: Mapping[str, str], **more: Any) -> dg.RunRequest:
    """A run for this reason, which stands in the tick's log and in the run's tags. Without a run key."""
    context.log.info(reason)
    return dg.RunRequest(tags={**tags, BECAUSE_TAG: reason}, **more)


def _as_failures(records: Iterable[dg.RunRecord]) -> Failures | None:
    times = [record.end_time or record.create_timestamp.timestamp() for record in records]
    return Failures(len(times), datetime.fromtimestamp(max(times), UTC)) if times else None
