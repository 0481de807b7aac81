"""Which state of the patients the links were made from: written in the same transaction as the links.

A sensor compares it with the patients as they are. Two consumers keep their own: the links, which follow their
patients, and the photographs, which are placed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

LINKS, PHOTOGRAPHS = "links", "photographs"

_READ_FINGERPRINT = text("select fingerprint from fm_migration.patient_read where id = :id")
_CONSUME = text("""
insert into fm_migration.consumed (consumer, fingerprint, run_id) values (:consumer, :fingerprint, :run_id)
on conflict (consumer) do update
set fingerprint = excluded.fingerprint, run_id = excluded.run_id, at = now(), undone_plan = null
""")
_CONSUMED = text("""
select case when count(*) filter (where consumer = 'photographs') = 0 then null
            when count(*) = 2 and min(fingerprint) = max(fingerprint) then min(fingerprint)
            else '' end as fingerprint,
       max(undone_plan) as undone_plan
from fm_migration.consumed
""")
_UNDONE = text("update fm_migration.consumed set undone_plan = :plan where consumer = 'links'")


@dataclass(frozen=True)
class Consumed:
    """The state of the patients that all links were made from.

    `fingerprint` is None before the first import, and empty when the two consumers differ.
    """

    fingerprint: str | None
    #: The plan of links that a person has undone since: these patients are not followed again by themselves.
    undone_plan: int | None


def consume(connection: Connection, consumer: str, patient_read: int, run_id: str | None) -> None:
    """Note the state of the patients that links are made from."""
    fingerprint: str = connection.execute(_READ_FINGERPRINT, {"id": patient_read}).scalar_one()
    connection.execute(_CONSUME, {"consumer": consumer, "fingerprint": fingerprint, "run_id": run_id})


def consumed(connection: Connection) -> Consumed:
    """What the links were made from."""
    row = connection.execute(_CONSUMED).one()
    return Consumed(row.fingerprint, row.undone_plan)


def note_undone(connection: Connection, plan: int) -> None:
    """A person has undone a plan of links: until the patients change again, nothing follows by itself."""
    connection.execute(_UNDONE, {"plan": plan})
