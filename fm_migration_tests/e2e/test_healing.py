"""Re-imports under a real daemon, with nobody touching anything: afterwards every link is home again.

Nothing here asserts how fast; `bench/healing.py` measures that.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time

import dagster as dg
import psycopg
import pytest

from fm_migration_tests.e2e.conftest import Watched
from fm_migration_tests.e2e.daemon import wait_for
from fm_migration_tests.e2e.homes import misplaced, visible
from fm_migration_tests.e2e.runs import LOCATION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STARTED = dg.DagsterRunStatus.STARTED


def _wait_for_a_healing_run(clinic: Watched) -> str:
    """Until a healing run has read the patients and sleeps before it writes photographs; its id."""

    def sleeping() -> list[str]:
        with clinic.dagster.instance() as instance:
            return [
                run.run_id
                for run in instance.get_runs(dg.RunsFilter(job_name="heal_links", statuses=[STARTED]))
                if any(stats.step_key == "image_batches" for stats in instance.get_run_step_stats(run.run_id))
            ]

    wait_for("a healing run is about to write", lambda: bool(sleeping()), every=0.3)
    return sleeping()[0]


def test_a_reimport_heals(clinic: Watched) -> None:
    clinic.reimport()
    assert visible(clinic.homes()) < visible(clinic.imported) / 2, "everybody sees an empty gallery"
    clinic.wait_until_healed()
    with psycopg.connect(clinic.database_url) as connection:
        assert misplaced(connection, clinic.truth) == 0
    with clinic.dagster.instance() as instance:
        observed = instance.fetch_observations(dg.AssetKey("patients"), limit=1).records[0].asset_observation
        assert observed is not None
        with psycopg.connect(clinic.database_url) as connection:
            consumed = connection.execute("select distinct fingerprint from fm_migration.consumed").fetchall()
        assert consumed == [((observed.tags or {})["dagster/data_version"],)], "of links and of photographs"


def test_unchanged_patients_start_no_run(clinic: Watched) -> None:
    before = len(clinic.dagster.healings())
    clinic.reimport(keep_ids=True)
    changed_at = time.time()
    wait_for("the sensor has looked twice", lambda: len(clinic.dagster.ticks(changed_at)) >= 2, every=1)
    assert set(clinic.dagster.ticks(changed_at)) == {"the links were made from the patients as they are"}
    assert len(clinic.dagster.healings()) == before


def test_a_failing_run_alerts_and_the_links_heal_when_the_cause_is_gone(clinic: Watched) -> None:
    with psycopg.connect(clinic.database_url) as connection:
        connection.execute("alter table images_batch add constraint broken check (image_count < 0) not valid")
    clinic.heard.clear()
    clinic.reimport()
    wait_for("somebody is told", lambda: bool(clinic.heard), every=0.5)
    told = json.loads(clinic.heard[0])
    assert told["job"] == "heal_links"
    assert "SQLSTATE 23514" in told["message"]
    assert told["run_id"] in {run.run_id for run in clinic.dagster.healings(dg.DagsterRunStatus.FAILURE)}
    assert not clinic.is_healed()
    with psycopg.connect(clinic.database_url) as connection:
        connection.execute("alter table images_batch drop constraint broken")
    clinic.wait_until_healed()


@pytest.mark.long
def test_two_reimports_in_a_row_heal(clinic: Watched) -> None:
    clinic.reimport()
    clinic.reimport()
    clinic.wait_until_healed()


@pytest.mark.long
def test_a_slow_reimport_is_waited_for(clinic: Watched) -> None:
    """Its people are half there for a tick or two; no run starts in that time, so none fails."""
    failed = len(clinic.dagster.healings(dg.DagsterRunStatus.FAILURE))
    clinic.reimport(pause=1)
    clinic.wait_until_healed()
    assert len(clinic.dagster.healings(dg.DagsterRunStatus.FAILURE)) == failed


@pytest.mark.long
def test_a_reimport_during_a_healing_run_heals(clinic: Watched) -> None:
    clinic.dagster.slow_down(4)
    clinic.reimport()
    overtaken = _wait_for_a_healing_run(clinic)
    clinic.dagster.slow_down(0)
    clinic.reimport()
    clinic.wait_until_healed()
    with clinic.dagster.instance() as instance:
        run = instance.get_run_by_id(overtaken)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE, "it refuses to apply what it read before"


@pytest.mark.long
def test_a_burst_of_reimports_under_slow_healing_heals(clinic: Watched) -> None:
    clinic.dagster.slow_down(3)
    gaps = random.Random(20)
    for _ in range(3):
        clinic.reimport()
        time.sleep(gaps.uniform(0, 3))
    clinic.wait_until_healed()


@pytest.mark.long
def test_a_reimport_while_the_daemon_was_down_heals_when_it_is_back(clinic: Watched) -> None:
    clinic.dagster.stop()
    clinic.reimport()
    assert not clinic.is_healed()
    clinic.dagster.start()
    clinic.wait_until_healed()


@pytest.mark.long
def test_a_healing_run_whose_process_dies_is_started_again(clinic: Watched) -> None:
    clinic.dagster.slow_down(30)
    clinic.reimport()
    killed = _wait_for_a_healing_run(clinic)
    clinic.dagster.slow_down(0)
    os.kill(_process_of(clinic, killed), signal.SIGKILL)
    clinic.wait_until_healed()
    runs = {run.run_id: run for run in clinic.dagster.runs()}
    assert runs[killed].status == dg.DagsterRunStatus.FAILURE
    assert any(run.parent_run_id == killed for run in runs.values())


def _process_of(clinic: Watched, run_id: str) -> int:
    with clinic.dagster.instance() as instance:
        told = [record.event_log_entry.user_message for record in instance.get_records_for_run(run_id).records]
    (process,) = {found[1] for text in told if (found := re.search(r"\(pid: (\d+)\)", text))}
    return int(process)


@pytest.mark.long
def test_a_daemon_that_is_stopped_during_a_healing_run_lets_it_end(clinic: Watched) -> None:
    clinic.dagster.slow_down(3)
    clinic.reimport()
    _wait_for_a_healing_run(clinic)
    clinic.dagster.stop()
    assert clinic.is_healed()
    clinic.dagster.start()


@pytest.mark.long
def test_a_patient_map_made_by_hand_heals_without_the_sensor(clinic: Watched) -> None:
    clinic.dagster.switch_sensor(on=False)
    try:
        healing = len([run for run in clinic.dagster.runs() if run.job_name == "heal_links"])
        clinic.reimport()
        clinic.dagster.command("dagster", "asset", "materialize", "-m", LOCATION, "--select", "patient_map")
        clinic.wait_until_healed()
        assert len([run for run in clinic.dagster.runs() if run.job_name == "heal_links"]) == healing
    finally:
        clinic.dagster.switch_sensor(on=True)
