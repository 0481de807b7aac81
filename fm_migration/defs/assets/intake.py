"""Intake: photographs and their rows, brought from FileMaker itself.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from fm_migration.defs.catalogue import OWNERS, column_lineage, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.intake.bringing import PhotographOutcome
from fm_migration.intake.wishes import QuietHours, Wishes
from fm_migration.ledger.transfers import Standing
from fm_migration.operations.intake import IntakeResult, nothing_brought, run_intake

GROUP = "intake"


class IntakeConfig(dg.Config):
    """Configuration of filemaker_images."""

    limit: int | None = Field(default=None, ge=1, description="At most so many in this run. Empty: all that are left.")
    batch_size: int = Field(
        default=100, ge=1, le=1000, description="How many records are read at a time; their photographs follow at once."
    )
    pace: int | None = Field(
        default=None,
        ge=1,
        description="Photographs a minute at most. `fm-migration intake --pace` changes it while the run is under way. "
        "Empty: one after the other, without a pause.",
    )
    quiet_hours: str = Field(
        default="",
        description="Hours of the clinic's day in which FileMaker is left alone, such as 7:30-19:00: the run ends when "
        "they begin.",
    )
    daily_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Bytes a day at most, as FM_FILEMAKER_COUNTS counts them. Reached, the run ends well.",
    )
    dry_run: bool = Field(
        default=False, description="Only read the records and count what would be fetched; nothing is written."
    )
    again: list[str] = Field(
        default=[],
        description="Recids of quarantined photographs to be tried again, or `all` for every one of them.",
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"s3", "postgres"},
    tags={"domain": "filemaker", **storage("s3")},
    pool="filemaker",
    retry_policy=RETRY,
    description="Photographs and their rows from FileMaker's Data API, brought into the dump's prefix as "
    "`<recid>.<ext>`: each proven by length, type, header, end and the source's own MD5, one after the other. What is "
    "here is never fetched again; a run that was stopped goes on behind the last photograph. What became of each "
    "stands in fm_migration.transfer. A limit that is reached ends the run well.",
    check_specs=[
        dg.AssetCheckSpec(
            "every_record_was_met",
            asset="filemaker_images",
            description="As many records were read as FileMaker says to have. If not, records were added or numbered "
            "anew meanwhile: run again, and see that recid is a number in every record.",
        ),
        dg.AssetCheckSpec(
            "nothing_is_quarantined",
            asset="filemaker_images",
            description="Every photograph could be brought. If not, its container is empty or broken in FileMaker: "
            "fm_migration.transfer names record and reason. Put the picture in again there, and it is fetched.",
        ),
        dg.AssetCheckSpec(
            "best_pictures_arrived",
            asset="filemaker_images",
            description="Of every photograph the best container arrived. If not, a better one is broken for ever and a "
            "smaller picture was taken: fm_migration.transfer has smaller_by above 0 there.",
        ),
        dg.AssetCheckSpec(
            "recids_are_record_numbers",
            asset="filemaker_images",
            description="The field recid is FileMaker's own number of the record, by which the dump was named. If "
            "not, an object of the dump may be another record's: compare the two before linking.",
        ),
    ],
)
def filemaker_images(
    context: dg.AssetExecutionContext,
    config: IntakeConfig,
    settings: SettingsResource,
    database: DatabaseResource,
) -> Iterator[Any]:
    with readable_failures():
        wishes = Wishes(
            config.limit,
            config.batch_size,
            config.pace,
            QuietHours.parse(config.quiet_hours),
            config.daily_bytes,
            config.dry_run,
        )
        if settings.settings().filemaker_url is None:
            # "Materialize all" must not fail at a source that a clinic does not use.
            brought = nothing_brought()
        else:
            brought = run_intake(
                settings.places(), wishes, again=config.again, run_id=context.run.run_id, on_progress=_into_the_output()
            )
        with database.engine().connect() as connection:
            table = table_metadata(connection, "fm_migration.transfer")
        yield dg.MaterializeResult(metadata=told_metadata(brought, table), check_results=list(_checks(brought)))


def told_metadata(brought: IntakeResult, table: dict[str, Any]) -> dict[str, Any]:
    """What a run says of itself, one that a person has started at a terminal too."""
    # Imported here: it brings Pillow, and every run and code server imports this module.
    from fm_migration.report.charts import progress_picture

    return {
        "summary": summary(brought),
        **table,
        **_figures(brought),
        "ended": brought.outcome.ending.words,
        "forecast": brought.forecast.words,
        "progress": dg.MetadataValue.md(progress_picture(brought.forecast.words, brought.forecast.points)),
        "standing": _standing_table(brought.standing),
        "dagster/column_lineage": column_lineage(),
    }


def _into_the_output() -> Callable[[PhotographOutcome], None]:
    """A line for each photograph into the run's output: an event for each would fill Dagster's database."""

    def on_progress(told: PhotographOutcome) -> None:
        what = f"{told.container}, {told.bytes:,} bytes" if told.state == "arrived" else told.state
        why = f" ({told.reason})" if told.reason else ""
        # Numbers and names of fields only: the output of runs is kept.
        print(f"recid {told.recid}: {what}{why} [{told.done} of {told.expected}]", file=sys.stderr)  # noqa: T201

    return on_progress


def summary(brought: IntakeResult) -> str:
    """A run in a sentence."""
    done = brought.outcome
    if done.would_fetch:
        return f"{done.would_fetch:,} photographs would be fetched; {done.ending.words}"
    trouble = f", {done.quarantined:,} quarantined" if done.quarantined else ""
    return f"{done.arrived:,} photographs of {done.bytes:,} bytes arrived{trouble}; {done.ending.words}"


def _figures(brought: IntakeResult) -> dict[str, int]:
    by_state = dict.fromkeys(("waiting", "arrived", "present", "quarantined"), 0)
    for one in brought.standing:
        by_state[one.state] += one.photographs
    figures = brought.outcome.figures()
    return {
        **figures,
        "unseen": brought.outcome.unseen or 0,
        "left": brought.forecast.left,
        "left_bytes": brought.forecast.left_bytes,
        **{f"state/{state}": count for state, count in by_state.items()},
    }


def _standing_table(standing: list[Standing]) -> dg.MarkdownMetadataValue:
    lines = ["| state | reason | photographs | bytes | smaller pictures |", "|---|---|---:|---:|---:|"]
    lines += [
        f"| {one.state} | {one.reason} | {one.photographs:,} | {one.bytes:,} | {one.smaller:,} |" for one in standing
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _checks(brought: IntakeResult) -> Iterator[dg.AssetCheckResult]:
    done = brought.outcome
    quarantined = sum(one.photographs for one in brought.standing if one.state == "quarantined")
    smaller = sum(one.smaller for one in brought.standing)
    yield _result("every_record_was_met", passed=not done.unseen, unseen=done.unseen or 0)
    yield _result("nothing_is_quarantined", passed=quarantined == 0, quarantined=quarantined)
    yield _result("best_pictures_arrived", passed=smaller == 0, smaller=smaller)
    yield _result("recids_are_record_numbers", passed=done.recid_differs == 0, differ=done.recid_differs)


def _result(name: str, *, passed: bool, **counts: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, check_name=name, severity=dg.AssetCheckSeverity.WARN, metadata=dict(counts)
    )
