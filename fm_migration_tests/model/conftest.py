"""One database for the model's tests of a process, with the clinic's table of two links; emptied before each play."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from fm_migration_tests.linking.world import World
from fm_migration_tests.model.driver import Driver
from fm_migration_tests.model.play import Play


@pytest.fixture
def driver(module_engine: Engine, tmp_path: Path) -> Driver:
    return Driver(World(module_engine, tmp_path))


@pytest.fixture
def play(driver: Driver) -> Play:
    return Play(driver)
