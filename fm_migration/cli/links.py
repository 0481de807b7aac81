"""What the link commands print: plans, undo, the rehearsal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from rich.console import Console
from rich.table import Table

from fm_migration import plans
from fm_migration.errors import SettingsError
from fm_migration.ledger import schema
from fm_migration.linking import decisions, following
from fm_migration.operations import staging, undoing
from fm_migration.operations.drill import Rehearsal, rehearse
from fm_migration.places import Places


def print_plans(places: Places, console: Console, most: int) -> None:
    table = Table("plan", "kind", "made (UTC)", "changes", "applied (UTC)", "undone (UTC)", box=None)
    # Whole on any terminal: it is there to be copied.
    table.add_column("hash or doubts", overflow="fold")
    with places.engine.connect() as connection:
        for plan in plans.list_plans(connection, most):
            times = [f"{at:%Y-%m-%d %H:%M:%S}" if at else "" for at in (plan.made_at, plan.applied_at, plan.undone_at)]
            table.add_row(str(plan.id), _kind(plan), times[0], f"{plan.changes:,}", times[1], times[2], _remark(plan))
    console.print(table)


def _kind(plan: plans.Listed) -> str:
    return plan.kind if plan.undoes is None else f"{plan.kind} of {plan.undoes}"


def _remark(plan: plans.Listed) -> str:
    """What a person has to copy, or has to know."""
    if plan.pruned_at:
        return f"changes dropped {plan.pruned_at:%Y-%m-%d}: cannot be undone any more"
    return "; ".join(plan.doubts) or plan.hash


def undo(places: Places, console: Console, plan: int) -> None:
    done = undoing.undo(places.engine, places.store, plan)
    by = f"; plan {done.by} is the undo" if done.by else ""
    console.print(f"plan {done.plan}: {done.restored:,} rows are as they were before{by}")
    if done.left:
        console.print(f"{len(done.left):,} rows were changed by somebody since, and left:")
        for row in done.left:
            console.print(f"  {row}", markup=False)


def follow(places: Places, console: Console) -> None:
    """Read the patients and let every link follow them."""
    with places.engine.begin() as connection:
        schema.require_current(connection)
        staging.stage_patients(connection)
    with places.engine.begin() as connection:
        update = following.follow(connection, named=places.settings.link_columns)
    console.print(f"{update.followed:,} links have followed their patients")
    for problem in update.problems:
        console.print(problem, style="yellow", markup=False)


def settle(places: Places, console: Console, former: UUID, patient: UUID) -> None:
    with places.engine.begin() as connection:
        done = decisions.settle(connection, former, patient)
    console.print(
        f"plan {done.plan}: {former} is {patient} from now on. {done.applied - 1:,} links have followed; "
        f"`fm-migration undo {done.plan}` takes it back."
    )


def restore(places: Places, console: Console, recids: Sequence[str]) -> None:
    with places.engine.begin() as connection:
        staging.stage_patients(connection)
    with places.engine.begin() as connection:
        plan = decisions.plan_restoring(connection, places.settings, recids)
        plans.apply(connection, plan.id, approve=plan.hash)
    console.print(
        f"plan {plan.id}: {plan.counts['images_created']:,} photographs are in the app again; "
        f"`fm-migration undo {plan.id}` takes it back."
    )


def prune(places: Places, console: Console, older_than: str | None) -> None:
    age = timedelta(days=places.settings.journal_days) if older_than is None else _age(older_than)
    with places.engine.begin() as connection:
        schema.require_current(connection)
        done = plans.prune(connection, age)
    console.print(
        f"{done.superseded:,} plans that were never applied, and the changes of {done.past:,} that were applied more "
        f"than {age.days} days ago: {done.changes:,} changes dropped"
    )


def _age(written: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5})d", written.strip())
    if found is None or int(found[1]) == 0:
        raise SettingsError("reading", f"--older-than {written}", "it is not a number of days", "Write it as 365d")
    return timedelta(days=int(found[1]))


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
        f"(the copy took {played.copy_seconds:.2f} s), {played.links_followed:,} other links led home, "
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
