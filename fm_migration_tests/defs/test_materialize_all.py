"""From an empty instance to everything: what a person's first click in the UI starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fm_migration.defs.partitions import MONTH, UNDATED
from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.sensors.thumbnails import pending_thumbnails
from fm_migration.embedded.stack import Stack
from fm_migration.settings import settings
from fm_migration_tests.own_clinic import own_clinic
from fm_migration_tests.places import use_places

MATERIALIZABLE = {
    "desktop_export", "filemaker_images", "csv_metadata", "s3_inventory", "patient_map", "link_plan", "image_batches",
    "patient_links",
    "thumbnails", "orphan_report",
}  # fmt: skip
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def _new_clinic(
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[None]:
    with own_clinic(servers, s3_client, _sample_template("fresh"), tmp_path) as clinic:
        use_places(monkeypatch, clinic.database_url, clinic.bucket, clinic.export)
        monkeypatch.setenv("FM_HOME", str(tmp_path / "home"))
        yield
        settings.cache_clear()


def _made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


@pytest.mark.usefixtures("_new_clinic")
def test_all_of_the_import_is_one_click(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """The button of the job's page: nothing in the job is partitioned, so nothing is asked."""
    job = definitions.resolve_job_def("import_photographs")
    assert job.partitions_def is None
    result = job.execute_in_process(instance=instance, run_config=QUIET)
    assert _made(result) == MATERIALIZABLE - {"desktop_export", "filemaker_images", "thumbnails"}
    assert len(instance.get_dynamic_partitions(MONTH)) > 5, "and the sensor finds months to make thumbnails of"


@pytest.mark.usefixtures("_new_clinic")
def test_all_of_the_lineage_can_be_launched_before_there_is_any_month(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """The button of the lineage asks which months: there is always one to choose, and one is one run of everything."""
    with dg.build_sensor_context(instance=instance, resources=RESOURCES) as context:
        ticked = pending_thumbnails(context)
    assert isinstance(ticked, dg.SensorResult)
    (request,) = ticked.dynamic_partitions_requests or []
    assert isinstance(request, dg.AddDynamicPartitionsRequest)
    assert request.partition_keys == [UNDATED]
    instance.add_dynamic_partitions(MONTH, request.partition_keys)
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        run_config=QUIET,
        partition_key=UNDATED,
        asset_selection=[dg.AssetKey(name) for name in sorted(MATERIALIZABLE)],
    )
    assert _made(result) == MATERIALIZABLE
    assert len(instance.get_dynamic_partitions(MONTH)) > 5
