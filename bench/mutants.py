"""Measures how strong the tests are: small faults are put into a copy of the code, and each should turn a test red.

    python -m bench.mutants --count 60 --seed 1            a sample over all rooms, the same for the same seed
    python -m bench.mutants --room linking --list          what would be changed there, without running anything

Belongs here: where decisions stand and which tests judge them, and the score. Half of the decisions stand in SQL, in
files and in strings of Python, of which the published tools know nothing; so both are changed here (`faults.py`).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.faults import Fault, faults_of_python, faults_of_sql
from fm_migration.embedded.stack import Stack, hold
from fm_migration.settings import load_settings

PROJECT = Path(__file__).resolve().parent.parent
TESTS = "fm_migration_tests"
#: Where decisions stand, and the tests that judge them: those that are closest first, as the first red one ends it.
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plans": (
        ("fm_migration/plans/*.py",),
        ("plans", "linking", "repairs", "model/test_histories.py"),
    ),
    "linking": (
        ("fm_migration/linking/*.py", "fm_migration/linking/sql/**/*.sql"),
        ("linking", "plans", "model/test_histories.py", "report/test_findings.py"),
    ),
    "identity": (
        ("fm_migration/ledger/identity.py", "fm_migration/ledger/sql/identity.sql"),
        ("ledger/test_identity.py", "ledger/test_tenures.py", "ledger", "linking", "model/test_histories.py"),
    ),
    "thumbnails": (
        ("fm_migration/thumbnails/judging.py", "fm_migration/thumbnails/months.py",
         "fm_migration/thumbnails/thumbnailing.py",
         "fm_migration/thumbnails/sql/*.sql"),
        ("thumbnails", "report/test_truth.py", "defs/test_thumbnails.py"),
    ),
}  # fmt: skip
#: Made without the code that is changed here, so these may outlive a mutant; all others are made anew.
LASTING = ("clinic_template", "django_template", "sample_fresh", "sample_imported", "sample_stale")
#: A mutant that makes a test wait for ever counts as found.
MOST_SECONDS = 900


def faults_of(project: Path, room: str) -> list[Fault]:
    found: list[Fault] = []
    for pattern in ROOMS[room][0]:
        for file in sorted(project.glob(pattern)):
            text, path = file.read_text("utf-8"), str(file.relative_to(project))
            found += faults_of_sql(path, text) if file.suffix == ".sql" else faults_of_python(path, text)
    return sorted(set(found))


@dataclass(frozen=True)
class Outcome:
    room: str
    fault: Fault
    verdict: str
    seconds: float
    by: str


class Copy:
    """The project in a folder of its own, where it may be spoilt, and servers that its test runs share."""

    def __init__(self, project: Path, folder: Path) -> None:
        self._project, self.folder = project, folder / "project"
        listed = ["git", "-C", str(project), "ls-files", "-z"]
        for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (project / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(project / name, self.folder / name)
        self._home = folder / "servers"
        self._stack: Stack = hold(load_settings(home=self._home, embedded_linger_seconds=1))
        self._changes = 0

    def judge(self, room: str, fault: Fault | None) -> tuple[str, float, str]:
        """`survived`, `killed` or `late`, after how many seconds, and by which test."""
        self._forget()
        file = self.folder / (fault.path if fault else "README.md")
        sound = file.read_text("utf-8")
        if fault:
            self._write(file, sound[: fault.start] + fault.text + sound[fault.end :])
        started = time.monotonic()
        try:
            ended = subprocess.run(
                self._command(room), cwd=self.folder, env=self._environment(), capture_output=True, text=True,
                timeout=MOST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "late", time.monotonic() - started, ""
        finally:
            if fault:
                self._write(file, sound)
        red = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
        verdict = "killed" if ended.returncode else "survived"
        return (
            verdict,
            time.monotonic() - started,
            red[1] if red else ended.stdout[-300:].strip() if ended.returncode else "",
        )

    def _command(self, room: str) -> list[str]:
        tests = [f"{TESTS}/{name}" for name in ROOMS[room][1] if (self.folder / TESTS / name).exists()]
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not long", "--hypothesis-seed=0"]
        return [sys.executable, "-m", "pytest", *options, *dict.fromkeys(tests)]

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # Programs that tests start elsewhere must be the spoilt ones too.
        return {**ours, "PYTHONPATH": str(self.folder), "FM_TEST_SERVERS": str(self._home), "FM_MODEL_SEED": "0"}

    def _write(self, file: Path, text: str) -> None:
        """With a time of its own, by which Python knows that what it has compiled is of another text."""
        file.write_text(text, "utf-8")
        self._changes += 1
        os.utime(file, (1e9 + self._changes, 1e9 + self._changes))

    def _forget(self) -> None:
        """The databases that changed code has made, or has left behind."""
        with psycopg.connect(self._stack.database_url("postgres"), autocommit=True) as connection:
            query = "select datname from pg_database where not datistemplate and datname not in ('postgres', 'clinic')"
            for (name,) in connection.execute(query).fetchall():
                if name not in LASTING:
                    connection.execute(f"drop database if exists {name} with (force)".encode())


def sample(project: Path, rooms: list[str], count: int, seed: int) -> list[tuple[str, Fault]]:
    """So many faults, spread evenly over the rooms, and over files in their proportion."""
    chosen: list[tuple[str, Fault]] = []
    for number, room in enumerate(rooms):
        found = faults_of(project, room)
        share = count // len(rooms) + (number < count % len(rooms))
        chosen += [(room, fault) for fault in random.Random(f"{seed} {room}").sample(found, min(share, len(found)))]
    return chosen


def describe(project: Path, fault: Fault) -> str:
    text = (project / fault.path).read_text("utf-8")
    line = text.count("\n", 0, fault.start) + 1
    before = " ".join(text[fault.start : fault.end].split()) or "nothing"
    return f"{fault.path}:{line}  {before[:60]} → {' '.join(fault.text.split())[:60] or 'nothing'}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Put small faults into the code and see whether the tests notice.")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this room; may be given several times")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="only list what would be changed")
    parser.add_argument("--project", type=Path, default=PROJECT, help="another clone, at another commit")
    given = parser.parse_args()
    chosen = sample(given.project, given.room or list(ROOMS), given.count, given.seed)
    if given.list:
        for room, fault in chosen:
            print(f"{room:11} {fault.kind:18} {describe(given.project, fault)}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    folder.chmod(0o711)
    try:
        outcomes = _play(Copy(given.project, folder), chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _score(outcomes, given.seed)
    return 0


def _play(copy: Copy, chosen: list[tuple[str, Fault]]) -> list[Outcome]:
    for room in dict.fromkeys(room for room, _ in chosen):
        verdict, seconds, red = copy.judge(room, None)
        print(f"{'sound':9} {seconds:5.0f} s  {room}", flush=True)
        if verdict != "survived":
            sys.exit(f"The tests of {room} are red without any fault: {red}")
    outcomes = []
    for room, fault in chosen:
        outcomes.append(Outcome(room, fault, *copy.judge(room, fault)))
        said = outcomes[-1]
        print(f"{said.verdict:9} {said.seconds:5.0f} s  {describe(copy.folder, fault)}  {said.by}", flush=True)
    return outcomes


def _score(outcomes: list[Outcome], seed: int) -> None:
    print("\n| room | language | mutants | killed | score |\n|---|---|---|---|---|")
    groups = Counter((one.room, _language(one)) for one in outcomes)
    for room, language in [*sorted(groups), ("all", "both")]:
        of = [one for one in outcomes if (room, language) in ((one.room, _language(one)), ("all", "both"))]
        killed = sum(one.verdict != "survived" for one in of)
        print(f"| {room} | {language} | {len(of)} | {killed} | {killed / len(of):.0%} |")
    print(f"\nSeed {seed}.")


def _language(outcome: Outcome) -> str:
    return "SQL" if outcome.fault.path.endswith(".sql") else "Python"


if __name__ == "__main__":
    sys.exit(main())
