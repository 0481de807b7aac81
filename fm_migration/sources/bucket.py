"""The objects of the bucket: by a listing, or from an inventory report of S3's own.

Belongs here: which prefixes are ours to read, and which of the two ways the settings ask for. Does not belong here: how
a listing is read (`objects/`), and what the inventory does with it (`ledger/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from fm_migration.objects import listing
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.keys import KeyLayout
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings

if TYPE_CHECKING:
    from fm_migration.objects.inventory_report import InventoryReport

Pages = Iterable[Sequence[ObjectFacts]]


def key_layout(settings: Settings) -> KeyLayout:
    """Which prefix of the bucket holds what."""
    return KeyLayout(
        dump=settings.dump_prefixes,
        exports=settings.exports_prefixes,
        thumbnails=(settings.thumbnail_prefix,),
        quarantine=(settings.quarantine_prefix,),
    )


def watched_prefixes(settings: Settings) -> list[str]:
    return [*settings.original_prefixes, settings.thumbnail_prefix, settings.quarantine_prefix]


def read_objects(store: ObjectStore, settings: Settings, prefixes: Sequence[str]) -> tuple[datetime, Pages]:
    """The objects under these prefixes, in pages, and the time from which on one may be missing from them."""
    read = _from_report if settings.inventory_reports else _from_listing
    return read(store, settings, prefixes)


def _from_listing(store: ObjectStore, _settings: Settings, prefixes: Sequence[str]) -> tuple[datetime, Pages]:
    """The present objects, and since when by the store's clock: what is younger may be missing from them."""
    return store.server_time(), (page for prefix in prefixes for page in listing.list_pages(store, prefix))


def _from_report(store: ObjectStore, settings: Settings, prefixes: Sequence[str]) -> tuple[datetime, Pages]:
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
