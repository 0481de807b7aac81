"""What assets ask for: the settings, the clinic's database, the object store.

Each is opened when it is first used, not when the code location is loaded: `dg list defs` must not start a server.

This module has no `from __future__ import annotations`: Dagster reads `ResourceDependency` from the class body while
it makes the class, and would find a string there.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import SecretStr
from sqlalchemy import Engine

from fm_migration.objects.store import ObjectStore, open_client
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


class ObjectStoreResource(S3Resource):
    """The bucket. A dagster-aws `S3Resource` whose endpoint, region and keys are those of FM_OBJECTS_* unless given.

    The client itself is ours: dagster-aws's knows neither path-style addresses nor time-outs, and servers other than
    AWS need the one, a run that hangs the other.
    """

    settings: dg.ResourceDependency[SettingsResource]

    def get_client(self) -> Any:
        location = self.settings.places().objects
        secret_key = SecretStr(self.aws_secret_access_key) if self.aws_secret_access_key else None
        return open_client(
            replace(
                location,
                endpoint_url=self.endpoint_url or location.endpoint_url,
                region=self.region_name or location.region,
                access_key=self.aws_access_key_id or location.access_key,
                secret_key=secret_key or location.secret_key,
            )
        )

    def store(self) -> ObjectStore:
        return self.settings.places().store_with(self.get_client())


settings_resource = SettingsResource()

RESOURCES: dict[str, Any] = {
    "settings": settings_resource,
    "database": DatabaseResource(settings=settings_resource),
    "objects": ObjectStoreResource(settings=settings_resource),
}
