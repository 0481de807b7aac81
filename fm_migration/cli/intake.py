"""`fm-migration intake`: photographs from FileMaker, with a bar that shows how far it is.

Belongs here: printing, and what a person says to a run that is under way. The work is `operations/intake.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fm_migration.cli.instance import open_instance, prepare_dagster_home
from fm_migration.intake.bringing import SOURCE, PhotographOutcome
from fm_migration.intake.wishes import Wishes
from fm_migration.ledger import transfers
from fm_migration.operations.intake import IntakeResult, look_ahead, run_intake
from fm_migration.places import Places

#: Of the originals that are here: those that are not here will hardly be of another kind.
_MEAN_BYTES = text("select avg(size) from fm_migration.s3_inventory where kind = 'original' and vanished is null")

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Said:
    """What a person says to the run that is under way, and to those after it."""

    pause: bool = False
    resume: bool = False
    pace: float | None = None


def bring(places: Places, console: Console, wishes: Wishes, again: Sequence[str], bar: Tell) -> None:
    """Bring photographs, and record it in Dagster as what happened to the asset."""
    lines = Console(stderr=True, highlight=False) if not console.is_terminal else None

    def on_progress(told: PhotographOutcome) -> None:
        bar("photographs", told.done, max(told.expected, told.done))
        if lines is not None:
            why = f" ({told.reason})" if told.reason else ""
            lines.print(f"recid {told.recid}: {told.container} {told.state}, {told.bytes:,} bytes{why}", markup=False)

    brought = run_intake(places, wishes, again=again, on_progress=on_progress)
    if not wishes.dry_run:
        _record(places, brought)
    show(console, brought)


def show(console: Console, brought: IntakeResult) -> None:
    """What has become of all photographs, and how it would go on."""
    from fm_migration.defs.assets.intake import summary

    table = Table("state", "reason", "photographs", "bytes", box=None, pad_edge=True)
    for one in brought.standing:
        table.add_row(one.state, one.reason, f"{one.photographs:,}", f"{one.bytes:,}")
    console.print(summary(brought), markup=False, soft_wrap=True)
    console.print(table)
    console.print(brought.forecast.words, markup=False, soft_wrap=True)


def say(places: Places, console: Console, said: Said) -> None:
    """Tell the run that is under way; it looks every few seconds."""
    with places.engine.begin() as connection:
        before = transfers.read_pace(connection, SOURCE)
        paused = said.pause or (before.paused and not said.resume)
        # 0 takes a pace back, so that the run's own configuration counts again.
        a_minute = before.a_minute if said.pace is None else said.pace or None
        transfers.set_pace(connection, SOURCE, transfers.Pace(a_minute, paused))
    pace = "as its configuration says" if a_minute is None else f"{a_minute:g} photographs a minute"
    console.print(f"the intake is {'paused' if paused else 'not paused'}; pace: {pace}", markup=False)


def show_status(places: Places, console: Console) -> None:
    """How far the intake has come, day by day."""
    with places.engine.connect() as connection:
        days = transfers.days(connection, SOURCE)
        standing = transfers.standing(connection, SOURCE)
        ahead = look_ahead(connection, places.settings)
    table = Table("day", "photographs", "requests", "MB of answers", "MB of containers", box=None, pad_edge=True)
    for one in days:
        megabytes = (f"{size / 1e6:,.1f}" for size in (one.json_bytes, one.container_bytes))
        table.add_row(one.day.isoformat(), f"{one.photographs:,}", f"{one.requests:,}", *megabytes)
    console.print(table)
    for state in standing:
        why = f" ({state.reason})" if state.reason else ""
        console.print(f"{state.state}{why}: {state.photographs:,}", markup=False)
    console.print(ahead.words, markup=False, soft_wrap=True)


def _record(places: Places, brought: IntakeResult) -> None:
    """The same in Dagster's catalogue as of a run there, so that the lineage and the figures go on."""
    import dagster as dg

    from fm_migration.defs.assets.intake import told_metadata
    from fm_migration.defs.catalogue import table_metadata

    prepare_dagster_home(places.settings)
    with places.engine.connect() as connection:
        metadata = told_metadata(brought, table_metadata(connection, "fm_migration.transfer"))
    with open_instance() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("filemaker_images", metadata=metadata))


def plan(places: Places, console: Console, given: Mapping[str, float | None]) -> None:
    """Compare the ways for what is left, by what our own tables know and by what a person says."""
    from fm_migration.intake import planning

    settings = places.settings
    with places.engine.connect() as connection:
        ahead = look_ahead(connection, settings)
        mean: float | None = connection.execute(_MEAN_BYTES).scalar()
    known: dict[str, Any] = {
        "photographs": ahead.left or None,
        "mean_bytes": float(mean) if mean else None,
        "every_six_hours": settings.filemaker_every_six_hours or None,
        "yearly_gb": settings.filemaker_yearly_gb,
        "used_gb": settings.filemaker_used_gb,
        "counts": settings.filemaker_counts,
        **{name: value for name, value in given.items() if value is not None},
    }
    assumed = planning.Assumptions(**{name: value for name, value in known.items() if value is not None})
    table = Table("way", "days", "GB", "GB that count", "requests", "risks", box=None, pad_edge=True)
    for way in planning.compare_ways(assumed):
        figures = (f"{way.days:,.1f}", f"{way.gigabytes:,.2f}", f"{way.counted_gigabytes:,.2f}", f"{way.requests:,}")
        table.add_row(way.name, *figures, way.risks)
    console.print(table)
    console.print("Assumed:", style="bold")
    for sentence in planning.assumptions_in_words(assumed):
        console.print(f"- {sentence}.", markup=False, soft_wrap=True)
    console.print(planning.advice(assumed), markup=False, soft_wrap=True)
