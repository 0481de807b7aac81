"""The identity history: the tenures. Which patient held which FileMaker id, from which reading to which, how it ended.

The clinic deletes its patients and creates them again under new UUIDs. This history outlives that, so a link that
points at a former UUID can be led home. Only read access to the clinic's table is needed; no tenure is ever removed.

Belongs here: reading the patients and keeping the history. Does not belong here: following it (`linking/following.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from fm_migration.errors import ImplausibleInputError
from fm_migration.ledger import sql
from fm_migration.ledger.sql import Script

_SQL = Script(sql.__name__, "identity")
#: For the joins of a large clinic: with PostgreSQL's usual 4 MB a million patients go through its disk several times.
MEMORY = "256MB"
#: Who has been away for so long is not part of a re-import that is under way.
REIMPORT_LASTS = "15 minutes"
#: So long one of several who shared an id counts as its holder after having gone.
AWAITED_FOR = "7 days"
#: From so many changed tenures on, and from this share of all, statistics of yesterday are worse than the time it takes
#: to gather new ones.
MANY_CHANGES = 500
MUCH_CHANGED = 0.1

_TENURES = text("select reltuples from pg_class where oid = 'fm_migration.patient_identity'::regclass")
_SHARING = ("affect", "analyze_affected", "contest", "release", "share")


@dataclass(frozen=True)
class PatientsState:
    """What the patients' table holds now, as far as identity goes."""

    patients: int
    with_filemaker_id: int
    fingerprint: str


@dataclass(frozen=True)
class IdentityUpdate:
    """What a reading of the patients has found, and how the history has changed."""

    reading: int
    fingerprint: str
    data_version: str
    patients: int
    with_filemaker_id: int
    without_filemaker_id: int
    malformed: int
    ambiguous: int
    #: People whom we know by a FileMaker id, and how many of them are there now.
    known: int
    known_present: int
    began: int
    ended: int

    @property
    def absent(self) -> int:
        return self.known - self.known_present


def patients_query() -> str:
    """The patients as they are, with their FileMaker ids read out of either shape of the column."""
    return _SQL.body("look")


def read_state(connection: Connection) -> PatientsState:
    """The fingerprint is computed in the database: no row leaves it."""
    return PatientsState(**_ask_patients(connection, "fingerprint"))


def read_presence(connection: Connection) -> tuple[int, int]:
    """How many people we know as present, or as having been a few minutes ago, and how many of them are there now."""
    found = _ask_patients(connection, "presence", {"reimport_lasts": REIMPORT_LASTS})
    return found["known"], found["known_present"]


def concerns_nobody(connection: Connection) -> bool:
    """Whether all that has changed since the links were made is new patients whom no link and no row waits for."""
    return bool(_ask_patients(connection, "unconcerned")["unconcerned"])


def update_history(connection: Connection, *, run_id: str | None = None) -> IdentityUpdate:
    """Bring the history up to date with the patients as they are, in the caller's transaction.

    A table that is half full is read as it is: whoever is missing is gone, and back when seen again. Nothing is torn
    down because somebody is missing.
    """
    connection.execute(text(f"set local work_mem = '{MEMORY}'"))
    seen = _ask_patients(connection, "survey")
    last = connection.execute(_SQL["last_read"]).mappings().one_or_none()
    if last is not None and last["fingerprint"] == seen["fingerprint"]:
        return _unchanged(connection, seen, last, run_id)
    return _changed(connection, seen, last, run_id)


def refuse_half_imported(patients: int, known: int, known_present: int, tolerated_missing: float) -> None:
    """Stop where the table is empty, or where more of the people we know are missing than is tolerated."""
    missing = known - known_present
    if patients > 0 and missing <= known * tolerated_missing:
        return
    raise ImplausibleInputError(
        "reading",
        "the table patients",
        f"it holds {patients:,} patients, and {missing:,} of the {known:,} known ones are missing",
        "Wait until the re-import is done; after a quarter of an hour whoever is missing counts as removed",
    )


def _unchanged(connection: Connection, seen: RowMapping, last: RowMapping, run_id: str | None) -> IdentityUpdate:
    known = {"known": last["known"], "known_present": last["known_present"]}
    reading = _record(connection, {**seen, **known}, run_id)
    connection.execute(
        text("update fm_migration.patient_read set ambiguous = :ambiguous where id = :id"),
        {"ambiguous": last["ambiguous"], "id": reading},
    )
    return IdentityUpdate(reading=reading, **seen, **known, ambiguous=last["ambiguous"], began=0, ended=0)


def _changed(connection: Connection, seen: RowMapping, last: RowMapping | None, run_id: str | None) -> IdentityUpdate:
    connection.execute(text(_with_patients("differ")))
    _SQL.run(connection, None, "analyze_difference")
    counted = _SQL.ask(connection, "count_difference")
    _refuse_lost_ids(seen, counted["withdrawn"])
    absent = (last["known"] - last["known_present"] if last else 0) + counted["absent"] - counted["returned"]
    present = seen["with_filemaker_id"]
    known = {"known": present + max(absent, 0), "known_present": present}
    reading = _record(connection, {**seen, **known}, run_id)
    parameters = {"reading": reading, "awaited_for": AWAITED_FOR}
    ended, began = (_run(connection, step, parameters) for step in ("end", "begin"))
    if _run(connection, "doubt", parameters):
        _run(connection, "pass", parameters)
    _run(connection, "rewrite", parameters)
    tenures = connection.execute(_TENURES).scalar_one()
    if ended + began >= max(MANY_CHANGES, tenures * MUCH_CHANGED):
        _SQL.run(connection, None, "analyze")
    for step in _SHARING:
        _run(connection, step, parameters)
    ambiguous = _SQL.ask(connection, "count_ambiguous", parameters)["ambiguous"]
    for table in ("difference", "doubtful", "affected", "contested"):
        connection.execute(text(f"drop table {table}"))
    return IdentityUpdate(reading=reading, **seen, **known, ambiguous=ambiguous, began=began, ended=ended)


def _refuse_lost_ids(seen: RowMapping, withdrawn: int) -> None:
    """Nobody corrects everybody at once: ids that have all gone from patients who stay are in another place now."""
    if seen["with_filemaker_id"] == 0 and withdrawn > 1:
        raise ImplausibleInputError(
            "reading",
            "the table patients",
            f"none of the {seen['patients']:,} patients has a FileMaker id, and {withdrawn:,} of them had one",
            'See that filemaker_metadata still holds it as "filemaker_id"; nothing was changed',
        )


def _record(connection: Connection, facts: Mapping[str, Any], run_id: str | None) -> int:
    recorded = _SQL.ask(connection, "record", {**facts, "run_id": run_id})
    return int(recorded["id"])


def _run(connection: Connection, step: str, parameters: Mapping[str, Any]) -> int:
    return _SQL.run(connection, parameters, step)[step]


def _ask_patients(connection: Connection, step: str, parameters: Mapping[str, Any] | None = None) -> RowMapping:
    return connection.execute(text(_with_patients(step)), parameters or {}).mappings().one()


def _with_patients(step: str) -> str:
    return _SQL.body(step).replace("{look}", patients_query())
