"""The one way to open the clinic's database, in which our own schema lies too.

Belongs here: connecting, and saying in plain words why it failed. Does not belong here: any table.
"""

from __future__ import annotations

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from fm_migration.errors import DatabaseError

#: SQLSTATE classes of a connection that broke, or a server that goes down or has no room.
_CONNECTION_STATES = ("08", "53", "57")
#: Lock not available, deadlock, serialisation failure.
_BUSY_STATES = ("55P03", "40P01", "40001")
_NOT_ALLOWED = "42501"

OLDEST_SERVER = 14
CONNECT_SECONDS = 10


class ConnectionLostError(DatabaseError):
    """The database went away, or could not be had, in the middle of the work; nothing of it was kept."""

    transient = True


def open_engine(url: str, app_schema: str = "public") -> Engine:
    """An engine that speaks psycopg 3 and finds the clinic's tables unqualified; ours are always `fm_migration.x`."""
    return create_engine(
        _with_driver(url),
        connect_args={
            "application_name": "fm_migration",
            "connect_timeout": CONNECT_SECONDS,
            # UTC, because before-images hold points in time as text, and must read the same in every session. No JIT,
            # because the costs of joins of temporary tables are estimated far too high, and each would be compiled.
            "options": f"-c search_path={app_schema} -c timezone=UTC -c jit=off",
        },
        pool_size=4,
        pool_pre_ping=True,
    )


def check(engine: Engine) -> str:
    """The server's version, or a DatabaseError that says what to do."""
    try:
        with engine.connect() as connection:
            return server_version(connection)
    except DBAPIError as error:
        raise explain(error, engine.url) from error


def server_version(connection: Connection) -> str:
    version: str = connection.execute(text("show server_version")).scalar_one()
    if int(version.partition(".")[0].split()[0]) < OLDEST_SERVER:
        raise DatabaseError(
            "connecting to",
            where(connection.engine.url),
            f"the server is PostgreSQL {version}",
            f"Upgrade it to {OLDEST_SERVER} or newer",
        )
    return version.split()[0]


def where(url: URL) -> str:
    """A database named for people: without user and password."""
    return f"database {url.database} on {url.host or 'the local socket'}:{url.port or 5432}"


def explain(error: DBAPIError, url: URL) -> DatabaseError:
    """The driver's complaint as one of ours. Only its first line is kept: later ones may quote rows."""
    found = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    return DatabaseError("connecting to", where(url), found, _remedy(found))


def _remedy(found: str) -> str:
    said = found.lower()
    if "password authentication failed" in said or "no password supplied" in said:
        return "Correct user and password in FM_DATABASE_URL"
    if "does not exist" in said:
        return "Correct the name in FM_DATABASE_URL, or create it"
    if "permission denied" in said:
        return "Grant the user of FM_DATABASE_URL what docs/security.md lists"
    return "See that the server runs and can be reached from here, and that FM_DATABASE_URL names it"


def _with_driver(url: str) -> URL:
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except ArgumentError:
        raise DatabaseError(
            "reading", "FM_DATABASE_URL", "it is not a URL", "Write it as postgresql://user:password@host:5432/clinic"
        ) from None


def explain_driver(error: Exception) -> DatabaseError | None:
    """The error as one of ours if it is the driver's, for those who meet errors of any kind."""
    return explain_statement(error) if isinstance(error, (DBAPIError, psycopg.Error)) else None


def explain_statement(error: DBAPIError | psycopg.Error) -> DatabaseError:
    """What went wrong with a statement, by its code and by names of ours: the driver's own text may quote a row."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    diagnosis = getattr(cause, "diag", None)
    state = getattr(diagnosis, "sqlstate", None)
    if state is None or state[:2] in _CONNECTION_STATES:
        return ConnectionLostError(
            "talking to", "the database", "the connection broke off", "Run again; what was open was rolled back"
        )
    if state in _BUSY_STATES:
        return ConnectionLostError(
            "waiting for", "the database", f"somebody else holds what we need (SQLSTATE {state})", "Run again"
        )
    if state == _NOT_ALLOWED:
        return DatabaseError(
            "running a statement on",
            "the database",
            f"its user may not do what we need (SQLSTATE {state})",
            "Run `fm-migration doctor`: it names the missing grant",
        )
    names = (getattr(diagnosis, name, None) for name in ("table_name", "column_name", "constraint_name"))
    return DatabaseError(
        "running a statement on",
        ".".join(name for name in names if name) or "the database",
        f"it refuses with SQLSTATE {state} ({type(cause).__name__})",
        "Run `fm-migration doctor`; if it finds nothing wrong, this is a fault of fm_migration",
    )
