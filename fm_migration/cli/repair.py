"""What the repair commands print: a plan by class, and what became of it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fm_migration.places import Places
from fm_migration.repairs import repairing


def plan(places: Places, console: Console, classes: list[str]) -> None:
    """Make a plan and print how many of the findings it would repair."""
    with places.engine.begin() as connection:
        made = repairing.plan_repair(connection, places.settings, classes)
    table = Table("class", "findings", "repaired", "left to a person", box=None)
    for name in classes:
        found, repaired = made.counts.get(f"findings/{name}", 0), made.counts.get(f"repaired/{name}", 0)
        table.add_row(name, f"{found:,}", f"{repaired:,}", f"{found - repaired:,}")
    console.print(table)
    if not made.changes:
        console.print("Nothing to repair.")
        return
    console.print(
        f"plan {made.id} has {made.changes:,} changes; each is a row of fm_migration.planned_change. Nothing was "
        f"changed yet: `fm-migration repair apply {made.id}` does it, `fm-migration undo {made.id}` takes it back."
    )


def apply(places: Places, console: Console, number: int) -> None:
    done = repairing.apply_repair(places.engine, places.store, number)
    console.print(f"plan {done.plan}: {done.applied:,} changes made, {done.already:,} were made before")
    if done.overtaken:
        console.print(f"{done.overtaken:,} rows are others than they were when the plan was made, and were left:")
        for row in done.overtaken_rows:
            console.print(f"  {row}", markup=False)
