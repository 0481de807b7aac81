"""Clinics to link in, and the clinic's own Django app on its own tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from fm_migration_tests.clinic.conftest import (
    _django_template,
    _shared_django_database,
    app,
    django_database,
    django_engine,
    rolled_back,
)
from fm_migration_tests.linking.world import World

__all__ = ["_django_template", "_shared_django_database", "app", "django_database", "django_engine", "rolled_back"]


@pytest.fixture
def world(module_engine: Engine, tmp_path: Path) -> World:
    """An empty clinic with our schema, to be filled in one line per fact."""
    world = World(module_engine, tmp_path)
    world.empty()
    return world


@pytest.fixture
def own_world(engine: Engine, tmp_path: Path) -> World:
    """The same in a database of this test's own, for tests that make or alter tables."""
    return World(engine, tmp_path)
