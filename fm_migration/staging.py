"""Staging as three functions: from a place where data is to a table of our schema.

Belongs here: joining a source (export file, bucket, patients) with what the ledger does with it. Each works in the
caller's transaction and can be called from a Python prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from fm_migration.export_source import open_export
from fm_migration.filemaker import columns, reading, rows, types
from fm_migration.filemaker.sniffing import ReadOptions
from fm_migration.ledger import csv_metadata, identity, inventory
from fm_migration.objects import listing
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.keys import KeyLayout
from fm_migration.objects.store import ObjectStore
from fm_migration.places import Places
from fm_migration.settings import Settings

if TYPE_CHECKING:
    from fm_migration.objects.inventory_report import InventoryReport

_Pages = Iterable[Sequence[ObjectFacts]]


def stage_export(
    connection: Connection, places: Places, *, accept_fewer: bool = False, run_id: str | None = None
) -> csv_metadata.CsvUpdate:
    """Read the export into `csv_metadata`."""
    settings = places.settings
    options = ReadOptions(encoding=settings.export_encoding, profiles=columns.load_profiles(settings.export_columns))
    with open_export(places) as file, reading.read(file.path, options, file.source) as export:
        return csv_metadata.replace_rows(
            connection,
            export,
            rows.survey(export, settings.date_order),
            source=file.source,
            today=datetime.now(settings.zone).date(),
            types=types.load_types(settings.export_types),
            tolerated_shrinkage=settings.tolerated_shrinkage,
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
    prefixes = _prefixes(settings)
    source = _from_report if settings.inventory_reports else _from_listing
    started_at, pages = source(store, settings, prefixes)
    return inventory.update_inventory(
        connection,
        pages,
        layout=key_layout(settings),
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
    """Look up the objects that the queue has told of, instead of listing the bucket, into `s3_inventory`."""
    return inventory.update_from_events(
        connection,
        store.look_up,
        layout=key_layout(settings),
        bucket=store.bucket,
        prefixes=_prefixes(settings),
        tolerated_shrinkage=settings.tolerated_shrinkage,
        accept_fewer=accept_fewer,
        run_id=run_id,
    )


def stage_patients(connection: Connection, *, run_id: str | None = None) -> identity.IdentityUpdate:
    """Bring the identity history up to date with the patients' table."""
    return identity.update_history(connection, run_id=run_id)


def key_layout(settings: Settings) -> KeyLayout:
    """Which prefix of the bucket holds what."""
    return KeyLayout(
        dump=settings.dump_prefixes,
        exports=settings.exports_prefixes,
        thumbnails=(settings.thumbnail_prefix,),
        quarantine=(settings.quarantine_prefix,),
    )


def _prefixes(settings: Settings) -> list[str]:
    return [*settings.original_prefixes, settings.thumbnail_prefix, settings.quarantine_prefix]


def _from_listing(store: ObjectStore, _settings: Settings, prefixes: Sequence[str]) -> tuple[datetime, _Pages]:
    """The present objects, and since when by the store's clock: what is younger may be missing from them."""
    return store.server_time(), (page for prefix in prefixes for page in listing.list_pages(store, prefix))


def _from_report(store: ObjectStore, settings: Settings, prefixes: Sequence[str]) -> tuple[datetime, _Pages]:
    """The objects of the newest inventory report, and as of when."""
    report = newest_report(store, settings)
    wanted = tuple(prefixes)
    return report.created_at, ([facts] for facts in report.objects() if facts.key.startswith(wanted))


def newest_report(store: ObjectStore, settings: Settings) -> InventoryReport:
    """The newest inventory report of the bucket; its data is not read yet."""
    # Imported here: pyarrow takes a third of a second, and most bring no report.
    from fm_migration.objects import inventory_report

    bucket, _, prefix = str(settings.inventory_reports).removeprefix("s3://").partition("/")
    reports = ObjectStore(store.client, bucket)
    manifest = inventory_report.latest_manifest(reports, prefix)
    return inventory_report.open_report(reports, manifest, source_bucket=store.bucket)
