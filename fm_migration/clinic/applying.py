"""A plan applied in one transaction, or refused; and undone.

Belongs here: locks, guards and the order of the steps. What a step does to a table is in `changes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from fm_migration.clinic import changes, contract
from fm_migration.clinic.planning import read_inputs, versions_of
from fm_migration.errors import DatabaseError, FmMigrationError
from fm_migration.ledger import identity

#: Whoever writes links takes this lock first: a number of our own for pg_advisory_xact_lock.
LINK_LOCK = 7_664_202
LOCK_SECONDS = 30
#: What writers of links lock, in this order. `doctor` tries each.
TABLE_LOCKS = ("patients in share mode", "images_batch, images_image in share row exclusive mode")

_PLAN = text("select * from fm_migration.link_plan where id = :plan for update")
_READ_FINGERPRINT = text("select fingerprint from fm_migration.patient_read where id = :id")
_APPLIED = text("update fm_migration.link_plan set applied_at = now(), applied_run_id = :run_id where id = :plan")
_UNDONE = text("update fm_migration.link_plan set undone_at = now() where id = :plan")
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
_OUTCOMES = text("""
select change.outcome, count(*) as rows from fm_migration.change where plan_id = :plan group by 1
""")
_OVERTAKEN = text("""
select planned.table_name, planned.row_id from fm_migration.change
join fm_migration.planned_change as planned on planned.id = change.planned_id
where change.plan_id = :plan and change.outcome = 'overtaken' order by 1, 2 limit 100
""")
_NOT_UNDONE = text("""
select planned.table_name, planned.row_id from fm_migration.change
join fm_migration.planned_change as planned on planned.id = change.planned_id
where change.plan_id = :plan and change.outcome = 'applied' and change.undo_outcome = 'overtaken' order by 1, 2
""")
#: What rows of other tables refer to: foreign keys, and generic links to images and batches.
_REFERRED = text("create temporary table referred (id text primary key) on commit drop")
_FOREIGN_KEYS = text("""
select relation.conrelid::regclass::text as table_name, attribute.attname as column_name
from pg_constraint as relation
join pg_attribute as attribute on attribute.attrelid = relation.conrelid and attribute.attnum = any (relation.conkey)
where relation.contype = 'f' and relation.conparentid = 0
  and relation.confrelid in (to_regclass('images_image'), to_regclass('images_batch'))
  and not (relation.conrelid = to_regclass('images_image') and relation.confrelid = to_regclass('images_batch'))
""")
_LEAVE_OVERTAKEN = text("""
update fm_migration.change set undo_outcome = 'overtaken'
from fm_migration.planned_change as planned
where change.plan_id = :plan and outcome = 'applied' and undone_at is null
  and planned.id = change.planned_id and planned.table_name <> 'bucket'
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


class StalePlanError(FmMigrationError):
    """The world has moved on since the plan was made."""


class ApprovalNeededError(FmMigrationError):
    """A plan that a person must look at before it is applied."""


@dataclass(frozen=True)
class Applied:
    """What became of a plan."""

    plan: int
    applied: int
    already: int
    overtaken: int
    overtaken_rows: tuple[str, ...]
    visible: int
    inputs: str


@dataclass(frozen=True)
class LastApplied:
    """A plan in force, and how many photographs it was limited to."""

    plan: int
    limit: int | None


@dataclass(frozen=True)
class Undone:
    """What an undo has put back, and the rows that somebody has changed since and that were left."""

    plan: int
    restored: int
    left: tuple[str, ...]


def apply_plan(
    connection: Connection, plan_id: int, *, approve: str | None = None, run_id: str | None = None
) -> Applied:
    """Apply a plan of photographs in the caller's transaction. A plan that was applied already changes nothing."""
    lock_links(connection)
    plan = find_plan(connection, plan_id)
    _refuse_kind(plan, "photographs")
    if plan["applied_at"] is None:
        _refuse_unapproved(plan, approve)
        _refuse_stale(connection, plan)
        contract.verify(connection)
        changes.apply_inserts(connection, plan_id, "images_batch", run_id)
        changes.apply_inserts(connection, plan_id, "images_image", run_id)
        changes.apply_updates(connection, plan_id, "images_image", changes.CHANGEABLE["images_image"], run_id)
        changes.apply_updates(connection, plan_id, "images_batch", changes.CHANGEABLE["images_batch"], run_id)
        changes.recount(connection, plan_id)
        changes.recognise(connection, plan_id, run_id)
        changes.record_overtaken(connection, plan_id, run_id)
        connection.execute(_APPLIED, {"plan": plan_id, "run_id": run_id})
        consume(connection, "photographs", plan["patient_read_id"], run_id)
    return _outcome(connection, plan)


def apply_repair_rows(connection: Connection, plan_id: int, *, run_id: str | None = None) -> Applied:
    """Apply a repair plan's rows in the caller's transaction; each is looked at again. Its objects are moved apart."""
    lock_links(connection)
    plan = find_plan(connection, plan_id)
    _refuse_kind(plan, "repair")
    if plan["undone_at"] is not None:
        raise StalePlanError("applying", f"plan {plan_id}", "it was undone", "Make a new one")
    if plan["applied_at"] is None:
        contract.verify(connection)
        list_referred(connection)
        changes.apply_deletes(connection, plan_id, "images_image", run_id)
        changes.apply_updates(connection, plan_id, "images_image", changes.CHANGEABLE["images_image"], run_id)
        changes.apply_updates(connection, plan_id, "images_batch", changes.CHANGEABLE["images_batch"], run_id)
        changes.apply_deletes(connection, plan_id, "images_batch", run_id)
        changes.recount(connection, plan_id)
        changes.record_overtaken(connection, plan_id, run_id)
        connection.execute(_APPLIED, {"plan": plan_id, "run_id": run_id})
    return _outcome(connection, plan)


def list_referred(connection: Connection) -> None:
    """Fill `referred`: whatever other tables of the app hang on images and batches, these must not be removed."""
    from fm_migration.clinic.links import find_link_columns  # which imports this module for its lock

    connection.execute(_REFERRED)
    add = "insert into referred select distinct lower({column}::text) from {table} where {which} on conflict do nothing"
    for key in connection.execute(_FOREIGN_KEYS).all():
        column = '"' + key.column_name.replace('"', '""') + '"'
        which = f"{column} is not null"
        connection.execute(text(add.format(column=column, table=key.table_name, which=which)))
    of_images = (
        "select id from django_content_type where (app_label, model) in (('images', 'image'), ('images', 'imagebatch'))"
    )
    for link in find_link_columns(connection):
        column = '"' + link.column.replace('"', '""') + '"'
        which = f'{column} is not null and "{link.content_type_column}" in ({of_images})'
        connection.execute(text(add.format(column=column, table=link.table, which=which)))
    connection.execute(text("analyze referred"))


def undo_plan(connection: Connection, plan_id: int) -> Undone:
    """Put back every before-image that nobody has changed since. Doing it twice does nothing the second time."""
    lock_links(connection)
    plan = find_plan(connection, plan_id)
    if plan["kind"] == "thumbnails":
        from fm_migration.clinic import thumbnailing  # which imports this module for its lock

        return thumbnailing.undo(connection, plan_id)
    before = _undone_count(connection, plan_id)
    for table in ("images_batch", "images_image"):
        changes.undo_deletes(connection, plan_id, table)
    for table, columns in changes.CHANGEABLE.items():
        changes.undo_updates(connection, plan_id, table, columns)
    for link in _other_tables(connection, plan_id):
        changes.undo_updates(connection, plan_id, link.table, (link.column,), link.key)
    changes.undo_inserts(connection, plan_id, "images_image")
    has_images = "exists (select from images_image where images_image.batch_id = target.id)"
    changes.undo_inserts(connection, plan_id, "images_batch", keep_if=has_images)
    changes.undo_counts(connection, plan_id)
    changes.undo_recognitions(connection, plan_id)
    connection.execute(_LEAVE_OVERTAKEN, {"plan": plan_id})
    connection.execute(_UNDONE, {"plan": plan_id})
    left = tuple(f"{row.table_name} {row.row_id}" for row in connection.execute(_NOT_UNDONE, {"plan": plan_id}))
    return Undone(plan_id, _undone_count(connection, plan_id) - before, left)


def lock_links(connection: Connection) -> None:
    """One writer of links at a time, and no writer of the clinic's beside it. Readers of the gallery go on."""
    connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LINK_LOCK})
    for tables in TABLE_LOCKS:
        connection.execute(text(f"lock table {tables}"))


def find_plan(connection: Connection, plan_id: int) -> dict[str, Any]:
    plan = connection.execute(_PLAN, {"plan": plan_id}).mappings().one_or_none()
    if plan is None:
        raise DatabaseError("finding plan", str(plan_id), "there is no such plan", "See `fm-migration plans`")
    return dict(plan)


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


def _refuse_kind(plan: Mapping[str, object], kind: str) -> None:
    if plan["kind"] != kind:
        raise DatabaseError(
            "applying",
            f"plan {plan['id']}",
            f"it is a plan of {plan['kind']}, not of {kind}",
            "`fm-migration plans` tells the kinds; a repair is applied by `fm-migration repair apply`",
        )


def _refuse_unapproved(plan: Mapping[str, object], approve: str | None) -> None:
    doubts = plan["doubts"]
    if isinstance(doubts, list) and doubts and approve != plan["hash"]:
        raise ApprovalNeededError(
            "applying",
            f"plan {plan['id']}",
            "; ".join(doubts),
            f"Look at the plan; if it is right, run image_batches with approve: {plan['hash']}",
        )


def _refuse_stale(connection: Connection, plan: Mapping[str, object]) -> None:
    if plan["undone_at"] is not None:
        raise StalePlanError("applying", f"plan {plan['id']}", "it was undone", "Materialize link_plan for a new one")
    inputs = read_inputs(connection)
    read: str = connection.execute(_READ_FINGERPRINT, {"id": inputs["patient_read_id"]}).scalar_one()
    if versions_of(inputs) != plan["inputs"]:
        found = "the export, the bucket or the patients were read anew since"
    elif identity.read_state(connection).fingerprint != read:
        found = "the patients have changed since they were read"
    else:
        return
    raise StalePlanError(
        "applying", f"plan {plan['id']}", found, "Materialize patient_map and link_plan again; heal_links does both"
    )


def _outcome(connection: Connection, plan: Mapping[str, Any]) -> Applied:
    plan_id: int = plan["id"]
    outcomes: dict[str, int] = {row.outcome: row.rows for row in connection.execute(_OUTCOMES, {"plan": plan_id})}
    overtaken = tuple(f"{row.table_name} {row.row_id}" for row in connection.execute(_OVERTAKEN, {"plan": plan_id}))
    return Applied(
        plan=plan_id,
        applied=outcomes.get("applied", 0),
        already=outcomes.get("already", 0),
        overtaken=outcomes.get("overtaken", 0),
        overtaken_rows=overtaken,
        visible=visible_images(connection),
        inputs=plan["inputs"],
    )


def _undone_count(connection: Connection, plan_id: int) -> int:
    query = text("select count(*) from fm_migration.change where plan_id = :plan and undo_outcome = 'restored'")
    return int(connection.execute(query, {"plan": plan_id}).scalar_one())


def _other_tables(connection: Connection, plan_id: int) -> list[changes.LinkColumn]:
    from fm_migration.clinic.links import columns_of_plan

    return columns_of_plan(connection, plan_id)
