"""Looks at everything that a migration needs, and says of each part whether it is in order and, if not, what to do.

Belongs here: the order of the examinations and their wording. What is examined lives in the packages below.
"""

from __future__ import annotations

import platform
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fm_migration import database
from fm_migration.clinic import contract, link_columns, rights
from fm_migration.errors import FmMigrationError, ObjectStoreError
from fm_migration.ledger import schema
from fm_migration.operations.undoing import KINDS
from fm_migration.places import Places, find_places
from fm_migration.plans import locks
from fm_migration.settings import Settings, load_settings
from fm_migration.sources.export_file import open_export

#: S3 refuses requests that are a quarter of an hour off; orphans are judged by comparing the clocks of three machines.
TOLERATED_SKEW_SECONDS = 60.0
#: SQLSTATE of a missing right.
_NOT_ALLOWED = "42501"


@dataclass(frozen=True)
class Examination:
    """One line of the report."""

    check: str
    well: bool
    said: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Callable[[], Settings] = load_settings) -> Iterator[Examination]:
    """Every check that still makes sense after the ones before it, as they are done."""
    yield _check("python", _python)
    outcome: list[Places] = []
    finding = _check("settings", lambda: _settings(settings, outcome))
    yield finding
    if not finding.well:
        return
    places = outcome[0]
    finding = _check("database", lambda: f"PostgreSQL {database.check(places.engine)}, {_where(places)}")
    yield finding
    if finding.well:
        yield _check("clock of the database", lambda: _database_clock(places))
        yield from _rights(places)
        yield from _locks(places)
        yield _check("contract", lambda: _contract(places))
        yield _check("our schema", lambda: _schema(places))
    finding = _check("bucket", lambda: _bucket(places))
    yield finding
    if finding.well:
        yield _check("clock of the object store", lambda: _store_clock(places))
        yield _check("dump", lambda: _dump(places))
        yield _check("writing under our own prefixes", lambda: _own_prefix(places))
    yield _check("export", lambda: _export(places))


def _check(name: str, examination: Callable[[], str]) -> Examination:
    try:
        return Examination(name, well=True, said=examination())
    except FmMigrationError as error:
        return _unwell(name, error)
    except DBAPIError as error:
        return _unwell(name, database.explain_statement(error))


def _unwell(name: str, error: FmMigrationError) -> Examination:
    return Examination(name, well=False, said=f"{error.doing} {error.subject}: {error.found}", remedy=error.remedy)


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise FmMigrationError(
            "starting with", f"Python {platform.python_version()}", "it is not supported", "Use Python 3.11 to 3.13"
        )
    return f"Python {platform.python_version()}"


def _settings(settings: Callable[[], Settings], outcome: list[Places]) -> str:
    places = find_places(settings())
    outcome.append(places)
    return "the embedded sample clinic" if places.embedded else "the real clinic"


def _where(places: Places) -> str:
    return database.where(places.engine.url)


def _database_clock(places: Places) -> str:
    with places.engine.connect() as connection:
        return _skew(connection.execute(text("select clock_timestamp()")).scalar_one())


def _store_clock(places: Places) -> str:
    return _skew(places.store.server_time())


def _skew(theirs: datetime) -> str:
    seconds = abs((datetime.now(UTC) - theirs).total_seconds())
    if seconds > TOLERATED_SKEW_SECONDS:
        raise FmMigrationError(
            "comparing", "clocks", f"they are {seconds:.0f} s apart", "Set both machines by a time server (NTP)"
        )
    return "in step with ours"


def _rights(places: Places) -> Iterator[Examination]:
    """A line for each missing right, or one that says that none is missing."""
    try:
        with places.engine.connect() as connection:
            lacking = list(_lacking_rights(connection, places))
    except (FmMigrationError, DBAPIError) as error:
        yield _unwell("rights", error if isinstance(error, FmMigrationError) else database.explain_statement(error))
        return
    for one in lacking:
        yield Examination(f"right: {one.right}", False, f"it is missing, so {one.without_it}", f"Run: {one.statement};")
    if not lacking:
        yield Examination("rights", True, "all that a migration needs")


def _lacking_rights(connection: Connection, places: Places) -> Iterator[rights.Missing]:
    search_path = [name.strip().strip('"') for name in places.settings.app_schema.split(",")]
    closed = rights.find_closed_schemas(connection, search_path)
    yield from closed
    yield from rights.find_missing_of_our_own(connection)
    if closed:
        return
    found = link_columns.find_link_columns(connection, places.settings.link_columns)
    needed = (*rights.RIGHTS, *rights.of_links(found), *rights.of_referring(connection))
    yield from rights.find_missing(connection, dict.fromkeys(needed))


def _locks(places: Places) -> Iterator[Examination]:
    """Takes each lock that applying a plan takes, for no longer than a moment, and lets go of it."""
    tables = dict.fromkeys(rules.table for kind in KINDS for rules in kind.tables if rules.locked)
    refused = [table for table in tables if not _may_lock(places, table)]
    for table in refused:
        said = f"the user of FM_DATABASE_URL may not {locks.of_tables([table])}, so nothing can be linked"
        yield Examination(f"lock: {table}", False, said, f"Run: {_grant_of_lock(places, table)};")
    if not refused:
        yield Examination("locks", True, "each can be taken")


def _may_lock(places: Places, table: str) -> bool:
    """A right is looked at before anybody else's lock is, so a table that is busy counts as allowed."""
    with places.engine.connect() as connection:
        try:
            connection.execute(text(f"{locks.of_tables([table])} nowait"))
        except DBAPIError as error:
            return getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED
        finally:
            connection.rollback()
    return True


def _grant_of_lock(places: Places, table: str) -> str:
    with places.engine.connect() as connection:
        role = connection.execute(text("select quote_ident(current_user)")).scalar_one()
    return f"grant update on {table} to {role}"


def _contract(places: Places) -> str:
    with places.engine.connect() as connection:
        contract.verify(connection)
    return "the clinic's tables are as expected"


def _schema(places: Places) -> str:
    with places.engine.connect() as connection:
        schema.require_current(connection)
        return f"at {schema.current_revision(connection)}"


def _bucket(places: Places) -> str:
    places.store.check()
    return places.objects.bucket


def _dump(places: Places) -> str:
    for prefix in places.settings.dump_prefixes:
        if next(places.store.list(prefix, threads=1), None) is None:
            raise ObjectStoreError(
                "listing", prefix, "there is no object under it", "Correct FM_DUMP_PREFIXES, or grant s3:ListBucket"
            )
    return ", ".join(places.settings.dump_prefixes)


def _own_prefix(places: Places) -> str:
    for prefix in places.store.writable_prefixes:
        key = f"{prefix}.doctor/{uuid.uuid4().hex}"
        places.store.put(key, b"fm-migration doctor", "text/plain")
        try:
            places.store.read(key)
        finally:
            places.store.delete_own(key)
    return ", ".join(places.store.writable_prefixes)


def _export(places: Places) -> str:
    with open_export(places) as export:
        return f"{export.source}, {export.size:,} bytes"
