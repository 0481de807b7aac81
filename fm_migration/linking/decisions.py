"""What people decide about links: who a former patient is, and which deleted photographs they want back.

Both are plans like every other: journalled, and undone like them. Does not belong here: what staff do in the app, which
a plan of photographs sees and remembers (`placing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from fm_migration import plans
from fm_migration.errors import DatabaseError
from fm_migration.ledger import identity
from fm_migration.linking import applying, following, placing
from fm_migration.linking.placing import Plan
from fm_migration.linking.rules import BATCHES, IMAGES, SETTLEMENTS, TABLES
from fm_migration.plans import PlanRow, locks
from fm_migration.settings import Settings

_KNOWN = text("""
select exists (select from patients where id = :former) as former_is_there,
       exists (select from patients where id = :patient) as patient_is_there,
       (select patient_id from fm_migration.settlement where former_id = :former) as settled_before
""")
_PLAN_SETTLEMENT = text("""
insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason)
select :plan, 'fm_migration.settlement', cast(:former as text), 'insert',
       jsonb_build_object('former_id', cast(:former as text), 'patient_id', cast(:patient as text)),
       'a person has settled who this is'
""")
_DELETED = text("""
select id, photo from fm_migration.decision
where kind = 'deleted' and ended_at is null and (photo = any (cast(:photos as text[])) or cast(:everything as boolean))
order by id
""")


def _follow_the_settled(connection: Connection, plan: PlanRow, run_id: str | None) -> None:
    following.follow_under(connection, plan["id"], run_id=run_id)


SETTLE = plans.register(plans.PlanKind("settle", (BATCHES, SETTLEMENTS), after=_follow_the_settled))
RESTORE = plans.register(
    plans.PlanKind("restore", TABLES, before=applying.refuse_stale, after=applying.conclude, remedy="Ask again")
)


def settle(connection: Connection, former: UUID, patient: UUID, *, run_id: str | None = None) -> plans.Applied:
    """Say who a former patient is now: everything that points at it follows, now and later. Planned and applied."""
    locks.lock(connection, (BATCHES.table, IMAGES.table))
    _refuse_unsettleable(connection, former, patient)
    read = identity.update_history(connection, run_id=run_id)
    plan = plans.open_plan(
        connection, SETTLE.name, patient_read_id=read.reading, inputs=read.data_version, run_id=run_id
    )
    connection.execute(_PLAN_SETTLEMENT, {"plan": plan, "former": str(former), "patient": str(patient)})
    plans.finish_plan(connection, plan)
    return plans.apply(connection, plan, run_id=run_id)


def plan_restoring(
    connection: Connection, settings: Settings, recids: Sequence[str] = (), *, run_id: str | None = None
) -> Plan:
    """A plan that creates photographs again which staff have deleted: those of these recids, or all of them."""
    locks.lock_planning(connection)
    photos = [f"recid {recid}" for recid in recids]
    asked = {"photos": photos, "everything": not recids}
    found = connection.execute(_DELETED, asked).all()
    if set(photos) - {row.photo for row in found} or not found:
        # What was deleted since the last plan is seen by another one.
        placing.make_plan(connection, settings, run_id=run_id)
        found = connection.execute(_DELETED, asked).all()
    missing = set(photos) - {row.photo for row in found}
    if missing or not found:
        raise DatabaseError(
            "restoring",
            ", ".join(sorted(missing)) or "deleted photographs",
            "nobody has deleted it in the app",
            "fm_migration.decision lists what was deleted",
        )
    return placing.make_plan(connection, settings, run_id=run_id, kind=RESTORE.name, restored=[row.id for row in found])


def _refuse_unsettleable(connection: Connection, former: UUID, patient: UUID) -> None:
    known = connection.execute(_KNOWN, {"former": former, "patient": patient}).one()
    found, remedy = None, "See the app's page of the patient for its UUID"
    if not known.patient_is_there:
        found = f"there is no patient {patient} in the app"
    elif known.former_is_there:
        found = f"patient {former} is there: nothing that points at it is lost"
        remedy = "Settle a former UUID, as the finding or fm_migration.tenure names it"
    elif known.settled_before is not None:
        found = f"it was settled before: {known.settled_before}"
        remedy = "Undo that plan first (fm-migration plans)"
    if found:
        raise DatabaseError("settling", f"former patient {former}", found, remedy)
