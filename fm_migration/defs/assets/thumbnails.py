"""Thumbnails: a current one for every linked photograph, month by month.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field
from sqlalchemy import Connection

from fm_migration.defs.catalogue import OWNERS, column_lineage, problem_table, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.partitions import month_partitions
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.images.recipe import Recipe
from fm_migration.settings import settings as read_settings
from fm_migration.thumbnails import thumbnailing
from fm_migration.thumbnails.making import MakingReport, make_thumbnails
from fm_migration.thumbnails.progress import format_duration
from fm_migration.thumbnails.thumbnailing import Choice, ThumbnailState, ThumbnailSurvey

GROUP = "clinic"
#: Runs that make thumbnails can be told, counted and limited by this tag.
MAKES_THUMBNAILS = {"fm/makes": "thumbnails"}


class ThumbnailsConfig(dg.Config):
    """Configuration of thumbnails. By default: of every photograph whose thumbnail is not current."""

    only_missing: bool = Field(
        default=False,
        description="Only of photographs that show no thumbnail at all, not of those whose thumbnail is out of date.",
    )
    force: bool = Field(
        default=False,
        description="Of every photograph, also where the thumbnail is current, or has failed and nothing has changed.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="At most so many in this run, to start small. Empty: all of them."
    )
    contact_sheet: bool = Field(
        default=False,
        description="Also write a page with the thumbnails of this run into the folder contact-sheets of FM_HOME, on "
        "the machine where the run is. It shows patients' photographs: look at it there, and delete it.",
    )


def _backfill_policy() -> dg.BackfillPolicy:
    if read_settings().thumbnail_backfill == "single":
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


@dg.asset(
    deps=["image_batches", "s3_inventory"],
    partitions_def=month_partitions,
    backfill_policy=_backfill_policy(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"s3", "postgres", "django"},
    tags={"domain": "clinic", **storage("s3")},
    op_tags=MAKES_THUMBNAILS,
    pool="thumbnails",
    retry_policy=RETRY,
    description="A current thumbnail for every linked photograph of a month, right side up, and its key, its size, the "
    "picture's width, height and type in the app's row; journalled, and undoable by its plan. Idempotent: what is "
    "current is left alone, what failed is tried again when its object changes, a run that was stopped goes on where "
    "it was. A faithful thumbnail of the clinic's own is adopted. What became of each stands in "
    "fm_migration.thumbnail.",
    check_specs=[
        dg.AssetCheckSpec(
            "thumbnails_are_complete",
            asset="thumbnails",
            description="No linked photograph of any month waits for a thumbnail. If not, the "
            "sensor `pending_thumbnails` makes them, or a backfill of the months that the metadata counts.",
        ),
        dg.AssetCheckSpec(
            "originals_are_readable",
            asset="thumbnails",
            description="Every original could be read in full. If not, fm_migration.thumbnail says of each why not; "
            "dump those photographs from FileMaker again.",
        ),
        dg.AssetCheckSpec(
            "no_side_is_mirrored",
            asset="thumbnails",
            description="No photograph whose Type names a side is stored as a mirror image. If not, its thumbnail is "
            "right, but software that ignores the EXIF orientation shows a left foot as a right one: tell those who "
            "download originals.",
        ),
    ],
)
def thumbnails(
    context: dg.AssetExecutionContext,
    config: ThumbnailsConfig,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
) -> Iterator[Any]:
    values = settings.settings()
    months = list(context.partition_keys)
    sheet = values.home / "contact-sheets" / f"{context.run.run_id}.html" if config.contact_sheet else None
    with readable_failures():
        report = make_thumbnails(
            database.engine(),
            objects.store(),
            values,
            months,
            Choice(config.only_missing, config.force, config.limit),
            run_id=context.run.run_id,
            on_progress=lambda progress: context.log.info(progress.message),
            contact_sheet=sheet,
        )
        context.log.info("%s", summary(report))
        made_how = Recipe().hash, values.thumbnail_prefix
        with database.engine().connect() as connection:
            here = thumbnailing.survey(connection, *made_how, months)
            everywhere = thumbnailing.survey(connection, *made_how)
            waiting = {one.month: one.pending for one in thumbnailing.pending_by_month(connection, *made_how)}
            others = thumbnailing.others_without(connection)
            table = table_metadata(connection, "fm_migration.thumbnail")
            _tell_of_each_month(context, connection, made_how, months)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(here.version),
            metadata={
                "summary": summary(report),
                **table,
                "months": len(months),
                **_figures(here),
                "states": _state_table(here),
                **_costs(report),
                "other_images_without": others,
                "dagster/column_lineage": column_lineage(
                    s3_inventory={"source_key": ("key",), "source_etag": ("etag",)},
                    # The app's rows, which that asset looks after as well as their batches.
                    image_batches={"clinic_image": ("id",)},
                ),
            },
            check_results=_check_results(everywhere, waiting),
        )


def summary(report: MakingReport) -> str:
    """What a run has done, in a sentence."""
    if not report.done:
        return "nothing to do: every thumbnail is current"
    parts = ", ".join(f"{count:,} {state.value}" for state, count in sorted(report.states.items()) if count)
    return (
        f"{report.done:,} photographs in {format_duration(report.seconds)} ({report.rate:.1f} a second): {parts}; "
        f"{report.rows:,} rows of the app changed"
    )


def _figures(survey: ThumbnailSurvey) -> dict[str, Any]:
    return {
        "photographs": survey.images,
        "pending": survey.pending,
        "without_thumbnail": survey.without,
        "replaced_by_others": survey.replaced_by_others,
        "mirrored_side": survey.mirrored_side,
        **{f"state/{state.value}": count for state, count in survey.states.items()},
    }


def _costs(report: MakingReport) -> dict[str, Any]:
    return {
        "made": report.done,
        "rows_changed": report.rows,
        "rate": round(report.rate, 2),
        "seconds": round(report.seconds, 2),
        "bytes_read": report.bytes_read,
        "bytes_written": report.bytes_written,
        "workers_replaced": report.workers_replaced,
        **({"plan": report.plan} if report.plan else {}),
    }


def _state_table(survey: ThumbnailSurvey) -> dg.MarkdownMetadataValue:
    return problem_table(
        {state.value: (count, state.meaning, state.remedy) for state, count in survey.states.items() if count}
    )


def _tell_of_each_month(
    context: dg.AssetExecutionContext, connection: Connection, made_how: tuple[str, str], months: list[str]
) -> None:
    """In a run of several months, each month's own figures beside those of the run."""
    for month in months:
        survey = thumbnailing.survey(connection, *made_how, [month])
        context.add_asset_metadata(
            {"month": month, "dagster/partition_row_count": survey.images, "month_pending": survey.pending},
            partition_key=month,
        )


def _check_results(survey: ThumbnailSurvey, waiting: dict[str, int]) -> list[dg.AssetCheckResult]:
    bad = {
        state.value: survey.states[state]
        for state in (ThumbnailState.PARTIAL, ThumbnailState.UNREADABLE, ThumbnailState.UNAVAILABLE)
    }
    return [
        dg.AssetCheckResult(
            check_name="thumbnails_are_complete",
            passed=survey.pending == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"pending": survey.pending, "by_month": waiting},
        ),
        dg.AssetCheckResult(
            check_name="originals_are_readable",
            passed=not any(bad.values()),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={**bad, "not_an_image": survey.states[ThumbnailState.NOT_AN_IMAGE]},
        ),
        dg.AssetCheckResult(
            check_name="no_side_is_mirrored",
            passed=survey.mirrored_side == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"mirrored_side": survey.mirrored_side},
        ),
    ]
