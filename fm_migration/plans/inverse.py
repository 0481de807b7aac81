"""A plan taken back: by the inverse plan, which is applied like every other.

What somebody has changed since stays and is named. Doing it twice does nothing the second time; what stood in the way
the first time and is out of it is then put back too. An undo can itself be undone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.errors import DatabaseError
from fm_migration.plans import life, locks
from fm_migration.plans.applying import carry_out, outcome, trace
from fm_migration.plans.kinds import UNDO, PlanRow

#: The values before may hold more than was changed, which were conditions only.
_REVERSE = text("""
insert into fm_migration.planned_change
    (plan_id, table_name, row_id, column_name, action, before, after, reason, reverses)
select :undo, table_name, row_id, column_name,
       case action when 'insert' then 'delete' when 'delete' then 'insert' else 'update' end, after,
       case when action = 'update'
            then before - array(select name from jsonb_object_keys(before) as name where not after ? name)
            else before end,
       'undo of plan ' || plan_id, id
from fm_migration.planned_change
where plan_id = :plan and outcome = 'applied' and undone_at is null
  and table_name <> all (cast(:apart as text[]))
order by id
""")
#: A row of which a column could not go back is overtaken: the next undo tries again.
_MARK = text("""
update fm_migration.planned_change as original
set undone_at = case when reversal.whole then now() end,
    undo_outcome = case when reversal.whole then 'restored' else 'overtaken' end
from (
    select reversal.reverses, reversal.outcome <> 'overtaken' and not (
               reversal.action = 'update' and exists (
                   select from jsonb_object_keys(taken_back.after) as name
                   where taken_back.before ? name and not reversal.after ? name)
           ) as whole
    from fm_migration.planned_change as reversal
    join fm_migration.planned_change as taken_back on taken_back.id = reversal.reverses
    where reversal.plan_id = :undo
) as reversal
where original.id = reversal.reverses
""")
#: What is in force again because its undo was taken back.
_REVIVE = text("""
update fm_migration.planned_change as original set undone_at = null, undo_outcome = null
from fm_migration.planned_change as undone
where undone.plan_id = :plan and undone.undo_outcome = 'restored' and original.id = undone.reverses
""")
#: Rows of which a part could go back.
_IN_PART = text("""
select count(*) from fm_migration.planned_change as reversal
join fm_migration.planned_change as original on original.id = reversal.reverses
where reversal.plan_id = :undo and reversal.outcome = 'applied' and original.undo_outcome = 'overtaken'
""")
_REVIVE_PLAN = text("update fm_migration.link_plan set undone_at = null where id = :plan")
_UNDONE = text("update fm_migration.link_plan set undone_at = coalesce(undone_at, now()) where id = :plan")
_LEFT = text("""
select distinct table_name, row_id from fm_migration.planned_change
where plan_id = :plan and outcome = 'applied' and undo_outcome = 'overtaken' order by 1, 2
""")


@dataclass(frozen=True)
class Undone:
    """The rows that an undo has put back, and those that somebody has changed since: of these what is untouched."""

    plan: int
    restored: int
    left: tuple[str, ...]
    #: The plan of the undo itself, which can be taken back too; None when nothing was to do.
    by: int | None = None


def undo(connection: Connection, plan_id: int, *, run_id: str | None = None) -> Undone:
    """Put back every before-image that nobody has changed since, in the caller's transaction."""
    descent = trace(connection, plan_id)
    locks.lock(connection, descent.locked)
    plan = life.find_plan(connection, plan_id)
    refuse_pruned(plan)
    by = _open(connection, plan, run_id)
    reversals = connection.execute(_REVERSE, {"undo": by, "plan": plan_id, "apart": descent.apart}).rowcount
    life.analyze_many(connection, reversals)
    changed = _carry_out(connection, plan, by, run_id) if reversals else 0
    in_part: int = connection.execute(_IN_PART, {"undo": by}).scalar_one()
    connection.execute(_UNDONE, {"plan": plan_id})
    if not changed:
        life.forget_plan(connection, by)
    left = tuple(f"{row.table_name} {row.row_id}" for row in connection.execute(_LEFT, {"plan": plan_id}))
    return Undone(plan_id, changed - in_part, left, by if changed else None)


def begin_undo(connection: Connection, plan_id: int, run_id: str | None = None) -> int:
    """An inverse plan, for what is taken back one change at a time (`recording.py`)."""
    plan = life.find_plan(connection, plan_id)
    refuse_pruned(plan)
    by = _open(connection, plan, run_id)
    life.finish_applied(connection, by, counts={}, run_id=run_id)
    return by


def _open(connection: Connection, plan: PlanRow, run_id: str | None) -> int:
    readings = {name: plan[name] for name in ("export_read_id", "snapshot_id", "patient_read_id")}
    return life.open_plan(connection, UNDO, inputs=f"plan {plan['id']}", undoes=plan["id"], run_id=run_id, **readings)


def refuse_pruned(plan: PlanRow) -> None:
    """Stop where the journal does not know any more how it was before."""
    if plan["pruned_at"] is not None:
        raise DatabaseError(
            "undoing",
            f"plan {plan['id']}",
            f"its changes were dropped from the journal on {plan['pruned_at']:%Y-%m-%d}",
            "Put right by hand what is wrong; FM_JOURNAL_DAYS says how long changes are kept",
        )


def _carry_out(connection: Connection, plan: PlanRow, by: int, run_id: str | None) -> int:
    """Apply the inverse plan and mark what it has taken back; how many rows it has changed."""
    carry_out(connection, by, trace(connection, by), run_id)
    # How many changes there are is told by the changes: objects may follow.
    life.finish_applied(connection, by, counts={}, run_id=run_id)
    connection.execute(_MARK, {"undo": by})
    if plan["undoes"] is not None:
        connection.execute(_REVIVE, {"plan": plan["id"]})
        connection.execute(_REVIVE_PLAN, {"plan": plan["undoes"]})
    return outcome(connection, life.find_plan(connection, by)).applied
