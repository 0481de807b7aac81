"""Thumbnails in processes of their own: a file that crashes, loops or devours memory costs itself and nothing else.

Belongs here: starting, feeding, timing and replacing the workers. Does not belong here: what they do (worker.py).

One thread and no queues: the generator that `imap` returns hands a file to each idle worker, waits for the first
answer or the first missed deadline, and goes on. There is nothing in it that could wait for a dead process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from fm_migration.errors import FmMigrationError
from fm_migration.images import wire
from fm_migration.images.outcome import Outcome, RefusalReason, Unreadable
from fm_migration.images.recipe import Recipe
from fm_migration.images.sniffing import kind_of
from fm_migration.images.worker import READY, SIZE

MEGABYTE = 1024 * 1024
#: A photograph has 4 MB, a scan of a page 100.
LARGEST_FILE = 256 * MEGABYTE
#: How long a worker may take to start. It takes a quarter of a second on an idle machine.
START_SECONDS = 60.0
#: An answer that has begun must arrive; only a worker that was stopped in the middle of it does not send it.
ANSWER_SECONDS = 10.0
#: Then a fresh one takes over, so that what decoders leak stays small.
FILES_PER_WORKER = 2000
#: Shared memory that a worker keeps from one file to the next.
_KEPT = 32 * MEGABYTE
#: All that a decoder needs of the environment. Credentials stay with the parent.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH", "PYTHONHOME")
_PROJECT = Path(__file__).resolve().parents[2]

#: After these the worker is replaced, for its state is unknown.
_COST_THE_WORKER = frozenset({RefusalReason.TIMED_OUT, RefusalReason.CRASHED, RefusalReason.OUT_OF_MEMORY})

Key = TypeVar("Key")


class ImageEngineError(FmMigrationError):
    """The processes that decode pictures cannot be started: nothing is wrong with the pictures."""


class _Job(NamedTuple, Generic[Key]):
    key: Key
    data: bytes
    tried: bool = False


class _Gone(Exception):  # noqa: N818  # an event between a worker and its engine, not an error that anybody sees
    """A worker did not answer, and has been ended."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason, detail)


class IsolatedEngine:
    """`workers` processes that make thumbnails, each file within `seconds` and `memory` bytes.

    They start with the first file and stay until the engine is closed:

        with IsolatedEngine(workers=2) as engine:
            for key, outcome in engine.imap(pairs_of_key_and_bytes):
                ...

    `replaced` counts the workers that had to be ended or died. `command` stands in for the worker in tests.
    """

    def __init__(
        self,
        workers: int = 2,
        seconds: float = 20.0,
        memory: int = 1024 * MEGABYTE,
        recipe: Recipe | None = None,
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        if workers < 1 or seconds <= 0 or memory <= 0:
            raise ValueError("an engine needs at least one worker, and time and memory for it")
        self.recipe = recipe or Recipe()
        self.replaced = 0
        self._wanted = workers
        self._seconds = seconds
        self._told = {"recipe": asdict(self.recipe), "memory": memory, "seconds": seconds}
        self._command = list(command or (sys.executable, "-P", "-m", "fm_migration.images.worker"))
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._busy = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers. The engine may be used again afterwards; it then starts new ones."""
        self._busy = False
        while self._workers:
            self._drop(self._workers[-1])

    def imap(self, pictures: Iterable[tuple[Key, bytes]]) -> Iterator[tuple[Key, Outcome]]:
        """The outcome of every file, as they get ready, each key as often as it was given.

        No more than one file per worker is held, and for each at most one outcome waits to be picked up, so memory
        does not grow with their number. Taking the next file from `pictures` happens in this thread: let it come
        from something that reads ahead when reading is slow.
        """
        if self._busy:
            raise RuntimeError("this engine is already at work; use a second one")
        self._busy = True
        try:
            yield from self._run(iter(pictures))
        finally:
            self._busy = False
            # Whoever stops listening must not get these answers for the files of the next call.
            for worker in [worker for worker in self._workers if worker.job is not None]:
                self._drop(worker)

    def _run(self, source: Iterator[tuple[Key, bytes]]) -> Iterator[tuple[Key, Outcome]]:
        again: deque[_Job[Key]] = deque()
        finished: list[tuple[Key, Outcome]] = []
        exhausted = False
        while True:
            for worker in self._idle():
                job = again.popleft() if again else next((_Job(*pair) for pair in source), None)
                if job is None:
                    exhausted = True
                    break
                if len(job.data) > LARGEST_FILE:
                    finished.append((job.key, _unreadable(job.data, RefusalReason.TOO_LARGE, "too large a file")))
                else:
                    worker.hand(job, self._seconds)
            # Not before the idle have got new work: whoever receives these may take his time.
            yield from finished
            finished.clear()
            if not self._busy:
                raise RuntimeError("this engine was closed before it had answered for every file")
            if exhausted and not again and not any(worker.job for worker in self._workers):
                return
            self._wait(finished, again)

    def _idle(self) -> list[_Worker]:
        while len(self._workers) < self._wanted:
            worker = _Worker(self._command, self._told)
            self._workers.append(worker)
            self._selector.register(worker.socket, selectors.EVENT_READ, worker)
        return [worker for worker in self._workers if worker.ready and worker.job is None]

    def _wait(self, finished: list[tuple[Key, Outcome]], again: deque[_Job[Key]]) -> None:
        """Until something happens: an answer, a death, a missed deadline, a worker that has started."""
        waited_for = [worker for worker in self._workers if not worker.ready or worker.job is not None]
        nearest = min((worker.deadline for worker in waited_for), default=time.monotonic())
        events = self._selector.select(max(0.0, nearest - time.monotonic()))
        speaking = [key.data for key, _ in events]
        for worker in self._workers[:]:
            # An answer that is there counts, however late we look.
            late = worker in waited_for and worker not in speaking and time.monotonic() >= worker.deadline
            if worker not in speaking and not late:
                continue
            if not worker.ready:
                self._finish_start(worker, late=late)
            elif worker.job is not None:
                self._collect(worker, finished, again, late=late)
            else:
                # Nobody asked it anything: it died.
                self.replaced += 1
                self._drop(worker)

    def _finish_start(self, worker: _Worker, *, late: bool) -> None:
        if late or not worker.greet():
            found = f"it gave no sign within {START_SECONDS:.0f} s" if late else worker.last_words()
            self.close()
            raise ImageEngineError(
                "starting",
                "a process that decodes pictures",
                found,
                "Run python -m fm_migration.images.worker to see why",
            )

    def _collect(
        self, worker: _Worker, finished: list[tuple[Key, Outcome]], again: deque[_Job[Key]], *, late: bool
    ) -> None:
        job: _Job[Key] = worker.take_job()
        try:
            outcome = self._too_late(job) if late else worker.answer()
        except _Gone as gone:
            outcome = _unreadable(job.data, gone.reason, gone.detail)
        reason = outcome.reason if isinstance(outcome, Unreadable) else None
        if reason in _COST_THE_WORKER:
            self.replaced += 1
        if reason in _COST_THE_WORKER or worker.served >= FILES_PER_WORKER:
            self._drop(worker)
        if reason in (RefusalReason.CRASHED, RefusalReason.OUT_OF_MEMORY) and not job.tried:
            # Perhaps the file before it left the decoder in ruins, or the kernel took memory for somebody else.
            again.append(job._replace(tried=True))
        else:
            finished.append((job.key, outcome))

    def _too_late(self, job: _Job[Key]) -> Outcome:
        return _unreadable(job.data, RefusalReason.TIMED_OUT, f"the limit is {self._seconds:g} s")

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.socket)
        worker.end()


def _unreadable(data: bytes, reason: RefusalReason, detail: str) -> Unreadable:
    return Unreadable(reason, kind_of(data).mime, hashlib.sha256(data).hexdigest(), detail)


class _Worker:
    """One process, the socket to it and the memory shared with it."""

    def __init__(self, command: Sequence[str], told: dict[str, object]) -> None:
        self.job: object = None
        self.served = 0
        self.ready = False
        self.deadline = time.monotonic() + START_SECONDS
        self.socket, theirs = socket.socketpair()
        self._shared = _shared_memory()
        self._kept = 0
        with theirs:
            arguments = json.dumps({**told, "socket": theirs.fileno(), "data": self._shared})
            self._process = subprocess.Popen(
                [*command, arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Decoders complain there, and may quote the file.
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), self._shared],
                env=_environment(),
                # Ctrl-C is for the parent, which then ends its workers in order.
                start_new_session=True,
            )

    def greet(self) -> bool:
        """Whether the process has started well; there is something to read."""
        with contextlib.suppress(OSError):
            self.ready = self.socket.recv(len(READY)) == READY
        return self.ready

    def hand(self, job: _Job[Key], seconds: float) -> None:
        self.job = job
        self.served += 1
        self.deadline = time.monotonic() + seconds
        self._share(job.data)
        # A worker that died while idle says so to whoever reads its socket next.
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(SIZE.pack(len(job.data)))

    def take_job(self) -> _Job[Key]:
        job, self.job = self.job, None
        return job  # type: ignore[return-value]  # what `hand` was given, for the caller that gave it

    def answer(self) -> Outcome:
        """What the worker says of its file. Raises `_Gone` when it is dead, or talks nonsense."""
        try:
            facts, thumbnail = wire.lengths(self._receive(wire.LENGTHS.size))
            return wire.unpack(self._receive(facts), self._receive(thumbnail))
        except wire.GarbledError as error:
            raise _Gone(RefusalReason.CRASHED, "the worker sent nonsense") from error
        except OSError as error:
            raise _Gone(RefusalReason.CRASHED, self.last_words()) from error

    def last_words(self) -> str:
        """How the process ended, after ending it if it has not."""
        # A dying process closes its socket a moment before it has an exit code.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        code = self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.socket.close()
        os.close(self._shared)

    def _share(self, data: bytes) -> None:
        if self._kept > _KEPT:
            os.ftruncate(self._shared, 0)
            self._kept = 0
        self._kept = max(self._kept, len(data))
        rest, at = memoryview(data), 0
        while at < len(data):
            at += os.pwrite(self._shared, rest[at:], at)

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        ends = time.monotonic() + ANSWER_SECONDS
        while len(received) < size:
            self.socket.settimeout(max(0.001, ends - time.monotonic()))
            part = self.socket.recv(size - len(received))
            if not part:
                raise ConnectionResetError
            received += part
        self.socket.settimeout(None)
        return bytes(received)


def _shared_memory() -> int:
    """A file without a name: in memory on Linux, elsewhere in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fm-migration-picture")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PROJECT), kept.get("PYTHONPATH")]))
    return kept
