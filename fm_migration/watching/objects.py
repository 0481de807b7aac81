"""Whether the bucket holds objects that the inventory does not have: a look around it in stretches, over many ticks.

State, not events: each object of the stretch is compared with its row in `s3_inventory`. Where a difference is found,
the look stays until a new reading of the bucket has ingested it, and then begins anew. What has vanished shows when
the round is over: the inventory then has more objects than were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from fm_migration.ledger import inventory, object_watch
from fm_migration.ledger.inventory import as_stored
from fm_migration.ledger.object_watch import Place
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.fingerprint import state_of
from fm_migration.objects.listing import Listable, list_stretch
from fm_migration.watching.backoff import Failures
from fm_migration.watching.decision import FIRST_IMPORT, Decision, is_being_written, start_unless_waiting, wait

PAGE = 1_000


@dataclass(frozen=True)
class BucketDifference:
    """Between the bucket and the inventory."""

    new: int
    changed: int
    vanished: int
    #: When the newest of these objects was written, by the store's clock.
    newest: datetime | None
    fingerprint: str

    @property
    def summary(self) -> str:
        return f"{self.new:,} new, {self.changed:,} changed and {self.vanished:,} vanished objects"


@dataclass(frozen=True)
class ScanResult:
    """What a look has found: a difference since some time, or what was looked at without one."""

    summary: str
    difference: BucketDifference | None = None
    since: datetime | None = None


def scan_bucket(
    connection: Connection, store: Listable, prefixes: Sequence[str], now: datetime, *, pages: int, rest: timedelta
) -> ScanResult:
    """The next stretch of at most so many pages. After a whole round nothing is asked for `rest`."""
    snapshot = inventory.newest_snapshot(connection)
    if snapshot is None:
        return ScanResult(FIRST_IMPORT)
    place = object_watch.read(connection)
    if place is None or (place.snapshot, place.prefixes) != (snapshot.id, tuple(prefixes)):
        place = Place(snapshot.id, tuple(prefixes))
    if place.at_the_start and place.round_ended_at is not None and now - place.round_ended_at < rest:
        return ScanResult(
            f"the whole bucket was looked at; the next round begins at {place.round_ended_at + rest:%H:%M} UTC"
        )
    ahead, listed = _walk(store, place, pages)
    difference = _compare(connection, listed, ahead)
    if difference is not None:
        since = place.differs_since or now
        object_watch.write(connection, replace(place, differs_since=since))
        return ScanResult(difference.summary, difference, since)
    if ahead.position < len(prefixes):
        object_watch.write(connection, replace(ahead, differs_since=None))
        return ScanResult(f"{ahead.objects:,} objects are as the inventory has them; the look goes on at the next tick")
    object_watch.write(connection, Place(snapshot.id, tuple(prefixes), round_ended_at=now))
    return ScanResult(f"the inventory is as the bucket: {ahead.objects:,} objects")


def scan_reports(
    connection: Connection, newest: Callable[[], datetime], now: datetime, *, rest: timedelta
) -> ScanResult:
    """The same where the inventory is read from S3's own reports: whether there is a newer one. `newest` asks."""
    snapshot = inventory.newest_snapshot(connection)
    if snapshot is None:
        return ScanResult(FIRST_IMPORT)
    place = object_watch.read(connection)
    looked = place.round_ended_at if place is not None and place.snapshot == snapshot.id else None
    if looked is not None and now - looked < rest:
        return ScanResult(f"the newest inventory report was read; the next look is at {looked + rest:%H:%M} UTC")
    made_at = newest()
    if made_at > snapshot.started_at:
        reason = f"an inventory report of {made_at:%Y-%m-%d %H:%M} UTC"
        return ScanResult(reason, BucketDifference(0, 0, 0, None, f"report {made_at.isoformat()}"))
    object_watch.write(connection, Place(snapshot.id, (), round_ended_at=now))
    return ScanResult("the newest inventory report was read")


def _walk(store: Listable, place: Place, pages: int) -> tuple[Place, list[ObjectFacts]]:
    """The objects of the next pages, and the place behind them."""
    listed: list[ObjectFacts] = []
    position, after = place.position, place.after
    while pages > 0 and position < len(place.prefixes):
        stretch = list_stretch(store, place.prefixes[position], after=after, pages=pages)
        listed += stretch.objects
        pages -= max(1, -(-len(stretch.objects) // PAGE))
        position, after = (position, stretch.after) if stretch.after is not None else (position + 1, "")
    return replace(place, position=position, after=after, objects=place.objects + len(listed)), listed


def _compare(connection: Connection, listed: Sequence[ObjectFacts], ahead: Place) -> BucketDifference | None:
    found = inventory.differing(connection, listed)
    other = [facts for facts in listed if as_stored(facts.key) in found.new | found.changed]
    vanished = 0
    if not other and ahead.position == len(ahead.prefixes):
        vanished = max(0, inventory.present(connection, ahead.prefixes) - ahead.objects)
    if not other and not vanished:
        return None
    return BucketDifference(
        new=len(found.new),
        changed=len(found.changed),
        vanished=vanished,
        newest=max((facts.last_modified for facts in other), default=None),
        fingerprint=f"{state_of(other).fingerprint}-{vanished}",
    )


def judge(
    found: ScanResult,
    now: datetime,
    *,
    settle: timedelta,
    run_is_active: bool,
    tried: Failures | None,
    unfinished: Failures | None,
) -> Decision:
    """Whether to ingest the difference now.

    `tried` are runs that have ended and left this very difference, `unfinished` those that have failed in a row: one
    of them may have read the bucket and then failed before the links.
    """
    if found.difference is None:
        if unfinished is None:
            return wait(found.summary)
        reason = "new objects were read, and the run failed behind that"
        return start_unless_waiting(reason, now, run_is_active=run_is_active, tried=unfinished)
    if is_being_written(found.difference.newest, found.since, now, settle):
        return wait(f"{found.summary}; waiting until none was written for {settle}")
    return start_unless_waiting(found.summary, now, run_is_active=run_is_active, tried=tried)
