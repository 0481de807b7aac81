"""What a source without an export file has brought: the metadata of its photographs, and how far their bytes have come.

Shared by FileMaker's Data API and the desktop export; each names itself by its `source`. Everything happens in the
caller's transaction, and a photograph's is committed before the next one is begun: a killed run goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection, Engine, text

from fm_migration.errors import TransientError

#: The sources, as they stand in the column `source`.
FILEMAKER_IMAGES = "filemaker_images"
DESKTOP_EXPORT = "desktop_export"
#: A number of our own for pg_try_advisory_lock.
BRING_LOCK = 7_664_209

State = Literal["waiting", "arrived", "present", "quarantined"]

_KEEP_ROW = text("""
insert into fm_migration.source_row as kept
    (source, record, recid, image_id, contact, date, type, file_name, display_name, nexus_export_date, note, raw,
     modification)
values (:source, :record, :recid, :image_id, :contact, :date, :type, :file_name, :display_name, :nexus_export_date,
        :note, :raw, :modification)
on conflict (source, record) do update
set recid = excluded.recid, image_id = excluded.image_id, contact = excluded.contact, date = excluded.date,
    type = excluded.type, file_name = excluded.file_name, display_name = excluded.display_name,
    nexus_export_date = excluded.nexus_export_date, note = excluded.note, raw = excluded.raw,
    modification = excluded.modification, seen_at = now(), gone_at = null,
    changed_at = case when (kept.raw, kept.modification) is distinct from (excluded.raw, excluded.modification)
                        or kept.gone_at is not null then now() else kept.changed_at end
""")
_SEEN = text("select record from fm_migration.source_row where source = :source and seen_at >= :since")
_GONE = text("""
update fm_migration.source_row set gone_at = now() where source = :source and gone_at is null and seen_at < :since
""")
_ROWS = text("""
select source, record, recid, image_id, contact, date, type, file_name, display_name, nexus_export_date, note, raw,
       modification
from fm_migration.source_row where source = :source and gone_at is null
order by length(recid), recid, record
""")
_SOURCES = text("select distinct source from fm_migration.source_row where gone_at is null order by source")
_IS_KNOWN = text("select exists (select from fm_migration.source_row where source = :source)")
_STATE_OF_ROWS = text("""
select count(*) || '-' || coalesce(sum(hashtextextended(source || ' ' || record || ' ' || raw, 0)), 0)
from fm_migration.source_row where gone_at is null
""")

#: A row may be committed a moment after a reading has begun and bear an earlier time, hence the margin; at worst it is
#: read once more.
_UNREAD = text("""
select count(*) as rows, min(at) as first, max(at) as newest,
       count(*) || '-' || coalesce(sum(hashtextextended(source || ' ' || record || ' ' || at, 0)), 0) as fingerprint
from (select source, record, greatest(changed_at, gone_at) as at from fm_migration.source_row) as row
where at > coalesce((select max(read_at) from fm_migration.export_read), '-infinity') - interval '10 seconds'
""")

_TRANSFER = """
select source, record, recid, cast(image_id as text) as image_id, modification, state, reason, container, smaller_by,
       attempts, bytes, content_type, sha256, source_md5, object_key, tried_at, finished_at, run_id
from fm_migration.transfer where source = :source
"""
_TRANSFERS = text(_TRANSFER)
_OF_RECORDS = text(f"{_TRANSFER} and record = any(:records)")
_WAITING = text(f"{_TRANSFER} and state = 'waiting' order by length(recid), recid, record")
_SHARES = text("""
select exists (select from fm_migration.transfer
               where recid = :recid and source = :source and record <> :record and object_key is not null)
""")
_RECORD = text("""
insert into fm_migration.transfer
    (source, record, recid, image_id, modification, state, reason, container, smaller_by, attempts, bytes, content_type,
     sha256, source_md5, object_key, tried_at, finished_at, run_id)
values (:source, :record, :recid, cast(:image_id as uuid), :modification, :state, :reason, :container, :smaller_by,
        :attempts, :bytes, :content_type, :sha256, :source_md5, :object_key, now(),
        case when :state = 'waiting' then null else now() end, :run_id)
on conflict (source, record) do update
set recid = excluded.recid, image_id = excluded.image_id, modification = excluded.modification, state = excluded.state,
    reason = excluded.reason, container = excluded.container, smaller_by = excluded.smaller_by,
    attempts = excluded.attempts, bytes = excluded.bytes, content_type = excluded.content_type,
    sha256 = excluded.sha256, source_md5 = excluded.source_md5, object_key = excluded.object_key,
    tried_at = excluded.tried_at, finished_at = excluded.finished_at, run_id = excluded.run_id
""")
_STANDING = text("""
select state, reason, count(*) as photographs, coalesce(sum(bytes), 0) as bytes,
       count(*) filter (where smaller_by > 0) as smaller
from fm_migration.transfer where source = :source group by state, reason order by state, reason
""")
_RELEASE = text("""
update fm_migration.transfer set state = 'waiting', reason = 'asked_again', attempts = 0, finished_at = null
where source = :source and state = 'quarantined' and (:every or recid = any(:recids))
""")

_ADD_TO_DAY = text("""
insert into fm_migration.transfer_day as known (source, day, json_bytes, container_bytes, requests, photographs)
values (:source, :day, :json_bytes, :container_bytes, :requests, :photographs)
on conflict (source, day) do update
set json_bytes = known.json_bytes + excluded.json_bytes,
    container_bytes = known.container_bytes + excluded.container_bytes,
    requests = known.requests + excluded.requests, photographs = known.photographs + excluded.photographs
""")
_DAYS = text("""
select day, json_bytes, container_bytes, requests, photographs from fm_migration.transfer_day
where source = :source order by day
""")

_WALK = text("""
select started_at, last_key, seen_there, completed_at, records from fm_migration.transfer_walk where source = :source
""")
_WRITE_WALK = text("""
insert into fm_migration.transfer_walk (source, started_at, last_key, seen_there, completed_at, records)
values (:source, coalesce(:started_at, now()), :last_key, :seen_there, :completed_at, :records)
on conflict (source) do update
set started_at = excluded.started_at, last_key = excluded.last_key, seen_there = excluded.seen_there,
    completed_at = excluded.completed_at, records = excluded.records
""")
_PACE = text("select a_minute, paused from fm_migration.transfer_pace where source = :source")
_SET_PACE = text("""
insert into fm_migration.transfer_pace (source, a_minute, paused, changed_at)
values (:source, :a_minute, :paused, now())
on conflict (source) do update
set a_minute = excluded.a_minute, paused = excluded.paused, changed_at = excluded.changed_at
""")


@dataclass(frozen=True)
class SourceRow:
    """What a source says about one photograph, as text; '' where it tells nothing."""

    source: str
    record: str
    recid: str = ""
    image_id: str = ""
    contact: str = ""
    date: str = ""
    type: str = ""
    file_name: str = ""
    display_name: str = ""
    nexus_export_date: str = ""
    note: str = ""
    raw: str = ""
    modification: str = ""


@dataclass(frozen=True)
class Transfer:
    """Where the bytes of one photograph stand, and what proves them."""

    source: str
    record: str
    recid: str | None = None
    image_id: str | None = None
    modification: str = ""
    state: State = "waiting"
    reason: str = ""
    container: str | None = None
    smaller_by: int = 0
    attempts: int = 0
    bytes: int | None = None
    content_type: str | None = None
    sha256: str | None = None
    source_md5: str | None = None
    object_key: str | None = None
    tried_at: datetime | None = None
    finished_at: datetime | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Standing:
    """How many photographs of a source are in one state for one reason."""

    state: State
    reason: str
    photographs: int
    bytes: int
    smaller: int


@dataclass(frozen=True)
class Day:
    """What was transferred on one day."""

    day: date
    json_bytes: int = 0
    container_bytes: int = 0
    requests: int = 0
    photographs: int = 0


@dataclass(frozen=True)
class Walk:
    """How far the records of a source were read."""

    started_at: datetime | None = None
    last_key: int | None = None
    seen_there: tuple[str, ...] = field(default=())
    completed_at: datetime | None = None
    records: int | None = None


@dataclass(frozen=True)
class Pace:
    """What a person has said to a run that is under way. None: nothing, so the run's own configuration counts."""

    a_minute: float | None = None
    paused: bool = False


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """A connection that holds the lock of everybody who brings originals, on whatever machine."""
    with engine.connect() as connection:
        if not connection.execute(text("select pg_try_advisory_lock(:lock)"), {"lock": BRING_LOCK}).scalar_one():
            raise TransientError(
                "beginning to bring photographs into",
                "the dump",
                "another run is bringing some at this moment",
                "Wait for its end: one run at a time looks what is there and brings what is not",
            )
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": BRING_LOCK})
            connection.commit()


@dataclass(frozen=True)
class Unread:
    """Rows that no reading has taken in yet: how many, since when, until when, and which."""

    rows: int
    first: datetime | None
    newest: datetime | None
    fingerprint: str


def keep_rows(connection: Connection, rows: Iterable[SourceRow]) -> int:
    """Keep what a source has told, in the place of what it told of the same records before; how many rows."""
    told = [{name: value.replace("\x00", "\ufffd") for name, value in asdict(row).items()} for row in rows]
    if told:
        connection.execute(_KEEP_ROW, told)
    return len(told)


def seen_since(connection: Connection, source: str, since: datetime | None) -> set[str]:
    """The records of a source that a reading, begun at `since`, has met."""
    return set(connection.execute(_SEEN, {"source": source, "since": since}).scalars())


def forget_unseen(connection: Connection, source: str, since: datetime) -> int:
    """Mark the rows that a complete reading, begun at `since`, has missed; how many."""
    return connection.execute(_GONE, {"source": source, "since": since}).rowcount


def sources(connection: Connection) -> list[str]:
    """The sources that have rows."""
    return list(connection.execute(_SOURCES).scalars())


def is_known(connection: Connection, source: str) -> bool:
    """Whether a source has ever brought a row, also if all of them are gone."""
    known: bool = connection.execute(_IS_KNOWN, {"source": source}).scalar_one()
    return known


def rows_of(connection: Connection, source: str) -> Iterator[SourceRow]:
    """The rows of a source in the order of their recids, without those that are gone."""
    return (SourceRow(**row) for row in connection.execute(_ROWS, {"source": source}).mappings())


def state_of_rows(connection: Connection) -> str:
    """A fingerprint of all rows of all sources."""
    found: str = connection.execute(_STATE_OF_ROWS).scalar_one()
    return found


def unread(connection: Connection) -> Unread:
    """The rows that have changed since `csv_metadata` was read last."""
    return Unread(**connection.execute(_UNREAD).mappings().one())


def transfers(connection: Connection, source: str, records: Sequence[str] | None = None) -> dict[str, Transfer]:
    """The photographs of a source, or these of them, by their record."""
    statement = _TRANSFERS if records is None else _OF_RECORDS
    asked = {"source": source} if records is None else {"source": source, "records": list(records)}
    return {row["record"]: Transfer(**row) for row in connection.execute(statement, asked).mappings()}


def waiting(connection: Connection, source: str) -> list[Transfer]:
    """The photographs of a source that are not here yet."""
    return [Transfer(**row) for row in connection.execute(_WAITING, {"source": source}).mappings()]


def shares_recid(connection: Connection, recid: str, source: str, record: str) -> bool:
    """Whether another photograph of the same source has this recid, and an object that is named by it."""
    return bool(connection.execute(_SHARES, {"recid": recid, "source": source, "record": record}).scalar_one())


def record(connection: Connection, transfer: Transfer) -> None:
    """Write down where a photograph stands now."""
    connection.execute(_RECORD, asdict(transfer))


def standing(connection: Connection, source: str) -> list[Standing]:
    """How many photographs of a source stand where."""
    return [Standing(**row) for row in connection.execute(_STANDING, {"source": source}).mappings()]


def release(connection: Connection, source: str, recids: Sequence[str] | None = None) -> int:
    """Let quarantined photographs be tried again because a person asks: these, or every one."""
    asked = {"source": source, "every": recids is None, "recids": list(recids or ())}
    return connection.execute(_RELEASE, asked).rowcount


def add_to_day(connection: Connection, source: str, spent: Day) -> None:
    """Add to what was transferred on a day."""
    connection.execute(_ADD_TO_DAY, {"source": source, **asdict(spent)})


def days(connection: Connection, source: str) -> list[Day]:
    """What was transferred, day by day."""
    return [Day(**row) for row in connection.execute(_DAYS, {"source": source}).mappings()]


def read_walk(connection: Connection, source: str) -> Walk:
    """How far a source was read; the beginning before the first time."""
    row = connection.execute(_WALK, {"source": source}).mappings().one_or_none()
    return Walk() if row is None else Walk(**{**row, "seen_there": tuple(row["seen_there"])})


def write_walk(connection: Connection, source: str, walk: Walk) -> None:
    connection.execute(_WRITE_WALK, {"source": source, **asdict(walk), "seen_there": list(walk.seen_there)})


def read_pace(connection: Connection, source: str) -> Pace:
    row = connection.execute(_PACE, {"source": source}).mappings().one_or_none()
    return Pace() if row is None else Pace(**row)


def set_pace(connection: Connection, source: str, pace: Pace) -> None:
    connection.execute(_SET_PACE, {"source": source, **asdict(pace)})
