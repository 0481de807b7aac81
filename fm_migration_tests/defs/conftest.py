"""A small sample clinic on servers of this test run, and the instance that runs are recorded in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fm_migration.definitions import defs as load_definitions


@pytest.fixture(scope="session")
def definitions() -> dg.Definitions:
    return load_definitions()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance
