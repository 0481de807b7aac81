"""The kinds of plans, as domains register them: whose rules hold, and what is looked at before and done after.

Belongs here: the register. Does not belong here: any kind but the undo, which is the machinery's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from fm_migration.errors import DatabaseError
from fm_migration.plans.rules import TableRules

UNDO = "undo"
PlanRow = Mapping[str, Any]


def _nothing(_connection: Connection, _plan: PlanRow, _run_id: str | None) -> None:
    """What most kinds do before and after."""


@dataclass(frozen=True)
class PlanKind:
    """A kind of plan. Its tables stand in the order of their references: what others refer to comes first."""

    name: str
    tables: tuple[TableRules, ...] = ()
    #: Raises StalePlanError, or another error of ours, where the plan must not be applied to the world as it is.
    before: Callable[[Connection, PlanRow, str | None], None] = _nothing
    #: Takes note of what was applied, in the same transaction; may still refuse.
    after: Callable[[Connection, PlanRow, str | None], None] = _nothing
    #: What makes a new plan of this kind, in words.
    remedy: str = "Make a new one"

    def rules_of(self, table: str) -> TableRules | None:
        return next((rules for rules in self.tables if rules.table == table), None)


_REGISTER: dict[str, PlanKind] = {}


def register(kind: PlanKind) -> PlanKind:
    """Make a kind known. A domain does so once, where its rules are."""
    if kind.name == UNDO or _REGISTER.get(kind.name, kind) is not kind:
        raise ValueError(f"there is a kind {kind.name!r} already")
    _REGISTER[kind.name] = kind
    return kind


def kind_of(name: str) -> PlanKind:
    kind = _REGISTER.get(name)
    if kind is None:
        raise DatabaseError(
            "looking up the kind of plan",
            name,
            f"nobody here knows it; known are {', '.join(sorted(_REGISTER)) or 'none'}",
            "Run this with a version of fm_migration that makes such plans",
        )
    return kind
