"""Planning, importing and re-linking: ours beside an import by Django's ORM and the plain-SQL floor.

    python -m bench links                 the clinic's size: 6,489 photographs, some minutes because of the ORM
    python -m bench links --million       1,000,000 photographs of 200,000 patients, ours and the floor
    python -m bench links --million 10    ten times as many
    python -m bench links --postgres /usr/lib/postgresql/15/bin    an installed PostgreSQL instead of ours

Each way runs in a process of its own on a fresh copy of the same database, and what the gallery then shows is counted:
a way that lost a photograph ends the benchmark. What is timed is the work once the process is up and connected; the
rest of the process is told beside it. Ours is `stage_patients`, `follow`, `make_plan` and `apply_plan` on an export and
a listing that are staged already; "files too" is ours with their staging from files, which the ORM reads as well. The
floor with "journal too" writes, beside the clinic's rows, those that ours leaves in our own tables.

The server gathers no statistics by itself: each state of the clinic says whether it has some, so that "right after a
first import" is not flattered by luck.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
from sqlalchemy import Connection, Engine

from bench import harness
from bench.harness import Call, Comparison, compare
from bench.peers import clinic_data, sql_floor
from bench.peers.clinic_data import CLINIC, EXPORT_FILE, LISTING_FILE, STALE_GENERATIONS, Seen, Size, millions
from fm_migration import database
from fm_migration.embedded import ports, postgres, server_place
from fm_migration.ledger import csv_metadata, inventory
from fm_migration.linking import applying, following, placing
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.operations import staging
from fm_migration.settings import Settings, load_settings
from fm_migration.sources import bucket as bucket_source
from fm_migration.sources import export_file
from fm_migration_tests import installed_postgres

PAGE = 1000
_OTHER_CONNECTIONS = """
select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
"""
#: From so many photographs on, copying a database through the write-ahead log takes longer than copying its files.
COPIED_BY_FILE = 100_000
HEALINGS = 100

OURS, OURS_FROM_FILES, ORM, FLOOR = "ours", "ours, files too", "ORM", "floor"
FLOOR_WITH_JOURNAL = "floor, journal too"

# --- our way, in the child process --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A database to work on, with a connection open."""

    engine: Engine
    settings: Settings


def open_place(url: str, **_arguments: object) -> Place:
    engine = database.open_engine(url)
    database.check(engine)
    return Place(engine, load_settings(database_url=url))


def plan(place: Place, **_arguments: object) -> dict[str, float]:
    """The dry run."""
    parts: dict[str, float] = {}
    with place.engine.begin() as connection:
        with _timed(parts, "patients"):
            staging.stage_patients(connection)
        with _timed(parts, "plan"):
            placing.make_plan(connection, place.settings)
    return parts


def plan_and_apply(place: Place, nothing_new: bool = False, **_arguments: object) -> dict[str, float]:
    """What an import, a second import and a healing run do alike."""
    parts: dict[str, float] = {}
    with _timed(parts, "patients"), place.engine.begin() as connection:
        staging.stage_patients(connection)
    with _timed(parts, "links"), place.engine.begin() as connection:
        following.follow(connection)
    with _timed(parts, "plan"), place.engine.begin() as connection:
        made = placing.make_plan(connection, place.settings)
    with _timed(parts, "apply"), place.engine.begin() as connection:
        applying.apply_plan(connection, made.id)
    if nothing_new and made.changes:
        raise AssertionError(f"{made.changes} changes were planned where there was nothing to do")
    return parts


def stage_plan_and_apply(place: Place, folder: str, **_arguments: object) -> dict[str, float]:
    """The whole first import, export and listing read from their files as the assets do it but for the network."""
    parts: dict[str, float] = {}
    with place.engine.begin() as connection:
        with _timed(parts, "export"):
            _stage_export(connection, place.settings, Path(folder, EXPORT_FILE))
        with _timed(parts, "listing"):
            _stage_listing(connection, place.settings, Path(folder, LISTING_FILE))
    return {**parts, **plan_and_apply(place)}


def _stage_export(connection: Connection, settings: Settings, path: Path) -> None:
    with export_file.open_rows(csv_metadata.EXPORT_FILE, path, path.name, settings) as found:
        csv_metadata.replace_rows(connection, [found], tolerated_shrinkage=settings.tolerated_shrinkage)


def _stage_listing(connection: Connection, settings: Settings, path: Path) -> None:
    inventory.update_inventory(
        connection,
        _pages(path),
        layout=bucket_source.key_layout(settings),
        bucket="bench",
        prefixes=list(settings.original_prefixes),
        started_at=datetime.now(UTC),
        source="listing",
        tolerated_shrinkage=settings.tolerated_shrinkage,
    )


def _pages(path: Path) -> Iterator[list[ObjectFacts]]:
    uploaded = datetime(2025, 3, 1, tzinfo=UTC)
    with path.open(encoding="utf-8", newline="") as file:
        page = []
        for key, etag, size in csv.reader(file):
            page.append(ObjectFacts(key, etag, int(size), uploaded, STANDARD))
            if len(page) == PAGE:
                yield page
                page = []
        yield page


@contextmanager
def _timed(parts: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - started


# --- the clinic before a run --------------------------------------------------------------------------------------


class Clinics:
    """Databases in the states that a run can start from: each made once, and copied for every run."""

    def __init__(
        self,
        url_of: Callable[[str], str],
        size: Size,
        folder: Path,
        prefix: str = "links",
        server: psutil.Process | None = None,
    ) -> None:
        self._url_of = url_of
        self._server = server
        self._size = size
        self._prefix = prefix
        self.folder = folder
        self._made: set[str] = set()
        self._recipes: Mapping[str, tuple[str | None, Callable[[str], None]]] = {
            "untouched": (None, self._fill),
            "fresh": ("untouched", clinic_data.stage),
            "imported": ("fresh", self._copy_in),
            "imported by us": ("fresh", self._import),
            "re-imported": ("imported", _reimport_once),
            "re-imported after us": ("imported by us", _reimport_once),
            "re-imported right after us": ("fresh", self._import_and_reimport),
            "healed often": ("imported by us", self._heal_often),
            "one row more": ("imported by us", clinic_data.add_photograph),
            "stale": ("imported", _run_the_command_for_months),
        }

    @property
    def url(self) -> str:
        """The database of the present run."""
        return self._url_of(self._name("running"))

    def start_from(self, way: Way) -> None:
        """Put a fresh copy of the state that a way starts from in the place of the last run's database."""
        for state in (*way.needs, way.start):
            self._make(state)
        state = way.start
        self._copy(self._name(state), self._name("running"))

    def server_cpu(self) -> float:
        """CPU seconds of all connections that have ended by now; 0 where the server is not ours to look into."""
        if self._server is None:
            return 0.0
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            while connection.execute(_OTHER_CONNECTIONS).fetchone() != (0,):
                time.sleep(0.01)
        # The server collects an ended connection's process a moment after nobody sees it any more.
        time.sleep(0.05)
        times = self._server.cpu_times()
        return float(times.children_user + times.children_system)

    def remove(self) -> None:
        """Drop all of it, for a server that others use too."""
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            for state in ("running", *self._recipes):
                connection.execute(f"drop database if exists {self._name(state)} with (force)")

    def _make(self, state: str) -> None:
        if state in self._made:
            return
        parent, prepare = self._recipes[state]
        if parent:
            self._make(parent)
        self._copy(self._name(parent) if parent else "template0", self._name(state))
        url = self._url_of(self._name(state))
        prepare(url)
        if state not in UNSETTLED:
            clinic_data.settle(url)
        self._made.add(state)

    def _name(self, state: str) -> str:
        return f"{self._prefix}_{state}".replace(" ", "_").replace("-", "_")

    def _copy(self, template: str, name: str) -> None:
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)")
            strategy = "file_copy" if self._size.photographs > COPIED_BY_FILE else "wal_log"
            connection.execute(f"create database {name} template {template} strategy {strategy}")

    def _fill(self, url: str) -> None:
        clinic_data.make_tables(url)
        clinic_data.fill(url, self._size, self.folder)

    def _import(self, url: str) -> None:
        place = open_place(url)
        plan_and_apply(place)
        place.engine.dispose()
        clinic_data.write_journal(url, self.folder)

    def _import_and_reimport(self, url: str) -> None:
        self._import(url)
        _reimport_once(url)

    def _heal_often(self, url: str) -> None:
        place = open_place(url)
        for generation in range(2, HEALINGS + 2):
            clinic_data.reimport_patients(url, generation)
            plan_and_apply(place)
            # As the server would have by itself, or its tables would be a hundred times as large as what is in them.
            clinic_data.settle(url)
        place.engine.dispose()
        clinic_data.reimport_patients(url, HEALINGS + 2)

    def _copy_in(self, url: str) -> None:
        with sql_floor.connect(url) as connection:
            sql_floor.import_photographs(connection, str(self.folder))


#: States that nobody has gathered statistics of.
UNSETTLED = frozenset({"re-imported right after us"})

AnyClinics = TypeVar("AnyClinics", bound=Clinics)


def _reimport_once(url: str) -> None:
    clinic_data.reimport_patients(url, 2)


def _run_the_command_for_months(url: str) -> None:
    """Nine imports, each followed by a re-import of the patients, of which nobody kept a record."""
    for generation in range(2, STALE_GENERATIONS + 1):
        clinic_data.reimport_patients(url, generation)
        clinic_data.run_the_command_again(url, generation)
    clinic_data.reimport_patients(url, STALE_GENERATIONS + 1)


# --- what is compared ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """A function for the harness to call, and the state of the clinic that it starts from.

    `needs` are states whose files it reads.
    """

    start: str
    target: str
    prepare: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def _ours(start: str, function: str, **arguments: object) -> Way:
    return Way(start, f"bench.links:{function}", "bench.links:open_place", arguments)


def _orm(start: str, function: str, **arguments: object) -> Way:
    return Way(start, f"bench.peers.django_import:{function}", "bench.peers.django_import:open_app", arguments)


def _floor(start: str, function: str, *needs: str) -> Way:
    return Way(start, f"bench.peers.sql_floor:{function}", "bench.peers.sql_floor:connect", needs=needs)


@dataclass(frozen=True)
class Scenario:
    """One piece of work, the ways to do it, and how many photographs show afterwards: all, some more, or none."""

    what: str
    ways: Mapping[str, Way]
    all_shown: bool = True
    added: int = 0


@dataclass(frozen=True)
class Outcome:
    """What was measured, and the CPU seconds of the server, in the middle: the harness sees only the client's."""

    comparison: Comparison
    server_cpu: Mapping[str, float]


SCENARIOS = {
    "plan": Scenario(
        "dry run",
        {OURS: _ours("fresh", "plan"), ORM: _orm("fresh", "import_photographs", dry_run=True)},
        all_shown=False,
    ),
    "import": Scenario(
        "first import",
        {
            OURS: _ours("fresh", "plan_and_apply"),
            OURS_FROM_FILES: _ours("untouched", "stage_plan_and_apply"),
            ORM: _orm("fresh", "import_photographs"),
            FLOOR: _floor("fresh", "import_photographs"),
            FLOOR_WITH_JOURNAL: _floor("fresh", "import_with_journal", "imported by us"),
        },
    ),
    "again": Scenario(
        "import again, nothing new",
        {
            OURS: _ours("imported by us", "plan_and_apply", nothing_new=True),
            ORM: _orm("imported", "import_photographs"),
            FLOOR: _floor("imported by us", "find_nothing_new"),
        },
    ),
    "relink": Scenario(
        "re-link after a re-import of the patients",
        {
            OURS: _ours("re-imported after us", "plan_and_apply"),
            ORM: _orm("re-imported", "repair"),
            FLOOR: _floor("re-imported", "relink"),
        },
    ),
    "row": Scenario("one new export row", {OURS: _ours("one row more", "plan_and_apply")}, added=1),
    "unanalysed": Scenario(
        "first re-link right after the first import, no statistics",
        {OURS: _ours("re-imported right after us", "plan_and_apply"), FLOOR: _floor("re-imported", "relink")},
    ),
    "healed": Scenario(
        f"re-link after {HEALINGS} re-imports and healings",
        {
            OURS: _ours("healed often", "plan_and_apply"),
            "ours, the first time": _ours("re-imported after us", "plan_and_apply"),
        },
    ),
    "stale": Scenario(
        "re-link with {stale:,} stale batches",
        {
            OURS: _ours("stale", "plan_and_apply"),
            ORM: _orm("stale", "repair"),
            FLOOR: _floor("stale", "relink"),
        },
    ),
}


def run(
    scenario: Scenario, clinics: Clinics, size: Size, runs: int, warm_up: int, without: Sequence[str] = ()
) -> Outcome:
    """Every way of a scenario in turn, each from its own start, with a look at the result."""
    ways = {name: way for name, way in scenario.ways.items() if name not in without}
    expected = size.photographs + scenario.added if scenario.all_shown else 0
    server_cpu: dict[str, list[float]] = {name: [] for name in ways}

    def before(name: str) -> None:
        clinics.start_from(ways[name])
        server_cpu[name].append(-clinics.server_cpu())

    def after(name: str) -> None:
        server_cpu[name][-1] += clinics.server_cpu()
        seen = clinic_data.look(clinics.url)
        if seen != Seen(expected, expected, expected):
            raise harness.BenchError(
                "comparing", f"{scenario.what} by {name}", f"{seen} instead of {expected:,} of each", "Find out why"
            )

    arguments = {"url": clinics.url, "folder": str(clinics.folder)}
    calls = {name: Call(way.target, {**arguments, **way.arguments}, way.prepare) for name, way in ways.items()}
    comparison = compare(calls, runs=runs, warm_up=warm_up, before=before, after=after)
    return Outcome(comparison, {name: statistics.median(taken[warm_up:]) for name, taken in server_cpu.items()})


def report(what: str, outcome: Outcome) -> str:
    """The table, what ours was made of, what the server worked, and the rest of each process."""
    comparison = outcome.comparison
    lines = [f"== {what}", comparison.table()]
    for name in comparison.samples:
        parts = ", ".join(f"{part} {seconds:.3f}" for part, seconds in comparison.parts(name).items())
        lines.append(
            f"{name}: {parts + '; ' if parts else ''}server CPU {outcome.server_cpu[name]:.2f} s; "
            f"rest of the process {comparison.around(name):.3f} s"
        )
    return "\n".join(lines)


@contextmanager
def open_clinics(size: Size, kind: type[AnyClinics], installed: Path | None = None) -> Iterator[AnyClinics]:
    """A PostgreSQL and a folder for the length of the block: the embedded stack's, or one that is installed."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-links-") as folder,
        _installed(installed) if installed else _embedded(Path(folder)) as (url_of, server),
    ):
        with psycopg.connect(url_of("postgres"), autocommit=True) as connection:
            connection.execute("alter system set autovacuum = off")
            connection.execute("select pg_reload_conf()")
        yield kind(url_of, size, Path(folder, "files"), server=server)


@contextmanager
def _embedded(folder: Path) -> Iterator[tuple[Callable[[str], str], psutil.Process]]:
    data, port, password = Path(folder, "postgres").resolve(), ports.free_port(), "benchmark"
    place = server_place.prepare(data)
    postgres.make_data_folder(place, password)
    server = postgres.start(place, port, password, Path(folder, "postgres.log"))
    try:
        yield partial(postgres.url, port, password), server
    finally:
        postgres.stop(server)
        server_place.remove(data)


@contextmanager
def _installed(programs: Path) -> Iterator[tuple[Callable[[str], str], psutil.Process]]:
    with installed_postgres.serve(programs) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            ((backend,),) = connection.execute("select pg_backend_pid()").fetchall()
            postmaster = psutil.Process(backend).parent()
        assert postmaster is not None
        print(f"PostgreSQL {server.version}")
        yield server.url, postmaster


def main(arguments: Sequence[str]) -> int:
    """`python -m bench links`."""
    parser = argparse.ArgumentParser(prog="python -m bench links", description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--million", type=int, nargs="?", const=1, help="so many millions (1); without the ORM")
    parser.add_argument("--postgres", type=Path, metavar="BIN_DIR", help="an installed PostgreSQL instead of ours")
    parser.add_argument("--without-orm", action="store_true", help="leave the slow way out")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each that do not count (default 1)")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - SCENARIOS.keys():
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; these exist: {', '.join(SCENARIOS)}")
    size = millions(options.million) if options.million else CLINIC
    without = (ORM,) if options.million or options.without_orm else ()
    if options.million:
        print("The ORM is left out: each of its queries would read a whole table, and nobody has waited for that.")
    with open_clinics(size, Clinics, options.postgres) as clinics:
        for name in options.scenarios or SCENARIOS:
            what = SCENARIOS[name].what.format(stale=size.sessions * STALE_GENERATIONS)
            outcome = run(SCENARIOS[name], clinics, size, options.runs, options.warm_up, without)
            print(report(f"{what}, {size}", outcome), end="\n\n")
            print(harness.MARKDOWN_HEADER)
            print(outcome.comparison.markdown_rows(f"{what}, {size.photographs:,} photographs"), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
