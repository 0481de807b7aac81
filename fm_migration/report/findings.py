"""Finding: what is not as it should be between export, bucket and app, one row per subject and class.

Belongs here: from which readings a report may be made, the order of the steps, and what is plausible. The decisions
themselves are in `sql/findings.sql`. Does not belong here: showing anything (`page.py`), changing anything of the
clinic's (`repairs/`).

A report is computed from one moment of the database and from the newest reading of the export and of the bucket. It is
refused where these cannot be right together, because half a report calls live photographs orphans.

Of `report.totals`: `waterfall` is a list of [label, number] whose first is the rows of the export, whose last is the
rows whose photograph a patient's page shows, and whose numbers between are negative and lead from the one to the other.
`hidden` counts the originals that could be shown and that no page shows, by the state of their row; what the clinic
accepts is not among them. `states` adds up to the rows of the export, `originals` to the originals in the bucket.
Of `report.withheld`: by class, how many there would be (`count`) of how many (`of`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from fm_migration.clinic import contract
from fm_migration.clinic.link_columns import LinkColumn, dangling_links, find_link_columns, quoted
from fm_migration.errors import DatabaseError, ImplausibleInputError, SettingsError
from fm_migration.ledger import NAMESPACE, identity, schema
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.sql import Script
from fm_migration.linking import following, placing
from fm_migration.linking.rules import BATCHES, FOLLOWED
from fm_migration.linking.states import PhotographState
from fm_migration.plans import StalePlanError
from fm_migration.report import sql
from fm_migration.report.classes import FindingClass, Severity
from fm_migration.report.waivers import Waiver, read_waivers
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "findings")

#: So many findings of a class are always listed: two of ten are not a sign of anything.
ALWAYS_LISTED = 20
#: How far the clocks of the app, of the database and of the object store may be apart.
CLOCK_SKEW = timedelta(minutes=5)
#: The object store tells the time in whole seconds, so a listing may have begun so much later than it says.
WHOLE_SECOND = timedelta(seconds=1)
#: How long staff may take from making a batch to its last image.
UPLOAD_TIME = timedelta(minutes=15)
#: How long a run may take from a thumbnail's object to the row that shows it.
MAKING_TIME = timedelta(hours=1)

#: What each class is about, for its share: names of `populations` in sql/findings.sql. A class that is missing here is
#: proven by the app's tables alone, in one look, and may hold any share.
_POPULATION: dict[FindingClass, str] = {
    FindingClass.ROW_WITHOUT_OBJECT: "rows",
    FindingClass.ROW_WITHOUT_PATIENT: "rows",
    FindingClass.ROW_UNUSABLE: "rows",
    FindingClass.RECID_DOUBLED: "rows",
    FindingClass.AMBIGUOUS_PATIENT: "rows",
    FindingClass.OWNER_UNSETTLED: "rows",
    FindingClass.CONTRADICTING_EVIDENCE: "rows",
    FindingClass.REMOVED_BY_STAFF: "rows",
    FindingClass.PLACED_BY_STAFF: "rows",
    FindingClass.UNDATED: "rows",
    FindingClass.OBJECT_WITHOUT_ROW: "originals",
    FindingClass.SECOND_ORIGINAL: "originals",
    FindingClass.FILE_UNREADABLE: "originals",
    FindingClass.FILE_NOT_AN_IMAGE: "originals",
    FindingClass.IMAGE_WITHOUT_OBJECT: "images",
    FindingClass.FILE_MISPLACED: "images",
    FindingClass.CONTENT_UNDER_TWO_PATIENTS: "images",
    FindingClass.THUMBNAIL_MISSING: "photographs",
    FindingClass.THUMBNAIL_STALE: "photographs",
    FindingClass.MIRRORED_SIDE: "photographs",
    FindingClass.THUMBNAIL_WITHOUT_IMAGE: "thumbnails",
}

_LOOKING = (
    "found", "shown", "index_shown", "index_shown_by_image", "analyze_shown", "batch_owner", "analyze_album", "stray",
    "repeated",
)  # fmt: skip
_FINDING = (
    "row_states", "not_applied", "undated", "object_without_row", "second_original", "image_without_batch",
    "image_without_object", "file_misplaced", "file_unreadable", "file_not_an_image", "content_under_two_patients",
    "image_doubled", "batch_doubled", "batch_empty", "count_wrong", "thumbnail_missing", "thumbnail_stale",
    "thumbnail_without_image", "mirrored_side", "archived_patient",
)  # fmt: skip

# Not only for order between two reports: LOCK is the one statement that takes no snapshot of the database, so that a
# report which has waited for another one sees what that one has written.
_LOCK = text("lock table fm_migration.report in share row exclusive mode")
_READINGS = text("""
select plan.id as plan, plan.inputs, plan.applied_at is not null and plan.undone_at is null as applied,
       (plan.counts ->> 'changes')::bigint = 0 as changes_nothing,
       exists (select from fm_migration.link_plan
               where kind = 'photographs' and applied_at is not null) as ever_applied,
       export.rows_read, export.read_at, snapshot.started_at, snapshot.prefixes, snapshot.objects, snapshot.bytes,
       patient_read.patients
from fm_migration.link_plan as plan
join fm_migration.export_read as export on export.id = :export_read_id
join fm_migration.inventory_snapshot as snapshot on snapshot.id = :snapshot_id
join fm_migration.patient_read on patient_read.id = :patient_read_id
where plan.kind in ('photographs', 'restore')
order by plan.id desc limit 1
""")
_PRESENT = text("""
select (select count(*) from fm_migration.csv_metadata) as rows,
       (select count(*) from fm_migration.photo where in_export) as planned_rows,
       (select count(*) from fm_migration.photo where key is not null) as planned_originals,
       (select count(*) from fm_migration.original) as all_originals,
       count(*) as objects, count(*) filter (where kind = 'original') as originals
from fm_migration.s3_inventory where vanished is null and key ^@ any (cast(:prefixes as text[]))
""")
_VANISHED_PATIENTS = text("""
select count(*) as known, count(*) filter (where patients.id is null) as gone
from fm_migration.patient_identity as known left join patients on patients.id = known.patient_id
where known.ended is null
""")
_PEOPLE = """
create temporary table person on commit drop as
select patient_now.patient_id, patient_now.filemaker_id from ({look}) as patient_now
"""
_LOST_LINKS = """
insert into lost_link (name, table_name, column_name, row_id, pointing, former_id)
select cast(:name as text), cast(:table as text), cast(:column as text), row_id, patient,
       case when patient ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' then patient::uuid end
from ({dangling}) as dangling
"""
#: A person who has settled whom a link leads to has looked at it.
_FOLLOWED_THEN_SHARED = """
insert into found
select 'followed_then_shared', {subject} || linking.{key},
       jsonb_strip_nulls(jsonb_build_object(
           'table', cast(:table as text), 'column', cast(:column as text), 'of', linking.{key}::text,
           'patient', holder.patient_id, 'former', followed.former, 'filemaker_id', holder.filemaker_id))
from shared_holder as holder
join {table} as linking on linking.{column} = holder.patient_id::{type} {of_patients}
cross join lateral (
    select planned.before ->> :column as former
    from fm_migration.planned_change as planned
    where planned.row_id = linking.{key}::text and planned.table_name = :table and planned.column_name = :column
      and planned.reason = :followed and planned.outcome = 'applied' and planned.undone_at is null
      and planned.after ->> :column = holder.patient_id::text
    order by planned.plan_id desc limit 1
) as followed
where not exists (select from fm_migration.settlement where former_id::text = followed.former)
"""
_ANY_SHARED = text("select exists (select from shared_holder)")
_BEFORE = text("select id, withheld from fm_migration.report order by id desc limit 1")
_WAIVERS = text("""
create temporary table waiver (class text not null, subject text not null, message text not null) on commit drop
""")


@dataclass(frozen=True)
class Withheld:
    """A class that was not listed, because so many of so many look like a mistake of ours."""

    count: int
    of: int

    @property
    def message(self) -> str:
        return f"it would hold {self.count:,} of {self.of:,}, which looks like our mistake"


@dataclass(frozen=True)
class Report:
    """A report as it stands in `fm_migration.report`; its findings are rows of `fm_migration.finding`."""

    id: int
    made_at: datetime
    verdict: str
    totals: Mapping[str, Any]
    #: Open findings by class, the accepted ones not counted.
    counts: Mapping[FindingClass, int]
    waived: Mapping[FindingClass, int]
    withheld: Mapping[FindingClass, Withheld]
    #: Of `counts`, what the report before did not have; nothing in the first report.
    new: Mapping[FindingClass, int]
    #: Equal findings have an equal one.
    data_version: str
    #: What the readings of export and bucket said they held.
    rows_read: int
    bytes_listed: int


@contextmanager
def one_moment(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees the database as it is at its first query: what others commit meanwhile does not count."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        yield connection


def make_report(
    connection: Connection, settings: Settings, run_id: str | None = None, accept: Collection[str] = ()
) -> Report:
    """Find everything, in the caller's transaction (see `one_moment`), or refuse because the readings cannot be right.

    `accept` names classes that are listed however many they hold.
    """
    connection.execute(_LOCK)
    schema.require_current(connection)
    contract.verify(connection)
    accepted = _classes(accept)
    waivers = read_waivers(settings.waivers)
    readings = _readings(connection, settings)
    _SQL.run(connection, readings, *_LOOKING)
    _list_people(connection)
    _SQL.run(connection, readings, *_FINDING)
    _find_lost_links(connection, settings, readings)
    _SQL.run(connection, None, "too_new", "forget_young")
    _waive(connection, waivers)
    withheld = _withhold(connection, settings, accepted)
    return _record(connection, readings, withheld, run_id)


# --- from which readings ----------------------------------------------------------------------------------------------


def _readings(connection: Connection, settings: Settings) -> dict[str, Any]:
    """The newest readings with what was found at them, all of one age, or an error that says which is missing."""
    inputs = placing.read_inputs(connection, "making the report from")
    found = connection.execute(_READINGS, inputs).mappings().one_or_none()
    row = dict(found or {})
    if not row.get("ever_applied"):
        raise DatabaseError(
            "making the report from",
            "image_batches",
            "no plan was applied yet",
            "Start the job import_photographs first",
        )
    if placing.versions_of(inputs) != row["inputs"]:
        raise StalePlanError(
            "making the report from",
            f"plan {row['plan']}",
            "the export, the bucket or the patients were read anew since",
            "Materialize link_plan and image_batches, then orphan_report; import_photographs does all of it",
        )
    _refuse_partial(connection, settings, row)
    _refuse_reimport(connection, settings)
    return {
        **inputs,
        "plan": row["plan"],
        "applied": row["applied"] or row["changes_nothing"],
        "rows_read": row["rows_read"],
        "bytes_listed": row["bytes"],
        "objects_listed": row["objects"],
        "content_type": contract.patient_content_type_id(connection),
        "prefixes": list(row["prefixes"]),
        "thumbnail_prefix": settings.thumbnail_prefix,
        "listed_at": row["started_at"] - CLOCK_SKEW,
        "export_read_at": row["read_at"] - CLOCK_SKEW,
        "export_is_newer": row["read_at"] > row["started_at"] + WHOLE_SECOND,
        "upload_time": UPLOAD_TIME,
        "making_time": MAKING_TIME,
        "reimport_lasts": identity.REIMPORT_LASTS,
    }


def _refuse_partial(connection: Connection, settings: Settings, row: Mapping[str, Any]) -> None:
    """What was read must still be there, whole."""
    present = connection.execute(_PRESENT, {"prefixes": list(row["prefixes"])}).one()
    least = row["objects"] * (1 - settings.tolerated_shrinkage)
    for asset, found, whole in (
        ("csv_metadata", f"it holds {present.rows:,} rows of {row['rows_read']:,}", present.rows == row["rows_read"]),
        ("csv_metadata", "it is empty", present.rows > 0),
        ("s3_inventory", "it holds no original", present.originals > 0),
        (
            "s3_inventory",
            f"it holds {present.objects:,} objects of {row['objects']:,}",
            present.objects >= least,
        ),
        (
            "link_plan",
            f"it accounts for {present.planned_rows:,} rows of {row['rows_read']:,}",
            present.planned_rows == row["rows_read"],
        ),
        (
            "link_plan",
            f"it accounts for {present.planned_originals:,} originals of {present.all_originals:,}",
            present.planned_originals == present.all_originals,
        ),
    ):
        if not whole:
            raise ImplausibleInputError(
                "making the report from", asset, found, f"Materialize {asset} again; if it stays so, look at its source"
            )


def _refuse_reimport(connection: Connection, settings: Settings) -> None:
    """In the middle of a re-import, and before the links are healed after it, everybody would look like an orphan."""
    state = identity.read_state(connection)
    known, present = identity.read_presence(connection)
    identity.refuse_half_imported(state.patients, known, present, settings.tolerated_missing)
    patients = connection.execute(_VANISHED_PATIENTS).one()
    if patients.gone > patients.known * settings.tolerated_missing:
        raise ImplausibleInputError(
            "making the report from",
            "the table patients",
            f"{patients.gone:,} of the {patients.known:,} patients that were read last have new UUIDs or are gone: "
            "they were re-imported, and the links are not healed yet",
            "Wait for heal_links, or start it, and run again",
        )


# --- finding ----------------------------------------------------------------------------------------------------------


def _list_people(connection: Connection) -> None:
    """The patients as they are now: what was read of them is a little older."""
    connection.execute(text(_PEOPLE.format(look=identity.patients_query())))
    connection.execute(text("create index on person (patient_id)"))
    connection.execute(text("create index on person (filemaker_id)"))
    connection.execute(text("analyze person"))


def _find_lost_links(connection: Connection, settings: Settings, readings: Mapping[str, Any]) -> None:
    """Links that lead to nobody, and those that were led to somebody who shares an id now; batches among them."""
    columns = find_link_columns(connection, settings.link_columns)
    _SQL.run(connection, None, "lost_link")
    for link in columns:
        # Batches are in `batch_owner` already.
        if link.table != BATCHES.table:
            parameters = {"name": f"{link.table}.{link.column}", "table": link.table, "column": link.column}
            _run_generic(connection, link, _LOST_LINKS.format(dangling=dangling_links(link)), parameters, readings)
    _SQL.run(connection, None, "former")
    following.find_successors(connection)
    _SQL.run(
        connection, readings, "lost", "analyze_lost", "batch_without_patient", "link_without_patient", "shared_holder"
    )
    following.drop_successors(connection)
    if connection.execute(_ANY_SHARED).scalar_one():
        for link in columns:
            _find_followed_then_shared(connection, link, readings)


def _find_followed_then_shared(connection: Connection, link: LinkColumn, readings: Mapping[str, Any]) -> None:
    statement = _FOLLOWED_THEN_SHARED.format(
        subject="'batch '" if link.table == BATCHES.table else "cast(:subject as text)",
        table=link.table,
        key=quoted(link.key),
        column=quoted(link.column),
        type=link.column_type,
        of_patients=f'and linking."{link.content_type_column}" = :content_type' if link.content_type_column else "",
    )
    parameters = {"table": link.table, "column": link.column, "followed": FOLLOWED}
    if link.table != BATCHES.table:
        parameters["subject"] = f"link {link.table}.{link.column} "
    _run_generic(connection, link, statement, parameters, readings)


def _run_generic(
    connection: Connection,
    link: LinkColumn,
    statement: str,
    parameters: Mapping[str, Any],
    readings: Mapping[str, Any],
) -> None:
    generic = {"content_type": readings["content_type"]} if link.content_type_column else {}
    connection.execute(text(statement), {**parameters, **generic})


def _waive(connection: Connection, waivers: Collection[Waiver]) -> None:
    if waivers:
        connection.execute(_WAIVERS)
        rows = ((waiver.finding_class.value, waiver.subject, waiver.message) for waiver in waivers)
        copy_rows(connection, "waiver", ("class", "subject", "message"), rows)
        _SQL.run(connection, None, "waive")


def _withhold(
    connection: Connection, settings: Settings, accepted: Collection[FindingClass]
) -> dict[FindingClass, Withheld]:
    """Take out what would be an implausible share of all there is. What the clinic accepts is not part of it."""
    populations = _SQL.ask(connection, "populations")
    counts, _ = _counts(connection)
    withheld = {
        finding_class: Withheld(count, populations[_POPULATION[finding_class]])
        for finding_class, count in counts.items()
        if finding_class in _POPULATION
        and finding_class not in accepted
        and implausible(count, populations[_POPULATION[finding_class]], settings.implausible_share)
    }
    if withheld:
        names = {"withheld": [name.value for name in withheld]}
        _SQL.run(connection, names, "withhold")
    return withheld


def implausible(count: int, population: int, share: float) -> bool:
    """Whether so many findings are more likely a mistake of ours than the truth. Pure."""
    return count > ALWAYS_LISTED and count > population * share


def _counts(connection: Connection) -> tuple[dict[FindingClass, int], dict[FindingClass, int]]:
    """What was found by class: open, and waived."""
    counts: dict[FindingClass, int] = {}
    waived: dict[FindingClass, int] = {}
    for row in connection.execute(_SQL["count_found"]):
        (waived if row.waived else counts)[FindingClass(row[0])] = row.findings
    order = list(FindingClass)
    return (
        {name: counts[name] for name in order if name in counts},
        {name: waived[name] for name in order if name in waived},
    )


# --- recording --------------------------------------------------------------------------------------------------------


def _record(
    connection: Connection, readings: Mapping[str, Any], withheld: Mapping[FindingClass, Withheld], run_id: str | None
) -> Report:
    counts, waived = _counts(connection)
    totals = _totals(connection, readings)
    before = connection.execute(_BEFORE).one_or_none()
    new = {} if before is None else _new(connection, before.id, list(before.withheld))
    content = _SQL.ask(connection, "content")["content"]
    said = {name: asdict(one) for name, one in withheld.items()}
    row = {
        **readings,
        "run_id": run_id,
        "verdict": verdict(totals, counts, withheld),
        "totals": json.dumps(totals),
        "counts": json.dumps(counts),
        "waived": json.dumps(waived),
        "withheld": json.dumps(said),
        "data_version": uuid.uuid5(NAMESPACE, f"report|{content}|{json.dumps(said, sort_keys=True)}").hex,
    }
    made = _SQL.ask(connection, "record", row)
    severities = json.dumps({name.value: name.severity.value for name in FindingClass})
    _SQL.run(connection, {"report": made["id"], "severities": severities}, "keep")
    _SQL.run(connection, None, "analyze_findings")
    return Report(
        id=made["id"],
        made_at=made["made_at"],
        verdict=row["verdict"],
        totals=totals,
        counts=counts,
        waived=waived,
        withheld=withheld,
        new=new,
        data_version=row["data_version"],
        rows_read=readings["rows_read"],
        bytes_listed=readings["bytes_listed"],
    )


def _new(connection: Connection, before: int, withheld_before: list[str]) -> dict[FindingClass, int]:
    query = _SQL["count_new"]
    rows = connection.execute(query, {"before": before, "withheld_before": withheld_before})
    return {FindingClass(row[0]): row.findings for row in rows}


def _totals(connection: Connection, readings: Mapping[str, Any]) -> dict[str, Any]:
    """What adds up, for the page, the checks and the certificate."""
    bucket = connection.execute(_SQL["bucket"], {"prefixes": readings["prefixes"]}).all()
    states: dict[str, int] = {row.state: row.photographs for row in connection.execute(_SQL["states"])}
    images = _SQL.ask(connection, "images")
    linked = dict(_SQL.ask(connection, "linked_rows"))
    hidden: dict[str, int] = {row.state: row.photographs for row in connection.execute(_SQL["hidden"])}
    originals: dict[str, int] = {row.state: row.originals for row in connection.execute(_SQL["originals"])}
    return {
        "rows": readings["rows_read"],
        "objects": readings["objects_listed"],
        "bytes": readings["bytes_listed"],
        "objects_by_kind": {row.kind: row.objects for row in bucket},
        "bytes_by_kind": {row.kind: row.bytes for row in bucket},
        "states": states,
        "originals": originals,
        "patients": images["patients"],
        "patients_with_photographs": images["patients_with_photographs"],
        "images": images["images"],
        "images_visible": images["visible"],
        "images_invisible": {
            name: images[name] for name in ("without_batch", "without_patient", "without_object") if images[name]
        },
        "thumbnails": {row.state: row.photographs for row in connection.execute(_SQL["thumbnails"])},
        "hidden": hidden,
        "waterfall": waterfall(readings["rows_read"], states, linked),
    }


_LINKED_STATES = (PhotographState.LINKED, PhotographState.PLACED_BY_STAFF)
_LACKS = {
    "not_applied": "not in the app yet",
    "without_patient": "on nobody's record",
    "without_object": "object gone from the bucket",
}


def waterfall(rows: int, states: Mapping[str, int], linked: Mapping[str, int]) -> list[tuple[str, int]]:
    """From the rows of the export, step by step, to those whose photograph a patient's page shows. Pure."""
    steps = [("rows of the export", rows)]
    steps += [
        (state.value.replace("_", " "), -states[state])
        for state in PhotographState
        if state not in _LINKED_STATES and states.get(state, 0)
    ]
    steps += [(label, -linked[name]) for name, label in _LACKS.items() if linked[name]]
    return [*steps, ("visible photographs", linked["visible"])]


def verdict(
    totals: Mapping[str, Any], counts: Mapping[FindingClass, int], withheld: Mapping[FindingClass, Withheld]
) -> str:
    """The report in a sentence. Pure."""
    # Thumbnails that are not made yet put nothing else in doubt.
    doubtful = {name: one for name, one in withheld.items() if name != FindingClass.THUMBNAIL_MISSING}
    if doubtful:
        said = "; ".join(f"{name.value}: {one.message}" for name, one in doubtful.items())
        return f"This report is in doubt. {said}"
    second = totals.get("hidden", {}).get(PhotographState.SECOND_ORIGINAL, 0)
    should = sum(totals["states"].get(state, 0) for state in _LINKED_STATES) + second
    shown = totals["waterfall"][-1][1]
    errors = sum(count for name, count in counts.items() if name.severity is Severity.ERROR)
    others = sum(counts.values()) - errors
    first = (
        f"All {should:,} photographs whose row, file and patient are known show on their patients' pages"
        if shown == should
        else f"{should - shown:,} of {should:,} photographs whose row, file and patient are known do not show"
    )
    if second:
        first += f" ({second:,} second originals among them)"
    if errors:
        return f"{first}; {errors:,} findings keep others from showing, and {others:,} more are worth a look"
    return f"{first}; {others:,} findings are worth a look" if others else f"{first}; nothing else was found"


def _classes(names: Collection[str]) -> set[FindingClass]:
    unknown = sorted(set(names) - {name.value for name in FindingClass})
    if unknown:
        raise SettingsError(
            "making the report with",
            f"accept: {', '.join(unknown)}",
            "there is no such class of findings",
            "docs/report.md lists the classes",
        )
    return {FindingClass(name) for name in names}
