"""`fm-migration demo`: the main job on the sample clinic, told as a story with figures.

Belongs here: the order of the scenes and what is printed. The work is done by Dagster runs on a real instance, whose
history `fm-migration dev` shows afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from fm_migration.cli.instance import open_instance, prepare_dagster_home
from fm_migration.definitions import defs
from fm_migration.doctor import examine
from fm_migration.errors import FmMigrationError
from fm_migration.places import find_places
from fm_migration.settings import Settings, load_settings


def run_demo(console: Console) -> None:
    """Play every scene; an error ends the demonstration with its message."""
    settings = load_settings()
    _refuse_the_real_clinic(settings)
    with _scene(console, "The servers are started and the sample clinic is made"):
        find_places(settings)
        prepare_dagster_home(settings)
    with _scene(console, "The doctor looks at everything"):
        _examine(console)
    with _scene(console, "Dagster looks at the three sources"), open_instance() as instance:
        _observe(console, instance)
    console.print("\nEverything went well. `make dev` opens the Dagster UI on the same clinic.", style="bold green")


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
        facts = ", ".join(f"{name} {_shown(entry)}" for name, entry in observation.metadata.items())
        version = (observation.tags or {}).get("dagster/data_version", "")
        table.add_row(observation.asset_key.to_user_string(), version[:24], facts)
    console.print(table)


def _shown(entry: dg.MetadataValue[Any]) -> str:
    value = entry.value
    return f"{value:,}" if isinstance(value, int) else str(value)


def run_job(
    name: str, instance: dg.DagsterInstance, run_config: Mapping[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    """Run one of our jobs in this process, recorded in the instance like any other run; only errors are printed."""
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    return (
        defs().resolve_job_def(name).execute_in_process(instance=instance, run_config={**(run_config or {}), **quiet})
    )
