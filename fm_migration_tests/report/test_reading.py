"""What the page is told: which findings are new and gone, what is withheld, how long re-imports took to heal."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from fm_migration.errors import DatabaseError
from fm_migration.report.classes import FindingClass as Kind
from fm_migration.report.classes import Severity
from fm_migration.report.reading import (
    ReportData,
    Status,
    fair_share,
    read_report,
    shown_findings,
    shown_key,
    stream_findings,
)
from fm_migration_tests.report.made_up import DAY, DUMP, START, Reports, ids

ID = str(ids(1)[0])


@pytest.fixture
def reports(engine: Engine) -> Reports:
    return Reports(engine)


def read(reports: Reports) -> ReportData:
    with reports.engine.connect() as connection:
        return read_report(connection)


def statuses(reports: Reports, room: int = 1_000) -> dict[str, Status]:
    with reports.engine.begin() as connection:
        data = read_report(connection)
        return {finding.subject: finding.status for finding in shown_findings(connection, data, room)}


def test_without_a_report_it_says_what_to_do(reports: Reports) -> None:
    with pytest.raises(DatabaseError, match=r"none was ever made. Materialize orphan_report first"):
        read(reports)


def test_the_first_report_has_nothing_new_and_nothing_gone(reports: Reports) -> None:
    reports.add({Kind.UNDATED: 1})
    reports.find(Kind.UNDATED, "recid 1")
    data = read(reports)
    assert (data.before, data.open, data.new, data.gone) == (None, 1, 0, 0)
    assert statuses(reports) == {"recid 1": Status.STAYED}


def test_findings_are_told_apart_by_what_the_last_report_had(reports: Reports) -> None:
    reports.add({Kind.UNDATED: 3})
    earlier = reports.add({Kind.UNDATED: 3})
    now = reports.add({Kind.UNDATED: 2}, waived={Kind.COUNT_WRONG: 1})
    reports.find(Kind.UNDATED, "recid 1", first=reports.made[0], last=now)
    reports.find(Kind.UNDATED, "recid 2", first=now, last=now)
    reports.find(Kind.UNDATED, "recid 3", first=reports.made[0], last=earlier)
    reports.find(Kind.UNDATED, "recid 4", first=reports.made[0], last=reports.made[0])
    reports.find(Kind.COUNT_WRONG, f"batch {ID}", waiver="counted by hand (2026-01-01)")
    reports.find(Kind.COUNT_WRONG, "batch gone", first=reports.made[0], last=earlier, waiver="the same")

    assert statuses(reports) == {
        "recid 1": Status.STAYED,
        "recid 2": Status.NEW,
        "recid 3": Status.GONE,
        f"batch {ID}": Status.ACCEPTED,
    }
    undated, count_wrong = sorted(read(reports).classes, key=lambda one: one.kind.value)[::-1]
    assert (undated.open, undated.new, undated.gone, undated.waived) == (2, 1, 1, 0)
    assert undated.history == (3, 3, 2)
    assert undated.oldest == START
    assert (count_wrong.open, count_wrong.gone, count_wrong.waived) == (0, 0, 1)
    assert [(group.reason, group.findings) for group in read(reports).waived] == [("counted by hand (2026-01-01)", 1)]


def test_nothing_is_called_new_that_nobody_could_have_seen_before(reports: Reports) -> None:
    """What was withheld last time was not listed, and what is too young stays so for one report only."""
    reports.add(withheld={Kind.ROW_WITHOUT_OBJECT: {"count": 900, "of": 1_000}})
    reports.add({Kind.ROW_WITHOUT_OBJECT: 1, Kind.TOO_NEW: 1, Kind.UNDATED: 1})
    for kind, subject in ((Kind.ROW_WITHOUT_OBJECT, "recid 1"), (Kind.TOO_NEW, "recid 2"), (Kind.UNDATED, "recid 3")):
        reports.find(kind, subject)
    assert [name for name, status in statuses(reports).items() if status is Status.NEW] == ["recid 3"]
    assert read(reports).new == 1


def test_a_withheld_class_has_a_number_and_no_findings(reports: Reports) -> None:
    reports.add({Kind.ROW_WITHOUT_OBJECT: 5})
    reports.find(Kind.ROW_WITHOUT_OBJECT, "recid 5")
    reports.add(withheld={Kind.ROW_WITHOUT_OBJECT: {"count": 900, "of": 1_000}})
    (summary,) = read(reports).withheld
    assert summary.withheld is not None
    assert (summary.withheld.findings, summary.withheld.of) == (900, 1_000)
    assert (summary.open, summary.gone) == (0, 0), "what was open before is not gone: nobody looked"
    assert statuses(reports) == {}


def test_the_trend_counts_by_severity(reports: Reports) -> None:
    reports.add({Kind.ROW_WITHOUT_OBJECT: 4, Kind.COUNT_WRONG: 2}, totals={"images_visible": 10})
    reports.add({Kind.ROW_WITHOUT_OBJECT: 1, Kind.UNDATED: 7}, totals={"images_visible": 13})
    first, second = read(reports).runs
    assert [first.by_severity[severity] for severity in Severity] == [4, 2, 0]
    assert [second.by_severity[severity] for severity in Severity] == [1, 0, 7]
    assert (first.images_visible, second.images_visible) == (10, 13)


def test_the_export_is_named_without_its_folder(reports: Reports) -> None:
    reports.add(source="/home/somebody/Patients of Dr Muster/Image_dataV9.csv")
    assert read(reports).inputs.export_file == "Image_dataV9.csv"


# --- re-imports -------------------------------------------------------------------------------------------------------


def test_a_reimport_is_healed_when_the_first_plan_made_from_it_is_applied(reports: Reports) -> None:
    people = ids(20)
    reports.read_patients(START - DAY, "before")
    reports.learn(people)
    reports.read_patients(START, "after")
    reports.learn(people[:18])
    reports.plan(START, applied_at=None)
    reports.plan(START, applied_at=START + timedelta(seconds=9))
    reports.plan(START, kind="links", applied_at=START + timedelta(seconds=8))
    reports.add()
    (reimport,) = read(reports).reimports
    assert (reimport.noticed_at, reimport.people) == (START, 18)
    assert reimport.took == timedelta(seconds=8)


def test_a_run_that_failed_does_not_make_the_healing_look_shorter(reports: Reports) -> None:
    """The same patients are read again by the run that succeeds; the wound has been open since the first reading."""
    people = ids(3)
    reports.read_patients(START - DAY, "before")
    reports.learn(people)
    reports.read_patients(START, "after")
    reports.learn(people)
    reports.read_patients(START + timedelta(minutes=5), "after")
    reports.plan(START, applied_at=START + timedelta(minutes=6))
    reports.add()
    (reimport,) = read(reports).reimports
    assert reimport.took == timedelta(minutes=6)


def test_a_reimport_upon_another_is_told_from_one_that_waits(reports: Reports) -> None:
    people = ids(3)
    reports.read_patients(START - DAY, "before")
    reports.learn(people)
    for day in (0, 1):
        reports.read_patients(START + DAY * day, f"after {day}")
        reports.learn(people)
    reports.add()
    newest, older = read(reports).reimports
    assert (newest.took, newest.superseded) == (None, False)
    assert (older.took, older.superseded) == (None, True)


def test_a_new_patient_is_no_reimport(reports: Reports) -> None:
    reports.read_patients(START - DAY, "before")
    reports.learn(ids(3))
    reports.read_patients(START, "one more")
    reports.learn([uuid.uuid4()])
    reports.add()
    assert read(reports).reimports == ()


def test_a_restored_backup_is_a_reimport(reports: Reports) -> None:
    """The former UUIDs come back: nothing is learned, and every link must be led home all the same."""
    people = ids(4)
    for day in (0, 1):
        reports.read_patients(START + DAY * day, f"generation {day}")
        reports.learn(people)
    restored_at = START + DAY * 2
    reading = reports.read_patients(restored_at, "generation 0")
    with reports.engine.begin() as connection:
        connection.execute(text("update fm_migration.patient_identity set ended = :reading, ending = 'gone' "
                                "where ended is null"), {"reading": reading})  # fmt: skip
        connection.execute(
            text(
                "insert into fm_migration.patient_identity (patient_id, began, filemaker_id, written) "
                "select patient_id, :reading, filemaker_id, written from fm_migration.patient_identity "
                "where began = (select min(began) from fm_migration.patient_identity)"
            ),
            {"reading": reading},
        )
    reports.add()
    assert [one.noticed_at for one in read(reports).reimports] == [restored_at, START + DAY]
    assert read(reports).reimports[0].people == 4


# --- what fits --------------------------------------------------------------------------------------------------------


def test_a_page_with_little_room_shows_some_of_every_class(reports: Reports) -> None:
    reports.add({Kind.ROW_WITHOUT_OBJECT: 500, Kind.MIRRORED_SIDE: 2, Kind.UNDATED: 30})
    reports.find_many(Kind.ROW_WITHOUT_OBJECT, 500)
    reports.find_many(Kind.UNDATED, 30)
    reports.find(Kind.MIRRORED_SIDE, "image 1")
    reports.find(Kind.MIRRORED_SIDE, "image 2")
    with reports.engine.begin() as connection:
        data = read_report(connection)
        kinds = [finding.kind for finding in shown_findings(connection, data, 50)]
        everything = sum(1 for _ in stream_findings(connection, data))
    assert [kinds.count(kind) for kind in (Kind.MIRRORED_SIDE, Kind.UNDATED, Kind.ROW_WITHOUT_OBJECT)] == [2, 24, 24]
    assert everything == 532


@given(st.lists(st.integers(0, 50)), st.integers(0, 400))
def test_a_fair_share_fits_and_wastes_nothing(counts: list[int], room: int) -> None:
    share = fair_share(counts, room)
    assert sum(min(count, share) for count in counts) <= room
    more = sum(min(count, share + 1) for count in counts)
    assert more > room or share >= max(counts, default=0)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        f"{DUMP}77.jpg",
        f"{DUMP}0077_thumb.JPG",
        f"{DUMP}12.jpg/{ID}.jpg",
        f"exports/{ID}/2016-10-18/{ID}.jpg",
        f"thumbnails/0123456789ab-ba9876543210/{ID}.webp",
    ],
)
def test_a_key_of_ids_is_shown_as_it_is(key: str) -> None:
    assert shown_key(key, [DUMP, "exports/", "thumbnails/"]) == key


@pytest.mark.parametrize("name", ["Anna Muster", "muster_anna.jpg", "Abe", "1947-anna", "O'Neill (left).png", "..jpg"])
def test_what_a_person_has_named_is_not_shown(name: str) -> None:
    shown = shown_key(f"exports/{name}/2016-10-18/{ID}.jpg", ["exports/"])
    assert shown.startswith("exports/#")
    assert shown.endswith(f"/2016-10-18/{ID}.jpg")
    assert name not in shown


def test_findings_carry_no_name_out_of_a_key(reports: Reports) -> None:
    reports.add({Kind.OBJECT_WITHOUT_ROW: 1}, prefixes=["exports/"])
    key = f"exports/Anna Muster/2016-10-18/{ID}.jpg"
    reports.find(Kind.OBJECT_WITHOUT_ROW, f"object {key}", {"key": key, "of": key, "recid": "7", "has": 3})
    with reports.engine.begin() as connection:
        (finding,) = stream_findings(connection, read_report(connection))
    assert "Muster" not in f"{finding.subject} {finding.evidence}"
    assert (finding.evidence["recid"], finding.evidence["has"]) == ("7", 3)
    assert finding.subject.removeprefix("object ") == finding.evidence["key"] == finding.evidence["of"]
