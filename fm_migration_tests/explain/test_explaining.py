"""Why something shows or does not: each hop broken once, each way to ask, and no false alarm."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import Engine

from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.explain import explaining
from fm_migration.explain.answers import Explanation
from fm_migration.explain.hops import HopName
from fm_migration.explain.recognising import UnknownSubjectError
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.operations import staging
from fm_migration.report import findings
from fm_migration.report.classes import FindingClass
from fm_migration_tests.explain.explained import ask, commands, first_broken, states
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, LISTED_AT, Photograph, World, image_id
from fm_migration_tests.thumbnails.conftest import Photographed

F = FindingClass


@pytest.fixture
def world(module_engine: Engine, tmp_path: Path) -> World:
    world = World(module_engine, tmp_path)
    with module_engine.begin() as connection:
        connection.exec_driver_sql(
            "delete from fm_migration.finding; delete from fm_migration.report; delete from fm_migration.thumbnail"
        )
    world.empty()
    return world


@pytest.fixture
def anna(world: World) -> uuid.UUID:
    """Anna with one linked photograph, recid 77."""
    patient = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    _thumbnail(world, "77.jpg")
    return patient


def _thumbnail(world: World, name: str, state: str = "current", reason: str = "", key: str | None = None) -> str:
    """We have made a thumbnail of an original, listed it, and the app shows it."""
    image = world.image(name)
    thumbnail = key if key is not None else f"thumbnails/{image.id}.jpg"
    world.do(
        "insert into fm_migration.thumbnail (clinic_image, source_key, source_etag, recipe, state, reason, key, "
        "mime_type, original_sha256, mean_colour, mirrored_side, attempts, made_at) values (:image, :source, :etag, "
        "'r', :state, :reason, :key, 'image/jpeg', '', '', false, 1, :at)",
        image=image.id,
        source=DUMP + name,
        etag=f"etag-{name}",
        state=state,
        reason=reason,
        key=thumbnail or None,
        at=LISTED_AT - timedelta(days=1),
    )
    world.do("update images_image set s3_thumbnail_key = :key where id = :id", key=thumbnail, id=image.id)
    if thumbnail:
        world.do(
            "insert into fm_migration.s3_inventory (key, kind, extension, etag, size, last_modified, storage_class, "
            "first_seen, changed) select :key, 'thumbnail', 'jpg', 'e', 1, now(), '', max(id), max(id) "
            "from fm_migration.inventory_snapshot",
            key=thumbnail,
        )
    return thumbnail


def _reason_classes(answer: Explanation) -> list[tuple[FindingClass | None, int]]:
    return [(reason.finding, reason.photographs) for reason in answer.reasons]


# --- nothing is broken --------------------------------------------------------------------------------------------


def test_a_photograph_that_shows_is_well_at_every_hop(world: World, anna: uuid.UUID) -> None:
    answer = ask(world, "77")
    assert states(answer) == "oooooo"
    assert answer.headline == f"Recid 77 is visible in the gallery of patient {anna}."
    assert (answer.broken, answer.visible, answer.findings) == (False, 1, ())


def test_a_patient_who_sees_everything(world: World, anna: uuid.UUID) -> None:
    answer = ask(world, anna)
    assert answer.headline == f"Patient {anna} shows the one photograph of theirs."
    assert (answer.broken, answer.photographs, answer.visible, answer.reasons) == (False, 1, 1, ())


def test_a_patient_without_photographs_is_no_fault(world: World, anna: uuid.UUID) -> None:
    bert = world.patient(BERT)
    answer = ask(world, bert)
    assert answer.headline == f"Patient {bert} shows 0 images: no row of the export names them, and no batch is theirs."
    assert not answer.broken
    world.batch(bert, "Empty")
    assert "and their one batch is empty" in ask(world, bert).headline


# --- each hop broken once -----------------------------------------------------------------------------------------


def test_row_missing(world: World, anna: uuid.UUID) -> None:
    world.objects("77.jpg", "99.jpg")
    for asked in ("99", DUMP + "99.jpg", "99.jpg", f"object {DUMP}99.jpg"):
        answer = ask(world, asked)
        assert first_broken(answer) == (F.OBJECT_WITHOUT_ROW, HopName.ROW)
        assert answer.broken


def test_an_object_younger_than_the_export_is_no_orphan_yet(world: World, anna: uuid.UUID) -> None:
    (read_at,) = world.rows("select read_at from fm_migration.export_read order by id desc limit 1")[0]
    younger = ObjectFacts(DUMP + "99.jpg", "e", 5, read_at + timedelta(hours=1), STANDARD)
    older = younger._replace(key=DUMP + "98.jpg", last_modified=read_at - timedelta(hours=1))
    world.list_facts([younger, older, ObjectFacts(DUMP + "77.jpg", "etag-77.jpg", 1000, LISTED_AT, STANDARD)])
    assert [found.finding for found in ask(world, "99").findings] == [F.TOO_NEW]
    assert [found.finding for found in ask(world, "98").findings] == [F.OBJECT_WITHOUT_ROW]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Photograph("77", ""), "names no patient"),
        (Photograph("77", "Anna?"), "names its patient by something that is not a UUID"),
    ],
)
def test_row_unusable(world: World, row: Photograph, said: str) -> None:
    world.patient(ANNA)
    world.photographs(row)
    world.link()
    answer = ask(world, "77")
    assert first_broken(answer) == (F.ROW_UNUSABLE, HopName.ROW)
    assert said in answer.headline
    # What stands in the cell may be a name.
    assert "Anna?" not in json.dumps(answer.as_dict())


def test_rows_that_contradict_each_other(world: World, anna: uuid.UUID) -> None:
    bert = world.patient(BERT)
    world.export(Photograph("77", ANNA), Photograph("78", ANNA), Photograph("78", BERT))
    world.objects("77.jpg", "78.jpg")
    world.link()
    answer = ask(world, "78")
    assert [walk.subject for walk in answer.walks] == ["row 2", "row 3"]
    assert first_broken(answer) == (F.RECID_DOUBLED, HopName.ROW)
    assert _reason_classes(ask(world, bert)) == [(F.RECID_DOUBLED, 1)]


def test_rows_that_say_the_same_are_one_photograph(world: World) -> None:
    anna = world.patient(ANNA)
    world.export(Photograph("77", ANNA), Photograph("77", ANNA))
    world.objects("77.jpg")
    world.link()
    answer = ask(world, "77")
    assert (len(answer.walks), answer.visible) == (1, 1)
    assert states(answer)[0] == "r"
    assert ask(world, anna).photographs == 1
    assert first_broken(ask(world, "row 2")) == (F.RECID_DOUBLED, HopName.ROW)


def test_object_missing_from_the_start(world: World) -> None:
    world.patient(ANNA)
    world.export(Photograph("77", ANNA), Photograph("78", ANNA))
    world.objects("78.jpg")
    world.link()
    answer = ask(world, "77")
    assert first_broken(answer) == (F.ROW_WITHOUT_OBJECT, HopName.OBJECT)
    assert states(answer) == "oxo---"


def test_object_vanished(world: World, anna: uuid.UUID) -> None:
    world.objects("78.jpg")
    answer = ask(world, "77")
    assert first_broken(answer) == (F.IMAGE_WITHOUT_OBJECT, HopName.OBJECT)
    assert "since the listing of 2025-11-18" in answer.headline
    assert ask(world, anna).headline == (
        f"Patient {anna} shows 0 images: their files are not in the bucket any more (1 of 1 photographs)."
    )


def test_object_misplaced(world: World, anna: uuid.UUID) -> None:
    moved = ObjectFacts(f"{DUMP}4711.jpg", "etag-77.jpg", 1000, LISTED_AT, STANDARD)
    world.list_facts([moved])
    answer = ask(world, "77")
    assert first_broken(answer) == (F.FILE_MISPLACED, HopName.OBJECT)
    assert f"{DUMP}4711.jpg has the same content" in answer.headline
    assert commands(answer) == ["fm-migration repair plan file_misplaced"]


def test_object_empty_or_unreadable_is_visible_and_broken(world: World, anna: uuid.UUID) -> None:
    world.list_facts([ObjectFacts(DUMP + "77.jpg", "etag-77.jpg", 0, LISTED_AT, STANDARD)])
    answer = ask(world, "77")
    assert (first_broken(answer), answer.visible) == ((F.FILE_UNREADABLE, HopName.OBJECT), 1)
    world.objects("77.jpg")
    world.do("update fm_migration.thumbnail set state = 'unreadable', reason = 'the file is damaged', key = null")
    assert "the file is damaged" in ask(world, "77").headline
    # Another file has been put there since: the verdict on the former one says nothing of it.
    world.list_facts([ObjectFacts(DUMP + "77.jpg", "another", 1000, LISTED_AT, STANDARD)])
    assert F.FILE_UNREADABLE not in [found.finding for found in ask(world, "77").findings]


def test_a_file_that_no_gallery_shows(world: World) -> None:
    world.patient(ANNA)
    world.export(Photograph("77", ANNA))
    world.objects("77.docx")
    world.link()
    assert first_broken(ask(world, "77")) == (F.FILE_NOT_AN_IMAGE, HopName.OBJECT)


def test_patient_missing(world: World, anna: uuid.UUID) -> None:
    world.photographs(Photograph("77", ANNA), Photograph("78", CARA))
    world.link()
    answer = ask(world, "78")
    assert first_broken(answer) == (F.ROW_WITHOUT_PATIENT, HopName.PATIENT)
    assert answer.headline.endswith("and never had one as far as we know.")
    of_cara = ask(world, CARA)
    assert (of_cara.patients, of_cara.broken) == ((), True)
    assert of_cara.headline.startswith(f"No patient of the app has the id {CARA.lower()}, so it shows 0 images: ")


def test_patient_ambiguous(world: World) -> None:
    one, other = world.patient(ANNA), world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    assert first_broken(ask(world, "77")) == (F.AMBIGUOUS_PATIENT, HopName.PATIENT)
    by_id = ask(world, ANNA)
    assert set(by_id.patients) == {one, other}
    assert "several patients of the app share their FileMaker id (1 of 1 photographs)" in by_id.headline
    assert ask(world, one).patients == (one,)


def test_patient_archived_is_worth_knowing_and_not_broken(world: World, anna: uuid.UUID) -> None:
    world.do("update patients set archived = true where id = :id", id=anna)
    answer = ask(world, "77")
    assert (states(answer), answer.broken) == ("oorooo", False)
    assert [found.finding for found in answer.findings] == [F.ARCHIVED_PATIENT]


def test_batch_stale_after_a_reimport_and_well_after_healing(world: World, anna: uuid.UUID) -> None:
    world.reimport()
    reborn = world.patients()[ANNA]
    for asked in (reborn, anna, ANNA):
        answer = ask(world, asked)
        assert answer.patients == (reborn,)
        assert "shows 0 images: their batches still point at a former UUID of this patient (1 of 1" in answer.headline
        assert (first_broken(answer), commands(answer)) == (
            (F.BATCH_WITHOUT_PATIENT, HopName.BATCH),
            ["fm-migration heal"],
        )
    assert states(ask(world, "77")) == "oooxoo"
    world.link()
    assert not ask(world, reborn).broken
    assert ask(world, anna).headline == (
        f"{anna} is a former UUID of patient {reborn}, who shows the one photograph of theirs."
    )


def test_batch_of_a_uuid_that_nobody_ever_saw(world: World, anna: uuid.UUID) -> None:
    stranger = uuid.uuid4()
    batch = world.batch(stranger, "Fitting", ["images/1.jpg"])
    answer = ask(world, batch)
    assert "a UUID that we have never seen" in answer.walks[0].hops[3].said
    assert answer.headline.startswith(f"Batch {batch} shows 0 of its 1 images: ")
    assert first_broken(ask(world, stranger)) == (F.BATCH_WITHOUT_PATIENT, HopName.PATIENT)


def test_batch_that_is_no_patients(world: World, anna: uuid.UUID) -> None:
    world.do("update images_batch set content_type_id = (select min(id) from django_content_type)")
    answer = ask(world, "77")
    assert first_broken(answer) == (F.IMAGE_WITHOUT_BATCH, HopName.BATCH)
    batch = world.batch_of("77.jpg").id
    assert "something else than a patient" in ask(world, batch).headline


def test_batch_on_another_record_is_a_remark_there_and_a_reason_here(world: World, anna: uuid.UUID) -> None:
    bert = world.patient(BERT)
    world.read_patients()
    world.do("update images_batch set object_id = :bert", bert=bert)
    answer = ask(world, "77")
    assert (states(answer), answer.broken) == ("oooroo", False)
    here, there = ask(world, anna), ask(world, bert)
    assert "they hang on another patient's record" in here.headline
    assert (here.visible, here.broken, there.visible) == (0, False, 1)


def test_not_imported_yet(world: World) -> None:
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    assert "no plan was made yet" in ask(world, "77").headline
    world.read_patients()
    plan = world.plan()
    answer = ask(world, anna)
    assert first_broken(answer) == (F.NOT_APPLIED, HopName.BATCH)
    assert "they could be linked, and are not yet (1 of 1 photographs)" in answer.headline
    assert commands(answer) == ["dg launch --assets image_batches"]
    world.do("update fm_migration.link_plan set doubts = '{odd}' where id = :id", id=plan.id)
    answer = ask(world, "77")
    assert f"plan {plan.id} waits for a person's approval" in answer.headline
    assert commands(answer) == ["fm-migration plans"]
    world.apply(plan, approve=plan.hash)
    assert ask(world, "77").visible == 1


def test_left_out_by_a_limited_plan(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.read_patients()
    world.apply(world.plan(limit=1))
    assert first_broken(ask(world, "78")) == (F.NOT_APPLIED, HopName.BATCH)
    assert "limited" in ask(world, "78").headline


def test_image_doubled(world: World, anna: uuid.UUID) -> None:
    batch = world.batch(anna, "again", [DUMP + "77.jpg"], by_hand=False)
    (double,) = (row.id for row in world.rows("select id from images_image where batch_id = :id", id=batch))
    own = world.rows("select id from images_image where batch_id <> :id", id=batch)[0].id
    answer = ask(world, double)
    assert first_broken(answer) == (F.IMAGE_DOUBLED, HopName.IMAGE)
    assert f"image {own} shows the photograph" in answer.headline
    assert states(ask(world, own)) == states(ask(world, "77")) == "ooooro"
    assert ask(world, anna).photographs == 1


def test_image_deleted_by_staff(world: World, anna: uuid.UUID) -> None:
    """It is a decision and not broken: before the next plan has seen it and after it."""
    world.do("delete from images_image")
    for plan in (False, True):
        if plan:
            world.link(approved=True)
            assert world.states() == {"77": "removed_by_staff"}
        answer = ask(world, "77")
        assert first_broken(answer) == (F.REMOVED_BY_STAFF, HopName.BATCH)
        assert (answer.visible, answer.broken, commands(answer)) == (0, False, [None])
        assert answer.headline.endswith("somebody has deleted its image in the app, so it is not created again.")
        assert "somebody has deleted their images in the app (1 of 1" in ask(world, anna).headline


def test_an_image_that_we_have_taken_back_is_not_called_deleted(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    plan = world.link()
    world.undo(plan)
    assert first_broken(ask(world, "77")) == (F.NOT_APPLIED, HopName.BATCH)


# --- who is who ---------------------------------------------------------------------------------------------------


def _said(world: World, asked: object) -> str:
    """What is said of the hop `batch` of the one photograph."""
    (walk,) = ask(world, asked).walks
    return walk.hops[3].said


def test_why_a_link_is_not_followed_shared(world: World, anna: uuid.UUID) -> None:
    """Two had the id when she went: nobody can tell which of the new ones she is."""
    world.patient(ANNA)
    world.link(approved=True)
    batch = world.batch(anna, "Fitting", ["images/1.jpg"])
    world.reimport()
    world.link(approved=True)
    answer = ask(world, batch)
    assert [found.finding for found in answer.findings][:1] == [F.LINK_AMBIGUOUS]
    assert "a former UUID whose FileMaker id others had too" in answer.findings[0].said
    first, *_ = [one for one in answer.tenures if one.patient_id == anna]
    assert (first.shared, first.ending, first.written) == (True, "gone", ANNA)
    document = world.document(anna)
    link = ask(world, f"link documents_document.object_id {document}")
    assert ([found.finding for found in link.findings], link.broken) == ([F.LINK_AMBIGUOUS], True)


def test_why_a_link_is_not_followed_passed(world: World, anna: uuid.UUID) -> None:
    """Her id came to Bert, who had been there beside her."""
    bert = world.patient(BERT)
    world.link()
    batch = world.batch(anna, "Fitting", ["images/1.jpg"])
    world.do("delete from patients where id = :anna", anna=anna)
    _give_id(world, bert, ANNA)
    world.link(approved=True)
    answer = ask(world, batch)
    assert answer.findings[0].finding is F.LINK_AMBIGUOUS
    assert "to somebody who was known before" in answer.findings[0].said
    row = ask(world, "77")
    assert first_broken(row) == (F.AMBIGUOUS_PATIENT, HopName.PATIENT)
    assert "has passed to a patient who was known before" in row.headline


def test_why_a_link_is_not_followed_without_an_id_absent_and_never_seen(world: World, anna: uuid.UUID) -> None:
    nameless, bert = world.patient(None), world.patient(BERT)
    world.read_patients()
    batches = {one: world.batch(one, "Fitting", [f"images/{one}.jpg"]) for one in (nameless, bert, uuid.uuid4())}
    world.do("delete from patients where id in (:nameless, :bert)", nameless=nameless, bert=bert)
    _long_ago(world)
    world.read_patients()
    _long_ago(world)
    said = [_said(world, batch).partition(", ")[2] for batch in batches.values()]
    assert said == [
        "a former UUID of a patient without a FileMaker id, so nothing tells who that is now",
        "a former UUID of somebody who is not in the app now",
        "a UUID that we have never seen",
    ]
    assert ask(world, bert).headline.startswith(f"The app had a patient of the id {bert} and has none now, so it shows")
    assert ask(world, nameless).headline.startswith(
        f"No patient of the app has the id {nameless}, a former UUID of a patient without a FileMaker id, so nothing"
    )


def test_a_former_patient_who_was_settled(world: World, anna: uuid.UUID) -> None:
    nameless = world.patient(None)
    world.read_patients()
    batch = world.batch(nameless, "Fitting", ["images/1.jpg"])
    world.do("delete from patients where id = :nameless", nameless=nameless)
    world.link()
    world.do("insert into fm_migration.settlement values (:former, :anna)", former=nameless, anna=anna)
    assert _said(world, batch).endswith(f"a former UUID of patient {anna}, as a person has settled")
    assert [one.settled for one in ask(world, batch).tenures if one.patient_id == nameless] == [anna]


def test_a_row_of_one_of_two_who_are_told_apart_by_case(world: World) -> None:
    upper, lower = world.patient(ANNA), world.patient(ANNA.lower())
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA.lower()))
    world.link()
    for recid, patient in (("77", upper), ("78", lower)):
        assert ask(world, recid).headline.startswith(f"Recid {recid} is visible in the gallery of patient {patient}")
        assert (ask(world, patient).photographs, ask(world, patient).visible) == (1, 1)


def test_an_id_that_was_corrected_leads_nobody_else_along(world: World, anna: uuid.UUID) -> None:
    """Bert had her id by mistake: her photographs are none of his."""
    bert = world.patient(CARA)
    world.photographs(Photograph("77", ANNA), Photograph("78", CARA))
    world.link()
    _give_id(world, bert, BERT)
    world.read_patients()
    cara = world.patient(CARA)
    world.link(approved=True)
    assert {walk.subject for walk in ask(world, cara).walks} == {"recid 78"}
    assert ask(world, bert).walks == ()
    held = [(one.written, one.ending) for one in ask(world, bert).tenures if one.patient_id == bert]
    assert held == [(CARA, "withdrawn"), (BERT, None)]


def test_contradicting_evidence_names_both_claims(world: World, anna: uuid.UUID) -> None:
    """Its object says recid 77, its image id says recid 78."""
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.do("update images_image set filemaker_id = :id", id=image_id("78"))
    world.link(approved=True)
    image = world.image("77.jpg").id
    for recid in ("77", "78"):
        assert first_broken(ask(world, recid)) == (F.CONTRADICTING_EVIDENCE, HopName.IMAGE)
        (said,) = [found.said for found in ask(world, recid).findings if found.finding is F.CONTRADICTING_EVIDENCE]
        assert f"image {image} is recid 77" in said
        assert "recid 78 by other evidence" in said
    assert (ask(world, "77").visible, ask(world, "78").visible) == (1, 0)


def test_a_second_original_is_a_file_of_the_same_photograph(world: World, anna: uuid.UUID) -> None:
    world.objects("77.jpg", "77.png")
    world.link()
    shown = world.one("select key from fm_migration.photo where state = 'linked'")
    (other,) = {DUMP + "77.jpg", DUMP + "77.png"} - {shown}
    answer = ask(world, f"object {other}")
    assert answer.headline.startswith(f"Object {other} is a further file of a photograph that uses {shown}.")
    assert F.SECOND_ORIGINAL in [found.finding for found in answer.findings]


def _give_id(world: World, patient: uuid.UUID, filemaker: str) -> None:
    """Staff correct a patient's FileMaker id, or what they take for it."""
    world.do(
        "update patients set filemaker_metadata = jsonb_build_object('filemaker_id', cast(:id as text)) "
        "where id = :patient", id=filemaker, patient=patient,
    )  # fmt: skip


def _long_ago(world: World) -> None:
    """Whoever has gone so far has not gone a moment ago."""
    world.do("update fm_migration.patient_read set read_at = read_at - interval '1 hour'")


# --- thumbnails ---------------------------------------------------------------------------------------------------


def test_thumbnail_missing(world: World) -> None:
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    answer = ask(world, "77")
    assert (first_broken(answer), states(answer)) == ((F.THUMBNAIL_MISSING, HopName.THUMBNAIL), "ooooox")
    assert answer.headline.startswith(f"Recid 77 is visible in the gallery of patient {anna}; the first thing wrong is")
    assert commands(answer) == ["dg launch --assets thumbnails --partition 2016-10"]
    (amiss,) = ask(world, anna).wrong
    assert (amiss.finding, amiss.photographs) == (F.THUMBNAIL_MISSING, 1)


def test_thumbnail_gone_from_the_bucket(world: World, anna: uuid.UUID) -> None:
    world.do(
        "update fm_migration.s3_inventory set vanished = (select max(id) from fm_migration.inventory_snapshot) "
        "where kind = 'thumbnail'"
    )
    assert first_broken(ask(world, "77")) == (F.THUMBNAIL_MISSING, HopName.THUMBNAIL)


def test_thumbnail_stale_undone_or_impossible_is_not_broken(world: World, anna: uuid.UUID) -> None:
    world.list_facts([ObjectFacts(DUMP + "77.jpg", "another", 1000, LISTED_AT, STANDARD)])
    stale = ask(world, "77")
    assert ([found.finding for found in stale.findings], stale.broken) == ([F.THUMBNAIL_STALE], False)
    world.objects("77.jpg")
    world.do("update images_image set s3_thumbnail_key = ''")
    world.do("update fm_migration.thumbnail set undone_at = now()")
    assert states(ask(world, "77")) == "ooooor"
    world.do("update fm_migration.thumbnail set state = 'not_an_image', reason = 'a document', undone_at = null")
    assert states(ask(world, "77")) == "orooo-"


def test_thumbnail_of_no_image(world: World, anna: uuid.UUID) -> None:
    key = world.image("77.jpg").s3_thumbnail_key
    assert ask(world, key).headline == ask(world, world.image("77.jpg").id).headline
    world.do("update images_image set s3_thumbnail_key = ''")
    answer = ask(world, f"thumbnail {key}")
    assert ([found.finding for found in answer.findings], answer.broken) == ([F.THUMBNAIL_WITHOUT_IMAGE], False)


def test_batch_facts(world: World, anna: uuid.UUID) -> None:
    batch = world.batch_of("77.jpg")
    world.do("update images_batch set image_count = 4")
    answer = ask(world, batch.id)
    assert [found.finding for found in answer.findings] == [F.COUNT_WRONG]
    assert (answer.broken, answer.findings[0].said) == (True, "it says 4 images and has 1")
    world.do("update images_batch set image_count = 1")
    assert not ask(world, batch.id).broken
    world.batch(anna, batch.name, ["x/1.jpg"], by_hand=False)
    assert [found.finding for found in ask(world, batch.id).findings] == [F.BATCH_DOUBLED]
    padded = world.batch(anna, "05 Jan 2017 (FileMaker Import)", ["x/2.jpg"], by_hand=False)
    assert not ask(world, padded).findings
    unpadded = world.batch(anna, "5 Jan 2017 (FileMaker Import)", ["x/3.jpg"], by_hand=False)
    for one in (padded, unpadded):
        assert [found.finding for found in ask(world, one).findings] == [F.BATCH_DOUBLED]
    empty = world.batch(anna, batch.name, by_hand=False)
    answer = ask(world, empty)
    assert ([found.finding for found in answer.findings], answer.broken) == ([F.BATCH_EMPTY], False)


def _without_anna(world: World, anna: uuid.UUID) -> None:
    """Anna was removed, and somebody has said that this is right."""
    world.do("delete from patients where id = :anna", anna=anna)
    world.read_patients()
    _long_ago(world)


def test_a_patient_who_did_not_come_back(world: World, anna: uuid.UUID) -> None:
    """Healing finds nobody: whoever is told to heal is told first that a person has to come back."""
    batch = world.batch_of("77.jpg").id
    _without_anna(world, anna)
    why = "the patient whom their rows of the export name is not in the app any more (1 of 1 photographs)"
    for asked in (anna, ANNA.lower()):
        answer = ask(world, asked)
        assert (
            answer.headline == f"The app had a patient of the id {asked} and has none now, so it shows 0 images: {why}."
        )
    found = {one.finding: one for one in ask(world, batch).findings}
    stale = found[F.BATCH_WITHOUT_PATIENT]
    assert stale.said == f"it belongs to {anna}, a former UUID of somebody who is not in the app now"
    assert (stale.command, stale.after_remedy) == ("fm-migration heal", True)
    assert ask(world, "77").headline.endswith("the app has no patient of the id that the row has, though it had one.")
    world.patient(ANNA)
    (healable,) = [one for one in ask(world, "77").findings if one.finding is F.BATCH_WITHOUT_PATIENT]
    assert not healable.after_remedy


def test_a_patient_who_did_not_come_back_and_had_only_uploads(world: World, anna: uuid.UUID) -> None:
    cara = world.patient(CARA)
    world.batch(cara, "Fitting", ["images/1.jpg"])
    world.read_patients()
    world.do("delete from patients where id = :cara", cara=cara)
    world.read_patients()
    _long_ago(world)
    assert ask(world, cara).headline == (
        f"The app had a patient of the id {cara} and has none now, so it shows 0 images: "
        "the patient whom their batches belong to is not in the app any more (1 of 1 photographs)."
    )


def test_an_empty_stale_batch_hides_nothing(world: World, anna: uuid.UUID) -> None:
    empty = world.batch(anna, "05 Jan 2017 (FileMaker Import)", by_hand=False)
    start = f"Batch {empty} is empty and belongs to {anna}, "
    end = "; no photograph hides because of it."

    def said() -> str:
        answer = ask(world, empty)
        assert ([one.finding for one in answer.findings], answer.broken) == ([F.BATCH_EMPTY], False)
        return answer.headline

    world.do("delete from patients where id = :anna", anna=anna)
    assert said() == f"{start}a patient who was removed, or is not there yet in a re-import{end}"
    world.read_patients()
    _long_ago(world)
    assert said() == f"{start}a former UUID of somebody who is not in the app now{end}"
    back = world.patient(ANNA)
    assert said() == f"{start}a former UUID of patient {back}{end}"
    world.patient(ANNA)
    assert said() == f"{start}a former UUID that 2 patients may have had{end}"
    stranger = uuid.uuid4()
    world.do("update images_batch set object_id = :stranger where id = :id", stranger=stranger, id=empty)
    assert said() == f"Batch {empty} is empty and belongs to {stranger}, a UUID that we have never seen{end}"


def test_the_report_says_the_same_of_an_empty_stale_batch(world: World, anna: uuid.UUID) -> None:
    world.batch(uuid.uuid4(), "05 Jan 2017 (FileMaker Import)", by_hand=False)
    with findings.one_moment(world.engine) as connection:
        findings.make_report(connection, world.settings)
    classes = {row[0] for row in world.rows("select class from fm_migration.open_finding where subject ^@ 'batch '")}
    assert classes == {F.BATCH_EMPTY.value}


# --- no false alarm -----------------------------------------------------------------------------------------------


def test_nobody_is_an_orphan_while_a_reimport_is_under_way(world: World) -> None:
    people = [ANNA, BERT, CARA]
    for person in people:
        world.patient(person)
    world.photographs(*(Photograph(str(n), person) for n, person in enumerate(people, start=70)))
    world.link()
    world.reimport(only=[BERT])
    answer = ask(world, "70")
    assert states(answer) == "oo??ox"
    assert F.BATCH_WITHOUT_PATIENT not in [found.finding for found in answer.findings]
    assert "a re-import of the patients is under way, or some were removed: 1 of 3 are there" in answer.headline
    assert ask(world, ANNA).headline.startswith(
        "A re-import is under way, or patients were removed (1 of 3 patients are there, and this one is not), so "
    )
    assert answer.broken


def test_what_the_bucket_says_now_counts_more_than_its_listing(
    photographed: Callable[..., Photographed], bucket: Any
) -> None:
    clinic = photographed("fresh")
    key = min(clinic.objects())
    recid = next(row["recid"] for row in clinic.truth["rows"] if row["object"] == key)
    waiting = next(row["recid"] for row in clinic.truth["rows"] if row["state"] == "no_object")

    def answer(asked: str, *, ask_bucket: bool) -> Explanation:
        with clinic.places.engine.connect() as connection:
            store = clinic.store if ask_bucket else None
            return explaining.explain(connection, clinic.places.settings, asked, store)

    assert answer(recid, ask_bucket=True).visible == 1
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=key)
    assert answer(recid, ask_bucket=False).visible == 1
    gone = answer(recid, ask_bucket=True)
    assert (gone.visible, first_broken(gone)) == (0, (F.IMAGE_WITHOUT_OBJECT, HopName.OBJECT))
    clinic.bucket.put(f"{DUMP}{waiting}.JPG")
    assert first_broken(answer(waiting, ask_bucket=False)) == (F.ROW_WITHOUT_OBJECT, HopName.OBJECT)
    assert first_broken(answer(waiting, ask_bucket=True)) == (F.TOO_NEW, HopName.OBJECT)


def test_a_bucket_that_cannot_be_reached_leaves_the_listing(
    photographed: Callable[..., Photographed], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fm_migration.objects.failures import UnreachableError

    clinic = photographed("fresh", 3)
    recid = clinic.rows("select recid from fm_migration.photo where state = 'linked' limit 1")[0].recid

    def head(*_args: object) -> None:
        raise UnreachableError("looking up", "it", "nobody answers", "Wait")

    monkeypatch.setattr(type(clinic.store), "head", head)
    with clinic.places.engine.connect() as connection:
        assert explaining.explain(connection, clinic.places.settings, recid, clinic.store).visible == 1


# --- ways to ask --------------------------------------------------------------------------------------------------


def test_every_way_to_ask_leads_to_the_same_photograph(world: World, anna: uuid.UUID) -> None:
    image = world.image("77.jpg").id
    by_recid = ask(world, "77")
    for asked in (
        "077", "recid 77", "row 1", "ROW 1", image, f"image {image}", str(image).upper(), f"{{{image}}}", image.hex,
        image_id("77"), image_id("77").lower(), f"photograph {image_id('77')}", DUMP + "77.jpg", "77.jpg",
        f"  object {DUMP}77.jpg ", world.image("77.jpg").s3_thumbnail_key,
    ):  # fmt: skip
        answer = ask(world, asked)
        assert [walk.photograph.image for walk in answer.walks] == [by_recid.walks[0].photograph.image], asked
        assert answer.visible == 1, asked


@pytest.mark.parametrize(
    "asked",
    ["", "999", "nobody", "recid x", "row 99", "image 77", "00000000-0000-4000-8000-000000000000", "a/b.jpg", "%", "_"],
)
def test_what_nobody_knows_is_said_to_be_unknown(world: World, anna: uuid.UUID, asked: str) -> None:
    with pytest.raises(UnknownSubjectError) as caught:
        ask(world, asked)
    assert caught.value.could_be == ()


def test_a_uuid_that_is_two_things_says_what_it_could_be(world: World, anna: uuid.UUID) -> None:
    """A patient of the app whose UUID is another one's FileMaker id."""
    bert = world.patient(str(anna))
    world.read_patients()
    with pytest.raises(UnknownSubjectError) as caught:
        ask(world, anna)
    assert [str(subject) for subject in caught.value.could_be] == [f"patient {anna}", f"contact {anna}"]
    assert f"Say which: `fm-migration explain patient {anna}`" in str(caught.value)
    assert ask(world, f"patient {anna}").patients == (anna,)
    assert ask(world, f"contact {anna}").patients == (bert,)


def test_a_link_of_another_table(world: World, anna: uuid.UUID) -> None:
    document = world.document(anna)
    asked = f"link documents_document.object_id {document}"
    assert ask(world, asked).headline.endswith(f"points at patient {anna}, who is in the app.")
    world.reimport()
    answer = ask(world, asked)
    assert [found.finding for found in answer.findings] == [F.LINK_WITHOUT_PATIENT]
    assert (answer.broken, commands(answer)) == (True, ["fm-migration heal"])
    unlinked = world.document(None)
    assert not ask(world, f"link documents_document.object_id {unlinked}").broken
    with pytest.raises(UnknownSubjectError):
        ask(world, f"link documents_document.object_id {uuid.uuid4()}")


# --- reports ------------------------------------------------------------------------------------------------------


def test_a_report_adds_since_when_and_what_is_accepted(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    image = world.image("77.jpg").id
    since = datetime(2025, 11, 18, tzinfo=UTC)
    world.do(
        "insert into fm_migration.report (export_read_id, snapshot_id, patient_read_id, plan_id, verdict, totals, "
        "counts, waived, withheld, data_version) select (select max(id) from fm_migration.export_read), "
        "(select max(id) from fm_migration.inventory_snapshot), (select max(id) from fm_migration.patient_read), "
        "(select max(id) from fm_migration.link_plan), '', '{}', '{}', '{}', '{}', ''"
    )
    for name, subject, waiver in (
        ("thumbnail_missing", f"image {image}", "not wanted"),
        ("mirrored_side", f"image {image}", None),
    ):
        world.do(
            "insert into fm_migration.finding (class, subject, severity, evidence, first_report, last_report, "
            "first_seen, last_seen, waiver) select :name, :subject, 'warning', '{}', max(id), max(id), :at, :at, "
            ":waiver from fm_migration.report",
            name=name,
            subject=subject,
            at=since,
            waiver=waiver,
        )
    answer = ask(world, "77")
    (found,) = answer.findings
    assert (found.first_seen, found.waiver) == (since, "not wanted")
    assert answer.report_only == (("mirrored_side", f"image {image}"),)
    assert answer.as_dict()["as_of"]["report"] is not None


# --- the sample clinic --------------------------------------------------------------------------------------------

#: The first broken hop of a photograph in each state, before and after its thumbnail is made.
_OF_STATE = {
    "linked": None,
    "no_object": (F.ROW_WITHOUT_OBJECT, HopName.OBJECT),
    "no_contact": (F.ROW_UNUSABLE, HopName.ROW),
    "malformed_contact": (F.ROW_UNUSABLE, HopName.ROW),
    "duplicate_recid": (F.RECID_DOUBLED, HopName.ROW),
    "no_patient": (F.ROW_WITHOUT_PATIENT, HopName.PATIENT),
    "ambiguous_patient": (F.AMBIGUOUS_PATIENT, HopName.PATIENT),
}


def _ask_sample(clinic: Photographed, asked: object) -> Explanation:
    with clinic.places.engine.connect() as connection:
        return explaining.explain(connection, clinic.places.settings, str(asked))


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    ["fresh", pytest.param("imported", marks=pytest.mark.long), pytest.param("stale", marks=pytest.mark.long)],
)
def test_every_row_of_the_sample_is_explained_as_the_truth_says(
    photographed: Callable[..., Photographed], variant: str
) -> None:
    clinic = photographed(variant)
    for row in clinic.truth["rows"]:
        answer = _ask_sample(clinic, f"row {row['row']}")
        expected = _OF_STATE[row["state"]]
        hop = first_broken(answer)
        if expected is None:
            # No thumbnails were made here, and a few files are damaged.
            assert answer.visible == 1, row
            assert hop in (None, (F.THUMBNAIL_MISSING, HopName.THUMBNAIL), (F.FILE_UNREADABLE, HopName.OBJECT)), row
        else:
            assert hop == expected, row


T = TypeVar("T")
#: One in five is asked about in `make test`, another fifth in each run; all of them in `make endurance`.
FIFTHS = pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)], ids=["a fifth", "all"])


def _some(everything: Iterable[T], step: int) -> list[T]:
    return list(everything)[random.randrange(step) :: step]


@pytest.mark.slow
@FIFTHS
def test_every_patient_of_the_sample_before_after_and_between(
    photographed: Callable[..., Photographed], step: int
) -> None:
    """Fresh, imported, re-imported, healed: what a gallery shows is what is said to show."""
    clinic = photographed("stale")
    truth = clinic.truth["patients"]

    def galleries() -> dict[uuid.UUID, set[str]]:
        query = """
            select patients.id, image.s3_key from patients join images_batch on object_id = patients.id
            join images_image as image on image.batch_id = images_batch.id
        """
        shown: dict[uuid.UUID, set[str]] = {row.id: set() for row in clinic.rows("select id from patients")}
        for row in clinic.rows(query):
            shown[row.id].add(row.s3_key)
        return shown

    def check() -> int:
        shows = galleries()
        for patient, keys in _some(shows.items(), step):
            answer = _ask_sample(clinic, patient)
            shown = {w.photograph.key for w in answer.walks if w.visible and w.photograph.image
                     and w.photograph.image.owner == patient}  # fmt: skip
            assert shown == keys, patient
            assert answer.visible == len(keys)
            assert sum(reason.photographs for reason in answer.reasons) == answer.photographs - answer.visible
            if answer.photographs and not keys:
                assert " 0 images: " in answer.headline
        return sum(map(len, shows.values()))

    before = check()
    assert before >= sum(len(gallery["recids"]) for gallery in truth.values())
    with psycopg.connect(clinic.places.database_url) as desk:
        list(play_reimport(desk, seed=1))
    assert check() < before / 10
    with clinic.places.engine.begin() as connection:
        staging.stage_patients(connection)
    clinic.link()
    check()


@pytest.mark.slow
@FIFTHS
def test_no_name_and_no_words_of_staff_are_in_any_answer(photographed: Callable[..., Photographed], step: int) -> None:
    clinic = photographed("imported")
    clinic.execute("update patients set first_name = 'Canaryfirst', last_name = 'Canarylast'")
    clinic.execute("update images_batch set name = 'Canarybatch', description = 'Canarytext'")
    clinic.execute("update images_image set caption = 'Canarycaption'")
    clinic.execute("update fm_migration.csv_metadata set type_text = 'Canarytype', raw = 'Canaryraw', "
                   "contact_text = case contact_text when '' then '' else 'Canarycontact' end")  # fmt: skip
    asked = [row[0] for row in clinic.rows("select id from patients")]
    asked += [row[0] for row in clinic.rows("select 'row ' || row_number from fm_migration.csv_metadata")]
    asked += [row[0] for row in clinic.rows("select id from images_batch")]
    for one in _some(asked, step):
        assert "Canary" not in json.dumps(_ask_sample(clinic, one).as_dict())


def test_the_answer_for_programs_has_these_keys(world: World, anna: uuid.UUID) -> None:
    answer = ask(world, anna).as_dict()
    assert json.loads(json.dumps(answer)) == answer
    assert list(answer) == [
        "asked", "kind", "subject", "headline", "broken", "patients", "photographs", "visible", "first_broken_hop",
        "reasons", "wrong", "findings", "report_only", "tenures", "walks", "as_of",
    ]  # fmt: skip
    assert list(answer["walks"][0]) == [
        "subject", "row", "recid", "object", "patient", "batch", "image", "thumbnail", "visible", "first_broken_hop",
        "hops",
    ]  # fmt: skip
    assert [hop["hop"] for hop in answer["walks"][0]["hops"]] == list(HopName)
    assert list(answer["as_of"]) == ["export_read", "listed", "patients_read", "report"]


def test_findings_carry_meaning_remedy_and_command(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    (finding,) = ask(world, "77").as_dict()["findings"]
    assert finding == {
        "class": "not_applied",
        "severity": "error",
        "subject": "recid 77",
        "said": "no plan was made yet, so it has no image in the app",
        "meaning": F.NOT_APPLIED.meaning,
        "remedy": F.NOT_APPLIED.remedy,
        "command": "dg launch --job import_photographs",
        "command_after_remedy": False,
        "first_seen": None,
        "waiver": None,
    }


def test_two_hundred_photographs_take_as_many_statements_as_one(world: World) -> None:
    from sqlalchemy import event

    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.photographs(Photograph("1", ANNA), *(Photograph(str(n), BERT) for n in range(2, 202)))
    world.link()
    counts = []
    for patient in (anna, bert):
        statements: list[str] = []
        event.listen(world.engine, "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
        answer = ask(world, patient)
        counts.append(len(statements))
    assert (answer.photographs, len(answer.wrong)) == (200, 1)
    assert counts[1] <= counts[0] * 2
