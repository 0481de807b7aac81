"""What is tried again and what is not, on real runs; pools and time limits of everything that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fm_migration.cli.instance import PROJECT
from fm_migration.database import ConnectionLostError
from fm_migration.defs.limits import MAX_RUNTIME, POOLS, RETRY, set_pools
from fm_migration.errors import DatabaseError, FmMigrationError, ImplausibleInputError
from fm_migration.operations import staging
from fm_migration_tests.defs.ticking import Ticking


def _failing(monkeypatch: pytest.MonkeyPatch, error: FmMigrationError, times: int) -> list[int]:
    """The reading of the patients fails so often, and then goes well. Each try is counted."""
    tries: list[int] = []
    stage: Callable[..., Any] = staging.stage_patients

    def stage_or_fail(*arguments: Any, **named: Any) -> Any:
        tries.append(1)
        if len(tries) <= times:
            raise error
        return stage(*arguments, **named)

    monkeypatch.setattr(staging, "stage_patients", stage_or_fail)
    return tries


def _lost() -> FmMigrationError:
    return ConnectionLostError("talking to", "the database", "the connection broke off", "Run again")


def test_a_passing_failure_is_tried_again_after_pauses_that_grow(
    linked: Ticking, monkeypatch: pytest.MonkeyPatch, impatient: list[float]
) -> None:
    tries = _failing(monkeypatch, _lost(), times=2)
    result = linked.run("heal_links", assets=[dg.AssetKey("patient_map")])
    assert result.success
    assert len(tries) == 3
    # Chance may make the first one as short as Dagster's own naps, never the second.
    first, second = sorted(impatient)[-2:]
    assert 0 < first <= 2 * float(RETRY.delay or 0)
    assert second > float(RETRY.delay or 0) / 2


def test_a_failure_that_does_not_pass_ends_the_run_after_three_more_tries(
    linked: Ticking, monkeypatch: pytest.MonkeyPatch, impatient: list[float]
) -> None:
    tries = _failing(monkeypatch, _lost(), times=99)
    assert not linked.run("heal_links", assets=[dg.AssetKey("patient_map")]).success
    assert len(tries) == 4


@pytest.mark.parametrize("kind", [DatabaseError, ImplausibleInputError])
def test_a_permanent_failure_is_not_tried_again(
    linked: Ticking, monkeypatch: pytest.MonkeyPatch, impatient: list[float], kind: type[FmMigrationError]
) -> None:
    tries = _failing(monkeypatch, kind("reading", "the patients", "it is wrong", "Correct it"), times=99)
    result = linked.run("heal_links", assets=[dg.AssetKey("patient_map")])
    assert not result.success
    assert len(tries) == 1
    assert not result.filter_events(lambda event: event.is_step_restarted)


def test_every_step_has_a_pool_and_the_policy(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    made = [node for node in repository.assets_defs_by_key.values() if node.is_executable and node.is_materializable]
    assert {"csv_metadata", "link_plan", "thumbnails"} <= {node.op.name for node in made}
    for node in made:
        assert node.op.pool in POOLS, node.op.name
        assert node.op.retry_policy == RETRY, node.op.name


def test_every_job_ends_at_some_time(definitions: dg.Definitions) -> None:
    for job in definitions.get_repository_def().get_all_jobs():
        if job.name.startswith("__") or job.name in ("make_thumbnails", "bring_photographs"):
            # Months may take hours, and what FileMaker gives away slowly; dagster.yaml has the limit for them.
            continue
        assert 0 < int(job.tags[MAX_RUNTIME]) <= 7200, job.name


def test_the_pools_are_set_once_and_a_persons_choice_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("s3", 9)
        set_pools(instance)
        set_pools(instance)
        limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {**POOLS, "s3": 9}
