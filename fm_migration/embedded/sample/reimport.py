"""Playing what the clinic's script does to its patients: delete them 100 at a time, then create them again.

Belongs here: the damage, done exactly as the clinic does it. Healing it is what the rest of the project is for.
The people come from the table itself, so it works on any clinic. Patients that FileMaker does not know are not in the
script's Excel file, and stay. Notes go with their patients and are not made again; batches, images and documents are
not touched, because nothing in the database says that they belong to anybody.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from fm_migration.embedded.sample.model import patient_uuid

#: Tables that Django protects a patient for: their rows stop a deletion instead of going with it.
_PROTECTING = ("appointment", "encounter")
#: How far we look for the generation of a UUID.
_MOST_GENERATIONS = 10_000


@dataclass(frozen=True, slots=True)
class ReimportStep:
    """One committed transaction of a re-import."""

    phase: Literal["deleting", "creating", "updating"]
    done: int
    total: int


def play_reimport(
    connection: psycopg.Connection[Any],
    *,
    seed: int,
    batch: int = 100,
    pause: float = 0.0,
    keep_ids: bool = False,
    generation: int | None = None,
) -> Iterator[ReimportStep]:
    """Re-import the patients, a step for each transaction; `pause` seconds pass after each.

    Nothing happens but when the iterator is asked, so a caller can stop with the table half full; the people are
    then gone, as they would be at the clinic. New UUIDs follow from the seed and the generation, which is the one
    after the present when not given. With `keep_ids` there is no delete step, and everybody keeps their UUID.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise ValueError("a re-import commits after every step: its connection must be outside a transaction")
    people = _read_people(connection)
    if keep_ids:
        yield from _update(connection, people, batch, pause)
        return
    keys = [_lasting_key(person) for person in people]
    following = generation or _present_generation(seed, people, keys) + 1
    now = dt.datetime.now(dt.UTC).isoformat()
    newborn = [
        person | {"id": str(patient_uuid(seed, key, following)), "created_at": now, "updated_at": now}
        for person, key in zip(people, keys, strict=True)
    ]
    cascading = _tables_that_cascade(connection)
    for start in range(0, len(people), batch):
        gone = [person["id"] for person in people[start : start + batch]]
        with connection.transaction():
            for table in cascading:
                connection.execute(sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(*table), (gone,))
            connection.execute("DELETE FROM patients WHERE id = ANY(%s)", (gone,))
        yield ReimportStep("deleting", start + len(gone), len(people))
        time.sleep(pause)
    for start in range(0, len(newborn), batch):
        born = newborn[start : start + batch]
        with connection.transaction():
            connection.execute(
                "INSERT INTO patients SELECT * FROM jsonb_populate_recordset(NULL::patients, %s)", (Jsonb(born),)
            )
        yield ReimportStep("creating", start + len(born), len(newborn))
        time.sleep(pause)


def _read_people(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Everybody that FileMaker knows, as whole rows in JSON, in the order of the Excel file."""
    with connection.transaction():
        found = connection.execute(
            "SELECT to_jsonb(p) FROM patients p WHERE p.filemaker_metadata IS NOT NULL ORDER BY p.mrn, p.id"
        ).fetchall()
    return [person for (person,) in found]


def _lasting_key(person: dict[str, Any]) -> str:
    # The record number lasts from import to import; somebody without one has only the present UUID.
    return str(person["mrn"] or person["id"])


def _present_generation(seed: int, people: list[dict[str, Any]], keys: list[str]) -> int:
    """Which generation the UUIDs are of, 0 when they are none of this seed's."""
    if not people:
        return 0
    present = uuid.UUID(people[0]["id"])
    tried = range(1, _MOST_GENERATIONS)
    return next((n for n in tried if patient_uuid(seed, keys[0], n) == present), 0)


def _tables_that_cascade(connection: psycopg.Connection[Any]) -> list[tuple[sql.Identifier, sql.Identifier]]:
    """Tables with a real foreign key to the patients: Django deletes their rows before the patients'."""
    with connection.transaction():
        found = connection.execute(
            """
            SELECT n.nspname, r.relname, a.attname
            FROM pg_constraint c
            JOIN pg_class r ON r.oid = c.conrelid
            JOIN pg_namespace n ON n.oid = r.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.contype = 'f' AND c.confrelid = 'patients'::regclass
            """
        ).fetchall()
    return [
        (sql.Identifier(schema, table), sql.Identifier(column))
        for schema, table, column in found
        if not any(word in table for word in _PROTECTING)
    ]


def _update(
    connection: psycopg.Connection[Any], people: list[dict[str, Any]], batch: int, pause: float
) -> Iterator[ReimportStep]:
    for start in range(0, len(people), batch):
        ids = [person["id"] for person in people[start : start + batch]]
        with connection.transaction():
            connection.execute("UPDATE patients SET updated_at = now() WHERE id = ANY(%s)", (ids,))
        yield ReimportStep("updating", start + len(ids), len(people))
        time.sleep(pause)
