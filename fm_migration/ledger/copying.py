"""COPY: the fast way for many rows into a table, in the transaction of a connection that is already open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import Connection as PsycopgConnection
from psycopg import sql
from sqlalchemy import Connection


def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Stream rows into a table; how many there were. A failing source leaves the transaction to be rolled back."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, PsycopgConnection):
        raise TypeError("COPY needs a connection of psycopg 3")
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.SQL(".").join(map(sql.Identifier, table.split("."))), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for count, row in enumerate(rows, start=1):  # noqa: B007  the last number is the count
            copy.write_row(row)
    return count
