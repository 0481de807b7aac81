"""The commands of the terminal, on a real clinic: the story from the first import to the undo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import SampleClinic
from fm_migration_tests.e2e.daemon import wait_for
from fm_migration_tests.places import import_photographs, use_places

VISIBLE = """
select count(*) from images_image as image join images_batch as batch on batch.id = image.batch_id
join patients on patients.id = batch.object_id
"""
TYPED_IN = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at)
values (%s, 'Test', 'Person', false, now(), now())
"""


@pytest.fixture
def imported(linked_sample: Callable[[str], SampleClinic], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    """A sample clinic whose photographs were imported by us."""
    sample = linked_sample("fresh")
    use_places(monkeypatch, sample.database_url, sample.bucket, sample.export)
    monkeypatch.setenv("FM_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return find_places(load_settings())


def _visible(places: Places) -> int:
    with psycopg.connect(places.database_url) as connection:
        (count,) = connection.execute(VISIBLE).fetchone() or (0,)
    return int(count)


def _scratch_databases(places: Places) -> set[str]:
    query = "select datname from pg_database where datname like 'fm_migration_drill_%'"
    with psycopg.connect(places.database_url) as connection:
        return {name for (name,) in connection.execute(query).fetchall()}


def _reimport(places: Places) -> None:
    with psycopg.connect(places.database_url) as connection:
        list(play_reimport(connection, seed=1))


def test_a_reimport_is_healed_by_the_hook_and_taken_back_by_undo(imported: Places) -> None:
    run = CliRunner()
    before = _visible(imported)
    _reimport(imported)
    between = _visible(imported)
    assert between < before / 10
    healed = run.invoke(app, ["heal"])
    assert healed.exit_code == 0
    assert re.fullmatch(r"[1-9]\d* links have followed their patients\nhealed", healed.stdout.strip())
    assert _visible(imported) == before
    listed = run.invoke(app, ["plans"]).stdout
    assert {"links", "photographs"} <= set(listed.split())
    number = max(map(int, re.findall(r"^ (\d+) +links ", listed, re.MULTILINE)))
    undone = run.invoke(app, ["undo", str(number)])
    assert re.match(rf"plan {number}: [1-9]\d* rows are as they were before", undone.stdout)
    assert _visible(imported) == between
    assert run.invoke(app, ["undo", str(number)]).stdout.startswith(f"plan {number}: 0 rows")


def test_a_heal_in_the_middle_of_a_reimport_heals_who_is_back(imported: Places) -> None:
    before = _visible(imported)
    _reimport(imported)
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("create table late as select * from patients order by id limit 40")
        connection.execute("delete from patients where id in (select id from late)")
    assert CliRunner().invoke(app, ["heal"]).exit_code == 0
    assert 0 < _visible(imported) < before
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("insert into patients select * from late")
    assert CliRunner().invoke(app, ["heal"]).exit_code == 0
    assert _visible(imported) == before


def test_a_heal_that_fails_says_what_to_do(imported: Places) -> None:
    """The importer has lost everybody's FileMaker id, say."""
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("update patients set filemaker_metadata = null")
    failed = subprocess.run(
        [Path(sys.executable).parent / "fm-migration", "heal"],
        capture_output=True,
        text=True,
        env={**os.environ, "FM_RETRY_SECONDS": "0.1"},
        check=False,
    )
    assert failed.returncode == 1
    assert "See that filemaker_metadata still holds it" in failed.stderr
    assert "Traceback" not in failed.stderr
    with dg.DagsterInstance.get() as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def _ask(places: Places, query: str) -> Any:
    with psycopg.connect(places.database_url) as connection:
        (value,) = connection.execute(query).fetchone() or (None,)
    return value


def test_settle_says_who_a_former_patient_is_and_undo_takes_it_back(imported: Places) -> None:
    """A patient who was deleted, and typed in anew without a FileMaker id: only a person knows that it is the same."""
    run = CliRunner()
    former, shown = _owner_of_most(imported)
    patient = str(uuid.uuid4())
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("delete from patients where id = %s", [former])
        connection.execute(TYPED_IN, [patient])
    assert run.invoke(app, ["heal"]).exit_code == 0
    assert _shown_by(imported, patient) == 0
    settled = run.invoke(app, ["settle", former, patient])
    assert settled.exit_code == 0, settled.stdout
    said = re.match(rf"plan (\d+): {former} is {patient} from now on. [1-9]\d* links have followed", _one_line(settled))
    assert said
    assert _shown_by(imported, patient) == shown
    assert run.invoke(app, ["undo", said[1]]).exit_code == 0
    assert _shown_by(imported, patient) == 0
    refused = run.invoke(app, ["settle", former, str(uuid.uuid4())])
    assert refused.exit_code != 0
    assert "there is no patient" in str(refused.exception)


def test_restore_creates_again_what_staff_have_deleted_and_undo_takes_it_back(imported: Places) -> None:
    run = CliRunner()
    before = _visible(imported)
    recid = _ask(imported, "select recid from fm_migration.photo where state = 'linked' and recid is not null limit 1")
    with psycopg.connect(imported.database_url) as connection:
        connection.execute(
            "delete from images_image where id = (select clinic_image from fm_migration.photo where recid = %s)",
            [recid],
        )
    import_photographs(imported)
    assert _visible(imported) == before - 1, "what staff have deleted is not created again by itself"
    assert run.invoke(app, ["restore"]).exit_code == 2
    assert "nobody has deleted it" in str(run.invoke(app, ["restore", "no such recid"]).exception)
    restored = run.invoke(app, ["restore", recid])
    said = re.match(r"plan (\d+): 1 photographs are in the app again", _one_line(restored))
    assert said, restored.exception
    assert _visible(imported) == before
    assert run.invoke(app, ["undo", said[1]]).exit_code == 0
    assert _visible(imported) == before - 1


def test_prune_drops_what_is_older_than_was_asked_and_says_how_much(imported: Places) -> None:
    run = CliRunner()
    changes = _ask(imported, "select count(*) from fm_migration.planned_change")
    young = run.invoke(app, ["prune"])
    assert young.exit_code == 0
    assert "0 changes dropped" in _one_line(young)
    with psycopg.connect(imported.database_url) as connection:
        for column in ("made_at", "applied_at"):
            connection.execute(f"update fm_migration.link_plan set {column} = {column} - interval '40 days'")
        connection.execute("update fm_migration.planned_change set applied_at = applied_at - interval '40 days'")
    assert "0 changes dropped" in _one_line(run.invoke(app, ["prune"]))
    old = run.invoke(app, ["prune", "--older-than", "30d"])
    assert f"more than 30 days ago: {changes:,} changes dropped" in _one_line(old)
    assert "it is not a number of days" in str(run.invoke(app, ["prune", "--older-than", "a month"]).exception)


def _one_line(result: Result) -> str:
    """Without the breaks that a narrow terminal needs."""
    return " ".join(result.stdout.split())


def _shown_by(places: Places, patient: str) -> int:
    return int(_ask(places, f"{VISIBLE} where patients.id = '{patient}'"))


def _owner_of_most(places: Places) -> tuple[str, int]:
    """A patient with photographs whose FileMaker id is nobody else's, and how many the gallery shows."""
    with psycopg.connect(places.database_url) as connection:
        (patient,) = connection.execute("""
            select patient_id::text from fm_migration.photo_status
            where state = 'linked' and owner = person group by 1 order by count(*) desc limit 1
        """).fetchone() or ("",)
    return patient, _shown_by(places, patient)


def test_the_drill_shows_that_nothing_would_be_lost_and_leaves_nothing_behind(imported: Places) -> None:
    before = _visible(imported)
    played = CliRunner().invoke(app, ["drill"])
    assert played.exit_code == 0, played.stdout
    assert "No photograph would be lost." in played.stdout
    assert re.search(rf"after the healing +{before}\b", played.stdout)
    # Other tests may play a drill on the same server at this moment; theirs go away too.
    wait_for("no scratch database is left", lambda: not _scratch_databases(imported))
    assert _visible(imported) == before


def test_the_drill_heals_both_links_of_a_row(imported: Places) -> None:
    """In the clinic's own table of relationships, and in one that only the catalogue reports."""
    from fm_migration.operations import drill

    with imported.engine.begin() as connection:
        connection.exec_driver_sql(
            'create table "Next of kin" (number int primary key, from_content_type_id int, from_object_id uuid, '
            "to_content_type_id int, to_object_id varchar(36), note text not null)"
        )
        connection.exec_driver_sql("""
            insert into "Next of kin"
            with single as (
                select min(id::text)::uuid as id from patients where jsonb_typeof(filemaker_metadata) = 'object'
                group by upper(filemaker_metadata ->> 'filemaker_id') having count(*) = 1
            )
            select row_number() over (), type.id, one.id, type.id, other.id::text, 'private'
            from single as one join single as other on one.id < other.id
            join django_content_type as type on type.model = 'patient'
            limit 50
        """)
    links: dict[tuple[str, str], tuple[int, int]] = {}
    heal = drill._heal

    def counting(scratch: Engine, places: Places) -> object:
        healed = heal(scratch, places)
        links.update({(one.table, one.column): (one.dangling, one.followed) for one in healed[1].tables})
        return healed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill, "_heal", counting)
        assert drill.rehearse(imported).well
    for column in ("from_object_id", "to_object_id"):
        assert links['"Next of kin"', column] == (50, 50)
        dangling, relinked = links["contact_relationships", column]
        assert dangling == relinked > 0


def test_the_drill_exits_1_when_a_photograph_would_be_lost(imported: Places) -> None:
    """Two patients who share a FileMaker id cannot be told apart after a re-import."""
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("""
            update patients set filemaker_metadata = (
                select patients.filemaker_metadata from patients join images_batch on object_id = patients.id
                where uploaded_by_id is not null and jsonb_typeof(filemaker_metadata) = 'object' limit 1)
            where id = (select object_id from images_batch join patients on patients.id = object_id
                        where uploaded_by_id is null and jsonb_typeof(filemaker_metadata) = 'object' limit 1)
        """)
    played = CliRunner().invoke(app, ["drill"])
    assert played.exit_code == 1
    assert "photographs would be lost" in played.stdout


def test_no_name_reaches_the_scratch_database(imported: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    from fm_migration.operations import drill

    seen: list[set[str]] = []
    heal = drill._heal

    def look_first(scratch: object, places: Places) -> object:
        with scratch.connect() as connection:  # type: ignore[attr-defined]
            rows = connection.exec_driver_sql("select first_name || last_name || coalesce(dob::text, '') from patients")
            seen.append({row[0] for row in rows})
        return heal(scratch, places)  # type: ignore[arg-type]

    monkeypatch.setattr(drill, "_heal", look_first)
    drill.rehearse(imported)
    assert seen == [{"--"}]


def test_an_unknown_plan_is_named(imported: Places) -> None:
    failed = subprocess.run(
        [Path(sys.executable).parent / "fm-migration", "undo", "4711"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.strip() == "finding plan 4711: there is no such plan. See `fm-migration plans`."
