"""The judge of an undo: it restores every cell that nobody else has touched, and touches no other.

Belongs here: what each plan of ours has changed, and what its undoing must leave behind. Does not belong here: whose a
photograph is; a person who undoes a healing wants the former state back, whatever it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fm_migration_tests.model.things import (
    BATCHES,
    IMAGES,
    Cell,
    Difference,
    Things,
    View,
    Writer,
    difference,
)


@dataclass
class Done:
    """What a plan has changed: the cells with what stood there before, and the rows that it made."""

    before: dict[Cell, Any] = field(default_factory=dict)
    #: Who had written those cells last, and has again once this plan is undone.
    writers: dict[Cell, Writer | None] = field(default_factory=dict)
    made: list[tuple[str, str]] = field(default_factory=list)

    def add(self, done: Difference, view: View, things: Things) -> None:
        """What a step has done to this view; before its writers are written down in `things`."""
        for cell in done.cells:
            if not _derived(cell):
                self.before.setdefault(cell, view.value(cell))
                self.writers.setdefault(cell, things.writer.get(cell))
        self.made += done.added


def _derived(cell: Cell) -> bool:
    """A batch's count follows from its images; the judge counts them itself."""
    return cell.column == "image_count"


def judge_undo(plan: int, done: Done, things: Things, before: View, after: View) -> list[str]:
    """What the undo of a plan has not put back, and what it has touched that was not the plan's any more."""
    return [
        *_not_restored(plan, done, things, before, after),
        *_not_taken_away(plan, done, things, before, after),
        *_touched(plan, done, things, before, after),
    ]


def _not_restored(plan: int, done: Done, things: Things, before: View, after: View) -> Iterable[str]:
    for cell, old in done.before.items():
        if cell.row not in before[cell.table] or things.writer.get(cell) != Writer("plan", plan):
            continue
        if cell.column == "batch_id" and old not in after[BATCHES]:
            continue
        if after.value(cell) != old:
            yield (
                f"not undone: {cell.table}.{cell.column} was {old!r} before plan {plan}, nobody else has touched it, "
                f"and it is {after.value(cell)!r}"
            )


def _not_taken_away(plan: int, done: Done, things: Things, before: View, after: View) -> Iterable[str]:
    for table, row in done.made:
        if row not in before[table] or _touched_since(plan, table, row, things, before):
            continue
        if table == BATCHES and any((IMAGES, image) not in done.made for image in before.images_of(row)):
            continue
        if table == BATCHES and after.images_of(row):
            continue
        if row in after[table]:
            yield f"not undone: plan {plan} made a row of {table} that nobody has touched, and it is still there"


def _touched_since(plan: int, table: str, row: str, things: Things, view: View) -> bool:
    writers = {things.writer.get(Cell(table, row, column)) for column in view[table][row] if column != "image_count"}
    return any(writer is not None and writer != Writer("plan", plan) for writer in writers)


def _touched(plan: int, done: Done, things: Things, before: View, after: View) -> Iterable[str]:
    changed = difference(before, after)
    for table, row in changed.added:
        yield f"made up: an undo made a row of {table} ({row[:8]})"
    for table, row in changed.gone:
        if (table, row) not in done.made:
            yield f"lost: the undo of plan {plan} removed a row of {table} that the plan had not made"
        elif _staff_wrote(table, row, things, before):
            yield f"lost: the undo of plan {plan} removed a row of {table} that staff had edited"
    for cell in changed.cells:
        mine = things.writer.get(cell) == Writer("plan", plan) and cell in done.before
        if not mine and not _derived(cell):
            yield (
                f"overwritten: the undo of plan {plan} changed {cell.table}.{cell.column} from {before.value(cell)!r} "
                f"to {after.value(cell)!r}, which others had written since"
            )


def _staff_wrote(table: str, row: str, things: Things, view: View) -> bool:
    cells = (Cell(table, row, column) for column in view[table][row] if column != "image_count")
    return any(things.writer.get(cell, Writer("plan")).who == "staff" for cell in cells)
