"""Any plan taken back, as a person asks for it: its rows in one transaction, then the objects that it has moved.

Belongs here: that all kinds of plans are known. Does not belong here: how (`plans/inverse.py`).
"""

from __future__ import annotations

from sqlalchemy import Engine

from fm_migration import plans
from fm_migration.linking import applying, consuming, decisions, following
from fm_migration.objects.store import ObjectStore
from fm_migration.plans import PlanKind, Undone
from fm_migration.repairs import quarantine
from fm_migration.repairs.rules import REPAIR
from fm_migration.thumbnails.rules import THUMBNAILS

#: A kind is registered by the import of its rules.
KINDS: tuple[PlanKind, ...] = (
    applying.PHOTOGRAPHS, following.LINKS, decisions.SETTLE, decisions.RESTORE, REPAIR, THUMBNAILS,
)  # fmt: skip


def undo(engine: Engine, store: ObjectStore, plan: int, *, run_id: str | None = None) -> Undone:
    """Put back what nobody has changed since."""
    with engine.begin() as connection:
        rows = plans.undo(connection, plan, run_id=run_id)
        if plans.find_plan(connection, plan)["kind"] == following.LINKS.name:
            consuming.note_undone(connection, plan)
    return quarantine.restore_all(engine, store, rows, run_id)
