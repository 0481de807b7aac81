"""Connecting: every way in which it fails is told with where it was tried and what to do, and without the password."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url, text

from fm_migration import database
from fm_migration.errors import DatabaseError


def _changed(url: str, **parts: object) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)  # type: ignore[arg-type]


def test_a_good_url_gives_the_version(clinic_database: str) -> None:
    engine = database.open_engine(clinic_database)
    assert int(database.check(engine).partition(".")[0]) >= database.OLDEST_SERVER


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"password": "wrong-password"},
            "password authentication failed.*Correct user and password in FM_DATABASE_URL",
        ),
        ({"username": "nobody"}, "password authentication failed.*Correct user and password in FM_DATABASE_URL"),
        ({"database": "elsewhere"}, 'database "elsewhere" does not exist.*Correct the name'),
        ({"port": 9}, "database .* on 127.0.0.1:9: .*See that the server runs"),
    ],
)
def test_each_way_to_fail_has_a_message_and_a_remedy(
    clinic_database: str, parts: dict[str, object], message: str
) -> None:
    with pytest.raises(DatabaseError, match=message) as caught:
        database.check(database.open_engine(_changed(clinic_database, **parts)))
    assert "wrong-password" not in str(caught.value)


def test_what_is_no_url_is_said_to_be_none() -> None:
    with pytest.raises(DatabaseError, match="FM_DATABASE_URL: it is not a URL"):
        database.open_engine("the clinic's database")


def test_the_clinics_tables_are_found_in_the_schema_that_the_settings_name(clinic_database: str) -> None:
    with database.open_engine(clinic_database).begin() as connection:
        connection.execute(text("create schema app"))
        connection.execute(text("alter table patients set schema app"))
    with database.open_engine(clinic_database, app_schema="app").connect() as connection:
        assert connection.execute(text("select count(*) from patients")).scalar_one() == 0
