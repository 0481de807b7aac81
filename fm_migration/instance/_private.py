"""What `dagster.yaml` must be given and Dagster has no public name for: base classes of storages and of log managers.

The same as `fm_migration/defs/_private.py`, for the room below it. The two functions import late: whoever keeps history
in PostgreSQL, or logs in a bucket, needs nothing of them.
"""

from __future__ import annotations

from typing import Any

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = [
    "ComputeLogManager",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterStorage",
    "local_logs",
    "sqlite_storage",
]


def sqlite_storage(folder: str, inst_data: ConfigurableClassData | None) -> Any:
    """Runs, events and ticks in SQLite below a folder."""
    from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

    return DagsterSqliteStorage.from_local(folder, inst_data)


def local_logs(folder: str, inst_data: ConfigurableClassData | None) -> Any:
    """The output of runs in files below a folder."""
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

    return LocalComputeLogManager(folder, inst_data=inst_data)
