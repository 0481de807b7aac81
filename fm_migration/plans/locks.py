"""Who may write, one at a time: the lock of everybody who writes links, and the tables that are kept still meanwhile.

No table is locked on which we need no more than to read: what changes there is seen at the next look.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

#: Whoever writes links takes this lock first: a number of our own for pg_advisory_xact_lock.
LINK_LOCK = 7_664_202
#: Whoever makes a plan of photographs takes this one: links follow their patients beside it.
PLANNING_LOCK = 7_664_203
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
    """One plan of photographs at a time, because each goes on where the last one ended."""
    limit_waiting(connection)
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": PLANNING_LOCK})


def limit_waiting(connection: Connection) -> None:
    """Nobody waits for a lock longer than this, whoever holds it."""
    connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
