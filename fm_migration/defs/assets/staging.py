"""Staging: the export, the bucket and the patients, read into our own schema without losing or inventing anything.

Each of the three has a blocking check that fails before anything was written: a run stops there, and what was read
last stays in place.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg
from pydantic import Field

from fm_migration.defs.catalogue import OWNERS, column_lineage, problem_table, same, storage, table_metadata
from fm_migration.defs.failures import as_failure, readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.errors import ImplausibleInputError
from fm_migration.filemaker.problems import Problem
from fm_migration.ledger.csv_metadata import CsvUpdate
from fm_migration.ledger.identity import IdentityUpdate
from fm_migration.ledger.inventory import InventoryUpdate
from fm_migration.operations import staging

GROUP = "staging"

#: By how much the share of Types that only `other` fits may grow before somebody should look at the table of types.
TOLERATED_OTHER = 0.03


class CsvMetadataConfig(dg.Config):
    """Configuration of csv_metadata."""

    accept_fewer: bool = Field(
        default=False,
        description="Take an export that is empty or more than a tenth smaller than the last one. "
        "Only when the rows were really removed in FileMaker.",
    )


class InventoryConfig(dg.Config):
    """Configuration of s3_inventory."""

    accept_fewer: bool = Field(
        default=False,
        description="Take a listing with far fewer originals than the last one. Only when they were really removed.",
    )
    only_new: bool = Field(
        default=False,
        description="Look up what the queue of FM_OBJECT_EVENTS has reported, instead of listing the whole bucket.",
    )


CSV_LINEAGE = column_lineage(
    filemaker_export={
        "recid": ("recid",),
        "image_id": ("id",),
        "contact": ("id_Contact",),
        "contact_text": ("id_Contact",),
        "taken_on": ("date",),
        "date_text": ("date",),
        "file_name": ("fileNane", "Name of file"),
        "type_text": ("Type",),
        "category": ("Type",),
        "nexus_export_date": ("NexusExportDate",),
    },
    desktop_export={
        "recid": ("recid",),
        "image_id": ("image_id",),
        "contact": ("contact",),
        "contact_text": ("contact",),
        "taken_on": ("date",),
        "date_text": ("date",),
        "file_name": ("file_name",),
        "type_text": ("type",),
        "category": ("type",),
    },
)


@dg.asset(
    deps=["filemaker_export", "desktop_export", "filemaker_images"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"csv", "postgres"},
    tags={"domain": "filemaker", **storage("postgres")},
    pool="filemaker",
    retry_policy=RETRY,
    description="One row per row of FileMaker's export, normalised, with its problems. Says of each photograph which "
    "patient it belongs to, when it was taken and what it shows. No row is ever dropped: what is wrong with it stands "
    "in its column `problems`.",
    check_specs=[
        dg.AssetCheckSpec(
            "export_is_plausible",
            asset="csv_metadata",
            blocking=True,
            description="The export has rows, and not over a tenth fewer than the last one. If it fails, the former "
            "rows are still in place: export all records again, or run with `accept_fewer: true`.",
        ),
        dg.AssetCheckSpec(
            "rows_are_sound",
            asset="csv_metadata",
            description="No row has a problem that keeps its photograph from being linked, such as a recid that "
            "stands in the export twice. If not, the asset's metadata names each problem with its remedy.",
        ),
        dg.AssetCheckSpec(
            "dates_are_certain",
            asset="csv_metadata",
            description="The order of day and month was proven by the column or set. If not, set FM_DATE_ORDER.",
        ),
        dg.AssetCheckSpec(
            "types_are_known",
            asset="csv_metadata",
            description="At most 3 % of the rows have a Type that only the category `other` fits. If more do, add "
            "their words to a table of your own, FM_EXPORT_TYPES.",
        ),
    ],
)
def csv_metadata(
    context: dg.AssetExecutionContext,
    config: CsvMetadataConfig,
    settings: SettingsResource,
    database: DatabaseResource,
) -> Iterator[Any]:
    with readable_failures():
        try:
            with database.engine().begin() as connection:
                update = staging.stage_export(
                    connection, settings.places(), accept_fewer=config.accept_fewer, run_id=context.run.run_id
                )
                table = table_metadata(connection, "fm_migration.csv_metadata")
        except ImplausibleInputError as error:
            yield _refusal("export_is_plausible", error)
            raise as_failure(error) from None
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(update.data_version),
            metadata={
                "summary": _csv_summary(update),
                **table,
                **_csv_facts(update),
                "dagster/column_lineage": CSV_LINEAGE,
            },
            check_results=list(_csv_checks(update)),
        )


def _csv_summary(update: CsvUpdate) -> str:
    """An export in a sentence: what was read, what is new, what a person should look at."""
    blocking = sum(count for name, count in update.problems.items() if Problem(name).blocks_linking)
    before = "" if update.former_rows is None else f" ({update.former_rows:,} last time)"
    trouble = f"{blocking:,} problems keep a photograph from being linked" if blocking else "every row can be linked"
    return f"{update.rows:,} rows read{before}; {trouble}"


def _csv_facts(update: CsvUpdate) -> dict[str, Any]:
    problems = {name: (count, Problem(name).meaning, Problem(name).remedy) for name, count in update.problems.items()}
    return {
        "rows_read": update.rows,
        "rows_refused": update.refused,
        "category_other": update.other_category,
        "rows_set_aside": sum(one.set_aside for one in update.sources),
        "rows_differing": sum(one.differing for one in update.sources),
        "sources": ", ".join(f"{one.source}: {one.rows:,} rows" for one in update.sources),
        **{f"problem/{problem.value}": update.problems.get(problem.value, 0) for problem in Problem},
        "problems": problem_table(problems),
        **{f"dialect/{name}": value for name, value in update.dialect.items()},
        "date_order": f"{update.date_order} ({update.date_order_reason})",
    }


def _csv_checks(update: CsvUpdate) -> Iterator[dg.AssetCheckResult]:
    yield _result("export_is_plausible", passed=True, rows=update.rows, rows_before=update.former_rows or 0)
    blocking = {name: count for name, count in update.problems.items() if Problem(name).blocks_linking}
    yield _result("rows_are_sound", passed=not blocking, **blocking)
    yield _result(
        "dates_are_certain",
        passed=not any(caution == "ambiguous_date_order" for caution in update.cautions),
        order=update.date_order,
        reason=update.date_order_reason,
    )
    share = update.other_category / update.rows if update.rows else 0.0
    yield _result("types_are_known", passed=share <= TOLERATED_OTHER, share_of_other=share, rows=update.other_category)


@dg.asset(
    deps=["bulk_dump"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"s3", "postgres"},
    tags={"domain": "s3", **storage("postgres")},
    pool="s3",
    retry_policy=RETRY,
    description="One row per object ever listed in the bucket, classified as original, thumbnail, quarantined or "
    "other, with what its key says. Present objects are those that the last complete listing saw, and what the queue "
    "has reported since; vanished ones are marked with the snapshot that missed them, never removed.",
    check_specs=[
        dg.AssetCheckSpec(
            "listing_is_plausible",
            asset="s3_inventory",
            blocking=True,
            description="The listing is complete and has originals, not over a tenth fewer than the last one. If it "
            "fails, the former inventory is still in place: check bucket and prefixes, or run with "
            "`accept_fewer: true`.",
        ),
        dg.AssetCheckSpec(
            "originals_have_names",
            asset="s3_inventory",
            description="Every original is named by a recid or an image id, so that its row can be found. If not, "
            "rename the others after their recid, or add their rows to the export.",
        ),
        dg.AssetCheckSpec(
            "originals_have_bytes",
            asset="s3_inventory",
            description="No original is empty. If not, export those photographs from FileMaker again.",
        ),
    ],
)
def s3_inventory(
    context: dg.AssetExecutionContext,
    config: InventoryConfig,
    settings: SettingsResource,
    database: DatabaseResource,
    objects: ObjectStoreResource,
) -> Iterator[Any]:
    with readable_failures():
        try:
            stage = staging.stage_new_objects if config.only_new else staging.stage_inventory
            with database.engine().begin() as connection:
                update = stage(
                    connection,
                    objects.store(),
                    settings.settings(),
                    accept_fewer=config.accept_fewer,
                    run_id=context.run.run_id,
                )
                table = table_metadata(connection, "fm_migration.s3_inventory")
        except ImplausibleInputError as error:
            yield _refusal("listing_is_plausible", error)
            raise as_failure(error) from None
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(update.data_version),
            metadata={
                "summary": _inventory_summary(update),
                **table,
                **_numbers(asdict(update)),
                "dagster/column_lineage": column_lineage(
                    bulk_dump=same("key", "etag", "size", "last_modified", "storage_class")
                ),
            },
            check_results=list(_inventory_checks(update)),
        )


def _inventory_summary(update: InventoryUpdate) -> str:
    """A listing in a sentence."""
    changes = (update.appeared, update.changed, update.vanished)
    since = "{:,} appeared, {:,} changed, {:,} vanished".format(*changes) if any(changes) else "none has changed"
    return f"{update.objects:,} objects, {update.originals:,} originals among them; {since}"


def _inventory_checks(update: InventoryUpdate) -> Iterator[dg.AssetCheckResult]:
    yield _result("listing_is_plausible", passed=True, originals=update.originals, vanished=update.vanished)
    yield _result("originals_have_names", passed=update.unnamed_originals == 0, unnamed=update.unnamed_originals)
    yield _result("originals_have_bytes", passed=update.empty_originals == 0, empty=update.empty_originals)


@dg.asset(
    deps=["patients"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "clinic", **storage("postgres")},
    pool="database",
    retry_policy=RETRY,
    description="The identity history: which patient UUID held which FileMaker id, from when to when, how it ended. "
    "A re-import gives every patient a new UUID; this history leads what points at the old one to the new one. "
    "The data version is a hash of the current pairs, so unchanged patients start nothing downstream.",
    check_specs=[
        dg.AssetCheckSpec(
            "patients_are_plausible",
            asset="patient_map",
            blocking=True,
            description="The FileMaker ids stand where they are expected. If it fails, nothing was changed: see that "
            "`filemaker_metadata` of the patients still holds `filemaker_id`.",
        ),
        dg.AssetCheckSpec(
            "no_reimport_under_way",
            asset="patient_map",
            description="Nearly all known patients are in the table. If not, a re-import may be under way, or they "
            "were removed. Whoever is back is healed all the same, and nobody else's photographs move.",
        ),
        dg.AssetCheckSpec(
            "ids_are_unambiguous",
            asset="patient_map",
            description="No two patients share a FileMaker id. If not, correct one of the two in the app: until then "
            "their photographs are linked to neither. psql shows them in fm_migration.ambiguous_identity, and who held "
            "an id when in fm_migration.tenure.",
        ),
        dg.AssetCheckSpec(
            "ids_are_well_formed",
            asset="patient_map",
            description="Every FileMaker id of a patient is a UUID. If not, correct the others in the app: they match "
            "no photograph.",
        ),
    ],
)
def patient_map(
    context: dg.AssetExecutionContext, settings: SettingsResource, database: DatabaseResource
) -> Iterator[Any]:
    with readable_failures():
        try:
            with database.engine().begin() as connection:
                update = staging.stage_patients(connection, run_id=context.run.run_id)
                table = table_metadata(connection, "fm_migration.patient_identity")
        except ImplausibleInputError as error:
            yield _refusal("patients_are_plausible", error)
            raise as_failure(error) from None
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(update.data_version),
            metadata={
                "summary": _identity_summary(update),
                **table,
                **_numbers(asdict(update)),
                "dagster/column_lineage": column_lineage(
                    patients={"filemaker_id": ("filemaker_metadata",), "patient_id": ("id",)}
                ),
            },
            check_results=list(_identity_checks(update, settings.settings().tolerated_missing)),
        )


def _identity_summary(update: IdentityUpdate) -> str:
    """A reading of the patients in a sentence."""
    changes = (update.began, update.ended)
    since = "{:,} tenures have begun, {:,} have ended".format(*changes) if any(changes) else "nobody has changed"
    doubtful = update.ambiguous + update.malformed
    trouble = f"; {doubtful:,} FileMaker ids need a person" if doubtful else ""
    return f"{update.patients:,} patients, {update.with_filemaker_id:,} with a FileMaker id; {since}{trouble}"


def _identity_checks(update: IdentityUpdate, tolerated_missing: float) -> Iterator[dg.AssetCheckResult]:
    yield _result("patients_are_plausible", passed=True, with_filemaker_id=update.with_filemaker_id)
    yield _result(
        "no_reimport_under_way",
        passed=update.absent <= update.known * tolerated_missing,
        known=update.known,
        known_present=update.known_present,
    )
    yield _result("ids_are_unambiguous", passed=update.ambiguous == 0, ambiguous=update.ambiguous)
    yield _result("ids_are_well_formed", passed=update.malformed == 0, malformed=update.malformed)


def _numbers(facts: dict[str, Any]) -> dict[str, int]:
    """The figures of an update, for the UI to plot."""
    return {name: value for name, value in facts.items() if isinstance(value, int)}


def _refusal(check: str, error: ImplausibleInputError) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, check_name=check, description=str(error), severity=dg.AssetCheckSeverity.ERROR
    )


def _result(check: str, *, passed: bool, **facts: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, check_name=check, metadata=facts, severity=dg.AssetCheckSeverity.WARN)
