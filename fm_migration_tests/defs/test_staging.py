"""The staging assets as Dagster runs: on the sample clinic with its known mess, and when the world is not plausible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from fm_migration_tests.conftest import SampleClinic
from fm_migration_tests.places import use_places

STAGING = ["csv_metadata", "s3_inventory", "patient_map"]


@pytest.fixture
def clinic(make_sample: Callable[[str], SampleClinic], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SampleClinic:
    sample = make_sample("fresh")
    export = tmp_path / "Image_dataV10.csv"
    export.write_bytes(sample.export.read_bytes())
    use_places(monkeypatch, sample.database_url, sample.bucket, export)
    return SampleClinic(sample.database_url, sample.bucket, export, sample.truth)


@pytest.fixture
def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    def materialize(*assets: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        job = definitions.resolve_implicit_global_asset_job_def()
        ops = {name: {"config": given} for name, given in (config or {}).items()}
        return job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in assets or STAGING],
            run_config={"ops": ops},
            raise_on_error=False,
        )

    return materialize


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def _failure(result: dg.ExecuteInProcessResult, step: str) -> str:
    (event,) = [event for event in result.filter_events(lambda e: e.is_step_failure) if event.step_key == step]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def _version(instance: dg.DagsterInstance, asset: str) -> str:
    record = instance.get_latest_data_version_record(dg.AssetKey(asset))
    assert record is not None
    assert record.asset_materialization is not None
    return str((record.asset_materialization.tags or {})["dagster/data_version"])


def test_the_sample_clinic_is_staged_as_its_truth_says(clinic: SampleClinic, run: Any) -> None:
    result = run()
    assert result.success
    truth = clinic.truth["totals"]
    assert _metadata(result, "csv_metadata")["rows_read"] == truth["rows"]
    inventory = _metadata(result, "s3_inventory")
    assert inventory["originals"] == truth["originals"]
    assert _metadata(result, "patient_map")["patients"] == truth["patients"]
    assert _checks(result)["export_is_plausible"]
    assert not _checks(result)["rows_are_sound"], "the sample has duplicate recids on purpose"
    assert not _checks(result)["ids_are_unambiguous"], "two people share an id on purpose"


def test_every_object_is_classified_as_the_truth_says(clinic: SampleClinic, run: Any) -> None:
    run("s3_inventory")
    with psycopg.connect(clinic.database_url) as connection:
        found: dict[str, str] = dict(connection.execute("select key, kind from fm_migration.s3_inventory").fetchall())
    expected = {facts["key"]: facts["class"] for facts in clinic.truth["objects"]}
    assert {key: found[key] for key in expected} == expected


def test_an_unchanged_world_keeps_its_versions(clinic: SampleClinic, run: Any, instance: dg.DagsterInstance) -> None:
    run()
    first = {asset: _version(instance, asset) for asset in STAGING}
    run()
    assert {asset: _version(instance, asset) for asset in STAGING} == first


def test_the_catalogue_has_columns_rows_lineage_and_plottable_figures(clinic: SampleClinic, run: Any) -> None:
    result = run()
    for asset in STAGING:
        metadata = _metadata(result, asset)
        assert metadata["dagster/row_count"] > 0
        assert metadata["dagster/column_schema"].columns
        assert metadata["dagster/column_lineage"].deps_by_column
        assert metadata["dagster/table_name"].startswith("fm_migration.")
    csv = _metadata(result, "csv_metadata")
    assert csv["problem/duplicate_recid"] == 0 or isinstance(csv["problem/duplicate_recid"], int)
    assert "| duplicate_recid |" in csv["problems"]
    assert csv["dialect/encoding"] == "utf-8"


def test_an_empty_export_fails_its_blocking_check_and_keeps_the_rows(clinic: SampleClinic, run: Any) -> None:
    run()
    head = clinic.export.read_bytes().split(b"\r\n")[0]
    clinic.export.write_bytes(head + b"\r\n")
    result = run("csv_metadata")
    assert not result.success
    assert _checks(result) == {"export_is_plausible": False}
    assert "it holds 0 rows, and the last good reading had" in _failure(result, "csv_metadata")
    with psycopg.connect(clinic.database_url) as connection:
        (rows,) = connection.execute("select count(*) from fm_migration.csv_metadata").fetchone() or (0,)
    assert rows == clinic.truth["totals"]["rows"]


def test_a_reimport_under_way_is_told_and_stops_nothing(clinic: SampleClinic, run: Any) -> None:
    run()
    with psycopg.connect(clinic.database_url) as connection:
        connection.execute("delete from patients where id in (select id from patients limit 20)")
    result = run("patient_map")
    assert result.success
    assert _checks(result)["patients_are_plausible"]
    assert not _checks(result)["no_reimport_under_way"]
    figures = _metadata(result, "patient_map")
    assert 0 < figures["known"] - figures["known_present"] <= 20
    assert figures["ended"] == 20


def test_ids_that_are_all_gone_fail_the_blocking_check(clinic: SampleClinic, run: Any) -> None:
    """The importer writes them under another name, say. Nothing is changed."""
    run()
    with psycopg.connect(clinic.database_url) as connection:
        connection.execute("update patients set filemaker_metadata = '{}'")
    result = run("patient_map")
    assert not result.success
    assert _checks(result) == {"patients_are_plausible": False}
    assert "none of the" in _failure(result, "patient_map")


def test_a_message_of_the_driver_never_reaches_the_event_log(clinic: SampleClinic, run: Any) -> None:
    """A driver's message may quote a row; ours names table and code."""
    with psycopg.connect(clinic.database_url) as connection:
        connection.execute("alter table fm_migration.csv_metadata add check (type_text <> 'Dorsal')")
        connection.execute("alter table patients rename to people")
    result = run("csv_metadata", "patient_map")
    said = _failure(result, "csv_metadata")
    assert "SQLSTATE 23514" in said
    assert "csv_metadata" in said
    assert "Dorsal" not in str([event.event_specific_data for event in result.all_events])
    assert "SQLSTATE 42P01" in _failure(result, "patient_map")


def test_an_export_that_is_gone_is_named_with_the_setting(clinic: SampleClinic, run: Any) -> None:
    clinic.export.unlink()
    assert "there is no such file. Correct FM_EXPORT" in _failure(run("csv_metadata"), "csv_metadata")
