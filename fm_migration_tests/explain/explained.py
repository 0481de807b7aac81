"""A tiny clinic that can be asked "why?", one hop at a time."""

from __future__ import annotations

from fm_migration.explain import explaining
from fm_migration.explain.answers import Explanation
from fm_migration.explain.hops import HopName, HopState
from fm_migration.objects.store import ObjectStore
from fm_migration.report.classes import FindingClass
from fm_migration_tests.linking.world import World

#: Class and hop at which a photograph breaks first.
Broken = tuple[FindingClass | None, HopName]


def ask(world: World, asked: object, store: ObjectStore | None = None) -> Explanation:
    with world.engine.connect() as connection:
        return explaining.explain(connection, world.settings, str(asked), store)


def first_broken(answer: Explanation) -> Broken | None:
    hop = answer.first_broken
    return None if hop is None else (hop.finding, hop.name)


def states(answer: Explanation) -> str:
    """The states of the hops of the one photograph, a letter each."""
    (walk,) = answer.walks
    letters = {
        HopState.OK: "o", HopState.REMARK: "r", HopState.BROKEN: "x", HopState.UNKNOWN: "?", HopState.NONE: "-",
    }  # fmt: skip
    return "".join(letters[hop.state] for hop in walk.hops)


def commands(answer: Explanation) -> list[str | None]:
    return [found.command for found in answer.findings]
