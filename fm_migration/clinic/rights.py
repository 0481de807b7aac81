"""What the user of FM_DATABASE_URL must be allowed to do in the clinic's database, and which of it is not.

Belongs here: the list of the rights that our statements need, asking the catalogue for each, and the exact statement
that grants one. Does not belong here: trying locks and wording the answer (`operations/doctor.py`), or the tables.

docs/security.md names the same grants, and tests run the whole pipeline with exactly those. A statement that starts to
need another right belongs in both lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.clinic.link_columns import LinkColumn
from fm_migration.ledger import SCHEMA

_HAS = text("""
select coalesce(case when cast(:columns as text[]) = '{}' then has_table_privilege(cast(:table as regclass), :privilege)
                     else (select bool_and(has_column_privilege(cast(:table as regclass), name, :privilege))
                           from unnest(cast(:columns as text[])) as name) end, false)
""")
_EXISTS = text("select to_regclass(:table) is not null")
_SCHEMAS_CLOSED = text("""
select quote_ident(nspname) from pg_namespace
where nspname = any (cast(:names as text[])) and not has_schema_privilege(oid, 'usage') order by 1
""")
_ROLE = text("select quote_ident(current_user) as role, quote_ident(current_database()) as database")
_MAY_MAKE_TEMPORARY_TABLES = text("select has_database_privilege(current_database(), 'temporary')")
_MAY_MAKE_OUR_SCHEMA = text("""
select to_regnamespace(:ours) is not null or has_database_privilege(current_database(), 'create')
""")
#: Its tables are truncated and analysed, which only their owner may in every version.
_NOT_OURS = text("""
select oid::regclass::text from pg_class
where relnamespace = to_regnamespace(:ours) and relkind in ('r', 'v', 'p') and not pg_has_role(relowner, 'usage')
order by 1
""")
#: Rows that other tables refer to are not removed by a repair, so it has to look there.
_REFERRING = text("""
select relation.conrelid::regclass::text as table_name, attribute.attname as column_name
from pg_constraint as relation
join pg_attribute as attribute on attribute.attrelid = relation.conrelid and attribute.attnum = any (relation.conkey)
where relation.contype = 'f' and relation.conparentid = 0
  and relation.confrelid in (to_regclass('images_image'), to_regclass('images_batch'))
  and relation.conrelid <> all (array[to_regclass('images_image'), to_regclass('images_batch')])
order by 1, 2
""")


@dataclass(frozen=True)
class Right:
    """A privilege on a table, or on some of its columns, and what is impossible without it."""

    table: str
    privilege: str
    columns: tuple[str, ...]
    without_it: str

    def grant(self, role: str) -> str:
        columns = f" ({', '.join(map(_quoted, self.columns))})" if self.columns else ""
        return f"grant {self.privilege}{columns} on {self.table} to {role}"

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{self.privilege}{columns} on {self.table}"


@dataclass(frozen=True)
class Missing:
    """A right that is not there, in words, and the statement that grants it."""

    right: str
    without_it: str
    statement: str


_NOTHING_RUNS = "nothing can be read or linked"
_NO_PHOTOGRAPHS = "photographs cannot be linked"

#: On the tables that every clinic has. Of the patients we read three columns, and change none.
RIGHTS = (
    Right("patients", "select", ("id", "archived", "filemaker_metadata"), _NOTHING_RUNS),
    Right("django_content_type", "select", (), _NOTHING_RUNS),
    *(
        Right(table, privilege, (), without_it)
        for table in ("images_batch", "images_image")
        for privilege, without_it in (
            ("select", _NOTHING_RUNS),
            ("insert", _NO_PHOTOGRAPHS),
            ("update", _NO_PHOTOGRAPHS),
            ("delete", "no import can be undone, and nothing that broken runs have left can be repaired"),
        )
    ),
)


def of_links(links: Iterable[LinkColumn]) -> list[Right]:
    """What it takes to lead the links of other tables to their patients: a right to read a table, one for each link."""
    found: dict[Right, None] = {}
    for link in links:
        if link.table not in ("images_batch", "images_image"):
            missed = f"the links in {link.table}.{link.column} do not follow patients who were re-imported"
            found[Right(link.table, "select", (), f"the links in {link.table} can neither be read nor led")] = None
            found[Right(link.table, "update", (link.column,), missed)] = None
    return list(found)


def of_referring(connection: Connection) -> list[Right]:
    """What it takes to know that nothing of the clinic's refers to a row that a repair would remove."""
    without_it = "no repair can tell whether a row is still needed"
    return [Right(row.table_name, "select", (row.column_name,), without_it) for row in connection.execute(_REFERRING)]


def find_closed_schemas(connection: Connection, search_path: Sequence[str]) -> list[Missing]:
    """Schemas of the clinic that we may not look into: their tables seem not to be there at all."""
    role = connection.execute(_ROLE).one().role
    return [
        Missing(f"usage on schema {name}", "its tables cannot be seen", f"grant usage on schema {name} to {role}")
        for name in connection.execute(_SCHEMAS_CLOSED, {"names": list(search_path)}).scalars()
    ]


def find_missing(connection: Connection, rights: Iterable[Right]) -> list[Missing]:
    """Those of the rights that the present user does not have. A table that is not there lacks none."""
    role = connection.execute(_ROLE).one().role
    return [
        Missing(str(right), right.without_it, right.grant(role))
        for right in rights
        if connection.execute(_EXISTS, {"table": right.table}).scalar_one()
        and not connection.execute(
            _HAS, {"table": right.table, "privilege": right.privilege, "columns": list(right.columns)}
        ).scalar_one()
    ]


def find_missing_of_our_own(connection: Connection) -> list[Missing]:
    """What our own tables lack: a place for them, and that they are ours."""
    names = connection.execute(_ROLE).one()
    missing = []
    if not connection.execute(_MAY_MAKE_TEMPORARY_TABLES).scalar_one():
        statement = f"grant temporary on database {names.database} to {names.role}"
        missing.append(Missing(f"temporary on database {names.database}", _NOTHING_RUNS, statement))
    if not connection.execute(_MAY_MAKE_OUR_SCHEMA, {"ours": SCHEMA}).scalar_one():
        statement = f"grant create on database {names.database} to {names.role}"
        missing.append(Missing(f"create on database {names.database}", f"{SCHEMA} cannot be made", statement))
    for table in connection.execute(_NOT_OURS, {"ours": SCHEMA}).scalars():
        statement = f"alter table {table} owner to {names.role}"
        missing.append(Missing(f"ownership of {table}", "our own tables cannot be brought up to date", statement))
    return missing


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
