"""The desktop export: photographs and their metadata out of a folder that somebody has exported with FileMaker Pro.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg
from pydantic import Field

from fm_migration.defs.catalogue import OWNERS, column_lineage, problem_table, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.filemaker.desktop.states import Kind, State
from fm_migration.operations import desktop_export as operation
from fm_migration.operations.desktop_export import Brought
from fm_migration.sources.desktop import open_place

#: How often the run's log says how far it is.
LOG_SECONDS = 10.0
_FILEMAKER_LEFT = (State.CUT_OFF, State.MD5_DIFFERS, State.SWAPPED)


class DesktopExportConfig(dg.Config):
    """Configuration of desktop_export."""

    place: str = Field(
        default="", description="Another folder, or prefix of the bucket, than the one of FM_DESKTOP_EXPORT."
    )
    dry_run: bool = Field(default=False, description="Say what would be done, and change nothing.")
    read_all: bool = Field(
        default=False, description="Read every file again, also those that have not changed since they were brought."
    )
    workers: int = Field(default=operation.WORKERS, ge=1, le=64, description="How many files are brought at a time.")


@dg.asset(
    group_name="intake",
    owners=OWNERS,
    kinds={"s3", "postgres"},
    tags={"domain": "filemaker", **storage("postgres")},
    # Whatever brings originals does so alone.
    pool="filemaker",
    retry_policy=RETRY,
    description="What somebody has exported with FileMaker Pro, brought into the dump: each photograph of the folder "
    "or prefix of FM_DESKTOP_EXPORT that the dump lacks, by its checksum, with its metadata from the manifest or from "
    "its path. What does not fit is left where it is, with a reason. Without the setting it does nothing.",
    check_specs=[
        dg.AssetCheckSpec(
            "everything_was_taken",
            asset="desktop_export",
            description="Every photograph of the export is in the dump, or waits for the end of a copy. If not, the "
            "asset's metadata names each reason with its remedy; which files they are, only the table "
            "fm_migration.transfer says, as their paths hold patients' ids.",
        ),
        dg.AssetCheckSpec(
            "arrived_as_it_left",
            asset="desktop_export",
            description="Every file has the size and the MD5 that FileMaker itself knows of it, by the manifest. If "
            "not, copy those files again from where the export was made, or export them again.",
        ),
        dg.AssetCheckSpec(
            "days_are_certain",
            asset="desktop_export",
            description="Every date of a folder or of the manifest can be one day only. If not, set FM_DATE_ORDER.",
        ),
    ],
)
def desktop_export(
    context: dg.AssetExecutionContext,
    config: DesktopExportConfig,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
) -> Iterator[Any]:
    with readable_failures():
        place = config.place or settings.settings().desktop_export or ""
        brought = Brought() if not place else _bring(context, config, settings, database, objects, place)
        with database.engine().connect() as connection:
            table = table_metadata(connection, "fm_migration.source_row")
            version = operation.fingerprint(connection)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(version),
            metadata={
                "summary": _summary(brought, config) if place else "not in use: FM_DESKTOP_EXPORT is not set",
                **table,
                **figures(brought),
                "states": _states(brought),
                # What it is made from lies outside of the lineage: a folder.
                "dagster/column_lineage": column_lineage(),
            },
            check_results=list(_checks(brought)),
        )


def _bring(
    context: dg.AssetExecutionContext,
    config: DesktopExportConfig,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
    place: str,
) -> Brought:
    told = time.monotonic()

    def on_progress(done: int, of: int, brought: Brought) -> None:
        nonlocal told
        if time.monotonic() - told > LOG_SECONDS:
            told = time.monotonic()
            context.log.info("%s of %s photographs, %s brought", f"{done:,}", f"{of:,}", f"{brought.uploaded:,}")

    return operation.bring(
        database.engine(),
        objects.store(),
        open_place(settings.places(), place),
        settings.settings(),
        dry_run=config.dry_run,
        read_all=config.read_all,
        workers=config.workers,
        run_id=context.run.run_id,
        on_progress=on_progress,
    )


def figures(brought: Brought) -> dict[str, int | float]:
    """Every number of a pass, by the name that it has in the catalogue."""
    numbers = {name: value for name, value in asdict(brought).items() if isinstance(value, int | float)}
    return {**numbers, **{f"state/{state.value}": brought.states[state] for state in State}}


def _summary(brought: Brought, config: DesktopExportConfig) -> str:
    left, waiting = brought.of_kind(Kind.LEFT), brought.of_kind(Kind.WAITING)
    verb = "would be brought" if config.dry_run else "brought"
    trouble = f"; {left:,} left with a reason" if left else ""
    growing = f"; {waiting:,} still being written" if waiting else ""
    return f"{brought.files:,} files: {brought.uploaded:,} {verb}, {brought.present:,} there before{trouble}{growing}"


def _states(brought: Brought) -> dg.MarkdownMetadataValue:
    return problem_table(
        {
            state.value: (count, state.meaning, state.remedy)
            for state, count in brought.states.items()
            if state.remedy or state.kind is Kind.LEFT
        }
    )


def _checks(brought: Brought) -> Iterator[dg.AssetCheckResult]:
    left = {state.value: count for state, count in brought.states.items() if state.kind is Kind.LEFT}
    yield _result("everything_was_taken", passed=not left, **left)
    other = {state.value: brought.states[state] for state in _FILEMAKER_LEFT if brought.states[state]}
    yield _result("arrived_as_it_left", passed=not other, proven=brought.proven, **other)
    doubtful = brought.dates_assumed + brought.dates_uncertain
    yield _result(
        "days_are_certain", passed=not doubtful, assumed=brought.dates_assumed, uncertain=brought.dates_uncertain
    )


def _result(check: str, *, passed: bool, **facts: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, check_name=check, metadata=dict(facts), severity=dg.AssetCheckSeverity.WARN
    )
