"""A plan from its first row to its last: opened, finished with its hash and its doubts, found, approved, applied.

Belongs here: the row of `link_plan`. Does not belong here: its changes (`applying.py`, `recording.py`, `inverse.py`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from fm_migration.errors import DatabaseError, FmMigrationError
from fm_migration.ledger import NAMESPACE
from fm_migration.plans.kinds import PlanRow

#: From so many rows on, working by statistics of yesterday takes longer than gathering new ones. A plan is applied at
#: once, and joined with itself; what is taken for one row is then compared row by row.
MANY_CHANGES = 500

_OPEN = text("""
insert into fm_migration.link_plan
    (kind, hash, export_read_id, snapshot_id, patient_read_id, inputs, photo_limit, counts, doubts, run_id, undoes)
values (:kind, '', :export_read_id, :snapshot_id, :patient_read_id, :inputs, :photo_limit, '{}', '{}', :run_id, :undoes)
returning id
""")
#: The content of the plan in one word; the order in which it was made does not matter.
_CONTENT = text("""
select count(*) as changes, count(*) || '-' || coalesce(sum(hashtextextended(
    table_name || row_id || column_name || action || coalesce(before::text, '') || coalesce(after::text, ''), 0)), 0)
    as content
from fm_migration.planned_change where plan_id = :plan
""")
#: Only of what a change is looked up by; the images before and after are wide.
_ANALYZE = text("""
analyze fm_migration.planned_change (plan_id, table_name, column_name, action, outcome, row_id, reverses)
""")
_FINISH = text("""
update fm_migration.link_plan set hash = :hash, counts = cast(:counts as jsonb), doubts = :doubts
where id = :plan
""")
_FINISH_APPLIED = text("""
update fm_migration.link_plan
set hash = :hash, counts = cast(:counts as jsonb), applied_at = now(), applied_run_id = :run_id where id = :plan
""")
_FIND = text("select * from fm_migration.link_plan where id = :plan for update")
_APPLIED = text("update fm_migration.link_plan set applied_at = now(), applied_run_id = :run_id where id = :plan")
_LIST = text("""
select plan.id, plan.kind, plan.made_at, plan.hash, plan.doubts, plan.applied_at, plan.undone_at, plan.pruned_at,
       plan.undoes,
       coalesce((plan.counts ->> 'changes')::bigint,
                (select count(*) from fm_migration.planned_change where plan_id = plan.id)) as changes
from fm_migration.link_plan as plan order by plan.id desc limit :most
""")
_FORGET = (
    text("delete from fm_migration.planned_change where plan_id = :plan"),
    text("delete from fm_migration.link_plan where id = :plan"),
)


class StalePlanError(FmMigrationError):
    """The world has moved on since the plan was made."""


class ApprovalNeededError(FmMigrationError):
    """A plan that a person must look at before it is applied."""


@dataclass(frozen=True)
class FinishedPlan:
    """A plan that waits to be applied: what a person approves it by, and how many changes it has."""

    hash: str
    changes: int


@dataclass(frozen=True)
class Listed:
    """A plan as a list shows it."""

    id: int
    kind: str
    made_at: datetime
    hash: str
    doubts: Sequence[str]
    applied_at: datetime | None
    undone_at: datetime | None
    pruned_at: datetime | None
    undoes: int | None
    changes: int


def open_plan(
    connection: Connection,
    kind: str,
    *,
    inputs: str = "",
    export_read_id: int | None = None,
    snapshot_id: int | None = None,
    patient_read_id: int | None = None,
    photo_limit: int | None = None,
    undoes: int | None = None,
    run_id: str | None = None,
) -> int:
    """The number of a new plan without changes. `inputs` are the versions of what it is made from, in one word."""
    facts = {
        "kind": kind,
        "inputs": inputs,
        "export_read_id": export_read_id,
        "snapshot_id": snapshot_id,
        "patient_read_id": patient_read_id,
        "photo_limit": photo_limit,
        "undoes": undoes,
        "run_id": run_id,
    }
    return int(connection.execute(_OPEN, facts).scalar_one())


def finish_plan(
    connection: Connection, plan_id: int, *, counts: Mapping[str, int] | None = None, doubts: Sequence[str] = ()
) -> FinishedPlan:
    """Close a plan whose changes are all written down.

    `counts` is what is to be told of the plan; how many `changes` there are is always among it.
    """
    plan = find_plan(connection, plan_id)
    found = connection.execute(_CONTENT, {"plan": plan_id}).one()
    analyze_many(connection, found.changes)
    plan_hash = uuid.uuid5(NAMESPACE, f"{plan['kind']}|{found.content}|{plan['inputs']}").hex
    told = json.dumps({"changes": found.changes, **(counts or {})})
    connection.execute(_FINISH, {"plan": plan_id, "hash": plan_hash, "counts": told, "doubts": list(doubts)})
    return FinishedPlan(plan_hash, found.changes)


def analyze_many(connection: Connection, changes: int) -> None:
    """Gather statistics where that pays."""
    if changes >= MANY_CHANGES:
        connection.execute(_ANALYZE)


def finish_applied(
    connection: Connection, plan_id: int, *, counts: Mapping[str, int], inputs: str = "", run_id: str | None = None
) -> None:
    """Close a plan whose changes were written down as they were made; there is nothing to approve."""
    plan_hash = uuid.uuid5(NAMESPACE, f"applied|{plan_id}|{inputs}").hex
    facts = {"plan": plan_id, "hash": plan_hash, "counts": json.dumps(dict(counts)), "run_id": run_id}
    connection.execute(_FINISH_APPLIED, facts)


def find_plan(connection: Connection, plan_id: int, kind: str | None = None) -> dict[str, Any]:
    """The plan, held until the end of the transaction; of this kind, if one is named."""
    plan = connection.execute(_FIND, {"plan": plan_id}).mappings().one_or_none()
    if plan is None:
        raise no_such_plan(plan_id)
    if kind is not None and plan["kind"] != kind:
        raise DatabaseError(
            "applying",
            f"plan {plan_id}",
            f"it is a plan of {plan['kind']}, not of {kind}",
            "`fm-migration plans` tells the kinds; a repair is applied by `fm-migration repair apply`",
        )
    return dict(plan)


def no_such_plan(plan_id: int) -> DatabaseError:
    return DatabaseError("finding plan", str(plan_id), "there is no such plan", "See `fm-migration plans`")


def list_plans(connection: Connection, most: int) -> list[Listed]:
    """The newest plans, the newest first."""
    return [Listed(**row) for row in connection.execute(_LIST, {"most": most}).mappings()]


def mark_applied(connection: Connection, plan_id: int, run_id: str | None) -> None:
    connection.execute(_APPLIED, {"plan": plan_id, "run_id": run_id})


def forget_plan(connection: Connection, plan_id: int) -> None:
    """Leave no trace of a plan that came to nothing."""
    for statement in _FORGET:
        connection.execute(statement, {"plan": plan_id})


def refuse_unapproved(plan: PlanRow, approve: str | None) -> None:
    """Stop at a plan with doubts that nobody has approved by its hash."""
    doubts = plan["doubts"]
    if doubts and approve != plan["hash"]:
        raise ApprovalNeededError(
            "applying",
            f"plan {plan['id']}",
            "; ".join(doubts),
            f"Look at the plan; if it is right, run image_batches with approve: {plan['hash']}",
        )


def refuse_used(plan: PlanRow, remedy: str) -> None:
    """Stop at a plan that was undone or of which the changes are gone."""
    if plan["undone_at"] is not None:
        raise StalePlanError("applying", f"plan {plan['id']}", "it was undone", remedy)
    if plan["pruned_at"] is not None:
        raise StalePlanError("applying", f"plan {plan['id']}", "a newer one has taken its place", remedy)
