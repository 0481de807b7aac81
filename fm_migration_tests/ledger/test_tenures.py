"""Migration 0008 on a database with a history: pairs become tenures, and tenures pairs again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration import database
from fm_migration.ledger import identity, schema
from fm_migration_tests.ledger.conftest import add_patients

_READING = text("""
insert into fm_migration.patient_read
    (fingerprint, data_version, patients, with_filemaker_id, known, known_present, read_at)
values ('f', 'v', 1, 1, 1, 1, timestamptz '2025-01-01' + :day * interval '1 day')
""")
_PAIR = text("""
insert into fm_migration.patient_identity (filemaker_id, patient_id, current, first_seen, last_seen)
values (:person, :patient, :current, timestamptz '2025-01-01' + :first * interval '1 day',
        timestamptz '2025-01-01' + :last * interval '1 day')
""")
_PAIRS = "select filemaker_id, patient_id, current, first_seen, last_seen from fm_migration.patient_identity"
_TENURES = """
select patient_id, filemaker_id, began, ended, ending, shared or twin as shared, awaited or passed or recognised as more
from fm_migration.patient_identity
"""
_ROW = text("""
insert into fm_migration.csv_metadata
    (row_number, record_number, recid, image_id, contact_text, date_text, file_name, type_text, category,
     nexus_export_date, raw, problems)
values (:number, :number + 1, :recid, :image, '', '', '', '', '', '', '', '{}')
""")

ANNA, BERT, SHARED = (uuid.UUID(int=number) for number in (1, 2, 3))
ANNA_FORMER, ANNA_NOW, CORRECTED, ONE, OTHER = (uuid.UUID(int=number) for number in range(11, 16))
IMAGE = uuid.UUID(int=99)

#: Anna was re-imported on day 2; Bert's id was another patient's until day 3; two share an id since day 2.
PAIRS = (
    {"person": ANNA, "patient": ANNA_FORMER, "current": False, "first": 1, "last": 1},
    {"person": ANNA, "patient": ANNA_NOW, "current": True, "first": 2, "last": 3},
    {"person": BERT, "patient": CORRECTED, "current": False, "first": 1, "last": 2},
    {"person": CORRECTED, "patient": CORRECTED, "current": True, "first": 3, "last": 3},
    {"person": SHARED, "patient": ONE, "current": True, "first": 1, "last": 3},
    {"person": SHARED, "patient": OTHER, "current": True, "first": 2, "last": 3},
)


@pytest.fixture
def before(empty_database: str) -> Iterator[Engine]:
    """A database at the version before, after three readings."""
    engine = database.open_engine(empty_database)
    schema.upgrade(engine, "0007")
    with engine.begin() as connection:
        for day in (1, 2, 3):
            connection.execute(_READING, {"day": day})
        for pair in PAIRS:
            connection.execute(_PAIR, pair)
    yield engine
    engine.dispose()


def _rows(engine: Engine, query: str) -> set[tuple[Any, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text(query))}


def test_pairs_become_tenures(before: Engine) -> None:
    schema.upgrade(before, "0008")
    tenures = {row[0:2]: row[2:] for row in _rows(before, _TENURES)}
    assert tenures == {
        (ANNA_FORMER, ANNA): (1, 1, "gone", False, False),
        (ANNA_NOW, ANNA): (2, None, None, False, False),
        (CORRECTED, BERT): (1, 2, "withdrawn", False, False),
        (CORRECTED, CORRECTED): (3, None, None, False, False),
        (ONE, SHARED): (1, None, None, True, False),
        (OTHER, SHARED): (2, None, None, True, False),
    }


def test_the_next_reading_goes_on_from_there(clinic_database: str) -> None:
    """On a clinic's own tables: nobody is taken for new who was known."""
    engine = database.open_engine(clinic_database)
    schema.downgrade(engine, "0007")
    with engine.begin() as connection:
        connection.execute(_READING, {"day": 1})
        for pair in PAIRS:
            connection.execute(_PAIR, pair)
    schema.upgrade(engine)
    present = [(pair["patient"], str(pair["person"]).lower()) for pair in PAIRS if pair["current"]]
    add_patients(engine, present)  # type: ignore[arg-type]
    with engine.begin() as connection:
        update = identity.update_history(connection)
    assert (update.began, update.ended, update.ambiguous) == (0, 0, 1)
    engine.dispose()


def test_down_again_there_are_the_same_pairs(before: Engine) -> None:
    pairs = {row[:3] for row in _rows(before, _PAIRS)}
    schema.upgrade(before, "0008")
    with before.begin() as connection:
        # What only the later version knows: a patient without an id.
        connection.execute(
            text("insert into fm_migration.patient_identity (patient_id, began, written) values (:id, 1, '')"),
            {"id": uuid.uuid4()},
        )
    schema.downgrade(before, "0007")
    assert {row[:3] for row in _rows(before, _PAIRS)} == pairs
    with before.connect() as connection:
        shared = connection.execute(text("select filemaker_id from fm_migration.ambiguous_identity")).scalars().all()
    assert shared == [SHARED]


def test_every_row_of_the_export_is_named_once(before: Engine) -> None:
    """By its recid, else its image id, else its number; of several of one name all but the first bear a number."""
    with before.begin() as connection:
        for number, (recid, image) in enumerate(
            [("7", IMAGE), ("7", None), (None, IMAGE), (None, None), ("8", None)], start=1
        ):
            connection.execute(_ROW, {"number": number, "recid": recid, "image": image})
    schema.upgrade(before, "0008")
    named = _rows(before, "select row_number, photo from fm_migration.csv_metadata")
    assert named == {(1, "recid 7"), (2, "recid 7 (2)"), (3, f"image {IMAGE}"), (4, "row 4"), (5, "recid 8")}


def test_what_was_planned_before_is_worked_out_anew(before: Engine) -> None:
    schema.upgrade(before, "0008")
    assert _rows(before, "select * from fm_migration.placement") == set()
    assert _rows(before, "select * from fm_migration.photo") == set()
    assert _rows(before, "select undone_plan from fm_migration.consumed where undone_plan is not null") == set()
