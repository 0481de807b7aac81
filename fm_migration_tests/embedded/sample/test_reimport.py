"""A re-import: everybody gone, everybody back under another UUID, and nothing that pointed at them noticed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import psycopg
import pytest

from fm_migration.embedded.sample.model import Clinic, Variant, patient_uuid
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration_tests.embedded.sample.conftest import SEED, Place

Built = Callable[[Variant], tuple[Place, Clinic]]
PEOPLE = """
    SELECT mrn, first_name, last_name, dob, archived, filemaker_metadata::text FROM patients ORDER BY mrn
"""
IDS = "SELECT mrn, id FROM patients ORDER BY mrn"
DANGLING = """
    SELECT count(*) FROM images_batch b WHERE NOT EXISTS (SELECT FROM patients p WHERE p.id = b.object_id)
"""


def test_everybody_comes_back_under_a_new_uuid_and_the_batches_dangle(built: Built) -> None:
    place, clinic = built("imported")
    people, ids = place.ask(PEOPLE), dict(place.ask(IDS))
    untouched = " UNION ALL ".join(
        f"SELECT xmin::text FROM {table}" for table in ("images_batch", "documents_document", "contact_relationships")
    )
    rows = place.ask(untouched)
    assert place.number(DANGLING) == 0
    list(play_reimport(place.connection, seed=SEED))
    assert place.ask(PEOPLE) == people, "the same people, metadata and all"
    now = dict(place.ask(IDS))
    from_filemaker = [p for p in clinic.patients if p.filemaker_id]
    assert all(now[p.mrn] == patient_uuid(SEED, p.mrn, 2) != ids[p.mrn] for p in from_filemaker)
    typed_in = {p.mrn: p.id for p in clinic.patients if not p.filemaker_id}
    assert typed_in.items() <= now.items()
    kept = sum(batch.object_id in typed_in.values() for batch in clinic.batches)
    assert place.number(DANGLING) == len(clinic.batches) - kept
    assert place.ask(untouched) == rows, "nothing that pointed at them was touched"


def test_every_re_import_gives_other_uuids_that_the_seed_determines(built: Built) -> None:
    place, clinic = built("stale")
    seen = [dict(place.ask(IDS))]
    for generation in (11, 12):
        list(play_reimport(place.connection, seed=SEED))
        seen.append(dict(place.ask(IDS)))
        expected = {p.mrn: patient_uuid(SEED, p.mrn, generation) for p in clinic.patients if p.filemaker_id}
        assert expected.items() <= seen[-1].items()
    list(play_reimport(place.connection, seed=SEED, generation=11))
    assert dict(place.ask(IDS)) == seen[1]


def test_steps_are_committed_one_by_one(built: Built) -> None:
    """Somebody else's connection sees the table shrink, stand empty but for hand-entered people, and grow."""
    place, clinic = built("fresh")
    stays = clinic.mess["hand_entered_patient"]
    with psycopg.connect(place.url, autocommit=True) as onlooker:
        for step in play_reimport(place.connection, seed=SEED, batch=25):
            row = onlooker.execute("SELECT count(*) FROM patients").fetchone()
            present = row[0] - stays if row else 0
            assert present == (step.total - step.done if step.phase == "deleting" else step.done)
            assert step.done % 25 == 0 or step.done == step.total


def test_a_re_import_can_be_left_half_done(built: Built) -> None:
    place, clinic = built("fresh")
    total = len(clinic.patients) - clinic.mess["hand_entered_patient"]
    deletions = -(-total // 10)
    list(islice(play_reimport(place.connection, seed=SEED, batch=10), deletions + 2))
    present = place.number("SELECT count(*) FROM patients WHERE filemaker_metadata IS NOT NULL")
    assert present == 20


def test_without_the_delete_step_everybody_keeps_their_uuid(built: Built) -> None:
    place, _ = built("imported")
    ids, people = place.ask(IDS), place.ask(PEOPLE)
    updated = place.number("SELECT count(DISTINCT updated_at) FROM patients")
    steps = list(play_reimport(place.connection, seed=SEED, batch=20, keep_ids=True))
    assert {step.phase for step in steps} == {"updating"}
    assert (place.ask(IDS), place.ask(PEOPLE)) == (ids, people)
    assert place.number("SELECT count(DISTINCT updated_at) FROM patients") > updated
    assert place.number(DANGLING) == 0


def test_notes_go_with_their_patients_and_appointments_protect_them(built: Built) -> None:
    place, clinic = built("fresh")
    patient = clinic.patients[0].id
    with place.connection.transaction():
        place.connection.execute(
            "INSERT INTO notes_note (id, patient_id, body, created_at) VALUES (gen_random_uuid(), %s, '', now())",
            [patient],
        )
    list(play_reimport(place.connection, seed=SEED))
    assert place.number("SELECT count(*) FROM notes_note") == 0
    with place.connection.transaction():
        place.connection.execute(
            "INSERT INTO appointments_appointment (id, patient_id, starts_at, kind)"
            " SELECT gen_random_uuid(), id, now(), 'review' FROM patients ORDER BY mrn LIMIT 1"
        )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        list(play_reimport(place.connection, seed=SEED))
    assert place.number("SELECT count(*) FROM patients") == len(clinic.patients)


def test_a_connection_in_a_transaction_is_refused(place: Place) -> None:
    place.connection.execute("SELECT 1")
    with pytest.raises(ValueError, match="outside"):
        list(play_reimport(place.connection, seed=1))
    with pytest.raises(ValueError, match="outside"):
        place.build(design_clinic(0.0, 1))
