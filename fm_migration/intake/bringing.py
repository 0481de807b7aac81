"""One run of the intake: all records, and the bytes of those that are not here, one after the other.

What is committed is a photograph: whenever the process is killed, the next run goes on behind it, and what is here is
never fetched again. A container that fails is tried again between others, and only when it fails while others arrive is
it taken for broken for ever; then a smaller one is taken, which is written down, or the photograph is quarantined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, text

from fm_migration.errors import TransientError
from fm_migration.filemaker.data_api.client import LOOK_SECONDS, DataApi
from fm_migration.filemaker.data_api.containers import ByteSource, ContainerRefusedError, Fetched
from fm_migration.filemaker.data_api.failures import (
    UNAVAILABLE,
    BrokenConnectionError,
    EngineDownError,
    FileMakerError,
    ThrottledError,
    TransferLimitError,
)
from fm_migration.filemaker.data_api.records import EMPTY, Columns, Page, Record, Records, as_iso, without_containers
from fm_migration.filemaker.rows import recid_of, uuid_of
from fm_migration.intake.proving import Flaw, Proof, prove
from fm_migration.intake.wishes import Ending, Wishes, counted, tries_needed
from fm_migration.ledger import transfers
from fm_migration.ledger.transfers import Day, SourceRow, Transfer, Walk
from fm_migration.objects.failures import ObjectChangedError
from fm_migration.objects.store import ObjectStore

_Value = TypeVar("_Value")

SOURCE = transfers.FILEMAKER_IMAGES
#: An address is asked for this soon after its record was read.
_FRESH_SECONDS = 240.0
#: Tries of one container before others are given a turn.
_TRIES_A_ROUND = 2
#: When so many containers are refused one after another, it is not they who are broken.
_REFUSED_IN_A_ROW = 25
_PAUSE_SECONDS = 600.0
#: Flaws of bytes that came: the way to them is in order.
_DELIVERED = frozenset({Flaw.NOT_A_PICTURE, Flaw.BROKEN_HEADER, Flaw.BROKEN_OFF, Flaw.OTHER_MD5})

NO_PICTURE = "no_picture"
RECORD_GONE = "record_gone"
NAME_TAKEN = "name_taken"
CHANGED = "changed_at_source"
BROKEN_CONNECTION = "broken_connection"

_HERE = text("""
select recid, cast(image_id as text) as image_id, key from fm_migration.s3_inventory
where vanished is null and kind = 'original' and (recid = any(:recids) or image_id = any(cast(:image_ids as uuid[])))
union all
select recid, cast(image_id as text), object_key from fm_migration.transfer
where source <> :source and state = 'arrived'
  and (recid = any(:recids) or image_id = any(cast(:image_ids as uuid[])))
""")


@dataclass(frozen=True)
class PhotographOutcome:
    """What happened to one photograph, for whoever watches. Our own numbers only."""

    recid: str
    state: str
    container: str
    bytes: int
    reason: str
    done: int
    expected: int


@dataclass
class Outcome:
    """What a run has done."""

    ending: Ending = Ending.COMPLETE
    records: int = 0
    rows: int = 0
    arrived: int = 0
    bytes: int = 0
    present: int = 0
    quarantined: int = 0
    smaller: int = 0
    failed_tries: int = 0
    storms: int = 0
    by_odata: int = 0
    #: Records whose field recid is not FileMaker's own number of the record.
    recid_differs: int = 0
    #: Records that the table has and the walk did not meet; None while the walk is not complete.
    unseen: int | None = None
    gone: int = 0
    changed_at_source: int = 0
    would_fetch: int = 0
    json_bytes: int = 0
    container_bytes: int = 0
    requests: int = 0

    def figures(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


class _EndRun(Exception):  # noqa: N818  no error
    """Ends a run where it stands, with a good reason."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        super().__init__(ending)


@dataclass
class _Pending:
    """A photograph whose bytes are wanted."""

    record: Record
    transfer: Transfer
    #: The name by which the bucket was asked for it.
    looked: str | None = None

    def expire(self) -> None:
        """Its addresses have died: the record is read again before the next try."""
        self.record = replace(self.record, read_at=float("-inf"))


@dataclass(frozen=True)
class Workplace:
    """What a run works with."""

    engine: Engine
    store: ObjectStore
    dump_prefixes: tuple[str, ...]
    zone: ZoneInfo
    #: Which bytes count towards `daily_bytes`: all, json or containers.
    counts: str = "all"
    run_id: str | None = None
    on_progress: Callable[[PhotographOutcome], None] = lambda _told: None
    sleep: Callable[[float], None] = time.sleep


class Intake:
    """A run. `second` is another way to the bytes, for when the first one's engine is down."""

    def __init__(
        self,
        api: DataApi,
        columns: Columns,
        first: ByteSource,
        second: ByteSource | None,
        place: Workplace,
        wishes: Wishes,
    ) -> None:
        self._api = api
        self._columns = columns
        self._records = Records(api, columns)
        self._first, self._second = first, second
        self._place = place
        self._wishes = wishes
        self._outcome = Outcome()
        self._expected = 0
        self._failed = self._succeeded = 0
        self._refused: dict[str, Transfer] = {}
        self._last_fetch = float("-inf")
        self._last_look = float("-inf")
        self._pace = transfers.Pace()

    def run(self) -> Outcome:
        """Until everything is here, or a wish says that it is enough."""
        outcome = self._outcome
        try:
            with transfers.alone(self._place.engine):
                if self._wishes.dry_run:
                    self._look_only()
                else:
                    self._bring_all()
        except _EndRun as end:
            outcome.ending = end.ending
        except TransferLimitError:
            outcome.ending = Ending.SERVER_LIMIT
        finally:
            outcome.storms = self._api.breaker.storms
            if not self._wishes.dry_run:
                with self._place.engine.begin() as connection:
                    self._spend(connection)
        return outcome

    # --- the walk -------------------------------------------------------------------------------------------------

    def _bring_all(self) -> None:
        self._check_wishes()
        total = self._steadily(self._records.count)
        walk = self._begin_walk(total)
        self._expected = self._still_to_bring(total)
        for page in self._pages(walk):
            self._bring_page(page.records)
            walk = replace(walk, last_key=page.last_key, seen_there=page.seen_there)
            with self._place.engine.begin() as connection:
                transfers.write_walk(connection, SOURCE, walk)
                self._spend(connection)
        self._end_walk(walk)
        self._bring_waiting()

    def _look_only(self) -> None:
        walk = Walk()
        for page in self._pages(walk):
            self._outcome.records += len(page.records)
            with self._place.engine.connect() as connection:
                known = transfers.transfers(connection, SOURCE, [record.number for record in page.records])
            wanted = [one for one in page.records if self._is_wanted(one, known.get(one.number))]
            self._outcome.would_fetch += sum(bool(self._filled(record)) for record in wanted)
        raise _EndRun(Ending.DRY_RUN)

    def _begin_walk(self, total: int | None) -> Walk:
        """Where the last run stopped; from the beginning when that had come to the end."""
        with self._place.engine.begin() as connection:
            walk = transfers.read_walk(connection, SOURCE)
            if walk.started_at is None or walk.completed_at is not None:
                started: datetime = connection.execute(text("select now()")).scalar_one()
                walk = Walk(started_at=started)
            walk = replace(walk, records=total)
            transfers.write_walk(connection, SOURCE, walk)
        return walk

    def _pages(self, walk: Walk) -> Iterator[Page]:
        """The pages of a walk. One that the engine's death has cut short is taken up behind the last page."""
        last, seen = walk.last_key, walk.seen_there
        while True:
            try:
                for page in self._records.walk(self._wishes.batch_size, last, seen):
                    yield page
                    last, seen = page.last_key, page.seen_there
            except UNAVAILABLE:
                self._await_engine()
            else:
                return

    def _end_walk(self, walk: Walk) -> None:
        """Compare with what the table has: only a reading that missed nobody may say who is gone."""
        total = self._steadily(self._records.count)
        if total is not None and len(self._seen(walk)) < total:
            self._sweep(walk)
        with self._place.engine.begin() as connection:
            self._outcome.unseen = max(0, total - len(self._seen(walk))) if total is not None else None
            if self._outcome.unseen == 0 and walk.started_at is not None:
                self._outcome.gone = transfers.forget_unseen(connection, SOURCE, walk.started_at)
            ended = replace(walk, last_key=None, seen_there=(), completed_at=datetime.now(UTC), records=total)
            transfers.write_walk(connection, SOURCE, ended)
            self._spend(connection)

    def _sweep(self, walk: Walk) -> None:
        """What the walk by key has not met, by another order."""
        seen = self._seen(walk)
        pages = self._records.sweep(self._wishes.batch_size)
        while (page := self._steadily(partial(next, pages, None))) is not None:
            self._bring_page([record for record in page if record.number not in seen])

    def _seen(self, walk: Walk) -> set[str]:
        with self._place.engine.connect() as connection:
            return transfers.seen_since(connection, SOURCE, walk.started_at)

    def _still_to_bring(self, total: int | None) -> int:
        with self._place.engine.connect() as connection:
            done = sum(one.photographs for one in transfers.standing(connection, SOURCE) if one.state != "waiting")
        left = max(0, (total or 0) - done)
        return left if self._wishes.limit is None else min(left, self._wishes.limit)

    # --- a page ---------------------------------------------------------------------------------------------------

    def _bring_page(self, records: Sequence[Record]) -> None:
        """Keep what the records say, then fetch what is not here, then what has failed once more, between others."""
        with self._place.engine.begin() as connection:
            self._outcome.records += len(records)
            self._outcome.rows += transfers.keep_rows(connection, map(self._row, records))
            pending = list(self._wanted(connection, records))
        self._outcome.recid_differs += sum(self._recid(record) != record.number for record in records)
        self._bring_each(pending)

    def _bring_each(self, pending: list[_Pending]) -> None:
        """In rounds, until each has come to its end."""
        while pending:
            pending = [one for one in pending if not self._bring(one)]

    def _bring_waiting(self) -> None:
        """What an earlier run has left behind the walk: read anew, one by one."""
        with self._place.engine.connect() as connection:
            waiting = transfers.waiting(connection, SOURCE)
        for transfer in waiting:
            record = self._steadily(partial(self._records.get, transfer.record))
            if record is None:
                self._finish(replace(transfer, state="quarantined", reason=RECORD_GONE))
            else:
                self._bring_page([record])

    def _wanted(self, connection: Connection, records: Sequence[Record]) -> Iterator[_Pending]:
        known = transfers.transfers(connection, SOURCE, [record.number for record in records])
        here = self._here(connection, records)
        for record in records:
            transfer = known.get(record.number)
            if not self._is_wanted(record, transfer):
                self._note_change(connection, record, transfer)
                continue
            fresh = self._transfer(record, transfer)
            key = here.get(fresh.recid or "") or here.get(fresh.image_id or "")
            if key is not None and not transfers.shares_recid(connection, fresh.recid or "", SOURCE, record.number):
                transfers.record(connection, replace(fresh, state="present", object_key=key))
                self._outcome.present += 1
            else:
                yield _Pending(record, fresh)

    @staticmethod
    def _is_wanted(record: Record, transfer: Transfer | None) -> bool:
        if transfer is None or transfer.state == "waiting":
            return True
        return transfer.state == "quarantined" and transfer.modification != record.modification

    def _note_change(self, connection: Connection, record: Record, transfer: Transfer | None) -> None:
        """A picture that is another one now, by the source's own MD5: told, never overwritten."""
        if transfer is None or transfer.state != "arrived" or transfer.container is None:
            return
        told = record.text(self._columns.md5.get(transfer.container)).strip().lower()
        if told and transfer.source_md5 and told != transfer.source_md5 and transfer.reason != CHANGED:
            transfers.record(connection, replace(transfer, reason=CHANGED))
            self._outcome.changed_at_source += 1

    def _transfer(self, record: Record, known: Transfer | None) -> Transfer:
        """Where the photograph stands; a record that has changed begins anew."""
        fresh = Transfer(
            SOURCE,
            record.number,
            self._recid(record),
            uuid_of(record.text(self._columns.fields.get("image_id"))),
            record.modification,
            run_id=self._place.run_id,
        )
        if known is None or known.modification != record.modification:
            return fresh
        return replace(fresh, attempts=known.attempts, smaller_by=known.smaller_by, reason=known.reason)

    def _here(self, connection: Connection, records: Sequence[Record]) -> dict[str, str]:
        """Objects that the last listing, or another source, has of these recids and image ids."""
        ids = [uuid_of(record.text(self._columns.fields.get("image_id"))) for record in records]
        asked = {
            "source": SOURCE,
            "recids": [self._recid(record) for record in records],
            "image_ids": [image_id for image_id in ids if image_id],
        }
        found: dict[str, str] = {}
        for row in connection.execute(_HERE, asked):
            found.setdefault(row.recid or row.image_id, row.key)
        return found

    # --- a photograph ---------------------------------------------------------------------------------------------

    def _bring(self, pending: _Pending) -> bool:
        """One round for a photograph; whether it has come to an end. The engine's death counts for nothing."""
        if pending.looked is None and self._adopted(pending):
            return True
        for _ in range(_TRIES_A_ROUND):
            filled = self._filled(pending.record)
            candidates = filled[pending.transfer.smaller_by :]
            if not candidates:
                reason = NO_PICTURE if not filled else pending.transfer.reason
                return self._finish(replace(pending.transfer, state="quarantined", reason=reason))
            self._check_wishes()
            self._keep_pace()
            found = self._fetched(pending, candidates[0])
            if found is None:
                return True
            if isinstance(found, tuple):
                body, proof = found
                return self._keep(pending, candidates[0], body, proof)
            self._failed_once(pending, str(found))
        return False

    def _fetched(self, pending: _Pending, container: str) -> tuple[bytes, Proof] | str | None:
        """The bytes and their proof, or why not; None when the record is gone."""
        while True:
            source = self._ready(pending)
            if source is None:
                self._finish(replace(pending.transfer, state="quarantined", reason=RECORD_GONE))
                return None
            if source is self._second:
                found = self._by_second(pending, container, source)
                if found is not None:
                    return found
                continue
            try:
                fetched = source.fetch(pending.record, container)
            except EngineDownError:
                self._engine_is_down()
            except ThrottledError as error:
                self._rest(error.seconds if error.seconds is not None else self._api.patience.engine_first)
            except (ContainerRefusedError, BrokenConnectionError) as error:
                self._rest(self._api.patience.first)
                pending.expire()
                return error.reason if isinstance(error, ContainerRefusedError) else BROKEN_CONNECTION
            else:
                return self._proved(pending, container, fetched)

    def _by_second(self, pending: _Pending, container: str, source: ByteSource) -> tuple[bytes, Proof] | None:
        """The same by the second way, whose refusals prove nothing: then the first one is waited for."""
        try:
            found = self._proved(pending, container, source.fetch(pending.record, container))
        except TransferLimitError:
            raise
        except (TransientError, FileMakerError):
            found = None
        if found is None or isinstance(found, Flaw):
            self._await_engine()
            return None
        self._outcome.by_odata += 1
        return found

    def _proved(self, pending: _Pending, container: str, fetched: Fetched) -> tuple[bytes, Proof] | Flaw:
        told = pending.record.text(self._columns.md5.get(container)) or None
        found = prove(fetched.body, announced=fetched.announced, content_type=fetched.content_type, source_md5=told)
        if isinstance(found, Flaw):
            pending.expire()
            return found
        return fetched.body, found

    def _ready(self, pending: _Pending) -> ByteSource | None:
        """The way to take, with a record that was read just now; None when the record is gone."""
        while True:
            try:
                source = self._source()
                there = source is not self._first or self._freshen(pending)
            except UNAVAILABLE:
                self._engine_is_down()
            else:
                return source if there else None

    def _source(self) -> ByteSource:
        """The way to take now: the second one only while the first one's engine is down."""
        breaker = self._api.breaker
        if not breaker.is_open or breaker.ask():
            return self._first
        if self._second is not None:
            return self._second
        self._await_engine()
        return self._first

    def _engine_is_down(self) -> None:
        """By whichever way it was found out: when both are down, there is nothing but to wait."""
        both = self._api.breaker.is_open
        self._api.breaker.trip()
        if both or self._second is None:
            self._await_engine()

    def _freshen(self, pending: _Pending) -> bool:
        """Read the record again when its addresses may have died; whether it is still there."""
        self._api.session.keep_alive()
        record = pending.record
        age = self._api.now() - record.read_at
        if record.session == self._api.session.number and age < _FRESH_SECONDS:
            return True
        again = self._records.get(record.number)
        if again is not None:
            pending.record = again
        return again is not None

    def _failed_once(self, pending: _Pending, reason: str) -> None:
        """Count it, and when it has failed often enough while others arrived, take the next smaller container."""
        self._outcome.failed_tries += 1
        transfer = replace(pending.transfer, attempts=pending.transfer.attempts + 1, reason=reason)
        if transfer.attempts >= tries_needed(self._failed, self._succeeded):
            transfer = replace(transfer, attempts=0, smaller_by=transfer.smaller_by + 1)
            self._doubt_ourselves(transfer)
        pending.transfer = transfer
        with self._place.engine.begin() as connection:
            transfers.record(connection, transfer)

    def _doubt_ourselves(self, transfer: Transfer) -> None:
        """Containers that are refused one after another, without one arriving, are not all broken themselves."""
        if transfer.reason in _DELIVERED:
            self._refused.clear()
        self._refused[transfer.record] = transfer
        if len(self._refused) < _REFUSED_IN_A_ROW:
            return
        with self._place.engine.begin() as connection:
            for one in self._refused.values():
                transfers.record(connection, replace(one, state="waiting", smaller_by=0, attempts=0))
        raise FileMakerError(
            "fetching containers from",
            self._api.access.origin.url,
            f"{len(self._refused)} were refused one after another ({transfer.reason}) and none arrived",
            "See that the account may see the containers, and that nothing stands between that cuts cookies; then "
            "run again: none of them was given up",
        )

    def _keep(self, pending: _Pending, container: str, body: bytes, proof: Proof) -> bool:
        """Bring it to the dump, and write down what proves it."""
        transfer = pending.transfer
        self._failed += transfer.attempts
        self._succeeded += 1
        self._refused.clear()
        name = self._name(transfer)
        if name is None:
            return self._finish(replace(transfer, state="quarantined", reason=NAME_TAKEN))
        key = f"{self._place.dump_prefixes[0]}{name}.{proof.extension}"
        arrived = replace(
            transfer,
            state="arrived",
            reason="",
            container=container,
            bytes=proof.size,
            content_type=proof.content_type,
            sha256=proof.sha256,
            source_md5=proof.source_md5,
            object_key=key,
        )
        try:
            self._place.store.add_original(
                key, body, proof.content_type, _as_metadata(arrived, proof), looked=name == pending.looked
            )
        except ObjectChangedError:
            # Ours when the answer to our own writing was lost; otherwise somebody has brought one a moment ago.
            theirs = self._place.store.metadata(key)
            if theirs.get("fm-sha256") != proof.sha256 or theirs.get("fm-record") != transfer.record:
                return self._finish(replace(transfer, state="present", reason="", object_key=key))
        return self._finish(arrived)

    def _adopted(self, pending: _Pending) -> bool:
        """Whether an object of this name is there: a run that was killed has brought it, or somebody else."""
        name = self._name(pending.transfer)
        if name is None:
            return self._finish(replace(pending.transfer, state="quarantined", reason=NAME_TAKEN))
        for prefix in self._place.dump_prefixes:
            for facts in self._place.store.list(f"{prefix}{name}.", threads=1):
                if facts.key.removeprefix(prefix).count(".") > 1 or "/" in facts.key.removeprefix(prefix):
                    continue
                return self._finish(self._as_found(pending.transfer, facts.key, facts.size))
        pending.looked = name
        return False

    def _as_found(self, transfer: Transfer, key: str, size: int) -> Transfer:
        told = self._place.store.metadata(key)
        if told.get("fm-record") != transfer.record or told.get("fm-source") != SOURCE:
            return replace(transfer, state="present", reason="", object_key=key)
        return replace(
            transfer,
            state="arrived",
            reason="",
            container=told.get("fm-container"),
            smaller_by=int(told.get("fm-smaller-by", "0")),
            bytes=size,
            content_type=told.get("fm-type"),
            sha256=told.get("fm-sha256"),
            source_md5=told.get("fm-source-md5"),
            object_key=key,
        )

    def _name(self, transfer: Transfer) -> str | None:
        """The recid, as in the dump; where two records share one, the second by its image id, which is its own."""
        with self._place.engine.connect() as connection:
            shared = transfers.shares_recid(connection, transfer.recid or "", SOURCE, transfer.record)
        return transfer.image_id if shared else transfer.recid

    def _finish(self, transfer: Transfer) -> bool:
        """Write down how it ended, with what it has cost, in one transaction. Always True: it has come to its end."""
        with self._place.engine.begin() as connection:
            transfers.record(connection, transfer)
            self._spend(connection, photographs=int(transfer.state == "arrived"))
        outcome = self._outcome
        if transfer.state == "arrived":
            outcome.arrived += 1
            outcome.bytes += transfer.bytes or 0
            outcome.smaller += int(transfer.smaller_by > 0)
        elif transfer.state == "present":
            outcome.present += 1
        else:
            outcome.quarantined += 1
        self._place.on_progress(
            PhotographOutcome(
                transfer.recid or transfer.record,
                transfer.state,
                transfer.container or "",
                transfer.bytes or 0,
                transfer.reason,
                outcome.arrived + (outcome.present + outcome.quarantined if self._wishes.limit is None else 0),
                self._expected,
            )
        )
        return True

    # --- what a record says ---------------------------------------------------------------------------------------

    def _filled(self, record: Record) -> list[str]:
        """The containers with something in them, the best first."""
        return [name for name in self._columns.containers if record.text(name).strip() not in EMPTY]

    def _recid(self, record: Record) -> str:
        """The field recid; where it is not a number, FileMaker's own number of the record, as the dump was named by."""
        return recid_of(record.text(self._columns.fields["recid"])) or record.number

    def _row(self, record: Record) -> SourceRow:
        fields = self._columns.fields
        return SourceRow(
            SOURCE,
            record.number,
            self._recid(record),
            record.text(fields.get("image_id")),
            record.text(fields.get("contact")),
            as_iso(record.text(fields.get("date"))),
            record.text(fields.get("type")),
            record.text(fields.get("file_name")),
            record.text(fields.get("display_name")),
            record.text(fields.get("nexus_export_date")),
            record.text(fields.get("note")),
            without_containers(record, self._columns),
            record.modification,
        )

    # --- limits, pace, waiting ------------------------------------------------------------------------------------

    def _check_wishes(self) -> None:
        """Before each fetch: whether a wish, or a person in the meantime, says that it is enough."""
        wishes = self._wishes
        if wishes.limit is not None and self._outcome.arrived >= wishes.limit:
            raise _EndRun(Ending.LIMIT)
        if wishes.quiet_hours is not None and wishes.quiet_hours.hold(datetime.now(self._place.zone)):
            raise _EndRun(Ending.QUIET_HOURS)
        if wishes.daily_bytes is not None and self._spent_today() >= wishes.daily_bytes:
            raise _EndRun(Ending.DAILY_BYTES)
        self._look_at_pace()

    def _spent_today(self) -> int:
        today = datetime.now(self._place.zone).date()
        with self._place.engine.begin() as connection:
            self._spend(connection)
            days = transfers.days(connection, SOURCE)
        return sum(counted(one.json_bytes, one.container_bytes, self._place.counts) for one in days if one.day == today)

    def _spend(self, connection: Connection, photographs: int = 0) -> None:
        """Write down what was transferred since the last time."""
        json_bytes, container_bytes, requests = self._api.meter.since_last()
        if not (requests or photographs):
            return
        spent = Day(datetime.now(self._place.zone).date(), json_bytes, container_bytes, requests, photographs)
        transfers.add_to_day(connection, SOURCE, spent)
        self._outcome.json_bytes += json_bytes
        self._outcome.container_bytes += container_bytes
        self._outcome.requests += requests

    def _look_at_pace(self) -> None:
        """What a person has said meanwhile; a pause is waited for, and one that lasts ends the run."""
        if self._api.now() - self._last_look < LOOK_SECONDS:
            return
        waited = 0.0
        while True:
            with self._place.engine.connect() as connection:
                self._pace = transfers.read_pace(connection, SOURCE)
            self._last_look = self._api.now()
            if not self._pace.paused:
                return
            # The session is given back: a pause may be made for the sake of the clinic's own users.
            self._api.session.end()
            if waited >= _PAUSE_SECONDS or self._outcome.arrived == 0:
                raise _EndRun(Ending.PAUSED)
            self._place.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS

    def _keep_pace(self) -> None:
        """One after the other, and not more a minute than is wished."""
        a_minute = self._pace.a_minute if self._pace.a_minute is not None else self._wishes.a_minute
        while a_minute:
            left = self._last_fetch + 60.0 / a_minute - self._api.now()
            if left <= 0:
                break
            self._place.sleep(min(left, LOOK_SECONDS))
            self._check_wishes()
            a_minute = self._pace.a_minute if self._pace.a_minute is not None else self._wishes.a_minute
        self._last_fetch = self._api.now()

    def _await_engine(self) -> None:
        self._api.breaker.wait(self._place.sleep)

    def _rest(self, seconds: float) -> None:
        self._place.sleep(max(0.0, seconds))

    def _steadily(self, ask: Callable[[], _Value]) -> _Value:
        return self._api.steadily(ask, sleep=self._place.sleep)


def _as_metadata(transfer: Transfer, proof: Proof) -> dict[str, str]:
    """What is written with the object: our numbers and hashes, nothing of a patient."""
    told = {
        "fm-source": SOURCE,
        "fm-record": transfer.record,
        "fm-modification": transfer.modification,
        "fm-container": transfer.container or "",
        "fm-smaller-by": str(transfer.smaller_by),
        "fm-sha256": proof.sha256,
        "fm-md5": proof.md5,
        "fm-type": proof.content_type,
    }
    return told if proof.source_md5 is None else {**told, "fm-source-md5": proof.source_md5}
