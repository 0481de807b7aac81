"""What we last wrote into a row: kept beside the row, in the same transaction, and put back by an undo.

Only of columns that a domain's rules name. A row that follows its patient to a new UUID is not a decision of ours about
whose it is: what was remembered moves along if it was the same, and stays if it was not.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from fm_migration.plans.rules import TableRules

_OF_PLAN = "wanted.plan_id = :plan and wanted.table_name = :table and wanted.column_name = :column"
_DONE = "wanted.outcome in ('applied', 'already')"
_SAME_ROW = "known.table_name = wanted.table_name and known.row_id = wanted.row_id"


def remembered(rules: TableRules) -> str:
    """SQL for what is known of the columns that `wanted` changes, before it does."""
    known = _slice(rules, "case when {changed} then known.written -> '{column}' end")
    return f"(select {known} from fm_migration.last_written as known where {_SAME_ROW})" if rules.remembered else "null"


def remember(connection: Connection, rules: TableRules, plan: int, column: str) -> None:
    """Keep what a plan has written into one table."""
    wrote = _slice(rules, "wanted.after -> '{column}'")
    led = _slice(
        rules, "case when known.written -> '{column}' = wanted.before -> '{column}' then wanted.after -> '{column}' end"
    )
    statements = (
        f"""
        update fm_migration.last_written as known set written = known.written || {led}
        from fm_migration.planned_change as wanted
        where {_OF_PLAN} and wanted.action = 'update' and wanted.outcome = 'applied' and ({rules.follows})
          and {_SAME_ROW} and {led} <> '{{}}'
        """,
        f"""
        insert into fm_migration.last_written as known (table_name, row_id, written)
        select wanted.table_name, wanted.row_id, {wrote} from fm_migration.planned_change as wanted
        where {_OF_PLAN} and {_DONE} and wanted.action <> 'delete' and not ({rules.follows}) and {wrote} <> '{{}}'
        on conflict (table_name, row_id) do update set written = known.written || excluded.written
        """,
        f"""
        delete from fm_migration.last_written as known using fm_migration.planned_change as wanted
        where {_OF_PLAN} and {_DONE} and wanted.action = 'delete' and {_SAME_ROW}
        """,
    )
    _run(connection, statements, rules, plan, column)


def recall(connection: Connection, rules: TableRules, plan: int, column: str) -> None:
    """Put back what was known before the changes that an undo has reversed."""
    of_undo = f"""
        fm_migration.planned_change as wanted
        join fm_migration.planned_change as original on original.id = wanted.reverses
        where {_OF_PLAN} and {_DONE}
    """
    # A column that could not go back is still as we last wrote it, or somebody's.
    remembered = """
        (original.remembered - array(select name from jsonb_object_keys(original.after) as name
                                     where wanted.action = 'update' and not wanted.after ? name))
    """
    names = ", ".join(f"case when {_changed(name)} then '{name}' end" for name in rules.remembered)
    statements = (
        f"""
        update fm_migration.last_written as known
        set written = (known.written - array_remove(array[{names}], null)) || coalesce({remembered}, '{{}}')
        from {of_undo} and {_SAME_ROW}
        """,
        f"""
        insert into fm_migration.last_written (table_name, row_id, written)
        select wanted.table_name, wanted.row_id, {remembered}
        from {of_undo} and {remembered} <> '{{}}'
        on conflict do nothing
        """,
        f"""
        delete from fm_migration.last_written as known using fm_migration.planned_change as wanted
        where {_OF_PLAN} and {_SAME_ROW} and known.written = '{{}}'
        """,
    )
    _run(connection, statements, rules, plan, column)


def _slice(rules: TableRules, value: str) -> str:
    """A JSON object of the remembered columns, without those whose value is null."""
    pairs = (f"'{name}', {value.format(column=name, changed=_changed(name))}" for name in rules.remembered)
    return f"jsonb_strip_nulls(jsonb_build_object({', '.join(pairs)}))"


def _changed(column: str) -> str:
    return f"(wanted.action <> 'update' or wanted.after ? '{column}')"


def _run(connection: Connection, statements: tuple[str, ...], rules: TableRules, plan: int, column: str) -> None:
    if rules.remembered:
        for statement in statements:
            connection.execute(text(statement), {"plan": plan, "table": rules.table, "column": column})
