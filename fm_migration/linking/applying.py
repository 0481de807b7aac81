"""Plans of photographs: when one may be applied, and what is noted of it then.

Does not belong here: how changes come into the tables (`fm_migration.plans`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.ledger import identity
from fm_migration.ledger.sql import Script
from fm_migration.linking import consuming, following, sql
from fm_migration.linking.placing import read_inputs, versions_of
from fm_migration.linking.rules import TABLES
from fm_migration.plans import PlanRow, StalePlanError

_SQL = Script(sql.__name__, "place")

_READ_FINGERPRINT = text("select fingerprint from fm_migration.patient_read where id = :id")
_RECOGNISED = text("""
select exists (select from fm_migration.planned_change
               where plan_id = :plan and table_name = 'fm_migration.patient_identity' and outcome = 'applied')
""")
_VISIBLE = text("""
select count(*) from images_image as image
join images_batch as batch on batch.id = image.batch_id and batch.content_type_id = :content_type
join patients on patients.id = batch.object_id
""")
_LAST_APPLIED = text("""
select id, photo_limit from fm_migration.link_plan
where kind = 'photographs' and applied_at is not null order by id desc limit 1
""")
_REMEDY = "Materialize patient_map and link_plan again; heal_links does both"


@dataclass(frozen=True)
class AppliedLinks(plans.Applied):
    """What became of a plan of photographs, and how many images the galleries show now."""

    visible: int


@dataclass(frozen=True)
class LastApplied:
    """A plan in force, and how many photographs it was limited to."""

    plan: int
    limit: int | None


def apply_plan(
    connection: Connection, plan_id: int, *, approve: str | None = None, run_id: str | None = None
) -> AppliedLinks:
    """Apply a plan of photographs in the caller's transaction. A plan that was applied already changes nothing."""
    done = plans.apply(connection, plan_id, approve=approve, run_id=run_id, kind=PHOTOGRAPHS.name)
    return AppliedLinks(**vars(done), visible=visible_images(connection))


def visible_images(connection: Connection) -> int:
    """How many images the galleries of living patients show."""
    content_type = contract.patient_content_type_id(connection)
    return int(connection.execute(_VISIBLE, {"content_type": content_type}).scalar_one())


def last_applied(connection: Connection) -> LastApplied | None:
    """The last plan of photographs that was applied; None before the first import."""
    row = connection.execute(_LAST_APPLIED).one_or_none()
    return LastApplied(row.id, row.photo_limit) if row else None


def refuse_stale(connection: Connection, plan: PlanRow, _run_id: str | None) -> None:
    """Stop where the world is another one than the plan was made from."""
    if versions_of(read_inputs(connection)) != plan["inputs"]:
        found = "the export, the bucket or the patients were read anew since"
        raise StalePlanError("applying", f"plan {plan['id']}", found, _REMEDY)
    _refuse_other_patients(connection, plan)
    contract.verify(connection)


def conclude(connection: Connection, plan: PlanRow, run_id: str | None) -> None:
    """Note what was made, let follow what was recognised, and note which patients the photographs were placed by."""
    if plan["counts"]["changes"]:
        _refuse_other_patients(connection, plan)
        _SQL.run(connection, {"plan": plan["id"]}, "note_made")
    if connection.execute(_RECOGNISED, {"plan": plan["id"]}).scalar_one():
        following.follow_under(connection, plan["id"], run_id=run_id)
    consuming.consume(connection, consuming.PHOTOGRAPHS, plan["patient_read_id"], run_id)


def _refuse_other_patients(connection: Connection, plan: PlanRow) -> None:
    """We may not lock the patients' table, so it is compared before the first row is written and after the last."""
    patient_read = read_inputs(connection)["patient_read_id"]
    read: str = connection.execute(_READ_FINGERPRINT, {"id": patient_read}).scalar_one()
    if identity.read_state(connection).fingerprint != read:
        found = "the patients have changed since they were read"
        raise StalePlanError("applying", f"plan {plan['id']}", found, _REMEDY)


PHOTOGRAPHS = plans.register(
    plans.PlanKind(
        consuming.PHOTOGRAPHS, TABLES, before=refuse_stale, after=conclude, remedy="Materialize link_plan for a new one"
    )
)
