"""People in the clinic's table, for tests of the identity history."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

from sqlalchemy import Engine, text

INSERT = text("""
insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
values (:id, 'Anna', 'Muster', false, now(), now(), cast(:metadata as jsonb))
""")


def add_patients(engine: Engine, pairs: Iterable[tuple[uuid.UUID, str | None]]) -> None:
    """Patients with these UUIDs and FileMaker ids."""
    with engine.begin() as connection:
        for patient_id, filemaker_id in pairs:
            metadata = None if filemaker_id is None else json.dumps({"filemaker_id": filemaker_id, "zip": "3000"})
            connection.execute(INSERT, {"id": patient_id, "metadata": metadata})


def remove_patients(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from patients"))
