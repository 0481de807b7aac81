"""The harness measures what it says: in turn, whole processes, pair by pair; and a failed run is never a fast one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import harness
from bench.harness import BenchError, Call, Comparison, Machine, Sample, Spread, compare
from fm_migration_tests.bench import calls
from fm_migration_tests.waiting import PATIENCE_SECONDS

CALLS = "fm_migration_tests.bench.calls"
MACHINE = Machine(cores=2, python="3.11.0", system="Linux x86_64", memory=2**34, load=0.1, day="2026-01-31")
MEGABYTE = 1_000_000


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def append_to(log: Path, word: str) -> list[str]:
    return ["sh", "-c", f'printf "%s\\n" {word} >> "$1"', "sh", str(log)]


def test_runs_the_commands_in_turn_and_leaves_the_warm_up_out(tmp_path: Path) -> None:
    log = tmp_path / "order with a blank"
    comparison = compare({"ours": append_to(log, "A"), "peer": append_to(log, "B")}, runs=3, warm_up=1)
    assert log.read_text().split() == ["A", "B"] * 4
    assert comparison.runs == 3
    assert len(comparison.samples["peer"]) == 3


def test_prepares_the_world_before_each_run(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def before(name: str) -> None:
        with log.open("a") as lines:
            lines.write(f"before {name}\n")

    compare({"ours": append_to(log, "run")}, runs=2, warm_up=0, before=before)
    assert log.read_text().splitlines() == ["before ours", "run"] * 2


def test_a_sleeping_command_takes_wall_time_and_no_cpu() -> None:
    comparison = compare({"ours": ["true"], "peer": ["sleep", "0.3"]}, runs=3, warm_up=0)
    assert comparison.wall("peer").low >= 0.3
    assert comparison.wall("ours").low < comparison.wall("peer").low
    assert comparison.ratio("ours") == Spread(1, 1, 1)
    assert comparison.cpu("peer").median < 0.3


def test_cpu_time_counts_the_children_of_the_command() -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    in_a_child = f"import os, sys\nif os.fork() == 0:\n exec({spin!r}); os._exit(0)\nos.wait()"
    comparison = compare({"child": python(in_a_child)}, runs=1, warm_up=0)
    assert comparison.cpu("child").low >= 0.2


def test_peak_memory_is_the_commands_own_and_not_the_benchmarks() -> None:
    held_here = b"x" * (150 * MEGABYTE)
    big = "x = b'x' * 100_000_000"
    comparison = compare({"ours": ["true"], "peer": python(big)}, runs=1, warm_up=0)
    assert comparison.peak_rss("peer").low > 100 * MEGABYTE
    assert comparison.peak_rss("ours").high < 50 * MEGABYTE, "the 150 MB of this process were counted"
    assert len(held_here) == 150 * MEGABYTE


def test_the_ratio_is_taken_pair_by_pair() -> None:
    def samples(*walls: float) -> tuple[Sample, ...]:
        return tuple(Sample(wall, 0, 0, 0) for wall in walls)

    # The machine slowed down by ten in the second round, which tells nothing about either command.
    comparison = Comparison(MACHINE, {"ours": samples(1, 10, 1), "peer": samples(3, 30, 2)})
    assert comparison.ratio("peer") == Spread(2, 3, 3)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sh", "-c", "echo the bucket is gone >&2; exit 3"], "exit code 3 after: the bucket is gone"),
        (["sh", "-c", "kill -9 $$"], "exit code -9"),
        (["no-such-command-anywhere"], "cannot start: No such file or directory"),
    ],
)
def test_a_command_that_fails_ends_the_comparison(command: list[str], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        compare({"ours": ["true"], "peer": command}, runs=1, warm_up=0)
    assert caught.value.found.rstrip(" /") == message
    assert "'peer'" in caught.value.subject


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(BenchError, match="longer than 2 s"):
        compare({"ours": ["sh", "-c", f"sleep 600 & echo $! > '{pid_file}'; wait"]}, runs=1, warm_up=0, timeout=2)
    with contextlib.suppress(psutil.NoSuchProcess):
        sleeping = psutil.Process(int(pid_file.read_text()))
        # Killed and not yet collected by whoever adopted it counts as ended.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sleeping.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the command's child is still there"
            time.sleep(0.02)


def test_a_function_is_measured_without_its_preparation_and_start_up() -> None:
    started = time.perf_counter()
    comparison = compare(
        {"count": Call(f"{CALLS}:count_letters", {"count": 60 * MEGABYTE}, prepare=f"{CALLS}:letters")},
        runs=1,
        warm_up=0,
    )
    assert comparison.wall("count").high <= time.perf_counter() - started - calls.PREPARATION_SECONDS
    assert comparison.peak_rss("count").low > 60 * MEGABYTE


def test_functions_are_compared_like_commands() -> None:
    work = {"ours": Call(f"{CALLS}:work", {"rounds": 10}), "peer": Call(f"{CALLS}:work", {"rounds": 3_000_000})}
    comparison = compare(work, runs=1, warm_up=0)
    assert comparison.cpu("peer").median > comparison.cpu("ours").median


def test_a_function_that_raises_ends_the_comparison() -> None:
    with pytest.raises(BenchError, match="no bucket called walnut"):
        compare({"ours": Call(f"{CALLS}:fail")}, runs=1, warm_up=0)


def test_the_rows_for_results_fit_their_header() -> None:
    comparison = Comparison(
        MACHINE,
        {"ours": (Sample(0.5, 0.2, 0.1, 20 * MEGABYTE),), "peer": (Sample(2.0, 1.5, 0.1, 80 * MEGABYTE),)},
    )
    header, ours, peer = (
        harness.MARKDOWN_HEADER.splitlines()[0],
        *comparison.markdown_rows("linking 6,490 images").splitlines(),
    )
    assert ours.count("|") == peer.count("|") == header.count("|")
    assert peer.startswith("| linking 6,490 images | peer | 2.000 (2.000 to 2.000) | 1.600 | 80 | 4.00 | 1 | 2 cores")
    assert "| ours | 0.500 (0.500 to 0.500) | 0.300 | 20 | 1.00 |" in ours


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (["sleep", "1", "--vs", "true"], {"A": ["sleep", "1"], "B": ["true"]}),
        (["ours=sleep 1", "--vs", "peer=ls 'a b'"], {"ours": ["sleep", "1"], "peer": ["ls", "a b"]}),
        (["ls", "a b", "--vs", "x=true", "--vs", "true"], {"A": ["ls", "a b"], "x": ["true"], "C": ["true"]}),
        (["dd", "if=/dev/null"], {"A": ["dd", "if=/dev/null"]}),
    ],
)
def test_reads_the_commands_of_the_command_line(words: list[str], commands: dict[str, list[str]]) -> None:
    assert harness.parse_commands(words) == commands


@pytest.mark.parametrize("words", [[], ["true", "--vs"], ["true", "--vs", "sleep", "1"], ["a=true", "--vs", "a=true"]])
def test_refuses_a_command_line_that_it_would_have_to_guess_at(words: list[str]) -> None:
    with pytest.raises(ValueError, match="command"):
        harness.parse_commands(words)


def test_the_command_line_prints_the_table_and_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--runs", "1", "--warm-up", "0", "--markdown", "nothing", "--", "ours=true", "--vs", "peer=sleep 0.1"]
    assert harness.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "wall ÷ ours" in printed
    assert "| nothing | peer | " in printed
    assert "1 run of each, in turn." in printed


def test_the_command_line_says_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(["--runs", "1", "--", "ours=false"]) == 1
    assert capsys.readouterr().err == "measuring the command 'ours': exit code 1. Run it alone first: false.\n"


def test_make_bench_lists_every_benchmark_with_its_question() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "bench"], cwd=harness.ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "harness" in listing
    assert "launch" not in listing
    assert "Times two or more commands in turn" in listing
