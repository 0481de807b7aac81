"""Our schema: comes up, goes down, comes up again; two upgrades at once are one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from fm_migration import database
from fm_migration.errors import DatabaseError
from fm_migration.ledger import schema

CATALOGUE = text("""
select table_name, column_name, data_type, is_nullable
from information_schema.columns where table_schema = 'fm_migration' order by 1, 2
""")


@pytest.fixture
def bare_engine(empty_database: str) -> Iterator[Engine]:
    engine = database.open_engine(empty_database)
    yield engine
    engine.dispose()


def _columns(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(CATALOGUE)]


def test_up_down_up_gives_the_same_schema_and_leaves_nothing_in_between(bare_engine: Engine) -> None:
    schema.upgrade(bare_engine)
    first = _columns(bare_engine)
    assert {"csv_metadata", "s3_inventory", "patient_identity"} <= {row[0] for row in first}
    schema.downgrade(bare_engine, "base")
    assert _columns(bare_engine) == []
    with bare_engine.connect() as connection:
        assert connection.execute(text("select to_regnamespace('fm_migration')")).scalar() is None
    schema.upgrade(bare_engine)
    assert _columns(bare_engine) == first


def test_every_step_down_can_be_taken_up_again(bare_engine: Engine) -> None:
    schema.upgrade(bare_engine)
    whole = _columns(bare_engine)
    revision: str | None = schema.newest_revision()
    while revision is not None:
        schema.downgrade(bare_engine, "base" if revision == "0001" else "-1")
        with bare_engine.connect() as connection:
            revision = schema.current_revision(connection)
        schema.upgrade(bare_engine, "+1")
        schema.downgrade(bare_engine, "base" if revision is None else "-1")
    schema.upgrade(bare_engine)
    assert _columns(bare_engine) == whole


def test_two_upgrades_at_the_same_moment_are_one(bare_engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: schema.upgrade(bare_engine), range(4)))
    with bare_engine.connect() as connection:
        schema.require_current(connection)


def test_an_older_schema_is_named_with_the_remedy(bare_engine: Engine) -> None:
    with (
        bare_engine.connect() as connection,
        pytest.raises(
            DatabaseError, match=r"it is at nothing, and this version needs \w+\. Run `fm-migration db upgrade`"
        ),
    ):
        schema.require_current(connection)


def test_downgrading_what_is_not_there_is_harmless(bare_engine: Engine) -> None:
    schema.downgrade(bare_engine, "base")
    assert _columns(bare_engine) == []
