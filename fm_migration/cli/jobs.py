"""Running one of our jobs in this process, recorded in the Dagster instance like any other run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fm_migration.definitions import defs
from fm_migration.errors import FmMigrationError


def run_job(
    name: str, instance: dg.DagsterInstance, run_config: Mapping[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    """Run the job to its end. Only a failure is said, by its own message, as an error of ours."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = (
        defs()
        .resolve_job_def(name)
        .execute_in_process(instance=instance, run_config={**(run_config or {}), **quiet}, raise_on_error=False)
    )
    for event in result.filter_events(lambda event: event.is_step_failure):
        data = event.step_failure_data.user_failure_data
        said = data.description if data is not None else None
        raise FmMigrationError(
            "running", f"{name}, step {event.step_key},", said or "it failed", f"See run {result.run_id} in the UI"
        )
    return result
