"""`fm-migration backfill`: thumbnails of months through the queue and the backfill policy of a running instance.

Belongs here: choosing the months, watching, and what is printed. The backfill itself is the daemon's work, whoever
watches; so Ctrl-C ends the watching alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from rich.console import Console

from fm_migration.cli.instance import open_instance, prepare_dagster_home
from fm_migration.cli.progress import progress_bar
from fm_migration.definitions import defs
from fm_migration.defs import backfills
from fm_migration.defs.backfills import Backfill
from fm_migration.defs.partitions import add_months
from fm_migration.errors import FmMigrationError
from fm_migration.images.recipe import Recipe
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration.thumbnails.months import months_meant
from fm_migration.thumbnails.thumbnailing import months as all_months
from fm_migration.thumbnails.thumbnailing import pending_by_month

#: How often the instance is looked at.
EVERY_SECONDS = 1.0
_START_ONE = "Start one: `fm-migration dev` on your own machine, `dagster-daemon run` on a server (docs/deploy.md)"


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    months: str | None = None
    everything: bool = False
    missing: bool = False
    watch: str | None = None
    cancel: str | None = None
    detach: bool = False


def run_backfill(asked: Asked, console: Console) -> int:
    """Do what was asked; the exit code."""
    _refuse_contradictions(asked)
    settings = load_settings()
    prepare_dagster_home(settings)
    places = find_places(settings)
    with open_instance() as instance:
        if asked.cancel:
            return _cancel(instance, asked.cancel, console)
        backfill = asked.watch or _launch(instance, places, asked, console)
        if backfill is None:
            return 0
        if asked.detach:
            console.print(f"Watch it with: fm-migration backfill --watch {backfill}")
            return 0
        try:
            return _watch(instance, places, backfill, console)
        except KeyboardInterrupt:
            console.print(
                f"\nThe backfill goes on. Watch it again: fm-migration backfill --watch {backfill}\n"
                f"Cancel it: fm-migration backfill --cancel {backfill}"
            )
            return 130


def _refuse_contradictions(asked: Asked) -> None:
    wishes = [asked.months is not None, asked.everything, asked.missing, bool(asked.watch), bool(asked.cancel)]
    if sum(wishes) != 1:
        raise FmMigrationError(
            "reading",
            "the options",
            f"{sum(wishes) or 'none'} of them say what to do",
            "Give one of --months, --all, --missing, --watch and --cancel",
        )


def _launch(instance: dg.DagsterInstance, places: Places, asked: Asked, console: Console) -> str | None:
    with places.engine.connect() as connection:
        known = all_months(connection)
    pending = _pending(places)
    if asked.months is not None:
        months = months_meant(asked.months, known)
    else:
        months = sorted(pending) if asked.missing else sorted(known)
    if not months:
        console.print("Every thumbnail is current." if asked.missing else "No photograph is linked yet.")
        return None
    _refuse_without_daemon(instance)
    add_months(instance, months)
    text = _range_of_months(months)
    backfill = backfills.launch(instance, defs(), months, f"Thumbnails of {text}")
    waiting = sum(pending.get(month, 0) for month in months)
    console.print(
        f"Backfill {backfill}: {text}, {waiting:,} photographs without a current thumbnail. "
        "The daemon takes it up within 30 seconds."
    )
    return backfill


def _refuse_without_daemon(instance: dg.DagsterInstance) -> None:
    if not backfills.daemon_runs(instance):
        seen = backfills.last_sign_of_life(instance)
        raise FmMigrationError(
            "launching a backfill on",
            instance.root_directory,
            "no Dagster daemon runs on it" + (f"; the last one was seen at {seen:%Y-%m-%d %H:%M} UTC" if seen else ""),
            f"{_START_ONE}. Without a daemon: dg launch --assets thumbnails --partition-range FIRST...LAST",
        )


def _cancel(instance: dg.DagsterInstance, backfill: str, console: Console) -> int:
    _look_up(instance, backfill)
    if not backfills.cancel(instance, backfill):
        console.print(f"Backfill {backfill} has ended already.")
        return 1
    console.print(
        f"Backfill {backfill} is being cancelled, with its runs. What they have made stays; "
        "`fm-migration backfill --missing` makes the rest."
    )
    return 0


def _watch(instance: dg.DagsterInstance, places: Places, backfill_id: str, console: Console) -> int:
    """Until the daemon has done with it. The bar counts photographs, which the daemon knows nothing of."""
    told = ""
    silent = False
    with progress_bar(console) as bar:
        backfill = _look_up(instance, backfill_id)
        total = _waiting(places, backfill.months)
        task = bar.add_task("thumbnails", total=total)
        while not backfill.ended:
            text = _describe(backfill)
            bar.update(task, completed=total - _waiting(places, backfill.months), description=text)
            if text != told and not console.is_terminal:
                console.print(text)
            told = text
            if not silent and not backfills.daemon_runs(instance):
                silent = True
                console.print(f"No daemon has shown a sign of life lately; the backfill waits for one. {_START_ONE}.")
            time.sleep(EVERY_SECONDS)
            backfill = _look_up(instance, backfill_id)
        bar.update(task, completed=total - _waiting(places, backfill.months), description=_describe(backfill))
    return _conclude(backfill, _waiting(places, backfill.months), console)


def _conclude(backfill: Backfill, waiting: int, console: Console) -> int:
    text = _describe(backfill)
    if backfill.well:
        rest = f"; {waiting:,} photographs still wait" if waiting else "; every thumbnail of these months is current"
        console.print(f"Done: {text}{rest}.")
        return 0
    console.print(f"{'Cancelled' if backfill.cancelled else 'Failed'}: {text}; {waiting:,} photographs still wait.")
    for run in backfill.failed_runs:
        console.print(f"  run {run} says what went wrong")
    console.print("What was made stays. Go on where it stopped: fm-migration backfill --missing")
    return 1


def _look_up(instance: dg.DagsterInstance, backfill_id: str) -> Backfill:
    found = backfills.look_up(instance, backfill_id)
    if found is None:
        raise FmMigrationError(
            "finding backfill", backfill_id, "there is none by this id", "The UI lists them, under Runs, Backfills"
        )
    return found


def _describe(backfill: Backfill) -> str:
    runs = ", ".join(f"{count} {status}" for status, count in sorted(backfill.runs.items()))
    return f"{_range_of_months(backfill.months)}; runs: {runs or 'none yet'}"


def _range_of_months(months: Sequence[str]) -> str:
    if not months:
        return "no months"
    return months[0] if len(months) == 1 else f"{len(months)} months, {months[0]} to {months[-1]}"


def _pending(places: Places) -> dict[str, int]:
    with places.engine.connect() as connection:
        found = pending_by_month(connection, Recipe().hash, places.settings.thumbnail_prefix)
    return {one.month: one.pending for one in found}


def _waiting(places: Places, months: Sequence[str]) -> int:
    pending = _pending(places)
    return sum(pending.get(month, 0) for month in months)
