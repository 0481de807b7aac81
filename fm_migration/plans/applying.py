"""The changes of a plan put into the tables, set by set: the only code that writes planned changes there.

Each planned change carries the changed columns as they were and as they shall be. A row is changed only if it still is
as it was when the plan was made; what somebody has edited since stays, and is on record as overtaken. An undo is a
plan like every other and comes this way too, with the guards of the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from fm_migration.errors import DatabaseError
from fm_migration.plans import life, locks, written
from fm_migration.plans.kinds import UNDO, PlanKind, PlanRow, kind_of
from fm_migration.plans.rules import TableRules, of_column, quoted

#: The values before and after are wide: with PostgreSQL's usual 4 MB a first import goes through its disk.
MEMORY = "128MB"

_DESCENT = text("select kind, undoes from fm_migration.link_plan where id = :plan")
_UNITS = text("""
select table_name, column_name, array_agg(distinct action) as actions from fm_migration.planned_change
where plan_id = :plan and outcome is null group by 1, 2 order by 1, 2
""")
_OVERTAKEN = text("""
update fm_migration.planned_change set outcome = 'overtaken', applied_at = now(), run_id = :run_id
where plan_id = :plan and outcome is null and table_name <> all (cast(:apart as text[]))
""")
_OUTCOMES = text("""
select outcome, count(*) as rows from fm_migration.planned_change
where plan_id = :plan and outcome is not null group by 1
""")
_OVERTAKEN_ROWS = text("""
select distinct table_name, row_id from fm_migration.planned_change
where plan_id = :plan and outcome = 'overtaken' order by 1, 2 limit 100
""")
_KEY_TYPE = text("""
select format_type(atttypid, atttypmod) from pg_attribute
where attrelid = cast(:table as regclass) and attname = :column
""")
_PRIMARY_KEY = text("""
select key.attname from pg_index as index
join pg_attribute as key on key.attrelid = index.indrelid and key.attnum = index.indkey[0]
where index.indrelid = to_regclass(:table) and index.indisprimary and index.indnatts = 1
""")
#: Referred to by the statements below; filled by the rules that remove rows.
_REFERRED = text("create temporary table if not exists referred (id text primary key) on commit drop")
_NOT_REFERRED = "not exists (select from referred where referred.id = wanted.row_id)"


@dataclass(frozen=True)
class Applied:
    """What became of a plan."""

    plan: int
    applied: int
    already: int
    overtaken: int
    overtaken_rows: tuple[str, ...]
    #: The versions of what the plan was made from.
    inputs: str


@dataclass(frozen=True)
class Descent:
    """Whose rules hold for a plan: an undo goes by those of the plan that it takes back, in the other direction."""

    kind: PlanKind
    backward: bool
    #: The plan that all of it goes back to.
    origin: int
    #: The plan that this one takes back.
    undoes: int | None

    @property
    def locked(self) -> list[str]:
        return [rules.table for rules in self.kind.tables if rules.locked]

    @property
    def apart(self) -> list[str]:
        return [rules.table for rules in self.kind.tables if rules.apart]


@dataclass(frozen=True)
class _Unit:
    """The changes of a plan to one table, or to one link column of it."""

    rules: TableRules
    column: str
    actions: tuple[str, ...]


def apply(
    connection: Connection,
    plan_id: int,
    *,
    approve: str | None = None,
    run_id: str | None = None,
    kind: str | None = None,
) -> Applied:
    """Apply a plan in the caller's transaction, if it is of this kind. One that was applied already changes nothing."""
    descent = trace(connection, plan_id)
    locks.lock(connection, descent.locked)
    plan = life.find_plan(connection, plan_id, kind)
    if plan["applied_at"] is None:
        life.refuse_used(plan, descent.kind.remedy)
        life.refuse_unapproved(plan, approve)
        descent.kind.before(connection, plan, run_id)
        carry_out(connection, plan_id, descent, run_id)
        life.mark_applied(connection, plan_id, run_id)
        descent.kind.after(connection, plan, run_id)
    return outcome(connection, plan)


def trace(connection: Connection, plan_id: int) -> Descent:
    """Follow an undo to the plan that it takes back, and so on."""
    origin, backward, undoes = plan_id, False, None
    while True:
        row = connection.execute(_DESCENT, {"plan": origin}).one_or_none()
        if row is None:
            raise life.no_such_plan(origin)
        if row.kind != UNDO:
            return Descent(kind_of(row.kind), backward, origin, undoes)
        undoes = undoes or row.undoes
        origin, backward = row.undoes, not backward


def carry_out(connection: Connection, plan_id: int, descent: Descent, run_id: str | None) -> None:
    """Do what is planned and not done yet; what can not be done any more is on record as overtaken."""
    connection.execute(text(f"set local work_mem = '{MEMORY}'"))
    units = list(_units(connection, plan_id, descent.kind))
    update = _update if descent.undoes is None else _put_back
    parameters = {"plan": plan_id, "origin": descent.origin, "run_id": run_id}
    if any("delete" in unit.actions for unit in units):
        _list_referred(connection, units)
    for action, order, steps in (
        ("insert", units, _insert),
        ("update", units[::-1], update),
        ("delete", units[::-1], _delete),
    ):
        for unit in order:
            if action in unit.actions:
                _do(connection, unit, steps, descent.backward, parameters)
    for unit in units:
        keep = written.recall if descent.undoes else written.remember
        keep(connection, unit.rules, plan_id, unit.column)
    connection.execute(_OVERTAKEN, {"plan": plan_id, "run_id": run_id, "apart": descent.apart})
    _derive(connection, plan_id, descent)


def outcome(connection: Connection, plan: PlanRow) -> Applied:
    """What the journal says of a plan."""
    plan_id: int = plan["id"]
    rows: dict[str, int] = {row.outcome: row.rows for row in connection.execute(_OUTCOMES, {"plan": plan_id})}
    left = tuple(f"{row.table_name} {row.row_id}" for row in connection.execute(_OVERTAKEN_ROWS, {"plan": plan_id}))
    applied, already, overtaken = (rows.get(name, 0) for name in ("applied", "already", "overtaken"))
    return Applied(plan_id, applied, already, overtaken, left, plan["inputs"])


def key_type(connection: Connection, table: str, column: str) -> str:
    """The type of a column as SQL writes it."""
    return str(connection.execute(_KEY_TYPE, {"table": table, "column": column}).scalar_one())


# --- whose rules ------------------------------------------------------------------------------------------------------


def _units(connection: Connection, plan_id: int, kind: PlanKind) -> Iterator[_Unit]:
    """What a plan still has to do, in the order of the references between its tables; links of other tables last."""
    order = [rules.table for rules in kind.tables]
    rows = connection.execute(_UNITS, {"plan": plan_id}).all()
    for row in sorted(rows, key=lambda row: order.index(row.table_name) if row.table_name in order else len(order)):
        rules = _rules_of(connection, kind, row.table_name, row.column_name)
        if not rules.apart:
            yield _Unit(rules, row.column_name, tuple(row.actions))


def _rules_of(connection: Connection, kind: PlanKind, table: str, column: str) -> TableRules:
    rules = kind.rules_of(table)
    if rules is not None:
        return replace(rules, changeable=(column,)) if column else rules
    key: str | None = connection.execute(_PRIMARY_KEY, {"table": table}).scalar()
    if not column or key is None:
        raise DatabaseError(
            "changing",
            table,
            "it is not there any more" if column else f"a plan of {kind.name} may not change it",
            "Run `fm-migration doctor`; if it finds nothing wrong, this is a fault of fm_migration",
        )
    return of_column(table, column, key)


def _list_referred(connection: Connection, units: list[_Unit]) -> None:
    connection.execute(_REFERRED)
    for unit in units:
        if "delete" in unit.actions and unit.rules.list_referred:
            unit.rules.list_referred(connection)
            return


def _derive(connection: Connection, plan_id: int, descent: Descent) -> None:
    """Correct what follows from the rows that were written."""
    parameters = {"plan": plan_id, "undone": descent.undoes}
    for rules in descent.kind.tables:
        for statement in rules.derive_back if descent.backward else rules.derive:
            used = {name: value for name, value in parameters.items() if f":{name}" in statement}
            connection.execute(text(statement), used)


# --- the statements ---------------------------------------------------------------------------------------------------

_Steps = Callable[[TableRules, bool, dict[str, str]], Iterator[str]]


def _do(
    connection: Connection, unit: _Unit, steps: _Steps, backward: bool, parameters: dict[str, int | str | None]
) -> None:
    """One kind of change to one table: those that can be made, then those that somebody has made already."""
    rules = unit.rules
    types = {column: key_type(connection, rules.table, column) for column in rules.key}
    for statement in steps(rules, backward, types):
        facts = {**parameters, "table": rules.table, "column": unit.column}
        used = {name: value for name, value in facts.items() if f":{name}" in statement}
        connection.execute(text(statement), used)


def _insert(rules: TableRules, backward: bool, types: dict[str, str]) -> Iterator[str]:
    names = [quoted(name) for name in (*rules.insertable, *rules.filled)]
    values = [*(f"new.{quoted(name)}" for name in rules.insertable), *rules.filled.values()]
    # What was deleted comes back with every column that it had.
    into, of_row = ("", "new.*") if backward else (f"({', '.join(names)})", ", ".join(values))
    there = f"select from {rules.table} as target where {_same_row(rules, types, 'after')}"
    planned_keys = ", ".join(_key_text(rules, key, "after") for key in rules.key)
    made_keys = ", ".join(f"made.{quoted(key)}::text" for key in rules.key)
    keys = ", ".join(quoted(key) for key in rules.key)
    # Whether the key is free is left to the table's own constraints: a look-up in a table that this statement fills,
    # and of which nobody has statistics yet, would be done row by row.
    yield f"""
        with {rules.given} wanted as ({_wanted("insert", backward)}), made as (
            insert into {rules.table} {into}
            select {of_row}
            from wanted cross join lateral jsonb_populate_record(null::{rules.table}, wanted.after) as new
            where {rules.guards(backward).insert}
            on conflict do nothing returning {keys}
        ), done as (
            -- `is true`: looked up by their hash. Joined, each would be compared with each, as the planner expects one.
            select wanted.id from wanted where (({planned_keys}) in (select {made_keys} from made)) is true
        )
        {_record(rules, "applied")}
    """
    yield f"""
        with wanted as ({_wanted("insert", backward)}), done as (
            select wanted.id from wanted
            where exists ({there} and to_jsonb(target) @> {_own("wanted.after", rules)})
        )
        {_record(rules, "already")}
    """


def _update(rules: TableRules, backward: bool, types: dict[str, str]) -> Iterator[str]:
    state = _state(rules)
    yield f"""
        with {rules.given} wanted as ({_wanted("update", backward)}), done as (
            update {rules.table} as target set {_assignments(rules)}
            from wanted cross join lateral jsonb_populate_record(null::{rules.table}, wanted.after) as new
            where {_same_row(rules, types, "after")} and {state} @> {_own("wanted.before", rules)}
              and not {state} @> wanted.after and {rules.guards(backward).update}
            returning wanted.id
        )
        {_record(rules, "applied")}
    """
    yield f"""
        with wanted as ({_wanted("update", backward)}), done as (
            select wanted.id from wanted join {rules.table} as target on {_same_row(rules, types, "after")}
            where {state} @> wanted.after
        )
        {_record(rules, "already")}
    """


def _put_back(rules: TableRules, backward: bool, types: dict[str, str]) -> Iterator[str]:
    """An undo restores whatever nobody else has touched: of a row that cannot go back whole, the columns that can."""
    whole, already = _update(rules, backward, types)
    yield from (whole, already)
    yield _narrow(rules, backward, types)
    yield whole


def _narrow(rules: TableRules, backward: bool, types: dict[str, str]) -> str:
    """Take from the rows that are left the columns that cannot go back. Those that are back already count as done."""
    state = _state(rules)
    return f"""
        with {rules.given} planned as ({_wanted("update", backward)}), parts as (
            select planned.id, planned.row_id, planned.column_name, planned.reason, planned.written_at,
                   part.key as name,
                   jsonb_build_object(part.key, planned.before -> part.key) as before,
                   jsonb_build_object(part.key, part.value) as after
            from planned cross join lateral jsonb_each(planned.after) as part
        ), judged as (
            select wanted.id, wanted.name, wanted.before, wanted.after, {state} @> wanted.after as already,
                   {state} @> {_own("wanted.before", rules)} and {rules.guards(backward).update} as possible
            from parts as wanted join {rules.table} as target on {_same_row(rules, types, "after")}
            cross join lateral jsonb_populate_record(null::{rules.table}, wanted.after) as new
        ), narrowed as (
            select id, jsonb_object_agg(name, (case when already then after else before end) -> name) as before,
                   jsonb_object_agg(name, after -> name) as after
            from judged where already or possible group by id having bool_or(possible and not already)
        )
        update fm_migration.planned_change as wanted set before = narrowed.before, after = narrowed.after
        from narrowed where wanted.id = narrowed.id
    """


def _delete(rules: TableRules, backward: bool, types: dict[str, str]) -> Iterator[str]:
    same = _same_row(rules, types, "before")
    yield f"""
        with {rules.given} wanted as ({_wanted("delete", backward)}), done as (
            delete from {rules.table} as target using wanted
            where {same} and to_jsonb(target) @> {_own("wanted.before", rules)}
              and {_NOT_REFERRED} and {rules.guards(backward).delete}
            returning wanted.id
        )
        {_record(rules, "applied")}
    """
    yield f"""
        with wanted as ({_wanted("delete", backward)}), done as (
            select wanted.id from wanted where not exists (select from {rules.table} as target where {same})
        )
        {_record(rules, "already")}
    """


def _wanted(action: str, backward: bool) -> str:
    """What is planned and not done yet. Of what an undo takes back, also when it was written."""
    written_at, original = "null::timestamptz", ""
    if backward:
        written_at = "original.applied_at"
        original = "join fm_migration.planned_change as original on original.id = planned.reverses"
    return f"""
            select planned.id, planned.row_id, planned.column_name, planned.before, planned.after, planned.reason,
                   {written_at} as written_at
            from fm_migration.planned_change as planned {original}
            where planned.plan_id = :plan and planned.table_name = :table and planned.column_name = :column
              and planned.action = '{action}' and planned.outcome is null
    """


def _record(rules: TableRules, how: str) -> str:
    return f"""
        update fm_migration.planned_change as wanted
        set outcome = '{how}', applied_at = now(), run_id = :run_id, remembered = {written.remembered(rules)}
        from done where wanted.id = done.id
    """


def _state(rules: TableRules) -> str:
    """What a row holds now in the columns that may be changed."""
    columns = (f"'{column}', target.{quoted(column)}" for column in rules.changeable)
    return f"jsonb_build_object({', '.join(columns)})"


def _same_row(rules: TableRules, types: dict[str, str], values: str) -> str:
    return " and ".join(f"target.{quoted(key)} = ({_key_text(rules, key, values)})::{types[key]}" for key in rules.key)


def _key_text(rules: TableRules, key: str, values: str) -> str:
    """A row that is known by one column carries it as its id, else its values name it."""
    return "wanted.row_id" if len(rules.key) == 1 else f"wanted.{values} ->> '{key}'"


def _assignments(rules: TableRules) -> str:
    """Set what the plan sets. The values before may hold more, which are conditions only.

    What follows from other columns is set where nobody has changed it since; elsewhere it is derived anew.
    """
    return ", ".join(f"{quoted(name)} = case when {_sets(rules, name)} then new.{quoted(name)} "
                     f"else target.{quoted(name)} end" for name in rules.changeable)  # fmt: skip


def _sets(rules: TableRules, name: str) -> str:
    as_it_was = f" and to_jsonb(target.{quoted(name)}) = wanted.before -> '{name}'" if name in rules.derived else ""
    return f"wanted.after ? '{name}'{as_it_was}"


def _own(values: str, rules: TableRules) -> str:
    """Those of a row's values that have to be found unchanged."""
    derived = "".join(f" - '{column}'" for column in rules.derived)
    return f"({values}{derived})"
