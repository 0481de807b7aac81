"""From a re-import's last commit to the last healed link, with a real Dagster daemon; and bursts of re-imports.

    python -m bench healing                        seconds, by the sensor and by the importer's hook
    python -m bench healing --bursts 20            five re-imports each, under healing runs made 12 s slow

The sample clinic is imported once; then its patients are deleted and made again, over and over, at random moments
between two looks of the sensor. A sample ends when as many images and documents lead to somebody as before, and whose
they are is compared then: a link that came home to somebody else ends the benchmark. The wait for the table to settle
is included. A burst converges when all links are home with no further change of the patients.

The daemon, its code server and the run workers are processes of their own (`fm_migration_tests/e2e/daemon.py`), with
the project's dagster.yaml. The delay of the bursts stands between reading and writing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg

from bench.harness import Spread, machine_facts
from fm_migration.embedded import processes
from fm_migration.embedded.furnish import furnish
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.embedded.stack import BUCKET, borrow
from fm_migration.embedded.state import read_state
from fm_migration.settings import load_settings
from fm_migration_tests.e2e.daemon import Dagster, environment_for, wait_for
from fm_migration_tests.e2e.homes import homes

SENSOR, HOOK = "sensor", "hook"
WAYS = {
    SENSOR: "default settings: the sensor looks every 5 s, the queue every second",
    HOOK: "the same, and the importer calls `fm-migration heal` at its end",
}
REIMPORTS_IN_A_BURST = 5
LONGEST_GAP_SECONDS = 8.0
#: A burst that needs longer has not converged.
BURST_PATIENCE_SECONDS = 240.0
LOOK_SECONDS = 0.05
STOP_SECONDS = 60.0

_AT_HOME = """
select (select count(*) from images_image join images_batch on images_batch.id = batch_id
        join patients on patients.id = object_id),
       (select count(*) from documents_document join patients on patients.id = object_id)
"""


@dataclass(frozen=True)
class AtHome:
    """How many images and documents lead to a living patient."""

    images: int
    documents: int


@dataclass(frozen=True)
class Healing:
    """One re-import: what could be seen, and the seconds from its last commit."""

    before: AtHome
    during: AtHome
    after: AtHome
    last_link: float
    run_created: float
    run_started: float


@dataclass
class Clinic:
    """The sample clinic, its daemon, and where every link led after the import."""

    dagster: Dagster
    connection: psycopg.Connection[Any]
    seed: int
    imported: dict[str, str]

    def at_home(self) -> AtHome:
        images, documents = self.connection.execute(_AT_HOME).fetchone() or (0, 0)
        return AtHome(images, documents)

    def reimport(self) -> float:
        """Re-import everybody; the moment after the last commit."""
        for _ in play_reimport(self.connection, seed=self.seed):
            pass
        return time.time()

    def check(self) -> None:
        found = homes(self.connection)
        if found != self.imported:
            wrong = sum(found.get(link) != home for link, home in self.imported.items())
            raise AssertionError(f"{wrong} of {len(self.imported)} links are not where they were after the import")


@contextmanager
def watched_clinic(size: float, seed: int) -> Iterator[Clinic]:
    """The sample clinic, imported, with its daemon running."""
    with tempfile.TemporaryDirectory(prefix="bench-healing-") as folder:
        settings = load_settings(
            _env_file=None,
            home=Path(folder, "servers"),
            sample_size=size,
            sample_seed=seed,
            embedded_linger_seconds=0,
        )
        with borrow(settings) as stack:
            running = read_state(stack.layout)
            export = furnish(stack, settings)
            environment = environment_for(stack, stack.database_url(), BUCKET, export)
            with _imported(Dagster(Path(folder, "dagster"), environment), stack.database_url(), seed) as clinic:
                yield clinic
        # The folder must not go while the servers still write their last words into it.
        if running is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.wait_gone(running.keeper.process(), STOP_SECONDS)


@contextmanager
def _imported(dagster: Dagster, database_url: str, seed: int) -> Iterator[Clinic]:
    """The clinic after its import and a first re-import, with the daemon running.

    That re-import does not count: after it, documents of people who share a FileMaker id, which nobody can lead home,
    have left the count of what is at home.
    """
    dagster.start()
    try:
        dagster.launch("import_photographs")
        dagster.wait_until_idle()
        with psycopg.connect(database_url, autocommit=True) as connection:
            clinic = Clinic(dagster, connection, seed, homes(connection))
            clinic.reimport()
            wait_for("every link is home", lambda: homes(connection) == clinic.imported, every=0.5)
            dagster.wait_until_idle()
            yield clinic
    finally:
        dagster.stop()


# --- seconds ------------------------------------------------------------------------------------------------------


def heal_once(clinic: Clinic, way: str) -> Healing:
    """One re-import, healed."""
    before = clinic.at_home()
    known = {run.run_id for run in clinic.dagster.healings()}
    committed = clinic.reimport()
    during = clinic.at_home()
    hook = _call_hook(clinic.dagster) if way == HOOK else None
    wait_for("every link is home", lambda: clinic.at_home() == before, every=LOOK_SECONDS)
    last_link = time.time() - committed
    if hook is not None and hook.wait():
        raise AssertionError("fm-migration heal has failed")
    clinic.dagster.wait_until_idle()
    clinic.check()
    created, started = _first_run(clinic.dagster, known)
    return Healing(before, during, clinic.at_home(), last_link, created - committed, started - committed)


def _call_hook(dagster: Dagster) -> subprocess.Popen[bytes]:
    """What the importer's script does as its last line."""
    command = [str(Path(sys.executable).parent / "fm-migration"), "heal"]
    return subprocess.Popen(command, cwd=dagster.home, env=dagster.environment, stdout=subprocess.DEVNULL)


def _first_run(dagster: Dagster, known: set[str]) -> tuple[float, float]:
    """When the first of the new runs was created, and when it was started."""
    with dagster.instance() as instance:
        records = [record for record in instance.get_run_records() if record.dagster_run.run_id not in known]
    first = min(records, key=lambda record: record.create_timestamp)
    return first.create_timestamp.timestamp(), first.start_time or 0.0


def measure(size: float, samples: int, ways: Sequence[str], seed: int) -> None:
    """Sample after sample, the ways in turn."""
    chance = random.Random(seed)
    taken: dict[str, list[Healing]] = {way: [] for way in ways}
    machine, loads = machine_facts(), []
    with watched_clinic(size, seed) as clinic:
        for _ in range(samples):
            for way in ways:
                time.sleep(chance.uniform(0, 5))
                loads.append(os.getloadavg()[0])
                taken[way].append(healing := heal_once(clinic, way))
                print(f"{way}: {_told(healing)}, load {loads[-1]:.1f}", flush=True)
    print(f"\n{machine}; load during the samples {min(loads):.1f} to {max(loads):.1f}\n")
    for way, healings in taken.items():
        _summarise(way, healings, size, f"{machine}, load {min(loads):.1f} to {max(loads):.1f} during the samples")


def _told(healing: Healing) -> str:
    return (
        f"{healing.before.images} photographs and {healing.before.documents} documents at home before, "
        f"{healing.during.images} and {healing.during.documents} after the commit, "
        f"{healing.after.images} and {healing.after.documents} healed; "
        f"run asked for after {healing.run_created:.1f} s, at work after {healing.run_started:.1f} s, "
        f"last link home after {healing.last_link:.1f} s"
    )


def _summarise(way: str, healings: Sequence[Healing], size: float, machine: str) -> None:
    seconds = Spread.of([healing.last_link for healing in healings])
    print(
        f"| re-import to the last healed link, sample clinic of size {size:g} | {WAYS[way]} "
        f"| {seconds.median:.1f} ({seconds.low:.1f} to {seconds.high:.1f}) | | | | {len(healings)} | {machine} |"
    )


# --- bursts -------------------------------------------------------------------------------------------------------


def play_bursts(size: float, bursts: int, delay: float, seed: int) -> int:
    """Bursts of re-imports under slow healing; how many did not converge."""
    chance = random.Random(seed)
    seconds: list[float] = []
    lost, loads = 0, []
    with watched_clinic(size, seed) as clinic:
        for number in range(1, bursts + 1):
            clinic.dagster.slow_down(delay)
            gaps = [chance.uniform(0, LONGEST_GAP_SECONDS) for _ in range(REIMPORTS_IN_A_BURST - 1)]
            known = {run.run_id for run in clinic.dagster.healings()}
            before = clinic.at_home()
            taken = _burst(clinic, gaps, before)
            loads.append(os.getloadavg()[0])
            runs = [run for run in clinic.dagster.healings() if run.run_id not in known]
            failed = sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs)
            words = "LOST" if taken is None else f"converged {taken:.1f} s after the last commit"
            print(
                f"burst {number}: gaps {', '.join(f'{gap:.1f}' for gap in gaps)} s; {words}; {len(runs)} runs, "
                f"{failed} of them overtaken; load {loads[-1]:.1f}",
                flush=True,
            )
            if taken is None:
                lost += 1
            else:
                seconds.append(taken)
    spread = Spread.of(seconds) if seconds else Spread(0, 0, 0)
    print(
        f"\n{bursts - lost} of {bursts} bursts converged.\n"
        f"| burst of {REIMPORTS_IN_A_BURST} re-imports, gaps 0 to {LONGEST_GAP_SECONDS:g} s, healing runs {delay:g} s "
        f"slower, sample clinic of size {size:g}: {bursts - lost} of {bursts} converged | {WAYS[SENSOR]} "
        f"| {spread.median:.1f} ({spread.low:.1f} to {spread.high:.1f}) | | | | {bursts} | {machine_facts()}, "
        f"load {min(loads):.1f} to {max(loads):.1f} during the bursts |"
    )
    return lost


def _burst(clinic: Clinic, gaps: Sequence[float], before: AtHome) -> float | None:
    """Seconds from the last commit until every link is home and stays there, or None."""
    for gap in gaps:
        clinic.reimport()
        time.sleep(gap)
    committed = clinic.reimport()
    try:
        while True:
            left = BURST_PATIENCE_SECONDS - (time.time() - committed)
            wait_for("every link is home", lambda: clinic.at_home() == before, seconds=left, every=LOOK_SECONDS)
            taken = time.time() - committed
            clinic.dagster.wait_until_idle()
            if clinic.at_home() == before:
                clinic.check()
                return taken
    except TimeoutError:
        return None


def main() -> int:
    """`python -m bench healing`."""
    parser = argparse.ArgumentParser(prog="python -m bench healing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=float, help="of the sample clinic; 1 is the real one (default 1, bursts 0.05)")
    parser.add_argument("--samples", type=int, default=7, help="re-imports measured in each way (default 7)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="default: both, in turn")
    parser.add_argument("--bursts", type=int, help="play so many bursts instead")
    parser.add_argument("--delay", type=float, default=12, help="seconds that a burst's healing runs are slower by")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.bursts:
        return 1 if play_bursts(options.size or 0.05, options.bursts, options.delay, options.seed) else 0
    measure(options.size or 1.0, options.samples, options.ways, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
