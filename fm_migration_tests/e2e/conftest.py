"""A sample clinic whose photographs are imported and watched over by a real Dagster daemon, shared by a module."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from fm_migration.embedded.sample.model import EXPORT_FILE, TRUTH_FILE
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.embedded.stack import Stack
from fm_migration_tests import templates
from fm_migration_tests.e2e.aviary import listening
from fm_migration_tests.e2e.daemon import Dagster, environment_for, wait_for
from fm_migration_tests.e2e.homes import homes


@dataclass
class Watched:
    """The clinic, its truth, the daemon, and where every link led after the import."""

    database_url: str
    truth: dict[str, Any]
    dagster: Dagster
    imported: dict[str, str]
    #: What was posted to FM_ALERT_URL.
    heard: list[str]

    def homes(self) -> dict[str, str]:
        with psycopg.connect(self.database_url) as connection:
            return homes(connection)

    def is_healed(self) -> bool:
        return self.homes() == self.imported

    def reimport(self, *, pause: float = 0.0, keep_ids: bool = False) -> None:
        """Delete and create the patients, 20 at a time, as the clinic's script does by hundreds."""
        with psycopg.connect(self.database_url) as connection:
            for _ in play_reimport(connection, seed=1, batch=20, pause=pause, keep_ids=keep_ids):
                pass

    def wait_until_healed(self) -> None:
        """Until every link is home and every run has ended, and still home then."""
        wait_for("every link is healed", self.is_healed, every=0.5)
        self.dagster.wait_until_idle()
        assert self.is_healed()


@pytest.fixture(scope="module")
def dagster_of_the_clinic(
    servers: Stack,
    _sample_template: Callable[[str], str],
    _linked_template: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    """Its photographs were imported before the daemon came: how an import runs is test_importing.py's subject."""
    heard: list[str] = []
    sample = _sample_template("fresh")
    files = servers.layout.home / sample
    with templates.copied(servers, _linked_template("fresh"), "e2e") as url, listening(heard) as address:
        environment = environment_for(servers, url, sample.replace("_", "-"), files / EXPORT_FILE)
        dagster = Dagster(tmp_path_factory.mktemp("dagster"), {**environment, "FM_ALERT_URL": address})
        watched = Watched(url, json.loads((files / TRUTH_FILE).read_bytes()), dagster, {}, heard)
        watched.imported = watched.homes()
        dagster.start()
        try:
            yield watched
        finally:
            dagster.stop()


@pytest.fixture
def clinic(dagster_of_the_clinic: Watched) -> Iterator[Watched]:
    """The clinic, healed, with nothing on its way, whatever the test before has left."""
    watched = dagster_of_the_clinic
    watched.dagster.slow_down(0)
    watched.wait_until_healed()
    yield watched
    watched.dagster.slow_down(0)
