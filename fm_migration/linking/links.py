"""Every other link to a patient: documents, hand-uploaded batches, and whatever else the clinic's app may hold.

A link that points at a known former UUID is led to its successor; one that points at a UUID never seen is counted and
left alone. Which columns hold links is read from the catalogue (`clinic/link_columns.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.clinic.link_columns import LinkColumn, find_link_columns, quoted
from fm_migration.ledger import sql as statements
from fm_migration.linking import applying
from fm_migration.linking import sql as linking_sql
from fm_migration.linking.planning import read_inputs
from fm_migration.linking.rules import BATCHES, FOLLOWED, IMAGES
from fm_migration.plans import locks

PACKAGE = linking_sql.__name__

LINKS = plans.register(plans.Kind("links", (BATCHES,)))


@dataclass(frozen=True)
class TableLinks:
    """What was found in one column, and what became of it.

    What dangles is re-linked, or ambiguous, or was never seen; the rest waits for people whom we know and who are not
    in the table now, because they were removed or because a re-import is under way.
    """

    table: str
    column: str
    links: int
    dangling: int
    relinked: int
    never_seen: int
    ambiguous: int

    @property
    def absent(self) -> int:
        return self.dangling - self.relinked - self.never_seen - self.ambiguous


@dataclass(frozen=True)
class LinksUpdate:
    """All columns together; `plan` is the number under which it can be undone, or None when nothing was to do."""

    plan: int | None
    tables: tuple[TableLinks, ...]
    #: The version of the patients that the links were made from.
    inputs: str

    @property
    def relinked(self) -> int:
        return sum(table.relinked for table in self.tables)

    @property
    def never_seen(self) -> int:
        return sum(table.never_seen for table in self.tables)


def relink(connection: Connection, *, named: Sequence[str] = (), run_id: str | None = None) -> LinksUpdate:
    """Lead every link at a known former UUID to its successor, journalled, in the caller's transaction."""
    locks.lock(connection, (BATCHES.table, IMAGES.table))
    inputs = read_inputs(connection)
    for step in ("live", "successor"):
        statements.run(connection, PACKAGE, "plan", only=step)
    connection.execute(text("create unique index on successor (former_id)"))
    connection.execute(text("create unique index on live (patient_id)"))
    applying.consume(connection, LINKS.name, inputs["patient_read_id"], run_id)
    version: str = inputs["patients_version"]
    plan = plans.open_plan(
        connection, LINKS.name, patient_read_id=inputs["patient_read_id"], inputs=version, run_id=run_id
    )
    content_type = contract.patient_content_type_id(connection)
    columns = find_link_columns(connection, named)
    tables = tuple(_relink_column(connection, link, plan, content_type, run_id) for link in columns)
    update = LinksUpdate(plan, tables, version)
    if not update.relinked:
        plans.forget_plan(connection, plan)
        return LinksUpdate(None, tables, version)
    plans.finish_applied(connection, plan, counts={"changes": update.relinked}, inputs=version, run_id=run_id)
    return update


def _relink_column(
    connection: Connection, link: LinkColumn, plan: int, content_type: int, run_id: str | None
) -> TableLinks:
    """Count and lead home for one column. Text columns are compared as text, in any case of letters."""
    column, key = quoted(link.column), quoted(link.key)
    of_patients = f'linking."{link.content_type_column}" = :content_type' if link.content_type_column else "true"
    parameters = {"content_type": content_type} if link.content_type_column else {}
    leads_to = f" = linking.{column}" if link.column_type == "uuid" else f"::text = lower(linking.{column}::text)"
    scope = f"""
        from {link.table} as linking
        left join successor on successor.former_id{leads_to}
        where {of_patients} and linking.{column} is not null
          and not exists (select from live where live.patient_id{leads_to})
    """
    total = connection.execute(
        text(f"select count(*) from {link.table} as linking where {of_patients} and linking.{column} is not null"),
        parameters,
    ).scalar_one()
    counts = connection.execute(
        text(f"""
        select count(*) as dangling, count(*) filter (where successor.patients > 1) as ambiguous,
               count(*) filter (where not exists (
                   select from fm_migration.patient_identity as known where known.patient_id{leads_to})) as never_seen
        {scope}
        """),
        parameters,
    ).one()
    relinked = plans.apply_and_record(
        connection,
        plan,
        table=link.table,
        column=link.column,
        key=link.key,
        wanted=f"""
            select linking.{key} as key, linking.{column} as former,
                   successor.patient_id::{link.column_type} as present {scope} and successor.patients = 1
        """,
        parameters=parameters,
        reason=FOLLOWED,
        remembered=link.table == BATCHES.table and link.column in BATCHES.remembered,
        run_id=run_id,
    )
    return TableLinks(link.table, link.column, total, counts.dangling, relinked, counts.never_seen, counts.ambiguous)
