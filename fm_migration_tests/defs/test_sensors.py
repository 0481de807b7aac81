"""The sensors, tick by tick, on the sample clinic and a real instance; runs are real ones in this process.

What is decided in which state of the world is told in watching/test_healing.py. Here it is seen in ticks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.sensors.alerts import mail_failures, tell_of_failures
from fm_migration.defs.sensors.healing import FINGERPRINT_TAG
from fm_migration.settings import settings
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.e2e.runs import record_run
from fm_migration_tests.smtp import Mailbox, mail_server

IN_SYNC = "the links were made from the patients as they are"
#: What reading the patients refuses: the importer writes the ids under another name, say.
NOBODY_HAS_AN_ID = "update patients set filemaker_metadata = null"
NEW_PATIENT = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
values (gen_random_uuid(), 'Kanarienvogel', 'Canary', false, now(), now(),
        jsonb_build_object('filemaker_id', gen_random_uuid()))
"""


def test_before_the_first_import_it_names_the_job_to_start(untouched: Ticking) -> None:
    assert untouched.message() == "nothing was linked yet: run import_photographs first"


def test_unchanged_patients_start_no_run(imported: Ticking) -> None:
    assert imported.message() == IN_SYNC
    imported.reimport(keep_ids=True)
    assert imported.message() == IN_SYNC


def test_a_reimport_starts_a_run_that_heals_and_is_then_in_sync(imported: Ticking) -> None:
    before = imported.homes()
    imported.reimport()
    assert imported.homes() != before
    request = imported.requested()
    assert request.run_key is None, "with a key, a failed run would never be repeated"
    assert imported.run("heal_links", request.tags).success
    assert imported.homes() == before
    assert imported.message() == IN_SYNC


def test_the_observation_of_the_patients_is_reported_with_their_fingerprint(imported: Ticking) -> None:
    imported.reimport()
    request = imported.requested()
    (record,) = imported.instance.fetch_observations(dg.AssetKey("patients"), limit=10).records
    assert record.asset_observation is not None
    assert (record.asset_observation.tags or {})["dagster/data_version"] == request.tags[FINGERPRINT_TAG]


def test_a_half_empty_table_is_told_and_waited_for(imported: Ticking) -> None:
    imported.execute("create table kept as select * from patients")
    imported.execute("delete from patients where id in (select id from patients order by id limit 20)")
    assert "known patients are missing; waiting until the table has not changed" in imported.message()
    imported.execute("insert into patients select * from kept on conflict do nothing")
    assert imported.message() == IN_SYNC


def test_a_reimport_that_is_never_finished_heals_who_is_back_and_then_the_others(
    imported: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_HEAL_SETTLE_SECONDS", "0")
    at_home = imported.homes()
    imported.reimport()
    imported.execute("create table late as select * from patients order by id limit 40")
    imported.execute("delete from patients where id in (select id from late)")
    assert imported.follow(imported.requested()).success
    healed = imported.homes()
    assert 0 < len(healed) < len(at_home)
    assert healed.items() <= at_home.items()
    assert imported.message() == IN_SYNC
    imported.execute("insert into patients select * from late")
    assert imported.follow(imported.requested()).success
    assert imported.homes() == at_home


def test_a_newly_registered_patient_starts_no_run_and_is_in_the_history(imported: Ticking) -> None:
    known = "select count(*) from fm_migration.patient_identity where ended is null"
    before, runs = imported.ask(known), len(imported.instance.get_runs())
    imported.execute(NEW_PATIENT)
    assert imported.message() == "new patients were registered; no link and no photograph waits for them"
    assert imported.ask(known) == before + 1
    assert imported.message() == IN_SYNC
    assert len(imported.instance.get_runs()) == runs


def test_a_healing_that_a_person_has_undone_stays_undone_until_the_patients_change(imported: Ticking) -> None:
    imported.reimport()
    assert imported.follow(imported.requested()).success
    healed = imported.homes()
    plan = imported.ask("select max(id) from fm_migration.link_plan where kind = 'links' and applied_at is not null")
    assert imported.run("undo_plan", config={"ops": {"undo": {"config": {"plan": plan}}}}).success
    assert imported.homes() != healed
    assert imported.message().startswith(f"plan {plan} has led the links to these patients, and a person has undone it")
    assert imported.run("heal_links").success
    assert imported.homes() == healed
    assert imported.message() == IN_SYNC


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_there_is_no_second_run_while_one_is_on_its_way(imported: Ticking, status: dg.DagsterRunStatus) -> None:
    imported.reimport()
    request = imported.requested()
    record_run(imported.instance, imported.definitions.resolve_job_def("heal_links"), status, request.tags)
    assert imported.message() == "a run that writes links is in progress"


def test_links_that_somebody_materializes_in_the_ui_count_as_on_their_way(imported: Ticking) -> None:
    imported.reimport()
    everything = imported.definitions.resolve_implicit_global_asset_job_def()
    run = record_run(imported.instance, everything, dg.DagsterRunStatus.STARTED, assets=["link_plan", "image_batches"])
    assert imported.message() == "a run that writes links is in progress"
    imported.instance.report_run_canceled(run)
    assert imported.requested()


def test_a_run_of_something_else_is_not_waited_for(imported: Ticking) -> None:
    imported.reimport()
    record_run(imported.instance, imported.definitions.resolve_job_def("observe_sources"), dg.DagsterRunStatus.STARTED)
    assert imported.requested()


def test_a_failed_run_is_repeated_after_a_pause_that_grows(imported: Ticking) -> None:
    imported.reimport()
    imported.execute("alter table images_batch add constraint broken check (object_id is null) not valid")
    tags = imported.requested().tags
    assert not imported.run("heal_links", tags).success
    assert "healing has failed 1 times for this state" in imported.message()
    assert not imported.run("heal_links", tags).success
    said = imported.message()
    assert "healing has failed 2 times for this state" in said
    assert "Next try at " in said
    # Another change is another state: it is not kept waiting for what went wrong before.
    imported.execute("alter table images_batch drop constraint broken")
    imported.reimport()
    assert imported.run("heal_links", imported.requested().tags).success
    assert imported.message() == IN_SYNC


def test_a_table_that_cannot_be_written_fails_its_check_by_name_and_holds_up_no_other(imported: Ticking) -> None:
    at_home = imported.homes()
    imported.reimport()
    imported.execute("alter table documents_document add constraint broken check (object_id is null) not valid")
    result = imported.follow(imported.requested())
    assert result.success
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "every_table_can_be_written"]
    assert not check.passed
    assert (check.description or "").startswith("documents_document.object_id: ")
    assert at_home.keys() - imported.homes().keys() == {key for key in at_home if key.startswith("document")}


def test_a_run_that_lost_its_machine_is_ended_and_repeated(imported: Ticking) -> None:
    imported.reimport()
    heal_links = imported.definitions.resolve_job_def("heal_links")
    run = record_run(imported.instance, heal_links, dg.DagsterRunStatus.STARTED, imported.requested().tags)
    assert run.tags["dagster/max_runtime"] == "900"
    assert "in progress" in imported.message()
    # What Dagster's monitoring does when that time is over.
    imported.instance.report_run_failed(run, "Exceeded maximum runtime")
    assert "healing has failed 1 times" in imported.message()


def test_a_look_that_fails_fails_the_tick_without_a_word_of_the_driver(imported: Ticking) -> None:
    imported.execute("alter table patients rename to people")
    with pytest.raises(dg.Failure, match="SQLSTATE 42P01") as failure:
        imported.tick()
    kept = serializable_error_info_from_exc_info((failure.type, failure.value, failure.tb)).to_string()
    assert "relation" not in kept


# --- telling a person ---------------------------------------------------------------------------------------------


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A webhook of somebody's, and what it was told."""
    told: list[bytes] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing of it belongs into the output of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("FM_ALERT_URL", f"http://127.0.0.1:{server.server_port}/hook")
        settings.cache_clear()
        yield told
        server.shutdown()
        thread.join()


def _tell(ticking: Ticking, result: dg.ExecuteInProcessResult, sensor: Any = tell_of_failures) -> None:
    run = ticking.instance.get_run_by_id(result.run_id)
    assert run is not None
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_instance=ticking.instance,
        dagster_run=run,
        dagster_event=result.get_run_failure_event(),
        resources={"settings": RESOURCES["settings"]},
    ).for_run_failure()
    sensor(context)


def test_a_failed_run_is_told_with_its_remedy_and_without_patients(imported: Ticking, mailbox: list[bytes]) -> None:
    imported.execute("update patients set first_name = 'Kanarienvogel', last_name = 'Canary'")
    imported.execute(NOBODY_HAS_AN_ID)
    result = imported.run("heal_links")
    assert not result.success
    _tell(imported, result)
    (body,) = mailbox
    told = json.loads(body)
    assert set(told) == {"job", "run_id", "message"}
    assert (told["job"], told["run_id"]) == ("heal_links", result.run_id)
    assert "See that filemaker_metadata still holds it" in told["message"]
    assert b"Kanarienvogel" not in body
    assert b"Canary" not in body


def test_a_driver_that_quotes_a_row_is_not_quoted(imported: Ticking, mailbox: list[bytes]) -> None:
    imported.reimport()
    imported.execute("alter table images_batch add constraint broken check (object_id is null) not valid")
    result = imported.run("heal_links")
    _tell(imported, result)
    message = json.loads(mailbox[0])["message"]
    assert "SQLSTATE 23514" in message
    assert "Failing row" not in message


def test_without_a_webhook_nothing_is_told(imported: Ticking) -> None:
    imported.execute(NOBODY_HAS_AN_ID)
    _tell(imported, imported.run("heal_links"))


def test_a_webhook_that_refuses_fails_the_tick_so_that_it_is_tried_again(
    imported: Ticking, mailbox: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_ALERT_URL", "http://127.0.0.1:9/nobody-listens")
    settings.cache_clear()
    imported.execute(NOBODY_HAS_AN_ID)
    result = imported.run("heal_links")
    with pytest.raises(httpx.ConnectError) as failure:
        _tell(imported, result)
    assert "Canary" not in str(failure.value)
    assert mailbox == []


def test_a_wait_that_takes_long_is_told_once(
    imported: Ticking, mailbox: list[bytes], letters: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By webhook with the reason, by mail without it."""
    monkeypatch.setenv("FM_ALERT_AFTER", "0.001")
    imported.reimport()
    everything = imported.definitions.resolve_implicit_global_asset_job_def()
    record_run(imported.instance, everything, dg.DagsterRunStatus.STARTED, assets=["link_plan", "image_batches"])
    assert mailbox == []
    for _ in range(3):
        assert imported.message() == "a run that writes links is in progress"
    (body,) = mailbox
    assert json.loads(body) == {
        "job": "heal_links",
        "run_id": None,
        "message": "waiting for longer than FM_ALERT_AFTER: a run that writes links is in progress",
    }
    (letter,) = letters.letters
    assert "Subject: fm_migration: heal_links is waiting" in letter
    assert "heal_links has been waiting for longer than FM_ALERT_AFTER." in letter


def test_a_webhook_that_refuses_is_told_of_the_wait_at_the_next_look(
    imported: Ticking, mailbox: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_ALERT_AFTER", "0.001")
    listening = settings().alert_url
    assert listening is not None
    imported.reimport()
    everything = imported.definitions.resolve_implicit_global_asset_job_def()
    record_run(imported.instance, everything, dg.DagsterRunStatus.STARTED, assets=["link_plan", "image_batches"])
    monkeypatch.setenv("FM_ALERT_URL", "http://127.0.0.1:9/nobody-listens")
    settings.cache_clear()
    imported.message()
    with pytest.raises(dg.Failure, match="ConnectError"):
        imported.tick()
    monkeypatch.setenv("FM_ALERT_URL", listening.get_secret_value())
    settings.cache_clear()
    assert imported.message()
    assert len(mailbox) == 1


def test_a_wait_that_one_way_can_tell_is_told_once(
    imported: Ticking, mailbox: list[bytes], letters: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the mail server is down, the webhook must not ring at every look."""
    monkeypatch.setenv("FM_ALERT_AFTER", "0.001")
    letters.refuses = {"MAIL": "451 try later"}
    imported.reimport()
    everything = imported.definitions.resolve_implicit_global_asset_job_def()
    record_run(imported.instance, everything, dg.DagsterRunStatus.STARTED, assets=["link_plan", "image_batches"])
    for _ in range(4):
        imported.message()
    assert (len(mailbox), letters.letters) == (1, [])


# --- by e-mail --------------------------------------------------------------------------------------------------------


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mail_server() as box:
        monkeypatch.setenv("FM_ALERT_EMAIL", "it@example.org, office@example.org")
        monkeypatch.setenv("FM_SMTP_URL", f"smtp://127.0.0.1:{box.port}")
        yield box


def test_a_failed_run_is_mailed_with_counts_and_no_message(imported: Ticking, letters: Mailbox) -> None:
    imported.execute("update patients set first_name = 'Kanarienvogel', last_name = 'Canary'")
    imported.execute(NOBODY_HAS_AN_ID)
    result = imported.run("heal_links")
    _tell(imported, result, mail_failures)
    (letter,) = letters.letters
    assert letters.recipients == ["<it@example.org>", "<office@example.org>"]
    assert "Subject: fm_migration: heal_links has failed" in letter
    assert f"Run {result.run_id} of heal_links has failed." in letter
    assert "Failed: patient_map, after 1 tries." in letter
    assert "Runs of heal_links in the last 24 hours: 1 failure." in letter
    for told in ("Kanarienvogel", "Canary", "filemaker_metadata", "patients"):
        assert told not in letter


def test_a_mail_server_that_refuses_fails_the_tick_so_that_it_is_tried_again(
    imported: Ticking, letters: Mailbox
) -> None:
    letters.refuses = {"MAIL": "451 try later"}
    imported.execute(NOBODY_HAS_AN_ID)
    result = imported.run("heal_links")
    with pytest.raises(dg.Failure, match="it answers 451"):
        _tell(imported, result, mail_failures)
    letters.refuses = {}
    _tell(imported, result, mail_failures)
    assert len(letters.letters) == 1


def test_without_addresses_nothing_is_mailed(
    imported: Ticking, letters: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_ALERT_EMAIL", "")
    imported.execute(NOBODY_HAS_AN_ID)
    _tell(imported, imported.run("heal_links"), mail_failures)
    assert not letters.letters
