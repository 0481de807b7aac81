"""Times two or more commands in turn (A B A B ...), each as a whole child process, and compares them pair by pair.

In turn, because a machine's speed drifts: what slows one run slows its neighbour too, so the ratio of two
neighbours says more than two figures taken minutes apart. Whole processes, because then start-up, imports, child
processes and memory are counted, and neither warms the other's caches inside one interpreter.

    python -m bench.harness --runs 7 -- fm-migration demo --vs './their-command --all'

From Python, `compare()` takes the same, and `Call` measures one function in a child process of its own.

Belongs here: measuring and printing. Does not belong here: what is worth measuring.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fm_migration.errors import FmMigrationError

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = Path(__file__).with_name("launch.py")
#: Above this share of the cores in use, somebody else's work is in the figures.
BUSY = 0.3


class BenchError(FmMigrationError):
    """A command under measurement failed, so there is nothing to compare."""


@dataclass(frozen=True)
class Sample:
    """What one run cost: seconds of wall clock and of CPU (the child's own children included), peak bytes of memory.

    Of a `Call` also the seconds of its process that `wall` leaves out (the interpreter's start and end, imports,
    preparation), and those of the parts that the function itself timed and returned by their names.
    """

    wall: float
    user: float
    system: float
    peak_rss: int
    around: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        return self.user + self.system


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of several figures."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        return cls(min(figures), statistics.median(figures), max(figures))


@dataclass(frozen=True)
class Machine:
    """What a reader must know of the machine to believe a figure."""

    cores: int
    python: str
    system: str
    memory: int
    load: float
    day: str

    def __str__(self) -> str:
        return (
            f"{self.cores} cores, {self.memory / 2**30:.0f} GiB, {self.system}, Python {self.python}, "
            f"load {self.load:.1f} at the start, {self.day}"
        )

    @property
    def busy(self) -> bool:
        return self.load > BUSY * self.cores


@dataclass(frozen=True)
class Call:
    """A function to measure in a fresh interpreter, without that interpreter's start-up and the module's import.

    `target` is `package.module:function`; `prepare`, if given, names another whose result becomes the first
    argument and whose time does not count. `arguments` go to both by name and travel as JSON. Peak memory is
    the whole interpreter's, preparation included: there is no undoing a peak. A function that returns a mapping of
    names to seconds has timed its parts.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    prepare: str | None = None


@dataclass(frozen=True)
class Comparison:
    """The samples of each command, in the order they were taken: the n-th of each are neighbours in time."""

    machine: Machine
    samples: Mapping[str, tuple[Sample, ...]]

    @property
    def baseline(self) -> str:
        return next(iter(self.samples))

    def wall(self, name: str) -> Spread:
        return Spread.of([sample.wall for sample in self.samples[name]])

    def cpu(self, name: str) -> Spread:
        return Spread.of([sample.cpu for sample in self.samples[name]])

    def peak_rss(self, name: str) -> Spread:
        return Spread.of([sample.peak_rss for sample in self.samples[name]])

    def around(self, name: str) -> float:
        """Seconds of a `Call`'s process beside the call, in the middle."""
        return statistics.median(sample.around for sample in self.samples[name])

    def parts(self, name: str) -> dict[str, float]:
        """Seconds of each part that a `Call` timed itself, in the middle."""
        taken = self.samples[name]
        return {part: statistics.median(sample.parts[part] for sample in taken) for part in taken[0].parts}

    def ratio(self, name: str) -> Spread:
        """How many times the wall time of the first command this one took, pair by pair."""
        pairs = zip(self.samples[name], self.samples[self.baseline], strict=True)
        return Spread.of([ours.wall / first.wall for ours, first in pairs])

    def table(self) -> str:
        """For a terminal: one line a command."""
        rows = [("", "wall s (min/median/max)", "CPU s", "peak MB", f"wall ÷ {self.baseline}")]
        for name in self.samples:
            wall, ratio = self.wall(name), self.ratio(name)
            rows.append(
                (
                    name,
                    f"{wall.low:.3f} / {wall.median:.3f} / {wall.high:.3f}",
                    f"{self.cpu(name).median:.3f}",
                    f"{self.peak_rss(name).median / 1e6:.0f}",
                    "1" if name == self.baseline else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(
            [*lines, "", f"{self.runs} {'run' if self.runs == 1 else 'runs'} of each, in turn. {self.machine}."]
        )

    def markdown_rows(self, what: str) -> str:
        """For RESULTS.md: rows that fit under `MARKDOWN_HEADER`, one a command."""
        rows = []
        for name in self.samples:
            wall, cpu, memory = self.wall(name), self.cpu(name).median, self.peak_rss(name).median / 1e6
            rows.append(
                f"| {what} | {name} | {wall.median:.3f} ({wall.low:.3f} to {wall.high:.3f}) | {cpu:.3f} "
                f"| {memory:.0f} | {self.ratio(name).median:.2f} | {self.runs} | {self.machine} |"
            )
        return "\n".join(rows)

    @property
    def runs(self) -> int:
        return len(self.samples[self.baseline])


MARKDOWN_HEADER = """\
| what | way | wall s, median (min to max) | CPU s | peak MB | wall ÷ first | runs | machine |
|---|---|---|---|---|---|---|---|"""


def machine_facts() -> Machine:
    """This machine, now."""
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=os.getloadavg()[0],
        day=datetime.now(UTC).date().isoformat(),
    )


def compare(
    commands: Mapping[str, Sequence[str] | Call],
    *,
    runs: int = 5,
    warm_up: int = 1,
    before: Callable[[str], None] | None = None,
    after: Callable[[str], None] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Comparison:
    """Run every command `warm_up + runs` times, in turn, and keep the last `runs`. Ratios refer to the first command.

    `before(name)` is called ahead of each run and not timed: it puts the world back to where the run starts.
    `after(name)` is not timed either: it looks whether the run has done its work.
    A command that fails, or outlasts `timeout` seconds, ends the comparison.
    """
    if runs < 1 or not commands:
        raise ValueError("a comparison needs at least one command and one run")
    machine = machine_facts()
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for turn in range(warm_up + runs):
        for name, command in commands.items():
            if before is not None:
                before(name)
            sample = measure(name, command, environment=environment, timeout=timeout)
            if after is not None:
                after(name)
            if turn >= warm_up:
                samples[name].append(sample)
    return Comparison(machine, {name: tuple(taken) for name, taken in samples.items()})


def measure(
    name: str,
    command: Sequence[str] | Call,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Sample:
    """Run one command once, its output thrown away, and say what it cost."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        complaints, answer = Path(folder, "stderr"), Path(folder, "answer.json")
        if isinstance(command, Call):
            argv, environment = _call_argv(command, answer), {"PYTHONPATH": _python_path(), **(environment or {})}
        else:
            argv = list(command)
        report = _launch(name, argv, complaints, environment, timeout)
        *costs, code = report.split()
        if code != "0":
            remedy = f"Run it alone first: {shlex.join(argv)}"
            raise BenchError("measuring", f"the command {name!r}", _what_failed(report, complaints), remedy)
        wall, user, system, peak = costs
        if isinstance(command, Call):
            call = json.loads(answer.read_text("utf-8"))
            return Sample(**call, around=int(wall) / 1e9 - call["wall"])
        return Sample(int(wall) / 1e9, float(user), float(system), int(peak))


def _launch(
    name: str, argv: Sequence[str], complaints: Path, environment: Mapping[str, str] | None, timeout: float | None
) -> str:
    """The launcher's one line about a run."""
    reading, writing = os.pipe()
    with complaints.open("wb") as stderr, os.fdopen(reading) as report:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(writing), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
            pass_fds=[writing],
            # A group of its own, so that whatever the command started can be ended with it.
            start_new_session=True,
        )
        os.close(writing)
        try:
            launcher.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(
                "measuring", f"the command {name!r}", f"it ran longer than {timeout} s", "Raise the time limit"
            ) from None
        finally:
            if launcher.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(launcher.pid, signal.SIGKILL)
                launcher.wait()
        return report.read() or "cannot be measured: its launcher was killed"


def _python_path() -> str:
    """Where a `Call` is looked for: here, whatever the current folder, and where the caller looks."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def _what_failed(report: str, complaints: Path) -> str:
    if report.startswith("cannot"):
        return report
    last_words = " / ".join(complaints.read_text("utf-8", errors="replace").splitlines()[-6:])
    return f"exit code {report.split()[-1]}" + (f" after: {last_words}" if last_words else "")


# --- one function in a child process ---------------------------------------------------------------------------


def _call_argv(call: Call, answer: Path) -> list[str]:
    return [sys.executable, "-m", "bench.harness", "--call", json.dumps(call.__dict__ | {"answer": str(answer)})]


def _resolve(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _cpu_now() -> tuple[float, float]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime


def _run_call(request: str) -> None:
    """In the child: prepare, measure, answer."""
    call = json.loads(request)
    function = _resolve(call["target"])
    prepared = [_resolve(call["prepare"])(**call["arguments"])] if call["prepare"] else []
    user, system = _cpu_now()
    started = time.perf_counter()
    returned = function(*prepared, **call["arguments"])
    wall = time.perf_counter() - started
    user_then, system_then = _cpu_now()
    unit = 1 if sys.platform == "darwin" else 1024
    peak = unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sample = {"wall": wall, "user": user_then - user, "system": system_then - system, "peak_rss": peak}
    parts = (
        returned if isinstance(returned, dict) and all(isinstance(part, float) for part in returned.values()) else {}
    )
    Path(call["answer"]).write_text(json.dumps({**sample, "parts": parts}), "utf-8")


# --- the command line ------------------------------------------------------------------------------------------


def parse_commands(words: Sequence[str]) -> dict[str, list[str]]:
    """The commands after `--`: the first as words (or one quoted text), each further one as one text after `--vs`.

    A text may begin with `NAME=`; without it the commands are called A, B, C.
    """
    first, *rest = _split(words, "--vs")
    if any(len(other) != 1 for other in rest):
        raise ValueError("each --vs takes one command in quotes")
    texts = [first[0] if len(first) == 1 else shlex.join(first), *(other[0] for other in rest)]
    commands = {}
    for letter, text in zip("ABCDEFGH", texts, strict=False):
        head, _, tail = text.partition("=")
        name, text = (head, tail) if tail and head.isidentifier() else (letter, text)
        commands[name] = shlex.split(text)
    if len(commands) != len(texts) or not all(commands.values()):
        raise ValueError("each command needs words, and a name of its own")
    return commands


def _split(words: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def main(arguments: Sequence[str]) -> int:
    """`python -m bench.harness`."""
    if list(arguments[:1]) == ["--call"]:
        _run_call(arguments[1])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m bench.harness",
        usage="%(prog)s [OPTIONS] -- COMMAND ... --vs '[NAME=]COMMAND ...' [--vs ...]",
        description="Times commands in turn, each as a whole child process, and compares them pair by pair.",
    )
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each (default 5)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each that do not count (default 1)")
    parser.add_argument("--timeout", type=float, help="end a run after so many seconds")
    parser.add_argument("--markdown", metavar="WHAT", help="also print rows for RESULTS.md about WHAT")
    options_end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:options_end])
    try:
        commands = parse_commands(arguments[options_end + 1 :])
    except ValueError as error:
        parser.error(str(error))
    if options.runs < 1:
        parser.error("--runs must be 1 or more")
    try:
        comparison = compare(commands, runs=options.runs, warm_up=options.warm_up, timeout=options.timeout)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print(comparison.table())
    if comparison.machine.busy:
        print("The machine was busy at the start: trust the ratios, not the seconds.")
    if options.markdown:
        print(f"\n{MARKDOWN_HEADER}\n{comparison.markdown_rows(options.markdown)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
