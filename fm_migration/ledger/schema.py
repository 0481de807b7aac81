"""Brings our schema up to date, or back; the migrations themselves are in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from fm_migration.errors import DatabaseError
from fm_migration.ledger import SCHEMA

#: One upgrade at a time, whoever asks: a number of our own for pg_advisory_xact_lock.
UPGRADE_LOCK = 7_664_201


def upgrade(engine: Engine, revision: str = "head") -> None:
    """All migrations up to `revision`, in one transaction."""
    with engine.begin() as connection:
        upgrade_in(connection, revision)


def upgrade_in(connection: Connection, revision: str = "head") -> None:
    """The same in the caller's transaction."""
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
    connection.execute(text(f"create schema if not exists {SCHEMA}"))
    command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Back to `revision`, or with "base" to nothing: the schema itself goes too."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
        if current_revision(connection) is None:
            return
        command.downgrade(_config(connection), revision)
        if revision == "base":
            connection.execute(text(f"drop table if exists {SCHEMA}.alembic_version"))
            connection.execute(text(f"drop schema if exists {SCHEMA}"))


def current_revision(connection: Connection) -> str | None:
    """Which migration the database is at; None where our schema is not there yet."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    exists = connection.execute(text("select to_regclass(:name)"), {"name": f"{SCHEMA}.alembic_version"}).scalar()
    return context.get_current_revision() if exists else None


def newest_revision() -> str:
    return str(ScriptDirectory.from_config(_config(None)).get_current_head())


def require_current(connection: Connection) -> None:
    """Stop with the remedy where the schema is older or newer than this version of the software."""
    found, wanted = current_revision(connection), newest_revision()
    if found != wanted:
        raise outdated(f"at {found or 'nothing'}, and this version needs {wanted}")


def outdated(found: str) -> DatabaseError:
    return DatabaseError("using our schema", SCHEMA, f"it is {found}", "Run `fm-migration db upgrade`")


def _config(connection: Connection | None) -> Config:
    config = Config()
    # Alembic's settings go through an interpolating parser, for which a % in a folder's name would be special.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
