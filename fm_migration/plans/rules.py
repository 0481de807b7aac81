"""What a domain may do to a table: which columns, under which conditions, and what follows from it.

Belongs here: the shape of such rules. Does not belong here: any table's rules; the domains write them.

Conditions are SQL. They name the planned change as `wanted` (with its `before`, `after`, `reason`, `column_name`, and
in an undo `written_at`, when what it takes back was written), the row as `target`, the plan as `:plan` and the plan
that all of it goes back to, if it is an undo, as `:origin`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection


@dataclass(frozen=True)
class Guards:
    """What must still be so for a row to go in, beside that its key is free, to change or to go, beside that it is as
    it was."""

    insert: str = "true"
    update: str = "true"
    delete: str = "true"


@dataclass(frozen=True)
class TableRules:
    """What a kind of plan may do to one table. The table is named as `regclass` writes it."""

    table: str
    #: What may be set on a row that exists. Everything else on it belongs to the clinic.
    changeable: tuple[str, ...] = ()
    #: What a new row consists of.
    insertable: tuple[str, ...] = ()
    #: SQL for columns of a new row that are not planned, such as the time.
    filled: dict[str, str] = field(default_factory=dict)
    #: By which columns a row is known. Rows that are changed are known by one.
    key: tuple[str, ...] = ("id",)
    #: Columns that follow from others. A difference in them is nobody's edit.
    derived: tuple[str, ...] = ()
    #: Common table expressions that the guards read from, each followed by a comma.
    given: str = ""
    forward: Guards = Guards()
    #: The same for an undo.
    backward: Guards = Guards()
    #: Columns of which is kept what we wrote last; none where nobody asks.
    remembered: tuple[str, ...] = ()
    #: Which updates of them are not a decision of ours: what was remembered moves along with these, if it was the same.
    follows: str = "false"
    #: Whether the table is kept still while a plan is applied.
    locked: bool = False
    #: Statements after the rows of a plan were written, and after those of an undo were.
    derive: tuple[str, ...] = ()
    derive_back: tuple[str, ...] = ()
    #: Fills the temporary table `referred` with the ids of rows that something refers to: they are not removed.
    list_referred: Callable[[Connection], None] | None = None
    #: Whether these rows belong to no table: somebody else carries them out, and takes them back.
    apart: bool = False

    def guards(self, backward: bool) -> Guards:
        return self.backward if backward else self.forward


def of_column(table: str, column: str, key: str) -> TableRules:
    """The rules of a link: a change that names its column changes that column alone."""
    return TableRules(table, changeable=(column,), key=(key,))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
