"""Where the scan of the bucket stands, which takes several ticks of the sensor `new_objects`.

Kept here and not in the sensor's cursor, which is Dagster's: it holds a key, and a key may carry a patient's id.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_READ = text("""
select snapshot_id, prefixes, position, after_key, objects, round_ended_at, differs_since
from fm_migration.object_watch
""")
_WRITE = text("""
insert into fm_migration.object_watch
    (snapshot_id, prefixes, position, after_key, objects, round_ended_at, differs_since)
values (:snapshot, :prefixes, :position, :after, :objects, :round_ended_at, :differs_since)
on conflict (only_row) do update
set snapshot_id = excluded.snapshot_id, prefixes = excluded.prefixes, position = excluded.position,
    after_key = excluded.after_key, objects = excluded.objects, round_ended_at = excluded.round_ended_at,
    differs_since = excluded.differs_since
""")


@dataclass(frozen=True)
class Place:
    """In which prefix, behind which key, and how many objects were seen in this round before that."""

    snapshot: int
    prefixes: tuple[str, ...]
    position: int = 0
    after: str = ""
    objects: int = 0
    round_ended_at: datetime | None = None
    differs_since: datetime | None = None

    @property
    def at_the_start(self) -> bool:
        return self.position == 0 and not self.after


def read(connection: Connection) -> Place | None:
    row = connection.execute(_READ).one_or_none()
    if row is None:
        return None
    snapshot, prefixes, *others = row
    return Place(snapshot, tuple(prefixes), *others)


def write(connection: Connection, place: Place) -> None:
    connection.execute(_WRITE, {**asdict(place), "prefixes": list(place.prefixes)})
