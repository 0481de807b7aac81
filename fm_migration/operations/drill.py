"""The rehearsal before the real weekend: a re-import and its healing, played on a copy.

The relevant tables go into a scratch database on the same server: ids and links, no names and no birth dates. There
every patient that FileMaker knows gets a new UUID, as a re-import would do it, and the healing runs as it would in
earnest. The clinic's own database is only read, and the scratch database is removed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import Connection as PsycopgConnection
from psycopg import sql
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from fm_migration import database
from fm_migration.clinic import contract, tables
from fm_migration.clinic.link_columns import LinkColumn, find_link_columns
from fm_migration.errors import DatabaseError
from fm_migration.ledger import SCHEMA, identity, schema
from fm_migration.linking import applying, following, placing
from fm_migration.operations import staging
from fm_migration.places import Places

#: Columns of `patients` that are copied; the others that must not be empty get a placeholder.
_PATIENT_COLUMNS = "id, '-' as first_name, '-' as last_name, archived, created_at, updated_at, filemaker_metadata"
_OWN_TABLES = text(f"""
select table_name from information_schema.tables
where table_schema = '{SCHEMA}' and table_type = 'BASE TABLE' and table_name <> 'alembic_version' order by 1
""")
_SEQUENCES = text(f"""
select pg_get_serial_sequence('{SCHEMA}.' || table_name, column_name) as sequence, table_name, column_name
from information_schema.columns where table_schema = '{SCHEMA}' and is_identity = 'YES'
""")
_GALLERIES = """
select image.id as image, coalesce(patient_now.filemaker_id::text, patient_now.patient_id::text) as person
from images_image as image
join images_batch as batch on batch.id = image.batch_id and batch.content_type_id = :content_type
join patient_now on patient_now.patient_id = batch.object_id
"""
#: What a re-import does to everybody whom FileMaker knows.
_REIMPORT = text("update patients set id = gen_random_uuid() where filemaker_metadata::text like '%filemaker_id%'")


@dataclass(frozen=True)
class Rehearsal:
    """What the patients of the copy saw, and how long their galleries were empty."""

    patients: int
    visible_before: int
    visible_between: int
    visible_after: int
    lost: int
    on_another_record: int
    links_followed: int
    links_ambiguous: int
    copy_seconds: float
    heal_seconds: float
    doubts: tuple[str, ...]

    @property
    def well(self) -> bool:
        return self.lost == 0 and self.on_another_record == 0


def rehearse(places: Places) -> Rehearsal:
    """Play it all on a copy and compare every photograph's patient before and after."""
    started = time.monotonic()
    with _scratch_database(places) as scratch:
        with places.engine.connect() as source, scratch.begin() as target:
            schema.require_current(source)
            _copy_clinic(source, target, places.settings.link_columns)
        copied = time.monotonic()
        with scratch.begin() as connection:
            before = _galleries(connection)
            patients: int = connection.execute(_REIMPORT).rowcount
        with scratch.begin() as connection:
            between = _galleries(connection)
        healing = time.monotonic()
        plan, links_update = _heal(scratch, places)
        healed = time.monotonic()
        with scratch.begin() as connection:
            after = _galleries(connection)
    return Rehearsal(
        patients=patients,
        visible_before=len(before),
        visible_between=len(between),
        visible_after=len(after),
        lost=len(before.keys() - after.keys()),
        on_another_record=sum(after[image] != person for image, person in before.items() if image in after),
        links_followed=links_update.followed,
        links_ambiguous=links_update.ambiguous,
        copy_seconds=copied - started,
        heal_seconds=healed - healing,
        doubts=plan.doubts,
    )


def _heal(scratch: Engine, places: Places) -> tuple[placing.Plan, following.LinksUpdate]:
    with scratch.begin() as connection:
        staging.stage_patients(connection)
    with scratch.begin() as connection:
        links = following.follow(connection, named=places.settings.link_columns)
    with scratch.begin() as connection:
        plan = placing.make_plan(connection, places.settings)
    with scratch.begin() as connection:
        # The rehearsal shows the doubts instead of waiting for an approval.
        applying.apply_plan(connection, plan.id, approve=plan.hash)
    return plan, links


def _galleries(connection: Connection) -> dict[uuid.UUID, str]:
    """Whose gallery shows each image; people are told by what a re-import does not change."""
    parameters = {"content_type": contract.patient_content_type_id(connection)}
    rows = connection.execute(text(f"with patient_now as ({identity.patients_query()}) {_GALLERIES}"), parameters)
    return {row.image: row.person for row in rows}


@contextmanager
def _scratch_database(places: Places) -> Iterator[Engine]:
    """A database of its own on the same server, removed afterwards."""
    name = f"fm_migration_drill_{uuid.uuid4().hex[:8]}"
    administration = database.open_engine(places.database_url).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with administration.connect() as connection:
            connection.execute(text(f"create database {name} template template0"))
    except DBAPIError as error:
        raise DatabaseError(
            "making a scratch database on",
            database.where(administration.url),
            f"the server refuses ({type(error.orig).__name__})",
            "Let the user of FM_DATABASE_URL create databases for the rehearsal: alter role ... createdb",
        ) from None
    url = make_url(places.database_url).set(database=name).render_as_string(hide_password=False)
    scratch = database.open_engine(url)
    try:
        yield scratch
    finally:
        scratch.dispose()
        with administration.connect() as connection:
            connection.execute(text(f"drop database if exists {name} with (force)"))
        administration.dispose()


def _copy_clinic(source: Connection, target: Connection, link_columns: Sequence[str]) -> None:
    tables.metadata.create_all(target)
    target.execute(text("truncate django_content_type cascade"))
    schema.upgrade_in(target)
    target.execute(text("set constraints all deferred"))
    content_types = "id, app_label, model"
    _stream(source, target, f"select {content_types} from django_content_type", "django_content_type", content_types)
    _stand_in_for_staff(source, target)
    _stream(source, target, f"select {_PATIENT_COLUMNS} from patients", "patients", "id, first_name, last_name, "
            "archived, created_at, updated_at, filemaker_metadata")  # fmt: skip
    for table in ("images_batch", "images_image"):
        columns = ", ".join(f'"{column.name}"' for column in tables.metadata.tables[table].columns)
        _stream(source, target, f"select {columns} from {table}", table, columns)
    by_table: dict[str, list[LinkColumn]] = {}
    for link in find_link_columns(source, link_columns):
        if link.table not in ("images_batch", "images_image"):
            by_table.setdefault(link.table, []).append(link)
    for table, of_table in by_table.items():
        _copy_links(source, target, table, of_table)
    _copy_our_schema(source, target)


def _stand_in_for_staff(source: Connection, target: Connection) -> None:
    """Whoever has uploaded something, by number alone: neither names nor passwords are of use here."""
    people = """
        select distinct uploaded_by_id
        from (select uploaded_by_id from images_batch union all select uploaded_by_id from images_image) as uploads
        where uploaded_by_id is not null
    """
    placeholders = "'-', false, '-' || uploaded_by_id, '-', '-', '-', false, false, now()"
    columns = "id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined"
    _stream(source, target, f"select uploaded_by_id, {placeholders} from ({people}) as staff", "auth_user", columns)


def _copy_links(source: Connection, target: Connection, table: str, of_table: Sequence[LinkColumn]) -> None:
    """Another table with links, of which it may hold several: its key and the links, every other column left empty."""
    shape = {of_table[0].key: f"{of_table[0].key_type} primary key"}
    for link in of_table:
        shape[link.column] = link.column_type
        if link.content_type_column:
            shape[link.content_type_column] = "integer"
    columns = ", ".join(f'"{name}"' for name in shape)
    known = tables.metadata.tables.get(table)
    if known is None:
        defined = ", ".join(f'"{name}" {kind}' for name, kind in shape.items())
        target.execute(text(f"create table {table} ({defined})"))
    else:
        for column in known.columns:
            if not column.nullable and not column.primary_key:
                target.execute(text(f'alter table {table} alter column "{column.name}" drop not null'))
    _stream(source, target, f"select {columns} from {table}", table, columns)


def _copy_our_schema(source: Connection, target: Connection) -> None:
    names = list(source.execute(_OWN_TABLES).scalars())
    target.execute(text(f"alter table {SCHEMA}.photo disable trigger all"))
    # In this order no foreign key points at what is not there yet.
    first = [
        "export_read", "inventory_snapshot", "patient_read", "link_plan", "planned_change", "report",
    ]  # fmt: skip
    for name in [*first, *(name for name in names if name not in first)]:
        _stream(source, target, f"select * from {SCHEMA}.{name}", f"{SCHEMA}.{name}")
    for row in target.execute(_SEQUENCES).all():
        target.execute(
            text(f"select setval('{row.sequence}', (select coalesce(max({row.column_name}), 0) + 1 "
                 f"from {SCHEMA}.{row.table_name}), false)")
        )  # fmt: skip
    for name in names:
        target.execute(text(f"analyze {SCHEMA}.{name}"))


def _stream(source: Connection, target: Connection, query: str, table: str, columns: str | None = None) -> None:
    """From one database into the other, without taking shape in this process."""
    reader, writer = _driver(source), _driver(target)
    into = f"copy {table} ({columns}) from stdin" if columns else f"copy {table} from stdin"
    with (
        reader.cursor().copy(sql.SQL(f"copy ({query}) to stdout")) as outgoing,
        writer.cursor().copy(sql.SQL(into)) as incoming,
    ):
        for block in outgoing:
            incoming.write(block)


def _driver(connection: Connection) -> PsycopgConnection[object]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, PsycopgConnection):
        raise TypeError("COPY needs a connection of psycopg 3")
    return driver
