"""Repairs: what earlier broken runs have left, taken away by a plan; journalled and undoable like every other.

Belongs here: making a repair plan from chosen classes of the newest report's findings, and the order in which rows and
objects are repaired and restored. Does not belong here: the decisions (`sql/repair.sql`), what a step does to a table
(`changes.py`), and finding (`report/`).

Nothing that a person has made or edited is removed, and no original ever is. A thumbnail that nobody shows goes to the
quarantine: it is copied, the copy is compared, and only then the first one is removed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from fm_migration.clinic import applying, contract, sql
from fm_migration.clinic.applying import Undone
from fm_migration.clinic.planning import NAMESPACE, Plan
from fm_migration.errors import DatabaseError, SettingsError
from fm_migration.ledger import schema
from fm_migration.ledger import sql as statements
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings

PACKAGE = sql.__name__

#: The classes of findings that a plan can repair. `report/classes.py` says what they mean.
REPAIRABLE = (
    "image_doubled", "batch_doubled", "batch_empty", "count_wrong", "file_misplaced", "thumbnail_without_image",
)  # fmt: skip
#: Objects are moved so many at a time, each time looked at again in the app's tables.
OBJECTS_AT_ONCE = 200

_PLANNING = (
    "chosen", "doomed_image", "merged", "moved", "held", "doomed_batch", "plan_moves", "plan_new_keys",
    "plan_fewer_images", "plan_fewer_batches", "plan_counts", "plan_quarantine",
)  # fmt: skip

_NEWEST_REPORT = text("select max(id) from fm_migration.report")
_NEW_PLAN = text("""
insert into fm_migration.link_plan
    (kind, hash, export_read_id, snapshot_id, patient_read_id, inputs, counts, doubts, run_id)
select 'repair', '', export_read_id, snapshot_id, patient_read_id, 'report ' || id, '{}', '{}', cast(:run_id as text)
from fm_migration.report where id = :report
returning id
""")
_FINISH_PLAN = text("""
update fm_migration.link_plan set hash = :hash, counts = cast(:counts as jsonb) where id = :plan
""")
_PENDING = text("""
select planned.id, planned.before ->> 'key' as key, planned.before ->> 'etag' as etag,
       (planned.before ->> 'size')::bigint as size, (planned.before ->> 'written')::timestamptz as written,
       planned.after ->> 'key' as new_key,
       exists (select from images_image as image where image.s3_thumbnail_key = planned.before ->> 'key') as shown
from fm_migration.planned_change as planned
where planned.plan_id = :plan and planned.table_name = 'bucket'
  and not exists (select from fm_migration.change where change.planned_id = planned.id)
order by planned.id limit :most
""")
_MOVED = text("""
insert into fm_migration.change (planned_id, plan_id, outcome, run_id) values (:id, :plan, :outcome, :run_id)
""")
_TO_RESTORE = text("""
select change.id, planned.before ->> 'key' as key, planned.before ->> 'etag' as etag,
       (planned.before ->> 'size')::bigint as size, planned.after ->> 'key' as new_key
from fm_migration.change join fm_migration.planned_change as planned on planned.id = change.planned_id
where change.plan_id = :plan and planned.table_name = 'bucket' and change.outcome = 'applied'
  and change.undone_at is null and change.undo_outcome is null
order by change.id limit :most
""")
_RESTORED = text("""
update fm_migration.change
set undo_outcome = :outcome, undone_at = case when cast(:outcome as text) = 'restored' then now() end
where id = :id
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
    report: int | None = connection.execute(_NEWEST_REPORT).scalar()
    if report is None:
        raise DatabaseError("planning a repair from", "orphan_report", "there is none yet", "Materialize it first")
    plan_id: int = connection.execute(_NEW_PLAN, {"report": report, "run_id": run_id}).scalar_one()
    applying.list_referred(connection)
    parameters = {
        "plan": plan_id,
        "classes": list(classes),
        "thumbnail_prefix": settings.thumbnail_prefix,
        "quarantine_prefix": settings.quarantine_prefix,
    }
    for step in _PLANNING:
        statements.run(connection, PACKAGE, "repair", parameters, only=step)
    by_class = connection.execute(text(statements.steps(PACKAGE, "repair")["count_by_class"]), {"plan": plan_id}).all()
    content = statements.ask(connection, PACKAGE, "plan", "hash", parameters)["content"]
    counts = {
        "changes": int(content.partition("-")[0]),
        **{f"findings/{row[0]}": row.findings for row in by_class},
        **{f"repaired/{row[0]}": row.repaired for row in by_class},
    }
    plan_hash = uuid.uuid5(NAMESPACE, f"repair|{content}").hex
    connection.execute(_FINISH_PLAN, {"plan": plan_id, "hash": plan_hash, "counts": json.dumps(counts)})
    return Plan(plan_id, plan_hash, counts, {}, (), f"report {report}")


def apply_repair(engine: Engine, store: ObjectStore, plan: int, *, run_id: str | None = None) -> Repaired:
    """Apply a repair plan: its rows in one transaction, then its objects. What was broken off goes on where it was."""
    with engine.begin() as connection:
        applying.apply_repair_rows(connection, plan, run_id=run_id)
    while _quarantine_some(engine, store, plan, run_id):
        pass
    with engine.begin() as connection:
        done = applying.apply_repair_rows(connection, plan, run_id=run_id)
    return Repaired(plan, done.applied, done.already, done.overtaken, done.overtaken_rows)


def undo(engine: Engine, store: ObjectStore, plan: int) -> Undone:
    """Take any plan back: its rows in one transaction, then the objects that it has moved."""
    with engine.begin() as connection:
        rows = applying.undo_plan(connection, plan)
    restored, left = 0, list(rows.left)
    while some := _restore_some(engine, store, plan):
        restored += sum(1 for _, well in some if well)
        left += [f"bucket {key}" for key, well in some if not well]
    return Undone(plan, rows.restored + restored, tuple(left))


# --- objects ----------------------------------------------------------------------------------------------------------


def _quarantine_some(engine: Engine, store: ObjectStore, plan: int, run_id: str | None) -> int:
    """Move the next objects of a plan to the quarantine; how many there were. Each is on record once it is there."""
    with engine.begin() as connection:
        pending = connection.execute(_PENDING, {"plan": plan, "most": OBJECTS_AT_ONCE}).all()
        for one in pending:
            moved = not one.shown and _quarantine(store, one)
            outcome = "applied" if moved else "overtaken"
            connection.execute(_MOVED, {"id": one.id, "plan": plan, "outcome": outcome, "run_id": run_id})
    return len(pending)


def _restore_some(engine: Engine, store: ObjectStore, plan: int) -> list[tuple[str, bool]]:
    """Move the next objects back; which there were, and whether they are where they had been."""
    with engine.begin() as connection:
        quarantined = connection.execute(_TO_RESTORE, {"plan": plan, "most": OBJECTS_AT_ONCE}).all()
        outcomes = []
        for one in quarantined:
            well = _restore(store, one)
            connection.execute(_RESTORED, {"id": one.id, "outcome": "restored" if well else "overtaken"})
            outcomes.append((one.key, well))
    return outcomes


def _quarantine(store: ObjectStore, planned: Any) -> bool:
    """Whether the object lies in the quarantine now. One that was written anew is not the one that was found."""
    first, copy = _look(store, planned.key), _look(store, planned.new_key)
    if first is None:
        return copy is not None and copy.size == planned.size
    anew = first.last_modified - planned.written > timedelta(seconds=1)
    if anew or (first.etag, first.size) != (planned.etag, planned.size):
        return False
    return _carry(store, first, planned.new_key)


def _restore(store: ObjectStore, planned: Any) -> bool:
    """Whether the object lies where it had been. What somebody has put there since is not written over."""
    copy, there = _look(store, planned.new_key), _look(store, planned.key)
    if copy is None:
        return there is not None and there.size == planned.size
    if there is not None and not _same(store, copy, there):
        return False
    return _carry(store, copy, planned.key)


def _carry(store: ObjectStore, source: ObjectFacts, target: str) -> bool:
    """Copy, compare, and only then remove the first one."""
    copy = _look(store, target)
    if copy is None or not _same(store, source, copy):
        store.copy(source.key, target, source_etag=source.etag or None)
        copy = _look(store, target)
    if copy is None or not _same(store, source, copy):
        return False
    store.delete_own(source.key)
    return True


def _same(store: ObjectStore, one: ObjectFacts, other: ObjectFacts) -> bool:
    """Equal checksums are equal bytes; different ones may come from the way of writing, and then the bytes decide."""
    if one.size != other.size:
        return False
    return (one.etag == other.etag != "") or store.read(one.key) == store.read(other.key)


def _look(store: ObjectStore, key: str) -> ObjectFacts | None:
    try:
        return store.head(key)
    except ObjectMissingError:
        return None


def _refuse_unknown(classes: Sequence[str]) -> None:
    unknown = sorted(set(classes) - set(REPAIRABLE))
    if unknown or not classes:
        raise SettingsError(
            "planning a repair of",
            ", ".join(unknown) or "nothing",
            "no plan can repair that" if unknown else "no class of findings was named",
            f"Choose among {', '.join(REPAIRABLE)}",
        )
