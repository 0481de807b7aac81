"""The whole way on the PostgreSQL that clinics run: from our schema's first migration to its last, and back.

Debian's 15 by default; another version by FM_TEST_POSTGRES_BIN=/usr/lib/postgresql/16/bin.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from fm_migration import database
from fm_migration.clinic import contract, tables
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.ledger import schema
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.objects.store import ObjectsLocation, open_store
from fm_migration.operations import undoing
from fm_migration.repairs import repairing
from fm_migration_tests.conftest import SAMPLE_SIZE, Bucket
from fm_migration_tests.e2e.homes import homes
from fm_migration_tests.installed_postgres import InstalledPostgres
from fm_migration_tests.linking.world import DUMP, reimport_sample
from fm_migration_tests.peers import gallery
from fm_migration_tests.report.reporting import Reported, furnish
from fm_migration_tests.report.test_truth import Truth

#: Where rows of the same transaction are joined, this many take minutes if the planner takes them for few.
OBJECTS = 20_000


@pytest.fixture(scope="module")
def _django_tables(postgres15: InstalledPostgres) -> str:
    """A database as the clinic's own `manage.py migrate` leaves it."""
    gallery.migrate(postgres15.create_database("django_template"))
    return "django_template"


@pytest.fixture(params=["Django's migrations", "our definitions"])
def engine15(request: pytest.FixtureRequest, postgres15: InstalledPostgres, _django_tables: str) -> Iterator[Engine]:
    """An empty clinic's database on this server, without our schema."""
    name = f"clinic_{uuid.uuid4().hex[:12]}"
    by_django = request.param == "Django's migrations"
    engine = database.open_engine(postgres15.create_database(name, _django_tables if by_django else "template0"))
    if not by_django:
        tables.metadata.create_all(engine)
    yield engine
    engine.dispose()
    postgres15.drop_database(name)


@pytest.fixture
def world(engine15: Engine, tmp_path: Path) -> Reported:
    schema.upgrade(engine15)
    return Reported(engine15, tmp_path)


def _homes(world: Reported) -> dict[str, str]:
    with psycopg.connect(world.url) as connection:
        return homes(connection)


def _linked(world: Reported, variant: Variant) -> Clinic:
    clinic = design_clinic(SAMPLE_SIZE, variant=variant)
    furnish(world, clinic)
    world.link(approved=True)
    return clinic


def test_the_server_is_the_one_that_was_asked_for(postgres15: InstalledPostgres, engine15: Engine) -> None:
    assert database.check(engine15) == postgres15.version
    with engine15.connect() as connection:
        contract.verify(connection)


def test_our_schema_comes_and_goes_without_a_trace(engine15: Engine) -> None:
    def catalogue() -> set[Any]:
        with engine15.connect() as connection:
            query = "select relname, relkind::text, relnamespace::regnamespace::text from pg_class where oid > 16383"
            return {tuple(row) for row in connection.exec_driver_sql(query)}

    before = catalogue()
    for _ in range(2):
        schema.upgrade(engine15)
        assert catalogue() > before
        schema.downgrade(engine15, "base")
        assert catalogue() == before


@pytest.mark.parametrize("variant", ["fresh", "imported", "stale"])
def test_an_import_finds_what_the_truth_says(world: Reported, variant: Variant) -> None:
    clinic = _linked(world, variant)
    assert world.find(accept=["thumbnail_missing"]) == Truth(clinic, world).findings()
    again = world.plan()
    assert again.counts["changes"] == 0


def test_a_reimport_is_healed_and_every_plan_can_be_undone(world: Reported) -> None:
    clinic = design_clinic(SAMPLE_SIZE, variant="imported")
    furnish(world, clinic)
    empty = world.snapshot()
    world.link(approved=True)
    imported, at_home = world.snapshot(), _homes(world)
    reimport_sample(world, clinic)
    broken = world.snapshot()
    assert len(_homes(world)) < len(at_home) / 10
    first = world.one("select max(id) from fm_migration.link_plan")
    world.link(approved=True)
    # A document of two people who share an id is nobody's any more; all others lead where they led.
    assert _homes(world) == at_home
    for (plan,) in world.rows("select id from fm_migration.link_plan where id > :first order by id desc", first=first):
        assert world.undo(plan).left == ()
    assert world.snapshot() == broken
    for (plan,) in world.rows("select id from fm_migration.link_plan where id <= :first order by id desc", first=first):
        world.undo(plan)
    undone = world.snapshot()
    assert undone.keys() == empty.keys()
    assert {table: undone[table] for table in ("images_batch", "images_image", "documents_document")} == {
        table: empty[table] for table in ("images_batch", "images_image", "documents_document")
    }
    assert imported != empty


def test_a_repair_takes_away_what_runs_have_left_and_gives_it_back(world: Reported, bucket: Bucket) -> None:
    _linked(world, "stale")
    before = world.snapshot()
    world.report()
    location = ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key)
    store = open_store(location, writable_prefixes=("thumbnails/", "fm-migration/"), protected_prefixes=(DUMP,))
    with world.engine.begin() as connection:
        plan = repairing.plan_repair(connection, world.settings, ("image_doubled", "batch_empty", "count_wrong"))
    repaired = repairing.apply_repair(world.engine, store, plan.id)
    assert repaired.applied > 200
    assert repaired.overtaken == 0
    left = world.find(accept=["thumbnail_missing"])
    assert "image_doubled" not in left
    assert len(left["batch_empty"]) == world.one(
        "select count(*) from images_batch where uploaded_by_id is not null and image_count = 0"
    )
    assert undoing.undo(world.engine, store, plan.id).left == ()
    assert world.snapshot() == before


def test_a_first_listing_of_many_objects_takes_seconds(world: Reported) -> None:
    """Nothing has gathered statistics of rows that the same transaction wrote: no step may take them for few."""
    written = datetime(2025, 1, 7, tzinfo=UTC)
    facts = [ObjectFacts(f"{DUMP}{n}.jpg", f"{n:032x}", 1000, written, STANDARD) for n in range(OBJECTS)]
    for source in ("first", "again"):
        started = time.monotonic()
        world.list_now(*facts)
        assert time.monotonic() - started < 10, f"the {source} listing"
    assert world.one("select count(*) from fm_migration.s3_inventory where vanished is null") == OBJECTS
