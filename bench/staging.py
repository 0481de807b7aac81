"""Staging: how long the export, the listing and the patients take, beside other ways to read the same.

    make bench ARGS=staging                      # the clinic's sizes, and 100,000 objects; under three minutes
    make bench ARGS='staging --full'             # a million of each too; about half an hour
    make bench ARGS='staging --only csv --rows 6662 50000'
    make bench ARGS='staging --only inventory --objects 20000 100000 --postgres /usr/lib/postgresql/15/bin'

Belongs here: the questions, the servers they need, and the goals. Does not belong here: the other ways of doing it
(`peers/`), measuring (`harness.py`).

The servers are the project's embedded ones in a folder that goes with the run, or with --postgres a PostgreSQL that is
installed here. What they spend is in the wall time,
and neither in CPU nor in memory: those are of the measured process and its children.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import Engine, text

from bench.harness import MARKDOWN_HEADER, BenchError, Call, Comparison, Spread, compare
from bench.peers.clinic_data import settle
from bench.peers.staging_bucket import FOLDER, keys_of
from bench.peers.staging_export import as_copy_rows, row_by_row, write_export
from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded import object_server, processes
from fm_migration.embedded.stack import Stack, borrow
from fm_migration.embedded.state import StackLayout, read_state
from fm_migration.ledger import inventory, schema
from fm_migration.ledger.copying import copy_rows
from fm_migration.objects import listing
from fm_migration.operations import staging
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration_tests import installed_postgres

CLINIC_ROWS, CLINIC_OBJECTS, CLINIC_PATIENTS = 6_662, 6_490, 2_842
MANY_OBJECTS, MILLION = 100_000, 1_000_000
#: What one page of S3 takes in its own region, roughly.
NETWORK_DELAY = 0.05
#: ministack sorts all keys of a bucket for each page, so beyond this many the figures would be about ministack.
LARGEST_IN_MINISTACK, LARGEST_BY_DEFAULT = 100_000, 10_000
TIMEOUT = 300
STOP_SECONDS = 60
DATABASE = "bench"
#: Where the peer that stores puts its rows: the same columns and indexes.
PEER_TABLE = "create table bench_rows (like fm_migration.csv_metadata including all)"
OURS, BOTO3, RCLONE, RCLONE_START = "ours", "boto3 paginator", "rclone lsf", "rclone lsf, empty folder"

# --- the measured functions: each in an interpreter of its own ---------------------------------------------------


def opened(**_: object) -> Places:
    """The servers that the environment names, with a connection to the database and the client of the bucket made."""
    places = find_places(load_settings(_env_file=None))
    with places.engine.connect():
        pass
    assert places.store.client
    return places


def stage_export(places: Places, rows: int, sound: int) -> None:
    """The export into `fm_migration.csv_metadata`."""
    with places.engine.begin() as connection:
        update = staging.stage_export(connection, places)
        found = connection.execute(
            text("select count(*) from fm_migration.csv_metadata where contact is not null and taken_on is not null")
        ).scalar_one()
    _expect((update.rows, found), (rows, sound))


def rows_by_dict_reader(places: Places, rows: int, sound: int) -> None:
    """The peer: each row parsed and checked in turn, nothing stored."""
    number, photographs = row_by_row(Path(places.export))
    _expect((number, len(photographs)), (rows, sound))


def rows_by_dict_reader_stored(places: Places, rows: int, sound: int) -> None:
    """The same, and its sound rows by COPY into a table like ours."""
    number, photographs = row_by_row(Path(places.export))
    with places.engine.begin() as connection:
        connection.execute(text("truncate bench_rows"))
        stored = copy_rows(connection, "bench_rows", _columns(connection), as_copy_rows(photographs))
    _expect((number, stored), (rows, sound))


def pandas_ready(**arguments: object) -> Places:
    """As `opened`, with pandas imported."""
    import pandas  # noqa: F401  its import must not count, and must not be in our own way's memory

    return opened(**arguments)


def rows_by_pandas(places: Places, rows: int, sound: int) -> None:  # noqa: ARG001  it does not find out which are
    """The peer: texts in columns, nothing parsed or checked."""
    import pandas as pd

    _expect(len(pd.read_csv(places.export, dtype=str, keep_default_na=False, encoding="utf-8-sig")), rows)


def list_ours(places: Places, objects: int, threads: int = listing.THREADS) -> None:
    """Our listing, each object as facts."""
    _expect(_count(listing.list_objects(places.store, FOLDER, threads=threads)), objects)


def list_boto3(places: Places, objects: int) -> None:
    """The peer that everybody uses."""
    paginator = places.store.client.get_paginator("list_objects_v2")
    pages = paginator.paginate(Bucket=places.store.bucket, Prefix=FOLDER)
    _expect(_count(item for page in pages for item in page.get("Contents", [])), objects)


def list_rclone(places: Places, objects: int, folder: str = FOLDER) -> None:
    """The peer in Go: a process, whose start counts. An empty folder shows what that is."""
    location = places.objects
    secret = location.secret_key.get_secret_value() if location.secret_key else ""
    options = {
        "type": "s3",
        "provider": "Other",
        "endpoint": location.endpoint_url or "",
        "access_key_id": location.access_key or "",
        "secret_access_key": secret,
        "region": location.region or object_server.REGION,
        "force_path_style": "true",
        "list_version": "2",
    }
    environment = {f"RCLONE_CONFIG_BENCH_{name.upper()}": value for name, value in options.items()}
    command = ["rclone", "lsf", "--config", "/dev/null", "--format", "psth", "--files-only"]
    # Without this it would ask for each object by itself, for a time of change that only rclone writes.
    command += ["--use-server-modtime", f"bench:{location.bucket}/{folder}"]
    path = {"PATH": str(Path(shutil.which("rclone") or "rclone").parent)}
    with subprocess.Popen(command, env=path | environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = sum(block.count(b"\n") for block in iter(partial(process.stdout.read, 1 << 16), b""))
    _expect((process.returncode, lines), (0, objects))


def stage_inventory(places: Places, objects: int) -> None:
    """The listing into `fm_migration.s3_inventory`."""
    with places.engine.begin() as connection:
        update: inventory.InventoryUpdate = staging.stage_inventory(connection, places.store, places.settings)
    _expect(update.originals, objects)


def stage_patients(places: Places, patients: int, began: int) -> None:
    """The patients' table into the identity history."""
    with places.engine.begin() as connection:
        update = staging.stage_patients(connection)
    _expect((update.with_filemaker_id, update.began), (patients, began))


def _count(things: Iterable[object]) -> int:
    return sum(1 for _ in things)


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"found {found} instead of {wanted}: the figures would mean nothing")


def _columns(connection: Any) -> Sequence[str]:
    return list(connection.execute(text("select * from bench_rows limit 0")).keys())


# --- the world around them ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """What a figure should be, and what it is."""

    what: str
    measured: float
    limit: float
    unit: str

    def __str__(self) -> str:
        verdict = "met" if self.measured <= self.limit else "MISSED"
        return f"{self.what}: {self.measured:,.2f} {self.unit} (goal {self.limit:,g}): {verdict}"


@dataclass
class Bench:
    """The servers, and what was measured on them."""

    folder: Path
    stack: Stack
    engine: Engine
    database_url: str
    runs: int
    warm_up: int | None
    rows: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def compare(self, what: str, commands: Mapping[str, Any], *, size: int, **options: Any) -> Comparison:
        """Measure, print, and keep the rows for RESULTS.md. Large inputs warm themselves up."""
        warm_up = int(size < MANY_OBJECTS) if self.warm_up is None else self.warm_up
        print(f"\n{what}", flush=True)
        comparison = compare(commands, runs=self.runs, warm_up=warm_up, timeout=TIMEOUT, **options)
        print(comparison.table(), flush=True)
        self.rows.append(comparison.markdown_rows(what))
        return comparison

    def places(self, objects_url: str | None = None, export: Path | None = None) -> dict[str, str]:
        """The environment in which a measured function finds these servers."""
        return {
            "FM_DATABASE_URL": self.database_url,
            "FM_OBJECTS_URL": objects_url or self.stack.objects_url,
            "FM_OBJECTS_ACCESS_KEY": self.stack.access_key,
            "FM_OBJECTS_SECRET_KEY": self.stack.secret_key,
            "FM_EXPORT": str(export or ""),
        }

    def sql(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@contextlib.contextmanager
def bench(
    buckets: Iterable[int], runs: int = 3, warm_up: int | None = None, postgres: Path | None = None
) -> Iterator[Bench]:
    """The servers in a folder of their own, with an empty clinic and buckets of these sizes."""
    with tempfile.TemporaryDirectory(prefix="staging-bench-") as name:
        folder = Path(name)
        settings = load_settings(_env_file=None, home=folder / "servers", embedded_linger_seconds=0)
        for objects in buckets:
            _fill_bucket(StackLayout(settings.home.resolve()), objects)
        with borrow(settings) as stack, _database(stack, postgres) as url:
            engine = database.open_engine(url)
            tables.metadata.create_all(engine)
            schema.upgrade(engine)
            running = read_state(stack.layout)
            try:
                yield Bench(folder, stack, engine, url, runs, warm_up)
            finally:
                engine.dispose()
        # The folder must not go while the servers still write their last words into it.
        if running is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.wait_gone(running.keeper.process(), STOP_SECONDS)


@contextlib.contextmanager
def _database(stack: Stack, postgres: Path | None) -> Iterator[str]:
    """The URL of an empty database, on the embedded server or on one of the installed programs' own."""
    if postgres is not None:
        with installed_postgres.serve(postgres) as server:
            print(f"PostgreSQL {server.version}", flush=True)
            yield server.create_database(DATABASE)
        return
    with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {DATABASE} template template0")
    yield stack.database_url(DATABASE)


def _bucket_name(objects: int) -> str:
    return f"bench-{objects}"


def _fill_bucket(layout: StackLayout, objects: int) -> None:
    """Put the objects where ministack looks for them when it starts: 100,000 uploads would take minutes.

    The measured functions count what is listed, so a ministack that looks elsewhere would show.
    """
    bucket = layout.objects / "objects" / "000000000000" / _bucket_name(objects)
    (bucket / FOLDER).mkdir(parents=True)
    for key in keys_of(objects):
        (bucket / key).write_bytes(b"x")


@contextlib.contextmanager
def synthetic_bucket(objects: int, delay: float) -> Iterator[str]:
    """The URL of a bucket whose listing is made up on the spot."""
    command = [sys.executable, "-m", "bench.peers.staging_bucket", "--objects", str(objects), "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        endpoint = server.stdout.readline().strip()
        try:
            yield f"s3://{_bucket_name(objects)}?endpoint={endpoint}&region={object_server.REGION}"
        finally:
            processes.end_child(server, signal.SIGTERM, STOP_SECONDS)


# --- the questions -----------------------------------------------------------------------------------------------


def measure_start(bench: Bench) -> None:
    """What each process pays before it does anything; the other figures leave it out."""
    imports = {"ours": "fm_migration.operations.staging", "boto3": "boto3", "pandas": "pandas", "csv": "csv"}
    commands = {name: [sys.executable, "-c", f"import {module}"] for name, module in imports.items()}
    bench.compare("start of a process", commands, size=0)


def measure_csv(bench: Bench, rows: int) -> None:
    """The export: read, surveyed, normalised and stored, beside reading it by rows and by pandas."""
    path = bench.folder / f"export-{rows}.csv"
    arguments = {"rows": rows, "sound": write_export(path, rows)}
    bench.sql("drop table if exists bench_rows", PEER_TABLE)
    ways = {
        "ours, into the table": ("stage_export", "opened"),
        "csv.DictReader, checks, COPY": ("rows_by_dict_reader_stored", "opened"),
        "csv.DictReader, checks": ("rows_by_dict_reader", "opened"),
        "pandas.read_csv(dtype=str)": ("rows_by_pandas", "pandas_ready"),
    }
    calls = {
        name: Call(f"bench.staging:{function}", arguments, prepare=f"bench.staging:{prepare}")
        for name, (function, prepare) in ways.items()
    }
    # The former export's size would make a smaller one implausible.
    bench.sql("truncate fm_migration.export_read cascade")
    found = bench.compare(f"export of {rows:,} rows", calls, size=rows, environment=bench.places(export=path))
    path.unlink()
    ours = next(iter(calls))
    if rows <= CLINIC_ROWS:
        bench.goals.append(Goal(f"export of {rows:,} rows", found.wall(ours).median, 0.5, "s"))
    if rows == MILLION:
        bench.goals.append(Goal(f"export of {rows:,} rows", found.wall(ours).median, 30, "s"))
        bench.goals.append(Goal("its memory", found.peak_rss(ours).median / 2**20, 1024, "MiB"))


def measure_listing(bench: Bench, objects: int, server: str, environment: Mapping[str, str]) -> None:
    """The listing beside the boto3 paginator and rclone."""
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        OURS: ("list_ours", {}),
        "ours, one thread": ("list_ours", {"threads": 1}),
        BOTO3: ("list_boto3", {}),
    }
    if shutil.which("rclone"):
        ways |= {RCLONE: ("list_rclone", {}), RCLONE_START: ("list_rclone", {"objects": 0, "folder": f"{FOLDER}none/"})}
    else:
        print("rclone is not installed (Debian: apt-get install rclone), so it is left out.")
    calls = {
        name: Call(f"bench.staging:{function}", {"objects": objects, **arguments}, prepare="bench.staging:opened")
        for name, (function, arguments) in ways.items()
    }
    what = f"listing of {objects:,} objects, {server}"
    found = bench.compare(what, calls, size=objects, environment=environment)
    bench.goals.append(Goal(f"{what} ÷ the fastest peer", over_fastest_peer(found), 1.2, "times"))


def over_fastest_peer(found: Comparison) -> float:
    """How many times as long as the fastest peer our listing took, round by round; rclone without its start."""
    peers = [[sample.wall for sample in found.samples[BOTO3]]]
    if RCLONE in found.samples:
        # Its fastest start, so that a slow one does not flatter it.
        peers.append([whole.wall - found.wall(RCLONE_START).low for whole in found.samples[RCLONE]])
    rounds = zip(found.samples[OURS], *peers, strict=True)
    return Spread.of([ours.wall / min(others) for ours, *others in rounds]).median


def measure_inventory(bench: Bench, objects: int, environment: Mapping[str, str]) -> None:
    """Listing and storing: into an empty table, and again when nothing has changed."""
    arguments = {"objects": objects}
    call = Call("bench.staging:stage_inventory", arguments, prepare="bench.staging:opened")
    bench.compare(
        f"inventory of {objects:,} objects",
        {"first": call, "unchanged": call},
        size=objects,
        environment=environment,
        before=partial(_forget_inventory, bench),
    )


def _forget_inventory(bench: Bench, name: str) -> None:
    if name == "first":
        bench.sql("truncate fm_migration.s3_inventory, fm_migration.inventory_snapshot cascade")


def measure_patients(bench: Bench, patients: int) -> None:
    """The identity history: new, unchanged, and after a re-import that gave each patient another UUID."""
    bench.sql(
        "truncate patients cascade",
        f"""insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
            select gen_random_uuid(), 'Anna', 'Muster', false, now(), now(),
                   jsonb_build_object('filemaker_id', upper(gen_random_uuid()::text), 'zip', '3000')
            from generate_series(1, {patients})""",
    )
    bench.sql("analyze patients")
    calls = {
        name: Call(
            "bench.staging:stage_patients",
            {"patients": patients, "began": 0 if name == "unchanged" else patients},
            prepare="bench.staging:opened",
        )
        for name in ("first", "unchanged", "after a re-import")
    }
    found = bench.compare(
        f"identity of {patients:,} patients",
        calls,
        size=patients,
        environment=bench.places(),
        before=partial(_move_patients, bench),
    )
    if patients == MILLION:
        bench.goals += [Goal(f"{patients:,} patients, {name}", found.wall(name).median, 15, "s") for name in calls]


def _move_patients(bench: Bench, name: str) -> None:
    if name == "first":
        bench.sql("truncate fm_migration.patient_identity, fm_migration.patient_read cascade")
    if name == "after a re-import":
        bench.sql("update patients set id = gen_random_uuid()")
        settle(bench.database_url)


# --- the command line --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """`python -m bench staging`."""
    options = _options(arguments)
    largest = LARGEST_IN_MINISTACK if options.full else LARGEST_BY_DEFAULT
    in_ministack = [objects for objects in options.objects if objects <= largest and "listing" in options.only]
    try:
        with bench(in_ministack, options.runs, options.warm_up, options.postgres) as world:
            _measure(world, options, in_ministack)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    if world.goals:
        print("\n".join(["", "Goals", *map(str, world.goals)]))
    print("\nFor RESULTS.md\n" + "\n".join([MARKDOWN_HEADER, *world.rows]))
    return 0


def _measure(world: Bench, options: argparse.Namespace, in_ministack: Sequence[int]) -> None:
    if "start" in options.only:
        measure_start(world)
    for rows in options.rows if "csv" in options.only else ():
        measure_csv(world, rows)
    for objects in in_ministack:
        _measure_ministack(world, objects)
    for objects in options.objects if "listing" in options.only else ():
        if options.full or objects not in in_ministack:
            # A slow page shows nothing new at a million, and takes its time.
            _measure_synthetic(world, objects, options.delay if objects < MILLION else options.delay[:1])
    for objects in options.objects if "inventory" in options.only else ():
        with synthetic_bucket(objects, 0.0) as url:
            measure_inventory(world, objects, world.places(url))
    for patients in options.patients if "patients" in options.only else ():
        measure_patients(world, patients)


def _measure_ministack(world: Bench, objects: int) -> None:
    url = world.stack.objects_url.replace("s3://clinic?", f"s3://{_bucket_name(objects)}?")
    measure_listing(world, objects, "ministack", world.places(url))
    measure_inventory(world, objects, world.places(url))


def _measure_synthetic(world: Bench, objects: int, delays: Sequence[float]) -> None:
    for delay in delays:
        with synthetic_bucket(objects, delay) as url:
            name = f"synthetic bucket, {delay * 1000:g} ms a page" if delay else "synthetic bucket"
            measure_listing(world, objects, name, world.places(url))
            if objects > LARGEST_IN_MINISTACK and not delay:
                measure_inventory(world, objects, world.places(url))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench staging", description=(__doc__ or "").partition("\n")[0])
    parts = ("start", "csv", "listing", "patients")
    # Part of `listing` too, at the sizes that it stores.
    parser.add_argument("--only", nargs="+", choices=(*parts, "inventory"), default=parts, help="measure these parts")
    parser.add_argument("--postgres", type=Path, metavar="BIN_DIR", help="an installed PostgreSQL instead of ours")
    parser.add_argument("--rows", nargs="+", type=int, help="rows of the exports")
    parser.add_argument("--objects", nargs="+", type=int, help="objects of the buckets")
    parser.add_argument("--patients", nargs="+", type=int, help="patients")
    parser.add_argument("--delay", nargs="+", type=float, help="seconds a page of the synthetic bucket takes")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    parser.add_argument("--warm-up", type=int, help="runs of each that do not count (default 1, 0 for large inputs)")
    parser.add_argument("--full", action="store_true", help="a million of each too")
    options = parser.parse_args(arguments)
    million = [MILLION] if options.full else []
    options.rows = options.rows or [CLINIC_ROWS, *million]
    options.objects = options.objects or [CLINIC_OBJECTS, MANY_OBJECTS, *million]
    options.patients = options.patients or [CLINIC_PATIENTS, *million]
    options.delay = options.delay or ([0.0, NETWORK_DELAY] if options.full else [0.0])
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
