"""Assurance: what is not as it should be between export, bucket and app, and whether it all adds up.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from fm_migration.defs.automation import when_inputs_are_made
from fm_migration.defs.catalogue import OWNERS, column_lineage, problem_table, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.linking.states import PhotographState
from fm_migration.report.classes import FindingClass
from fm_migration.report.findings import Report, make_report, one_moment

GROUP = "assurance"
#: The nightly report may fail once before the UI warns, and twice before it calls the report out of date.
WARN_AFTER, OUT_OF_DATE_AFTER = timedelta(hours=30), timedelta(hours=54)

#: States of rows whose photograph is ours to show: when one of them does not, the fault is on our side.
_OURS = (PhotographState.LINKED, PhotographState.PLACED_BY_STAFF)


class OrphanReportConfig(dg.Config):
    """Configuration of orphan_report."""

    accept: list[str] = Field(
        default=[],
        description="Classes of findings to list however many there are, such as thumbnail_missing. Without it, a "
        "class that would hold an implausible share is counted only: the fault is probably ours.",
    )


LINEAGE = column_lineage(
    csv_metadata={"subject": ("recid",), "evidence": ("row_number", "recid")},
    s3_inventory={"subject": ("key",), "evidence": ("key", "size")},
    patient_map={"subject": ("patient_id",), "evidence": ("filemaker_id", "patient_id")},
    image_batches={"subject": ("id",), "evidence": ("id", "object_id", "image_count")},
    thumbnails={"subject": ("key",), "evidence": ("key", "state")},
)


@dg.asset(
    # On every month of the thumbnails, which is Dagster's own reading for an asset without partitions. The condition
    # leaves the months out: a backfill of ten years would else request a report for each.
    deps=["csv_metadata", "s3_inventory", "patient_map", "image_batches", "patient_links", "thumbnails"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "assurance", **storage("postgres")},
    pool="database",
    retry_policy=RETRY,
    automation_condition=when_inputs_are_made(months=dg.AssetSelection.assets("thumbnails")),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=OUT_OF_DATE_AFTER, warn_window=WARN_AFTER),
    description="What is not as it should be between export, bucket and app: one row of fm_migration.finding per "
    "subject and class, with first and last seen, evidence by our own ids, and what to do. Computed from the newest "
    "readings and one moment of the app's tables; what is younger than a reading that would have to know it is too new "
    "to judge, and readings that cannot be right together give no report. It is never an authority to delete anything.",
    check_specs=[
        dg.AssetCheckSpec(
            "no_batch_dangles",
            asset="orphan_report",
            description="Every batch that holds images belongs to a patient who exists. If not, its photographs show "
            "nowhere: start heal_links, and if it says that it can do nothing, look at them in the report.",
        ),
        dg.AssetCheckSpec(
            "no_readable_photograph_is_invisible",
            asset="orphan_report",
            description="Every original that could be shown is on some patient's page. The metadata counts the others "
            "by the state of their row; a warning as long as it is the row, the file or the patient that is in doubt. "
            "If not, `fm-migration explain` says of each where it is stuck.",
        ),
        dg.AssetCheckSpec(
            "counts_reconcile",
            asset="orphan_report",
            description="The rows that were read are the sum of their states, and the objects and bytes of the bucket "
            "the sum of their kinds. If not, this is a fault of fm_migration: tell its maintainers these counts.",
        ),
        dg.AssetCheckSpec(
            "thumbnails_are_complete",
            asset="orphan_report",
            description="No linked photograph is without a current thumbnail, unless its file has no picture. If not, "
            "the sensor `pending_thumbnails` makes them, or a backfill of `thumbnails` over all months.",
        ),
        dg.AssetCheckSpec(
            "nothing_is_new",
            asset="orphan_report",
            description="There is no finding that the last report did not have. If not, the metadata counts them by "
            "class: look at those in the page. The first report has nothing to compare with.",
        ),
    ],
)
def orphan_report(
    context: dg.AssetExecutionContext,
    config: OrphanReportConfig,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
) -> Iterator[Any]:
    with readable_failures():
        with one_moment(database.engine()) as connection:
            report = make_report(connection, settings.settings(), context.run.run_id, config.accept)
            table = table_metadata(connection, "fm_migration.finding")
        context.log.info("report %s: %s", report.id, report.verdict)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(report.data_version),
            metadata={
                "summary": report.verdict,
                # Before the figures, of which there are many: whoever reads the sentence wants the page next.
                **_publish(settings, database, objects),
                **_figures(report),
                **table,
                "dagster/column_lineage": LINEAGE,
            },
            check_results=_check_results(report),
        )


def _publish(settings: SettingsResource, database: DatabaseResource, objects: ObjectStoreResource) -> dict[str, Any]:
    """Write page and files, and say where they lie; the charts come along as pictures of counts."""
    # Imported here, because they bring pyarrow and a renderer, which no other part of the code location needs.
    from fm_migration.report import charts, files

    values = settings.settings()
    with database.engine().begin() as connection:
        published = files.publish(connection, values, objects.store())
    pictures = charts.metadata_pictures(published.data, values.zone)
    return {
        "page": dg.MetadataValue.path(published.page),
        "latest_page": dg.MetadataValue.path(published.latest),
        "csv": dg.MetadataValue.path(published.csv),
        "parquet": dg.MetadataValue.path(published.parquet),
        **{name: dg.MetadataValue.md(picture) for name, picture in pictures.items()},
    }


def _figures(report: Report) -> dict[str, Any]:
    """Counts under names that stay the same from report to report, so that the UI can draw them."""
    totals = report.totals
    return {
        "classes": _class_table(report),
        "waterfall": _waterfall_table(report),
        "withheld": {name.value: one.message for name, one in report.withheld.items()},
        "report": report.id,
        "findings": sum(report.counts.values()),
        "new": sum(report.new.values()),
        "waived": sum(report.waived.values()),
        "photographs_visible": totals["waterfall"][-1][1],
        **{name: totals[name] for name in ("images", "images_visible")},
        **{name: totals[name] for name in ("rows", "objects", "bytes", "patients", "patients_with_photographs")},
        **{f"finding/{name.value}": report.counts.get(name, 0) for name in FindingClass},
    }


def _class_table(report: Report) -> dg.MarkdownMetadataValue:
    return problem_table({name.value: (count, name.meaning, name.remedy) for name, count in report.counts.items()})


def _waterfall_table(report: Report) -> dg.MarkdownMetadataValue:
    # A short heading: the UI gives the table the width of a column, and what is too wide is cut off.
    lines = ["| from rows of the export | |", "|---|---:|"]
    lines += [f"| {label} | {number:,} |" for label, number in report.totals["waterfall"]]
    return dg.MetadataValue.md("\n".join(lines))


def _check_results(report: Report) -> list[dg.AssetCheckResult]:
    totals, hidden = report.totals, report.totals["hidden"]
    dangling = report.counts.get(FindingClass.BATCH_WITHOUT_PATIENT, 0)
    of_ours = sum(hidden.get(state, 0) for state in _OURS)
    pairs = {
        "rows": (report.rows_read, sum(totals["states"].values())),
        "objects": (totals["objects"], sum(totals["objects_by_kind"].values())),
        "bytes": (report.bytes_listed, sum(totals["bytes_by_kind"].values())),
    }
    thumbnails = {
        name.value: report.counts.get(name, 0) + (report.withheld[name].count if name in report.withheld else 0)
        for name in (FindingClass.THUMBNAIL_MISSING, FindingClass.THUMBNAIL_STALE)
    }
    return [
        _result("no_batch_dangles", dangling == 0, {"batches": dangling}),
        _result(
            "no_readable_photograph_is_invisible",
            not hidden,
            {**hidden, "originals": sum(hidden.values())},
            warns=of_ours == 0,
        ),
        _result(
            "counts_reconcile",
            all(read == counted for read, counted in pairs.values()),
            {f"{name} {what}": pair[at] for name, pair in pairs.items() for at, what in enumerate(("read", "sum"))},
        ),
        _result("thumbnails_are_complete", not any(thumbnails.values()), thumbnails, warns=True),
        _result(
            "nothing_is_new",
            not report.new,
            {name.value: count for name, count in report.new.items()},
            warns=True,
        ),
    ]


def _result(name: str, passed: bool, metadata: dict[str, int], *, warns: bool = False) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=severity, metadata=metadata)
