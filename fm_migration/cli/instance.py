"""The Dagster instance of this project: its folder, its `dagster.yaml`, its first start.

Whoever sets DAGSTER_HOME keeps an instance of their own, and nothing here touches it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

import fm_migration
from fm_migration.defs._private import switch_auto_materialize_on
from fm_migration.defs.limits import set_pools
from fm_migration.instance import dagster_home
from fm_migration.settings import Settings

PROJECT = Path(fm_migration.__file__).resolve().parent.parent


def prepare_dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME, set for this process and its children, with a storage that is ready for several at once.

    A new SQLite storage that webserver and daemon open at the same moment can end up with two migration heads, so
    one process makes it before either starts.
    """
    if "DAGSTER_HOME" not in os.environ:
        home = dagster_home(settings)
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)
    with open_instance() as instance:
        set_pools(instance)
        _say_that_automation_is_on(instance)
        return Path(os.environ["DAGSTER_HOME"])


def _say_that_automation_is_on(instance: dg.DagsterInstance) -> None:
    """Job pages otherwise warn "Auto-materialize off", by the switch of an older daemon that ours never asks.

    What counts is the sensor `automation`, which is on by default and has a switch of its own.
    """
    switch_auto_materialize_on(instance)


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance
