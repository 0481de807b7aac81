"""The making of thumbnails: read, make, put into the bucket, write into the app, a hundred at a time.

Belongs here: the order of things, the bounds, and what a stop at any moment leaves behind. An object is put before any
row names it, and the rows of a batch are written in one transaction with their journal; so whoever stops this loses at
most the last batch's work, and the next run goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from fm_migration.errors import ObjectStoreError
from fm_migration.filemaker.types import load_types
from fm_migration.images.outcome import Made, Outcome, RefusalReason, Unreadable
from fm_migration.images.recipe import Recipe
from fm_migration.objects.ahead import read_ahead
from fm_migration.objects.keys import shown_key
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings
from fm_migration.thumbnails import judging, reading, thumbnailing
from fm_migration.thumbnails.judging import ThumbnailDecision
from fm_migration.thumbnails.progress import EVERY_SECONDS, Progress, every
from fm_migration.thumbnails.reading import FetchedOriginal
from fm_migration.thumbnails.sheet import ContactSheet
from fm_migration.thumbnails.thumbnailing import Choice, FinishedThumbnail, Pending, ThumbnailState

#: How many images are written in one transaction.
BATCH = 100
#: How many are looked up at a time.
PAGE = 500
UPLOAD_THREADS = 4
#: A store that refuses so many objects before it has given one refuses us, not them.
REFUSALS = 10
#: Thumbnails are named by their content, so a browser may keep them.
_CACHE = "private, max-age=31536000, immutable"
#: A line per photograph, for whoever asks for it. Dagster's event log is not a place for so many.
_log = logging.getLogger("fm_migration.thumbnails")


@dataclass(frozen=True)
class MakingReport:
    """What a run has done."""

    done: int
    states: Mapping[ThumbnailState, int]
    #: Rows of the app that changed, and the plan that undoes it.
    rows: int
    plan: int | None
    bytes_read: int
    bytes_written: int
    seconds: float
    #: Decoding processes that a file has cost.
    workers_replaced: int

    @property
    def rate(self) -> float:
        return self.done / self.seconds if self.seconds > 0 else 0.0


@dataclass
class _Case:
    """An image on its way through the engine: its original, and perhaps the clinic's own thumbnail of it."""

    read: FetchedOriginal
    outcome: Outcome | None = None
    existing: Outcome | None = None

    @property
    def complete(self) -> bool:
        return self.outcome is not None and (self.read.existing is None or self.existing is not None)


@dataclass
class _Tally:
    """Counted by the one thread that makes, read by the one that tells."""

    total: int
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    states: Counter[ThumbnailState] = field(default_factory=Counter)
    bytes_read: int = 0
    bytes_written: int = 0

    def progress(self) -> Progress:
        return Progress(self.done, self.total, time.monotonic() - self.started)


def make_thumbnails(
    engine: Engine,
    store: ObjectStore,
    settings: Settings,
    months: Sequence[str],
    choice: Choice | None = None,
    *,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    progress_every: float = EVERY_SECONDS,
    contact_sheet: Path | None = None,
    recipe: Recipe | None = None,
) -> MakingReport:
    """Make what is not current of these months' thumbnails, or what `choice` says. What fails becomes a state."""
    with ExitStack() as stack:
        making = _Making(engine, store, settings, choice or Choice(), run_id, recipe or Recipe(), stack)
        if contact_sheet is not None:
            making.sheet = stack.enter_context(ContactSheet(contact_sheet))
        return making.run(list(months), on_progress, progress_every)


class _Making:
    """One run. Its pools end with `stack`."""

    def __init__(
        self,
        engine: Engine,
        store: ObjectStore,
        settings: Settings,
        choice: Choice,
        run_id: str | None,
        recipe: Recipe,
        stack: ExitStack,
    ) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._choice = choice
        self._run_id = run_id
        self._recipe = recipe
        self._types = load_types(settings.export_types)
        self._readers = _pool(stack, reading.THREADS, "read")
        self._uploaders = _pool(stack, UPLOAD_THREADS, "upload")
        # One thread, so that batches follow each other; and at most one waits, so that memory stays bounded.
        self._writer = _pool(stack, 1, "write")
        self._writing: Future[None] | None = None
        self._batch: list[tuple[FinishedThumbnail, Future[str] | None]] = []
        self._unavailable: deque[ThumbnailDecision] = deque()
        self._given = self._refused = 0
        self._plan: int | None = None
        self._rows = 0
        self.sheet: ContactSheet | None = None

    def run(self, months: list[str], on_progress: Callable[[Progress], None], progress_every: float) -> MakingReport:
        # Imported here, because they bring Pillow, which no other part of the code location needs.
        from fm_migration.images.isolation import LARGEST_FILE, IsolatedEngine

        with self._engine.connect() as connection:
            ids = _Ids(thumbnailing.pending_ids(connection, months, self._choice, *self._made_how))
        self._tally = tally = _Tally(len(ids))
        replaced = 0
        if len(ids):
            with every(progress_every, lambda: on_progress(tally.progress())):
                try:
                    with IsolatedEngine(self._settings.thumbnail_workers, recipe=self._recipe) as images:
                        for (case, is_original), outcome in images.imap(self._pictures(ids, LARGEST_FILE)):
                            self._take(case, is_original, outcome)
                        self._take_unavailable()
                        replaced = images.replaced
                finally:
                    # Also when a store that is away ends the run: what is done is done.
                    self._finish()
            on_progress(tally.progress())
        return MakingReport(
            done=tally.done,
            states=dict(tally.states),
            rows=self._rows,
            plan=self._plan if self._rows else None,
            bytes_read=tally.bytes_read,
            bytes_written=tally.bytes_written,
            seconds=time.monotonic() - tally.started,
            workers_replaced=replaced,
        )

    @property
    def _made_how(self) -> tuple[str, str]:
        return self._recipe.hash, self._settings.thumbnail_prefix

    # --- from the bucket to the engine ------------------------------------------------------------------------------

    def _pictures(self, ids: _Ids, largest: int) -> Iterator[tuple[tuple[_Case, bool], bytes]]:
        """Every file that the engine has to look at: originals, each with the clinic's own thumbnail behind it."""
        read = read_ahead(
            self._readers,
            self._pending(ids),
            lambda pending: reading.read_original(self._store, pending, largest),
            most=2 * reading.THREADS,
            size_of=reading.size_of,
            most_bytes=reading.READ_AHEAD_BYTES,
        )
        for original in read:
            if original.data is None:
                self._note_unavailable(original)
                continue
            self._given += 1
            self._tally.bytes_read += len(original.data)
            case = _Case(original)
            yield (case, True), original.data
            if original.existing is not None:
                yield (case, False), original.existing

    def _pending(self, ids: _Ids) -> Iterator[Pending]:
        for page in ids.pages(PAGE):
            with self._engine.connect() as connection:
                found = thumbnailing.pending_page(connection, page, self._choice, *self._made_how)
            # What somebody else has done meanwhile is no longer to do.
            self._tally.total -= len(page) - len(found)
            yield from found

    def _note_unavailable(self, original: FetchedOriginal) -> None:
        self._refused += original.refused
        if self._refused >= REFUSALS and not self._given:
            raise ObjectStoreError(
                "reading the originals,",
                f"{self._refused} objects of the bucket {self._store.bucket}",
                f"{original.trouble} (and it gave us none)",
                "Run `fm-migration doctor`; docs/security.md lists what the credentials must allow",
            )
        if original.too_large:
            outcome = Unreadable(RefusalReason.TOO_LARGE, "", "", original.trouble)
            self._unavailable.append(self._judge(_Case(original, outcome)))
        else:
            self._unavailable.append(judging.unavailable(original.pending, original.etag, original.trouble))

    # --- from the engine to the app ---------------------------------------------------------------------------------

    def _take(self, case: _Case, is_original: bool, outcome: Outcome) -> None:
        if is_original:
            case.outcome = outcome
        else:
            case.existing = outcome
        if case.complete:
            self._settle(self._judge(case), case.outcome)
        self._take_unavailable()

    def _take_unavailable(self) -> None:
        while self._unavailable:
            self._settle(self._unavailable.popleft(), None)

    def _judge(self, case: _Case) -> ThumbnailDecision:
        from fm_migration.images.adoption import agrees

        read, outcome = case.read, case.outcome
        if outcome is None:
            raise AssertionError("judged before it was made")
        faithful = read.existing is not None and case.existing is not None and agrees(case.existing, outcome)
        return judging.judge(
            read.pending,
            read.etag,
            outcome,
            adopted_size=len(read.existing) if faithful and read.existing is not None else None,
            recipe_hash=self._recipe.hash,
            prefix=self._settings.thumbnail_prefix,
            names_a_side=self._types.classify(read.pending.type_text).side in ("left", "right"),
        )

    def _settle(self, verdict: ThumbnailDecision, outcome: Outcome | None) -> None:
        finished = verdict.finished
        upload = None
        if verdict.upload is not None and isinstance(outcome, Made) and finished.key is not None:
            upload = self._uploaders.submit(self._put, finished.key, verdict.upload, outcome.mime)
            self._tally.bytes_written += len(verdict.upload)
        self._batch.append((finished, upload))
        self._tally.done += 1
        self._tally.states[finished.state] += 1
        _log.debug("%s", _line(finished, outcome))
        if self.sheet is not None:
            picture, mime = (outcome.thumbnail, outcome.mime) if isinstance(outcome, Made) else (b"", "")
            self.sheet.add(finished.clinic_image, finished.state.value, finished.reason, picture, mime)
        if len(self._batch) >= BATCH:
            self._hand_over()

    def _put(self, key: str, thumbnail: bytes, mime: str) -> str:
        return reading.with_retries(lambda: self._store.put(key, thumbnail, mime, cache_control=_CACHE))

    def _hand_over(self) -> None:
        """Let the batch be written while the next one is made."""
        if self._writing is not None:
            self._writing.result()
        batch, self._batch = self._batch, []
        self._writing = self._writer.submit(self._write, batch) if batch else None

    def _finish(self) -> None:
        self._hand_over()
        self._hand_over()

    def _write(self, batch: list[tuple[FinishedThumbnail, Future[str] | None]]) -> None:
        """Write what has arrived in the bucket; a store that is away by now costs only the rest."""
        uploaded, failure = [], None
        for finished, upload in batch:
            error = upload.exception() if upload is not None else None
            if error is None:
                uploaded.append(finished)
            failure = failure or error
        if uploaded:
            with self._engine.begin() as connection:
                written = thumbnailing.write(connection, uploaded, self._recipe.hash, self._plan, self._run_id)
            self._plan = written.plan
            self._rows += written.rows
        if failure is not None:
            raise failure


class _Ids:
    """Ids in sixteen bytes each: a month may have half a million."""

    def __init__(self, ids: Sequence[UUID]) -> None:
        self._packed = b"".join(one.bytes for one in ids)

    def __len__(self) -> int:
        return len(self._packed) // 16

    def pages(self, size: int) -> Iterator[list[UUID]]:
        for start in range(0, len(self._packed), 16 * size):
            part = self._packed[start : start + 16 * size]
            yield [UUID(bytes=part[at : at + 16]) for at in range(0, len(part), 16)]


def _pool(stack: ExitStack, threads: int, name: str) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"thumbnails-{name}")
    stack.callback(pool.shutdown, wait=True, cancel_futures=True)
    return pool


def _line(finished: FinishedThumbnail, outcome: Outcome | None) -> str:
    """1000.jpg 3024x4032 → 225x300, 15.6 KB"""
    name = shown_key(finished.source_key)
    if not isinstance(outcome, Made):
        return f"{name} {finished.state.value}: {finished.reason}"
    small = f"{outcome.thumbnail_width}x{outcome.thumbnail_height}"
    return f"{name} {outcome.width}x{outcome.height} → {small}, {(finished.size or 0) / 1024:.1f} KB"
