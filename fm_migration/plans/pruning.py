"""What nobody will ask for any more: plans whose place a newer one has taken, and changes that are long past.

What is dropped are changes. A plan that was applied stays in the list and says that it cannot be undone; what we last
wrote stands in `last_written`, and what is known of photographs and people in tables of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from fm_migration.plans import locks

#: A plan that is younger may still be looked at by somebody, also when there is a newer one.
SUPERSEDED_AFTER = timedelta(days=1)

_SUPERSEDED = text("""
create temporary table pruned on commit drop as
select plan.id, false as applied from fm_migration.link_plan as plan
where plan.applied_at is null and plan.pruned_at is null and plan.made_at < now() - cast(:superseded as interval)
  and exists (select from fm_migration.link_plan as newer where newer.kind = plan.kind and newer.id > plan.id)
union all
select plan.id, true from fm_migration.link_plan as plan
where plan.applied_at < now() - cast(:older_than as interval) and plan.pruned_at is null
  -- Objects that wait to be moved: the plan goes on with them.
  and not exists (select from fm_migration.planned_change as pending
                  where pending.plan_id = plan.id and pending.outcome is null)
""")
_CHANGES = text("delete from fm_migration.planned_change using pruned where plan_id = pruned.id")
_MARK = text("""
update fm_migration.link_plan as plan set pruned_at = now() from pruned where plan.id = pruned.id
""")
_PLANS = text("""
delete from fm_migration.link_plan as plan using pruned
where plan.id = pruned.id and not pruned.applied
  and not exists (select from fm_migration.photo where photo.plan_id = plan.id)
  and not exists (select from fm_migration.report where report.plan_id = plan.id)
  and not exists (select from fm_migration.link_plan as undo where undo.undoes = plan.id)
""")


@dataclass(frozen=True)
class Pruned:
    """What was dropped."""

    superseded: int
    past: int
    changes: int


def prune(connection: Connection, older_than: timedelta) -> Pruned:
    """Drop plans that were never applied and that a newer one has replaced, and changes older than this."""
    locks.lock(connection)
    connection.execute(_SUPERSEDED, {"older_than": older_than, "superseded": SUPERSEDED_AFTER})
    counts = connection.execute(text("select count(*) filter (where not applied), count(*) from pruned")).one()
    changes = connection.execute(_CHANGES).rowcount
    connection.execute(_MARK)
    connection.execute(_PLANS)
    connection.execute(text("drop table pruned"))
    return Pruned(counts[0], counts[1] - counts[0], changes)
