"""Runs that are recorded in an instance without being executed, in whatever state a test needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

LOCATION = "fm_migration.definitions"


def record_run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    status: dg.DagsterRunStatus,
    tags: Mapping[str, str] | None = None,
    assets: Collection[str] | None = None,
) -> dg.DagsterRun:
    """A run of the job, of some of its assets or of all, that nobody will ever execute."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
    return instance.create_run_for_job(
        job,
        status=status,
        tags={**job.tags, **(tags or {})},
        asset_selection=frozenset(dg.AssetKey(name) for name in assets) if assets else None,
        remote_job_origin=RemoteJobOrigin(repository, job.name),
    )
