"""The asset `orphan_report` as Dagster runs it: figures, checks, automation, the nightly schedule, and what may not be
in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from fm_migration.defs.assets.assurance import OUT_OF_DATE_AFTER, WARN_AFTER
from fm_migration.defs.automation import automation, reports
from fm_migration.defs.partitions import MONTH
from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.schedules import nightly_report
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.report.classes import FindingClass
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.defs.conftest import Import
from fm_migration_tests.defs.memory import recall
from fm_migration_tests.places import use_places
from fm_migration_tests.thumbnails.conftest import in_own_bucket

CHECKS = {
    "no_batch_dangles",
    "no_readable_photograph_is_invisible",
    "counts_reconcile",
    "thumbnails_are_complete",
    "nothing_is_new",
}


class Watched:
    """A clinic, its runs, and what the automation would request."""

    def __init__(self, sample: SampleClinic, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.sample = sample
        self.definitions = definitions
        self.instance = instance
        self.cursors: dict[str, Any] = {}

    def run(self, *assets: str, job: str = "", **config: Any) -> dg.ExecuteInProcessResult:
        of_all = self.definitions.resolve_implicit_global_asset_job_def()
        ops = {"ops": {asset: {"config": given} for asset, given in config.items()}}
        chosen = self.definitions.resolve_job_def(job) if job else of_all
        return chosen.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets] or None,
            run_config={**ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def make_thumbnails(self, months: list[str]) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": months[0], "dagster/asset_partition_range_end": months[-1]}
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey("thumbnails")],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=tags,
        )

    def months(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(MONTH))

    def tick(self) -> set[str]:
        """By either sensor, each of which looks at its own assets."""
        requested = set()
        for sensor in (automation, reports):
            result = dg.evaluate_automation_conditions(
                self.definitions, self.instance, sensor.asset_selection, cursor=self.cursors.get(sensor.name)
            )
            self.cursors[sensor.name] = result.cursor
            keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
            requested |= {key.to_user_string() for key in keys if result.get_num_requested(key)}
        return requested

    def do(self, statement: str) -> None:
        with psycopg.connect(self.sample.database_url) as connection:
            connection.execute(statement.encode())

    def reimport(self) -> None:
        with psycopg.connect(self.sample.database_url) as connection:
            for _ in play_reimport(connection, seed=1):
                pass


Order = Callable[[str | None], Watched]


@pytest.fixture
def order(
    make_sample: Callable[..., SampleClinic],
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Order:
    """A clinic that an earlier tool has imported, in the state of this template; its bucket may be written to."""

    def make(template: str | None) -> Watched:
        sample = in_own_bucket(make_sample("imported", template), bucket)
        use_places(monkeypatch, sample.database_url, bucket, sample.export)
        monkeypatch.setenv("FM_HOME", str(tmp_path))
        return Watched(sample, definitions, instance)

    return make


@pytest.fixture
def untouched(order: Order) -> Watched:
    return order(None)


@pytest.fixture
def imported(order: Order, import_by_dagster: Callable[..., Import]) -> Watched:
    made = import_by_dagster("imported")
    clinic = order(made.template)
    recall(clinic.instance, made.memory)
    return clinic


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("orphan_report")
    return {name: entry.value for name, entry in event.metadata.items()}


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {
        check.check_name: check
        for check in result.get_asset_check_evaluations()
        if check.asset_key == dg.AssetKey("orphan_report")
    }


def _failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_the_import_ends_with_a_report(untouched: Watched) -> None:
    result = untouched.run(job="import_photographs")
    assert result.success
    figures = _metadata(result)
    truth = untouched.sample.truth
    states = Counter(row["state"] for row in truth["rows"])
    assert figures["finding/row_without_object"] == states["no_object"]
    assert figures["finding/ambiguous_patient"] == states["ambiguous_patient"]
    assert figures["finding/image_doubled"] == len(truth["left_by_runs"]["doubled_images"])
    assert {name for name in figures if name.startswith("finding/")} == {f"finding/{name}" for name in FindingClass}
    assert figures["finding/mirrored_side"] == 0, "a class without findings is on record too"
    assert figures["rows"] == truth["totals"]["rows"]
    assert figures["photographs_visible"] == states["linked"]
    assert figures["dagster/table_name"] == "fm_migration.finding"
    assert figures["summary"].startswith(f"All {states['linked']} photographs")
    assert "Dump the photograph from FileMaker again" in figures["classes"]
    assert figures["waterfall"].splitlines()[-1] == f"| visible photographs | {states['linked']} |"


def test_the_checks_say_what_adds_up_and_what_does_not(imported: Watched) -> None:
    months = imported.months()
    first = _checks(imported.run("orphan_report"))
    assert first.keys() == CHECKS
    passed = {name: check.passed for name, check in first.items()}
    assert passed == {
        "no_batch_dangles": True,
        "no_readable_photograph_is_invisible": False,
        "counts_reconcile": True,
        "thumbnails_are_complete": False,
        "nothing_is_new": True,
    }
    hidden = first["no_readable_photograph_is_invisible"]
    assert hidden.severity == dg.AssetCheckSeverity.WARN, "it is rows and patients that are in doubt"
    assert hidden.metadata["no_patient"].value > 0
    imported.make_thumbnails(months)
    imported.run("s3_inventory", "link_plan", "image_batches")
    one = "select min(photo.batch_id::text)::uuid from fm_migration.photo where state = 'linked'"
    imported.do(f"update images_batch set object_id = gen_random_uuid() where id = ({one})")
    second = _checks(imported.run("orphan_report"))
    assert second["thumbnails_are_complete"].passed
    assert not second["no_batch_dangles"].passed
    assert second["no_batch_dangles"].severity == dg.AssetCheckSeverity.ERROR
    assert second["no_batch_dangles"].metadata["batches"].value == 1
    assert second["no_readable_photograph_is_invisible"].severity == dg.AssetCheckSeverity.ERROR
    assert second["no_readable_photograph_is_invisible"].metadata["linked"].value > 0
    assert not second["nothing_is_new"].passed
    assert second["nothing_is_new"].metadata["batch_without_patient"].value == 1
    assert _checks(imported.run("orphan_report"))["nothing_is_new"].passed


def test_bytes_that_are_missing_from_the_inventory_do_not_reconcile(imported: Watched) -> None:
    imported.do("delete from fm_migration.s3_inventory where key = (select min(key) from fm_migration.s3_inventory)")
    imported.do("update fm_migration.link_plan set inputs = inputs")
    check = _checks(imported.run("orphan_report"))["counts_reconcile"]
    assert not check.passed
    assert check.metadata["objects read"].value == check.metadata["objects sum"].value + 1
    assert check.metadata["bytes read"].value > check.metadata["bytes sum"].value


def test_a_person_may_have_a_withheld_class_listed(imported: Watched) -> None:
    plain = _metadata(imported.run("orphan_report"))
    assert "looks like our mistake" in plain["withheld"]["thumbnail_missing"]
    listed = _metadata(imported.run("orphan_report", orphan_report={"accept": ["thumbnail_missing"]}))
    assert listed["withheld"] == {}
    assert listed["finding/thumbnail_missing"] > 50
    refused = imported.run("orphan_report", orphan_report={"accept": ["thumbnails"]})
    assert "there is no such class of findings" in _failure(refused)


def test_a_reimport_in_flight_fails_the_run_with_a_message_for_people(imported: Watched) -> None:
    imported.do("delete from patients where filemaker_metadata is not null")
    said = _failure(imported.run("orphan_report"))
    assert "known ones are missing. Wait until the re-import is done" in said


def test_nothing_of_a_patient_reaches_the_event_log(imported: Watched) -> None:
    said = str(imported.run("orphan_report", orphan_report={"accept": ["thumbnail_missing"]}).all_events)
    assert "orphan_report" in said
    with psycopg.connect(imported.sample.database_url) as connection:
        names = connection.execute(
            "select last_name, mrn, filemaker_metadata #>> '{}' from patients where length(last_name) > 3"
        ).fetchall()
    for name, mrn, metadata in names:
        assert name not in said
        assert mrn not in said
        assert not metadata or metadata[18:40] not in said


# --- automation and schedule ------------------------------------------------------------------------------------------


def test_a_reimport_requests_the_links_and_then_the_report(imported: Watched) -> None:
    """One of the patients alone would report links that nobody has healed yet."""
    assert imported.tick() == set()
    imported.reimport()
    assert imported.run("patient_map").success
    requested = imported.tick()
    assert requested == {"patient_links", "link_plan", "image_batches"}
    assert imported.run(*requested).success
    assert imported.tick() == {"orphan_report"}
    assert imported.run("orphan_report").success
    assert imported.tick() == set()


def test_a_report_follows_links_that_were_healed_without_it(imported: Watched) -> None:
    """As the sensor does, whose run must not fail because of a report."""
    imported.tick()
    imported.reimport()
    assert imported.run(job="heal_links").success
    assert imported.tick() == {"orphan_report"}
    assert imported.run("orphan_report").success
    assert imported.tick() == set()


def test_thumbnails_neither_request_a_report_nor_hold_one_up(imported: Watched) -> None:
    """No month was made yet, then some, then all; a report is due only where something else has changed."""
    imported.tick()
    months = imported.months()
    imported.make_thumbnails(months[:3])
    assert imported.tick() == set()
    imported.reimport()
    assert imported.run(job="heal_links").success
    assert imported.tick() == {"orphan_report"}
    assert imported.run("orphan_report").success
    imported.make_thumbnails(months)
    assert imported.tick() == set()


def test_the_nightly_report_reads_anew_and_waits_for_the_first_import(untouched: Watched) -> None:
    def tick() -> Any:
        with dg.build_schedule_context(instance=untouched.instance, resources=RESOURCES) as context:
            return nightly_report(context)

    assert "run import_photographs first" in tick().skip_message
    assert untouched.run(job="import_photographs", link_plan={"limit": 30}).success
    request = tick()
    assert request.run_config == {"ops": {"link_plan": {"config": {"limit": 30}}}}
    result = untouched.run(job="report", link_plan={"limit": 30})
    assert result.success
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert made == {dg.AssetKey(name) for name in ("s3_inventory", "patient_map", "link_plan", "orphan_report")}
    # The clinic's own import has brought the others, but for those without a date, which it has dropped.
    undated = [row for row in untouched.sample.truth["rows"] if row["undated"] and row["state"] == "linked"]
    assert _metadata(result)["finding/not_applied"] == len(undated) == 2
    assert untouched.tick() == set(), "a limited plan of the night has nothing more to apply"


def test_the_schedule_runs_by_itself_and_the_ui_tells_an_old_report(definitions: dg.Definitions) -> None:
    assert nightly_report.default_status == dg.DefaultScheduleStatus.RUNNING
    assert nightly_report.execution_timezone == "Australia/Melbourne"
    node = definitions.resolve_asset_graph().get(dg.AssetKey("orphan_report"))
    policy = node.freshness_policy
    assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (WARN_AFTER, OUT_OF_DATE_AFTER)  # type: ignore[union-attr]


def test_no_report_makes_healing_wait(definitions: dg.Definitions) -> None:
    """Runs that bear the tag wait for one another; and those of healing are taken from the queue before all others."""
    report, heal = (definitions.resolve_job_def(name) for name in ("report", "heal_links"))
    assert "fm/writes" not in report.tags
    assert "fm/writes" not in (reports.run_tags or {})
    assert heal.tags["fm/writes"] == "links"
    others = [job for job in definitions.resolve_all_job_defs() if job.name != "heal_links"]
    assert int(heal.tags["dagster/priority"]) > max(int(job.tags.get("dagster/priority", 0)) for job in others)
