"""Databases that are made once in a test run, by whichever process asks first, and copied from then on.

Belongs here: making one under a lock, copying and dropping, and the FM_* settings that lead to a copy. Does not belong
here: what lies in them, which is told by the fixture that makes it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fm_migration.embedded import locks, object_server
from fm_migration.embedded.sample.model import EXPORT_FILE
from fm_migration.embedded.stack import Stack
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings


def made_once(servers: Stack, name: str, source: str, fill: Callable[[str], None]) -> str:
    """The name of the database to copy; `fill` gets the URL of a draft, a copy of `source`, for itself."""
    with locks.exclusive(servers.layout.home / f"{name}.lock"), _administration(servers) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            draft = f"{name}_draft"
            connection.execute(f"drop database if exists {draft} with (force)".encode())
            _copy(connection, draft, source)
            fill(servers.database_url(draft))
            # A run of Dagster's keeps a connection for the next one, and PostgreSQL renames nothing that is in use.
            connection.execute(
                "select pg_terminate_backend(pid, 30000) from pg_stat_activity where datname = %s", [draft]
            )
            connection.execute(f"alter database {draft} rename to {name}".encode())
    return name


def copy(servers: Stack, template: str, prefix: str = "test") -> str:
    """The name of a new database like the template."""
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    with _administration(servers) as connection:
        _copy(connection, name, template)
    return name


def drop(servers: Stack, *names: str) -> None:
    with _administration(servers) as connection:
        for name in names:
            connection.execute(f"drop database if exists {name} with (force)".encode())


@contextmanager
def copied(servers: Stack, template: str, prefix: str = "test") -> Iterator[str]:
    """The URL of a database like the template, which goes with the block."""
    name = copy(servers, template, prefix)
    try:
        yield servers.database_url(name)
    finally:
        drop(servers, name)


@contextmanager
def places_of_sample(servers: Stack, database_url: str, sample: str) -> Iterator[Places]:
    """This database with the bucket and the export of a sample clinic, whatever the environment says just now."""
    bucket = sample.replace("_", "-")
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("FM_")]:
            patch.delenv(variable)
        given: dict[str, Any] = {
            "database_url": database_url,
            "objects_url": f"s3://{bucket}?endpoint={object_server.url(servers.objects_port)}&region={object_server.REGION}",
            "objects_access_key": servers.access_key,
            "objects_secret_key": servers.secret_key,
            "export": str(servers.layout.home / sample / Path(EXPORT_FILE)),
        }
        places = find_places(load_settings(**given))
    yield places
    places.engine.dispose()


@contextmanager
def _administration(servers: Stack) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        yield connection


def _copy(connection: psycopg.Connection[Any], name: str, template: str) -> None:
    # Files are copied as they are: written into the log as well they would take twice the time.
    connection.execute(f"create database {name} template {template} strategy file_copy".encode())
