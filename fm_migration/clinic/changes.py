"""Planned changes put into the clinic's tables, and taken back: the only code that writes there.

Each planned change carries the changed columns as they were and as they shall be. A row is changed only if it still is
as it was when the plan was made; what somebody has edited since stays, and is on record as overtaken.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

#: What is ours to change on a row that exists. Everything else on it belongs to the clinic.
CHANGEABLE: dict[str, tuple[str, ...]] = {
    "images_batch": ("object_id", "image_count"),
    "images_image": (
        "batch_id", "s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type", "category", "caption",
        "date_taken", "filemaker_id",
    ),
}  # fmt: skip

#: What a new row consists of. The clinic's further columns are nullable, or the contract would have been broken.
INSERTABLE: dict[str, tuple[str, ...]] = {
    "images_batch": (
        "id", "content_type_id", "object_id", "name", "description", "uploaded_by_id", "uploaded_at", "image_count",
    ),
    "images_image": (
        "id", "batch_id", "s3_key", "s3_thumbnail_key", "original_name", "file_size", "thumbnail_size", "width",
        "height", "mime_type", "category", "caption", "date_taken", "uploaded_by_id", "uploaded_at", "filemaker_id",
        "order",
    ),
}  # fmt: skip

#: Why a new row may not go in any more, as a condition on `wanted.after`.
_INSERT_REFUSED = {
    "images_batch": "exists (select from images_batch as other where other.id = (wanted.after ->> 'id')::uuid)",
    "images_image": """
        exists (select from images_image as other where other.id = (wanted.after ->> 'id')::uuid)
        or exists (select from images_image as other
                   where other.filemaker_id = (wanted.after ->> 'filemaker_id')::uuid)
        or not exists (select from images_batch as batch where batch.id = (wanted.after ->> 'batch_id')::uuid)
    """,
}


@dataclass(frozen=True)
class LinkColumn:
    """A column of some table of the clinic that holds the UUID of a patient, and the type of the table's key."""

    table: str
    column: str
    key: str
    key_type: str
    column_type: str
    #: The column with the content type, where the link is a generic one.
    content_type_column: str | None = None


def apply_inserts(connection: Connection, plan: int, table: str, run_id: str | None) -> None:
    """Insert the plan's new rows of one table."""
    columns = ", ".join(_quoted(column) for column in INSERTABLE[table])
    values = ", ".join(f"new.{_quoted(column)}" for column in INSERTABLE[table])
    connection.execute(
        text(f"""
        with wanted as (
            select id, row_id, after from fm_migration.planned_change as wanted
            where plan_id = :plan and table_name = '{table}' and action = 'insert' and not ({_INSERT_REFUSED[table]})
        ), made as (
            insert into {table} ({columns})
            select {values} from wanted cross join lateral jsonb_populate_record(null::{table}, wanted.after) as new
            returning id
        )
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select wanted.id, :plan, 'applied', :run_id from made join wanted on wanted.row_id = made.id::text
        """),
        {"plan": plan, "run_id": run_id},
    )


def apply_updates(
    connection: Connection, plan: int, table: str, columns: tuple[str, ...], run_id: str | None, key: str = "id"
) -> None:
    """Change the plan's rows of one table, where they still are as they were."""
    name, key_type = _quoted_table(table), _key_type(connection, table, key)
    connection.execute(
        text(f"""
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select wanted.id, :plan, 'already', :run_id
        from fm_migration.planned_change as wanted
        join {name} as target on target.{_quoted(key)} = wanted.row_id::{key_type}
        where plan_id = :plan and table_name = :table and action = 'update' and to_jsonb(target) @> wanted.after
        """),
        {"plan": plan, "table": table, "run_id": run_id},
    )
    connection.execute(
        text(f"""
        with wanted as (
            select id, row_id::{key_type} as row_id, before, after from fm_migration.planned_change as wanted
            where plan_id = :plan and table_name = :table and action = 'update'
              and not exists (select from fm_migration.change where change.planned_id = wanted.id)
        ), done as (
            update {name} as target set {_assignments(columns, "after")}
            from wanted cross join lateral jsonb_populate_record(null::{name}, wanted.after) as new
            where target.{_quoted(key)} = wanted.row_id and to_jsonb(target) @> wanted.before
            returning wanted.id
        )
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select id, :plan, 'applied', :run_id from done
        """),
        {"plan": plan, "table": table, "run_id": run_id},
    )


def record_overtaken(connection: Connection, plan: int, run_id: str | None) -> None:
    """Whatever of the plan was not done by now, somebody was faster."""
    connection.execute(
        text("""
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select id, :plan, 'overtaken', :run_id from fm_migration.planned_change as planned
        where plan_id = :plan and not exists (select from fm_migration.change where planned_id = planned.id)
        """),
        {"plan": plan, "run_id": run_id},
    )


def undo_updates(connection: Connection, plan: int, table: str, columns: tuple[str, ...], key: str = "id") -> None:
    """Put back what the plan changed in one table, where nobody has changed it since."""
    name, key_type = _quoted_table(table), _key_type(connection, table, key)
    connection.execute(
        text(f"""
        with wanted as (
            {_UNDOABLE.format(columns=f"planned.row_id::{key_type} as row_id, planned.before, planned.after")}
              and planned.table_name = :table and planned.action = 'update'
        ), done as (
            update {name} as target set {_assignments(columns, "before")}
            from wanted cross join lateral jsonb_populate_record(null::{name}, wanted.before) as new
            where target.{_quoted(key)} = wanted.row_id and to_jsonb(target) @> wanted.after
            returning wanted.id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from done where change.id = done.id
        """),
        {"plan": plan, "table": table},
    )


def undo_inserts(connection: Connection, plan: int, table: str, keep_if: str = "false") -> None:
    """Take the plan's new rows of one table out again, where nobody has changed them or hung something on them."""
    connection.execute(
        text(f"""
        with wanted as (
            {_UNDOABLE.format(columns="planned.row_id::uuid as row_id, planned.after")}
              and planned.table_name = '{table}' and planned.action = 'insert'
        ), done as (
            delete from {table} as target using wanted
            where target.id = wanted.row_id and to_jsonb(target) @> wanted.after and not ({keep_if})
            returning wanted.id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from done where change.id = done.id
        """),
        {"plan": plan},
    )


_UNDOABLE = """
            select change.id, {columns}
            from fm_migration.change
            join fm_migration.planned_change as planned on planned.id = change.planned_id
            where change.plan_id = :plan and change.outcome = 'applied' and change.undone_at is null
"""


def _assignments(columns: tuple[str, ...], values: str) -> str:
    return ", ".join(
        f"{_quoted(column)} = case when wanted.{values} ? '{column}' then new.{_quoted(column)} "
        f"else target.{_quoted(column)} end"
        for column in columns
    )


def _key_type(connection: Connection, table: str, key: str) -> str:
    query = text("""
    select format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = cast(:table as regclass) and attname = :key
    """)
    return str(connection.execute(query, {"table": _quoted_table(table), "key": key}).scalar_one())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted_table(name: str) -> str:
    return ".".join(_quoted(part) for part in name.split("."))
