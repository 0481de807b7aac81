"""FileMaker: records and containers a second by our client, beside a plain httpx loop and python-fmrest.

    make bench ARGS=filemaker                     # about three minutes
    make bench ARGS='filemaker --records 5000 --containers 200 --runs 1'
    make bench ARGS='filemaker --only memory'

All read the same from the simulated server in a process of its own, without limits and without storms: records in
pages of a hundred by key, and of some photographs the best container, each over verified TLS in one session that is
logged out. What the server spends is in the wall time, and neither in CPU nor in memory.

Belongs here: the questions, our way, and the goals. Does not belong here: the other ways (`peers/filemaker.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from bench.harness import MARKDOWN_HEADER, BenchError, Call, Comparison, compare
from bench.peers.filemaker import CONTAINERS, PAGE, Fmrest, PlainHttpx, Where, best
from fm_migration.filemaker.data_api.access import Access
from fm_migration.filemaker.data_api.addresses import server_origin
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.filemaker.data_api.containers import ContainerUrls
from fm_migration.filemaker.data_api.records import Columns, Record, Records
from fm_migration_tests.filemaker_server import ServerProcess, ServerSettings, server_process

OURS, PLAIN, FMREST = "ours", "plain httpx", "python-fmrest"
FEW, MANY = 1_000, 100_000
TIMEOUT = 900
#: Ours may take 1 / 0.85 of the plain loop's time.
SHARE_OF_PLAIN = 0.85
#: What a hundred times as many records may add to the memory.
FLAT = 1.15


class Way(Protocol):
    """A peer that is logged in."""

    def pages(self) -> Iterator[list[dict[str, Any]]]: ...
    def fetch(self, address: str) -> bytes: ...


# --- the measured functions: each in an interpreter of its own ---------------------------------------------------


def plain_records(where: Sequence[str], records: int) -> None:
    """Each record once, by the plain loop."""
    with PlainHttpx(Where(*where)).session() as way:
        _expect(sum(len(page) for page in way.pages()), records)


def fmrest_records(where: Sequence[str], records: int) -> None:
    """And by python-fmrest."""
    with Fmrest(Where(*where)).session() as way:
        _expect(sum(len(page) for page in way.pages()), records)


def our_records(where: Sequence[str], records: int) -> None:
    """And by ours."""
    with our_client(where) as api:
        _expect(sum(len(page.records) for page in Records(api, _columns()).walk(PAGE)), records)


def plain_containers(where: Sequence[str], containers: int, digest: str) -> None:
    """The best picture of each of the first photographs, right after the page that names it was read."""
    with PlainHttpx(Where(*where)).session() as way:
        _expect(_digest(_fetched(way, containers)), digest)


def fmrest_containers(where: Sequence[str], containers: int, digest: str) -> None:
    """The same by python-fmrest."""
    with Fmrest(Where(*where)).session() as way:
        _expect(_digest(_fetched(way, containers)), digest)


def our_containers(where: Sequence[str], containers: int, digest: str) -> None:
    """The same by ours."""
    with our_client(where) as api:
        _expect(_digest(_fetched_by_us(api, containers)), digest)


def _fetched(way: Way, count: int) -> Iterator[bytes]:
    for page in way.pages():
        for fields in page:
            address = best(fields)
            if address:
                yield way.fetch(address)
                count -= 1
                if count == 0:
                    return


def _fetched_by_us(api: DataApi, count: int) -> Iterator[bytes]:
    source = ContainerUrls(api)
    for page in Records(api, _columns()).walk(PAGE):
        for record in page.records:
            container = _best_of(record)
            if container:
                yield source.fetch(record, container).body
                count -= 1
                if count == 0:
                    return


@contextmanager
def our_client(where: Sequence[str]) -> Iterator[DataApi]:
    """Logged in by the first call, logged out at the end."""
    to = Where(*where)
    access = Access(
        server_origin(to.url),
        to.database,
        to.layout,
        account=SecretStr(to.account),
        password=SecretStr(to.password),
        authority=Path(to.authority),
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, DataApi(access, Path(folder)) as api:
        yield api


def _columns() -> Columns:
    return Columns({"recid": "recid", "contact": "id_Contact"}, CONTAINERS)


def _best_of(record: Record) -> str | None:
    return next((name for name in CONTAINERS if record.text(name) not in ("", "?")), None)


def _digest(bodies: Iterator[bytes]) -> str:
    """One for all, so that nobody has fetched other pictures, or in another order."""
    whole = hashlib.sha256()
    for body in bodies:
        whole.update(hashlib.sha256(body).digest())
    return whole.hexdigest()


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"found {found} instead of {wanted}: the figures would mean nothing")


# --- the questions -----------------------------------------------------------------------------------------------


def measure_records(server: ServerProcess, records: int, runs: int, ways: Sequence[str]) -> Comparison:
    """All records of a clinic with so many."""
    arguments = {"where": _where(server), "records": records}
    return _measure({OURS: "our_records", PLAIN: "plain_records", FMREST: "fmrest_records"}, ways, arguments, runs)


def measure_containers(server: ServerProcess, containers: int, runs: int, ways: Sequence[str]) -> Comparison:
    """The pictures of the first photographs."""
    arguments = {"where": _where(server), "containers": containers, "digest": _true_digest(server, containers)}
    functions = {OURS: "our_containers", PLAIN: "plain_containers", FMREST: "fmrest_containers"}
    return _measure(functions, ways, arguments, runs)


def _measure(functions: Mapping[str, str], ways: Sequence[str], arguments: Mapping[str, Any], runs: int) -> Comparison:
    calls = {name: Call(f"bench.filemaker:{functions[name]}", arguments) for name in ways}
    return compare(calls, runs=runs, warm_up=1 if runs > 1 else 0, timeout=TIMEOUT)


def _where(server: ServerProcess) -> list[str]:
    return list(Where(server.url(), str(server.ca_file), *server.account))


def _true_digest(server: ServerProcess, containers: int) -> str:
    """From what the server says is in the containers, not from what anybody fetched."""
    whole = hashlib.sha256()
    for row in server.truth()[:containers]:
        whole.update(bytes.fromhex(row["sha256"]))
    return whole.hexdigest()


def _rate(comparison: Comparison, count: int) -> dict[str, float]:
    return {name: count / comparison.wall(name).median for name in comparison.samples}


def _goals(what: str, comparison: Comparison, count: int) -> list[str]:
    """The two goals, and how many a second each way brings."""
    rates = _rate(comparison, count)
    lines = [f"{what}: " + ", ".join(f"{name} {rate:,.0f} a second" for name, rate in rates.items())]
    if {OURS, PLAIN} <= rates.keys():
        share = comparison.ratio(PLAIN).median
        lines.append(f"  ours ÷ plain httpx: {share:.2f} (goal {SHARE_OF_PLAIN}): {_verdict(share >= SHARE_OF_PLAIN)}")
    if {OURS, FMREST} <= rates.keys():
        times = comparison.ratio(FMREST).median
        lines.append(f"  ours ÷ python-fmrest: {times:.2f} (goal above 1): {_verdict(times > 1)}")
    return lines


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


# --- the command line --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """`python -m bench filemaker`."""
    options = _options(arguments)
    said: list[str] = []
    rows: list[str] = []
    try:
        if "records" in options.only:
            with server_process(ServerSettings(records=options.records)) as server:
                found = measure_records(server, options.records, options.runs, options.ways)
            _show(f"{options.records:,} records", found, rows)
            said += _goals("records", found, options.records)
        if "containers" in options.only:
            with server_process(ServerSettings(records=options.containers)) as server:
                found = measure_containers(server, options.containers, options.runs, options.ways)
            _show(f"{options.containers:,} containers", found, rows)
            said += _goals("containers", found, options.containers)
        if "memory" in options.only:
            said += _memory(options, rows)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(["", "Goals", *said, "", "For RESULTS.md", MARKDOWN_HEADER, *rows]))
    return 0


def _memory(options: argparse.Namespace, rows: list[str]) -> list[str]:
    """Of each way but python-fmrest, which has no goal there and takes its time."""
    ways = [name for name in options.ways if name != FMREST]
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    for count in (FEW, options.many):
        with server_process(ServerSettings(records=count)) as server:
            found = measure_records(server, count, 1, ways)
        _show(f"{count:,} records, for the memory", found, rows)
        for name in ways:
            peaks[name].append(found.peak_rss(name).median)
    return [
        f"memory, {name}: {few / 1e6:.0f} MB at {FEW:,} records, {many / 1e6:.0f} at {options.many:,} "
        f"(goal {FLAT} times): {_verdict(many <= FLAT * few)}"
        for name, (few, many) in peaks.items()
    ]


def _show(what: str, comparison: Comparison, rows: list[str]) -> None:
    print(f"\n{what}\n{comparison.table()}", flush=True)
    rows.append(comparison.markdown_rows(what))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench filemaker", description=(__doc__ or "").partition("\n")[0])
    parts, ways = ("records", "containers", "memory"), (OURS, PLAIN, FMREST)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="measure these parts")
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways, help="compare these")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--containers", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=MANY, help="records for the memory, beside a thousand")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
