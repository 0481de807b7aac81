"""One database for the model's tests of a process, with the clinic's table of two links; emptied before each play."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from fm_migration import database
from fm_migration.embedded.stack import Stack
from fm_migration_tests.clinic.linking import World
from fm_migration_tests.model.driver import Driver
from fm_migration_tests.model.play import Play


@pytest.fixture(scope="session")
def _model_engine(servers: Stack, _template: str) -> Iterator[Engine]:
    name = f"model_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {_template}")
    engine = database.open_engine(servers.database_url(name))
    yield engine
    engine.dispose()
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def driver(_model_engine: Engine, tmp_path: Path) -> Driver:
    return Driver(World(_model_engine, tmp_path))


@pytest.fixture
def play(driver: Driver) -> Play:
    return Play(driver)
