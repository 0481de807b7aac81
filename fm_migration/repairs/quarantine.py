"""Thumbnails that nobody shows, moved to the quarantine and back: copied, compared, and only then the first removed.

Belongs here: the one kind of change that the database does not carry out. Each is on record once it is done, so what
was broken off goes on where it was. Does not belong here: which objects (`sql/repair.sql`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from fm_migration import plans
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.objects.store import ObjectStore

#: Objects are moved so many at a time, each time looked at again in the app's tables.
OBJECTS_AT_ONCE = 200

_PENDING = text("""
select planned.id, planned.before ->> 'key' as key, planned.before ->> 'etag' as etag,
       (planned.before ->> 'size')::bigint as size, (planned.before ->> 'written')::timestamptz as written,
       planned.after ->> 'key' as new_key,
       exists (select from images_image as image where image.s3_thumbnail_key = planned.before ->> 'key') as shown
from fm_migration.planned_change as planned
where planned.plan_id = :plan and planned.table_name = 'bucket' and planned.outcome is null
order by planned.id limit :most
""")
#: Not those of an undo: what it has brought back stays.
_TO_RESTORE = text("""
select planned.id, planned.before ->> 'key' as key, planned.before ->> 'etag' as etag,
       (planned.before ->> 'size')::bigint as size, planned.after ->> 'key' as new_key
from fm_migration.planned_change as planned
where planned.plan_id = :plan and planned.table_name = 'bucket' and planned.outcome = 'applied'
  and planned.undone_at is null and planned.undo_outcome is null and planned.reverses is null
order by planned.id limit :most
""")


def quarantine_all(engine: Engine, store: ObjectStore, plan: int, run_id: str | None) -> None:
    """Move the objects of a plan to the quarantine, as far as that was not done."""
    while _quarantine_some(engine, store, plan, run_id):
        pass


def restore_all(engine: Engine, store: ObjectStore, undone: plans.Undone, run_id: str | None = None) -> plans.Undone:
    """Move the objects back that a plan has moved, after its rows were undone; what came of all of it."""
    restored, left, by = undone.restored, list(undone.left), undone.by
    while True:
        with engine.begin() as connection:
            some = _to_restore(connection, undone.plan)
            if not some:
                return plans.Undone(undone.plan, restored, tuple(left), by)
            by = by or plans.begin_undo(connection, undone.plan, run_id)
            for one in some:
                well = _restore(store, one)
                plans.record_reversed(connection, by, one.id, well, run_id)
                restored += well
                left += [] if well else [f"bucket {one.key}"]


def _quarantine_some(engine: Engine, store: ObjectStore, plan: int, run_id: str | None) -> int:
    """Move the next objects; how many there were."""
    with engine.begin() as connection:
        pending = connection.execute(_PENDING, {"plan": plan, "most": OBJECTS_AT_ONCE}).all()
        for one in pending:
            moved = not one.shown and _quarantine(store, one)
            plans.record_outcome(connection, one.id, "applied" if moved else "overtaken", run_id)
    return len(pending)


def _to_restore(connection: Connection, plan: int) -> list[Any]:
    return list(connection.execute(_TO_RESTORE, {"plan": plan, "most": OBJECTS_AT_ONCE}).all())


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
