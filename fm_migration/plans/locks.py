"""Who may write, one at a time: the lock of everybody who writes links, and the tables that are kept still meanwhile.

No table is locked on which we need no more than to read: what changes there is seen at the next look.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.errors import UndefinedTable
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from fm_migration.ledger import schema

#: Whoever writes links takes this lock first: a number of our own for pg_advisory_xact_lock.
LINK_LOCK = 7_664_202
LOCK_SECONDS: float = 30


def lock(connection: Connection, tables: Iterable[str] = ()) -> None:
    """One writer at a time until the end of the transaction, and no writer of the clinic's on these tables.

    Readers of the gallery go on.
    """
    limit_waiting(connection)
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LINK_LOCK})
    if still := list(tables):
        connection.execute(text(of_tables(still)))


def of_tables(tables: Iterable[str]) -> str:
    """The statement that keeps these tables still."""
    return f"lock table {', '.join(tables)} in share row exclusive mode"


def lock_planning(connection: Connection) -> None:
    """One plan of photographs at a time, from one state of all tables; to be called before anything is read.

    Each plan goes on where the last one ended. Links follow their patients beside it, and plans are applied: a plan
    that saw half of that would make a second batch for what has one already. The table is locked, and not a number,
    because that takes no snapshot: the state that is read is the one after the waiting.
    """
    limit_waiting(connection)
    if connection.execute(text("show transaction_isolation")).scalar_one() != "repeatable read":
        connection.execute(text("set transaction isolation level repeatable read"))
    try:
        connection.execute(text("lock table fm_migration.placement in exclusive mode"))
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable):
            raise
        raise schema.outdated("older than this version needs") from None


def limit_waiting(connection: Connection) -> None:
    """Nobody waits for a lock longer than this, whoever holds it."""
    connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
