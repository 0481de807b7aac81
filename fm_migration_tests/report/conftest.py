"""Clinics to report about."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from fm_migration import database
from fm_migration.embedded.stack import Stack
from fm_migration_tests.report.reporting import Reported
from fm_migration_tests.thumbnails.conftest import photographed

__all__ = ["photographed"]


@pytest.fixture(scope="module")
def _reporting_engine(servers: Stack, _template: str) -> Iterator[Engine]:
    """One database for the tests of a module: emptying it is five times faster than making another."""
    name = f"reporting_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {_template}")
    engine = database.open_engine(servers.database_url(name))
    yield engine
    engine.dispose()
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def world(_reporting_engine: Engine, tmp_path: Path) -> Reported:
    """An empty clinic with our schema, to be filled in one line per fact."""
    world = Reported(_reporting_engine, tmp_path)
    world.empty()
    return world


@pytest.fixture
def own_world(engine: Engine, tmp_path: Path) -> Reported:
    """The same in a database of this test's own, for tests that make or alter tables."""
    return Reported(engine, tmp_path)
