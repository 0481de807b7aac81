"""Running one of our jobs in this process, recorded in the Dagster instance like any other run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from fm_migration.definitions import defs
from fm_migration.errors import FmMigrationError


def run_job(
    name: str,
    instance: dg.DagsterInstance,
    run_config: Mapping[str, Any] | None = None,
    partitions: Sequence[str] = (),
) -> dg.ExecuteInProcessResult:
    """Run the job to its end, with `partitions` for the range from the first to the last of them.

    Only a failure is said, by its own message, as an error of ours.
    """
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = (
        defs()
        .resolve_job_def(name)
        .execute_in_process(
            instance=instance, run_config={**(run_config or {}), **quiet}, tags=_range(partitions), raise_on_error=False
        )
    )
    for event in result.filter_events(lambda event: event.is_step_failure):
        data = event.step_failure_data.user_failure_data
        said = data.description if data is not None else None
        raise FmMigrationError(
            "running", f"{name}, step {event.step_key},", said or "it failed", f"See run {result.run_id} in the UI"
        )
    return result


def _range(partitions: Sequence[str]) -> dict[str, str]:
    if not partitions:
        return {}
    return {
        "dagster/asset_partition_range_start": partitions[0],
        "dagster/asset_partition_range_end": partitions[-1],
    }
