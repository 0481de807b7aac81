"""The inventory of the bucket: one row per object ever listed, brought up to date by complete listings, and in between
by looking up the single objects that the queue has reported.

Everything happens in the caller's transaction: when the listing breaks off, or is implausible, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from fm_migration.errors import ImplausibleInputError
from fm_migration.ledger import sql
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.plausibility import Shrinkage
from fm_migration.ledger.sql import Script
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.keys import KeyLayout, classify

_SQL = Script(sql.__name__, "inventory")
_COLUMNS = (
    "key", "kind", "recid", "image_id", "path_contact", "path_date", "extension", "etag", "size", "last_modified",
    "storage_class",
)  # fmt: skip
_NOTICED = text("select distinct key from noticed where bucket = :bucket order by key")
_NEWEST = text("select id, started_at from fm_migration.inventory_snapshot order by id desc limit 1")


@dataclass(frozen=True)
class InventoryUpdate:
    """What a listing held, and what had changed since the last one."""

    snapshot: int
    objects: int
    bytes: int
    originals: int
    original_bytes: int
    thumbnails: int
    quarantined: int
    others: int
    empty_originals: int
    unnamed_originals: int
    data_version: str
    appeared: int
    changed: int
    vanished: int


def update_inventory(
    connection: Connection,
    listing: Iterable[Sequence[ObjectFacts]],
    *,
    layout: KeyLayout,
    bucket: str,
    prefixes: Sequence[str],
    started_at: datetime,
    source: str,
    tolerated_shrinkage: float,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> InventoryUpdate:
    """Take a complete listing, in pages, into the inventory. `started_at` is by the object store's clock."""
    _prepare(connection)
    copy_rows(connection, "listed", _COLUMNS, (_row(facts, layout) for page in listing for facts in page))
    connection.execute(text("analyze listed"))
    seen = _SQL.ask(connection, "survey", {"prefixes": list(prefixes)})
    if not accept_fewer:
        Shrinkage(
            "originals", seen["originals"], seen["originals_before"] or None, tolerated_shrinkage
        ).refuse_if_implausible(
            "listing",
            f"{', '.join(prefixes)} in bucket {bucket}",
            "Check FM_OBJECTS_URL and FM_DUMP_PREFIXES; if they were really removed, run with accept_fewer: true",
        )
    facts = {
        "started_at": started_at,
        "source": source,
        "bucket": bucket,
        "prefixes": list(prefixes),
        "run_id": run_id,
        "objects": seen["objects"],
        "bytes": seen["bytes"],
    }
    snapshot = _SQL.ask(connection, "record", facts)["id"]
    facts = {"snapshot": snapshot, "prefixes": list(prefixes)}
    changed, appeared = _merge(connection, facts)
    vanished = _SQL.run(connection, facts, "vanish")["vanish"]
    _ingest(connection, snapshot, bucket, everything=source == "listing", started_at=started_at)
    counts = {name: value for name, value in seen.items() if name != "originals_before"}
    return InventoryUpdate(snapshot=snapshot, **counts, appeared=appeared, changed=changed, vanished=vanished)


def update_from_events(
    connection: Connection,
    look_up: Callable[[Sequence[str]], Iterable[ObjectFacts]],
    *,
    layout: KeyLayout,
    bucket: str,
    prefixes: Sequence[str],
    tolerated_shrinkage: float,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> InventoryUpdate:
    """Look up the objects that the inbox names, and nothing else. `look_up` leaves out those that are gone."""
    _prepare(connection)
    keys: Sequence[str] = connection.execute(_NOTICED, {"bucket": bucket}).scalars().all()
    copy_rows(connection, "listed", _COLUMNS, (_row(facts, layout) for facts in look_up(keys)))
    connection.execute(text("analyze listed"))
    before = _SQL.ask(connection, "survey_present", {"prefixes": list(prefixes)})
    snapshot = connection.execute(_SQL["record_events"], {"run_id": run_id}).scalar()
    if snapshot is None:
        raise ImplausibleInputError(
            "looking up new objects of", f"bucket {bucket}", "it was never listed", "Run s3_inventory without only_new"
        )
    facts = {"snapshot": snapshot, "bucket": bucket}
    changed, appeared = _merge(connection, facts)
    vanished = _SQL.run(connection, facts, "vanish_noticed")["vanish_noticed"]
    seen = _SQL.ask(connection, "survey_present", {"prefixes": list(prefixes)})
    if not accept_fewer and before["originals"]:
        Shrinkage("originals", seen["originals"], before["originals"], tolerated_shrinkage).refuse_if_implausible(
            "looking up",
            f"what was removed from bucket {bucket}",
            "If the originals were really removed, run with accept_fewer: true",
        )
    totals = {"snapshot": snapshot, "objects": seen["objects"], "bytes": seen["bytes"]}
    _SQL.run(connection, totals, "correct")
    _ingest(connection, snapshot, bucket, everything=True, started_at=None)
    return InventoryUpdate(snapshot=snapshot, **seen, appeared=appeared, changed=changed, vanished=vanished)


@dataclass(frozen=True)
class Differing:
    """Keys that are not in the inventory as they are in the bucket."""

    new: frozenset[str]
    changed: frozenset[str]


def differing(connection: Connection, listed: Sequence[ObjectFacts]) -> Differing:
    """Which of these objects the inventory does not have, or has with other contents."""
    rows = connection.execute(
        _SQL["differing"],
        {
            "keys": [as_stored(facts.key) for facts in listed],
            "etags": [facts.etag for facts in listed],
            "sizes": [facts.size for facts in listed],
        },
    ).all()
    return Differing(
        frozenset(row.key for row in rows if row.is_new), frozenset(row.key for row in rows if not row.is_new)
    )


def present(connection: Connection, prefixes: Sequence[str]) -> int:
    """How many objects the inventory has below these prefixes."""
    return int(_SQL.ask(connection, "present", {"prefixes": list(prefixes)})["objects"])


@dataclass(frozen=True)
class Snapshot:
    """A reading of the bucket, and since when it can be judged by it."""

    id: int
    started_at: datetime


def newest_snapshot(connection: Connection) -> Snapshot | None:
    row = connection.execute(_NEWEST).one_or_none()
    return Snapshot(row.id, row.started_at) if row else None


def as_stored(key: str) -> str:
    """A key as it stands in our tables: the one character that PostgreSQL cannot store, by its picture."""
    return key.replace("\0", "\u2400")


def _merge(connection: Connection, facts: Mapping[str, object]) -> tuple[int, int]:
    """Take what was listed into the inventory; how many objects had changed and how many are new."""
    changed, appeared = (_SQL.run(connection, facts, step)[step] for step in ("change", "appear"))
    if appeared >= sql.MANY_ROWS:
        # Else the next step takes the inventory for small, and reads all that was listed for each of its rows.
        _SQL.run(connection, None, "analyze_inventory")
    return changed, appeared


def _prepare(connection: Connection) -> None:
    _SQL.run(connection, None, "prepare", "notice")


def _ingest(
    connection: Connection, snapshot: int, bucket: str, *, everything: bool, started_at: datetime | None
) -> None:
    facts = {"snapshot": snapshot, "bucket": bucket, "everything": everything, "started_at": started_at}
    _SQL.run(connection, facts, "ingest", "forget")


def _row(facts: ObjectFacts, layout: KeyLayout) -> tuple[object, ...]:
    key = classify(facts.key, layout)
    claim = key.claim
    return (
        as_stored(facts.key),
        key.kind.value,
        key.recid,
        key.image_id,
        claim.contact if claim else None,
        claim.date if claim else None,
        key.extension,
        facts.etag,
        facts.size,
        facts.last_modified,
        facts.storage_class,
    )
