"""Which database, which bucket and which export this process works on: the real ones, or the embedded ones.

This is the one place where that is decided. Whoever is given a `Places` cannot tell the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Engine

from fm_migration import database
from fm_migration.errors import SettingsError
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration.settings import Settings


@dataclass(frozen=True)
class Places:
    """Where the data is, and how to open it."""

    settings: Settings = field(repr=False)
    database_url: str = field(repr=False)
    objects: ObjectsLocation
    export: str
    embedded: bool

    @cached_property
    def engine(self) -> Engine:
        return database.open_engine(self.database_url, self.settings.app_schema)

    @cached_property
    def store(self) -> ObjectStore:
        return open_store(
            self.objects,
            writable_prefixes=(self.settings.thumbnail_prefix, self.settings.own_prefix),
            protected_prefixes=self.settings.original_prefixes,
        )


def find_places(settings: Settings) -> Places:
    """The places that the settings name; with none named, those of the embedded stack, which is started."""
    if settings.database_url is None and settings.objects_url is None:
        return _embedded(settings)
    if settings.database_url is None or settings.objects_url is None:
        raise SettingsError(
            "choosing where to work with",
            "FM_DATABASE_URL and FM_OBJECTS_URL",
            "only one of the two is set, so a real place would be mixed with the sample clinic's",
            "Set both for the real clinic, or neither for the embedded sample clinic",
        )
    return Places(
        settings=settings,
        database_url=settings.database_url.get_secret_value(),
        objects=ObjectsLocation.parse(
            settings.objects_url,
            settings.objects_access_key and settings.objects_access_key.get_secret_value(),
            settings.objects_secret_key and settings.objects_secret_key.get_secret_value(),
        ),
        export=settings.export or "",
        embedded=False,
    )


def _embedded(settings: Settings) -> Places:
    # Imported here, because production neither needs nor installs what the embedded stack is made of.
    try:
        from fm_migration.embedded import stack
        from fm_migration.embedded.furnish import furnish
    except ImportError as error:
        raise SettingsError(
            "starting the embedded stack, because neither",
            "FM_DATABASE_URL nor FM_OBJECTS_URL is set",
            f"its packages are not installed ({error.name})",
            "Set both variables, or install fm_migration[embedded]",
        ) from error
    running = stack.hold(settings)
    export = furnish(running, settings)
    return Places(
        settings=settings,
        database_url=running.database_url(),
        objects=ObjectsLocation.parse(running.objects_url, running.access_key, running.secret_key),
        export=settings.export or str(export),
        embedded=True,
    )
