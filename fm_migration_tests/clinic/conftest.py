"""Databases whose tables the clinic's own Django app made, next to the shared ones that our definitions made."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, Engine

from fm_migration import database
from fm_migration.embedded import locks
from fm_migration.embedded.stack import Stack
from fm_migration_tests.peers import gallery
from fm_migration_tests.peers.gallery import Gallery, open_gallery

TEMPLATE = "django_template"


@pytest.fixture(scope="session")
def _django_template(servers: Stack) -> str:
    """A database as `manage.py migrate` leaves it, made once a run: migrating takes seconds, a copy 50 ms."""
    with (
        locks.exclusive(servers.layout.home / "django_template.lock"),
        psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection,
    ):
        found = connection.execute("select 1 from pg_database where datname = %s", [TEMPLATE]).fetchone()
        if not found:
            connection.execute(f"drop database if exists {TEMPLATE}_draft")
            connection.execute(f"create database {TEMPLATE}_draft")
            gallery.migrate(servers.database_url(f"{TEMPLATE}_draft"))
            connection.execute(f"alter database {TEMPLATE}_draft rename to {TEMPLATE}")
    return TEMPLATE


@pytest.fixture
def django_database(new_database: Callable[..., str], _django_template: str) -> str:
    """The URL of a database of this test's own, with the tables of the clinic's Django app, empty."""
    return new_database(_django_template)


@pytest.fixture(scope="module")
def _shared_django_database(servers: Stack, _django_template: str) -> Iterator[str]:
    name = f"shared_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {_django_template}")
    yield servers.database_url(name)
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def rolled_back(_shared_django_database: str) -> Iterator[Connection]:
    """A connection to Django's tables on which a test may even alter them: all of it is rolled back."""
    engine = database.open_engine(_shared_django_database)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.fixture
def django_engine(django_database: str) -> Iterator[Engine]:
    """An engine on `django_database`."""
    engine = database.open_engine(django_database)
    yield engine
    engine.dispose()


@pytest.fixture
def app(django_database: str) -> Iterator[Gallery]:
    """The clinic's app on `django_database`, without an object store."""
    with open_gallery(django_database) as opened:
        yield opened
