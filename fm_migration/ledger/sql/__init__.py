"""The long statements, in files that editors colour.

A file holds the steps of one piece of work, each one statement under a line `-- step: name`, with a comment that says
in words what it decides. `run` executes them in the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, RowMapping, text

_STEP = re.compile(r"^-- step: (\w+)\n", re.MULTILINE)


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
    chosen = {step: body for step, body in steps(package, name).items() if not only or step == only}
    return {step: connection.execute(text(body), _used(body, parameters)).rowcount for step, body in chosen.items()}


def ask(
    connection: Connection, package: str, name: str, step: str, parameters: Mapping[str, Any] | None = None
) -> RowMapping:
    """The one row that a step answers with."""
    body = steps(package, name)[step]
    return connection.execute(text(body), _used(body, parameters)).mappings().one()


def _used(body: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters that the statement names: SQLAlchemy refuses others."""
    return {name: value for name, value in (parameters or {}).items() if f":{name}" in body}
