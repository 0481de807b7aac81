"""A hostile file costs itself. The others go on, and nothing waits for ever."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from fm_migration.images import isolation
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.isolation import ImageEngineError, IsolatedEngine
from fm_migration.images.outcome import Made, NotAnImage, Outcome, RefusalReason, Unreadable
from fm_migration.images.recipe import Recipe
from fm_migration.images.worker import GRACE_SECONDS, READY, SIZE
from fm_migration_tests.images import pictures
from fm_migration_tests.images.misbehaving_worker import TOKEN
from fm_migration_tests.waiting import PATIENCE_SECONDS

MISBEHAVING = (sys.executable, "-P", "-m", "fm_migration_tests.images.misbehaving_worker")
GOOD = pictures.file(pictures.upright(), "JPEG")


def engine(workers: int = 2, seconds: float = 1.5, megabytes: int = 256) -> IsolatedEngine:
    return IsolatedEngine(workers, seconds, megabytes * 1024 * 1024, command=MISBEHAVING)


def wish(words: str) -> bytes:
    return TOKEN + words.encode()


def one(words: str) -> Outcome:
    with engine(1) as one_worker:
        ((_, outcome),) = one_worker.imap([(0, wish(words))])
    return outcome


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}
    yield
    assert {child.pid for child in psutil.Process().children()} <= before


def test_the_same_as_in_process() -> None:
    files = {kind: pictures.file(pictures.noisy(), kind) for kind in pictures.DECODED}
    files |= {"empty": b"", "page": b"<html>", "cut": files["JPEG"][: len(files["JPEG"]) * 3 // 4]}
    with IsolatedEngine(workers=2) as real:
        outcomes = dict(real.imap(files.items()))
        assert outcomes == {name: make_thumbnail(data) for name, data in files.items()}
        assert real.replaced == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("sleep", RefusalReason.TIMED_OUT),
        ("loop in C", RefusalReason.TIMED_OUT),
        ("stop", RefusalReason.TIMED_OUT),
        ("crash", RefusalReason.CRASHED),
        ("abort", RefusalReason.CRASHED),
        ("exit", RefusalReason.CRASHED),
        ("be killed", RefusalReason.CRASHED),
        ("hog in the codec", RefusalReason.CRASHED),
        ("hog", RefusalReason.CRASHED),
        ("say nonsense", RefusalReason.CRASHED),
    ],
)
def test_every_misbehaviour_costs_one_file(words: str, reason: RefusalReason) -> None:
    """Between good ones, on workers that go on, with the blame on the right one."""
    files: list[tuple[object, bytes]] = [(number, GOOD) for number in range(8)]
    files.insert(3, (words, wish(words)))
    # What crashes has time to: a busy machine takes a while to fill its memory.
    with engine(seconds=1.5 if reason is RefusalReason.TIMED_OUT else 30) as two:
        answers = list(two.imap(files))
        assert two.replaced >= 1
        assert sorted(str(key) for key, _ in answers) == sorted(str(key) for key, _ in files)
        outcomes = dict(answers)
        bad = outcomes.pop(words)
        assert isinstance(bad, Unreadable)
        assert bad.reason is reason
        assert bad.original_sha256 == hashlib.sha256(wish(words)).hexdigest()
        assert all(type(outcome) is Made for outcome in outcomes.values())
        # And in the next call as if nothing had been.
        assert [type(outcome) for _, outcome in two.imap([(1, GOOD)])] == [Made]


def test_all_of_them_at_once() -> None:
    words = ["sleep", "crash", "stop", "exit", "hog", "abort", "say nonsense", "loop in C"]
    files = [(word, wish(word)) for word in words] + [(f"good {number}", GOOD) for number in range(8)]
    with engine() as two:
        outcomes = dict(two.imap(files))
    assert len(outcomes) == len(files)
    assert all(isinstance(outcomes[word], Unreadable) for word in words)
    assert all(type(outcomes[f"good {number}"]) is Made for number in range(8))


def test_the_detail_says_how_the_decoder_died() -> None:
    outcome = one("crash")
    assert isinstance(outcome, Unreadable)
    assert outcome.detail == f"killed by signal {signal.SIGSEGV}"


def test_half_an_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "ANSWER_SECONDS", 0.5)
    outcome = one("say half an answer")
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.CRASHED


def test_a_worker_that_dies_between_two_calls_is_replaced() -> None:
    with engine(1) as single:
        ((_, first),) = single.imap([(0, wish("say process"))])
        assert isinstance(first, NotAnImage)
        psutil.Process(int(first.kind)).kill()
        psutil.wait_procs([psutil.Process(int(first.kind))] if psutil.pid_exists(int(first.kind)) else [], timeout=5)
        assert [(key, type(outcome)) for key, outcome in single.imap([(1, GOOD), (2, GOOD)])] == [(1, Made), (2, Made)]
        assert single.replaced == 1


def test_one_process_serves_many_files_and_is_relieved_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "FILES_PER_WORKER", 3)
    with engine(1) as single:
        pids = [outcome.kind for _, outcome in single.imap((n, wish("say process")) for n in range(7))]  # type: ignore[union-attr]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


# --- the flow -------------------------------------------------------------------------------------


def test_files_are_taken_as_they_are_needed() -> None:
    """Memory must not grow with the number of files: one for each worker, and one outcome for each is waiting."""
    taken = received = 0

    def source() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        for number in range(40):
            taken += 1
            assert taken - received <= 4
            yield number, GOOD

    with IsolatedEngine(workers=2) as two:
        for _ in two.imap(source()):
            received += 1
    assert received == 40


def test_whoever_stops_listening_gets_no_stale_answers() -> None:
    with engine() as two:
        for _ in two.imap((number, GOOD) for number in range(10)):
            break
        outcomes = dict(two.imap([("page", b"<html>"), ("good", GOOD)]))
        assert type(outcomes["page"]) is NotAnImage
        assert type(outcomes["good"]) is Made


def test_a_source_that_fails_fails_the_call_and_nothing_else() -> None:
    def source() -> Iterator[tuple[int, bytes]]:
        yield 1, GOOD
        raise ConnectionError("the store is gone")

    with engine() as two:
        with pytest.raises(ConnectionError, match="the store is gone"):
            list(two.imap(source()))
        assert len(list(two.imap([(2, GOOD)]))) == 1


def test_no_files_no_answers() -> None:
    with engine() as two:
        assert list(two.imap([])) == []


def test_two_calls_at_once_are_refused() -> None:
    with engine() as two:
        first = two.imap([(1, GOOD), (2, GOOD)])
        next(first)
        with pytest.raises(RuntimeError, match="already at work"):
            next(two.imap([(3, GOOD)]))
        first.close()  # type: ignore[attr-defined]  # a generator, promised as an iterator


def test_closing_an_engine_at_work_does_not_pass_for_the_end_of_the_files() -> None:
    two = engine()
    answers = two.imap((number, GOOD) for number in range(10))
    next(answers)
    two.close()
    with pytest.raises(RuntimeError, match="closed before"):
        list(answers)


def test_a_closed_engine_starts_again() -> None:
    two = engine()
    for _ in range(2):
        assert len(list(two.imap([(1, GOOD)]))) == 1
        two.close()


def test_a_file_beyond_reason_is_not_even_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "LARGEST_FILE", 1000)
    with engine(1) as single:
        ((_, outcome),) = single.imap([("large", GOOD)])
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.TOO_LARGE


def test_a_large_file_after_a_small_one_and_back() -> None:
    """The memory that parent and worker share grows and shrinks."""
    large = GOOD + bytes(40 * 1024 * 1024)
    with engine(1, seconds=20) as single:
        answers = [type(outcome) for _, outcome in single.imap([(1, GOOD), (2, large), (3, GOOD), (4, b"")])]
    assert answers == [Made, Made, Made, Unreadable]


@pytest.mark.parametrize("settings", [{"workers": 0}, {"seconds": 0}, {"memory": 0}])
def test_impossible_settings(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        IsolatedEngine(**settings)  # type: ignore[arg-type]


def test_a_worker_that_cannot_start_is_no_fault_of_the_files() -> None:
    command = (sys.executable, "-c", "raise SystemExit(3)")
    with IsolatedEngine(command=command) as broken, pytest.raises(ImageEngineError, match="exit code 3"):
        list(broken.imap([(1, GOOD)]))


def test_a_worker_that_never_says_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "START_SECONDS", 0.5)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    with IsolatedEngine(command=command) as broken, pytest.raises(ImageEngineError, match="no sign"):
        list(broken.imap([(1, GOOD)]))


# --- what a worker can reach ----------------------------------------------------------------------


def test_credentials_stay_with_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for decoders")
    monkeypatch.setenv("FM_DATABASE_URL", "postgresql://somebody")
    outcome = one("say environment")
    assert isinstance(outcome, NotAnImage)
    assert "PATH" in outcome.kind
    assert not {"AWS_SECRET_ACCESS_KEY", "FM_DATABASE_URL"} & set(outcome.kind.split())


def test_a_crash_leaves_no_dump_of_a_photograph() -> None:
    outcome = one("say limits")
    assert isinstance(outcome, NotAnImage)
    assert outcome.kind == "(0, 0)"


def test_a_worker_cannot_write_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert isinstance(one("write a file"), Unreadable)
    assert all(not file.stat().st_size for file in tmp_path.iterdir())


@contextmanager
def _left_alone(told: dict[str, object], theirs: socket.socket, data: int) -> Iterator[subprocess.Popen[bytes]]:
    """A worker without an engine."""
    words = [*MISBEHAVING, json.dumps(told)]
    process = subprocess.Popen(words, pass_fds=[theirs.fileno(), data], env=isolation._environment())
    theirs.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(data)


def test_the_kernel_ends_a_worker_whose_parent_is_gone() -> None:
    """Killed without a chance to clean up: a worker in an endless loop must not outlive it for long."""
    ours, theirs = socket.socketpair()
    data = os.memfd_create("picture")
    words = wish("loop in C")
    os.write(data, words)
    told = {
        "recipe": asdict(Recipe()),
        "memory": 10**9,
        "seconds": 0.5 - GRACE_SECONDS,
        "socket": theirs.fileno(),
        "data": data,
    }
    with ours, _left_alone(told, theirs, data) as process:
        assert ours.recv(1) == READY
        ours.sendall(SIZE.pack(len(words)))
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGALRM


def test_an_idle_worker_leaves_when_its_parent_is_gone() -> None:
    ours, theirs = socket.socketpair()
    data = os.memfd_create("picture")
    told = {"recipe": asdict(Recipe()), "memory": 10**9, "seconds": 5, "socket": theirs.fileno(), "data": data}
    with ours, _left_alone(told, theirs, data) as process:
        assert ours.recv(1) == READY
        ours.close()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_the_worker_s_module_can_be_tried_by_hand() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "fm_migration.images.worker"], capture_output=True, text=True, check=True
    )
    assert "decoders load" in answer.stdout
