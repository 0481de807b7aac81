"""The identity history: who held which FileMaker id, from which reading to which, how it ended, and whether alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
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

_TENURES = text("""
select patient_id, filemaker_id, (select count(*) from fm_migration.patient_read where id <= began) as began,
       (select count(*) from fm_migration.patient_read where id <= ended) as ended, ending,
       shared, twin, awaited, passed
from fm_migration.patient_identity
""")
_ROW_OF_THE_EXPORT = text("""
insert into fm_migration.csv_metadata
    (row_number, record_number, recid, contact, contact_text, date_text, file_name, type_text, category,
     nexus_export_date, raw, problems, photo)
values (1, 2, '1', :contact, '', '', '', '', '', '', '', '{}', 'recid 1')
""")


@dataclass(frozen=True)
class Tenure:
    """Which patient held which id; `began` and `ended` count the readings of the test from one."""

    patient: uuid.UUID
    person: uuid.UUID | None
    began: int
    ended: int | None = None
    ending: str | None = None


def _update(engine: Engine) -> identity.IdentityUpdate:
    with engine.begin() as connection:
        return identity.update_history(connection)


def _rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(_TENURES))


def _history(engine: Engine) -> set[Tenure]:
    return {Tenure(row.patient_id, row.filemaker_id, row.began, row.ended or None, row.ending) for row in _rows(engine)}


def _marks(engine: Engine, patient: uuid.UUID) -> set[str]:
    """What the newest tenure of a patient is marked as."""
    row = max((row for row in _rows(engine) if row.patient_id == patient), key=lambda row: row.began)
    return {name for name in ("shared", "twin", "awaited", "passed") if getattr(row, name)}


def _ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def _seen(engine: Engine, *pairs: tuple[uuid.UUID, uuid.UUID | str | None]) -> identity.IdentityUpdate:
    """The patients are these now, with their ids as the app writes them; and we read them."""
    remove_patients(engine)
    add_patients(engine, ((patient, None if person is None else str(person)) for patient, person in pairs))
    return _update(engine)


# --- from when to when ------------------------------------------------------------------------------------------------


def test_a_reimport_ends_every_tenure_and_begins_others(engine: Engine) -> None:
    people, old, new = _ids(5), _ids(5), _ids(5)
    first = _seen(engine, *zip(old, people, strict=True))
    second = _seen(engine, *zip(new, people, strict=True))
    assert (second.began, second.ended, second.known, second.known_present) == (5, 5, 5, 5)
    assert second.data_version != first.data_version
    expected = {Tenure(patient, person, 1, 2, "gone") for patient, person in zip(old, people, strict=True)}
    expected |= {Tenure(patient, person, 2) for patient, person in zip(new, people, strict=True)}
    assert _history(engine) == expected


def test_unchanged_patients_give_the_same_version_and_cost_no_write(engine: Engine) -> None:
    add_patients(engine, zip(_ids(3), map(str, _ids(3)), strict=True))
    first = _update(engine)
    before = _history(engine)
    with engine.begin() as connection:
        connection.execute(text("update patients set first_name = 'Berta', archived = true"))
    second = _update(engine)
    assert second.data_version == first.data_version
    assert (second.began, second.ended) == (0, 0)
    assert _history(engine) == before


def test_an_id_that_is_corrected_is_withdrawn_and_another_begins(engine: Engine) -> None:
    patient, wrong, right = _ids(3)
    _seen(engine, (patient, wrong))
    _seen(engine, (patient, right))
    assert _history(engine) == {Tenure(patient, wrong, 1, 2, "withdrawn"), Tenure(patient, right, 2)}


def test_an_id_that_is_taken_away_is_withdrawn_and_a_tenure_without_one_begins(engine: Engine) -> None:
    patient, person = _ids(2)
    _seen(engine, (patient, person))
    _seen(engine, (patient, None))
    assert _history(engine) == {Tenure(patient, person, 1, 2, "withdrawn"), Tenure(patient, None, 2)}


def test_a_restored_backup_begins_another_tenure_of_the_same(engine: Engine) -> None:
    person, old, new = _ids(3)
    for patient in (old, new, old):
        _seen(engine, (patient, person))
    assert _history(engine) == {
        Tenure(old, person, 1, 2, "gone"),
        Tenure(new, person, 2, 3, "gone"),
        Tenure(old, person, 3),
    }


# --- how an id is written ---------------------------------------------------------------------------------------------


def test_another_spelling_is_noted_for_that_tenure_alone(engine: Engine) -> None:
    person, former_id, corrected, one, other = uuid.UUID(int=0xABC), *_ids(4)
    _seen(engine, (one, str(person).lower()), (other, former_id))
    _seen(engine, (one, str(person).upper()), (other, corrected))
    with engine.connect() as connection:
        query = text("select patient_id, filemaker_id, written from fm_migration.patient_identity")
        written = {(row.patient_id, row.filemaker_id): row.written for row in connection.execute(query)}
    assert written == {
        (one, person): str(person).upper(),
        (other, former_id): str(former_id),
        (other, corrected): str(corrected),
    }


def test_an_id_that_is_written_in_another_case_is_the_same_tenure(engine: Engine) -> None:
    """Failure catalogue 4: FileMaker ids differ in case between the CSV and the app."""
    person, patient = _ids(2)
    lower = _seen(engine, (patient, str(person)))
    upper = _seen(engine, (patient, str(person).upper()))
    assert upper.data_version == lower.data_version
    assert _history(engine) == {Tenure(patient, person, 1)}
    with engine.connect() as connection:
        written = connection.execute(text("select written from fm_migration.patient_identity")).scalar_one()
    assert written == str(person).upper()


def test_both_shapes_of_the_metadata_are_read(engine: Engine) -> None:
    person, patient = _ids(2)
    add_patients(engine, [(patient, None)])
    with engine.begin() as connection:
        statement = "update patients set filemaker_metadata = to_jsonb(cast(:text as text))"
        connection.execute(text(statement), {"text": f'{{"a": 1, "filemaker_id" : "{str(person).upper()}"}}'})
    _update(engine)
    assert _history(engine) == {Tenure(patient, person, 1)}


def test_an_id_that_is_no_uuid_is_counted_and_stops_nothing(engine: Engine) -> None:
    """Failure catalogue 4: an id that is not a UUID aborted the clinic's whole run."""
    good, malformed, without, empty = _ids(4)
    update = _seen(engine, (malformed, "not-a-uuid"), (good, good), (without, None), (empty, ""))
    assert (update.malformed, update.with_filemaker_id, update.without_filemaker_id) == (1, 1, 2)
    assert _history(engine) == {
        Tenure(good, good, 1), Tenure(malformed, None, 1), Tenure(without, None, 1), Tenure(empty, None, 1)
    }  # fmt: skip


# --- whose alone ------------------------------------------------------------------------------------------------------


def test_two_who_share_an_id_are_marked_and_counted(engine: Engine) -> None:
    """Failure catalogue 4: two patients share one FileMaker id."""
    person, one, other, alone = _ids(4)
    assert _seen(engine, (one, person), (other, person), (alone, alone)).ambiguous == 1
    assert [_marks(engine, patient) for patient in (one, other, alone)] == [{"shared"}, {"shared"}, set()]


def test_two_whose_ids_differ_in_case_only_are_twins(engine: Engine) -> None:
    person, one, other = _ids(3)
    assert _seen(engine, (one, str(person).lower()), (other, str(person).upper())).ambiguous == 1
    assert [_marks(engine, patient) for patient in (one, other)] == [{"twin"}, {"twin"}]


def test_an_id_that_is_shared_later_marks_both_from_then_on(engine: Engine) -> None:
    person, one, other = _ids(3)
    _seen(engine, (one, person))
    assert _marks(engine, one) == set()
    _seen(engine, (one, person), (other, person))
    assert [_marks(engine, patient) for patient in (one, other)] == [{"shared"}, {"shared"}]


def test_a_shared_id_that_is_corrected_is_its_holders_alone_again(engine: Engine) -> None:
    person, one, other, corrected = _ids(4)
    _seen(engine, (one, person), (other, person))
    assert _seen(engine, (one, person), (other, corrected)).ambiguous == 0
    assert [_marks(engine, patient) for patient in (one, other)] == [set(), set()]


def test_of_two_who_shared_an_id_the_one_who_is_back_does_not_have_it_alone(engine: Engine) -> None:
    """With one of them back, their id would look unambiguous, and everything of both would be linked to the one."""
    person, one, other, back, late = _ids(5)
    _seen(engine, (one, person), (other, person))
    _seen(engine)
    assert [_marks(engine, patient) for patient in (one, other)] == [{"shared", "awaited"}] * 2
    _seen(engine, (back, person))
    assert _marks(engine, back) == {"shared"}
    _seen(engine, (back, person), (late, person))
    assert [_marks(engine, patient) for patient in (one, other)] == [{"shared"}, {"shared"}]
    assert [_marks(engine, patient) for patient in (back, late)] == [{"shared"}, {"shared"}]


def test_of_two_whose_ids_differ_in_case_only_each_is_awaited_until_its_own_spelling_is_back(engine: Engine) -> None:
    person, one, other, back = uuid.UUID(int=0xABC), *_ids(3)
    _seen(engine, (one, str(person).lower()), (other, str(person).upper()))
    _seen(engine)
    assert [_marks(engine, patient) for patient in (one, other)] == [{"twin", "awaited"}] * 2
    _seen(engine, (back, str(person).lower()))
    assert [_marks(engine, patient) for patient in (one, other)] == [{"twin"}, {"twin", "awaited"}]


def test_who_stays_away_for_longer_than_any_reimport_is_not_awaited_any_more(engine: Engine) -> None:
    person, one, other, nobody = _ids(4)
    _seen(engine, (one, person), (other, person))
    _seen(engine, (one, person))
    assert (_marks(engine, one), _marks(engine, other)) == ({"shared"}, {"shared", "awaited"})
    with engine.begin() as connection:
        connection.execute(text("update fm_migration.patient_read set read_at = read_at - interval '8 days'"))
    _seen(engine, (one, person), (nobody, None))
    assert (_marks(engine, one), _marks(engine, other)) == (set(), {"shared"})


def test_an_id_that_passes_to_somebody_who_was_there_before_is_marked_for_ever(engine: Engine) -> None:
    """One patient goes; another, who was there all the time, gets the id: corrected after a re-import, or recycled."""
    person, gone, heir, again = _ids(4)
    _seen(engine, (gone, person), (heir, heir))
    _seen(engine, (heir, heir))
    _seen(engine, (heir, person))
    assert _marks(engine, heir) == {"passed"}
    _seen(engine, (again, person))
    assert _marks(engine, again) == {"passed"}


def test_an_id_that_comes_to_somebody_who_has_been_known_under_another_since_its_holder_went_has_passed(
    engine: Engine,
) -> None:
    person, gone, heir = _ids(3)
    _seen(engine, (gone, person))
    _seen(engine, (heir, heir))
    _seen(engine, (heir, person))
    assert _marks(engine, heir) == {"passed"}


def test_an_id_that_comes_to_a_new_row_has_not_passed(engine: Engine) -> None:
    person, former, present, other = _ids(4)
    _seen(engine, (former, person), (other, other))
    _seen(engine, (present, person), (other, other))
    assert _marks(engine, present) == set()


# --- tables that are half full ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 60, 97])
def test_a_half_full_table_is_read_as_it_is_and_says_who_is_absent(engine: Engine, left: int) -> None:
    """Failure catalogue 10: patients half there. Nobody may be called an orphan in that window."""
    people, old, new = _ids(100), _ids(100), _ids(100)
    _seen(engine, *zip(old, people, strict=True))
    half = _seen(engine, *zip(new[:left], people, strict=False))
    assert (half.known, half.known_present, half.absent) == (100, left, 100 - left)
    with engine.connect() as connection:
        assert identity.read_presence(connection) == (100, left)
    whole = _seen(engine, *zip(new, people, strict=True))
    assert (whole.known, whole.known_present, whole.began) == (100, 100, 100 - left)
    assert {row.patient_id for row in _rows(engine) if row.ended == 0} == set(new)


@pytest.mark.parametrize(
    ("patients", "known", "present", "refused"),
    [(98, 100, 98, False), (97, 100, 97, True), (0, 0, 0, True), (5, 0, 0, False)],
)
def test_a_report_of_a_half_full_table_is_refused(patients: int, known: int, present: int, refused: bool) -> None:
    if not refused:
        identity.refuse_half_imported(patients, known, present, 0.02)
        return
    with pytest.raises(ImplausibleInputError, match=rf"{known - present:,} of the {known:,} known ones are missing"):
        identity.refuse_half_imported(patients, known, present, 0.02)


def test_ids_that_are_all_lost_at_once_are_no_correction(engine: Engine) -> None:
    """The importer writes them under another name now, say: nothing is changed, and a person is told."""
    patients = _ids(3)
    _seen(engine, *((patient, patient) for patient in patients))
    before = _history(engine)
    with pytest.raises(ImplausibleInputError, match="none of the 3 patients has a FileMaker id, and 3 of them had one"):
        _seen(engine, *((patient, None) for patient in patients))
    assert _history(engine) == before


# --- who waits for whom -----------------------------------------------------------------------------------------------


def _concerns_nobody(engine: Engine) -> bool:
    with engine.connect() as connection:
        return identity.concerns_nobody(connection)


def test_a_newly_registered_patient_concerns_nobody(engine: Engine) -> None:
    known, new = _ids(2)
    _seen(engine, (known, known))
    add_patients(engine, [(new, str(uuid.uuid4())), (uuid.uuid4(), None)])
    assert _concerns_nobody(engine)


@pytest.mark.parametrize("what", ["gone", "corrected", "back", "named by the export"])
def test_whoever_somebody_waits_for_concerns_somebody(engine: Engine, what: str) -> None:
    known, person, former, person_before = _ids(4)
    _seen(engine, (former, person_before), (known, person))
    _seen(engine, (known, person))
    remove_patients(engine)
    there: dict[str, Iterable[tuple[uuid.UUID, str]]] = {
        "gone": [],
        "corrected": [(known, str(uuid.uuid4()))],
        "back": [(known, str(person)), (uuid.uuid4(), str(person_before))],
        "named by the export": [(known, str(person)), (uuid.uuid4(), str(uuid.UUID(int=7)))],
    }
    add_patients(engine, there[what])
    if what == "named by the export":
        assert _concerns_nobody(engine)
        with engine.begin() as connection:
            connection.execute(_ROW_OF_THE_EXPORT, {"contact": uuid.UUID(int=7)})
    assert not _concerns_nobody(engine)


# --- rights -----------------------------------------------------------------------------------------------------------


def test_reading_is_all_it_needs_of_the_clinics_tables(engine: Engine) -> None:
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
        assert _update(reader).began == 1
        with pytest.raises(DBAPIError, match="permission denied"), reader.begin() as connection:
            connection.execute(text("update patients set first_name = 'x'"))
    finally:
        reader.dispose()
        with engine.begin() as connection:
            connection.execute(text(f"drop owned by {role}"))
            connection.execute(text(f"drop role {role}"))


# --- whatever comes and goes ------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(generations=st.lists(st.dictionaries(st.integers(0, 5), st.integers(0, 3), max_size=6), min_size=1, max_size=5))
def test_the_history_is_all_that_was_ever_seen(engine: Engine, generations: list[dict[int, int]]) -> None:
    """Each time that a pair was there without a break is one tenure; exactly those of the present ones are open."""
    people = [uuid.UUID(int=number + 1) for number in range(6)]
    with engine.begin() as connection:
        connection.execute(text("truncate fm_migration.patient_identity, fm_migration.patient_read cascade"))
    expected: set[Tenure] = set()
    there: dict[tuple[uuid.UUID, uuid.UUID], int] = {}
    for number, generation in enumerate(generations, start=1):
        present = {(uuid.UUID(int=1000 + 10 * p + version), people[p]) for p, version in generation.items()}
        for pair in there.keys() - present:
            expected.add(Tenure(*pair, there.pop(pair), number, "gone"))
        there |= dict.fromkeys(present - there.keys(), number)
        _seen(engine, *present)
        assert _history(engine) == expected | {Tenure(*pair, began) for pair, began in there.items()}
