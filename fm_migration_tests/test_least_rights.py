"""The whole pipeline as a user with exactly the grants that docs/security.md names, on the newest server and on 15."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded.sample import build
from fm_migration.embedded.sample import export as sample_export
from fm_migration.embedded.sample.model import Clinic
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.embedded.stack import Stack
from fm_migration.errors import DatabaseError
from fm_migration.explain import explaining
from fm_migration.ledger import schema
from fm_migration.objects.store import ObjectsLocation, open_store
from fm_migration.operations import doctor, drill, undoing
from fm_migration.places import find_places
from fm_migration.repairs import repairing
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import SAMPLE_SIZE, Bucket
from fm_migration_tests.e2e.homes import homes
from fm_migration_tests.installed_postgres import InstalledPostgres
from fm_migration_tests.least_rights import LimitedUser, grants, limited_user
from fm_migration_tests.linking.world import DUMP, reimport_sample
from fm_migration_tests.places import EXPORT_HEAD, use_places
from fm_migration_tests.report.reporting import Reported, stored
from fm_migration_tests.report.test_truth import Truth


@contextmanager
def _new_user(version: str, request: pytest.FixtureRequest) -> Iterator[LimitedUser]:
    """The limited user of a database with the clinic's tables, on the embedded server or on the installed one."""
    name = f"limited_{uuid.uuid4().hex[:12]}"
    if version == "15":
        installed: InstalledPostgres = request.getfixturevalue("postgres15")
        administration, owner_url = installed.url(), installed.url(name)
    else:
        servers: Stack = request.getfixturevalue("servers")
        administration, owner_url = servers.database_url("postgres"), servers.database_url(name)
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute(f"create database {name} template template0")
    owner = database.open_engine(owner_url)
    tables.metadata.create_all(owner)
    owner.dispose()
    with limited_user(owner_url) as user:
        yield user
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["18", "15"])
def user(request: pytest.FixtureRequest) -> Iterator[LimitedUser]:
    """On a database of this test's own, without our schema."""
    with _new_user(request.param, request) as user:
        yield user


@pytest.fixture(scope="module", params=["18", "15"])
def shared_user(request: pytest.FixtureRequest) -> Iterator[LimitedUser]:
    """On a database with our schema that the doctor's tests share: each leaves the rights as it has found them."""
    with _new_user(request.param, request) as user:
        engine = database.open_engine(user.url)
        schema.upgrade(engine)
        engine.dispose()
        yield user


@dataclass(frozen=True)
class Limited:
    """One database seen by two: `clinic` does what the clinic does, `ours` has the grants of the page."""

    clinic: Reported
    ours: Reported

    def homes(self) -> dict[str, str]:
        with psycopg.connect(self.clinic.url) as connection:
            return homes(connection)


@pytest.fixture
def engine(user: LimitedUser) -> Iterator[Engine]:
    """The limited user's engine."""
    engine = database.open_engine(user.url)
    yield engine
    engine.dispose()


@pytest.fixture
def limited(user: LimitedUser, engine: Engine, tmp_path: Path) -> Iterator[Limited]:
    """Our schema, made by the limited user beside the clinic's tables."""
    schema.upgrade(engine)
    owner = database.open_engine(user.owner_url)
    yield Limited(Reported(owner, tmp_path), Reported(engine, tmp_path))
    owner.dispose()


def _staged(limited: Limited) -> Clinic:
    """The clinic's rows are there, and we have read export, bucket and patients."""
    clinic = design_clinic(SAMPLE_SIZE, variant="imported")
    sizes = {one.key: 1000 for one in (*clinic.objects, *clinic.uploads)}
    with psycopg.connect(limited.clinic.url) as connection:
        build._load(clinic, connection, "clinic", sizes, build._nothing)
    path = limited.ours.folder / "sample.csv"
    path.write_bytes(sample_export.csv_bytes(clinic.rows))
    limited.ours.read_export(path)
    limited.ours.list_now(*(stored(one.key) for one in clinic.objects))
    limited.ours.read_patients()
    return clinic


def test_the_page_grants_no_more_than_reading_of_patients() -> None:
    of_patients = [statement for statement in grants() if "patients" in statement]
    assert of_patients == ["grant select (id, archived, filemaker_metadata) on patients to {user}"]
    assert not [statement for statement in grants() if "all " in statement]


def test_the_user_can_do_nothing_else(user: LimitedUser) -> None:
    with psycopg.connect(user.url, autocommit=True) as connection:
        for statement in (
            "select last_name from patients",
            "select * from auth_user",
            "update patients set archived = true",
            "delete from documents_document",
            "update documents_document set file_name = ''",
            "create table public.ours (id int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_staging_and_planning(limited: Limited) -> None:
    _staged(limited)
    plan = limited.ours.plan()
    assert plan.counts["linked"] > 0
    assert plan.counts["changes"] > 0


def test_import_report_and_explanations(limited: Limited) -> None:
    clinic = _staged(limited)
    limited.ours.link(approved=True)
    found = limited.ours.find(accept=["thumbnail_missing"])
    assert found == Truth(clinic, limited.clinic).findings()
    (image,) = limited.clinic.rows("select id from images_image order by id limit 1")
    with limited.ours.engine.connect() as connection:
        assert explaining.explain(connection, limited.ours.settings, str(image.id)).walks
        patients = [row.id for row in limited.clinic.rows("select id from patients limit 1")]
        assert explaining.names_of(connection, limited.ours.settings, patients) == []


def test_healing_and_undo(limited: Limited) -> None:
    clinic = _staged(limited)
    limited.ours.link(approved=True)
    at_home = limited.homes()
    reimport_sample(limited.clinic, clinic)
    broken = limited.clinic.snapshot()
    last = limited.clinic.one("select max(id) from fm_migration.link_plan")
    limited.ours.link(approved=True)
    assert limited.homes() == at_home
    for (plan,) in limited.clinic.rows(
        "select id from fm_migration.link_plan where id > :last order by id desc", last=last
    ):
        assert limited.ours.undo(plan).left == ()
    assert limited.clinic.snapshot() == broken


def test_a_table_that_may_not_be_written_holds_up_no_other(limited: Limited, user: LimitedUser) -> None:
    """Nor the galleries: batches and relationships follow, and the documents wait for a grant."""
    clinic = _staged(limited)
    limited.ours.link(approved=True)
    at_home = limited.homes()
    reimport_sample(limited.clinic, clinic)
    user.do("revoke update (object_id) on documents_document from {user}")
    limited.ours.read_patients()
    update = limited.ours.follow()
    told = {(one.table, one.column): one for one in update.tables}
    documents = told.pop(("documents_document", "object_id"))
    assert documents.problem is not None
    assert documents.problem.startswith("documents_document.object_id: ")
    assert "Grant update (object_id) on documents_document" in documents.problem
    assert (documents.followed, documents.absent > 0) == (0, True)
    assert [one.problem for one in told.values()] == [None] * len(told)
    assert all(one.followed > 0 for one in told.values())
    plan = limited.ours.plan()
    limited.ours.apply(plan, approve=plan.hash)
    shown = limited.homes()
    assert at_home.keys() - shown.keys() == {key for key in at_home if key.startswith("document")}
    user.do("grant update (object_id) on documents_document to {user}")
    assert limited.ours.follow().problems == ()
    assert limited.homes() == at_home


def test_repair_and_its_undo(limited: Limited, bucket: Bucket) -> None:
    _staged(limited)
    limited.ours.link(approved=True)
    limited.ours.report()
    before = limited.clinic.snapshot()
    location = ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key)
    store = open_store(location, writable_prefixes=("thumbnails/", "fm-migration/"), protected_prefixes=(DUMP,))
    with limited.ours.engine.begin() as connection:
        plan = repairing.plan_repair(
            connection, limited.ours.settings, ("image_doubled", "batch_doubled", "batch_empty", "count_wrong")
        )
    repaired = repairing.apply_repair(limited.ours.engine, store, plan.id)
    assert repaired.applied > 2
    assert repaired.overtaken == 0
    assert undoing.undo(limited.ours.engine, store, plan.id).left == ()
    assert limited.clinic.snapshot() == before


def test_the_drill_takes_two_more_grants(
    limited: Limited, user: LimitedUser, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page says; in the database that it makes for itself everything is its own."""
    _staged(limited)
    limited.clinic.link(approved=True)
    use_places(monkeypatch, user.url, bucket, tmp_path)
    places = find_places(load_settings(home=tmp_path))
    with pytest.raises(DatabaseError, match="createdb"):
        drill.rehearse(places)
    user.do("alter role {user} createdb")
    user.do("grant select (created_at, updated_at) on patients to {user}")
    played = drill.rehearse(places)
    # Of people who share an id nobody can say whose photographs are whose.
    assert played.visible_after == played.visible_before - played.lost > 10 * played.visible_between
    assert played.on_another_record == 0


# --- the doctor -------------------------------------------------------------------------------------------------------


@pytest.fixture
def examined(shared_user: LimitedUser, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LimitedUser:
    """The settings of the limited user, with a bucket and an export on which nothing is wrong."""
    bucket.put(f"{DUMP}1000.jpg")
    export = tmp_path / "export.csv"
    export.write_text(EXPORT_HEAD, encoding="utf-8")
    use_places(monkeypatch, shared_user.url, bucket, export)
    return shared_user


def _sick() -> dict[str, doctor.Examination]:
    return {finding.check: finding for finding in doctor.examine() if not finding.well}


def _of_rights(sick: dict[str, doctor.Examination]) -> dict[str, doctor.Examination]:
    return {name: finding for name, finding in sick.items() if name.startswith("right")}


def test_the_doctor_finds_nothing_amiss(examined: LimitedUser) -> None:
    assert _sick() == {}


def test_the_doctor_finds_every_right(examined: LimitedUser) -> None:
    assert _of_rights(_sick()) == {}


#: A grant that is taken away, and the right that the doctor then names.
TAKEN_AWAY = {
    "usage on schema public": "right: usage on schema public",
    "select (id) on patients": "right: select (id, archived, filemaker_metadata) on patients",
    "select (archived) on patients": "right: select (id, archived, filemaker_metadata) on patients",
    "select (filemaker_metadata) on patients": "right: select (id, archived, filemaker_metadata) on patients",
    "select on django_content_type": "right: select on django_content_type",
    "select on images_batch": "right: select on images_batch",
    "insert on images_batch": "right: insert on images_batch",
    "update on images_batch": "right: update on images_batch",
    "delete on images_batch": "right: delete on images_batch",
    "select on images_image": "right: select on images_image",
    "insert on images_image": "right: insert on images_image",
    "update on images_image": "right: update on images_image",
    "delete on images_image": "right: delete on images_image",
    "select on documents_document": "right: select on documents_document",
    "update (object_id) on documents_document": "right: update (object_id) on documents_document",
    "select on contact_relationships": "right: select on contact_relationships",
    "update (from_object_id) on contact_relationships": "right: update (from_object_id) on contact_relationships",
    "update (to_object_id) on contact_relationships": "right: update (to_object_id) on contact_relationships",
}


@pytest.mark.parametrize("grant", TAKEN_AWAY)
def test_the_doctor_names_each_grant_that_lacks_and_its_remedy_heals(examined: LimitedUser, grant: str) -> None:
    examined.do(f"revoke {grant} from {{user}}")
    sick = _of_rights(_sick())
    assert list(sick) == [TAKEN_AWAY[grant]]
    (finding,) = sick.values()
    statement = finding.remedy.removeprefix("Run: ").removesuffix(";")
    assert statement == f"grant {TAKEN_AWAY[grant].removeprefix('right: ')} to {examined.name}"
    examined.do(statement)
    assert _of_rights(_sick()) == {}


def test_the_page_and_the_list_of_the_doctor_are_the_same(examined: LimitedUser) -> None:
    """Every grant of the page is one that the doctor would miss, so none is there for nothing."""
    revoked = {grant.partition(" on ")[2] for grant in TAKEN_AWAY}
    on_page = {table for grant in grants() for table in grant.partition(" on ")[2].partition(" to ")[0].split(", ")}
    assert on_page - {"database {database}"} == revoked


def test_our_schema_must_be_possible(user: LimitedUser, bucket: Bucket, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    use_places(monkeypatch, user.url, bucket, tmp_path)
    user.do("revoke create on database {database} from {user}")
    (finding,) = _of_rights(_sick()).values()
    assert finding.remedy.startswith("Run: grant create on database ")
    user.do(finding.remedy.removeprefix("Run: ").removesuffix(";"))
    assert _of_rights(_sick()) == {}


def test_tables_of_ours_that_belong_to_somebody_else_are_named(examined: LimitedUser) -> None:
    with psycopg.connect(examined.owner_url) as connection:
        connection.execute("alter table fm_migration.photo owner to postgres")
    (finding,) = _of_rights(_sick()).values()
    assert finding.check == "right: ownership of fm_migration.photo"
    examined.do(finding.remedy.removeprefix("Run: ").removesuffix(";"))
    assert _of_rights(_sick()) == {}


def test_a_table_whose_links_we_may_not_write_is_told_by_name(examined: LimitedUser) -> None:
    """One that nobody has told us of, and one whose rows refer to images."""
    with psycopg.connect(examined.owner_url) as connection:
        connection.execute(
            'create table "Legacy Notes" (code int primary key, about_content_type_id int, about_object_id uuid)'
        )
        connection.execute("create table remark (id int primary key, image_id uuid references images_image (id))")
    sick = _of_rights(_sick())
    assert list(sick) == [
        'right: select on "Legacy Notes"',
        'right: update (about_object_id) on "Legacy Notes"',
        "right: select (image_id) on remark",
    ]
    assert "do not follow patients" in sick['right: update (about_object_id) on "Legacy Notes"'].said
    for finding in sick.values():
        examined.do(finding.remedy.removeprefix("Run: ").removesuffix(";"))
    assert _of_rights(_sick()) == {}
    with psycopg.connect(examined.owner_url) as connection:
        connection.execute('drop table "Legacy Notes", remark')


def test_a_table_that_is_busy_lacks_no_right(examined: LimitedUser) -> None:
    with psycopg.connect(examined.owner_url) as connection:
        connection.execute("lock table images_batch, images_image in exclusive mode")
        assert [name for name in _sick() if name.startswith("lock: images")] == []


def test_a_lock_that_is_refused_is_named(examined: LimitedUser) -> None:
    for right in ("update", "delete"):
        examined.do(f"revoke {right} on images_image from {{user}}")
    finding = _sick()["lock: images_image"]
    assert "may not lock table images_image in share row exclusive mode" in finding.said
    assert finding.remedy == f"Run: grant update on images_image to {examined.name};"
    examined.do(finding.remedy.removeprefix("Run: ").removesuffix(";"))
    assert "lock: images_image" not in _sick()
    examined.do("grant delete on images_image to {user}")


def test_a_statement_that_is_refused_sends_people_to_the_doctor(limited: Limited, user: LimitedUser) -> None:
    user.do("revoke select on images_image from {user}")
    with pytest.raises(ProgrammingError) as caught:
        limited.ours.rows("select id from images_image")
    error = database.explain_statement(caught.value)
    assert isinstance(error, DatabaseError)
    assert error.remedy == "Run `fm-migration doctor`: it names the missing grant"
