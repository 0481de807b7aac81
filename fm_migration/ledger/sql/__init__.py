"""The long statements, in files that editors colour.

A file holds the steps of one piece of work, each one statement under a line `-- step: name`, with a comment that says
in words what it decides. `run` executes them in the order of the file.

A server knows nothing of rows that the same transaction has written: what it takes for few it compares row by row,
which newer versions forgive and older ones do not. So `run` has statistics gathered of each larger temporary table that
a step has made, unless the file says itself which columns they are needed of, in a step `analyze_<table>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, RowMapping, text

_STEP = re.compile(r"^-- step: (\w+)\n", re.MULTILINE)
_MAKES_TABLE = re.compile(r"^create temporary table (\w+) on commit drop as$", re.MULTILINE)
#: From so many rows on, gathering statistics takes less than joining without.
MANY_ROWS = 1_000


@cache
def steps(package: str, name: str) -> dict[str, str]:
    """The statements of `package`'s file `name`.sql by the names of their steps, in order."""
    script = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _STEP.split(script)
    return {step: body.strip().removesuffix(";") for step, body in zip(parts[::2], parts[1::2], strict=True)}


def run(
    connection: Connection, package: str, name: str, parameters: Mapping[str, Any] | None = None, *, only: str = ""
) -> dict[str, int]:
    """Execute all steps of a file, or the one step `only`; how many rows each touched."""
    of_file = steps(package, name)
    touched = {}
    for step in [only] if only else of_file:
        body = of_file[step]
        touched[step] = connection.execute(text(body), _used(body, parameters)).rowcount
        made = _MAKES_TABLE.search(body)
        if made and touched[step] >= MANY_ROWS and f"analyze_{made[1]}" not in of_file:
            connection.execute(text(f"analyze {made[1]}"))
    return touched


def ask(
    connection: Connection, package: str, name: str, step: str, parameters: Mapping[str, Any] | None = None
) -> RowMapping:
    """The one row that a step answers with."""
    body = steps(package, name)[step]
    return connection.execute(text(body), _used(body, parameters)).mappings().one()


def _used(body: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters that the statement names: SQLAlchemy refuses others."""
    return {name: value for name, value in (parameters or {}).items() if f":{name}" in body}
