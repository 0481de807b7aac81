"""A small sample clinic on servers of this test run, and the instance that runs are recorded in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.execution.plan import active

from fm_migration.definitions import defs as load_definitions
from fm_migration.embedded import locks, object_server
from fm_migration.embedded.sample.model import EXPORT_FILE
from fm_migration.embedded.stack import Stack
from fm_migration.places import find_places
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.places import import_photographs, use_places
from fm_migration_tests.thumbnails.conftest import copied


@pytest.fixture(scope="session")
def definitions() -> dg.Definitions:
    return load_definitions()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def untouched(
    make_sample: Callable[[str], SampleClinic],
    monkeypatch: pytest.MonkeyPatch,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Ticking:
    """A clinic before its first import. Its bucket is shared: only read it."""
    sample = make_sample("fresh")
    use_places(monkeypatch, sample.database_url, sample.bucket, sample.export)
    return Ticking(sample, sample.bucket, definitions, instance)


@pytest.fixture(scope="session")
def _linked_template(servers: Stack, _sample_template: Callable[[str], str]) -> str:
    """The sample clinic after our import, as a database to copy: an import takes seconds."""
    source, name = _sample_template("fresh"), "sample_linked"
    with (
        locks.exclusive(servers.layout.home / f"{name}.lock"),
        psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection,
    ):
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            connection.execute(f"create database {name}_draft template {source}")
            places = find_places(load_settings(**_settings(servers, f"{name}_draft", source)))
            import_photographs(places)
            places.engine.dispose()
            connection.execute(f"alter database {name}_draft rename to {name}")
    return name


def _settings(servers: Stack, database: str, source: str) -> dict[str, object]:
    bucket = source.replace("_", "-")
    return {
        "database_url": servers.database_url(database),
        "objects_url": f"s3://{bucket}?endpoint={object_server.url(servers.objects_port)}&region={object_server.REGION}",
        "objects_access_key": servers.access_key,
        "objects_secret_key": servers.secret_key,
        "export": str(servers.layout.home / source / EXPORT_FILE),
    }


@pytest.fixture
def linked(
    untouched: Ticking, new_database: Callable[..., str], _linked_template: str, monkeypatch: pytest.MonkeyPatch
) -> Ticking:
    """After the first import, of which the instance knows nothing."""
    url = new_database(_linked_template)
    monkeypatch.setenv("FM_DATABASE_URL", url)
    untouched.sample = replace(untouched.sample, database_url=url)
    return untouched


@pytest.fixture
def imported(untouched: Ticking) -> Ticking:
    assert untouched.run("import_photographs").success
    return untouched


@pytest.fixture
def with_own_bucket(linked: Ticking, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """The same, with a copy of its bucket that the test may change, in which nothing needs to stand still."""
    monkeypatch.setenv("FM_OBJECTS_URL", copied(linked.bucket, bucket).url)
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
    linked.bucket = bucket
    return linked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Dagster's pauses between tries are counted, not waited for."""
    pauses: list[float] = []

    class Clock:
        """The time passes as Dagster sleeps."""

        now = 0.0

        def time(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            self.now += seconds

    monkeypatch.setattr(active, "time", Clock())
    return pauses
