"""A first import as a person queues it, under a real daemon.

In `make test` it is played without one (defs/test_materialize_all.py), and a documented backfill goes through the queue
(test_backfills.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fm_migration.embedded.stack import Stack
from fm_migration_tests.e2e.daemon import Dagster, environment_for
from fm_migration_tests.e2e.homes import homes, misplaced, visible
from fm_migration_tests.own_clinic import own_clinic

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_the_import_shows_every_photograph_of_the_truth(
    servers: Stack, s3_client: Any, _sample_template: Callable[[str], str], tmp_path: Path
) -> None:
    with own_clinic(servers, s3_client, _sample_template("fresh"), tmp_path) as clinic:
        dagster = Dagster(
            tmp_path / "dagster", environment_for(servers, clinic.database_url, clinic.bucket.name, clinic.export)
        )
        dagster.start()
        try:
            dagster.launch("import_photographs")
            dagster.wait_until_idle()
        finally:
            dagster.stop()
        with psycopg.connect(clinic.database_url) as connection:
            assert misplaced(connection, clinic.truth) == 0
            assert visible(homes(connection)) >= clinic.truth["totals"]["linked_photographs"]
