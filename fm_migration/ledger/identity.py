"""The identity history: every pair of FileMaker id and patient UUID ever seen, and which of them hold now.

The clinic deletes its patients and creates them again under new UUIDs. This history outlives that, so a link that
points at a former UUID can be led home. Only read access to the clinic's table is needed, and no pair is ever removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.errors import ImplausibleInputError
from fm_migration.ledger import sql

PACKAGE = sql.__name__
#: For the joins of a large clinic: with PostgreSQL's usual 4 MB a million patients go through its disk several times.
MEMORY = "256MB"


@dataclass(frozen=True)
class PatientsState:
    """What the patients' table holds now, as far as identity goes."""

    patients: int
    with_filemaker_id: int
    fingerprint: str


@dataclass(frozen=True)
class IdentityUpdate:
    """What an update of the history has found and done."""

    fingerprint: str
    data_version: str
    patients: int
    with_filemaker_id: int
    without_filemaker_id: int
    malformed: int
    ambiguous: int
    known: int
    known_present: int
    learned: int
    retired: int
    returned: int


def patients_query() -> str:
    """The patients as they are, with their FileMaker ids read out of either shape of the column."""
    return sql.steps(PACKAGE, "identity")["look"]


def read_state(connection: Connection) -> PatientsState:
    """The fingerprint is computed in the database: no row leaves it."""
    fingerprint = sql.steps(PACKAGE, "identity")["fingerprint"]
    found = connection.execute(text(f"with patient_now as ({patients_query()}) {fingerprint}")).mappings().one()
    return PatientsState(**found)


def read_presence(connection: Connection) -> tuple[int, int]:
    """How many FileMaker ids we know as current, and how many of them are in the patients' table now."""
    survey = sql.steps(PACKAGE, "identity")["survey"]
    found = connection.execute(text(f"with patient_now as ({patients_query()}) {survey}")).mappings().one()
    return found["known"], found["known_present"]


def update_history(
    connection: Connection, *, tolerated_missing: float, accept_missing: bool = False, run_id: str | None = None
) -> IdentityUpdate:
    """Bring the history up to date in the caller's transaction, or refuse because a re-import is under way.

    While a re-import deletes and creates, known people are missing from the table. Taking that for the truth would
    make orphans of them; so when more are missing than is tolerated, nothing is changed and the caller is told.
    """
    connection.execute(text(f"set local work_mem = '{MEMORY}'"))
    connection.execute(text(f"create temporary table patient_now on commit drop as {patients_query()}"))
    connection.execute(text("analyze patient_now"))
    state = sql.ask(connection, PACKAGE, "identity", "fingerprint")
    seen = sql.ask(connection, PACKAGE, "identity", "survey")
    if not accept_missing:
        refuse_half_imported(seen["patients"], seen["known"], seen["known_present"], tolerated_missing)
    retired, returned, learned = (
        sql.run(connection, PACKAGE, "identity", only=step)[step] for step in ("retire", "return", "learn")
    )
    facts = {**seen, "fingerprint": state["fingerprint"]}
    sql.run(connection, PACKAGE, "identity", {**facts, "run_id": run_id}, only="record")
    return IdentityUpdate(**facts, learned=learned, retired=retired, returned=returned)


def refuse_half_imported(patients: int, known: int, known_present: int, tolerated_missing: float) -> None:
    """Stop where the table is empty, or where more of the people we know are missing than is tolerated."""
    missing = known - known_present
    if patients > 0 and missing <= known * tolerated_missing:
        return
    raise ImplausibleInputError(
        "reading",
        "the table patients",
        f"it holds {patients:,} patients, and {missing:,} of the {known:,} known ones are missing",
        "Wait until the re-import is done and run again; if these patients were really removed, run with "
        "accept_missing: true",
    )
