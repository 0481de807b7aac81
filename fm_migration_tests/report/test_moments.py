"""Readings of different age, re-imports in flight, and inputs that cannot be right: no false finding, or no report."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.errors import DatabaseError, ImplausibleInputError, SettingsError
from fm_migration.objects.facts import ObjectFacts
from fm_migration.plans import StalePlanError
from fm_migration.report.classes import FindingClass
from fm_migration.report.findings import Report, Withheld, implausible, make_report, one_moment, verdict
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, Photograph, filemaker_id
from fm_migration_tests.report.reporting import Reported, ago, etag_of, furnish, stored

#: The store's clock speaks in whole seconds, so what is read within the same one counts as read together.
_LISTED_A_MINUTE_AGO = "update fm_migration.inventory_snapshot set started_at = started_at - interval '1 minute'"


@pytest.fixture
def linked(world: Reported) -> Reported:
    """Anna's photograph 1 and Bert's 2, linked; thumbnails are nobody's concern here."""
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("1", ANNA), Photograph("2", BERT))
    world.link()
    for name in ("1.jpg", "2.jpg"):
        world.thumbnail(name, "not_an_image")
    world.do("update fm_migration.thumbnail set state = 'unavailable'")
    world.do("update images_image set s3_thumbnail_key = 'images/of the clinic.jpg'")
    return world


def _objects(*names: str) -> list[ObjectFacts]:
    return [stored(DUMP + name) for name in names]


# --- different age ----------------------------------------------------------------------------------------------------


def test_a_row_of_an_export_that_is_newer_than_the_listing_is_too_new(linked: Reported) -> None:
    """The photograph may have been dumped after the listing. A listing that is newer tells."""
    linked.do(_LISTED_A_MINUTE_AGO)
    linked.export(Photograph("1", ANNA), Photograph("2", BERT), Photograph("3", BERT))
    linked.plan()
    assert linked.find() == {"too_new": {"recid 3"}}
    linked.list_now(*_objects("1.jpg", "2.jpg"))
    linked.plan()
    assert linked.find() == {"row_without_object": {"recid 3"}}


def test_a_row_that_was_a_finding_before_stays_one_when_the_export_is_read_again(linked: Reported) -> None:
    linked.export(Photograph("1", ANNA), Photograph("2", BERT), Photograph("3", BERT))
    linked.list_now(*_objects("1.jpg", "2.jpg"))
    linked.plan()
    assert linked.find() == {"row_without_object": {"recid 3"}}
    linked.do(_LISTED_A_MINUTE_AGO)
    linked.export(Photograph("1", ANNA), Photograph("2", BERT), Photograph("3", BERT), Photograph("4", BERT))
    linked.plan()
    assert linked.find() == {"row_without_object": {"recid 3"}, "too_new": {"recid 4"}}


def test_an_object_that_was_uploaded_after_the_export_was_read_is_too_new(linked: Reported) -> None:
    young = stored(DUMP + "9.jpg", at=datetime.now(UTC))
    linked.list_now(*_objects("1.jpg", "2.jpg"), young)
    linked.plan()
    assert linked.find() == {"too_new": {f"object {DUMP}9.jpg"}}
    linked.export(Photograph("1", ANNA), Photograph("2", BERT))
    linked.do("update fm_migration.export_read set read_at = now() + interval '1 hour'")
    linked.plan()
    assert linked.find() == {"object_without_row": {f"object {DUMP}9.jpg"}}, "the next export does not know it either"


def test_an_image_that_was_uploaded_during_the_listing_is_too_new(linked: Reported) -> None:
    batch = linked.batch(linked.patients()[ANNA], "Fitting", [DUMP + "new/upload.jpg"])
    linked.do("update images_image set uploaded_at = now() where batch_id = :batch", batch=batch)
    (image,) = linked.rows("select id from images_image where batch_id = :batch", batch=batch)
    assert linked.find() == {"too_new": {f"image {image.id}"}}
    linked.do("update images_image set uploaded_at = now() - interval '1 day' where batch_id = :batch", batch=batch)
    assert linked.find() == {"image_without_object": {f"image {image.id}"}}


def test_a_patient_who_was_entered_after_the_patients_were_read_is_no_missing_one(linked: Reported) -> None:
    linked.photographs(Photograph("1", ANNA), Photograph("2", BERT), Photograph("3", CARA))
    linked.read_patients()
    linked.plan()
    assert linked.find() == {"row_without_patient": {"recid 3"}}
    linked.patient(CARA)
    assert linked.find() == {"too_new": {"recid 3"}}


def test_a_patient_who_vanished_after_the_patients_were_read_is_too_new(linked: Reported) -> None:
    for number in range(60):
        linked.patient(filemaker_id(number))
    linked.link()
    document = linked.document(linked.patients()[BERT])
    batch = linked.batch_of("2.jpg").id
    linked.do("delete from patients where filemaker_metadata ->> 'filemaker_id' = :bert", bert=BERT)
    assert linked.find() == {"too_new": {f"batch {batch}", f"link documents_document.object_id {document}"}}


def test_a_batch_that_staff_are_filling_at_this_moment(linked: Reported) -> None:
    batch = linked.batch(linked.patients()[ANNA], "Fitting", count=5)
    linked.do("update images_batch set uploaded_at = now() where id = :batch", batch=batch)
    assert linked.find() == {"too_new": {f"batch {batch}"}}
    linked.do("update images_batch set uploaded_at = now() - interval '1 hour' where id = :batch", batch=batch)
    assert linked.find() == {"batch_empty": {f"batch {batch}"}, "count_wrong": {f"batch {batch}"}}


def test_a_thumbnail_whose_row_a_run_is_about_to_write(linked: Reported) -> None:
    young = stored("thumbnails/new.jpg", at=ago(minutes=30))
    linked.list_now(*_objects("1.jpg", "2.jpg"), young)
    linked.plan()
    assert linked.find() == {"too_new": {"thumbnail thumbnails/new.jpg"}}


def test_a_thumbnail_that_was_made_after_the_listing_is_not_gone(linked: Reported) -> None:
    image = linked.image_id("1.jpg")
    linked.do("delete from fm_migration.thumbnail where clinic_image = :image", image=image)
    linked.thumbnail("1.jpg", made_at=datetime.now(UTC) + timedelta(seconds=1))
    assert linked.find() == {"too_new": {f"image {image}"}}


def test_readings_that_the_plan_does_not_know_give_no_report(linked: Reported) -> None:
    """Its rows would be those of another export."""
    linked.photographs(Photograph("5", ANNA))
    with pytest.raises(StalePlanError, match=r"were read anew since\. Materialize link_plan"):
        linked.report()
    linked.plan()
    linked.report()


def test_a_report_sees_one_moment(linked: Reported) -> None:
    """What others commit while it is made does not count: half of their work would look like a fault."""
    with one_moment(linked.engine) as connection:
        connection.execute(text("select 1 from patients"))
        linked.do("delete from images_image")
        report = make_report(connection, linked.settings)
    assert (report.totals["images"], report.counts) == (2, {})


def test_a_second_report_waits_for_the_first(linked: Reported) -> None:
    made: list[Report] = []
    with one_moment(linked.engine) as connection:
        first = make_report(connection, linked.settings)
        other = threading.Thread(target=lambda: made.append(linked.report()))
        other.start()
        other.join(timeout=0.5)
        assert not made
    other.join()
    assert made[0].id > first.id
    assert made[0].data_version == first.data_version


# --- re-imports -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sample(world: Reported) -> Reported:
    furnish(world, design_clinic(0.02, variant="imported"))
    world.link()
    world.report()
    return world


@pytest.mark.parametrize("left", [0, 1, 50])
def test_in_the_middle_of_a_reimport_there_is_no_report(sample: Reported, left: int) -> None:
    kept = "select id from patients order by filemaker_metadata is not null, mrn limit :left"
    sample.do(f"delete from patients where id not in ({kept})", left=left)
    with pytest.raises(ImplausibleInputError, match=r"known ones are missing\. Wait until the re-import is done"):
        sample.report()
    assert sample.one("select count(*) from fm_migration.report") == 1


def test_between_a_reimport_and_its_healing_there_is_no_report(sample: Reported) -> None:
    """Every batch dangles, and none is an orphan."""
    sample.do("update patients set id = gen_random_uuid()")
    with pytest.raises(ImplausibleInputError, match=r"have new UUIDs or are gone.*Wait for heal_links"):
        sample.report()
    sample.link()
    sample.report()


# --- inputs that cannot be right --------------------------------------------------------------------------------------


def test_what_was_never_read_or_never_applied_gives_no_report(world: Reported) -> None:
    with pytest.raises(DatabaseError, match=r"making the report from csv_metadata: it was never read"):
        world.report()
    world.patient(ANNA)
    world.photographs(Photograph("1", ANNA))
    world.read_patients()
    with pytest.raises(DatabaseError, match="no plan was applied yet"):
        world.report()
    plan = world.plan()
    with pytest.raises(DatabaseError, match="no plan was applied yet"):
        world.report()
    world.apply(plan)
    world.report()


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("delete from fm_migration.csv_metadata where row_number = 1", "csv_metadata: it holds 1 rows of 2"),
        ("update fm_migration.s3_inventory set vanished = changed", "s3_inventory: it holds no original"),
        ("delete from fm_migration.s3_inventory where key like '%1.jpg'", "s3_inventory: it holds 1 objects of 2"),
        ("delete from fm_migration.photo where recid = '1'", "link_plan: it accounts for 1 rows of 2"),
        ("update fm_migration.photo set key = null where recid = '1'", "link_plan: it accounts for 1 originals of 2"),
    ],
)
def test_a_partial_reading_gives_no_report(linked: Reported, damage: str, found: str) -> None:
    linked.do(damage)
    # A listing of that kind has the same version: only what is there tells.
    linked.do("update fm_migration.link_plan set inputs = :inputs", inputs=_versions(linked))
    with pytest.raises(ImplausibleInputError, match=found):
        linked.report()
    assert linked.one("select count(*) from fm_migration.report") == 0


def _versions(world: Reported) -> str:
    from fm_migration.linking import placing

    with world.engine.connect() as connection:
        return placing.versions_of(placing.read_inputs(connection))


# --- plausibility -----------------------------------------------------------------------------------------------------


def test_two_of_ten_are_no_sign_of_anything_but_half_of_a_clinic_is() -> None:
    assert not implausible(2, 10, 0.2)
    assert not implausible(20, 20, 0.2)
    assert implausible(21, 40, 0.2)
    assert not implausible(172, 6_662, 0.2)
    assert implausible(5_577, 6_490, 0.2), "a listing that forgot to page"
    assert implausible(30, 0, 0.2)


@pytest.fixture
def crowded(world: Reported) -> Reported:
    """Sixty photographs of Anna, of which the bucket holds two thirds."""
    world.patient(ANNA)
    world.export(*(Photograph(str(recid), ANNA) for recid in range(1, 61)))
    world.objects(*(f"{recid}.jpg" for recid in range(1, 41)))
    world.link()
    world.objects(*(f"{recid}.jpg" for recid in range(1, 31)))
    world.link(approved=True)
    return world


def test_a_class_with_an_implausible_share_is_counted_and_not_listed(crowded: Reported) -> None:
    report = crowded.report()
    assert "row_without_object" not in crowded.open()
    assert report.withheld[FindingClass.ROW_WITHOUT_OBJECT] == Withheld(30, 60)
    assert crowded.one("select withheld -> 'row_without_object' from fm_migration.report") == {"count": 30, "of": 60}
    assert report.verdict == (
        "This report is in doubt. row_without_object: it would hold 30 of 60, which looks like our mistake"
    )
    assert len(crowded.open()["image_without_object"]) == 10, "ten of forty are few enough to be listed"


def test_a_person_may_have_it_listed_all_the_same(crowded: Reported) -> None:
    crowded.report()
    report = crowded.report(["row_without_object", "thumbnail_missing"])
    assert report.withheld == {}
    assert report.counts[FindingClass.ROW_WITHOUT_OBJECT] == 30
    assert FindingClass.ROW_WITHOUT_OBJECT not in report.new, "the report before could not say"
    assert crowded.report(implausible_share=0.5).counts[FindingClass.ROW_WITHOUT_OBJECT] == 30
    with pytest.raises(SettingsError, match="accept: rows: there is no such class"):
        crowded.report(["rows"])


def test_thumbnails_that_are_not_made_yet_put_nothing_in_doubt(world: Reported) -> None:
    world.patient(ANNA)
    world.photographs(*(Photograph(str(recid), ANNA) for recid in range(1, 41)))
    world.link()
    report = world.report()
    assert report.withheld == {FindingClass.THUMBNAIL_MISSING: Withheld(40, 40)}
    assert report.verdict.startswith("All 40 photographs")


def test_what_the_apps_own_tables_prove_may_hold_any_share(world: Reported) -> None:
    """13,288 of 14,949 batches were empty when we came, and that was the truth."""
    patient = world.patient(ANNA)
    world.photographs(Photograph("1", ANNA))
    world.link()
    for number in range(30):
        world.batch(patient, f"{number} Jan 2020 (FileMaker Import)", by_hand=False)
        world.document(uuid.uuid4())
    report = world.report()
    assert (report.counts[FindingClass.BATCH_EMPTY], report.counts[FindingClass.LINK_WITHOUT_PATIENT]) == (30, 30)


def test_a_verdict_with_errors() -> None:
    totals = {"states": {"linked": 1_200, "no_object": 3}, "waterfall": [("rows of the export", 1_203), ("v", 1_198)]}
    counts = {FindingClass.ROW_WITHOUT_OBJECT: 3, FindingClass.BATCH_WITHOUT_PATIENT: 2, FindingClass.UNDATED: 7}
    assert verdict(totals, counts, {}) == (
        "2 of 1,200 photographs whose row, file and patient are known do not show; 5 findings keep others from "
        "showing, and 7 more are worth a look"
    )


# --- from report to report --------------------------------------------------------------------------------------------


def test_first_and_last_seen_and_what_is_new(linked: Reported) -> None:
    one = linked.batch(linked.patients()[ANNA], "Fitting")
    first = linked.report()
    assert first.new == {}, "before the first report nothing was known"
    two = linked.batch(linked.patients()[ANNA], "Fitting 2")
    second = linked.report()
    assert second.new == {FindingClass.BATCH_EMPTY: 1}
    assert second.data_version != first.data_version
    again = linked.report()
    assert (again.new, again.data_version) == ({}, second.data_version)
    linked.do("delete from images_batch where id = :one", one=one)
    last = linked.report()
    rows = {row.subject: row for row in linked.rows("select * from fm_migration.finding")}
    assert (rows[f"batch {one}"].first_report, rows[f"batch {one}"].last_report) == (first.id, again.id)
    assert (rows[f"batch {two}"].first_report, rows[f"batch {two}"].last_report) == (second.id, last.id)
    assert rows[f"batch {two}"].first_seen < rows[f"batch {two}"].last_seen
    assert linked.open() == {"batch_empty": {f"batch {two}"}}


def test_a_finding_that_comes_back_is_new_again_and_keeps_its_first_day(linked: Reported) -> None:
    patient = linked.patients()[ANNA]
    batch = linked.batch(patient, "Fitting")
    first = linked.report()
    linked.do("update images_batch set uploaded_at = now() where id = :batch", batch=batch)
    linked.report()
    linked.do("update images_batch set uploaded_at = now() - interval '1 day' where id = :batch", batch=batch)
    third = linked.report()
    assert third.new == {FindingClass.BATCH_EMPTY: 1}
    query = "select first_report from fm_migration.finding where class = 'batch_empty'"
    assert linked.one(query) == first.id


def test_equal_findings_have_an_equal_version_whatever_was_read_anew(linked: Reported) -> None:
    linked.batch(linked.patients()[ANNA], "Fitting")
    first = linked.report()
    linked.list_now(*_objects("1.jpg", "2.jpg"))
    linked.link()
    second = linked.report()
    assert second.data_version == first.data_version
    assert etag_of("x") != etag_of("y")
