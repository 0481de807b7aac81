"""The commands of the terminal, on a real clinic: the story from the first import to the undo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psycopg
import pytest
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


@pytest.fixture
def imported(make_sample: Callable[[str], SampleClinic], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    """A sample clinic whose photographs were imported by us."""
    sample = make_sample("fresh")
    use_places(monkeypatch, sample.database_url, sample.bucket, sample.export)
    monkeypatch.setenv("FM_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    places = find_places(load_settings())
    import_photographs(places)
    return places


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
    assert (healed.exit_code, healed.stdout.strip()) == (0, "healed")
    assert _visible(imported) == before
    listed = run.invoke(app, ["plans"]).stdout
    assert {"links", "photographs"} <= set(listed.split())
    numbers = sorted(map(int, re.findall(r"^ (\d+) ", listed, re.MULTILINE)))
    for number in reversed(numbers[-2:]):
        undone = run.invoke(app, ["undo", str(number)])
        assert re.match(rf"plan {number}: [1-9]\d* rows are as they were before", undone.stdout)
    assert _visible(imported) == between
    assert run.invoke(app, ["undo", str(numbers[-1])]).stdout.startswith(f"plan {numbers[-1]}: 0 rows")
    listed = run.invoke(app, ["plans"]).stdout
    assert all(f"undo of {number}" in listed for number in numbers[-2:])


def test_prune_drops_what_is_old_and_says_how_much(imported: Places) -> None:
    run = CliRunner()
    young = " ".join(run.invoke(app, ["prune"]).stdout.split())
    assert young.endswith("0 that were applied more than 365 days ago: 0 changes dropped")
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("update fm_migration.link_plan set applied_at = applied_at - interval '40 days'")
        changes = connection.execute("select count(*) from fm_migration.planned_change").fetchone()
    old = " ".join(run.invoke(app, ["prune", "--older-than", "30d"]).stdout.split())
    assert old.endswith(f"more than 30 days ago: {changes[0] if changes else 0:,} changes dropped")
    assert "cannot be undone any more" in " ".join(run.invoke(app, ["plans"]).stdout.split())
    refused = run.invoke(app, ["prune", "--older-than", "a year"])
    assert refused.exit_code != 0
    assert "Write it as 365d" in str(refused.exception)


def test_a_heal_in_the_middle_of_a_reimport_says_to_wait(imported: Places) -> None:
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("delete from patients where id in (select id from patients limit 20)")
    failed = subprocess.run(
        [Path(sys.executable).parent / "fm-migration", "heal"],
        capture_output=True,
        text=True,
        env={**os.environ, "FM_RETRY_SECONDS": "0.1"},
        check=False,
    )
    assert failed.returncode == 1
    assert "Wait until the re-import is done" in failed.stderr
    assert "Traceback" not in failed.stderr
    with dg.DagsterInstance.get() as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


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
    """In the clinic's own table of relationships, and in one that only the catalogue tells of."""
    from fm_migration import drill

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
    from fm_migration import drill

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
