"""What assets ask for: the settings, the clinic's database, the object store.

Each is opened when it is first used, not when the code location is loaded: `dg list defs` must not start a server.

This module has no `from __future__ import annotations`: Dagster reads `ResourceDependency` from the class body while
it makes the class, and would find a string there.
"""

from functools import cache
from typing import Any

import dagster as dg
from sqlalchemy import Engine

from fm_migration.objects.store import ObjectStore
from fm_migration.places import Places, find_places
from fm_migration.settings import Settings, load_settings


@cache
def _places(settings: Settings) -> Places:
    return find_places(settings)


class SettingsResource(dg.ConfigurableResource[Any]):
    """The settings of the process (FM_* variables), and the places that they name."""

    def settings(self) -> Settings:
        return load_settings()

    def places(self) -> Places:
        return _places(self.settings())


class DatabaseResource(dg.ConfigurableResource[Any]):
    """The clinic's PostgreSQL, with our own schema in it."""

    settings: dg.ResourceDependency[SettingsResource]

    def engine(self) -> Engine:
        return self.settings.places().engine


class ObjectStoreResource(dg.ConfigurableResource[Any]):
    """The bucket.

    Not dagster-aws's `S3Resource`: its client knows neither path-style addresses nor time-outs, where servers other
    than AWS need the one and a run that hangs the other; and importing it costs every run most of a second.
    """

    settings: dg.ResourceDependency[SettingsResource]

    def store(self) -> ObjectStore:
        return self.settings.places().store


settings_resource = SettingsResource()

RESOURCES: dict[str, Any] = {
    "settings": settings_resource,
    "database": DatabaseResource(settings=settings_resource),
    "objects": ObjectStoreResource(settings=settings_resource),
}
