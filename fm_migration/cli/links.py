"""What the link commands print: plans, undo, the rehearsal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fm_migration.clinic import repairing
from fm_migration.drill import Rehearsal, rehearse
from fm_migration.places import Places

_PLANS = text("""
select id, kind, made_at, hash, coalesce((counts ->> 'changes')::bigint,
       (select count(*) from fm_migration.change where plan_id = link_plan.id)) as changes,
       applied_at, undone_at, doubts
from fm_migration.link_plan order by id desc limit :most
""")


def print_plans(places: Places, console: Console, most: int) -> None:
    table = Table("plan", "kind", "made (UTC)", "changes", "applied (UTC)", "undone (UTC)", box=None)
    # Whole on any terminal: it is there to be copied.
    table.add_column("hash or doubts", overflow="fold")
    with places.engine.connect() as connection:
        for row in connection.execute(_PLANS, {"most": most}):
            times = [f"{at:%Y-%m-%d %H:%M:%S}" if at else "" for at in (row.made_at, row.applied_at, row.undone_at)]
            last = "; ".join(row.doubts) or row.hash
            table.add_row(str(row.id), row.kind, times[0], f"{row.changes:,}", times[1], times[2], last)
    console.print(table)


def undo(places: Places, console: Console, plan: int) -> None:
    done = repairing.undo(places.engine, places.store, plan)
    console.print(f"plan {done.plan}: {done.restored:,} rows are as they were before")
    if done.left:
        console.print(f"{len(done.left):,} rows were changed by somebody since, and left:")
        for row in done.left:
            console.print(f"  {row}", markup=False)


def drill(places: Places, console: Console) -> bool:
    """Play the rehearsal and print it; True when no photograph would be lost."""
    console.print("Copying ids and links into a scratch database, and re-importing every patient there ...")
    played = rehearse(places)
    _print_rehearsal(played, console)
    return played.well


def _print_rehearsal(played: Rehearsal, console: Console) -> None:
    table = Table("moment", "images visible", box=None)
    table.add_row("before the re-import", f"{played.visible_before:,}")
    table.add_row("after it, before the healing", f"{played.visible_between:,}")
    table.add_row("after the healing", f"{played.visible_after:,}")
    console.print(table)
    console.print(
        f"{played.patients:,} patients got new UUIDs; healed in {played.heal_seconds:.2f} s "
        f"(the copy took {played.copy_seconds:.2f} s), {played.links_relinked:,} other links led home, "
        f"{played.links_ambiguous:,} ambiguous."
    )
    for doubt in played.doubts:
        console.print(f"A person would have been asked: {doubt}.", style="yellow")
    if played.well:
        console.print("No photograph would be lost.", style="bold green")
    else:
        console.print(
            f"{played.lost:,} photographs would be lost, {played.on_another_record:,} would show on another record. "
            "Mostly these are patients who share a FileMaker id: fm_migration.ambiguous_identity shows them.",
            style="bold red",
        )
