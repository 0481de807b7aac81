"""The inventory of the bucket: one row per object ever listed, brought up to date by complete listings only.

Everything happens in the caller's transaction: when the listing breaks off, or is implausible, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from fm_migration.ledger import sql
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.plausibility import Shrinkage
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.keys import KeyLayout, classify

PACKAGE = sql.__name__
_COLUMNS = (
    "key", "kind", "recid", "image_id", "path_contact", "path_date", "extension", "etag", "size", "last_modified",
    "storage_class",
)  # fmt: skip


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
    sql.run(connection, PACKAGE, "inventory", only="prepare")
    copy_rows(connection, "listed", _COLUMNS, (_row(facts, layout) for page in listing for facts in page))
    connection.execute(text("analyze listed"))
    seen = sql.ask(connection, PACKAGE, "inventory", "survey", {"prefixes": list(prefixes)})
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
    snapshot = sql.ask(connection, PACKAGE, "inventory", "record", facts)["id"]
    changed, appeared, vanished = (
        sql.run(connection, PACKAGE, "inventory", {"snapshot": snapshot, "prefixes": list(prefixes)}, only=step)[step]
        for step in ("change", "appear", "vanish")
    )
    counts = {name: value for name, value in seen.items() if name != "originals_before"}
    return InventoryUpdate(snapshot=snapshot, **counts, appeared=appeared, changed=changed, vanished=vanished)


def _row(facts: ObjectFacts, layout: KeyLayout) -> tuple[object, ...]:
    key = classify(facts.key, layout)
    claim = key.claim
    return (
        facts.key.replace("\0", "\u2400"),  # the one character that PostgreSQL cannot store, by its picture
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
