"""The asset filemaker_images and its schedule, against the simulated FileMaker and real servers beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.schedules import filemaker_intake
from fm_migration.intake.bringing import SOURCE
from fm_migration.ledger import transfers
from fm_migration.settings import settings
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings
from fm_migration_tests.places import use_filemaker, use_places

QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def filemaker() -> Iterator[FileMakerServer]:
    accounts = {"canary-account-40d2": "canary-password-c81e"}
    with FileMakerServer(ServerSettings(records=12, dead_share=0.2, accounts=accounts)) as server:
        yield server


@pytest.fixture
def run(
    filemaker: FileMakerServer,
    clinic_database: str,
    engine: Engine,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Iterator[Run]:
    use_places(monkeypatch, clinic_database, bucket, tmp_path / "none.csv")
    use_filemaker(monkeypatch, filemaker)
    monkeypatch.setenv("FM_HOME", str(tmp_path / "home"))

    def bring(**config: Any) -> dg.ExecuteInProcessResult:
        asked = {"ops": {"filemaker_images": {"config": config}}} if config else {}
        job = definitions.resolve_job_def("bring_photographs")
        return job.execute_in_process(instance=instance, run_config={**QUIET, **asked}, raise_on_error=False)

    yield bring
    settings.cache_clear()


def _told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("filemaker_images")
    return {name: entry.value for name, entry in event.metadata.items()}


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def test_a_run_tells_figures_a_forecast_and_a_plot(run: Run, filemaker: FileMakerServer) -> None:
    result = run(limit=4)
    told = _told(result)
    dead = sum(row["dead"] is not None for row in filemaker.truth())
    assert result.success
    assert (told["arrived"], told["state/arrived"]) == (4, 4)
    assert "the next run goes on" in told["ended"]
    assert "a day they are here on" in told["forecast"]
    assert "data:image/png" in told["progress"]
    rest = _told(run())
    assert rest["left"] == 0
    assert rest["state/quarantined"] == dead
    assert (rest["json_bytes"] > 0, rest["container_bytes"] > 0) == (True, True)


def test_checks_tell_of_quarantined_and_of_smaller_pictures(run: Run, filemaker: FileMakerServer) -> None:
    filemaker.change_settings(recid_shift=0)
    checks = _checks(run())
    assert checks == {
        "every_record_was_met": True,
        "nothing_is_quarantined": False,
        "best_pictures_arrived": True,
        "recids_are_record_numbers": True,
    }


def test_a_budget_that_is_reached_ends_the_run_well(run: Run) -> None:
    first = run(daily_bytes=20_000)
    assert first.success
    told = _told(first)
    assert "bytes of this day are used up" in told["ended"]
    assert 0 < told["arrived"] < 9
    again = _told(run(daily_bytes=20_000))
    assert again["arrived"] == 0


def test_the_servers_own_limit_ends_the_run_well(run: Run, filemaker: FileMakerServer) -> None:
    filemaker.change_settings(budget_bytes=1, budget_counts="both")
    result = run()
    assert result.success
    assert "953" in _told(result)["ended"]


def test_a_dry_run_writes_nothing(run: Run, filemaker: FileMakerServer, engine: Engine, bucket: Bucket) -> None:
    told = _told(run(dry_run=True))
    assert told["would_fetch"] > 0
    assert "container" not in filemaker.report()["requests"]
    with engine.connect() as connection:
        assert transfers.standing(connection, SOURCE) == []
        assert transfers.sources(connection) == []
    assert "Contents" not in bucket.client.list_objects_v2(Bucket=bucket.name)


def test_a_person_may_ask_for_quarantined_ones_again(run: Run, filemaker: FileMakerServer) -> None:
    dead = [str(row["recid"]) for row in filemaker.truth() if row["dead"] in ("zero", "html", "broken", "garbage")]
    run()
    filemaker.clear_report()
    run()
    assert "container" not in filemaker.report()["requests"]
    told = _told(run(again=["all"]))
    assert told["quarantined"] >= len(dead)


def test_without_a_filemaker_it_says_so_and_does_not_fail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FM_FILEMAKER_URL")
    told = _told(run())
    assert told["arrived"] == 0
    assert "FM_FILEMAKER_URL is not set" in told["summary"]


def test_a_wrong_password_is_said_and_not_tried_again(
    run: Run, filemaker: FileMakerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_FILEMAKER_PASSWORD", "wrong-canary")
    result = run()
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    said = (data.description if data else None) or ""
    assert "FM_FILEMAKER_ACCOUNT" in said
    assert "wrong-canary" not in str(failure)
    assert filemaker.report()["logins_refused"] == 1


def test_the_schedule_brings_so_many_as_the_setting_says(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick() -> Any:
        with dg.build_schedule_context(resources=RESOURCES) as context:
            return filemaker_intake(context)

    assert isinstance(tick(), dg.SkipReason)
    monkeypatch.setenv("FM_FILEMAKER_EVERY_SIX_HOURS", "250")
    asked = tick()
    assert asked.run_config == {"ops": {"filemaker_images": {"config": {"limit": 250}}}}
    assert filemaker_intake.cron_schedule == "0 */6 * * *"


def test_the_schedule_leaves_a_paused_intake_alone(run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_FILEMAKER_EVERY_SIX_HOURS", "250")
    with engine.begin() as connection:
        transfers.set_pace(connection, SOURCE, transfers.Pace(paused=True))
    with dg.build_schedule_context(resources=RESOURCES) as context:
        asked = filemaker_intake(context)
    assert isinstance(asked, dg.SkipReason)
    assert "--resume" in (asked.skip_message or "")
    assert "paused" in _told(run())["ended"]


def test_nothing_that_dagster_keeps_holds_a_credential_or_a_patient(
    run: Run, filemaker: FileMakerServer, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    """Events, metadata, tags, and what runs print, of a good run and of a failed one."""
    truth = filemaker.truth()
    account, password = filemaker.account
    good = run()
    filemaker.change_settings(accounts={account: "another-one"})
    filemaker.add_records(1)
    failed = run(again=["all"])
    assert good.success
    assert not failed.success
    kept = "".join(
        str(record.event_log_entry)
        for one in (good, failed)
        for record in instance.get_records_for_run(one.run_id).records
    )
    printed = capfd.readouterr()
    canaries = [password, account, "Bearer ", "Basic ", "Streaming_SSL"]
    people = [row["id_Contact"] for row in truth] + [row["id"] for row in truth]
    for where in (kept, printed.out, printed.err):
        assert [canary for canary in (*canaries, *people) if canary in where] == []
    assert "fm_migration.transfer" in kept, "the events were really looked at"
