"""The asset `thumbnails` as Dagster runs it: months, checks, figures, the sensor, and what may not be in the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from fm_migration.defs import backfills
from fm_migration.defs.jobs import make_thumbnails
from fm_migration.defs.partitions import MONTH, add_months, month_partitions, new_months
from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.sensors.thumbnails import PENDING_TAG, pending_thumbnails
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.defs.conftest import Import
from fm_migration_tests.defs.memory import recall
from fm_migration_tests.e2e.runs import record_run
from fm_migration_tests.places import use_places
from fm_migration_tests.thumbnails.conftest import in_own_bucket

PROJECT = Path(__file__).parents[2]
IMPORT = ("csv_metadata", "s3_inventory", "patient_map", "link_plan", "image_batches")


class Months:
    """A linked clinic, and runs of its months."""

    def __init__(self, sample: SampleClinic, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.sample = sample
        self.definitions = definitions
        self.instance = instance

    def run(self, month: str, **config: Any) -> dg.ExecuteInProcessResult:
        return self._execute(["thumbnails"], {"ops": {"thumbnails": {"config": config}}}, partition_key=month)

    def run_range(self, first: str, last: str) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self._execute(["thumbnails"], {}, tags=tags)

    def known(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(MONTH))

    def tick(self) -> Any:
        with dg.build_sensor_context(instance=self.instance, resources=RESOURCES) as context:
            return pending_thumbnails(context)

    def pending(self) -> int:
        with psycopg.connect(self.sample.database_url) as connection:
            query = """select count(*) from fm_migration.photo where state = 'linked' and not exists (
                       select from fm_migration.thumbnail where thumbnail.clinic_image = photo.clinic_image)"""
            (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)

    def _execute(self, assets: list[str], config: dict[str, Any], **more: Any) -> dg.ExecuteInProcessResult:
        loggers = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config={**config, **loggers},
            raise_on_error=False,
            **more,
        )


@pytest.fixture
def months(
    import_by_dagster: Callable[..., Import],
    make_sample: Callable[..., SampleClinic],
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Months:
    made = import_by_dagster("fresh", *IMPORT)
    sample = in_own_bucket(make_sample("fresh", made.template), bucket)
    use_places(monkeypatch, sample.database_url, bucket, sample.export)
    monkeypatch.setenv("FM_HOME", str(tmp_path))
    monkeypatch.setenv("FM_THUMBNAIL_RUNS", "1")
    recall(instance, made.memory)
    return Months(sample, definitions, instance)


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    event = result.asset_materializations_for_node("thumbnails")[-1]
    return {name: entry.value for name, entry in event.metadata.items()}


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_planning_the_links_makes_the_months_known_in_order(months: Months) -> None:
    known = months.known()
    linked = [row for row in months.sample.truth["rows"] if row["state"] == "linked"]
    assert set(known) == {row["date"][:7] if row["date"] else "undated" for row in linked}
    assert known == sorted(known)
    assert known[-1] == "undated"


def test_months_are_added_once_and_sorted(instance: dg.DagsterInstance) -> None:
    add_months(instance, ["2020-02", "undated", "2019-01"])
    add_months(instance, ["2019-01"])
    assert instance.get_dynamic_partitions(MONTH) == ["2019-01", "2020-02", "undated"]
    assert new_months(instance, ["2020-02", "2021-01"]) == ["2021-01"]


def test_a_month_is_made_with_its_figures(months: Months) -> None:
    month = months.known()[0]
    result = months.run(month)
    assert result.success
    figures = _metadata(result)
    linked = [row for row in months.sample.truth["rows"] if row["state"] == "linked"]
    taken = [row for row in linked if (row["date"] or "").startswith(month)]
    assert figures["photographs"] == figures["made"] == figures["dagster/partition_row_count"] == len(taken)
    assert figures["pending"] == 0
    assert figures["bytes_read"] > figures["bytes_written"] > 0
    assert figures["seconds"] > 0
    assert figures["dagster/table_name"] == "fm_migration.thumbnail"
    assert figures["other_images_without"] > 0
    assert _checks(result)["thumbnails_are_complete"] is False, "the other months wait"
    assert result.asset_materializations_for_node("thumbnails")[-1].partition == month


def test_all_months_in_one_run_say_what_is_wrong_with_the_originals(months: Months) -> None:
    known = months.known()
    result = months.run_range(known[0], known[-1])
    assert result.success
    assert months.pending() == 0
    assert {event.partition for event in result.asset_materializations_for_node("thumbnails")} == set(known)
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["thumbnails_are_complete"].passed
    assert not checks["originals_are_readable"].passed
    assert checks["originals_are_readable"].metadata["unreadable"].value == 2
    assert not checks["no_side_is_mirrored"].passed
    assert checks["no_side_is_mirrored"].metadata["mirrored_side"].value == 2
    assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
    again = months.run_range(known[0], known[-1])
    assert _metadata(again)["made"] == 0
    assert "nothing to do" in _metadata(again)["summary"]


def test_the_config_is_honoured(months: Months, tmp_path: Path) -> None:
    month = "undated"
    assert _metadata(months.run(month, limit=1))["made"] == 1
    assert not (tmp_path / "contact-sheets").exists()
    everything = months.run(month, force=True, contact_sheet=True)
    (sheet,) = (tmp_path / "contact-sheets").iterdir()
    assert sheet.name == f"{everything.run_id}.html"
    assert sheet.read_text(encoding="utf-8").count("<figure>") == _metadata(everything)["made"]
    assert not months.run(month, limit=0).success


def test_nothing_of_a_patient_reaches_the_event_log(months: Months) -> None:
    result = months.run("undated", contact_sheet=True)
    said = str(result.all_events)
    assert "undated" in said
    with psycopg.connect(months.sample.database_url) as connection:
        names = connection.execute("select last_name, filemaker_metadata ->> 'filemaker_id' from patients").fetchall()
    for name, filemaker_id in names:
        assert name not in said
        assert not filemaker_id or filemaker_id not in said
    assert "base64" not in said


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_away_fails_the_run_with_a_message_for_people(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fm_migration.errors import TransientError
    from fm_migration.objects.store import ObjectStore
    from fm_migration.thumbnails import reading

    def away(*_: object, **__: object) -> bytes:
        raise TransientError("reading", "1.jpg", "nobody answers", "Check the endpoint")

    monkeypatch.setattr(ObjectStore, "read", away)
    monkeypatch.setattr(reading, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(reading, "LONGEST_WAIT", 0.01)
    result = months.run("undated")
    assert not result.success
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, event.step_failure_data
    assert "nobody answers. Check the endpoint" in str(failure.description)


# --- the sensor -------------------------------------------------------------------------------------------------------


def _ended(months: Months, month: str, version: str, status: dg.DagsterRunStatus) -> None:
    job = months.definitions.resolve_job_def("make_thumbnails")
    record_run(months.instance, job, status, {"dagster/partition": month, PENDING_TAG: version}, ["thumbnails"])


def test_the_sensor_starts_the_newest_month_and_waits_while_it_is_on_its_way(months: Months) -> None:
    (request,) = months.tick().run_requests
    newest = [month for month in months.known() if month != "undated"][-1]
    assert request.partition_key == newest
    _ended(months, newest, request.tags[PENDING_TAG], dg.DagsterRunStatus.STARTED)
    waiting = months.tick()
    assert waiting.run_requests == []
    assert "1 runs are in progress" in waiting.skip_reason.skip_message


def test_more_runs_at_a_time_are_of_other_months(months: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    from fm_migration.settings import settings

    monkeypatch.setenv("FM_THUMBNAIL_RUNS", "3")
    settings.cache_clear()
    first = months.tick().run_requests
    assert len({request.partition_key for request in first}) == 3
    _ended(months, first[1].partition_key, "v", dg.DagsterRunStatus.QUEUED)
    second = months.tick().run_requests
    assert len(second) == 2
    assert first[1].partition_key not in {request.partition_key for request in second}


def test_a_range_on_its_way_keeps_all_its_months(months: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    from fm_migration.settings import settings

    monkeypatch.setenv("FM_THUMBNAIL_RUNS", "50")
    settings.cache_clear()
    known = months.known()
    tags = {"dagster/asset_partition_range_start": known[2], "dagster/asset_partition_range_end": known[-1]}
    job = months.definitions.resolve_job_def("make_thumbnails")
    record_run(months.instance, job, dg.DagsterRunStatus.STARTED, tags, ["thumbnails"])
    assert {request.partition_key for request in months.tick().run_requests} == set(known[:2])


def test_a_backfill_keeps_its_months_before_it_has_a_run(months: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_THUMBNAIL_RUNS", "50")
    known = months.known()
    backfill = backfills.launch(months.instance, months.definitions, known[2:], "some months")
    assert {request.partition_key for request in months.tick().run_requests} == set(known[:2])
    assert backfills.cancel(months.instance, backfill)
    found = backfills.look_up(months.instance, backfill)
    assert found is not None
    assert (found.months, found.ended, found.cancelled) == (tuple(known[2:]), False, True)


def test_a_month_whose_runs_change_nothing_pauses_and_the_next_is_tried(months: Months) -> None:
    (request,) = months.tick().run_requests
    _ended(months, request.partition_key, request.tags[PENDING_TAG], dg.DagsterRunStatus.FAILURE)
    (other,) = months.tick().run_requests
    assert other.partition_key != request.partition_key


def test_the_sensor_rests_when_every_thumbnail_is_current_and_wakes_when_an_original_changes(months: Months) -> None:
    known = months.known()
    months.run_range(known[0], known[-1])
    assert months.tick().skip_reason.skip_message == "every thumbnail is current"
    with psycopg.connect(months.sample.database_url) as connection:
        connection.execute(
            """update fm_migration.s3_inventory set etag = 'another' where key = (
               select key from fm_migration.photo where month = 'undated' and state = 'linked' limit 1)"""
        )
    (request,) = months.tick().run_requests
    assert request.partition_key == "undated"


def test_months_that_dagster_does_not_know_are_added_by_the_sensor(months: Months) -> None:
    months.instance.delete_dynamic_partition(MONTH, "undated")
    (added,) = months.tick().dynamic_partitions_requests
    assert added == month_partitions.build_add_request(["undated"])


def test_the_job_is_told_apart_by_its_tag() -> None:
    assert (make_thumbnails.tags or {})["fm/makes"] == "thumbnails"
