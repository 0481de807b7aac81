"""Every other link to a patient: documents, hand-uploaded batches, and whatever else the clinic's app may hold.

A generic link is a pair of columns (content type, object id) without a foreign key. They are found in the database's
catalogue, not listed here; columns without a content type are named in the settings. A link that points at a known
former UUID is led to its successor; one that points at a UUID never seen is counted and left alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.clinic import applying, changes, contract
from fm_migration.clinic import sql as clinic_sql
from fm_migration.clinic.changes import LinkColumn
from fm_migration.clinic.planning import NAMESPACE, read_inputs
from fm_migration.errors import SettingsError
from fm_migration.ledger import sql as statements

PACKAGE = clinic_sql.__name__

#: Pairs of columns that a GenericForeignKey uses: `<x>content_type_id` with `<x>object_id`, of a type that holds a
#: UUID, in tables with a primary key of one column. Django's own tables log history, and history is not rewritten.
_GENERIC_COLUMNS = text("""
select relation.oid::regclass::text as table_name, ids.attname as column_name, types.attname as content_type_column,
       key.attname as key, format_type(key.atttypid, key.atttypmod) as key_type,
       format_type(ids.atttypid, ids.atttypmod) as column_type
from pg_class as relation
join pg_attribute as ids on ids.attrelid = relation.oid and ids.attname like '%object\\_id' and not ids.attisdropped
join pg_attribute as types on types.attrelid = relation.oid and not types.attisdropped
     and types.attname = replace(ids.attname, 'object_id', 'content_type_id')
join pg_index as index on index.indrelid = relation.oid and index.indisprimary and index.indnatts = 1
join pg_attribute as key on key.attrelid = relation.oid and key.attnum = index.indkey[0]
where relation.relkind in ('r', 'p') and pg_table_is_visible(relation.oid)
  and relation.relname not like 'django\\_%'
  and format_type(ids.atttypid, null) in ('uuid', 'character varying', 'text', 'character')
  and format_type(types.atttypid, null) in ('integer', 'bigint', 'smallint')
order by 1, 2
""")
_NAMED_COLUMN = text("""
select relation.oid::regclass::text as table_name, ids.attname as column_name, key.attname as key,
       format_type(key.atttypid, key.atttypmod) as key_type, format_type(ids.atttypid, ids.atttypmod) as column_type
from pg_class as relation
join pg_namespace as namespace on namespace.oid = relation.relnamespace
join pg_attribute as ids on ids.attrelid = relation.oid and ids.attname = :column and not ids.attisdropped
join pg_index as index on index.indrelid = relation.oid and index.indisprimary and index.indnatts = 1
join pg_attribute as key on key.attrelid = relation.oid and key.attnum = index.indkey[0]
where relation.oid::regclass::text = :table or namespace.nspname || '.' || relation.relname = :table
""")
_NEW_PLAN = text("""
insert into fm_migration.link_plan (kind, hash, patient_read_id, inputs, counts, doubts, run_id)
values ('links', '', :patient_read_id, :inputs, '{}', '{}', :run_id) returning id
""")
_FINISH_PLAN = text("""
update fm_migration.link_plan set hash = :hash, applied_at = now(), applied_run_id = :run_id where id = :plan
""")
_TABLES_OF_PLAN = text("""
select distinct table_name, (select jsonb_object_keys(after) limit 1) as column_name
from fm_migration.planned_change where plan_id = :plan and action = 'update' and table_name <> 'bucket'
""")


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


def find_link_columns(connection: Connection, named: Sequence[str] = ()) -> list[LinkColumn]:
    """Every column that may hold a patient's UUID without a foreign key, `named` ones (`table.column`) included."""
    found = [
        LinkColumn(row.table_name, row.column_name, row.key, row.key_type, row.column_type, row.content_type_column)
        for row in connection.execute(_GENERIC_COLUMNS)
    ]
    return found + [_named(connection, name) for name in named]


def dangling_links(link: LinkColumn) -> str:
    """A query for the rows whose link leads to no patient: the row's key, and the UUID that stands there.

    It takes the content type of patients as `:content_type` where the link is a generic one.
    """
    column = f"linking.{_quoted(link.column)}"
    of_patients = f'linking."{link.content_type_column}" = :content_type' if link.content_type_column else "true"
    leads_to = f" = {column}" if link.column_type == "uuid" else f"::text = lower({column}::text)"
    return f"""
        select linking.{_quoted(link.key)}::text as row_id, lower({column}::text) as patient
        from {link.table} as linking
        where {of_patients} and {column} is not null
          and not exists (select from patients where patients.id{leads_to})
    """


def relink(connection: Connection, *, named: Sequence[str] = (), run_id: str | None = None) -> LinksUpdate:
    """Lead every link at a known former UUID to its successor, journalled, in the caller's transaction."""
    applying.lock_links(connection)
    inputs = read_inputs(connection)
    for step in ("live", "successor"):
        statements.run(connection, PACKAGE, "plan", only=step)
    connection.execute(text("create unique index on successor (former_id)"))
    connection.execute(text("create unique index on live (patient_id)"))
    applying.consume(connection, "links", inputs["patient_read_id"], run_id)
    facts = {"patient_read_id": inputs["patient_read_id"], "inputs": inputs["patients_version"], "run_id": run_id}
    plan: int = connection.execute(_NEW_PLAN, facts).scalar_one()
    content_type = contract.patient_content_type_id(connection)
    columns = find_link_columns(connection, named)
    tables = [_relink_column(connection, link, plan, content_type, run_id) for link in columns]
    if not any(table.relinked for table in tables):
        connection.execute(text("delete from fm_migration.link_plan where id = :plan"), {"plan": plan})
        return LinksUpdate(None, tuple(tables), inputs["patients_version"])
    changes.record_overtaken(connection, plan, run_id)
    connection.execute(
        _FINISH_PLAN,
        {"plan": plan, "hash": uuid.uuid5(NAMESPACE, f"links|{plan}|{facts['inputs']}").hex, "run_id": run_id},
    )
    return LinksUpdate(plan, tuple(tables), inputs["patients_version"])


def columns_of_plan(connection: Connection, plan: int) -> list[LinkColumn]:
    """The columns that a plan of links has changed, for its undo; those of photographs are not among them."""
    rows = connection.execute(_TABLES_OF_PLAN, {"plan": plan}).all()
    return [
        _named(connection, f"{row.table_name}.{row.column_name}")
        for row in rows
        if row.table_name not in changes.CHANGEABLE
    ]


def _named(connection: Connection, name: str) -> LinkColumn:
    table, _, column = name.rpartition(".")
    row = connection.execute(_NAMED_COLUMN, {"table": table, "column": column}).one_or_none()
    if row is None:
        raise SettingsError(
            "looking for the link column",
            name,
            "there is no such column in a table with a primary key of one column",
            "Write FM_LINK_COLUMNS as table.column, several separated by commas",
        )
    return LinkColumn(row.table_name, row.column_name, row.key, row.key_type, row.column_type)


def _relink_column(
    connection: Connection, link: LinkColumn, plan: int, content_type: int, run_id: str | None
) -> TableLinks:
    """Count, plan and apply for one column. Text columns are compared as text, in any case of letters."""
    table, column, key = link.table, _quoted(link.column), _quoted(link.key)
    of_patients = f'linking."{link.content_type_column}" = :content_type' if link.content_type_column else "true"
    parameters = {"plan": plan, "table": link.table, "column": link.column, "content_type": content_type}
    leads_to = f" = linking.{column}" if link.column_type == "uuid" else f"::text = lower(linking.{column}::text)"
    known = f"known.patient_id{leads_to}"
    scope = f"""
        from {table} as linking
        left join successor on successor.former_id{leads_to}
        where {of_patients} and linking.{column} is not null
          and not exists (select from live where live.patient_id{leads_to})
    """
    total = connection.execute(
        text(f"select count(*) from {table} as linking where {of_patients} and linking.{column} is not null"),
        {"content_type": content_type} if link.content_type_column else {},
    ).scalar_one()
    used = {name: value for name, value in parameters.items() if name != "content_type" or link.content_type_column}
    counts = connection.execute(
        text(f"""
        select count(*) as dangling, count(*) filter (where successor.patients > 1) as ambiguous,
               count(*) filter (where not exists (
                   select from fm_migration.patient_identity as known where {known})) as never_seen
        {scope}
        """),
        {"content_type": content_type} if link.content_type_column else {},
    ).one()
    planned = connection.execute(
        text(f"""
        insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
        select :plan, :table, linking.{key}::text, 'update',
               jsonb_build_object(cast(:column as text), linking.{column}),
               jsonb_build_object(cast(:column as text), successor.patient_id),
               'its patient has a new UUID' {scope} and successor.patients = 1
        """),
        used,
    ).rowcount
    if planned:
        changes.apply_updates(connection, plan, link.table, (link.column,), run_id, link.key)
    return TableLinks(link.table, link.column, total, counts.dangling, planned, counts.never_seen, counts.ambiguous)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
