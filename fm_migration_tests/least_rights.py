"""A user of the database who may do exactly what docs/security.md says, and nothing else.

Belongs here: making that user out of the page's own statements, on any server, and a clinic seen through both users'
eyes. Does not belong here: what our code needs (`fm_migration/clinic/rights.py`, which is judged by this).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

PAGE = Path(__file__).parent.parent / "docs" / "security.md"
#: The names that the page's statements use.
USER, DATABASE = "fm_migration", "clinic"
_GRANT = re.compile(r"^ {4}(grant [^;]+);", re.MULTILINE)


@dataclass(frozen=True)
class LimitedUser:
    """The user, and the database as seen by it and by whoever owns the clinic's tables."""

    name: str
    url: str
    owner_url: str

    def do(self, statement: str) -> None:
        """What the owner of the clinic's tables does, with `{user}` and `{database}` in the place of names."""
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(_named(statement, self.name, make_url(self.owner_url).database or ""))


def grants() -> list[str]:
    """The statements of the page, with `{user}` and `{database}` for the names that it uses."""
    found = _GRANT.findall(PAGE.read_text(encoding="utf-8"))
    return [
        re.sub(rf" to {USER}$", " to {user}", statement).replace(f"on database {DATABASE} ", "on database {database} ")
        for statement in found
    ]


@contextmanager
def limited_user(owner_url: str) -> Iterator[LimitedUser]:
    """A new user of the server with the page's grants on this database, which must have the clinic's tables."""
    name, password = f"limited_{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(name), sql.Literal(password))
        )
    url = make_url(owner_url).set(username=name, password=password).render_as_string(hide_password=False)
    user = LimitedUser(name, url, owner_url)
    try:
        # As a careful clinic has it, and older servers had not: nobody gets anything for being there.
        user.do("revoke all on schema public from public")
        for statement in grants():
            user.do(statement)
        yield user
    finally:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def _named(statement: str, user: str, database: str) -> sql.Composed:
    return sql.SQL(statement).format(user=sql.Identifier(user), database=sql.Identifier(database))
