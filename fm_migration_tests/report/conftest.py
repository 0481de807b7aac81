"""Clinics to report about."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from fm_migration_tests.report.reporting import Reported
from fm_migration_tests.thumbnails.conftest import photographed

__all__ = ["photographed"]


@pytest.fixture
def world(module_engine: Engine, tmp_path: Path) -> Reported:
    """An empty clinic with our schema, to be filled in one line per fact."""
    world = Reported(module_engine, tmp_path)
    world.empty()
    return world


@pytest.fixture
def own_world(engine: Engine, tmp_path: Path) -> Reported:
    """The same in a database of this test's own, for tests that make or alter tables."""
    return Reported(engine, tmp_path)
