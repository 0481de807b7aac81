"""`python -m bench`: lists the benchmarks, or runs the one that is named."""

from __future__ import annotations

import ast
import pkgutil
import runpy
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"__main__", "launch", "faults", "mutants"}


def benchmarks() -> dict[str, str]:
    """Every runnable module of this package with the first line of its docstring, read without importing it."""
    found = {}
    for module in pkgutil.iter_modules([str(HERE)]):
        if module.name not in NOT_BENCHMARKS and not module.ispkg:
            docstring = ast.get_docstring(ast.parse((HERE / f"{module.name}.py").read_text("utf-8")))
            found[module.name] = (docstring or "").partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    known = benchmarks()
    if not arguments:
        print("make bench ARGS=NAME runs one of these (python -m bench NAME does the same):\n")
        for name, what in known.items():
            print(f"  {name:<16} {what}")
        return 0
    name, *rest = arguments
    if name not in known:
        print(f"There is no benchmark {name!r}. These exist: {', '.join(known)}.", file=sys.stderr)
        return 2
    # As Ctrl-C does: a benchmark that is ended takes its servers and their data with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.argv = [f"bench.{name}", *rest]
    runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
