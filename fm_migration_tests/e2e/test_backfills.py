"""The commands of docs/backfills.md, each as it stands there, on a real daemon; its history is kept in PostgreSQL.

They are few, because each start of a command takes seconds. The order is that of the page: later ones find the months
of earlier ones done.
"""

from __future__ import annotations

import importlib
import re
import shlex
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import psycopg
import pytest
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.defs import backfills
from fm_migration.defs.partitions import MONTH, add_months
from fm_migration.embedded.object_server import REGION, url
from fm_migration.embedded.sample.model import EXPORT_FILE
from fm_migration.embedded.stack import Stack
from fm_migration.images.recipe import Recipe
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration.thumbnails.making import make_thumbnails
from fm_migration.thumbnails.thumbnailing import months as months_of
from fm_migration.thumbnails.thumbnailing import pending_by_month
from fm_migration_tests import templates
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.e2e.daemon import PROJECT, Dagster, environment_for, wait_for
from fm_migration_tests.thumbnails.conftest import copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = (PROJECT / "docs" / "backfills.md").read_text("utf-8")
COMMANDS = re.findall(r"^    ((?:fm-migration|dg|dagster) .*)$", PAGE, re.MULTILINE)
#: How many runs a command makes of three months that follow each other, and whether they come through the queue.
EXPECTED = {
    "fm-migration backfill --months 2016-10..2017-03": (1, True),
    "dg launch --assets thumbnails --partition 2016-10": (1, False),
    "dg launch --assets thumbnails --partition-range 2016-10...2017-03": (1, False),
    "dagster asset materialize -m fm_migration.definitions --select thumbnails --partition-range 2016-10...2017-03": (
        1,
        False,
    ),
    "dagster job backfill -w workspace.yaml -j make_thumbnails --from 2016-10 --to 2017-03 --noprompt": (3, True),
}

#: The first is ours and stands for them; the starts of the others take minutes on two cores.
COMMANDS_HERE = [
    pytest.param(command, id=command.partition(" 2016")[0], marks=[pytest.mark.long] if number else [])
    for number, command in enumerate(EXPECTED)
]


@dataclass
class Clinic:
    """Its photographs are linked, none has a thumbnail yet, and its months are given out to tests."""

    dagster: Dagster
    places: Places
    months: list[str]
    given: int = field(default=0)

    def next_months(self, count: int) -> list[str]:
        self.given += count
        return self.months[self.given - count : self.given]

    def pending(self) -> dict[str, int]:
        with self.places.engine.connect() as connection:
            found = pending_by_month(connection, Recipe().hash, self.places.settings.thumbnail_prefix)
        return {one.month: one.pending for one in found}

    def run_ids(self) -> set[str]:
        return {run.run_id for run in self.dagster.runs()}

    def made(self, run_ids: set[str]) -> set[str]:
        """The months that these runs have materialized."""
        with self.dagster.instance() as instance:
            records = instance.fetch_materializations(backfills.THUMBNAILS, limit=1000).records
            return {str(record.partition_key) for record in records if record.run_id in run_ids}

    def queued(self, run_id: str) -> bool:
        with self.dagster.instance() as instance:
            events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_ENQUEUED).records
        return bool(events)

    def make_by_hand(self, months: list[str]) -> None:
        """What no test is about: in one go, without Dagster."""
        make_thumbnails(self.places.engine, self.places.store, self.places.settings, months)

    def invoke(self, *words: str) -> tuple[int, str]:
        """A command of ours in this process, which saves the seconds of its start."""
        with self.dagster.as_its_own():
            result = CliRunner().invoke(app, ["backfill", *words])
        # In one line, wherever the terminal of the test would have broken it.
        return result.exit_code, " ".join(f"{result.stdout}{result.exception or ''}".split())


@pytest.fixture(scope="module")
def _clinic(
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    _linked_template: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Clinic]:
    source, bucket = _sample_template("fresh"), f"backfill-{uuid.uuid4().hex[:12]}"
    clinic = templates.copy(servers, _linked_template("fresh"), "backfill")
    history = templates.copy(servers, "template0", "dagster")
    s3_client.create_bucket(Bucket=bucket)
    shared = Bucket(source.replace("_", "-"), s3_client, "", "", "")
    copied(shared, Bucket(bucket, s3_client, "", "", ""))
    environment = {
        **environment_for(servers, servers.database_url(clinic), bucket, servers.layout.home / source / EXPORT_FILE),
        "FM_DAGSTER_DATABASE_URL": servers.database_url(history),
        "FM_COMPUTE_LOGS": f"s3://{bucket}/logs?endpoint={url(servers.objects_port)}&region={REGION}",
        "FM_WATCH_EXPORT": "false",
        "FM_WATCH_OBJECTS": "false",
        "FM_THUMBNAIL_BACKFILL": "single",
        "FM_THUMBNAIL_WORKERS": "1",
    }
    dagster = Dagster(tmp_path_factory.mktemp("dagster"), environment)
    with dagster.as_its_own():
        places = find_places(load_settings())
    with places.engine.connect() as connection:
        months = months_of(connection)
    with dagster.instance() as instance:
        add_months(instance, months)
    try:
        yield Clinic(dagster, places, months)
    finally:
        dagster.stop()
        places.engine.dispose()
        templates.drop(servers, clinic, history)


@pytest.fixture(scope="module")
def clinic(_clinic: Clinic) -> Clinic:
    """With its daemon up."""
    _clinic.dagster.start()

    def is_up() -> bool:
        with _clinic.dagster.instance() as instance:
            return backfills.daemon_runs(instance)

    wait_for("the daemon gives signs of life", is_up, every=0.5)
    return _clinic


def test_without_a_daemon_nothing_is_launched(_clinic: Clinic) -> None:
    code, said = _clinic.invoke("--all")
    assert code == 1
    assert "no Dagster daemon runs on it. Start one: `fm-migration dev`" in said
    with _clinic.dagster.instance() as instance:
        assert not instance.get_backfills()


def test_the_page_shows_the_commands_that_are_run_here() -> None:
    others = [command for command in COMMANDS if command not in EXPECTED]
    assert set(EXPECTED) <= set(COMMANDS)
    assert [command.removeprefix("fm-migration backfill ") for command in others] == [
        "--missing",
        "--all",
        "--watch ID",
        "--cancel ID",
    ]


@pytest.mark.parametrize("command", COMMANDS_HERE)
def test_a_documented_command_makes_its_months(clinic: Clinic, command: str) -> None:
    expected_runs, through_the_queue = EXPECTED[command]
    wanted = clinic.next_months(3 if "2017-03" in command else 1)
    ends = {"2016-10": wanted[0], "2017-03": wanted[-1]}
    words = shlex.split(re.sub(r"2016-10|2017-03", lambda month: ends[month[0]], command))
    before, pending = clinic.run_ids(), clinic.pending()
    assert set(wanted) <= set(pending)
    clinic.dagster.command(*words, folder=PROJECT)
    clinic.dagster.wait_until_idle()
    runs = clinic.run_ids() - before
    assert len(runs) == expected_runs
    assert clinic.made(runs) == set(wanted)
    assert clinic.pending() == {month: count for month, count in pending.items() if month not in wanted}
    assert {clinic.queued(run) for run in runs} == {through_the_queue}
    assert {run.status for run in clinic.dagster.runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_history_and_logs_are_where_the_settings_say(clinic: Clinic, s3_client: Any) -> None:
    """Proven by events that were really written: with the wrong driver, only these are missing."""
    history = clinic.dagster.environment["FM_DAGSTER_DATABASE_URL"]
    with psycopg.connect(history) as connection:
        told = "select count(*) from event_logs where dagster_event_type = 'PIPELINE_SUCCESS'"
        (events,) = connection.execute(told).fetchone() or (0,)
        (runs,) = connection.execute("select count(*) from runs where status = 'SUCCESS'").fetchone() or (0,)
    assert events == runs == len(clinic.dagster.runs()) > 0
    assert not list(clinic.dagster.home.rglob("*.db")), "nothing of it is in SQLite"
    bucket = clinic.dagster.environment["FM_COMPUTE_LOGS"].removeprefix("s3://").partition("/")[0]
    logs = s3_client.list_objects_v2(Bucket=bucket, Prefix="logs/storage/")["Contents"]
    assert {run.run_id for run in clinic.dagster.runs()} & {entry["Key"].split("/")[2] for entry in logs}


@pytest.mark.long
def test_a_backfill_by_many_runs_is_cancelled_and_goes_on_where_it_stopped(clinic: Clinic) -> None:
    clinic.dagster.stop()
    clinic.dagster.environment["FM_THUMBNAIL_BACKFILL"] = "multi"
    clinic.dagster.start()
    # More than the queue starts at once, so that some still wait when the first has ended.
    wanted = clinic.next_months(12)
    clinic.make_by_hand([month for month in clinic.pending() if month not in wanted])
    assert set(clinic.pending()) == set(wanted)
    code, said = clinic.invoke("--months", f"{wanted[0]}..{wanted[-1]}", "--detach")
    assert code == 0, said
    backfill = re.search(r"Backfill (\w+):", said)
    assert backfill

    def runs() -> list[dg.DagsterRun]:
        """Without what Dagster starts again: it takes a run that is ended while it starts for one that has failed."""
        found = clinic.dagster.runs()
        return [run for run in found if run.tags.get(backfills.BACKFILL_TAG) == backfill[1] and not run.parent_run_id]

    wait_for("a first run has ended", lambda: any(run.is_success for run in runs()), every=0.3)
    assert clinic.invoke("--cancel", backfill[1])[0] == 0
    assert "queued" not in {run.status.value.lower() for run in runs()}
    code, said = clinic.invoke("--watch", backfill[1])
    assert code == 1
    assert "Cancelled: 12 months" in said
    assert "Go on where it stopped: fm-migration backfill --missing" in said
    clinic.dagster.wait_until_idle()
    assert len(runs()) == 12, "one for each month"
    left = set(clinic.pending())
    assert left, "some were cancelled"
    assert set(wanted) - left, "some were made, and stay"
    code, said = clinic.invoke("--cancel", backfill[1])
    assert (code, "has ended already" in said) == (1, True)
    stopped = clinic.run_ids()
    code, said = clinic.invoke("--missing")
    assert code == 0, said
    assert "every thumbnail of these months is current" in said
    assert clinic.pending() == {}
    assert clinic.made(clinic.run_ids() - stopped) == left
    assert clinic.invoke("--missing") == (0, "Every thumbnail is current.")


@pytest.mark.long
def test_a_range_in_the_terminal_wants_the_policy_of_one_run(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(clinic.dagster.environment, "FM_THUMBNAIL_BACKFILL", "multi")
    with pytest.raises(RuntimeError, match="single_run"):
        clinic.dagster.command(
            *shlex.split(f"dg launch --assets thumbnails --partition-range {clinic.months[0]}...{clinic.months[1]}"),
            folder=PROJECT,
        )


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("fm_migration.cli.backfill"), "_waiting", interrupt)
        code, said = clinic.invoke("--all")
    assert code == 130
    assert "The backfill goes on." in said
    backfill = re.search(r"--watch (\w+)", said)
    assert backfill
    with clinic.dagster.instance() as instance:
        found = backfills.look_up(instance, backfill[1])
        assert found is not None
        assert (found.ended, sorted(found.months)) == (False, sorted(clinic.months))
        assert backfills.months_under_way(instance) == set(clinic.months)
        assert set(instance.get_dynamic_partitions(MONTH)) == set(clinic.months)
    assert clinic.invoke("--cancel", backfill[1])[0] == 0
