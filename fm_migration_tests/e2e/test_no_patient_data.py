"""No patient data leaves the clinic's database: canaries go through everything, and nowhere else is one ever found.

A clinic whose people, photographs and papers all bear unmistakable words is imported, re-imported, healed, undone and
made to fail in every way that we know. Then the whole DAGSTER_HOME is read byte by byte and row by row: event log, run
and schedule storage, compute logs, the daemon's log. So is what was printed, posted and put into the bucket.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest

from fm_migration.defs.sensors.healing import patients_reimported
from fm_migration.embedded.stack import Stack
from fm_migration.settings import load_settings, settings
from fm_migration_tests import canaries
from fm_migration_tests.canaries import (
    BATCH_NAME,
    CAPTION,
    CONTACT,
    DATES,
    DOCUMENT,
    FILE_NAME,
    LAST_NAME,
    OBJECT_NAME,
    PICTURE,
    TYPE,
    WORDS,
    Sighting,
)
from fm_migration_tests.e2e.aviary import UNREADABLE, Aviary, faulty_planning, listening, settle
from fm_migration_tests.e2e.daemon import Dagster, environment_for, wait_for
from fm_migration_tests.own_clinic import own_clinic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

FAILED = dg.DagsterRunStatus.FAILURE


@pytest.fixture(scope="module", params=["in this process", pytest.param("under the daemon", marks=pytest.mark.long)])
def aviary(
    request: pytest.FixtureRequest,
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Aviary]:
    """The clinic after everything has happened to it."""
    folder, patch = tmp_path_factory.mktemp("aviary"), pytest.MonkeyPatch()
    heard: list[str] = []
    template = _sample_template("fresh")
    with own_clinic(servers, s3_client, template, folder) as clinic, listening(heard) as address:
        environment = environment_for(servers, clinic.database_url, clinic.bucket.name, clinic.export)
        environment |= {"FM_HOME": str(folder / "home"), "FM_ALERT_URL": address}
        for variable, value in environment.items():
            patch.setenv(variable, value)
        settings.cache_clear()
        aviary = Aviary(folder / "terminal", clinic, Dagster(folder / "dagster", environment), posted=heard)
        try:
            settle(aviary)
            (_under_the_daemon if request.param == "under the daemon" else _in_this_process)(aviary)
            _in_the_terminal(aviary)
            _by_hand(aviary)
            yield aviary
        finally:
            aviary.dagster.stop()
            patch.undo()
            settings.cache_clear()


#: While nobody can read the patients.
_COMMANDS_THAT_FAIL = ("doctor", "plans", "heal", "drill", "undo 999", "explain 1", "db status")


def _under_the_daemon(aviary: Aviary) -> None:
    """An import, a healing that fails and alerts, ticks that fail; and the commands of the terminal meanwhile."""
    dagster = aviary.dagster
    dagster.start()
    dagster.launch("import_photographs")
    dagster.wait_until_idle()
    with aviary.batches_complain():
        aviary.reimport()
        wait_for("a healing run has failed", lambda: bool(dagster.runs(FAILED)), every=0.5)
        wait_for("somebody is told", lambda: bool(aviary.posted), every=0.5)
        aviary.command("heal")
    with aviary.patients_complain():
        began = time.time()
        wait_for("a tick has failed", lambda: bool(_failed_ticks(aviary, began)), every=0.5)
        for command in _COMMANDS_THAT_FAIL:
            aviary.command(*command.split())
    dagster.stop()


def _in_this_process(aviary: Aviary) -> None:
    """The same without a daemon: its part is done by hand, down to what it would record."""
    aviary.run("import", "import_photographs")
    with aviary.batches_complain():
        aviary.reimport()
        # In a process of its own, because Dagster keeps only what such a one prints.
        aviary.execute("healing that fails", "heal_links")
        aviary.tell_of_the_newest_failure()
        aviary.command("heal")
    with aviary.patients_complain():
        assert not aviary.tick(patients_reimported)
        for command in _COMMANDS_THAT_FAIL:
            aviary.command(*command.split())


def _in_the_terminal(aviary: Aviary) -> None:
    linked = next(row for row in aviary.clinic.truth["rows"] if row["state"] == "linked")
    certificate = str(aviary.certificate)
    for words in (
        ["heal"],
        ["doctor"],
        ["doctor", "--json"],
        ["plans"],
        ["drill"],
        ["certify", "--output", certificate],
        *_decisions(aviary),
    ):
        aviary.worked[" ".join(words)] = aviary.command(*words) == 0
    # They end with 1 when there is something to say.
    for words in (["verify", certificate], ["explain", linked["recid"]], ["explain", "--json", linked["object"]]):
        aviary.command(*words)


def _decisions(aviary: Aviary) -> Iterator[list[str]]:
    """What a person decides: who somebody was who has been typed in anew, which deleted photographs come back."""
    with psycopg.connect(aviary.database_url) as connection:
        former, photo = connection.execute("""
            select patient_id::text, recid from fm_migration.photo_status
            where state = 'linked' and owner = person and recid is not null order by recid limit 1
        """).fetchone() or ("", "")
        image = connection.execute(
            "delete from images_image where id = (select clinic_image from fm_migration.photo where recid = %s) "
            "returning id",
            [photo],
        ).fetchone()
        assert image
    aviary.run("plan what is left", "import_photographs")
    yield ["restore", photo]
    typed_in = str(uuid.uuid4())
    aviary.sql("update patients set id = %(to)s, filemaker_metadata = null where id = %(of)s", to=typed_in, of=former)
    yield ["heal"]
    yield ["settle", former, typed_in]
    yield ["prune", "--older-than", "1d"]


def _failed_ticks(aviary: Aviary, since: float) -> list[str]:
    with aviary.dagster.instance() as instance:
        return [
            state.instigator_name
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
            if tick.is_failure
        ]


def _by_hand(aviary: Aviary) -> None:
    """What a person starts in the UI: thumbnails, undo, observations; and everything that may be wrong then."""
    aviary.make_all_thumbnails("thumbnails")
    aviary.run("observe", "observe_sources")
    aviary.sql("update images_image set caption = %(caption)s", caption=f"{CAPTION} of {LAST_NAME}")
    with psycopg.connect(aviary.database_url) as connection:
        plans = connection.execute(
            "select id from fm_migration.link_plan where applied_at is not null order by id desc"
        )
        for (plan,) in plans.fetchall():
            aviary.run(f"undo {plan}", "undo_plan", {"undo": {"plan": plan}})
    for what, content in UNREADABLE.items():
        with aviary.exporting(content):
            aviary.run(what, "import_photographs")
    with aviary.patients_complain():
        aviary.run("patients complain", "heal_links")
        aviary.run("patients complain to the observer", "observe_sources")
    # Links follow also where the export cannot be read, so there must be something to follow again.
    aviary.reimport()
    with aviary.batches_complain():
        aviary.run("batches complain", "import_photographs")
    with faulty_planning():
        aviary.run("a fault of ours", "import_photographs")
    aviary.sql(
        f"alter table fm_migration.csv_metadata add constraint none check (type_text not like '{TYPE}%') not valid"
    )
    aviary.run("a row that may not be", "import_photographs")
    aviary.sql("alter table fm_migration.csv_metadata drop constraint none")
    aviary.sql("alter table images_image rename caption to remark")
    aviary.run("a contract that is broken", "import_photographs")
    aviary.sql("alter table images_image rename remark to caption")
    aviary.sql("delete from patients where id in (select id from patients limit 20)")
    aviary.run("patients are missing", "heal_links")
    aviary.sql("update patients set filemaker_metadata = null")
    aviary.run("patients have lost their ids", "heal_links")


# --- Was it done at all? ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("select count(*) from patients where last_name like %(word)s", LAST_NAME),
        ("select count(*) from fm_migration.csv_metadata where file_name like %(word)s", FILE_NAME),
        ("select count(*) from fm_migration.csv_metadata where type_text like %(word)s", TYPE),
        ("select count(*) from fm_migration.csv_metadata where contact_text like %(word)s", CONTACT),
        ("select count(*) from fm_migration.s3_inventory where key like %(word)s", OBJECT_NAME),
        ("select count(*) from fm_migration.planned_change where after::text like %(word)s", TYPE),
        ("select count(*) from images_batch where name like %(word)s", BATCH_NAME),
        ("select count(*) from documents_document where file_name like %(word)s", DOCUMENT),
    ],
)
def test_the_canaries_went_through(aviary: Aviary, query: str, word: str) -> None:
    assert aviary.count(query, word) > 0


def test_what_had_to_go_well_went_well_and_the_rest_failed(aviary: Aviary) -> None:
    well = {what for what, ended_well in aviary.ended_well.items() if ended_well}
    undone = {what for what in aviary.ended_well if what.startswith("undo")}
    assert len(undone) >= 3, "photographs, links and thumbnails"
    # Under the daemon the import is no run of this process.
    assert well - {"import"} == {"plan what is left", "thumbnails", "observe", "patients are missing", *undone}
    assert aviary.worked == dict.fromkeys(aviary.worked, True)


def test_thumbnails_were_made_of_pictures_with_notes(aviary: Aviary) -> None:
    with psycopg.connect(aviary.database_url) as connection:
        states: dict[str, int] = dict(
            connection.execute("select state, count(*) from fm_migration.thumbnail group by 1").fetchall()
        )
    assert states["current"] > 50
    assert states["unreadable"] + states["not_an_image"] > 2


# --- Where canaries may not be ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secrets(aviary: Aviary, servers: Stack) -> tuple[str, ...]:
    password = urlsplit(aviary.database_url).password
    assert password
    return servers.secret_key, password


@pytest.fixture(scope="module")
def seen_at_home(aviary: Aviary, secrets: tuple[str, ...]) -> set[Sighting]:
    """Everything in DAGSTER_HOME that should not be there: looked for once, as there is much to look through."""
    return canaries.in_folder(aviary.dagster.home, canaries.looking_for(*WORDS, *DATES, *secrets))


@pytest.mark.parametrize(
    ("what", "places"),
    {
        "event log": "history/runs/",
        "run storage": "history/runs.db",
        "schedule storage": "schedules/",
        "compute logs": "storage/",
        "anything else": "",
    }.items(),
)
def test_none_is_in_the_dagster_instance(what: str, places: str, aviary: Aviary, seen_at_home: set[Sighting]) -> None:
    home = aviary.dagster.home
    files = [path for path in home.rglob("*") if str(path.relative_to(home)).startswith(places)]
    assert any(path.is_file() and path.stat().st_size > 1000 for path in files), "there is something to look at"
    assert not sorted(sighting for sighting in seen_at_home if sighting.where.startswith(places))


def _but_for_keys(found: Iterable[Sighting]) -> list[Sighting]:
    """Reports name objects by their keys, which the clinic has given them; they stay in its database and its bucket."""
    return sorted(sighting for sighting in found if sighting.word != OBJECT_NAME.lower())


def test_none_is_in_what_we_put_into_the_bucket(aviary: Aviary) -> None:
    values = load_settings()
    prefixes = [values.thumbnail_prefix, values.own_prefix]
    listed = aviary.bucket.client.list_objects_v2(Bucket=aviary.bucket.name, Prefix=values.thumbnail_prefix)
    assert listed["KeyCount"] > 50
    found = canaries.in_objects(aviary.bucket.client, aviary.bucket.name, prefixes)
    assert not _but_for_keys(found)


def test_none_is_printed_or_logged(aviary: Aviary) -> None:
    texts = list(aviary.terminal.iterdir())
    assert len(texts) > 20
    assert all(path.stat().st_size for path in texts)
    assert not sorted(canaries.in_folder(aviary.terminal))


def test_none_is_in_a_certificate(aviary: Aviary) -> None:
    assert not _but_for_keys(canaries.in_bytes("certificate", aviary.certificate.read_bytes()))


def test_none_is_posted(aviary: Aviary) -> None:
    assert aviary.posted
    assert not sorted(found for text in aviary.posted for found in canaries.in_text("alert", text))


def test_none_is_in_what_plans_and_reports_say(aviary: Aviary) -> None:
    """They are copied to people: their own texts have ids and counts. The values stay in the journal."""
    with psycopg.connect(aviary.database_url) as connection:
        said = connection.execute("select to_jsonb(link_plan)::text from fm_migration.link_plan").fetchall()
        for table in ("report", "finding"):
            if connection.execute(f"select to_regclass('fm_migration.{table}')").fetchone() != (None,):
                said += connection.execute(f"select to_jsonb({table})::text from fm_migration.{table}").fetchall()
    assert said
    assert not _but_for_keys(found for (text,) in said for found in canaries.in_text("plan or report", text))


def test_no_credential_is_printed_or_posted(aviary: Aviary, secrets: tuple[str, ...]) -> None:
    """Nor in the instance, where they were looked for with the canaries."""
    words = canaries.looking_for(*secrets)
    assert not sorted(canaries.in_folder(aviary.terminal, words))
    assert not sorted(canaries.in_text("alerts", "\n".join(aviary.posted), words))


# --- And would it be seen? -------------------------------------------------------------------------------------------


def test_a_canary_that_is_planted_in_an_instance_is_found(
    aviary: Aviary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copyfile(aviary.dagster.home / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(dg.AssetObservation("patients", metadata={"last": LAST_NAME.upper()}))
        run = instance.create_run_for_job(_nothing)
        instance.add_run_tags(run.run_id, {"picture": PICTURE})
    found = {(sighting.where, sighting.word) for sighting in canaries.in_folder(tmp_path)}
    assert ("history/runs/index.db, table event_logs", LAST_NAME.lower()) in found
    assert ("history/runs.db, table run_tags", PICTURE.lower()) in found


@dg.job
def _nothing() -> None:
    pass
