"""Databases whose tables the clinic's own Django app made, next to the shared ones that our definitions made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine

from fm_migration import database
from fm_migration.embedded.stack import Stack
from fm_migration_tests import templates
from fm_migration_tests.peers import gallery
from fm_migration_tests.peers.gallery import Gallery, open_gallery

TEMPLATE = "django_template"


@pytest.fixture(scope="session")
def _django_template(servers: Stack) -> str:
    """A database as `manage.py migrate` leaves it, made once a run: migrating takes seconds, a copy 50 ms."""
    return templates.made_once(servers, TEMPLATE, "template0", gallery.migrate)


@pytest.fixture
def django_database(new_database: Callable[..., str], _django_template: str) -> str:
    """The URL of a database of this test's own, with the tables of the clinic's Django app, empty."""
    return new_database(_django_template)


@pytest.fixture(scope="module")
def _shared_django_database(servers: Stack, _django_template: str) -> Iterator[str]:
    with templates.copied(servers, _django_template, "shared") as url:
        yield url


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
