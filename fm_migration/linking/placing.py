"""What would change in the clinic's tables so that every photograph hangs on its patient: planned, not yet done.

Only what has changed since the table `photo` was worked out last is looked at; with nothing changed a plan is made
without changes, and says so. The decisions are in `sql/place/`.

Belongs here: making a plan in our schema, its hash, and whether a person must approve it. Does not belong here: writing
to a table of the clinic (`plans/`).
"""

from __future__ import annotations

import itertools
import json
import mimetypes
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, TextClause, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.errors import DatabaseError
from fm_migration.filemaker.problems import Problem
from fm_migration.ledger import NAMESPACE, schema
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.sql import Script
from fm_migration.linking import following, sql
from fm_migration.linking.states import PhotographState
from fm_migration.plans import locks
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "place")

MINT_AT_ONCE = 20_000
NO_LIMIT = 2**62
#: Of the rules in `sql/place/`: with another one everything is worked out anew.
RULES = "1"

#: Files that clinicians attach to a record and that are not photographs.
UNSUPPORTED = ("doc", "docx", "xls", "xlsx", "txt", "csv", "zip", "exe", "mov", "mp4", "avi", "mp3", "wav", "ds_store")

#: What the clinic's own command calls its batches, and what it writes beside them. Ours had unpadded days once.
IMPORT_NAME = r"^(\d{1,2} [A-Z][a-z]{2} \d{4}|Undated) \(FileMaker Import\)$"
IMPORT_DESCRIPTION = "Imported from FileMaker"

#: What no plan of ours would do by itself: photographs that lose their gallery, or change it in number.
TOLERATED_CHANGING_HANDS = 0.01
TOLERATED_FEWER_LINKED = 0.10
#: From so many photographs on, statistics of yesterday are worse than the time it takes to gather new ones.
MANY_PHOTOS = 1_000

_TOUCHING = ("touch_app", "touch_unfamiliar", "touch_unfinished", "touch_decided")
_WIDENING = ("widen_to_neighbours", "widen_to_batches")
_DECIDING = (
    "index_scope", "analyze_scope", "original", "index_original", "candidate", "index_candidate", "analyze_candidate",
    "considered", "evidence", "analyze_evidence", "contradicted", "match", "index_match", "deleted", "remember_deleted",
    "forget_deleted", "batch_owner", "index_batch_owner", "held", "batch_target", "placement", "limit", "hold_back",
    "hold_back_batches", "patient_day", "minted",
)  # fmt: skip
_PLANNING = (
    "target", "analyze_target", "plan_new_batches", "plan_new_images", "plan_moves_and_fills", "plan_batches",
    "plan_recognitions", "plan_restoring",
)  # fmt: skip
_REMEMBERING = (
    "stated", "forget_photos", "free_images", "record_photos", "record_recognitions", "record_placed", "end_placed",
    "record_edited",
)  # fmt: skip
_TABLES = (
    "contact", "former", "successor", "contact_home", "touched", "present_owner", "unfamiliar", "scope", "original",
    "candidate", "considered", "evidence", "contradicted", "match", "deleted", "batch_owner", "held", "batch_target",
    "placement_of", "beyond_limit", "patient_day", "minted", "target", "stated",
)  # fmt: skip

_PHOTO_KEYS = text("""
select 'photo|' || natural_key from candidate join placement_of using (photo) where placement_of.decision = 'create'
""")
_DAY_KEYS = text("select 'batch|' || natural_key || cast(:attempt as text) from patient_day where batch_id is null")
_INPUTS = text("""
select (select max(id) from fm_migration.export_read) as export_read_id,
       (select data_version from fm_migration.export_read order by id desc limit 1) as export_version,
       (select max(id) from fm_migration.inventory_snapshot) as snapshot_id,
       (select coalesce(max(greatest(first_seen, changed, coalesce(vanished, 0))), 0)
        from fm_migration.s3_inventory) as inventory_version,
       (select max(id) from fm_migration.patient_read) as patient_read_id,
       (select data_version from fm_migration.patient_read order by id desc limit 1) as patients_version,
       (select fingerprint from fm_migration.patient_read order by id desc limit 1) as patients_fingerprint,
       (select read_at from fm_migration.export_read order by id limit 1) as undated_at
""")
_LAST = text("select * from fm_migration.placement")
_TOUCHED = text("select exists (select from touched)")
#: What people have settled, and what plans have recognised of UUIDs that the export names; also when that was undone.
_OTHER_HISTORY = text("""
with since as (
    select planned.table_name, planned.row_id
    from fm_migration.link_plan as plan join fm_migration.planned_change as planned on planned.plan_id = plan.id
    where (plan.applied_at >= :since or plan.undone_at >= :since)
      and planned.table_name in ('fm_migration.patient_identity', 'fm_migration.settlement')
)
select exists (select from since where table_name = 'fm_migration.settlement')
       or exists (select from since join fm_migration.csv_metadata as csv on csv.contact::text = since.row_id)
""")
_KEEP_STATES = text("""
create temporary table ordinary on commit drop as
select photo, in_export, state, key, clinic_image, batch_id from fm_migration.photo
""")
_COMPARE_STATES = text("""
select count(*) from ordinary
full join (select photo, in_export, state, key, clinic_image, batch_id from fm_migration.photo) as anew using (photo)
where (ordinary.in_export, ordinary.state, ordinary.key, ordinary.clinic_image, ordinary.batch_id)
      is distinct from (anew.in_export, anew.state, anew.key, anew.clinic_image, anew.batch_id)
""")
_FORMER_LINKED = text("""
select (counts ->> 'linked')::bigint from fm_migration.link_plan
where kind = 'photographs' and applied_at is not null and undone_at is null and photo_limit is null
order by id desc limit 1
""")


@dataclass(frozen=True)
class Plan:
    """A plan as it stands in `link_plan`: its changes are rows of `planned_change`."""

    id: int
    hash: str
    counts: Mapping[str, int]
    states: Mapping[str, int]
    doubts: tuple[str, ...]
    #: The inputs in one word: a plan made again from the same ones has the same.
    version: str
    #: How many rows of the export, and how many originals in the bucket, are accounted for.
    rows: int = 0
    originals: int = 0

    @property
    def changes(self) -> int:
        return self.counts["changes"]


def make_plan(
    connection: Connection,
    settings: Settings,
    *,
    limit: int | None = None,
    full: bool = False,
    run_id: str | None = None,
    kind: str = "photographs",
    restored: Sequence[int] = (),
) -> Plan:
    """Plan in the caller's transaction, of which it is the first work, from one state of all tables.

    `full` looks at everything; else only what has changed is looked at, with the same result. `restored` are the
    decisions of staff that a person takes back with this plan.
    """
    locks.lock_planning(connection)
    schema.require_current(connection)
    contract.verify(connection)
    inputs = read_inputs(connection)
    plan = plans.open_plan(
        connection,
        kind,
        inputs=versions_of(inputs),
        export_read_id=inputs["export_read_id"],
        snapshot_id=inputs["snapshot_id"],
        patient_read_id=inputs["patient_read_id"],
        photo_limit=limit,
        run_id=run_id,
    )
    parameters = {**_parameters(connection, settings, inputs, plan, limit), "restored": list(restored)}
    connection.execute(text(f"set local work_mem = '{following.MEMORY}'"))
    last = connection.execute(_LAST).mappings().one_or_none()
    whole = full or limit is not None or last is None or _rules_differ(last, parameters)
    changed = _find_scope(connection, parameters, last, whole=whole)
    if changed:
        _decide(connection, parameters, widen=not whole)
    finished = _finish(connection, inputs, parameters, limit, changed=changed)
    connection.execute(text(f"drop table if exists {', '.join(_TABLES)}"))
    return finished


def make_full_plan(connection: Connection, settings: Settings, *, run_id: str | None = None) -> tuple[Plan, int]:
    """A plan for which everything was worked out anew, and of how many photographs the ordinary one said otherwise."""
    ordinary = make_plan(connection, settings, run_id=run_id)
    connection.execute(_KEEP_STATES)
    full = make_plan(connection, settings, full=True, run_id=run_id)
    differing: int = connection.execute(_COMPARE_STATES).scalar_one()
    connection.execute(text("drop table ordinary"))
    return full, differing or int(full.hash != ordinary.hash)


def versions_of(inputs: Mapping[str, Any]) -> str:
    """The versions of the inputs in one word: the same word, the same plan."""
    return "|".join(str(inputs[name]) for name in ("export_version", "inventory_version", "patients_version"))


def read_inputs(connection: Connection, doing: str = "planning the links from") -> dict[str, Any]:
    """The newest good reading of each of the three inputs."""
    inputs = dict(connection.execute(_INPUTS).mappings().one())
    for name, asset in (
        ("export_read_id", "csv_metadata"),
        ("snapshot_id", "s3_inventory"),
        ("patient_read_id", "patient_map"),
    ):
        if inputs[name] is None:
            raise DatabaseError(doing, asset, "it was never read", f"Materialize {asset} first")
    return inputs


def doubts_about(counts: Mapping[str, int], linked_before: int | None) -> Iterator[str]:
    """Why a person should look at a plan before it is applied. Pure."""
    if counts["visible_after"] < counts["visible_before"]:
        yield f"{counts['visible_before'] - counts['visible_after']:,} photographs would no longer be visible"
    if counts["changing_hands"] > counts["visible_before"] * TOLERATED_CHANGING_HANDS:
        yield f"{counts['changing_hands']:,} photographs would move from one living patient to another"
    if linked_before and counts["linked"] < linked_before * (1 - TOLERATED_FEWER_LINKED):
        yield f"only {counts['linked']:,} photographs would be linked, and the last plan linked {linked_before:,}"


#: Problems that have a state of their own in `sql/place/3_states.sql`.
_OWN_STATE = frozenset(
    {Problem.DUPLICATE_RECID, Problem.MISSING_CONTACT, Problem.MALFORMED_CONTACT, Problem.DUPLICATE_IMAGE_ID}
)


def _parameters(
    connection: Connection, settings: Settings, inputs: Mapping[str, Any], plan: int, limit: int | None
) -> dict[str, Any]:
    rules: dict[str, Any] = {
        "zone": settings.clinic_timezone,
        "unreadable": [problem.value for problem in Problem if problem.blocks_linking and problem not in _OWN_STATE],
        "unsupported": list(UNSUPPORTED),
        "mime_types": json.dumps(_mime_types()),
        "dump_prefixes": list(settings.dump_prefixes),
        "import_name": IMPORT_NAME,
        "import_description": IMPORT_DESCRIPTION,
    }
    return {
        **rules,
        "rules": uuid.uuid5(NAMESPACE, f"rules|{RULES}|{json.dumps(rules, sort_keys=True)}").hex,
        "plan": plan,
        "content_type": contract.patient_content_type_id(connection),
        "limit": NO_LIMIT if limit is None else limit,
        "photo_limit": limit,
        "undated_at": inputs["undated_at"],
        "reasons": json.dumps({state.value: state.meaning for state in PhotographState}),
        "export_read_id": inputs["export_read_id"],
        "export_version": inputs["export_version"],
        "patients_version": inputs["patients_fingerprint"],
        "inventory_now": inputs["inventory_version"],
    }


def _rules_differ(last: RowMapping, parameters: Mapping[str, Any]) -> bool:
    return last["rules"] != parameters["rules"] or last["photo_limit"] is not None


def _find_scope(connection: Connection, parameters: dict[str, Any], last: RowMapping | None, *, whole: bool) -> bool:
    """Put what has to be looked at into `touched`; whether that is anything."""
    _run(connection, parameters, "touched", "gone_owner")
    following.find_successors(connection)
    _run(connection, parameters, "present_owner", "analyze_present_owner", "unfamiliar", "remember_uploads")
    following.drop_successors(connection)
    if parameters["restored"]:
        # Only what a person asked for: whatever else has changed waits for the next plan.
        _find_homes(connection, parameters)
        _run(connection, parameters, "touch_restored")
        return True
    if whole or last is None:
        _find_homes(connection, parameters)
        _run(connection, parameters, "touch_everything")
        return bool(connection.execute(_TOUCHED).scalar_one())
    parameters |= {
        "inventory_before": last["inventory_version"],
        "last_plan": last["plan_id"],
        "since": last["planned_at"],
    }
    other_export = last["export_version"] != parameters["export_version"]
    other_people = last["patients_version"] != parameters["patients_version"] or _other_history(connection, last)
    if other_export:
        _run(connection, parameters, "touch_rows")
    if last["inventory_version"] != parameters["inventory_now"]:
        _run(connection, parameters, "touch_objects")
    if other_export or other_people:
        _find_homes(connection, parameters)
        _run(connection, parameters, "touch_homes")
    _run(connection, parameters, *_TOUCHING)
    touched = bool(connection.execute(_TOUCHED).scalar_one())
    if touched and not (other_export or other_people):
        _find_homes(connection, parameters)
    return touched


def _find_homes(connection: Connection, parameters: Mapping[str, Any]) -> None:
    _run(connection, parameters, "contact", "former")
    following.find_successors(connection)
    _run(connection, parameters, "contact_home", "index_contact_home", "analyze_contact_home")


def _other_history(connection: Connection, last: RowMapping) -> bool:
    return bool(connection.execute(_OTHER_HISTORY, {"since": last["planned_at"]}).scalar_one())


def _decide(connection: Connection, parameters: Mapping[str, Any], *, widen: bool) -> None:
    """Decide, and once more for rows of the export that name somebody whom the plan has only now recognised."""
    presumed: list[RowMapping] = []
    while True:
        savepoint = connection.begin_nested()
        _decide_once(connection, parameters, widen=widen)
        known = {"presumed": [str(row["patient_id"]) for row in presumed]}
        named = connection.execute(_SQL["named"], {**parameters, **known}).mappings().all()
        if not named:
            savepoint.commit()
            return
        savepoint.rollback()
        presumed += named
        _find_homes_presuming(connection, parameters, presumed)


def _decide_once(connection: Connection, parameters: Mapping[str, Any], *, widen: bool) -> None:
    """Work out everything in scope, plan what follows from it, and remember it."""
    _run(connection, parameters, "scope", *(_WIDENING if widen else ()), *_DECIDING)
    _mint(connection, _PHOTO_KEYS)
    _settle_days(connection)
    _run(connection, parameters, *_PLANNING, *_REMEMBERING)


def _find_homes_presuming(connection: Connection, parameters: Mapping[str, Any], presumed: list[RowMapping]) -> None:
    """Find who the contacts are as it will be when the plan is applied; the history knows them for just as long."""
    tenures = (tuple(row.values()) for row in presumed)
    copy_rows(connection, "fm_migration.patient_identity", tuple(presumed[0].keys()), tenures)
    connection.execute(text("drop table contact, former, successor, contact_home"))
    _find_homes(connection, parameters)
    facts = {"presumed": [row["patient_id"] for row in presumed]}
    _run(connection, facts, "forget_presumed", "touch_presumed")


def _settle_days(connection: Connection) -> None:
    """Find or mint a batch for every day; a second time round only where staff have moved the one of the first."""
    for number in itertools.count(1):
        attempt = {"attempt": "" if number == 1 else f"|{number}"}
        if not _mint(connection, _DAY_KEYS, attempt):
            return
        _run(connection, attempt, "settle_days")


def _mint(connection: Connection, natural_keys: TextClause, parameters: Mapping[str, str] | None = None) -> int:
    """Compute the ids of what is to be made, a few thousand at a time; how many there are."""
    keys = connection.execute(natural_keys, parameters or {}).scalars()
    minted = 0
    while chunk := keys.fetchmany(MINT_AT_ONCE):
        minted += copy_rows(connection, "minted", ("natural_key", "id"), _minted(chunk))
    if minted:
        connection.execute(text("analyze minted"))
    return minted


def _minted(natural_keys: Sequence[str]) -> Iterator[tuple[str, uuid.UUID]]:
    return ((key, uuid.uuid5(NAMESPACE, key)) for key in natural_keys)


_NO_VISIBILITY = {"shown_now": 0, "shown_then": 0, "changing_hands": 0}


def _finish(
    connection: Connection,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    limit: int | None,
    *,
    changed: bool,
) -> Plan:
    visible: int = _ask(connection, "visible_now", parameters)["visible"]
    moved = dict(_ask(connection, "visibility", parameters)) if changed else _NO_VISIBILITY
    rows = connection.execute(_SQL["states"]).all()
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + row.photographs
    if changed and sum(states.values()) >= MANY_PHOTOS:
        _run(connection, parameters, "analyze_photos", "analyze_recognitions")
    counts = {
        **_ask(connection, "count_changes", parameters),
        "visible_before": visible,
        "visible_after": visible - moved["shown_now"] + moved["shown_then"],
        "changing_hands": moved["changing_hands"],
        "linked": states.get(PhotographState.LINKED, 0) + states.get(PhotographState.PLACED_BY_STAFF, 0),
    }
    # A plan that was limited on purpose links fewer photographs; whatever else is odd about it still counts.
    former: int | None = connection.execute(_FORMER_LINKED).scalar()
    doubts = tuple(doubts_about(counts, former if limit is None else None))
    finished = plans.finish_plan(connection, parameters["plan"], counts=counts, doubts=doubts)
    if not parameters["restored"]:
        _run(connection, parameters, "record_placement")
    version = uuid.uuid5(NAMESPACE, f"{versions_of(inputs)}|{limit}").hex
    return Plan(
        id=parameters["plan"],
        hash=finished.hash,
        counts=counts,
        states=states,
        doubts=doubts,
        version=version,
        rows=sum(row.photographs for row in rows if row.in_export),
        originals=sum(row.originals for row in rows),
    )


def _run(connection: Connection, parameters: Mapping[str, Any], *steps: str) -> None:
    _SQL.run(connection, parameters, *steps)


def _ask(connection: Connection, step: str, parameters: Mapping[str, Any]) -> RowMapping:
    return _SQL.ask(connection, step, parameters)


def _mime_types() -> dict[str, str]:
    """By extension; the thumbnails correct what the name got wrong once they have seen the bytes."""
    table = {
        ending.removeprefix("."): mime
        for ending, mime in mimetypes.types_map.items()
        if mime.startswith("image/") or ending == ".pdf"
    }
    return {**table, "": "image/jpeg", "heic": "image/heic", "heif": "image/heif", "webp": "image/webp"}
