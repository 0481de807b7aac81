"""Where Dagster keeps its history and its logs, by the project's own dagster.yaml. That events are really written to
PostgreSQL and logs to a bucket by a real daemon is shown in e2e/test_backfills.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import serialize_value
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.defs.limits import POOLS
from fm_migration.instance.logs import logs_location
from fm_migration.instance.storage import with_psycopg2
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import Bucket

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@dg.op
def talks() -> None:
    print("a word for the log")  # noqa: T201  it is what the log is to hold


@dg.job
def says_something() -> None:
    talks()


def test_with_nothing_set_everything_is_in_the_home(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.compute_log_manager, LocalComputeLogManager)
        result = says_something.execute_in_process(instance=instance)
        assert instance.get_run_by_id(result.run_id)
    assert list((home / "history").rglob("runs.db"))
    assert [path.read_text() for path in (home / "storage").rglob("*.out")] == ["a word for the log\n"]


def test_without_a_home_it_is_the_one_of_fm_migration_dev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dagster reads dagster.yaml of the folder that it is started in, and would forget everything in the end."""
    monkeypatch.setenv("FM_HOME", str(tmp_path / "fm"))
    with dg.DagsterInstance.from_config(str(PROJECT)) as instance:
        instance.get_runs_count()
    assert list((tmp_path / "fm" / "dagster" / "history").rglob("runs.db"))


def test_runs_and_events_are_written_to_postgresql_and_read_back(
    home: Path, empty_database: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_DAGSTER_DATABASE_URL", empty_database)
    monkeypatch.setenv("FM_COMPUTE_LOGS", bucket.url.replace("?", "/dagster/logs?", 1))
    monkeypatch.setenv("FM_OBJECTS_ACCESS_KEY", bucket.access_key)
    monkeypatch.setenv("FM_OBJECTS_SECRET_KEY", bucket.secret_key)
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
        result = says_something.execute_in_process(instance=instance)
        read_back = instance.get_records_for_run(result.run_id).records
        handed_on = serialize_value(instance.get_ref())
    with psycopg.connect(empty_database) as connection:
        query = "select count(*) from event_logs where run_id = %s"
        (written,) = connection.execute(query, [result.run_id]).fetchone() or (0,)
    assert written == len(read_back) > 5
    for secret in (str(make_url(empty_database).password), bucket.secret_key):
        assert secret not in handed_on, "run workers are started with this text on their command line"
    assert not list(home.rglob("*.db"))
    keys = [entry["Key"] for entry in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
    outputs = [key for key in keys if key.startswith(f"dagster/logs/storage/{result.run_id}/") and key.endswith(".out")]
    assert outputs
    assert b"a word for the log" in bucket.client.get_object(Bucket=bucket.name, Key=outputs[0])["Body"].read()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_the_driver_is_the_one_that_writes_events(scheme: str) -> None:
    assert with_psycopg2(f"{scheme}://user:p%40ss@host:5432/dagster") == (
        "postgresql+psycopg2://user:p%40ss@host:5432/dagster"
    )


@pytest.mark.parametrize(
    ("url", "bucket", "prefix", "endpoint"),
    [
        ("s3://logs", "logs", "", None),
        ("s3://logs/dagster/runs?region=eu-central-1", "logs", "dagster/runs", None),
        ("s3://logs/a?endpoint=https://host:9000", "logs", "a", "https://host:9000"),
    ],
)
def test_the_place_of_the_logs_is_read(url: str, bucket: str, prefix: str, endpoint: Any) -> None:
    location, found = logs_location(load_settings(compute_logs=url))
    assert (location.bucket, found, location.endpoint_url) == (bucket, prefix, endpoint)


def test_what_limits_runs_and_ticks_is_in_force(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.telemetry_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 8
        assert instance.get_tick_retention_settings(InstigatorType.SENSOR)[TickStatus.SKIPPED] == 3


def test_a_new_home_is_prepared_with_its_pools(home: Path) -> None:
    done = CliRunner().invoke(app, ["prepare"])
    assert (done.exit_code, "is ready" in done.stdout) == (0, True)
    with dg.DagsterInstance.get() as instance:
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == POOLS
