"""What would change in the clinic's tables so that every photograph hangs on its patient: planned, not yet done.

Belongs here: making a plan in our schema, its hash, and whether a person must approve it. The decisions themselves are
in `sql/plan.sql`. Does not belong here: writing to a table of the clinic (`plans/`).
"""

from __future__ import annotations

import itertools
import json
import mimetypes
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.clinic.states import State
from fm_migration.errors import DatabaseError
from fm_migration.filemaker.problems import Problem
from fm_migration.ledger import NAMESPACE, schema
from fm_migration.ledger import sql as statements
from fm_migration.ledger.copying import copy_rows
from fm_migration.linking import sql
from fm_migration.settings import Settings

PACKAGE = sql.__name__

MINT_AT_ONCE = 20_000
NO_LIMIT = 2**62

#: Files that clinicians attach to a record and that are no photographs.
UNSUPPORTED = ("doc", "docx", "xls", "xlsx", "txt", "csv", "zip", "exe", "mov", "mp4", "avi", "mp3", "wav", "ds_store")

#: What no plan of ours would do by itself: photographs that lose their gallery, or change it in number.
TOLERATED_CHANGING_HANDS = 0.01
TOLERATED_FEWER_LINKED = 0.10

#: Read in the order of the file; what follows them needs Python in between.
_BEFORE_MINTING = (
    "live", "successor", "contact_home", "original", "index_original", "candidate", "analyze_candidate", "match",
    "written", "album", "verdict", "placement", "session", "minted",
)  # fmt: skip
_AFTER_MINTING = (
    "target", "analyze_target", "plan_new_batches", "plan_new_images", "plan_moves_and_fills", "plan_batches",
    "plan_recognitions",
)  # fmt: skip
_RECORDING = ("forget_photos", "record_photos")

_PHOTO_KEYS = text("""
select 'photo|' || natural_key from candidate join placement using (row_number) where placement.decision = 'create'
""")
_SESSION_KEYS = text("select 'batch|' || natural_key || cast(:attempt as text) from session where batch_id is null")
_INPUTS = text("""
select (select max(id) from fm_migration.export_read) as export_read_id,
       (select data_version from fm_migration.export_read order by id desc limit 1) as export_version,
       (select max(id) from fm_migration.inventory_snapshot) as snapshot_id,
       (select coalesce(max(greatest(first_seen, changed, coalesce(vanished, 0))), 0)
        from fm_migration.s3_inventory) as inventory_version,
       (select max(id) from fm_migration.patient_read) as patient_read_id,
       (select data_version from fm_migration.patient_read order by id desc limit 1) as patients_version,
       (select read_at from fm_migration.export_read order by id limit 1) as undated_at
""")
_STATES = text("select state, count(*) as photographs from fm_migration.photo group by 1")
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

    @property
    def changes(self) -> int:
        return self.counts["changes"]

    @property
    def rows(self) -> int:
        """How many rows of the export are accounted for."""
        return sum(count for state, count in self.states.items() if state != State.NO_METADATA)


def make_plan(
    connection: Connection, settings: Settings, *, limit: int | None = None, run_id: str | None = None
) -> Plan:
    """Plan in the caller's transaction, from the staging tables and the clinic's tables as they are."""
    schema.require_current(connection)
    contract.verify(connection)
    inputs = read_inputs(connection)
    readings = {name: inputs[name] for name in ("export_read_id", "snapshot_id", "patient_read_id")}
    plan_id = plans.open_plan(
        connection, "photographs", inputs=versions_of(inputs), photo_limit=limit, run_id=run_id, **readings
    )
    parameters = {
        "plan": plan_id,
        "content_type": contract.patient_content_type_id(connection),
        "limit": limit or NO_LIMIT,
        "zone": settings.clinic_timezone,
        "undated_at": inputs["undated_at"],
        "unreadable": [problem.value for problem in Problem if problem.blocks_linking and problem not in _OWN_STATE],
        "unsupported": list(UNSUPPORTED),
        "mime_types": json.dumps(_mime_types()),
        "reasons": json.dumps({state.value: state.meaning for state in State}),
    }
    for step in _BEFORE_MINTING:
        statements.run(connection, PACKAGE, "plan", parameters, only=step)
    _mint(connection, _PHOTO_KEYS)
    _settle_sessions(connection)
    for step in (*_AFTER_MINTING, *_RECORDING):
        statements.run(connection, PACKAGE, "plan", parameters, only=step)
    return _finish(connection, inputs, parameters)


#: From so many rows on, working by statistics of yesterday takes longer than gathering new ones.
MANY_PHOTOS = 10_000
#: Problems that have a state of their own in `sql/plan.sql`.
_OWN_STATE = frozenset(
    {Problem.DUPLICATE_RECID, Problem.MISSING_CONTACT, Problem.MALFORMED_CONTACT, Problem.DUPLICATE_IMAGE_ID}
)


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


def _settle_sessions(connection: Connection) -> None:
    """Find or mint a batch for every session; a second time round only where staff have moved the one of the first."""
    for number in itertools.count(1):
        attempt = {"attempt": "" if number == 1 else f"|{number}"}
        if not _mint(connection, _SESSION_KEYS, attempt):
            return
        statements.run(connection, PACKAGE, "plan", attempt, only="settle_sessions")


def _mint(connection: Connection, natural_keys: TextClause, parameters: Mapping[str, str] | None = None) -> int:
    """Compute the ids of what is to be made, a few thousand at a time; how many there are."""
    keys = connection.execute(natural_keys, parameters or {}).scalars()
    minted = 0
    while chunk := keys.fetchmany(MINT_AT_ONCE):
        minted += copy_rows(connection, "minted", ("natural_key", "id"), _minted(chunk))
    connection.execute(text("analyze minted"))
    return minted


def _minted(natural_keys: Sequence[str]) -> Iterator[tuple[str, uuid.UUID]]:
    return ((key, uuid.uuid5(NAMESPACE, key)) for key in natural_keys)


def _finish(connection: Connection, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Plan:
    visibility = statements.ask(connection, PACKAGE, "plan", "visibility", parameters)
    changes = statements.ask(connection, PACKAGE, "plan", "count_changes", parameters)
    states: dict[str, int] = {row.state: row.photographs for row in connection.execute(_STATES)}
    former: int | None = connection.execute(_FORMER_LINKED).scalar()
    if sum(states.values()) >= MANY_PHOTOS:
        statements.run(connection, PACKAGE, "plan", parameters, only="analyze_photos")
    counts = {**changes, **visibility, "linked": states.get(State.LINKED, 0) + states.get(State.PLACED_BY_STAFF, 0)}
    # A plan that was limited on purpose links fewer photographs; whatever else is odd about it still counts.
    doubts = tuple(doubts_about(counts, former if parameters["limit"] == NO_LIMIT else None))
    plan_hash = plans.finish_plan(connection, parameters["plan"], counts=counts, doubts=doubts).hash
    version = uuid.uuid5(NAMESPACE, f"{versions_of(inputs)}|{parameters['limit']}").hex
    return Plan(parameters["plan"], plan_hash, counts, states, doubts, version)


def doubts_about(counts: Mapping[str, int], linked_before: int | None) -> Iterator[str]:
    """Why a person should look at a plan before it is applied. Pure."""
    if counts["visible_after"] < counts["visible_before"]:
        yield f"{counts['visible_before'] - counts['visible_after']:,} photographs would no longer be visible"
    if counts["changing_hands"] > counts["visible_before"] * TOLERATED_CHANGING_HANDS:
        yield f"{counts['changing_hands']:,} photographs would move from one living patient to another"
    if linked_before and counts["linked"] < linked_before * (1 - TOLERATED_FEWER_LINKED):
        yield f"only {counts['linked']:,} photographs would be linked, and the last plan linked {linked_before:,}"


def _mime_types() -> dict[str, str]:
    """By extension; the thumbnails correct what the name got wrong once they have seen the bytes."""
    table = {
        ending.removeprefix("."): mime
        for ending, mime in mimetypes.types_map.items()
        if mime.startswith("image/") or ending == ".pdf"
    }
    return {**table, "": "image/jpeg", "heic": "image/heic", "heif": "image/heif", "webp": "image/webp"}
