"""Staging as three functions: from a place where data is to a table of our schema.

Belongs here: joining a source (export file, bucket, patients) with what the ledger does with it. Each works in the
caller's transaction and can be called from a Python prompt.
"""

from __future__ import annotations

from sqlalchemy import Connection

from fm_migration.ledger import csv_metadata, identity, inventory
from fm_migration.objects.store import ObjectStore
from fm_migration.places import Places
from fm_migration.settings import Settings
from fm_migration.sources import bucket
from fm_migration.sources.registry import open_sources


def stage_export(
    connection: Connection, places: Places, *, accept_fewer: bool = False, run_id: str | None = None
) -> csv_metadata.CsvUpdate:
    """Read the export, and every further source of rows, into `csv_metadata`."""
    with open_sources(connection, places) as sources:
        return csv_metadata.replace_rows(
            connection,
            sources,
            tolerated_shrinkage=places.settings.tolerated_shrinkage,
            accept_fewer=accept_fewer,
            run_id=run_id,
        )


def stage_inventory(
    connection: Connection,
    store: ObjectStore,
    settings: Settings,
    *,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> inventory.InventoryUpdate:
    """List the bucket, or read an inventory report of it, into `s3_inventory`."""
    prefixes = bucket.watched_prefixes(settings)
    started_at, pages = bucket.read_objects(store, settings, prefixes)
    return inventory.update_inventory(
        connection,
        pages,
        layout=bucket.key_layout(settings),
        bucket=store.bucket,
        prefixes=prefixes,
        started_at=started_at,
        source="inventory_report" if settings.inventory_reports else "listing",
        tolerated_shrinkage=settings.tolerated_shrinkage,
        accept_fewer=accept_fewer,
        run_id=run_id,
    )


def stage_new_objects(
    connection: Connection,
    store: ObjectStore,
    settings: Settings,
    *,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> inventory.InventoryUpdate:
    """Look up the objects that the queue has reported, instead of listing the bucket, into `s3_inventory`."""
    return inventory.update_from_events(
        connection,
        store.look_up,
        layout=bucket.key_layout(settings),
        bucket=store.bucket,
        prefixes=bucket.watched_prefixes(settings),
        tolerated_shrinkage=settings.tolerated_shrinkage,
        accept_fewer=accept_fewer,
        run_id=run_id,
    )


def stage_patients(connection: Connection, *, run_id: str | None = None) -> identity.IdentityUpdate:
    """Bring the identity history up to date with the patients' table."""
    return identity.update_history(connection, run_id=run_id)
