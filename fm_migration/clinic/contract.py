"""What we need of the clinic's tables, and whether the database at hand gives it.

Belongs here: the list of what we use, and the comparison of it with the database's own catalogue. Does not
belong here: the definitions (`tables.py`), and questions about rows, except for the two content types
without which no link can be made.

The clinic changes its models without asking us, and it may: a difference is reported only where a statement
of ours would fail or would silently leave rows out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, select, text, tuple_
from sqlalchemy.dialects import postgresql

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.errors import ContractError


@dataclass(frozen=True)
class ContractDifference:
    """One thing that is not as we need it. `column` is None when it is about the table or its rows."""

    table: str
    column: str | None
    expected: str
    found: str

    def __str__(self) -> str:
        place = self.table if self.column is None else f"{self.table}.{self.column}"
        return f"{place}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class _Use:
    """A table of the clinic, the columns of it that our statements name, and whether we insert rows."""

    table: Table
    columns: tuple[str, ...]
    inserts: bool = False


def _every_column(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


# A statement that starts to name another column of the clinic belongs in this list too.
_USES = (
    _Use(tables.django_content_type, ("id", "app_label", "model")),
    _Use(tables.patients, ("id", "archived", "filemaker_metadata")),
    _Use(tables.images_batch, _every_column(tables.images_batch), inserts=True),
    _Use(tables.images_image, _every_column(tables.images_image), inserts=True),
    _Use(tables.documents_document, ("id", "content_type_id", "object_id", "s3_key", "filemaker_id")),
)

_CONTENT_TYPES = (tables.PATIENT_CONTENT_TYPE, tables.IMAGE_BATCH_CONTENT_TYPE)


@dataclass(frozen=True)
class _FoundColumn:
    type: str
    not_null: bool
    filled_by_database: bool
    unique: bool


@dataclass(frozen=True)
class _Catalogue:
    schemas: str
    columns: Mapping[str, Mapping[str, _FoundColumn]]


def find_differences(connection: Connection) -> list[ContractDifference]:
    """Everything in which the database at hand is not what our statements need, in the order of our list.

    Tables are found the way our statements find them, along the connection's search path, so that a copy
    of the clinic in another schema is verified as itself.
    """
    catalogue = _read_catalogue(connection)
    differences = [difference for use in _USES for difference in _table_differences(use, catalogue)]
    if not any(difference.table == tables.django_content_type.name for difference in differences):
        differences += _content_type_differences(connection)
    return differences


def verify(connection: Connection) -> None:
    """Raise a ContractError that names every difference, or return when there is none."""
    differences = find_differences(connection)
    if not differences:
        return
    raise ContractError(
        "verifying",
        f"the clinic's tables in {database.where(connection.engine.url)}",
        "; ".join(map(str, differences)),
        _remedy(differences),
    )


def patient_content_type_id(connection: Connection) -> int:
    """The id under which this database knows patients in generic links. It differs between databases."""
    content_type = tables.django_content_type
    app_label, model = tables.PATIENT_CONTENT_TYPE
    found = connection.scalar(
        select(content_type.c.id).where(content_type.c.app_label == app_label, content_type.c.model == model)
    )
    if found is None:
        difference = _missing_content_type(tables.PATIENT_CONTENT_TYPE)
        raise ContractError("looking up", "the content type of patients", str(difference), _MIGRATE)
    return int(found)


_A_TABLE = "a table of this name"

_MIGRATE = (
    "Run the clinic app's own `manage.py migrate` against this database; if the clinic changed its models on "
    "purpose, stay with what it has and use a version of fm-migration that was written for them"
)
_ANOTHER_DATABASE = (
    "None of the clinic's tables is here: check that FM_DATABASE_URL names the clinic's database, and that "
    "FM_APP_SCHEMA names the schema that the tables are in"
)


def _remedy(differences: list[ContractDifference]) -> str:
    missing = {d.table for d in differences if d.expected == _A_TABLE}
    return _ANOTHER_DATABASE if missing == {use.table.name for use in _USES} else _MIGRATE


# What the search path shows of the tables that we use: one row per live column. An index counts as unique
# only when ON CONFLICT can rely on it: valid, over this one column and all rows, and checked at once.
_READ_CATALOGUE = text("""
    SELECT used.name AS table_name,
           attribute.attname AS column_name,
           format_type(attribute.atttypid, attribute.atttypmod) AS type,
           attribute.attnotnull AS not_null,
           attribute.atthasdef OR attribute.attidentity <> '' AS filled_by_database,
           EXISTS (
               SELECT
               FROM pg_index AS index
               WHERE index.indrelid = attribute.attrelid
                 AND index.indisunique AND index.indisvalid AND index.indimmediate
                 AND index.indnkeyatts = 1 AND index.indkey[0] = attribute.attnum
                 AND index.indpred IS NULL
           ) AS is_unique,
           array_to_string(current_schemas(false), ', ') AS schemas
    FROM unnest(CAST(:names AS text[])) AS used (name)
    LEFT JOIN pg_attribute AS attribute
           ON attribute.attrelid = to_regclass(used.name)
          AND attribute.attnum > 0
          AND NOT attribute.attisdropped
""")


def _read_catalogue(connection: Connection) -> _Catalogue:
    rows = connection.execute(_READ_CATALOGUE, {"names": [use.table.name for use in _USES]}).all()
    columns: dict[str, dict[str, _FoundColumn]] = {}
    for row in rows:
        if row.column_name is not None:
            columns.setdefault(row.table_name, {})[row.column_name] = _FoundColumn(
                row.type, row.not_null, row.filled_by_database, row.is_unique
            )
    return _Catalogue(rows[0].schemas, columns)


def _table_differences(use: _Use, catalogue: _Catalogue) -> Iterator[ContractDifference]:
    found_columns = catalogue.columns.get(use.table.name)
    if found_columns is None:
        place = f"in the search path ({catalogue.schemas or 'which is empty'})"
        yield ContractDifference(use.table.name, None, _A_TABLE, f"none {place}")
        return
    for name in use.columns:
        found = found_columns.get(name)
        if found is None:
            yield ContractDifference(use.table.name, name, f"a column of type {_type_of(use, name)}", "no such column")
        else:
            yield from _column_differences(use, name, found)
    if use.inserts:
        yield from _unfillable_columns(use, found_columns)


def _column_differences(use: _Use, name: str, found: _FoundColumn) -> Iterator[ContractDifference]:
    table = use.table.name
    expected_type = _type_of(use, name)
    if not _holds(expected_type, found.type):
        yield ContractDifference(table, name, expected_type, found.type)
    # What follows matters only where we insert. Elsewhere we write nothing but links that are not NULL,
    # and a NULL that turns up is a row without a link, which is what the contract allows there anyway.
    if not use.inserts:
        return
    column: Column[object] = use.table.c[name]
    if column.nullable and found.not_null:
        # We leave such a column NULL (an import has no uploader), so our insert would fail.
        yield ContractDifference(table, name, "NULL allowed", "NOT NULL")
    if not column.nullable and not found.not_null:
        # Our statements compare these columns with = and <>, and neither is ever true of a NULL: a row that
        # holds one would fall out of every plan without a word.
        yield ContractDifference(table, name, "NOT NULL", "NULL allowed")
    if (column.primary_key or column.unique) and not found.unique:
        # Our ids are made from natural keys; uniqueness is what stops two runs from storing them twice.
        yield ContractDifference(table, name, "a unique constraint", "none that is checked at once for every row")


def _unfillable_columns(use: _Use, found_columns: Mapping[str, _FoundColumn]) -> Iterator[ContractDifference]:
    """Columns that we do not know and must fill: with one of them every insert of ours would fail."""
    for name, found in found_columns.items():
        if name not in use.columns and found.not_null and not found.filled_by_database:
            yield ContractDifference(
                use.table.name,
                name,
                "no further column that an insert must fill",
                f"{found.type} NOT NULL without a default",
            )


_VARCHAR = re.compile(r"character varying\((\d+)\)")


def _type_of(use: _Use, name: str) -> str:
    """The type as PostgreSQL itself spells it (`format_type`)."""
    # The constructor of SQLAlchemy's dialect is published without annotations.
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    spelled = use.table.c[name].type.compile(dialect=dialect)
    return spelled.lower().replace("varchar", "character varying")


def _holds(expected: str, found: str) -> bool:
    """Whether a column of the type `found` keeps all that one of the type `expected` does.

    The clinic may widen a text column whenever it likes: what we write still fits. A narrower one, or any
    other type, is a difference.
    """
    if found == expected:
        return True
    limit = _VARCHAR.fullmatch(expected)
    if limit is None:
        return False
    found_limit = _VARCHAR.fullmatch(found)
    if found_limit is None:
        return found in {"text", "character varying"}
    return int(found_limit[1]) >= int(limit[1])


def _content_type_differences(connection: Connection) -> list[ContractDifference]:
    content_type = tables.django_content_type
    key = tuple_(content_type.c.app_label, content_type.c.model)
    rows = connection.execute(select(content_type.c.app_label, content_type.c.model).where(key.in_(_CONTENT_TYPES)))
    present = {(row.app_label, row.model) for row in rows}
    return [_missing_content_type(name) for name in _CONTENT_TYPES if name not in present]


def _missing_content_type(name: tuple[str, str]) -> ContractDifference:
    return ContractDifference(tables.django_content_type.name, None, f"a row ({', '.join(name)})", "none")
