"""Bringing a desktop export in: what is not in the dump yet goes there, and what it is becomes rows.

Belongs here: one pass over an export, from its files to the dump, `source_row` and `transfer`. Does not belong here:
what a file is (`filemaker/desktop/`), how it is read (`sources/desktop.py`), and linking.

A photograph is brought once, by its checksum, under `<recid>.<ext>`; an original that is there is never overwritten.
What was done is written down every few seconds, so that a killed run goes on where it was. That the folder is gone one
day removes nothing: it was only the way.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from fm_migration.errors import ImplausibleInputError
from fm_migration.filemaker.desktop.days import Days, read_days
from fm_migration.filemaker.desktop.judging import Bytes, Candidate, Judgement, Photograph, judge, sort_out
from fm_migration.filemaker.desktop.manifest import Manifest, ManifestLine, read_manifests
from fm_migration.filemaker.desktop.paths import is_manifest
from fm_migration.filemaker.desktop.states import Kind, State
from fm_migration.images.sniffing import FileKind, kind_of
from fm_migration.images.wholeness import EXTENSIONS, has_header, is_whole
from fm_migration.ledger import transfers
from fm_migration.ledger.transfers import SourceRow, Transfer
from fm_migration.objects.ahead import read_ahead
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.failures import ObjectChangedError
from fm_migration.objects.hashing import Wanted, hash_object
from fm_migration.objects.keys import KeyKind, classify
from fm_migration.objects.store import ObjectStore
from fm_migration.retrying import retry
from fm_migration.settings import Settings
from fm_migration.sources.bucket import key_layout
from fm_migration.sources.desktop import Entry, ExportPlace, still_growing

SOURCE = transfers.DESKTOP_EXPORT
WORKERS = 8
#: How often what was done is written down.
EVERY_SECONDS = 2.0
MOST_MANIFEST_BYTES = 256 * 1024 * 1024
#: A store that is away is waited for about two minutes.
ATTEMPTS = 8
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0

_RECIDS = text("""
select image_id, min(recid) as recid from fm_migration.csv_metadata
where image_id is not null and recid is not null group by image_id having count(distinct recid) = 1
""")
_STRANGERS = text("""
select count(*) from fm_migration.source_row as row
where row.source = :source and row.gone_at is null and row.record = any(:records) and row.contact <> ''
  and exists (select from fm_migration.patient_identity)
  and translate(lower(row.contact), '{-} ', '') not in (
      select translate(patient_id::text, '-', '') from fm_migration.patient_identity
      union all
      select translate(filemaker_id::text, '-', '') from fm_migration.patient_identity where filemaker_id is not null)
""")
# An image whose recid was not known before is known by it now.
_SUPERSEDE = (
    text("update fm_migration.source_row set gone_at = now() where source = :source and record = any(:records)"),
    text("delete from fm_migration.transfer where source = :source and record = any(:records)"),
)
_FORGET = text("""
delete from fm_migration.transfer
where source = :source and state in ('waiting', 'quarantined') and starts_with(record, :place)
  and not record = any(:records)
""")
_FINGERPRINT = text("""
select count(*) || '-'
       || coalesce(sum(hashtextextended(row.record || ' ' || row.raw || ' ' || coalesce(sha256, ''), 0)), 0)
from fm_migration.source_row as row left join fm_migration.transfer using (source, record)
where row.source = :source and row.gone_at is null
""")


@dataclass
class Brought:
    """What an export held and what was brought. Every file is in one state, and so is every record without a file."""

    files: int = 0
    bytes: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    present: int = 0
    unchanged: int = 0
    #: Photographs that have the MD5 which left FileMaker.
    proven: int = 0
    manifest_lines: int = 0
    manifest_refused: int = 0
    manifest_unfinished: int = 0
    dates_assumed: int = 0
    dates_uncertain: int = 0
    seconds: float = 0.0
    states: Counter[State] = field(default_factory=Counter)

    def of_kind(self, kind: Kind) -> int:
        """How many files and records are in states of a kind."""
        return sum(count for state, count in self.states.items() if state.kind is kind)


#: Told as it goes: photographs done, photographs in all, what was brought so far.
OnProgress = Callable[[int, int, Brought], None]


def bring(
    engine: Engine,
    store: ObjectStore,
    place: ExportPlace,
    settings: Settings,
    *,
    dry_run: bool = False,
    read_all: bool = False,
    workers: int = WORKERS,
    run_id: str | None = None,
    on_progress: OnProgress | None = None,
) -> Brought:
    """Bring in what the export has and the dump lacks. A dry run says what would be done."""
    started = time.monotonic()
    with transfers.alone(engine) if not dry_run else engine.connect() as connection:
        pass_ = _Pass(connection, store, place, settings, dry_run=dry_run, read_all=read_all, run_id=run_id)
        pass_.prepare()
        pass_.bring(workers, on_progress or (lambda *_: None))
        pass_.finish()
    pass_.brought.seconds = time.monotonic() - started
    return pass_.brought


def fingerprint(connection: Connection) -> str:
    """What changes when any row or any picture that desktop exports have brought does."""
    found: str = connection.execute(_FINGERPRINT, {"source": SOURCE}).scalar_one()
    return found


class _Done(NamedTuple):
    """What became of a photograph."""

    photograph: Photograph
    states: dict[str, State]
    row: SourceRow | None = None
    transfer: Transfer | None = None
    uploaded: bool = False
    unchanged: bool = False


class _Content(NamedTuple):
    """What a file holds."""

    body: bytes
    found: Bytes
    sha256: str = ""
    mime: str = ""
    extension: str = ""


class _Pass:
    """One pass over an export."""

    def __init__(
        self,
        connection: Connection,
        store: ObjectStore,
        place: ExportPlace,
        settings: Settings,
        *,
        dry_run: bool,
        read_all: bool,
        run_id: str | None,
    ) -> None:
        self.brought = Brought()
        self._connection = connection
        self._place = place
        self._settings = settings
        self._dry_run = dry_run
        self._read_all = read_all
        self._run_id = run_id
        self._files: dict[str, Entry] = {}
        self._manifest = Manifest()
        self._days = Days({}, 0, 0)
        self._photographs: list[Photograph] = []
        self._states: dict[str, State] = {}
        self._without_file: list[tuple[ManifestLine, State]] = []
        self._dump = _Dump(store, settings, dry_run=dry_run)
        self._known: dict[str, Transfer] = {}
        self._taken: list[str] = []

    def prepare(self) -> None:
        """Look at everything that decides, before the first byte is brought."""
        self._files = self._place.look()
        growing = still_growing(self._place, self._files, self._settings.watch_settle_seconds)
        self._manifest = self._read_manifests(growing)
        recids = {str(row.image_id): row.recid for row in self._connection.execute(_RECIDS)}
        known = {path: State.GROWING if path in growing else entry.state for path, entry in self._files.items()}
        found = sort_out(known, self._manifest, recids)
        self._photographs, self._states, self._without_file = found
        if any(is_manifest(path) for path in growing):
            self._wait_for_lines()
        today = datetime.now(self._settings.zone).date()
        dates = (one.date for photograph in self._photographs for one in photograph.candidates)
        self._days = read_days(dates, today, self._settings.date_order)
        self._dump.look()
        self._known = transfers.transfers(self._connection, SOURCE)
        self._connection.rollback()
        self.brought.files, self.brought.bytes = len(self._files), sum(entry.size for entry in self._files.values())
        self.brought.manifest_lines = len(self._manifest.lines)
        self.brought.manifest_refused = self._manifest.refused
        self.brought.manifest_unfinished = self._manifest.unfinished
        self.brought.dates_assumed, self.brought.dates_uncertain = self._days.assumed, self._days.uncertain

    def bring(self, workers: int, on_progress: OnProgress) -> None:
        """Read, judge and bring photograph by photograph, several at a time."""
        waiting: list[_Done] = []
        written = time.monotonic()
        done = 0
        for one in _in_parallel(self._bring_one, self._photographs, workers):
            done += 1
            waiting.append(one)
            self._count(one)
            if time.monotonic() - written > EVERY_SECONDS:
                self._write(waiting)
                waiting, written = [], time.monotonic()
                on_progress(done, len(self._photographs), self.brought)
        self._write(waiting)
        on_progress(done, len(self._photographs), self.brought)

    def finish(self) -> None:
        """Write down what was left, and whom the app does not know."""
        brought = self.brought
        brought.states.update(self._states.values())
        brought.states.update(state for _, state in self._without_file)
        if self._dry_run:
            return
        self._write_what_was_left()
        strangers = self._connection.execute(_STRANGERS, {"source": SOURCE, "records": self._taken}).scalar_one()
        brought.states.update({State.UNKNOWN_PATIENT: strangers, State.TAKEN: -strangers})
        brought.states = +brought.states
        self._connection.commit()

    def _read_manifests(self, growing: set[str]) -> Manifest:
        contents = []
        paths = sorted(path for path, entry in self._files.items() if is_manifest(path) and entry.state is None)
        for number, path in enumerate(paths, start=1):
            # The name may be a person's; the number says as much.
            name = f"manifest {number} of {len(paths)}"
            entry = self._files[path]
            if path in growing:
                entry = self._place.look_again(path) or entry
            body = self._place.read(path, entry) if entry.size <= MOST_MANIFEST_BYTES else State.TOO_LARGE
            if isinstance(body, State):
                if body is State.GROWING:
                    continue
                raise ImplausibleInputError("reading the", name, body.meaning, body.remedy)
            contents.append((name, body))
        return read_manifests(contents)

    def _wait_for_lines(self) -> None:
        """While the script still writes its manifest, a file without a line is one that is being exported."""
        ready = []
        for photograph in self._photographs:
            if all(candidate.line is None for candidate in photograph.candidates):
                self._states |= {candidate.path: State.GROWING for candidate in photograph.candidates}
            else:
                ready.append(photograph)
        self._photographs = ready

    def _bring_one(self, photograph: Photograph) -> _Done:
        """In a thread of its own: no database."""
        signature = self._signature(photograph)
        known = self._known.get(photograph.name)
        # Which of several files it is, only their bytes say.
        if known is not None and len(photograph.candidates) == 1 and self._stands(known, signature):
            return _Done(photograph, {}, transfer=known, unchanged=True)
        contents = {candidate.path: self._content(candidate) for candidate in photograph.candidates}
        judged = judge(photograph, {path: one.found for path, one in contents.items()}, self._manifest)
        if judged.chosen is None:
            return _Done(photograph, judged.states)
        content = contents[judged.chosen.path]
        there, uploaded = self._dump.put(photograph, content)
        if there is None:
            return _Done(photograph, judged.states | {judged.chosen.path: State.CHANGED})
        return self._done(photograph, judged, content, there, signature, uploaded=uploaded)

    def _stands(self, known: Transfer, signature: str) -> bool:
        """Whether nothing has changed since the photograph was brought, and its object is still there."""
        if self._read_all or known.state not in ("arrived", "present") or known.modification != signature:
            return False
        return self._dump.size_of(known.object_key or "") == known.bytes

    def _signature(self, photograph: Photograph) -> str:
        """What changes when anything does that decides about a photograph."""
        said = [photograph.recid, photograph.image_id]
        for candidate in photograph.candidates:
            line = candidate.line.raw if candidate.line is not None else None
            day = self._days.iso.get(candidate.date)
            said += [candidate.path, self._files[candidate.path].signature, line, day]
        return hashlib.sha256(json.dumps(said).encode("utf-8", "surrogatepass")).hexdigest()

    def _content(self, candidate: Candidate) -> _Content:
        body = self._place.read(candidate.path, self._files[candidate.path])
        if isinstance(body, State):
            return _Content(b"", Bytes(0, "", body))
        if not body:
            return _Content(b"", Bytes(0, "", State.EMPTY))
        kind = kind_of(body)
        trouble = _flaw(body, kind)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        found = Bytes(len(body), md5, trouble)
        return _Content(body, found, hashlib.sha256(body).hexdigest(), kind.mime, EXTENSIONS.get(kind.name, ""))

    def _done(
        self,
        photograph: Photograph,
        judged: Judgement,
        content: _Content,
        key: str,
        signature: str,
        *,
        uploaded: bool,
    ) -> _Done:
        chosen = judged.chosen
        assert chosen is not None  # noqa: S101  the caller has looked
        line = chosen.line
        told = {"path": chosen.path, "md5": content.found.md5, "line": line.raw if line else None}
        day = self._days.iso.get(chosen.date, chosen.date)
        row = SourceRow(
            source=SOURCE,
            record=photograph.name,
            recid=photograph.recid or "",
            image_id=photograph.image_id or "",
            contact=_storable(chosen.contact),
            # What could be two days is none, and says so: with a question mark it is not a date for whoever reads it.
            date=_storable(day or f"{chosen.date} ?" if chosen.date else ""),
            type=_storable(line.type if line else ""),
            file_name=_storable((line.file_name if line else "") or chosen.path.rpartition("/")[2]),
            raw=_storable(json.dumps(told)),
            modification=signature,
        )
        before = self._known.get(photograph.name)
        arrived = uploaded or (before is not None and before.state == "arrived" and before.object_key == key)
        transfer = Transfer(
            source=SOURCE,
            record=photograph.name,
            recid=photograph.recid,
            image_id=photograph.image_id,
            modification=signature,
            state="arrived" if arrived else "present",
            container=line.container or None if line else None,
            bytes=content.found.size,
            content_type=content.mime,
            sha256=content.sha256,
            source_md5=line.md5 if line else None,
            object_key=key,
            run_id=self._run_id,
        )
        return _Done(photograph, judged.states, row, transfer, uploaded)

    def _count(self, done: _Done) -> None:
        brought = self.brought
        self._states |= done.states
        transfer = done.transfer
        if transfer is None:
            return
        self._taken.append(transfer.record)
        contact = done.row.contact if done.row else done.photograph.candidates[0].contact
        brought.states[State.TAKEN if contact else State.UNLINKED] += 1
        brought.proven += transfer.source_md5 is not None
        brought.unchanged += done.unchanged
        if done.uploaded:
            brought.uploaded += 1
            brought.uploaded_bytes += transfer.bytes or 0
        else:
            brought.present += 1

    def _write(self, done: Sequence[_Done]) -> None:
        if self._dry_run:
            return
        transfers.keep_rows(self._connection, [one.row for one in done if one.row is not None])
        for one in done:
            if one.transfer is not None and not one.unchanged:
                transfers.record(self._connection, one.transfer)
        known_by_recid = [
            one.photograph for one in done if one.transfer is not None and one.photograph.recid is not None
        ]
        former = [f"image {photograph.image_id}" for photograph in known_by_recid if photograph.image_id is not None]
        for statement in _SUPERSEDE:
            self._connection.execute(statement, {"source": SOURCE, "records": former})
        self._connection.commit()

    def _write_what_was_left(self) -> None:
        """Every file and record that a person may want to look at, by its place: several exports may be brought."""
        place = f"{hashlib.sha256(self._place.shown.encode()).hexdigest()[:8]} "
        left = [
            Transfer(
                SOURCE, f"{place}{_storable(path)}", state=_standing(state), reason=state.value, run_id=self._run_id
            )
            for path, state in self._states.items()
            if state.kind in (Kind.LEFT, Kind.WAITING)
        ]
        left += [
            Transfer(
                SOURCE,
                f"{place}record {line.recid or line.image_id}",
                line.recid,
                line.image_id,
                state=_standing(state),
                reason=state.value,
                run_id=self._run_id,
            )
            for line, state in self._without_file
        ]
        for one in left:
            transfers.record(self._connection, one)
        records = [one.record for one in left]
        self._connection.execute(_FORGET, {"source": SOURCE, "place": place, "records": records})


def _standing(state: State) -> transfers.State:
    return "waiting" if state.kind is Kind.WAITING or state is State.MISSING else "quarantined"


class _Dump:
    """The originals that lie in the bucket, and the one way to bring another."""

    def __init__(self, store: ObjectStore, settings: Settings, *, dry_run: bool) -> None:
        self._store = store
        self._settings = settings
        self._dry_run = dry_run
        self._by_name: dict[str, list[ObjectFacts]] = {}
        self._sizes: dict[str, int] = {}

    def look(self) -> None:
        """List what is there."""
        layout = key_layout(self._settings)
        for prefix in self._settings.original_prefixes:
            for facts in self._store.list(prefix):
                said = classify(facts.key, layout)
                if said.kind is KeyKind.ORIGINAL:
                    name = f"recid {said.recid}" if said.recid is not None else f"image {said.image_id}"
                    self._by_name.setdefault(name, []).append(facts)
                    self._sizes[facts.key] = facts.size

    def size_of(self, key: str) -> int | None:
        """The size of an original as it was listed."""
        return self._sizes.get(key)

    def put(self, photograph: Photograph, content: _Content) -> tuple[str | None, bool]:
        """The key under which the dump has the photograph, and whether it is new there; no key: it has another one."""
        mine = self._by_name.get(photograph.name, [])
        # An object that bears its image id is another record's where a record was duplicated; the same bytes are it.
        for facts in (*mine, *self._by_name.get(f"image {photograph.image_id}", [])):
            if self._is_same(facts, content):
                return facts.key, False
        if mine:
            return None, False
        key = f"{self._settings.dump_prefixes[0]}{photograph.stem}.{content.extension}"
        if self._dry_run:
            return key, True
        return key if self._upload(key, content) else None, True

    def _upload(self, key: str, content: _Content) -> bool:
        """Whether the object is there now with this content."""
        proof = {"fm-source": SOURCE, "fm-sha256": content.sha256, "fm-md5": content.found.md5, "fm-type": content.mime}

        def once() -> bool:
            try:
                self._store.add_original(key, content.body, content.mime, proof)
            except ObjectChangedError:
                # Somebody was faster, or the answer to our own request was lost.
                return self._is_same(self._store.head(key), content)
            return True

        return retry(once, attempts=ATTEMPTS, first_wait=FIRST_WAIT, longest_wait=LONGEST_WAIT)

    def _is_same(self, facts: ObjectFacts, content: _Content) -> bool:
        if facts.size != content.found.size:
            return False
        if facts.etag == content.found.md5:
            return True
        # Uploaded in parts, or encrypted by the server: its ETag is not an MD5.
        return hash_object(self._store, Wanted(facts.key, facts.etag)).sha256 == content.sha256


def _in_parallel(
    work: Callable[[Photograph], _Done], photographs: Iterable[Photograph], workers: int
) -> Iterator[_Done]:
    """The photographs as they are done, in their order, with few of them in memory at a time."""
    with ThreadPoolExecutor(workers, thread_name_prefix="bring") as pool:
        yield from read_ahead(pool, photographs, work, most=workers * 2)


def _flaw(body: bytes, kind: FileKind) -> State | None:
    if kind.name not in EXTENSIONS:
        return State.NOT_AN_IMAGE
    return None if has_header(body, kind) and is_whole(body, kind) else State.BROKEN


def _storable(told: str) -> str:
    """A text as PostgreSQL can keep it: names of files may be no text at all."""
    return told.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
