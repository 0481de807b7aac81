"""Which columns of the clinic's tables lead to a patient without a foreign key.

A generic link is a pair of columns (content type, object id). They are found in the database's catalogue, not listed
here; columns without a content type are named in the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.errors import SettingsError

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


@dataclass(frozen=True)
class LinkColumn:
    """A column of some table of the clinic that holds the UUID of a patient, and the type of the table's key.

    The table is named as `regclass` writes it: quoted and qualified where it has to be.
    """

    table: str
    column: str
    key: str
    key_type: str
    column_type: str
    #: The column with the content type, where the link is a generic one.
    content_type_column: str | None = None


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
    column = f"linking.{quoted(link.column)}"
    of_patients = f'linking."{link.content_type_column}" = :content_type' if link.content_type_column else "true"
    leads_to = f" = {column}" if link.column_type == "uuid" else f"::text = lower({column}::text)"
    return f"""
        select linking.{quoted(link.key)}::text as row_id, lower({column}::text) as patient
        from {link.table} as linking
        where {of_patients} and {column} is not null
          and not exists (select from patients where patients.id{leads_to})
    """


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


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
