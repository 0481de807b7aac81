"""What an instance in memory has recorded, put into files once and taken back by as many other instances as want it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg

_STORAGES = ("run_storage", "event_storage")


def remember(instance: dg.DagsterInstance, folder: Path) -> None:
    """Write all that this ephemeral instance has recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _STORAGES:
        with sqlite3.connect(folder / f"{name}.db") as file:
            _database(instance, name).backup(file)


def recall(instance: dg.DagsterInstance, folder: Path) -> None:
    """Let this ephemeral instance have recorded what another one has."""
    for name in _STORAGES:
        with sqlite3.connect(folder / f"{name}.db") as file:
            file.backup(_database(instance, name))


def _database(instance: dg.DagsterInstance, storage: str) -> sqlite3.Connection:
    connection: Any = getattr(instance, f"_{storage}")._held_conn.connection
    database: sqlite3.Connection = connection.driver_connection
    return database
