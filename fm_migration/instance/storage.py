"""Dagster's history: runs, events, ticks. In SQLite below DAGSTER_HOME, or in FM_DAGSTER_DATABASE_URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import make_url

from fm_migration.instance import dagster_home
from fm_migration.instance._private import ConfigurableClass, ConfigurableClassData, DagsterStorage, sqlite_storage
from fm_migration.settings import load_settings


class HistoryStorage(DagsterStorage, ConfigurableClass):
    """Never made itself: Dagster asks it for a storage, and is given SQLite's or PostgreSQL's."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _empty: Mapping[str, Any]) -> Any:
        settings = load_settings()
        url = settings.dagster_database_url
        if url is None:
            return sqlite_storage(str(dagster_home(settings)), inst_data)
        # Imported here: it takes more than a second, and SQLite needs nothing of it.
        from dagster_postgres import DagsterPostgresStorage

        return DagsterPostgresStorage(with_psycopg2(url.get_secret_value()), inst_data=inst_data)


def with_psycopg2(url: str) -> str:
    """The driver that dagster-postgres is written for.

    A bare `postgresql://` means psycopg 3 to SQLAlchemy 2.1, with which every event fails to be written although
    `dagster instance info` passes.
    """
    return make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
