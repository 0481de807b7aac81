"""What plans of repairs may do: to batches and images what linking may, and to objects, which they move."""

from __future__ import annotations

from sqlalchemy import Connection

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.linking.rules import BATCHES, IMAGES
from fm_migration.plans import PlanRow, TableRules

#: Objects in the bucket are not a table: `quarantine.py` moves them, one at a time.
BUCKET = TableRules("bucket", apart=True)


def _verify(connection: Connection, _plan: PlanRow, _run_id: str | None) -> None:
    contract.verify(connection)


REPAIR = plans.register(plans.PlanKind("repair", (BATCHES, IMAGES, BUCKET), before=_verify))
