"""A small sample clinic on servers of this test run, and the instance that runs are recorded in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan import active

from fm_migration.definitions import defs as load_definitions
from fm_migration.embedded.sample.model import EXPORT_FILE
from fm_migration.embedded.stack import Stack
from fm_migration.settings import settings
from fm_migration_tests import templates
from fm_migration_tests.conftest import Bucket, SampleClinic, bucket_of
from fm_migration_tests.defs.memory import recall, remember
from fm_migration_tests.defs.ticking import QUIET, Ticking
from fm_migration_tests.places import use_places
from fm_migration_tests.thumbnails.conftest import in_own_bucket


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


@pytest.fixture
def linked(
    untouched: Ticking,
    linked_sample: Callable[..., SampleClinic],
    monkeypatch: pytest.MonkeyPatch,
) -> Ticking:
    """After the first import, of which the instance knows nothing."""
    untouched.sample = linked_sample("fresh")
    monkeypatch.setenv("FM_DATABASE_URL", untouched.sample.database_url)
    return untouched


@dataclass(frozen=True)
class Import:
    """What a run of Dagster's has left: a database to copy, and what the instance has recorded."""

    template: str
    memory: Path


@pytest.fixture(scope="session")
def import_by_dagster(
    servers: Stack, s3_client: Any, _sample_template: Callable[[str], str], definitions: dg.Definitions
) -> Callable[..., Import]:
    """Runs the first import of a variant once in a test run: by the job, or by the button of these assets."""

    def make(variant: str, *assets: str) -> Import:
        sample = _sample_template(variant)
        name = f"{sample}_by_{'button_of_' + str(len(assets)) if assets else 'job'}"
        files, home = servers.layout.home / sample, servers.layout.home / name

        def fill(url: str) -> None:
            with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
                for variable in [name for name in os.environ if name.startswith("FM_")]:
                    patch.delenv(variable)
                use_places(patch, url, bucket_of(servers, s3_client, sample), files / EXPORT_FILE)
                patch.setenv("FM_HOME", str(home))
                _import(definitions, instance, assets)
                remember(instance, home)
            settings.cache_clear()

        return Import(templates.made_once(servers, name, sample, fill), home)

    return make


def _import(definitions: dg.Definitions, instance: dg.DagsterInstance, assets: Sequence[str]) -> None:
    button = definitions.resolve_implicit_global_asset_job_def()
    job = button if assets else definitions.resolve_job_def("import_photographs")
    selection = [dg.AssetKey(asset) for asset in assets] or None
    assert job.execute_in_process(instance=instance, run_config=QUIET, asset_selection=selection).success


@pytest.fixture
def imported(
    untouched: Ticking,
    import_by_dagster: Callable[..., Import],
    make_sample: Callable[..., SampleClinic],
    monkeypatch: pytest.MonkeyPatch,
) -> Ticking:
    """After the first import, which the instance has recorded."""
    made = import_by_dagster("fresh")
    untouched.sample = make_sample("fresh", made.template)
    monkeypatch.setenv("FM_DATABASE_URL", untouched.sample.database_url)
    recall(untouched.instance, made.memory)
    return untouched


@pytest.fixture
def with_own_bucket(linked: Ticking, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """The same, with a copy of its bucket that the test may change, in which nothing needs to stop changing."""
    linked.sample, linked.bucket = in_own_bucket(linked.sample, bucket), bucket
    monkeypatch.setenv("FM_OBJECTS_URL", bucket.url)
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
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
