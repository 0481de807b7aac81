"""Every generic link to a patient follows its patient: batches, documents, and whatever else the clinic's app may hold.

A link that leads to nobody is led to whoever its patient is now, by the tenures (`sql/follow.sql` says by which rules).
It can only turn dead links into living ones, so it needs no complete table and no approval: whoever is back is healed
while others are missing. Which columns hold links is read from the catalogue (`clinic/link_columns.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.clinic.link_columns import LinkColumn, find_link_columns, quoted
from fm_migration.database import explain_statement
from fm_migration.errors import DatabaseError
from fm_migration.ledger import identity, schema
from fm_migration.ledger.sql import Script
from fm_migration.linking import consuming, sql
from fm_migration.linking.rules import BATCHES, FOLLOWED, IMAGES
from fm_migration.plans import locks

_SQL = Script(sql.__name__, "follow")

LINKS = plans.register(plans.PlanKind(consuming.LINKS, (BATCHES,)))
#: For the joins of a large clinic.
MEMORY = "256MB"

_NEWEST_READING = text("select id, data_version from fm_migration.patient_read order by id desc limit 1")
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True)
class TableLinks:
    """What was found in one column, and what became of it.

    What dangles has followed, or is ambiguous, or was never seen; the rest waits for people whom we know and who are
    not in the table now, because they were removed or because a re-import is under way.
    """

    table: str
    column: str
    links: int
    dangling: int
    followed: int
    never_seen: int
    ambiguous: int
    #: Why the links of this table cannot be written; they are the only ones that are left.
    problem: str | None = None

    @property
    def absent(self) -> int:
        return self.dangling - self.followed - self.never_seen - self.ambiguous


@dataclass(frozen=True)
class LinksUpdate:
    """All columns together; `plan` is the number under which it can be undone, or None when nothing was to do."""

    plan: int | None
    tables: tuple[TableLinks, ...]
    #: The version of the patients that the links were made from.
    inputs: str

    @property
    def followed(self) -> int:
        return sum(table.followed for table in self.tables)

    @property
    def never_seen(self) -> int:
        return sum(table.never_seen for table in self.tables)

    @property
    def ambiguous(self) -> int:
        return sum(table.ambiguous for table in self.tables)

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(table.problem for table in self.tables if table.problem)


def follow(connection: Connection, *, named: Sequence[str] = (), run_id: str | None = None) -> LinksUpdate:
    """Lead every link that leads to nobody to its patient's present UUID, journalled, in the caller's transaction."""
    schema.require_current(connection)
    locks.lock(connection, (BATCHES.table, IMAGES.table))
    reading, version = _newest_reading(connection)
    consuming.consume(connection, LINKS.name, reading, run_id)
    plan = plans.open_plan(connection, LINKS.name, patient_read_id=reading, inputs=version, run_id=run_id)
    tables = follow_under(connection, plan, named=named, run_id=run_id)
    update = LinksUpdate(plan, tables, version)
    if not update.followed:
        plans.forget_plan(connection, plan)
        return LinksUpdate(None, tables, version)
    plans.finish_applied(connection, plan, counts={"changes": update.followed}, inputs=version, run_id=run_id)
    return update


def note_new_patients(connection: Connection) -> bool:
    """Take new patients into the history, if they are all that has changed and no link and no row waits for them.

    The caller's transaction must see one state of the tables: whoever changes meanwhile is seen the next time.
    """
    if not identity.concerns_nobody(connection):
        return False
    reading = identity.update_history(connection).reading
    for consumer in (consuming.LINKS, consuming.PHOTOGRAPHS):
        consuming.consume(connection, consumer, reading, None)
    return True


def follow_under(
    connection: Connection, plan: int, *, named: Sequence[str] = (), run_id: str | None = None
) -> tuple[TableLinks, ...]:
    """The same as changes of a plan that is there already, by somebody who holds the locks."""
    connection.execute(text(f"set local work_mem = '{MEMORY}'"))
    content_type = contract.patient_content_type_id(connection)
    columns = find_link_columns(connection, named)
    _step(connection, "dangling")
    links = [_look_for_dangling(connection, number, link, content_type) for number, link in enumerate(columns)]
    counts = _find_successors(connection)
    followed = [
        _follow_column(connection, link, plan, content_type, run_id)
        if counts.get(number, _NONE)["found"]
        else (0, None)
        for number, link in enumerate(columns)
    ]
    _step(connection, "lead_agreements")
    drop_successors(connection)
    connection.execute(text("drop table dangling"))
    return tuple(_told(columns, links, counts, followed))


def find_successors(connection: Connection) -> None:
    """Fill `successor` for the former patients that a step before has put into `former`."""
    for step in ("analyze_former", "successor", "index_successor", "analyze_successor"):
        _step(connection, step)


def drop_successors(connection: Connection) -> None:
    connection.execute(text("drop table if exists former, successor"))


_NONE: Mapping[str, int] = {"dangling": 0, "found": 0, "never_seen": 0, "ambiguous": 0}


def _told(
    columns: Sequence[LinkColumn],
    links: Sequence[_Column],
    counts: Mapping[int, Mapping[str, int]],
    followed: Sequence[tuple[int, str | None]],
) -> Iterator[TableLinks]:
    for number, link in enumerate(columns):
        count, (led, problem) = counts.get(number, _NONE), followed[number]
        yield TableLinks(
            link.table,
            link.column,
            links=links[number].links,
            dangling=count["dangling"] + links[number].malformed,
            followed=led,
            never_seen=count["never_seen"] + links[number].malformed,
            ambiguous=count["ambiguous"],
            problem=problem,
        )


def _newest_reading(connection: Connection) -> tuple[int, str]:
    row = connection.execute(_NEWEST_READING).one_or_none()
    if row is None:
        raise DatabaseError(
            "following the links of", "patient_map", "it was never read", "Materialize patient_map first"
        )
    return row.id, row.data_version


@dataclass(frozen=True)
class _Column:
    """How many links a column holds, and how many of them are not UUID of anybody."""

    links: int
    malformed: int


def _look_for_dangling(connection: Connection, number: int, link: LinkColumn, content_type: int) -> _Column:
    """Note the former UUIDs that a column points at."""
    column = f"linking.{quoted(link.column)}"
    of_patients = f'linking."{link.content_type_column}" = :content_type' if link.content_type_column else "true"
    as_uuid = column if link.column_type == "uuid" else f"case when {column} ~ '{_UUID}' then {column}::uuid end"
    parameters: dict[str, Any] = {"number": number}
    if link.content_type_column:
        parameters["content_type"] = content_type
    counts = connection.execute(
        text(f"""
            with link as materialized (
                select former_id, count(*) as links
                from {link.table} as linking cross join lateral (select {as_uuid} as former_id) as pointing
                where {of_patients} and {column} is not null
                group by former_id
            ), noted as (
                insert into dangling (column_number, former_id, links)
                select :number, former_id, links from link
                where former_id is not null and not exists (select from patients where patients.id = former_id)
            )
            select coalesce(sum(links), 0) as links,
                   coalesce(sum(links) filter (where former_id is null), 0) as malformed
            from link
            """),
        parameters,
    ).one()
    return _Column(int(counts.links), int(counts.malformed))


def _find_successors(connection: Connection) -> dict[int, Mapping[str, int]]:
    _step(connection, "former")
    find_successors(connection)
    rows = connection.execute(_SQL["count_links"]).mappings()
    return {row["column_number"]: {name: row[name] for name in _NONE} for row in rows}


def _follow_column(
    connection: Connection, link: LinkColumn, plan: int, content_type: int, run_id: str | None
) -> tuple[int, str | None]:
    """How many links of a column have followed; or none, and why its table refuses. The other tables go on."""
    savepoint = connection.begin_nested()
    try:
        followed = plans.apply_and_record(
            connection,
            plan,
            table=link.table,
            column=link.column,
            key=link.key,
            wanted=_wanted(link),
            parameters={"content_type": content_type} if link.content_type_column else {},
            reason=FOLLOWED,
            remembered=link.table == BATCHES.table and link.column in BATCHES.remembered,
            run_id=run_id,
        )
        # Constraints that are checked at the end would otherwise refuse the whole transaction there.
        connection.execute(text("set constraints all immediate"))
    except DBAPIError as error:
        savepoint.rollback()
        explained = explain_statement(error)
        if explained.transient or link.table in (BATCHES.table, IMAGES.table):
            raise
        return 0, f"{link.table}.{link.column}: {explained.found}. {_remedy(link)}"
    connection.execute(text("set constraints all deferred"))
    savepoint.commit()
    return followed, None


def _remedy(link: LinkColumn) -> str:
    return f"Grant update ({link.column}) on {link.table}, or see what stands against it; the other tables went on"


def _wanted(link: LinkColumn) -> str:
    """The rows of a column that follow. Text columns are compared as text, in any case of letters."""
    column = f"linking.{quoted(link.column)}"
    of_patients = f'and linking."{link.content_type_column}" = :content_type' if link.content_type_column else ""
    leads_to = f" = {column}" if link.column_type == "uuid" else f"::text = lower({column}::text)"
    return f"""
        select linking.{quoted(link.key)} as key, {column} as former,
               successor.patient_id::{link.column_type} as present
        from {link.table} as linking join successor on successor.former_id{leads_to}
        where successor.outcome = 'found' {of_patients}
    """


def _step(connection: Connection, step: str) -> None:
    _SQL.run(connection, None, step)
