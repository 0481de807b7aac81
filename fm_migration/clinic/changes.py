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
        "date_taken", "filemaker_id", "s3_key",
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

#: Columns that follow from others, or from the object alone. A difference in them is nobody's edit.
DERIVED: dict[str, tuple[str, ...]] = {
    "images_batch": ("image_count",),
    "images_image": ("s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type"),
}

#: Batches that still belong to whom they did when the plan was made: a photograph goes into no other one.
_HOMES = """
        homes as materialized (
            select batch.id from fm_migration.planned_change as planned
            join images_batch as batch on batch.id = planned.row_id::uuid
            where planned.plan_id = :plan and planned.table_name = 'images_batch'
              and batch.object_id::text = coalesce(planned.before, planned.after) ->> 'object_id'
        ),
"""
#: What must still be so for a new row to go in, beside that its id is free.
_INSERT_ALLOWED = {
    "images_batch": "true",
    "images_image": """
        (wanted.after ->> 'batch_id')::uuid in (select id from homes)
        and not exists (select from images_image as other
                        where other.filemaker_id = (wanted.after ->> 'filemaker_id')::uuid)
    """,
}
#: What must still be so for a row to be changed, beside that it is as it was.
_UPDATE_ALLOWED = {
    "images_image": """
        (not wanted.after ? 'batch_id' or (wanted.after ->> 'batch_id')::uuid in (select id from homes))
        and not exists (select from images_image as other
                        where other.filemaker_id = (wanted.after ->> 'filemaker_id')::uuid)
        and case when wanted.after ? 's3_key' then wanted.after ->> 's3_key' not in (select s3_key from images_image)
                      and exists (select from fm_migration.s3_inventory as object
                                  where object.key = wanted.after ->> 's3_key' and object.vanished is null)
                 else true end
    """,
}
#: What must still be so for a row to be removed, beside that it is as it was and that nothing refers to it.
_DELETE_ALLOWED = {
    "images_image": """
        exists (select from images_image as kept where kept.id = (wanted.after ->> 'kept')::uuid)
        and not exists (select from fm_migration.photo where photo.clinic_image = target.id)
    """,
    "images_batch": "not exists (select from images_image as image where image.batch_id = target.id)",
}
#: What must be so for a row that was removed to be made again, beside that its id is free.
_RESTORE_ALLOWED = {
    "images_image": """
        exists (select from images_batch as batch where batch.id = (wanted.before ->> 'batch_id')::uuid)
        and not exists (select from images_image as other
                        where other.filemaker_id = (wanted.before ->> 'filemaker_id')::uuid)
    """,
    "images_batch": "true",
}
#: What must still be so for a row to be put back. An image cannot go back into a batch that was deleted, and a batch
#: into which somebody has uploaded since would take that picture along.
_UNDO_ALLOWED = {
    "images_image": """
        (not wanted.before ? 'batch_id'
         or exists (select from images_batch as former where former.id = (wanted.before ->> 'batch_id')::uuid))
    """,
    "images_batch": """
        (not wanted.after ? 'object_id' or not exists (
            select from images_image as image
            where image.batch_id = target.id and image.uploaded_at > wanted.applied_at
              and not exists (select from fm_migration.planned_change as own
                              where own.row_id = image.id::text and own.action = 'insert')))
    """,
}


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


def apply_inserts(connection: Connection, plan: int, table: str, run_id: str | None) -> None:
    """Insert the plan's new rows of one table."""
    columns = ", ".join(_quoted(column) for column in INSERTABLE[table])
    values = ", ".join(f"new.{_quoted(column)}" for column in INSERTABLE[table])
    connection.execute(
        text(f"""
        with {_HOMES} wanted as (
            select id, row_id, after from fm_migration.planned_change as wanted
            where plan_id = :plan and table_name = '{table}' and action = 'insert' and {_INSERT_ALLOWED[table]}
              and not exists (select from {table} as other where other.id = (wanted.after ->> 'id')::uuid)
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
    key_type = _key_type(connection, table, key)
    connection.execute(
        text(f"""
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select wanted.id, :plan, 'already', :run_id
        from fm_migration.planned_change as wanted
        join {table} as target on target.{_quoted(key)} = wanted.row_id::{key_type}
        where plan_id = :plan and table_name = :table and action = 'update' and to_jsonb(target) @> wanted.after
          and not exists (select from fm_migration.change where change.planned_id = wanted.id)
        """),
        {"plan": plan, "table": table, "run_id": run_id},
    )
    connection.execute(
        text(f"""
        with {_HOMES} wanted as (
            select id, row_id::{key_type} as row_id, before, after from fm_migration.planned_change as wanted
            where plan_id = :plan and table_name = :table and action = 'update'
              and not exists (select from fm_migration.change where change.planned_id = wanted.id)
        ), done as (
            update {table} as target set {_assignments(columns)}
            from wanted cross join lateral jsonb_populate_record(null::{table}, wanted.after) as new
            where target.{_quoted(key)} = wanted.row_id and to_jsonb(target) @> {_own("wanted.before", table)}
              and {_UPDATE_ALLOWED.get(table, "true")}
            returning wanted.id
        )
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select id, :plan, 'applied', :run_id from done
        """),
        {"plan": plan, "table": table, "run_id": run_id},
    )


def apply_deletes(connection: Connection, plan: int, table: str, run_id: str | None) -> None:
    """Remove the plan's rows of one table, where they still are as they were and nothing in `referred` needs them."""
    connection.execute(
        text(f"""
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select wanted.id, :plan, 'already', :run_id from fm_migration.planned_change as wanted
        where plan_id = :plan and table_name = '{table}' and action = 'delete'
          and not exists (select from {table} as target where target.id = wanted.row_id::uuid)
        """),
        {"plan": plan, "run_id": run_id},
    )
    connection.execute(
        text(f"""
        with wanted as (
            select id, row_id::uuid as row_id, before, after from fm_migration.planned_change as wanted
            where plan_id = :plan and table_name = '{table}' and action = 'delete'
              and row_id not in (select id from referred)
        ), done as (
            delete from {table} as target using wanted
            where target.id = wanted.row_id and to_jsonb(target) @> {_own("wanted.before", table)}
              and {_DELETE_ALLOWED[table]}
            returning wanted.id
        )
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select id, :plan, 'applied', :run_id from done
        """),
        {"plan": plan, "run_id": run_id},
    )


def record_overtaken(connection: Connection, plan: int, run_id: str | None) -> None:
    """Whatever of the plan was not done by now, somebody was faster."""
    connection.execute(
        text("""
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select id, :plan, 'overtaken', :run_id from fm_migration.planned_change as planned
        where plan_id = :plan and table_name <> 'bucket'
          and not exists (select from fm_migration.change where planned_id = planned.id)
        """),
        {"plan": plan, "run_id": run_id},
    )


def recount(connection: Connection, plan: int) -> None:
    """Correct the cached counts of the plan's batches, where what somebody did meanwhile made others of them."""
    connection.execute(
        text("""
        with touched as (
            select row_id::uuid as id from fm_migration.planned_change
            where plan_id = :plan and table_name = 'images_batch'
        ), counted as (
            select touched.id, count(image.id) as images
            from touched left join images_image as image on image.batch_id = touched.id
            group by touched.id
        )
        update images_batch as batch set image_count = counted.images
        from counted where batch.id = counted.id and batch.image_count <> counted.images
        """),
        {"plan": plan},
    )


def recognise(connection: Connection, plan: int, run_id: str | None) -> None:
    """Let the history know whose the former UUIDs were that the plan has recognised by their photographs."""
    connection.execute(
        text("""
        with wanted as (
            select id, (after ->> 'filemaker_id')::uuid as filemaker_id, (after ->> 'patient_id')::uuid as patient_id
            from fm_migration.planned_change
            where plan_id = :plan and table_name = 'fm_migration.patient_identity'
        ), made as (
            insert into fm_migration.patient_identity (filemaker_id, patient_id, current, first_seen, last_seen)
            select filemaker_id, patient_id, false, now(), now() from wanted
            on conflict do nothing returning filemaker_id, patient_id
        )
        insert into fm_migration.change (planned_id, plan_id, outcome, run_id)
        select wanted.id, :plan, case when made.patient_id is null then 'already' else 'applied' end, :run_id
        from wanted left join made using (filemaker_id, patient_id)
        """),
        {"plan": plan, "run_id": run_id},
    )


def undo_recognitions(connection: Connection, plan: int) -> None:
    """Forget what only the plan's photographs have told; what a reading of the patients has confirmed since stays."""
    connection.execute(
        text(f"""
        with wanted as (
            {_UNDOABLE.format(columns="planned.after")} and planned.table_name = 'fm_migration.patient_identity'
        ), done as (
            delete from fm_migration.patient_identity as known using wanted
            where known.patient_id = (wanted.after ->> 'patient_id')::uuid
              and known.filemaker_id = (wanted.after ->> 'filemaker_id')::uuid and not known.current
            returning wanted.id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from done where change.id = done.id
        """),
        {"plan": plan},
    )


def undo_updates(connection: Connection, plan: int, table: str, columns: tuple[str, ...], key: str = "id") -> None:
    """Put back what the plan changed in these columns of a table, where nobody has changed it since.

    A plan of links changes two columns of one row by a change each, and each is put back with its own column.
    """
    own = list(columns)
    row_id = f"planned.row_id::{_key_type(connection, table, key)} as row_id"
    columns = tuple(column for column in columns if column not in DERIVED.get(table, ()))
    connection.execute(
        text(f"""
        with wanted as (
            {_UNDOABLE.format(columns=f"{row_id}, planned.before, planned.after, change.applied_at")}
              and planned.table_name = :table and planned.action = 'update'
              and (planned.after = '{{}}' or planned.after ?| cast(:own as text[]))
        ), done as (
            update {table} as target set {_assignments(columns)}
            from wanted cross join lateral jsonb_populate_record(null::{table}, wanted.before) as new
            where target.{_quoted(key)} = wanted.row_id and to_jsonb(target) @> {_own("wanted.after", table)}
              and {_UNDO_ALLOWED.get(table, "true")}
            returning wanted.id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from done where change.id = done.id
        """),
        {"plan": plan, "table": table, "own": own},
    )


def undo_deletes(connection: Connection, plan: int, table: str) -> None:
    """Make the rows again that the plan has removed, every column as it was."""
    connection.execute(
        text(f"""
        with wanted as (
            {_UNDOABLE.format(columns="planned.row_id::uuid as row_id, planned.before")}
              and planned.table_name = '{table}' and planned.action = 'delete'
        ), made as (
            insert into {table}
            select former.* from wanted cross join lateral jsonb_populate_record(null::{table}, wanted.before) as former
            where {_RESTORE_ALLOWED[table]}
              and not exists (select from {table} as other where other.id = wanted.row_id)
            returning id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from made join wanted on wanted.row_id = made.id where change.id = wanted.id
        """),
        {"plan": plan},
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
            where target.id = wanted.row_id and to_jsonb(target) @> {_own("wanted.after", table)} and not ({keep_if})
            returning wanted.id
        )
        update fm_migration.change set undone_at = now(), undo_outcome = 'restored'
        from done where change.id = done.id
        """),
        {"plan": plan},
    )


def undo_counts(connection: Connection, plan: int) -> None:
    """Put back the cached counts as they were; but count anew where the count or what hangs in the batch is another."""
    connection.execute(
        text("""
        update images_batch as batch set image_count = (planned.before ->> 'image_count')::int
        from fm_migration.planned_change as planned join fm_migration.change on change.planned_id = planned.id
        where planned.plan_id = :plan and planned.table_name = 'images_batch' and planned.action = 'update'
          and change.undone_at = now() and planned.row_id = batch.id::text
          and batch.image_count = (planned.after ->> 'image_count')::int
        """),
        {"plan": plan},
    )
    connection.execute(
        text("""
        with undone as (
            select planned.table_name, planned.row_id, planned.before, planned.after,
                   change.undone_at is null as was_left
            from fm_migration.planned_change as planned join fm_migration.change on change.planned_id = planned.id
            where planned.plan_id = :plan and change.outcome = 'applied'
              and (change.undone_at is null or change.undone_at = now())
        ), doubtful as (
            select (after ->> 'batch_id')::uuid as id from undone where table_name = 'images_image' and was_left
            union select (before ->> 'batch_id')::uuid from undone where table_name = 'images_image' and was_left
            union select row_id::uuid from undone where table_name = 'images_batch' and was_left
            union select batch.id from undone join images_batch as batch on batch.id::text = undone.row_id
                  where table_name = 'images_batch'
                    and batch.image_count <> (undone.before ->> 'image_count')::int
        ), counted as (
            select doubtful.id, count(image.id) as images
            from doubtful left join images_image as image on image.batch_id = doubtful.id
            group by doubtful.id
        )
        update images_batch as batch set image_count = counted.images
        from counted where batch.id = counted.id and batch.image_count <> counted.images
        """),
        {"plan": plan},
    )


_UNDOABLE = """
            select change.id, {columns}
            from fm_migration.change
            join fm_migration.planned_change as planned on planned.id = change.planned_id
            where change.plan_id = :plan and change.outcome = 'applied' and change.undone_at is null
"""


def _assignments(columns: tuple[str, ...]) -> str:
    """Set what the plan sets. The values before may hold more, which are conditions only."""
    return ", ".join(
        f"{_quoted(column)} = case when wanted.after ? '{column}' then new.{_quoted(column)} "
        f"else target.{_quoted(column)} end"
        for column in columns
    )


def _own(values: str, table: str) -> str:
    """Of a row's values those that have to be found unchanged."""
    derived = "".join(f" - '{column}'" for column in DERIVED.get(table, ()))
    return f"({values}{derived})"


def _key_type(connection: Connection, table: str, key: str) -> str:
    query = text("""
    select format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = cast(:table as regclass) and attname = :key
    """)
    return str(connection.execute(query, {"table": table, "key": key}).scalar_one())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
