"""One planted orphan of every class, and beside each what looks like one and is none."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from fm_migration.objects.facts import ObjectFacts
from fm_migration.report.classes import FindingClass
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, Photograph, filemaker_id, image_id
from fm_migration_tests.report.reporting import WRITTEN, Reported, etag_of, stored

F = FindingClass


@pytest.fixture
def linked(world: Reported) -> Reported:
    """Anna's photographs 1 and 2, Bert's 3: all linked, all with thumbnails, nothing to find."""
    world.patient(ANNA)
    world.patient(BERT)
    world.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT))
    world.objects("1.jpg", "2.jpg", "3.jpg")
    world.link()
    world.list_now(*_bucket(), *world.thumbnails("1.jpg", "2.jpg", "3.jpg"))
    world.link()
    return world


def _bucket(*names: str) -> tuple[ObjectFacts, ...]:
    return tuple(stored(DUMP + name) for name in (names or ("1.jpg", "2.jpg", "3.jpg")))


def _thumbnails(world: Reported, *names: str) -> tuple[ObjectFacts, ...]:
    return tuple(stored(f"thumbnails/{world.image_id(name)}.jpg") for name in names or ("1.jpg", "2.jpg", "3.jpg"))


def _relist(world: Reported, *objects: ObjectFacts) -> None:
    """The bucket holds these, and the plan knows it."""
    world.list_now(*objects)
    world.read_patients()
    world.plan()


def test_a_clinic_in_order_has_no_finding(linked: Reported) -> None:
    report = linked.report()
    assert linked.open() == {}
    assert report.counts == {}
    assert report.verdict == (
        "All 3 photographs whose row, file and patient are known show on their patients' pages; nothing else was found"
    )
    assert report.totals["waterfall"] == [("rows of the export", 3), ("visible photographs", 3)]


def _long_ago(world: Reported) -> None:
    """Whoever has gone so far has not gone a moment ago."""
    world.do("update fm_migration.patient_read set read_at = read_at - interval '1 hour'")


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_without_an_object(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), Photograph("4", BERT))
    _relist(linked, *_bucket(), *_thumbnails(linked))
    assert linked.find() == {"row_without_object": {"recid 4"}}
    evidence = linked.evidence(F.ROW_WITHOUT_OBJECT, "recid 4")
    assert evidence == {"row": 4, "recid": "4", "filemaker_id": BERT.lower()}


def test_a_row_without_a_patient_a_malformed_one_and_one_without_a_contact(linked: Reported) -> None:
    rows = (Photograph("4", CARA), Photograph("5", "see referral"), Photograph("6", ""))
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), *rows)
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg"), *_thumbnails(linked))
    assert linked.find() == {"row_without_patient": {"recid 4"}, "row_unusable": {"recid 5", "recid 6"}}
    assert linked.evidence(F.ROW_UNUSABLE, "recid 5")["state"] == "malformed_contact"


def test_a_recid_that_stands_twice_is_named_by_its_rows(linked: Reported) -> None:
    linked.export(
        Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), Photograph("3", BERT),
        Photograph("7", ANNA), Photograph("7", BERT),
    )  # fmt: skip
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "7.jpg"), *_thumbnails(linked))
    assert linked.find() == {"recid_doubled": {"row 4", "row 5", "row 6"}}
    assert linked.evidence(F.RECID_DOUBLED, "row 4")["recid"] == "3"


def test_a_patient_whom_two_share(linked: Reported) -> None:
    linked.patient(BERT)
    linked.link(approved=True)
    found = linked.find()
    assert found["ambiguous_patient"] == {"recid 3"}
    assert linked.evidence(F.AMBIGUOUS_PATIENT, "recid 3")["filemaker_id"] == BERT.lower()


def test_an_undated_row(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT, date="2/30/2018"))
    _relist(linked, *_bucket(), *_thumbnails(linked))
    assert linked.find() == {"undated": {"recid 3"}}


def test_a_photograph_that_is_planned_and_not_applied(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), Photograph("4", BERT))
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "4.jpg"), *_thumbnails(linked))
    assert linked.find() == {"not_applied": {"recid 4"}}
    assert "1 of 4 photographs" in linked.report().verdict


def test_photographs_beyond_the_limit_are_not_applied_unless_they_show(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), Photograph("4", BERT))
    linked.list_now(*_bucket("1.jpg", "2.jpg", "3.jpg", "4.jpg"), *_thumbnails(linked))
    linked.read_patients()
    linked.apply(linked.plan(limit=1))
    assert linked.find() == {"not_applied": {"recid 4"}}


def test_a_photograph_that_staff_have_moved(linked: Reported) -> None:
    """Before the next plan and after it."""
    theirs = linked.batch_of("1.jpg").id
    linked.do("update images_image set batch_id = :batch where s3_key = :key", batch=theirs, key=DUMP + "3.jpg")
    linked.do(
        "update images_batch set image_count = (select count(*) from images_image where batch_id = images_batch.id)"
    )
    expected = {"placed_by_staff": {"recid 3"}}
    found = linked.find()
    assert found.pop("batch_empty"), "nothing hangs in Bert's batch any more"
    assert found == expected
    linked.plan()
    found = linked.find()
    assert found.pop("batch_empty")
    assert found == expected


# --- objects ----------------------------------------------------------------------------------------------------------


def test_an_object_without_a_row(linked: Reported) -> None:
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "9.jpg"), *_thumbnails(linked))
    assert linked.find() == {"object_without_row": {f"object {DUMP}9.jpg"}}
    assert linked.evidence(F.OBJECT_WITHOUT_ROW, f"object {DUMP}9.jpg") == {
        "key": DUMP + "9.jpg", "recid": "9", "size": 1000,
    }  # fmt: skip


def test_an_original_that_staff_have_put_on_a_record_is_known(linked: Reported) -> None:
    linked.batch(linked.patients()[ANNA], "Found in the dump", [DUMP + "9.jpg"])
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "9.jpg"), *_thumbnails(linked))
    assert linked.find() == {}


def test_a_thumbnail_of_the_clinics_and_a_stray_file_are_no_originals(linked: Reported) -> None:
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "1_thumb.jpg", ".DS_Store"), *_thumbnails(linked))
    assert linked.find() == {}


def test_an_image_whose_object_is_gone(linked: Reported) -> None:
    image = linked.image_id("3.jpg")
    _relist(linked, *_bucket("1.jpg", "2.jpg"), *_thumbnails(linked))
    found = linked.find()
    assert found == {"image_without_object": {f"image {image}"}, "row_without_object": {"recid 3"}}


def test_an_upload_of_staff_outside_the_dump_is_not_looked_for(linked: Reported) -> None:
    linked.batch(linked.patients()[ANNA], "Fitting", ["images/anna/1.jpg"])
    assert linked.find() == {}


def test_a_file_that_was_moved_is_found_by_its_content(linked: Reported) -> None:
    """And is neither a lost object nor an object without a row, and its row is not without one."""
    image = linked.image_id("3.jpg")
    moved = stored(DUMP + "900.jpg", etag=etag_of(DUMP + "3.jpg"))
    _relist(linked, *_bucket("1.jpg", "2.jpg"), moved, *_thumbnails(linked))
    assert linked.find() == {"file_misplaced": {f"image {image}"}}
    evidence = linked.evidence(F.FILE_MISPLACED, f"image {image}")
    assert (evidence["of"], evidence["key"]) == (DUMP + "3.jpg", DUMP + "900.jpg")


def test_a_file_that_another_image_shows_was_not_moved_there(linked: Reported) -> None:
    """Two photographs of one content: the one that is left is not the other one's."""
    twin = stored(DUMP + "2.jpg", etag=etag_of(DUMP + "3.jpg"))
    _relist(linked, stored(DUMP + "1.jpg"), twin, *_thumbnails(linked))
    found = linked.find()
    assert "file_misplaced" not in found
    assert found["image_without_object"] == {f"image {linked.image_id('3.jpg')}"}


def test_the_same_content_under_two_patients(linked: Reported) -> None:
    same = stored(DUMP + "3.jpg", etag=etag_of(DUMP + "1.jpg"))
    _relist(linked, *_bucket("1.jpg", "2.jpg"), same, *_thumbnails(linked))
    found = linked.find()
    found.pop("thumbnail_stale")
    one, other = linked.image_id("1.jpg"), linked.image_id("3.jpg")
    assert found == {"content_under_two_patients": {f"image {one}", f"image {other}"}}
    assert linked.evidence(F.CONTENT_UNDER_TWO_PATIENTS, f"image {one}")["of"] == str(other)


def test_the_same_content_by_the_bytes_that_were_read(linked: Reported) -> None:
    """Where the listing's ETags say nothing, as after uploads in parts."""
    linked.do("update fm_migration.thumbnail set original_sha256 = 'ab'")
    found = linked.find()
    # Anna's two are the same file as well; one of each is named as the other's twin.
    images = {f"image {linked.image_id(name)}" for name in ("1.jpg", "2.jpg", "3.jpg")}
    assert found == {"content_under_two_patients": images}


def test_the_same_content_twice_on_one_record_and_empty_files_are_not_two_patients(linked: Reported) -> None:
    linked.list_now(
        stored(DUMP + "1.jpg", etag="same"), stored(DUMP + "2.jpg", etag="same"),
        stored(DUMP + "3.jpg", etag="same", size=0), *_thumbnails(linked),
    )  # fmt: skip
    linked.plan()
    assert "content_under_two_patients" not in linked.find()


def test_unreadable_files_and_files_that_are_no_images(linked: Reported) -> None:
    linked.do("delete from fm_migration.thumbnail")
    linked.do("update images_image set s3_thumbnail_key = ''")
    linked.thumbnail("1.jpg", "unreadable")
    linked.thumbnail("2.jpg", "not_an_image")
    linked.thumbnail("3.jpg", "partial")
    _relist(linked, *_bucket(), *_thumbnails(linked, "3.jpg"))
    assert linked.find() == {
        "file_unreadable": {f"object {DUMP}1.jpg", f"object {DUMP}3.jpg"},
        "file_not_an_image": {f"object {DUMP}2.jpg"},
    }
    assert linked.evidence(F.FILE_UNREADABLE, f"object {DUMP}3.jpg")["state"] == "partial"


def test_a_file_that_was_dumped_again_is_not_called_unreadable_by_what_was_read_before(linked: Reported) -> None:
    linked.do("delete from fm_migration.thumbnail")
    linked.do("update images_image set s3_thumbnail_key = ''")
    linked.thumbnail("1.jpg", "unreadable")
    for name in ("2.jpg", "3.jpg"):
        linked.thumbnail(name)
    again = stored(DUMP + "1.jpg", etag="better")
    _relist(linked, again, *_bucket("2.jpg", "3.jpg"), *_thumbnails(linked, "2.jpg", "3.jpg"))
    assert linked.find() == {"thumbnail_missing": {f"image {linked.image_id('1.jpg')}"}}


def test_an_empty_file_is_known_by_its_size(linked: Reported) -> None:
    empty = stored(DUMP + "3.jpg", size=0)
    _relist(linked, *_bucket("1.jpg", "2.jpg"), empty, *_thumbnails(linked))
    assert linked.find()["file_unreadable"] == {f"object {DUMP}3.jpg"}


def test_a_file_of_a_kind_that_stays_out(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT), Photograph("4", BERT))
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "4.docx"), *_thumbnails(linked))
    assert linked.find() == {"file_not_an_image": {f"object {DUMP}4.docx"}}


def test_contradicting_evidence_holds_both_claims(linked: Reported) -> None:
    """The object of its image says recid 1, FileMaker's id says recid 3."""
    image = linked.image_id("1.jpg")
    linked.do("update images_image set filemaker_id = null where s3_key = :key", key=DUMP + "3.jpg")
    linked.do("update images_image set filemaker_id = :id where id = :image", id=image_id("3"), image=image)
    linked.plan()
    assert linked.find() == {"contradicting_evidence": {"recid 1", "recid 3"}}
    for recid in ("1", "3"):
        evidence = linked.evidence(F.CONTRADICTING_EVIDENCE, f"recid {recid}")
        assert (evidence["shows"], evidence["contradicts"]) == ("recid 1", "recid 3")
    assert linked.evidence(F.CONTRADICTING_EVIDENCE, "recid 1")["image"] == str(image)


def test_a_photograph_that_staff_have_deleted(linked: Reported) -> None:
    """Before the next plan has seen it and after it; no original is called hidden by that."""
    image = linked.image_id("3.jpg")
    linked.do("delete from images_image where id = :image", image=image)
    linked.do(
        "update images_batch set image_count = (select count(*) from images_image where batch_id = images_batch.id)"
    )
    for plan in (False, True):
        if plan:
            linked.link(approved=True)
        found = linked.find()
        assert found.pop("batch_empty")
        assert found.pop("thumbnail_without_image")
        assert found == {"removed_by_staff": {"recid 3"}}
        assert linked.evidence(F.REMOVED_BY_STAFF, "recid 3")["image"] == str(image)
    report = linked.report()
    assert report.totals["hidden"] == {}
    assert report.totals["waterfall"] == [
        ("rows of the export", 3), ("removed by staff", -1), ("visible photographs", 2),
    ]  # fmt: skip


def test_a_second_original_counts_as_not_shown(linked: Reported) -> None:
    _relist(linked, *_bucket("1.jpg", "2.jpg", "3.jpg", "3.png"), *_thumbnails(linked))
    (other,) = {DUMP + "3.jpg", DUMP + "3.png"} - {
        linked.one("select key from fm_migration.photo where recid = '3' and state = 'linked'")
    }
    found = linked.find()
    assert found == {"second_original": {f"object {other}"}}
    assert linked.evidence(F.SECOND_ORIGINAL, f"object {other}")["recid"] == "3"
    report = linked.report()
    assert report.verdict.startswith("1 of 4 photographs whose row, file and patient are known do not show")
    assert report.totals["originals"] == {"linked": 3, "second_original": 1}
    assert sum(report.totals["states"].values()) == 3


# --- the app ----------------------------------------------------------------------------------------------------------


def test_a_batch_whose_patient_is_gone(linked: Reported) -> None:
    """One that was never seen, and an empty one, which hides nothing."""
    nobody = uuid.uuid4()
    batch = linked.batch(nobody, "Fitting", ["images/1.jpg"])
    empty = linked.batch(nobody, "Fitting 2")
    assert linked.find() == {"batch_without_patient": {f"batch {batch}"}, "batch_empty": {f"batch {empty}"}}
    assert linked.evidence(F.BATCH_WITHOUT_PATIENT, f"batch {batch}") == {
        "batch": str(batch), "patient": str(nobody), "has": 1, "state": "never_seen",
    }  # fmt: skip


def test_a_batch_of_a_patient_who_was_removed_long_ago_names_who_it_was(linked: Reported) -> None:
    batch = linked.batch_of("3.jpg").id
    linked.do("delete from patients where filemaker_metadata ->> 'filemaker_id' = :bert", bert=BERT)
    linked.read_patients()
    linked.link()
    _long_ago(linked)
    assert linked.find() == {"batch_without_patient": {f"batch {batch}"}}
    assert linked.evidence(F.BATCH_WITHOUT_PATIENT, f"batch {batch}")["state"] == "absent"
    assert "1 of 3 photographs" in linked.report().verdict
    assert linked.evidence(F.BATCH_WITHOUT_PATIENT, f"batch {batch}")["filemaker_id"] == BERT.lower()


def test_a_link_of_another_table_whose_patient_is_gone(linked: Reported) -> None:
    linked.document(linked.patients()[ANNA])
    linked.document(None)
    lost = linked.document(uuid.uuid4(), "documents/2.pdf")
    subject = f"link documents_document.object_id {lost}"
    assert linked.find() == {"link_without_patient": {subject}}
    evidence = linked.evidence(F.LINK_WITHOUT_PATIENT, subject)
    assert (evidence["table"], evidence["column"], evidence["of"]) == ("documents_document", "object_id", str(lost))


def _shared(world: Reported) -> uuid.UUID:
    """Anna is gone, and two who had her id are there again."""
    anna = world.patients()[ANNA]
    world.patient(ANNA)
    world.read_patients()
    document = world.document(anna)
    world.reimport()
    world.link(approved=True)
    _long_ago(world)
    return document


def test_a_link_whose_former_patient_could_be_two(linked: Reported) -> None:
    batch, anna = linked.batch_of("1.jpg").id, linked.patients()[ANNA]
    document = _shared(linked)
    found = linked.find()
    subjects = {f"link documents_document.object_id {document}", f"batch {batch}"}
    assert found["link_ambiguous"] == subjects
    assert "batch_without_patient" not in found
    holders = sorted(
        str(row.id)
        for row in linked.rows("select id from patients where filemaker_metadata ->> 'filemaker_id' = :id", id=ANNA)
    )
    for subject in subjects:
        evidence = linked.evidence(F.LINK_AMBIGUOUS, subject)
        assert (evidence["patient"], evidence["could_be"]) == (str(anna), ", ".join(holders))


def test_a_link_that_was_followed_before_the_id_was_shared(linked: Reported) -> None:
    """Batches and documents; what was never led anywhere is nobody's concern."""
    batch, anna = linked.batch_of("1.jpg").id, linked.patients()[ANNA]
    document = linked.document(anna)
    linked.reimport()
    linked.link(approved=True)
    linked.document(linked.patients()[ANNA], "documents/of-today.pdf")
    assert "followed_then_shared" not in linked.find()
    linked.patient(ANNA)
    linked.link(approved=True)
    found = linked.find()["followed_then_shared"]
    assert found == {f"batch {batch}", f"link documents_document.object_id {document}"}
    evidence = linked.evidence(F.FOLLOWED_THEN_SHARED, f"batch {batch}")
    assert (evidence["former"], evidence["filemaker_id"]) == (str(anna), ANNA.lower())


def test_a_batch_that_staff_gave_to_a_patient_without_an_id_who_is_gone(linked: Reported) -> None:
    """It is theirs, and not taken back: a finding."""
    batch, nameless = linked.batch_of("3.jpg").id, linked.patient(None)
    linked.do("update images_batch set object_id = :nameless where id = :batch", nameless=nameless, batch=batch)
    linked.link(approved=True)
    linked.do("delete from patients where id = :nameless", nameless=nameless)
    linked.link(approved=True)
    _long_ago(linked)
    found = linked.find()
    assert found["given_batch_lost"] == {f"batch {batch}"}
    assert "batch_without_patient" not in found
    evidence = linked.evidence(F.GIVEN_BATCH_LOST, f"batch {batch}")
    assert (evidence["patient"], evidence["state"]) == (str(nameless), "without_id")
    assert linked.batch_of("3.jpg").object_id == nameless


def test_a_photograph_on_a_batch_that_nobody_can_settle(linked: Reported) -> None:
    """Its former patient went while two had the id; the row names the one who has it alone now."""
    batch, anna = linked.batch_of("1.jpg").id, linked.patients()[ANNA]
    _shared(linked)
    linked.do(
        "delete from patients where id = (select min(id::text)::uuid from patients "
        "where filemaker_metadata ->> 'filemaker_id' = :id)", id=ANNA,
    )  # fmt: skip
    linked.read_patients()
    linked.do("update fm_migration.patient_read set read_at = read_at - interval '30 days'")
    linked.read_patients()
    linked.do("insert into patients (id, first_name, last_name, archived, created_at, updated_at, mrn) "
              "values (gen_random_uuid(), 'x', 'y', false, now(), now(), 'M9')")  # fmt: skip
    linked.link(approved=True)
    assert set(linked.states().values()) == {"ambiguous_patient", "linked"}
    found = linked.find()
    assert found["owner_unsettled"] == {"recid 1", "recid 2"}
    assert "ambiguous_patient" not in found
    evidence = linked.evidence(F.OWNER_UNSETTLED, "recid 1")
    assert (evidence["batch"], evidence["former"]) == (str(batch), str(anna))


def test_who_has_gone_a_moment_ago_may_be_back(linked: Reported) -> None:
    """While a re-import is under way nobody is called an orphan, though most of the people are there."""
    for number in range(60):
        linked.patient(filemaker_id(number))
    linked.link()
    batch = linked.batch_of("3.jpg").id
    linked.do("delete from patients where filemaker_metadata ->> 'filemaker_id' = :bert", bert=BERT)
    linked.link(approved=True)
    assert linked.find() == {"too_new": {f"batch {batch}"}}
    _long_ago(linked)
    assert linked.find() == {"batch_without_patient": {f"batch {batch}"}}


def test_a_named_column_of_text_is_looked_at_too(own_world: Reported) -> None:
    world = own_world
    patient = world.patient(ANNA)
    world.photographs(Photograph("1", ANNA))
    world.link()
    world.do("""create table "Odd: table's" (id int primary key, "of whom" varchar(36))""")
    world.do("""insert into "Odd: table's" values (1, upper(:patient)), (2, 'gone'), (3, null)""", patient=str(patient))
    world.report(link_columns=('"Odd: table\'s".of whom',))
    assert world.open()["link_without_patient"] == {'link "Odd: table\'s".of whom 2'}


def test_an_image_on_a_batch_that_is_no_patients(linked: Reported) -> None:
    image = linked.image_id("3.jpg")
    linked.do(
        "update images_batch set content_type_id = (select id from django_content_type where model = 'user') "
        "where id = :batch", batch=linked.batch_of("3.jpg").id,
    )  # fmt: skip
    assert linked.find() == {"image_without_batch": {f"image {image}"}}


def test_an_image_that_staff_have_put_on_something_else_is_theirs(linked: Reported) -> None:
    batch = linked.batch(linked.patients()[ANNA], "Shop window", ["images/1.jpg"])
    linked.do(
        "update images_batch set content_type_id = (select id from django_content_type where model = 'user') "
        "where id = :batch", batch=batch,
    )  # fmt: skip
    assert linked.find() == {}


def test_an_image_doubled_by_an_earlier_run(linked: Reported) -> None:
    """By its object, and by its recid under another key; what staff have uploaded is not a double."""
    kept = linked.image_id("1.jpg")
    name = linked.batch_of("1.jpg").name
    batch = linked.batch(linked.patients()[ANNA], name, [DUMP + "1.jpg"], by_hand=False)
    linked.batch(linked.patients()[ANNA], "Compare", [DUMP + "2.jpg"])
    linked.plan()
    (twin,) = linked.rows("select id from images_image where batch_id = :batch", batch=batch)
    found = linked.find()
    assert found.pop("batch_doubled") == {f"batch {batch}"}, "and the batch is of the same day as another"
    assert found == {"image_doubled": {f"image {twin.id}"}}
    assert linked.evidence(F.IMAGE_DOUBLED, f"image {twin.id}")["of"] == str(kept)


def test_a_batch_doubled_by_an_earlier_run_is_told_by_its_day(linked: Reported) -> None:
    """Also where staff have given the first one another name; batches of other days are none."""
    first = linked.batch_of("1.jpg")
    linked.do("update images_batch set name = 'Before surgery' where id = :id", id=first.id)
    second = linked.batch(linked.patients()[ANNA], "18 Oct 2016 (FileMaker Import)", [DUMP + "x.jpg"], by_hand=False)
    other = linked.batch(linked.patients()[ANNA], "19 Oct 2016 (FileMaker Import)", [DUMP + "y.jpg"], by_hand=False)
    linked.do("update images_image set date_taken = '2016-10-18' where batch_id = :id", id=second)
    linked.do("update images_image set date_taken = '2016-10-19' where batch_id = :id", id=other)
    _relist(linked, *_bucket(), stored(DUMP + "x.jpg"), stored(DUMP + "y.jpg"), *_thumbnails(linked))
    assert linked.find() == {"batch_doubled": {f"batch {second}"}}
    assert linked.evidence(F.BATCH_DOUBLED, f"batch {second}")["of"] == str(first.id)


def test_old_batches_without_any_date_are_told_by_their_names(linked: Reported) -> None:
    """Else all undated batches of a patient would look like doubles of one another."""
    for day in ("1 Mar 2015", "2 Mar 2015"):
        linked.batch(linked.patients()[BERT], f"{day} (FileMaker Import)", [f"old/{day}.jpg"], by_hand=False)
    assert linked.find() == {}
    padded = linked.batch(linked.patients()[BERT], "01 Mar 2015 (FileMaker Import)", ["old/x.jpg"], by_hand=False)
    (found,) = linked.find()["batch_doubled"]
    assert str(padded) in {linked.evidence(F.BATCH_DOUBLED, found)[end] for end in ("batch", "of")}


def test_an_empty_batch_and_a_wrong_count(linked: Reported) -> None:
    empty = linked.batch(linked.patients()[ANNA], "Fitting")
    wrong = linked.batch_of("3.jpg").id
    linked.do("update images_batch set image_count = 7 where id = :id", id=wrong)
    assert linked.find() == {"batch_empty": {f"batch {empty}"}, "count_wrong": {f"batch {wrong}"}}
    assert {"says": 7, "has": 1}.items() <= linked.evidence(F.COUNT_WRONG, f"batch {wrong}").items()


def test_photographs_of_an_archived_patient(linked: Reported) -> None:
    """Who is archived and has none is nobody's concern."""
    linked.patient(filemaker_id("without photographs"))
    linked.do("update patients set archived = filemaker_metadata ->> 'filemaker_id' <> :anna", anna=ANNA)
    linked.read_patients()
    linked.plan()
    assert linked.find() == {"archived_patient": {f"patient {linked.patients()[BERT]}"}}


# --- thumbnails -------------------------------------------------------------------------------------------------------


def test_a_thumbnail_that_is_missing_and_one_whose_object_is_gone(linked: Reported) -> None:
    linked.do("update images_image set s3_thumbnail_key = '' where s3_key = :key", key=DUMP + "1.jpg")
    _relist(linked, *_bucket(), *_thumbnails(linked, "1.jpg", "3.jpg"))
    one, two = linked.image_id("1.jpg"), linked.image_id("2.jpg")
    found = linked.find()
    assert found.pop("thumbnail_without_image"), "that of the first is there and nobody shows it"
    assert found == {"thumbnail_missing": {f"image {one}", f"image {two}"}}
    assert linked.evidence(F.THUMBNAIL_MISSING, f"image {two}")["key"] == f"thumbnails/{two}.jpg"


def test_a_thumbnail_that_a_person_has_undone_is_not_missing(linked: Reported) -> None:
    linked.do("update images_image set s3_thumbnail_key = '' where s3_key = :key", key=DUMP + "1.jpg")
    linked.do("update fm_migration.thumbnail set undone_at = now() where source_key = :key", key=DUMP + "1.jpg")
    assert "thumbnail_missing" not in linked.find()


def test_a_thumbnail_of_an_earlier_version(linked: Reported) -> None:
    _relist(linked, *_bucket("1.jpg", "2.jpg"), stored(DUMP + "3.jpg", etag="newer"), *_thumbnails(linked))
    assert linked.find() == {"thumbnail_stale": {f"image {linked.image_id('3.jpg')}"}}


def test_a_thumbnail_without_an_image(linked: Reported) -> None:
    """Ours; and of the clinic's own only those whose original is gone."""
    keys = ("thumbnails/ab/abc.jpg", DUMP + "900_thumb.jpg")
    waiting = stored(DUMP + "1_thumb.jpg")
    _relist(linked, *_bucket(), *(stored(key) for key in keys), waiting, *_thumbnails(linked))
    assert linked.find() == {"thumbnail_without_image": {f"thumbnail {key}" for key in keys}}


def test_a_mirrored_side(linked: Reported) -> None:
    linked.do("update fm_migration.thumbnail set mirrored_side = true where source_key = :key", key=DUMP + "3.jpg")
    assert linked.find() == {"mirrored_side": {f"image {linked.image_id('3.jpg')}"}}


# --- what is too new --------------------------------------------------------------------------------------------------


def test_an_object_that_is_younger_than_the_export(linked: Reported) -> None:
    """It was uploaded while the run was in progress."""
    young = stored(DUMP + "9.jpg", at=WRITTEN + timedelta(days=4000))
    _relist(linked, *_bucket(), young, *_thumbnails(linked))
    assert linked.find() == {"too_new": {f"object {DUMP}9.jpg"}}
    assert linked.evidence(F.TOO_NEW, f"object {DUMP}9.jpg")["state"] == "object_without_row"


@pytest.mark.parametrize("finding_class", list(FindingClass))
def test_every_class_has_a_test_here(finding_class: FindingClass) -> None:
    with open(__file__, encoding="utf-8") as file:  # noqa: PTH123
        assert finding_class.value in file.read()
