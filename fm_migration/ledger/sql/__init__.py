"""The long statements, in files that editors colour.

A script is a file, or a folder of files that belong together. It holds the steps of one piece of work, each one
statement under a line `-- step: name`, with a comment that says in words what it decides. The code that runs it names
the steps in their order; a step that the script does not have is refused.

A server knows nothing of rows that the same transaction has written: what it takes for few it compares row by row,
which newer versions forgive and older ones do not. So `run` has statistics gathered of each larger temporary table that
a step has made, unless the script says itself which columns they are needed of, in a step `analyze_<table>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, RowMapping, TextClause, text

_STEP = re.compile(r"^-- step: (\w+)\n", re.MULTILINE)
_LOOKS_LIKE_STEP = re.compile(r"^\s*--\s*step\b.*$", re.MULTILINE | re.IGNORECASE)
_MAKES_TABLE = re.compile(r"^create temporary table (\w+) on commit drop as$", re.MULTILINE)
#: From so many rows on, gathering statistics takes less than joining without.
MANY_ROWS = 1_000


@dataclass(frozen=True)
class Script:
    """The statements of `package`'s file `name`.sql, or of all files of its folder `name`."""

    package: str
    name: str

    @cached_property
    def steps(self) -> dict[str, str]:
        """The statements by the names of their steps, in the order of the files."""
        single = files(self.package).joinpath(f"{self.name}.sql")
        if single.is_file():
            return parse(single.read_text(encoding="utf-8"), f"{self.name}.sql")
        parts = sorted(files(self.package).joinpath(self.name).iterdir(), key=lambda file: file.name)
        return parse("\n".join(part.read_text(encoding="utf-8") for part in parts), self.name)

    def __getitem__(self, step: str) -> TextClause:
        """One step as a statement."""
        return text(self.body(step))

    def body(self, step: str) -> str:
        if step not in self.steps:
            raise ValueError(f"{self.name} has no step {step}; it has {', '.join(self.steps)}")
        return self.steps[step]

    def run(self, connection: Connection, parameters: Mapping[str, Any] | None, *steps: str) -> dict[str, int]:
        """Execute these steps; how many rows each touched."""
        return {step: self._run(connection, step, parameters) for step in steps}

    def rows(
        self, connection: Connection, step: str, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[RowMapping]:
        """All rows that a step answers with."""
        return connection.execute(self[step], parameters or {}).mappings().all()

    def ask(self, connection: Connection, step: str, parameters: Mapping[str, Any] | None = None) -> RowMapping:
        """The one row that a step answers with."""
        return connection.execute(self[step], parameters or {}).mappings().one()

    def _run(self, connection: Connection, step: str, parameters: Mapping[str, Any] | None) -> int:
        body = self.body(step)
        touched = connection.execute(text(body), parameters or {}).rowcount
        made = _MAKES_TABLE.search(body)
        if made and touched >= MANY_ROWS and f"analyze_{made[1]}" not in self.steps:
            connection.execute(text(f"analyze {made[1]}"))
        return touched


def parse(script: str, name: str) -> dict[str, str]:
    """The statements of a script by the names of their steps. What looks like a step and is none is refused."""
    _, *parts = _STEP.split(script)
    found = parts[::2]
    lines = _LOOKS_LIKE_STEP.findall(script)
    if len(lines) != len(found) or len(set(found)) != len(found):
        wrong = [line for line in lines if not _STEP.fullmatch(f"{line}\n")]
        twice = sorted({step for step in found if found.count(step) > 1})
        raise ValueError(f"{name}: no step by its line: {wrong}; steps that stand there twice: {twice}")
    return {step: body.strip().removesuffix(";") for step, body in zip(found, parts[1::2], strict=True)}
