"""Plans of photographs: when one may be applied, and what is noted of the patients that links were made from.

Does not belong here: how changes come into the tables (`fm_migration.plans`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.ledger import identity
from fm_migration.linking.planning import read_inputs, versions_of
from fm_migration.linking.rules import TABLES
from fm_migration.plans import PlanRow, StalePlanError

_READ_FINGERPRINT = text("select fingerprint from fm_migration.patient_read where id = :id")
_CONSUME = text("""
insert into fm_migration.consumed (consumer, fingerprint, run_id) values (:consumer, :fingerprint, :run_id)
on conflict (consumer) do update set fingerprint = excluded.fingerprint, run_id = excluded.run_id, at = now()
""")
_CONSUMED = text("""
select case when count(*) filter (where consumer = 'photographs') = 0 then null
            when count(*) = 2 and min(fingerprint) = max(fingerprint) then min(fingerprint)
            else '' end
from fm_migration.consumed
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
class Applied(plans.Applied):
    """What became of a plan of photographs, and how many images the galleries show now."""

    visible: int


@dataclass(frozen=True)
class LastApplied:
    """A plan in force, and how many photographs it was limited to."""

    plan: int
    limit: int | None


def apply_plan(
    connection: Connection, plan_id: int, *, approve: str | None = None, run_id: str | None = None
) -> Applied:
    """Apply a plan of photographs in the caller's transaction. A plan that was applied already changes nothing."""
    done = plans.apply(connection, plan_id, approve=approve, run_id=run_id, kind=PHOTOGRAPHS.name)
    return Applied(**vars(done), visible=visible_images(connection))


def consume(connection: Connection, consumer: str, patient_read: int, run_id: str | None) -> None:
    """Note the state of the patients that links are made from, in the same transaction as the links."""
    fingerprint: str = connection.execute(_READ_FINGERPRINT, {"id": patient_read}).scalar_one()
    connection.execute(_CONSUME, {"consumer": consumer, "fingerprint": fingerprint, "run_id": run_id})


def consumed_fingerprint(connection: Connection) -> str | None:
    """The state of the patients that all links were made from: None before the first import, empty when they differ."""
    found: str | None = connection.execute(_CONSUMED).scalar()
    return found


def last_applied(connection: Connection) -> LastApplied | None:
    """The last plan of photographs that was applied; None before the first import."""
    row = connection.execute(_LAST_APPLIED).one_or_none()
    return LastApplied(row.id, row.photo_limit) if row else None


def visible_images(connection: Connection) -> int:
    """How many images the galleries of living patients show."""
    content_type = contract.patient_content_type_id(connection)
    return int(connection.execute(_VISIBLE, {"content_type": content_type}).scalar_one())


def _refuse_stale(connection: Connection, plan: PlanRow, _run_id: str | None) -> None:
    if versions_of(read_inputs(connection)) != plan["inputs"]:
        found = "the export, the bucket or the patients were read anew since"
        raise StalePlanError("applying", f"plan {plan['id']}", found, _REMEDY)
    _refuse_other_patients(connection, plan)
    contract.verify(connection)


def _refuse_other_patients(connection: Connection, plan: PlanRow) -> None:
    """We may not lock the patients' table, so it is compared before the first row is written and after the last."""
    patient_read = read_inputs(connection)["patient_read_id"]
    read: str = connection.execute(_READ_FINGERPRINT, {"id": patient_read}).scalar_one()
    if identity.read_state(connection).fingerprint != read:
        found = "the patients have changed since they were read"
        raise StalePlanError("applying", f"plan {plan['id']}", found, _REMEDY)


def _conclude(connection: Connection, plan: PlanRow, run_id: str | None) -> None:
    _refuse_other_patients(connection, plan)
    consume(connection, PHOTOGRAPHS.name, plan["patient_read_id"], run_id)


PHOTOGRAPHS = plans.register(
    plans.Kind(
        "photographs", TABLES, before=_refuse_stale, after=_conclude, remedy="Materialize link_plan for a new one"
    )
)
