"""`fm-migration demo`: the main job on the sample clinic, told as a story with figures.

Belongs here: the order of the scenes and what is printed. The work is done by Dagster runs on a real instance, whose
history `fm-migration dev` shows afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fm_migration.cli.instance import open_instance, prepare_dagster_home
from fm_migration.cli.jobs import run_job
from fm_migration.defs.partitions import MONTH
from fm_migration.errors import FmMigrationError
from fm_migration.linking import applying
from fm_migration.linking.states import PhotographState
from fm_migration.operations.doctor import examine
from fm_migration.places import Places, find_places
from fm_migration.report.classes import FindingClass
from fm_migration.settings import Settings, load_settings


def run_demo(console: Console) -> None:
    """Play every scene; an error ends the demonstration with its message."""
    settings = load_settings()
    _refuse_the_real_clinic(settings)
    with _scene(console, "The servers are started and the sample clinic is made"):
        places = find_places(settings)
        prepare_dagster_home(settings)
    with _scene(console, "The doctor looks at everything"):
        _examine(console)
    with open_instance() as instance:
        with _scene(console, "Dagster looks at the three sources"):
            _observe(console, instance)
        with _scene(console, "The photographs are imported (job import_photographs)"):
            _tell(console, run_job("import_photographs", instance), "patient_links", "link_plan", "image_batches")
            _show_states(console, places)
        with _scene(console, "Thumbnails are made (job make_thumbnails, all months in one run)"):
            months = instance.get_dynamic_partitions(MONTH)
            _tell(console, run_job("make_thumbnails", instance, partitions=months), "thumbnails")
        with _scene(console, "The clinic re-imports its patients: everybody gets a new UUID"):
            _reimport(settings)
            console.print(f"  {_visible(places):,} images are visible: whoever was re-imported sees an empty gallery")
        with _scene(console, "The links are healed (job heal_links, which the sensor would start by itself)"):
            result = run_job("heal_links", instance)
            _tell(console, result, "patient_map", "patient_links", "link_plan", "image_batches")
            console.print(f"  {_visible(places):,} images are visible again")
        with _scene(console, "The report tells what is left for a person to do (job report)"):
            _show_report(console, run_job("report", instance))
    console.print("\nEverything went well. `make dev` opens the Dagster UI on the same clinic.", style="bold green")


def _reimport(settings: Settings) -> None:
    from fm_migration.embedded.sample.reimport import play_reimport
    from fm_migration.embedded.stack import hold

    with psycopg.connect(hold(settings).database_url()) as connection:
        for _ in play_reimport(connection, seed=settings.sample_seed):
            pass


def _visible(places: Places) -> int:
    with places.engine.connect() as connection:
        return applying.visible_images(connection)


def _tell(console: Console, result: dg.ExecuteInProcessResult, *assets: str) -> None:
    """What each asset says of itself, in a line."""
    for asset in assets:
        # Of a run for several months, each month's event reports the whole run.
        event, *_ = result.asset_materializations_for_node(asset)
        console.print(f"  {asset}: {event.metadata['summary'].value}", soft_wrap=True)


def _show_states(console: Console, places: Places) -> None:
    table = Table("state", "photographs", "meaning", box=None, pad_edge=True)
    with places.engine.connect() as connection:
        for state, count in connection.execute(text("select * from fm_migration.state_count order by 2 desc")):
            table.add_row(state, f"{count:,}", PhotographState(state).meaning)
    console.print(table)


def _show_report(console: Console, result: dg.ExecuteInProcessResult) -> None:
    (event,) = result.asset_materializations_for_node("orphan_report")
    table = Table("finding", "number", "meaning", box=None, pad_edge=True)
    for name in FindingClass:
        count = event.metadata[f"finding/{name.value}"].value
        if count:
            table.add_row(name.value, f"{count:,}", name.meaning)
    console.print(table)
    console.print(f"  {event.metadata['summary'].value}", soft_wrap=True)
    console.print(f"  The page: {event.metadata['latest_page'].value}", soft_wrap=True, markup=False)


def _refuse_the_real_clinic(settings: Settings) -> None:
    if settings.database_url is not None or settings.objects_url is not None:
        raise FmMigrationError(
            "starting",
            "the demonstration",
            "FM_DATABASE_URL or FM_OBJECTS_URL is set, and it would play on the real clinic",
            "Unset both: the demonstration runs on the embedded sample clinic",
        )


@contextmanager
def _scene(console: Console, title: str) -> Iterator[None]:
    console.print(f"\n[bold]{title}[/]")
    started = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - started:.1f} s", style="dim")


def _examine(console: Console) -> None:
    for finding in examine():
        mark = "[green]✓[/]" if finding.well else "[red]✗[/]"
        console.print(f"  {mark} {finding.check}: ", end="")
        console.print(finding.said, markup=False, soft_wrap=True)
        if not finding.well:
            raise FmMigrationError("examining", finding.check, finding.said, finding.remedy)


def _observe(console: Console, instance: dg.DagsterInstance) -> None:
    result = run_job("observe_sources", instance)
    table = Table("source", "state", "what was seen", box=None, pad_edge=True)
    for event in result.filter_events(lambda event: event.is_asset_observation):
        observation = event.asset_observation_data.asset_observation
        version = (observation.tags or {}).get("dagster/data_version", "")
        seen = str(observation.metadata["summary"].value)
        table.add_row(observation.asset_key.to_user_string(), version[:24], seen)
    console.print(table)
