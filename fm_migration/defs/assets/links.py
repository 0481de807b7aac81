"""The clinic's tables: what would change, the change itself, and every other link that leads to a patient.

No `from __future__ import annotations` here: Dagster reads the types of configs and resources from the functions.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field
from sqlalchemy import Connection, text

from fm_migration.defs.automation import when_stale
from fm_migration.defs.catalogue import OWNERS, column_lineage, problem_table, same, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import RETRY
from fm_migration.defs.partitions import add_months
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.errors import DatabaseError
from fm_migration.linking import applying, following, placing
from fm_migration.linking.states import PhotographState
from fm_migration.thumbnails import thumbnailing

GROUP = "clinic"
#: Runs that write links are kept apart by a limit on this tag (dagster.yaml), and by a lock in the database.
WRITES_LINKS = {"fm/writes": "links"}

_COUNTED = text("""
select (select count(*) from fm_migration.csv_metadata) as rows,
       (select count(*) from fm_migration.original) as originals
""")
_SAMPLE = text("""
select table_name, row_id, action, reason from fm_migration.planned_change where plan_id = :plan order by id limit 10
""")
_NEWEST_PLAN = text("select max(id) from fm_migration.link_plan where kind = 'photographs'")


class LinkPlanConfig(dg.Config):
    """Configuration of link_plan."""

    limit: int | None = Field(
        default=None,
        description="Plan the first so many photographs only, to start small. Empty: all of them.",
    )
    full: bool = Field(
        default=False,
        description="Work out everything anew, beside what has changed since the last plan, and check that both agree. "
        "The nightly report does so.",
    )


class ImageBatchesConfig(dg.Config):
    """Configuration of image_batches."""

    approve: str | None = Field(
        default=None,
        description="The hash of a plan that a person has looked at. Only needed for a plan with doubts, such as one "
        "after which fewer photographs would be visible.",
    )
    plan: int | None = Field(default=None, description="The number of the plan to apply. Empty: the newest.")


@dg.asset(
    deps=["patient_map"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "django"},
    tags={"domain": "clinic", **storage("postgres")},
    op_tags=WRITES_LINKS,
    pool="database",
    retry_policy=RETRY,
    automation_condition=when_stale(),
    description="The healing itself: every generic link to a patient, batches of photographs and documents and "
    "whatever else has a content type and an object id, follows its patient by the identity history. It only turns "
    "dead links into living ones, journalled and undoable; what is ambiguous or never seen is counted and left alone.",
    check_specs=[
        dg.AssetCheckSpec(
            "no_link_is_lost",
            asset="patient_links",
            description="No link points at a UUID that nobody has ever seen. If not, such links are older than our "
            "history: the next plan of photographs recognises some of them, and for the others only the clinic can "
            "tell whose they are. Absent ones, in the metadata, wait for people whom we know and who are not there.",
        ),
        dg.AssetCheckSpec(
            "no_link_is_ambiguous",
            asset="patient_links",
            description="Every former patient leads to one present patient, or to nobody yet. If not, an id was shared "
            "or has passed from one to another: `fm-migration settle` says who the former patient is.",
        ),
        dg.AssetCheckSpec(
            "every_table_can_be_written",
            asset="patient_links",
            description="The links of every table could be written. If not, the check names the table and the grant "
            "that it lacks; the others went on.",
        ),
    ],
)
def patient_links(
    context: dg.AssetExecutionContext, settings: SettingsResource, database: DatabaseResource
) -> Iterator[Any]:
    with readable_failures():
        with database.engine().begin() as connection:
            update = following.follow(connection, named=settings.settings().link_columns, run_id=context.run.run_id)
        context.log.info("%s", _link_summary(update))
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(update.inputs),
            metadata={
                "summary": _link_summary(update),
                **_link_columns(update),
                "followed": update.followed,
                "never_seen": update.never_seen,
                "ambiguous": update.ambiguous,
                "absent": sum(table.absent for table in update.tables),
                "links": sum(table.links for table in update.tables),
                "columns": _link_table(update),
                **({"plan": update.plan} if update.plan else {}),
            },
            check_results=list(_link_checks(update)),
        )


def _link_checks(update: following.LinksUpdate) -> Iterator[dg.AssetCheckResult]:
    counts = {
        "no_link_is_lost": {f"{t.table}.{t.column}": t.never_seen for t in update.tables},
        "no_link_is_ambiguous": {f"{t.table}.{t.column}": t.ambiguous for t in update.tables},
    }
    for check, by_column in counts.items():
        yield dg.AssetCheckResult(
            check_name=check,
            passed=not any(by_column.values()),
            severity=dg.AssetCheckSeverity.WARN,
            metadata=by_column,
        )
    yield dg.AssetCheckResult(
        check_name="every_table_can_be_written",
        passed=not update.problems,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(update.problems) or None,
        metadata={"tables": len(update.problems)},
    )


def _link_summary(update: following.LinksUpdate) -> str:
    """All links in a sentence."""
    found = sum(table.links for table in update.tables)
    moved = f"{update.followed:,} followed their patient to a new UUID" if update.followed else "none had to follow"
    waiting = sum(table.dangling - table.followed for table in update.tables)
    trouble = f"; {waiting:,} lead to nobody yet" if waiting else ""
    return f"{found:,} links to patients; {moved}{trouble}"


def _link_columns(update: following.LinksUpdate) -> dict[str, Any]:
    """This asset is not a table but a column of several, which the catalogue is told as if they were one table's."""
    columns = [f"{found.table}.{found.column}" for found in update.tables]
    schema = [dg.TableColumn(name, "uuid", "the patient whom a row belongs to") for name in columns]
    return {
        "dagster/table_name": ", ".join(dict.fromkeys(found.table for found in update.tables)),
        "dagster/column_schema": dg.TableSchema(schema),
        "dagster/row_count": sum(found.links for found in update.tables),
        "dagster/column_lineage": column_lineage(patient_map=dict.fromkeys(columns, ("patient_id",))),
    }


def _link_table(update: following.LinksUpdate) -> dg.MarkdownMetadataValue:
    lines = ["| column | links | followed | ambiguous | absent | never seen |", "|---|---:|---:|---:|---:|---:|"]
    for found in update.tables:
        counts = (found.links, found.followed, found.ambiguous, found.absent, found.never_seen)
        lines.append(f"| {found.table}.{found.column} | {' | '.join(f'{count:,}' for count in counts)} |")
    return dg.MetadataValue.md("\n".join(lines))


LINK_PLAN_LINEAGE = column_lineage(
    csv_metadata={
        **same("photo", "recid", "image_id", "taken_on"),
        "month": ("taken_on",),
        "state": ("problems",),
        "filemaker_id": ("contact",),
        "person": ("contact",),
    },
    s3_inventory={**same("key"), "state": ("kind",), "recid": ("recid",), "image_id": ("image_id",)},
    patient_map={**same("filemaker_id"), "person": ("filemaker_id",), "state": ("ended",)},
)


@dg.asset(
    # After the links, because a batch that has followed its patient needs no plan.
    deps=["csv_metadata", "s3_inventory", "patient_map", "patient_links"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "clinic", **storage("postgres")},
    pool="database",
    retry_policy=RETRY,
    automation_condition=when_stale(),
    description="What would change in the clinic's tables so that every photograph hangs on its patient, and why: the "
    "dry run. Every row of the export and every original is in exactly one state (fm_migration.photo); every change is "
    "a row of fm_migration.planned_change with the values before and after. Only what has changed since the last plan "
    "is looked at. Nothing of the clinic's is written.",
    check_specs=[
        dg.AssetCheckSpec(
            "states_add_up",
            asset="link_plan",
            blocking=True,
            description="The states add up: to the rows of the export, and to the originals in the bucket. If not, "
            "this is a fault of fm_migration, and nothing is applied: tell its maintainers these counts.",
        ),
        dg.AssetCheckSpec(
            "full_plan_agrees",
            asset="link_plan",
            description="Working out everything anew comes to the same as looking at what has changed. If not, this is "
            "a fault of fm_migration; the full plan is in force. Only checked with `full: true`, as every night.",
        ),
        dg.AssetCheckSpec(
            "plan_is_harmless",
            asset="link_plan",
            description="No photograph loses its gallery, few change hands, and not far fewer are linked than last "
            "time. If it fails, `image_batches` refuses the plan until a person approves it by its hash.",
        ),
        dg.AssetCheckSpec(
            "photographs_are_linked",
            asset="link_plan",
            description="Every row of the export is linked. If not, the asset's metadata counts the others by state, "
            "each with what to do about it.",
        ),
    ],
)
def link_plan(
    context: dg.AssetExecutionContext, config: LinkPlanConfig, settings: SettingsResource, database: DatabaseResource
) -> Iterator[Any]:
    with readable_failures():
        with database.engine().begin() as connection:
            plan, differing = _plan(connection, settings, config, context.run.run_id)
            counted = connection.execute(_COUNTED).one()
            sample = [tuple(row) for row in connection.execute(_SAMPLE, {"plan": plan.id})]
            table = table_metadata(connection, "fm_migration.photo")
            months = thumbnailing.months(connection)
        add_months(context.instance, months)
        context.log.info("plan %s: %s", plan.id, summary(plan))
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(plan.version),
            metadata={
                "summary": summary(plan),
                **table,
                "plan": plan.id,
                "plan_hash": plan.hash,
                **{name: int(count) for name, count in plan.counts.items()},
                **{f"state/{state.value}": plan.states.get(state.value, 0) for state in PhotographState},
                "states": _state_table(plan),
                "doubts": list(plan.doubts),
                "first_changes": _change_table(sample),
                "dagster/column_lineage": LINK_PLAN_LINEAGE,
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="states_add_up",
                    passed=(plan.rows, plan.originals) == (counted.rows, counted.originals),
                    metadata={
                        "rows": counted.rows,
                        "rows_in_states": plan.rows,
                        "originals": counted.originals,
                        "originals_in_states": plan.originals,
                    },
                ),
                dg.AssetCheckResult(
                    check_name="full_plan_agrees",
                    passed=not differing,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"compared": differing is not None, "photographs_that_differ": differing or 0},
                ),
                dg.AssetCheckResult(
                    check_name="plan_is_harmless",
                    passed=not plan.doubts,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"doubts": list(plan.doubts), "approve": plan.hash},
                ),
                dg.AssetCheckResult(
                    check_name="photographs_are_linked",
                    passed=plan.states.get(PhotographState.LINKED, 0) == counted.rows,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={state: count for state, count in plan.states.items() if state != PhotographState.LINKED},
                ),
            ],
        )


def _plan(
    connection: Connection, settings: SettingsResource, config: LinkPlanConfig, run_id: str
) -> tuple[placing.Plan, int | None]:
    """The plan, and of how many photographs the full one says something else; None where that was not asked."""
    if config.full:
        return placing.make_full_plan(connection, settings.settings(), run_id=run_id)
    return placing.make_plan(connection, settings.settings(), limit=config.limit, run_id=run_id), None


def summary(plan: placing.Plan) -> str:
    """A plan in a sentence."""
    counts = plan.counts
    if not plan.changes:
        return f"nothing to change: {counts['visible_before']:,} images are visible, {counts['linked']:,} linked"
    return (
        f"{counts['images_created']:,} images and {counts['batches_created']:,} batches to create, "
        f"{counts['batches_relinked']:,} batches to re-link, {counts['images_moved']:,} images to move; "
        f"{counts['visible_before']:,} images visible now, {counts['visible_after']:,} afterwards"
    )


def _state_table(plan: placing.Plan) -> dg.MarkdownMetadataValue:
    return problem_table(
        {
            state: (count, PhotographState(state).meaning, PhotographState(state).remedy)
            for state, count in plan.states.items()
        }
    )


def _change_table(sample: list[tuple[Any, ...]]) -> dg.MarkdownMetadataValue:
    """The first changes, by our own ids; the values stay in the database."""
    lines = ["| table | row | change | because |", "|---|---|---|---|"]
    return dg.MetadataValue.md("\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in sample)]))


@dg.asset(
    deps=["link_plan"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "django"},
    tags={"domain": "clinic", **storage("postgres")},
    op_tags=WRITES_LINKS,
    pool="database",
    retry_policy=RETRY,
    automation_condition=when_stale(),
    description="The plan, applied in one transaction: batches and images created, adopted, moved and recounted. "
    "Refuses a plan whose inputs have changed since, and one with doubts that nobody has approved. What staff have "
    "edited since the plan was made stays. Every change is in the journal and can be undone (job `undo_plan`).",
    check_specs=[
        dg.AssetCheckSpec(
            "nothing_was_overtaken",
            asset="image_batches",
            description="No row was edited by somebody else between plan and apply. If not, their edits have won: "
            "materialize link_plan again to see what is left to do.",
        ),
    ],
)
def image_batches(
    context: dg.AssetExecutionContext, config: ImageBatchesConfig, database: DatabaseResource
) -> Iterator[Any]:
    with readable_failures():
        with database.engine().begin() as connection:
            plan_id = config.plan or connection.execute(_NEWEST_PLAN).scalar()
            if plan_id is None:
                raise DatabaseError("applying", "a plan", "there is none yet", "Materialize link_plan first")
            before = applying.visible_images(connection)
            done = applying.apply_plan(connection, plan_id, approve=config.approve, run_id=context.run.run_id)
            table = table_metadata(connection, "images_batch")
        message = f"{done.applied:,} rows changed" if done.applied else "nothing to change"
        context.log.info("plan %s: %s, %s images visible", done.plan, message, done.visible)
        yield dg.MaterializeResult(
            # Like the plan's, a function of the inputs: applying the same again makes nothing downstream stale.
            data_version=dg.DataVersion(done.inputs),
            metadata={
                "summary": f"{message}; {before:,} images were visible, {done.visible:,} are now",
                **table,
                "plan": done.plan,
                "rows_changed": done.applied,
                "rows_as_wished_already": done.already,
                "rows_overtaken": done.overtaken,
                "overtaken": list(done.overtaken_rows),
                "visible_before": before,
                "visible": done.visible,
                "dagster/column_lineage": column_lineage(
                    link_plan={"id": ("batch_id",), "object_id": ("person",), "uploaded_at": ("taken_on",)}
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="nothing_was_overtaken",
                    passed=done.overtaken == 0,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"overtaken": done.overtaken},
                )
            ],
        )
