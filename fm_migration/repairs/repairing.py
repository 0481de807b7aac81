"""Repairs: what earlier broken runs have left, taken away by a plan; journalled and undoable like every other.

Belongs here: making a repair plan from chosen classes of the newest report's findings, and the order in which its rows
and objects are repaired. Does not belong here: the decisions (`sql/repair.sql`), how rows are changed (`plans/`), how
objects are moved (`quarantine.py`), and finding (`report/`).

Nothing that a person has made or edited is removed, and no original ever is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.clinic.references import list_referred
from fm_migration.errors import DatabaseError, SettingsError
from fm_migration.ledger import schema
from fm_migration.ledger.sql import Script
from fm_migration.linking.placing import Plan
from fm_migration.objects.store import ObjectStore
from fm_migration.repairs import sql
from fm_migration.repairs.quarantine import quarantine_all
from fm_migration.repairs.rules import REPAIR
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "repair")

#: The classes of findings that a plan can repair. `report/classes.py` says what they mean.
REPAIRABLE = (
    "image_doubled", "batch_doubled", "batch_empty", "count_wrong", "file_misplaced", "thumbnail_without_image",
)  # fmt: skip
_PLANNING = (
    "chosen", "doomed_image", "merged", "moved", "held", "doomed_batch", "plan_moves", "plan_new_keys",
    "plan_fewer_images", "plan_fewer_batches", "plan_counts", "plan_quarantine",
)  # fmt: skip

_NEWEST_REPORT = text("""
select id, export_read_id, snapshot_id, patient_read_id from fm_migration.report order by id desc limit 1
""")


@dataclass(frozen=True)
class Repaired:
    """What became of a repair plan: rows, and objects that were moved to the quarantine."""

    plan: int
    applied: int
    already: int
    overtaken: int
    overtaken_rows: tuple[str, ...]


def plan_repair(
    connection: Connection, settings: Settings, classes: Sequence[str], *, run_id: str | None = None
) -> Plan:
    """Plan in the caller's transaction, from the newest report's findings of these classes and the tables as they are.

    `counts` tells by class how many `findings/<class>` there are and how many of them are `repaired/<class>`: the
    others are a person's work, or cannot be proven to be a leftover.
    """
    schema.require_current(connection)
    contract.verify(connection)
    _refuse_unknown(classes)
    report = connection.execute(_NEWEST_REPORT).mappings().one_or_none()
    if report is None:
        raise DatabaseError("planning a repair from", "orphan_report", "there is none yet", "Materialize it first")
    readings = {name: report[name] for name in ("export_read_id", "snapshot_id", "patient_read_id")}
    inputs = f"report {report['id']}"
    plan_id = plans.open_plan(connection, REPAIR.name, inputs=inputs, run_id=run_id, **readings)
    list_referred(connection)
    parameters = {
        "plan": plan_id,
        "classes": list(classes),
        "thumbnail_prefix": settings.thumbnail_prefix,
        "quarantine_prefix": settings.quarantine_prefix,
    }
    _SQL.run(connection, parameters, *_PLANNING)
    by_class = connection.execute(_SQL["count_by_class"], {"plan": plan_id}).all()
    told = {
        **{f"findings/{row[0]}": row.findings for row in by_class},
        **{f"repaired/{row[0]}": row.repaired for row in by_class},
    }
    finished = plans.finish_plan(connection, plan_id, counts=told)
    counts = {"changes": finished.changes, **told}
    return Plan(plan_id, finished.hash, counts, {}, (), inputs)


def apply_repair(engine: Engine, store: ObjectStore, plan: int, *, run_id: str | None = None) -> Repaired:
    """Apply a repair plan: its rows in one transaction, then its objects. What was broken off goes on where it was."""
    with engine.begin() as connection:
        _apply_rows(connection, plan, run_id)
    quarantine_all(engine, store, plan, run_id)
    with engine.begin() as connection:
        done = _apply_rows(connection, plan, run_id)
    return Repaired(plan, done.applied, done.already, done.overtaken, done.overtaken_rows)


def _apply_rows(connection: Connection, plan: int, run_id: str | None) -> plans.Applied:
    """Each row is looked at again. A plan that was undone does not go on with its objects."""
    plans.refuse_used(plans.find_plan(connection, plan, REPAIR.name), REPAIR.remedy)
    return plans.apply(connection, plan, run_id=run_id, kind=REPAIR.name)


def _refuse_unknown(classes: Sequence[str]) -> None:
    unknown = sorted(set(classes) - set(REPAIRABLE))
    if unknown or not classes:
        raise SettingsError(
            "planning a repair of",
            ", ".join(unknown) or "nothing",
            "no plan can repair that" if unknown else "no class of findings was named",
            f"Choose among {', '.join(REPAIRABLE)}",
        )
