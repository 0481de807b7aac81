"""Changes that are journalled as they are made, without a plan that waits for somebody.

Belongs here: links that follow their patients, many rows in one statement; and what others than the database carry
out, one change at a time. Does not belong here: what is planned first (`applying.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from fm_migration.plans.rules import quoted

_OUTCOME = text("""
update fm_migration.planned_change set outcome = :outcome, applied_at = now(), run_id = :run_id where id = :id
""")
_REVERSED = text("""
insert into fm_migration.planned_change
    (plan_id, table_name, row_id, column_name, action, before, after, reason, reverses, outcome, applied_at, run_id)
select :undo, table_name, row_id, column_name,
       case action when 'insert' then 'delete' when 'delete' then 'insert' else 'update' end, after, before,
       'undo of plan ' || plan_id, id, case when :restored then 'applied' else 'overtaken' end, now(), :run_id
from fm_migration.planned_change where id = :id
""")
_MARK_REVERSED = text("""
update fm_migration.planned_change
set undo_outcome = case when :restored then 'restored' else 'overtaken' end,
    undone_at = case when :restored then now() end
where id = :id
""")


def apply_and_record(
    connection: Connection,
    plan_id: int,
    *,
    table: str,
    column: str,
    key: str,
    wanted: str,
    reason: str,
    parameters: Mapping[str, Any] | None = None,
    remembered: bool = False,
    run_id: str | None = None,
) -> int:
    """Lead the links of one column elsewhere and journal it, in one statement; how many there were.

    `wanted` is a query for the `key` of a row, what stands in the column (`former`) and what shall (`present`). A row
    in which something else stands by now is left. With `remembered`, what we wrote last moves along where it was the
    same.
    """
    facts = {
        **(parameters or {}), "plan": plan_id, "table": table, "column": column, "reason": reason, "run_id": run_id,
    }  # fmt: skip
    statement = f"""
        with wanted as ({wanted}), done as (
            update {table} as target set {quoted(column)} = wanted.present
            from wanted
            where target.{quoted(key)} = wanted.key and target.{quoted(column)} = wanted.former
            returning target.{quoted(key)}::text as row_id, to_jsonb(wanted.former) as former,
                      to_jsonb(wanted.present) as present
        ){_MOVE_ALONG if remembered else ""}
        insert into fm_migration.planned_change
            (plan_id, table_name, row_id, column_name, action, before, after, reason, outcome, applied_at, run_id,
             remembered)
        select :plan, :table, done.row_id, :column, 'update', jsonb_build_object(cast(:column as text), done.former),
               jsonb_build_object(cast(:column as text), done.present), :reason, 'applied', now(), :run_id,
               {_REMEMBERED if remembered else "null from done"}
    """
    return connection.execute(text(statement), facts).rowcount


def record_outcome(connection: Connection, change: int, outcome: str, run_id: str | None) -> None:
    """What became of one change that the database does not carry out."""
    connection.execute(_OUTCOME, {"id": change, "outcome": outcome, "run_id": run_id})


def record_reversed(connection: Connection, undo: int, change: int, restored: bool, run_id: str | None) -> None:
    """Under the plan of an undo: that one such change was taken back, or is somebody else's by now."""
    connection.execute(_REVERSED, {"undo": undo, "id": change, "restored": restored, "run_id": run_id})
    connection.execute(_MARK_REVERSED, {"id": change, "restored": restored})


_MOVE_ALONG = """, moved as (
            update fm_migration.last_written as known
            set written = jsonb_set(known.written, array[cast(:column as text)], done.present)
            from done
            where known.table_name = :table and known.row_id = done.row_id
              and known.written -> cast(:column as text) = done.former
        )"""
_REMEMBERED = """case when known.written ? cast(:column as text)
                    then jsonb_build_object(cast(:column as text), known.written -> cast(:column as text)) end
        from done
        left join fm_migration.last_written as known on known.table_name = :table and known.row_id = done.row_id
        """
