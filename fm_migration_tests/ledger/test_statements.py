"""The runner of statements in files: what it does beside executing them, and that no statement is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

import fm_migration
from fm_migration.ledger import sql
from fm_migration.ledger.sql import Script, parse

PRODUCT = Path(fm_migration.__file__).parent
SCRIPTS = sorted(set(PRODUCT.glob("*/sql/*.sql")) | {file.parent for file in PRODUCT.glob("*/sql/*/*.sql")})


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def _run(connection: Connection, steps: dict[str, str]) -> dict[str, int]:
    script = Script("a package", "a file")
    script.__dict__["steps"] = steps
    return script.run(connection, None, *steps)


def _has_statistics(connection: Connection, table: str) -> bool:
    query = text("select reltuples >= 0 from pg_class where oid = to_regclass(:table)")
    return bool(connection.execute(query, {"table": table}).scalar_one())


def _made(rows: int) -> str:
    return f"create temporary table made on commit drop as\nselect n from generate_series(1, {rows}) as n"


@pytest.mark.parametrize(("rows", "known"), [(sql.MANY_ROWS, True), (sql.MANY_ROWS - 1, False)])
def test_a_larger_table_of_the_same_transaction_is_known_to_the_planner(
    connection: Connection, rows: int, known: bool
) -> None:
    """Unknown, and filtered, it would be taken for a few rows and compared row by row: quadratic on PostgreSQL 15."""
    assert _run(connection, {"made": _made(rows)}) == {"made": rows}
    assert _has_statistics(connection, "made") is known


def test_a_file_that_analyses_a_table_itself_has_it_done_once(connection: Connection) -> None:
    _run(connection, {"made": _made(sql.MANY_ROWS), "analyze_made": "select 1"})
    assert not _has_statistics(connection, "made")


def test_a_step_that_a_script_does_not_have_is_refused_with_those_that_it_has(connection: Connection) -> None:
    script = Script("fm_migration.repairs.sql", "repair")
    with pytest.raises(ValueError, match=r"repair has no step cuont_by_class; it has .*count_by_class"):
        script.run(connection, None, "cuont_by_class")


@pytest.mark.parametrize("line", ["-- Step: two", "-- step two", "-- step: two-and-a-half", "--step: two"])
def test_a_line_that_looks_like_a_step_and_is_none_is_refused(line: str) -> None:
    """It would be taken for a comment, and its statement for a part of the one before."""
    with pytest.raises(ValueError, match="no step by its line"):
        parse(f"-- step: one\nselect 1;\n\n{line}\nselect 2;\n", "a file")


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"twice: \['one'\]"):
        parse("-- step: one\nselect 1;\n\n-- step: one\nselect 2;\n", "a file")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_every_step_is_named_by_the_code_that_runs_it(path: Path) -> None:
    """A step that nobody names is never taken, and nothing would say so."""
    room = path.parent.parent
    script = Script(f"fm_migration.{room.name}.sql", path.stem)
    code = "".join(module.read_text(encoding="utf-8") for module in room.glob("*.py"))
    named = set(re.findall(r"""["'](\w+)["']""", code))
    assert set(script.steps) - named == set()


def test_all_scripts_are_found() -> None:
    assert len(SCRIPTS) >= 8
