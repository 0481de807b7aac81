"""The identity history: forgets nobody, invents nobody, and does not take a half-done re-import for the truth."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from fm_migration import database
from fm_migration.errors import ImplausibleInputError
from fm_migration.ledger import identity
from fm_migration_tests.ledger.conftest import add_patients, remove_patients


def _update(engine: Engine, **options: Any) -> identity.IdentityUpdate:
    with engine.begin() as connection:
        return identity.update_history(connection, **{"tolerated_missing": 0.02, **options})


def _history(engine: Engine) -> set[tuple[uuid.UUID, uuid.UUID, bool]]:
    with engine.connect() as connection:
        rows = connection.execute(text("select filemaker_id, patient_id, current from fm_migration.patient_identity"))
        return {(row.filemaker_id, row.patient_id, row.current) for row in rows}


def _ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def test_a_reimport_retires_every_old_uuid_and_learns_every_new_one(engine: Engine) -> None:
    people, old, new = _ids(5), _ids(5), _ids(5)
    add_patients(engine, zip(old, map(str, people), strict=True))
    first = _update(engine)
    remove_patients(engine)
    add_patients(engine, zip(new, (str(person).upper() for person in people), strict=True))
    second = _update(engine)
    assert (second.learned, second.retired, second.known, second.known_present) == (5, 5, 5, 5)
    assert second.data_version != first.data_version
    expected = {(p, o, False) for p, o in zip(people, old, strict=True)}
    expected |= {(p, n, True) for p, n in zip(people, new, strict=True)}
    assert _history(engine) == expected


def test_unchanged_patients_give_the_same_version_and_cost_no_write(engine: Engine) -> None:
    add_patients(engine, zip(_ids(3), map(str, _ids(3)), strict=True))
    first = _update(engine)
    with engine.begin() as connection:
        connection.execute(text("update patients set first_name = 'Berta', archived = true"))
    second = _update(engine)
    assert second.data_version == first.data_version
    assert (second.learned, second.retired, second.returned) == (0, 0, 0)


def test_ids_that_differ_in_case_are_one(engine: Engine) -> None:
    """Failure catalogue 4: FileMaker ids differ in case between the CSV and the app."""
    person, patient = uuid.uuid4(), uuid.uuid4()
    add_patients(engine, [(patient, str(person))])
    lower = _update(engine)
    with engine.begin() as connection:
        connection.execute(
            text("update patients set filemaker_metadata = jsonb_build_object('filemaker_id', upper(:id))"),
            {"id": str(person)},
        )
    assert _update(engine).data_version == lower.data_version
    assert _history(engine) == {(person, patient, True)}


def test_both_shapes_of_the_metadata_are_read(engine: Engine) -> None:
    person, patient = uuid.uuid4(), uuid.uuid4()
    add_patients(engine, [(patient, None)])
    with engine.begin() as connection:
        statement = "update patients set filemaker_metadata = to_jsonb(cast(:text as text))"
        connection.execute(text(statement), {"text": f'{{"a": 1, "filemaker_id" : "{str(person).upper()}"}}'})
    _update(engine)
    assert _history(engine) == {(person, patient, True)}


def test_two_patients_of_one_id_are_counted_and_both_kept(engine: Engine) -> None:
    """Failure catalogue 4: two patients share one FileMaker id."""
    person, patients = uuid.uuid4(), _ids(2)
    add_patients(engine, [(patient, str(person)) for patient in patients])
    assert _update(engine).ambiguous == 1
    assert _history(engine) == {(person, patient, True) for patient in patients}


def test_of_two_patients_of_one_id_both_must_be_back(engine: Engine) -> None:
    """With one of them back, their id would look unambiguous, and everything of both would be linked to the one."""
    person, patients = uuid.uuid4(), _ids(2)
    add_patients(engine, [(patient, str(person)) for patient in patients])
    _update(engine)
    remove_patients(engine)
    add_patients(engine, [(uuid.uuid4(), str(person))])
    with pytest.raises(ImplausibleInputError, match="1 of the 2 known ones are missing"):
        _update(engine)


def test_a_merged_patient_may_have_two_ids_in_the_course_of_time(engine: Engine) -> None:
    patient, first, second = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    add_patients(engine, [(patient, str(first))])
    _update(engine)
    remove_patients(engine)
    add_patients(engine, [(patient, str(second))])
    _update(engine, accept_missing=True)
    assert _history(engine) == {(first, patient, False), (second, patient, True)}


def test_an_id_that_is_no_uuid_is_counted_and_stops_nothing(engine: Engine) -> None:
    """Failure catalogue 4: an id that is no UUID aborted the clinic's whole run."""
    good = uuid.uuid4()
    add_patients(engine, [(uuid.uuid4(), "not-a-uuid"), (good, str(good)), (uuid.uuid4(), None), (uuid.uuid4(), "")])
    update = _update(engine)
    assert (update.malformed, update.with_filemaker_id, update.without_filemaker_id) == (1, 1, 2)


@pytest.mark.parametrize("left", [0, 60, 97])
def test_a_reimport_under_way_changes_nothing(engine: Engine, left: int) -> None:
    """Failure catalogue 10: patients half there. Nobody may be called an orphan in that window."""
    people = _ids(100)
    add_patients(engine, zip(_ids(100), map(str, people), strict=True))
    _update(engine)
    before = _history(engine)
    remove_patients(engine)
    add_patients(engine, zip(_ids(left), map(str, people), strict=False))
    with pytest.raises(ImplausibleInputError, match=rf"{100 - left} of the 100 known ones are missing. Wait until"):
        _update(engine)
    assert _history(engine) == before


def test_a_few_patients_may_really_be_removed(engine: Engine) -> None:
    people = list(zip(_ids(100), map(str, _ids(100)), strict=True))
    add_patients(engine, people)
    _update(engine)
    remove_patients(engine)
    add_patients(engine, people[:98])
    assert _update(engine).retired == 2


def test_a_person_can_say_that_the_patients_were_really_removed(engine: Engine) -> None:
    people = list(zip(_ids(10), map(str, _ids(10)), strict=True))
    add_patients(engine, people)
    _update(engine)
    remove_patients(engine)
    add_patients(engine, people[:2])
    assert _update(engine, accept_missing=True).retired == 8


def test_a_restored_backup_makes_old_pairs_current_again(engine: Engine) -> None:
    person, old, new = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    add_patients(engine, [(old, str(person))])
    _update(engine)
    remove_patients(engine)
    add_patients(engine, [(new, str(person))])
    _update(engine)
    remove_patients(engine)
    add_patients(engine, [(old, str(person))])
    assert _update(engine).returned == 1
    assert _history(engine) == {(person, old, True), (person, new, False)}


def test_reading_is_all_it_needs_of_the_clinics_tables(engine: Engine, clinic_database: str) -> None:
    add_patients(engine, [(uuid.uuid4(), str(uuid.uuid4()))])
    role = f"reader_{uuid.uuid4().hex[:8]}"
    with engine.begin() as connection:
        for grant in (
            f"create role {role} login password 'reading'",
            f"grant usage on schema public, fm_migration to {role}",
            f"grant select on patients to {role}",
            f"grant all on all tables in schema fm_migration to {role}",
        ):
            connection.execute(text(grant))
    reader = database.open_engine(
        engine.url.set(username=role, password="reading").render_as_string(hide_password=False)
    )
    try:
        assert _update(reader).learned == 1
        with pytest.raises(DBAPIError, match="permission denied"), reader.begin() as connection:
            connection.execute(text("update patients set first_name = 'x'"))
    finally:
        reader.dispose()
        with engine.begin() as connection:
            connection.execute(text(f"drop owned by {role}"))
            connection.execute(text(f"drop role {role}"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(generations=st.lists(st.dictionaries(st.integers(0, 5), st.integers(0, 3), max_size=6), min_size=1, max_size=5))
def test_the_history_is_all_that_was_ever_seen(engine: Engine, generations: list[dict[int, int]]) -> None:
    """Whatever comes and goes: every pair seen stays, and exactly the present ones are current."""
    people = [uuid.UUID(int=number + 1) for number in range(6)]
    with engine.begin() as connection:
        connection.execute(text("delete from fm_migration.patient_identity"))
    seen: set[tuple[uuid.UUID, uuid.UUID]] = set()
    for generation in generations:
        remove_patients(engine)
        present = {(people[p], uuid.UUID(int=1000 + 10 * p + version)) for p, version in generation.items()}
        add_patients(engine, [(patient, str(person)) for person, patient in present])
        _update(engine, accept_missing=True)
        seen |= present
        assert _history(engine) == {(*pair, pair in present) for pair in seen}
    remove_patients(engine)
