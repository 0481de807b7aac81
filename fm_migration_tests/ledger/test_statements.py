"""The runner of statements in files: what it does beside executing them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from fm_migration.ledger import sql


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def _run(connection: Connection, monkeypatch: pytest.MonkeyPatch, steps: dict[str, str]) -> dict[str, int]:
    monkeypatch.setattr(sql, "steps", lambda *_names: steps)
    return sql.run(connection, "a package", "a file")


def _has_statistics(connection: Connection, table: str) -> bool:
    query = text("select reltuples >= 0 from pg_class where oid = to_regclass(:table)")
    return bool(connection.execute(query, {"table": table}).scalar_one())


def _made(rows: int) -> str:
    return f"create temporary table made on commit drop as\nselect n from generate_series(1, {rows}) as n"


@pytest.mark.parametrize(("rows", "known"), [(sql.MANY_ROWS, True), (sql.MANY_ROWS - 1, False)])
def test_a_larger_table_of_the_same_transaction_is_known_to_the_planner(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, rows: int, known: bool
) -> None:
    """Unknown, and filtered, it would be taken for a few rows and compared row by row: quadratic on PostgreSQL 15."""
    assert _run(connection, monkeypatch, {"made": _made(rows)}) == {"made": rows}
    assert _has_statistics(connection, "made") is known


def test_a_file_that_analyses_a_table_itself_has_it_done_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(connection, monkeypatch, {"made": _made(sql.MANY_ROWS), "analyze_made": "select 1"})
    assert not _has_statistics(connection, "made")
