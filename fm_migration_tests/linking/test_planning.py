"""What a plan decides, before anything is written: who a photograph belongs to, where it hangs, and what is doubtful.

The sections follow DOMAIN.md section 7, and its numbers stand with the tests. Of the items that are about links, 9 is
in `test_links.py`, 10 and 11 are in `test_applying.py`, 16 is in `test_kill.py` (the process, the connection) and here
(the object), and 8 at full size is in `test_first_contact.py`.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime

import pytest

from fm_migration.errors import DatabaseError, ImplausibleInputError
from fm_migration.linking.placing import Plan, doubts_about
from fm_migration.linking.states import PhotographState
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.plans import ApprovalNeededError
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, LISTED_AT, Photograph, World, image_id

IMPORTED = "18 Oct 2016 (FileMaker Import)"


def _assert_states_add_up(world: World, plan: Plan) -> None:
    rows = world.one("select count(*) from fm_migration.csv_metadata")
    assert plan.rows == rows
    assert sum(plan.states.values()) == world.one("select count(*) from fm_migration.photo_status")
    assert set(plan.states) <= set(PhotographState)


# --- 3: a lookup that finds nobody ------------------------------------------------------------------------------------


def test_3_patients_whose_id_moved_to_another_field_are_no_reading_at_all(world: World) -> None:
    """The clinic's command looked in the wrong JSON field, and skipped 6,490 of 6,490 without an error."""
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("77", ANNA), Photograph("78", BERT))
    world.link()
    world.do("update patients set filemaker_metadata = jsonb_build_object('id', filemaker_metadata ->> 'filemaker_id')")
    with pytest.raises(ImplausibleInputError, match="none of the 2 patients has a FileMaker id"):
        world.read_patients()
    assert len(world.galleries()) == 2


def test_3_a_plan_that_links_far_less_than_the_last_one_is_an_alarm(world: World) -> None:
    for person in (ANNA, BERT):
        world.patient(person)
    rows = [Photograph(str(number), ANNA if number % 2 else BERT) for number in range(100, 120)]
    world.photographs(*rows)
    world.link()
    world.photographs(*rows[:17])
    assert world.plan().doubts == ("only 17 photographs would be linked, and the last plan linked 20",)
    world.photographs(*rows[:18])
    assert world.plan().doubts == ()


def test_3_nobody_found_at_the_very_first_run_is_a_state_and_changes_nothing(world: World) -> None:
    world.patient(None, metadata=json.dumps({"id": ANNA}))
    world.photographs(Photograph("77", ANNA), Photograph("78", BERT))
    world.read_patients()
    plan = world.plan()
    assert (plan.states, plan.changes) == ({"no_patient": 2}, 0)


# --- 4: ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("export", [str.lower, str.upper])
def test_4_ids_that_differ_in_case_are_one_person(world: World, app: type[str], export: type[str]) -> None:
    patient = world.patient(ANNA, as_written=app(ANNA))
    world.photographs(Photograph("77", export(ANNA)))
    world.link()
    assert world.galleries() == {patient: ["77.jpg"]}


def test_4_ids_that_differ_in_case_only_are_told_apart_by_how_they_are_written(world: World) -> None:
    upper, lower = world.patient(ANNA), world.patient(ANNA, as_written=ANNA.lower())
    mixed = ANNA[:9].lower() + ANNA[9:]
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA.lower()), Photograph("79", mixed))
    world.link()
    assert world.galleries() == {upper: ["77.jpg"], lower: ["78.jpg"]}
    assert world.states()["79"] == "ambiguous_patient"


def test_4_an_id_that_two_patients_share_is_ambiguous_and_never_chosen(world: World) -> None:
    world.patient(ANNA)
    world.patient(ANNA)
    bert = world.patient(BERT)
    world.photographs(Photograph("77", ANNA), Photograph("78", BERT))
    world.link()
    assert world.states() == {"77": "ambiguous_patient", "78": "linked"}
    assert world.galleries() == {bert: ["78.jpg"]}


def test_4_patients_who_share_an_id_are_told_apart_by_their_app_uuids(world: World) -> None:
    """Newer exports name the patient's app UUID. Photographs of the two on the same day must not share a batch."""
    first = world.patient(ANNA)
    second = world.patient(ANNA)
    world.photographs(Photograph("77", str(first)), Photograph("78", str(second)))
    world.link()
    assert world.galleries() == {first: ["77.jpg"], second: ["78.jpg"]}


@pytest.mark.parametrize(
    "contact", ["12345", "n/a", f"{ANNA}-X", "see referral", "00000000-0000-0000-0000-00000000000G"]
)
def test_4_a_contact_that_is_no_uuid_is_a_state_and_stops_nobody_else(world: World, contact: str) -> None:
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", contact), Photograph("78", ANNA))
    world.link()
    assert world.states() == {"77": "malformed_contact", "78": "linked"}
    assert world.galleries() == {anna: ["78.jpg"]}


def test_4_a_malformed_id_of_a_patient_stops_nobody(world: World) -> None:
    world.patient("not a UUID")
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    assert world.galleries() == {anna: ["77.jpg"]}


def test_a_contact_is_found_by_app_uuid_then_by_filemaker_id_then_by_history(world: World) -> None:
    anna = world.patient(ANNA)
    bert = world.patient(BERT)
    rows = (Photograph("77", str(anna)), Photograph("78", str(anna).upper()), Photograph("79", BERT))
    world.photographs(*rows)
    world.link()
    assert world.galleries() == {anna: ["77.jpg", "78.jpg"], bert: ["79.jpg"]}
    world.reimport()
    # The export still names the UUID that Anna had; only the history knows it.
    world.link()
    assert world.states() == {"77": "linked", "78": "linked", "79": "linked"}
    assert world.gallery(ANNA) == ["77.jpg", "78.jpg"]
    assert world.gallery(BERT) == ["79.jpg"]


def test_an_app_uuid_from_before_our_time_finds_nobody(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", str(uuid.uuid4())))
    world.link()
    assert world.states() == {"77": "no_patient"}


# --- 5: one recid twice -----------------------------------------------------------------------------------------------


def test_5_a_recid_that_two_rows_quarrel_over_is_nobodys(world: World) -> None:
    """In the clinic's command the last row won: a photograph on the wrong patient's record."""
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA), Photograph("77", BERT))
    world.link()
    assert world.states() == {"77": "duplicate_recid", "78": "linked"}
    assert world.one("select count(*) from fm_migration.photo_status where state = 'duplicate_recid'") == 2
    assert world.gallery(ANNA) == ["78.jpg"]
    assert world.gallery(BERT) == []


@pytest.mark.parametrize(
    "other", [{"date": "10/19/2016"}, {"image_id": image_id("another")}, {"date": ""}, {"contact": ""}]
)
def test_5_any_contradiction_makes_a_recid_doubtful(world: World, other: dict[str, str]) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph(**{"recid": "77", "contact": ANNA, **other}))
    world.link()
    assert world.rows("select distinct state from fm_migration.photo_status") == [("duplicate_recid",)]
    assert world.galleries() == {}


def test_5_rows_that_say_the_same_twice_are_one_photograph(world: World) -> None:
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph("77", ANNA.lower(), type="Planter"))
    plan = world.link()
    assert plan.states == {"linked": 1, "duplicate_recid": 1}
    assert world.galleries() == {anna: ["77.jpg"]}
    assert world.image("77.jpg").caption == "Dorsal"


def test_5_two_records_with_one_image_id_are_two_photographs(world: World) -> None:
    """FileMaker duplicates a record with everything in it; the app allows each id once."""
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("77", ANNA, image_id=image_id("x")), Photograph("78", BERT, image_id=image_id("x")))
    world.link()
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg"], ["78.jpg"])
    assert {world.image(name).filemaker_id for name in ("77.jpg", "78.jpg")} == {None}
    assert world.plan().changes == 0


def test_5_an_object_named_by_an_image_id_that_two_records_have_is_nobodys(world: World) -> None:
    world.patient(ANNA)
    world.patient(BERT)
    world.export(Photograph("77", ANNA, image_id=image_id("x")), Photograph("78", BERT, image_id=image_id("x")))
    world.objects(f"{image_id('x')}.jpg")
    world.link()
    assert world.states() == {"77": "no_object", "78": "no_object"}
    assert world.galleries() == {}


# --- 6: what is missing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["", "2/30/2018", "13/45/2019", "soon"])
def test_6_a_photograph_without_a_possible_date_goes_to_the_undated_batch(world: World, written: str) -> None:
    """The clinic's command dropped them."""
    anna = world.patient(ANNA)
    dated = [Photograph(str(recid), ANNA) for recid in range(100, 105)]
    world.photographs(Photograph("77", ANNA, date=written), *dated)
    world.link()
    assert world.batch_of("77.jpg").name == "Undated (FileMaker Import)"
    assert world.image("77.jpg").date_taken is None
    assert sorted(world.galleries()[anna]) == ["100.jpg", "101.jpg", "102.jpg", "103.jpg", "104.jpg", "77.jpg"]
    assert world.rows("select month from fm_migration.photo_status where recid = '77'") == [("undated",)]


def test_6_rows_without_contact_or_object_are_states_and_so_is_an_object_without_a_row(world: World) -> None:
    anna = world.patient(ANNA)
    world.export(Photograph("77", ""), Photograph("78", ANNA), Photograph("79", ANNA))
    world.objects("77.jpg", "79.jpg", "80.jpg", "79_thumb.jpg")
    world.read_patients()
    plan = world.plan()
    assert plan.states == {"no_contact": 1, "no_object": 1, "linked": 1, "no_metadata": 1}
    _assert_states_add_up(world, plan)
    world.apply(plan)
    assert world.galleries() == {anna: ["79.jpg"]}
    (stray,) = world.rows("select key, row_number, month from fm_migration.photo_status where state = 'no_metadata'")
    assert (stray.key, stray.row_number, stray.month) == (f"{DUMP}80.jpg", None, "undated")


def test_every_kind_of_row_is_in_one_state_and_the_states_add_up(world: World) -> None:
    world.patient(ANNA)
    world.patient(BERT)
    world.patient(BERT)
    world.export(
        Photograph("1", ANNA),
        Photograph("2", ANNA),
        Photograph("2", BERT),
        Photograph("3", ""),
        Photograph("4", "nobody"),
        Photograph("5", ANNA),
        Photograph("6", ANNA),
        Photograph("7", CARA),
        Photograph("8", BERT),
        Photograph("", ANNA, image_id=""),
        Photograph("9", ANNA),
    )
    world.objects("1.jpg", "2.jpg", "3.jpg", "4.jpg", "6.docx", "7.jpg", "8.jpg", "9.jpg", "10.jpg")
    world.read_patients()
    plan = world.plan(limit=1)
    assert plan.states == {
        "linked": 1,
        "duplicate_recid": 2,
        "no_contact": 1,
        "malformed_contact": 1,
        "no_object": 1,
        "unsupported_file": 1,
        "no_patient": 1,
        "ambiguous_patient": 1,
        "malformed_row": 1,
        "beyond_limit": 1,
        "no_metadata": 1,
    }
    _assert_states_add_up(world, plan)
    reasons = world.rows("select distinct state, reason from fm_migration.photo_status")
    assert {row.state: row.reason for row in reasons} == {
        state: PhotographState(state).meaning for state in plan.states
    }


def test_a_key_that_no_column_of_the_app_can_hold_costs_one_photograph(world: World) -> None:
    world.patient(ANNA)
    world.export(Photograph("77", ANNA), Photograph("78", ANNA))
    world.objects(f"77.{'x' * 480}", f"78.{'x' * 300}")
    world.link()
    assert world.states() == {"77": "unsupported_file", "78": "linked"}
    assert len(world.image(f"78.{'x' * 300}").original_name) == 255


# --- 7: what earlier runs have left -----------------------------------------------------------------------------------


def test_7_of_batches_of_the_same_name_the_one_with_the_photographs_is_used(world: World) -> None:
    anna = world.patient(ANNA)
    empty = world.batch(anna, IMPORTED, by_hand=False)
    full = world.batch(anna, IMPORTED, [DUMP + "77.jpg"], by_hand=False)
    by_hand = world.batch(anna, IMPORTED, ["images/upload.jpg"])
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.link()
    assert world.image("78.jpg").batch_id == full
    counts = {row.id: row.image_count for row in world.rows("select id, image_count from images_batch")}
    assert counts == {empty: 0, full: 2, by_hand: 1}


def test_7_an_empty_batch_of_the_right_name_is_used_before_another_is_made(world: World) -> None:
    anna = world.patient(ANNA)
    empty = world.batch(anna, IMPORTED, by_hand=False)
    other = world.batch(anna, "19 Oct 2016 (FileMaker Import)", by_hand=False)
    world.photographs(Photograph("77", ANNA))
    world.link()
    counts = {row.id: row.image_count for row in world.rows("select id, image_count from images_batch")}
    assert counts == {empty: 1, other: 0}


@pytest.mark.parametrize("name", ["05 Jan 2017 (FileMaker Import)", "5 Jan 2017 (FileMaker Import)"])
def test_7_a_batch_is_used_with_and_without_a_zero_before_the_day(world: World, name: str) -> None:
    """The clinic's command writes the zero, and an earlier version of ours did not."""
    batch = world.batch(world.patient(ANNA), name, by_hand=False)
    world.photographs(Photograph("77", ANNA, date="1/5/2017"))
    world.link()
    assert [(row.id, row.name) for row in world.rows("select id, name from images_batch")] == [(batch, name)]


def test_7_an_image_entered_twice_is_adopted_once_and_its_double_is_left(world: World) -> None:
    anna = world.patient(ANNA)
    known = {DUMP + "77.jpg": image_id("77")}
    kept = world.batch(anna, IMPORTED, [DUMP + "77.jpg"], by_hand=False, filemaker_ids=known)
    double = world.batch(anna, IMPORTED, [DUMP + "77.jpg"], by_hand=False)
    world.photographs(Photograph("77", ANNA))
    before = world.snapshot()
    plan = world.link()
    assert plan.counts["images_created"] == 0
    after = world.snapshot()
    assert [image["batch_id"] for image in after["images_image"]] == [
        image["batch_id"] for image in before["images_image"]
    ]
    assert {batch["id"] for batch in after["images_batch"]} == {str(kept), str(double)}
    assert world.one("select clinic_image from fm_migration.photo_status") == world.one(
        "select id from images_image where batch_id = :batch", batch=kept
    )


def test_7_after_a_reimport_and_another_run_of_the_clinics_command_nothing_is_doubled(world: World) -> None:
    """Its command makes a new empty batch for the new UUID, and skips every image because its key is known."""
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.link()
    world.reimport()
    empty = world.batch(world.patients()[ANNA], IMPORTED, by_hand=False)
    world.link()
    assert world.gallery(ANNA) == ["77.jpg", "78.jpg"]
    assert world.one("select image_count from images_batch where id = :id", id=empty) == 0
    assert world.one("select count(*) from images_image") == 2


# --- 8: batches whose patient nobody remembers ------------------------------------------------------------------------


def test_8_a_stale_batch_is_led_home_by_its_photographs(world: World) -> None:
    gone = uuid.uuid4()
    keys = [DUMP + "77.jpg", DUMP + "78.jpg"]
    stale = world.batch(gone, IMPORTED, keys, by_hand=False, thumbnail="thumbs/1.jpg", caption="Seen", count=7)
    world.batch(uuid.uuid4(), IMPORTED, by_hand=False)
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    images = world.rows("select id from images_image order by id")
    plan = world.link()
    assert (plan.counts["batches_relinked"], plan.counts["images_created"], plan.counts["images_moved"]) == (1, 0, 0)
    assert world.galleries() == {anna: ["77.jpg", "78.jpg"]}
    assert world.rows("select id from images_image order by id") == images
    assert world.batch_of("77.jpg").id == stale
    assert world.batch_of("77.jpg").image_count == 2
    image = world.image("77.jpg")
    assert (image.s3_thumbnail_key, image.caption, str(image.filemaker_id)) == (
        "thumbs/1.jpg",
        "Seen",
        image_id("77").lower(),
    )


@pytest.mark.parametrize(
    ("key", "caption"),
    [
        ("old-layout/77.jpeg", ""),
        ("media/a1b2/77", ""),
        ("media/a1b2/photo.jpg", "Planter, recid 77"),
    ],
)
def test_8_images_under_older_keys_are_recognised_by_their_recid(world: World, key: str, caption: str) -> None:
    stale = world.batch(uuid.uuid4(), IMPORTED, [key], by_hand=False, caption=caption)
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    plan = world.link()
    assert plan.counts["images_created"] == 0
    assert world.one("select object_id from images_batch where id = :id", id=stale) == anna


def test_8_digits_at_the_end_of_a_longer_name_are_no_recid(world: World) -> None:
    """The app's own uploads are named by UUIDs; one that ends in e77 is not the photograph 77."""
    bert = world.patient(BERT)
    upload = "images/0b5e0f9a-9c5e-4a43-8f3d-2f6f1a9d4e77.jpg"
    world.batch(bert, "From the phone", [upload], by_hand=False)
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.link()
    assert world.galleries() == {anna: ["77.jpg"], bert: [upload]}


def test_8_a_stale_batch_with_photographs_of_two_patients_is_taken_apart(world: World) -> None:
    keys = [DUMP + name for name in ("77.jpg", "78.jpg", "79.jpg")]
    stale = world.batch(uuid.uuid4(), IMPORTED, keys, by_hand=False)
    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.photographs(Photograph("77", ANNA), Photograph("78", BERT), Photograph("79", ANNA))
    world.link()
    assert world.galleries() == {anna: ["77.jpg", "79.jpg"], bert: ["78.jpg"]}
    # Not a whole person's, so it is nobody's: it stays where it was, empty.
    assert world.one("select image_count from images_batch where id = :id", id=stale) == 0
    assert world.wrong_counts() == []


def test_8_what_the_photographs_tell_joins_the_history_only_when_the_plan_is_applied(world: World) -> None:
    """A plan that nobody applies, because its export was the wrong one, must teach us nothing."""
    gone = uuid.uuid4()
    world.batch(gone, IMPORTED, [DUMP + "77.jpg"], by_hand=False)
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    world.read_patients()
    plan = world.plan()
    asked = "select count(*) from fm_migration.patient_identity where patient_id = :gone"
    assert plan.counts["patients_recognised"] == 1
    assert world.one(asked, gone=gone) == 0
    world.apply(plan)
    assert world.one(asked, gone=gone) == 1
    world.undo(plan)
    assert world.one(asked, gone=gone) == 0


def test_8_a_uuid_whose_batches_hold_photographs_of_two_people_teaches_nothing(world: World) -> None:
    gone = uuid.uuid4()
    world.batch(gone, IMPORTED, [DUMP + "77.jpg"], by_hand=False)
    world.batch(gone, "Another", [DUMP + "78.jpg"], by_hand=False)
    by_hand = world.batch(gone, "By hand", ["images/upload.jpg"])
    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.photographs(Photograph("77", ANNA), Photograph("78", BERT))
    world.link()
    assert world.galleries() == {anna: ["77.jpg"], bert: ["78.jpg"]}
    assert world.one("select object_id from images_batch where id = :id", id=by_hand) == gone


# --- 16 and 17: objects and keys --------------------------------------------------------------------------------------


def test_16_an_object_that_vanishes_after_the_listing_keeps_its_image_and_is_a_state_at_the_next(world: World) -> None:
    """A listing is all that a plan reads of the bucket; reading an object that is gone is the thumbnails' affair."""
    anna = world.patient(ANNA)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.link()
    world.objects("78.jpg")
    world.read_patients()
    plan = world.plan()
    assert plan.states == {"no_object": 1, "linked": 1}
    assert plan.changes == 0
    assert world.galleries() == {anna: ["77.jpg", "78.jpg"]}


def test_17_a_patient_is_never_inferred_from_a_path(world: World) -> None:
    """Keys of uploads and documents carry the UUID that the patient had on that day; another may have it now."""
    anna, bert = world.patient(ANNA), world.patient(BERT)
    gone = uuid.uuid4()
    upload = world.batch(gone, "From the phone", [f"images/{bert}/{uuid.uuid4()}.jpg"])
    document = world.document(gone, f"documents/{bert}/letter.pdf")
    world.photographs(Photograph("77", ANNA))
    world.link()
    assert world.galleries() == {anna: ["77.jpg"]}
    assert world.one("select object_id from images_batch where id = :id", id=upload) == gone
    assert world.one("select object_id from documents_document where id = :id", id=document) == gone


def test_17_the_folder_of_an_exported_photograph_is_a_claim_and_its_row_decides(world: World) -> None:
    world.overrides["exports_prefixes"] = ("exports/",)
    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.export(Photograph("77", ANNA), Photograph("78", BERT))
    keys = [f"exports/{bert}/2016-10-18/{image_id('77')}.jpg", f"exports/{bert}/2016-10-18/{image_id('99')}.jpg"]
    world.list_facts([ObjectFacts(key, key, 1, LISTED_AT, STANDARD) for key in keys])
    world.link()
    assert world.states() == {"77": "linked", "78": "no_object"}
    assert world.galleries() == {anna: [keys[0]]}


# --- what a batch and an image are made of ----------------------------------------------------------------------------


def test_a_batch_is_one_patients_photographs_of_one_day(world: World) -> None:
    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.photographs(
        Photograph("77", ANNA, "10/18/2016"),
        Photograph("78", ANNA, "10/18/2016"),
        Photograph("79", ANNA, "1/5/2017"),
        Photograph("80", BERT, "10/18/2016"),
    )
    world.link()
    batches = world.rows("select object_id, name, description, image_count, uploaded_by_id from images_batch")
    assert {tuple(row) for row in batches} == {
        (anna, "18 Oct 2016 (FileMaker Import)", "", 2, None),
        (anna, "05 Jan 2017 (FileMaker Import)", "", 1, None),
        (bert, "18 Oct 2016 (FileMaker Import)", "", 1, None),
    }


def test_images_and_batches_are_dated_noon_in_the_clinics_time_zone(world: World) -> None:
    """So the gallery sorts by when the pictures were taken, whatever the hour of the server is."""
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA, "7/18/2016"), Photograph("78", ANNA, "1/18/2017"))
    world.link()
    # Melbourne is ten hours ahead in winter, eleven in summer.
    assert world.batch_of("77.jpg").uploaded_at == datetime(2016, 7, 18, 2, tzinfo=UTC)
    assert world.batch_of("78.jpg").uploaded_at == datetime(2017, 1, 18, 1, tzinfo=UTC)
    assert world.image("78.jpg").uploaded_at == world.batch_of("78.jpg").uploaded_at


def test_an_undated_batch_has_the_same_moment_whenever_it_is_planned(world: World) -> None:
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA, ""), Photograph("78", ANNA))
    world.read_patients()
    first = world.plan()
    second = world.plan()
    assert first.hash == second.hash
    world.apply(second)
    assert world.batch_of("77.jpg").uploaded_at == world.one("select min(read_at) from fm_migration.export_read")


def test_a_new_image_has_every_column(world: World) -> None:
    world.patient(ANNA)
    world.export(Photograph("77", ANNA, type="Planter Left"), Photograph("78", ANNA, type=""))
    world.objects("77.PNG", "78")
    world.link()
    image = world.image("77.PNG")
    assert (image.original_name, image.file_size, image.mime_type) == ("77.PNG", 1000, "image/png")
    assert (image.category, image.caption) == ("plantar", "Planter Left")
    assert (image.s3_thumbnail_key, image.thumbnail_size, image.width, image.height) == ("", None, None, None)
    assert (image.date_taken, image.uploaded_by_id) == (date(2016, 10, 18), None)
    assert str(image.filemaker_id) == image_id("77").lower()
    bare = world.image("78")
    assert (bare.mime_type, bare.category, bare.caption) == ("image/jpeg", "other", "")


def test_images_are_ordered_by_recid_after_what_hangs_there_already(world: World) -> None:
    anna = world.patient(ANNA)
    world.photographs(Photograph("100", ANNA), Photograph("99", ANNA), Photograph("9", ANNA))
    world.link()
    assert world.galleries() == {anna: ["9.jpg", "99.jpg", "100.jpg"]}
    world.do("""update images_image set "order" = 40 where s3_key like '%/9.jpg'""")
    world.photographs(*(Photograph(recid, ANNA) for recid in ("100", "99", "9", "8", "7")))
    world.link()
    assert world.galleries() == {anna: ["99.jpg", "100.jpg", "9.jpg", "7.jpg", "8.jpg"]}
    assert world.wrong_counts() == []


def test_a_batch_that_is_touched_gets_its_true_count(world: World) -> None:
    anna = world.patient(ANNA)
    wrong = world.batch(anna, IMPORTED, [DUMP + "77.jpg"], by_hand=False, count=12)
    untouched = world.batch(anna, "By hand", ["images/upload.jpg"], count=5)
    world.photographs(Photograph("77", ANNA))
    plan = world.link()
    assert plan.counts["batches_recounted"] == 1
    assert world.wrong_counts() == [untouched]
    assert world.one("select image_count from images_batch where id = :id", id=wrong) == 1


def test_the_plainest_object_is_the_original_and_an_empty_one_the_last_choice(world: World) -> None:
    world.patient(ANNA)
    world.export(Photograph("77", ANNA), Photograph("78", ANNA))
    nested = f"77.jpg/{uuid.uuid4()}.jpg"
    facts = [
        ObjectFacts(DUMP + nested, "a", 10, LISTED_AT, STANDARD),
        ObjectFacts(DUMP + "77.jpg", "b", 10, LISTED_AT, STANDARD),
        ObjectFacts(DUMP + "78.jpg", "c", 0, LISTED_AT, STANDARD),
        ObjectFacts(DUMP + "78.png", "d", 10, LISTED_AT, STANDARD),
    ]
    world.list_facts(facts)
    world.link()
    assert world.gallery(ANNA) == ["77.jpg", "78.png"]


# --- the plan itself --------------------------------------------------------------------------------------------------


def _ready(world: World, *photographs: Photograph) -> None:
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*(photographs or (Photograph("77", ANNA), Photograph("78", ANNA), Photograph("79", BERT))))
    world.read_patients()


def test_a_plan_writes_nothing_into_the_clinics_tables(world: World) -> None:
    _ready(world)
    before = world.snapshot()
    assert world.plan().changes == 5
    assert world.snapshot() == before


def test_the_hash_is_the_same_for_the_same_plan_and_another_for_another(world: World) -> None:
    _ready(world)
    first = world.plan()
    assert world.plan().hash == first.hash
    world.read_patients()
    world.objects("79.jpg", "78.jpg", "77.jpg")
    assert world.plan().hash == first.hash, "reading the same again changes nothing"
    hashes = {first.hash, world.plan(limit=2).hash}
    world.export(Photograph("77", ANNA), Photograph("78", ANNA), Photograph("79", BERT, type="Wound"))
    hashes.add(world.plan().hash)
    world.objects("77.jpg", "78.jpg", "79.jpg", "80.jpg")
    hashes.add(world.plan().hash)
    world.patient(CARA)
    world.read_patients()
    hashes.add(world.plan().hash)
    assert len(hashes) == 5, "a plan from other inputs has another hash, also where its changes are the same"


def test_planning_needs_each_of_its_inputs_once(world: World) -> None:
    with pytest.raises(DatabaseError, match="csv_metadata"):
        world.plan()
    world.export(Photograph("77", ANNA))
    with pytest.raises(DatabaseError, match="s3_inventory"):
        world.plan()
    world.objects("77.jpg")
    with pytest.raises(DatabaseError, match="patient_map"):
        world.plan()
    assert world.one("select count(*) from fm_migration.link_plan") == 0


def test_a_limited_plan_links_the_first_photographs_and_the_next_plan_the_others(world: World) -> None:
    _ready(world)
    limited = world.plan(limit=1)
    assert limited.states == {"linked": 1, "beyond_limit": 2}
    world.apply(limited)
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg"], [])
    whole = world.plan()
    assert whole.states == {"linked": 3}
    assert (whole.counts["batches_created"], whole.counts["images_created"]) == (1, 2)
    world.apply(whole)
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])
    assert world.wrong_counts() == []


def test_a_limited_plan_re_links_only_the_batches_of_its_photographs(world: World) -> None:
    first = world.batch(uuid.uuid4(), IMPORTED, [DUMP + "77.jpg", DUMP + "78.jpg"], by_hand=False)
    world.batch(uuid.uuid4(), IMPORTED, [DUMP + "79.jpg"], by_hand=False)
    _ready(world)
    plan = world.plan(limit=1)
    assert plan.counts["batches_relinked"] == 1
    world.apply(plan)
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], [])
    assert world.batch_of("77.jpg").id == first


def test_a_limited_plan_is_not_measured_by_the_whole_one_before_it(world: World) -> None:
    _ready(world, *(Photograph(str(recid), ANNA) for recid in range(100, 120)))
    world.apply(world.plan())
    assert world.plan(limit=3).doubts == ()


# --- doubts -----------------------------------------------------------------------------------------------------------

HARMLESS = {"visible_before": 1000, "visible_after": 1000, "changing_hands": 0, "linked": 1000}


@pytest.mark.parametrize(
    ("counts", "linked_before", "doubt"),
    [
        ({}, 1000, None),
        ({}, None, None),
        ({"visible_after": 999}, 1000, "1 photographs would no longer be visible"),
        ({"visible_after": 2000}, 1000, None),
        ({"changing_hands": 10}, 1000, None),
        ({"changing_hands": 11}, 1000, "11 photographs would move from one living patient to another"),
        ({"linked": 900}, 1000, None),
        ({"linked": 899}, 1000, "only 899 photographs would be linked, and the last plan linked 1,000"),
        ({"linked": 1}, None, None),
        ({"linked": 0}, 0, None),
    ],
)
def test_what_is_doubtful_about_a_plan(counts: dict[str, int], linked_before: int | None, doubt: str | None) -> None:
    assert list(doubts_about({**HARMLESS, **counts}, linked_before)) == ([doubt] if doubt else [])


def _doubtful(world: World) -> Plan:
    """A corrected export says of two photographs that they are Bert's: they would leave Anna's record."""
    _ready(world)
    world.apply(world.plan())
    world.photographs(Photograph("77", BERT), Photograph("78", BERT), Photograph("79", BERT))
    return world.plan()


def test_a_doubtful_plan_needs_a_person_who_names_its_hash(world: World) -> None:
    plan = _doubtful(world)
    assert plan.doubts == ("2 photographs would move from one living patient to another",)
    before = world.snapshot()
    for approve in (None, "", "yes", plan.hash[:-1], plan.hash.upper() + " "):
        with pytest.raises(ApprovalNeededError, match="would move from one living patient to another") as caught:
            world.apply(plan, approve=approve)
        assert plan.hash in caught.value.remedy
    assert world.snapshot() == before
    world.apply(plan, approve=plan.hash)
    assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == ([], ["77.jpg", "78.jpg", "79.jpg"])


def test_an_approval_is_for_one_plan_only(world: World) -> None:
    looked_at = _doubtful(world)
    world.photographs(Photograph("77", BERT), Photograph("78", BERT), Photograph("79", ANNA))
    another = world.plan()
    with pytest.raises(ApprovalNeededError):
        world.apply(another, approve=looked_at.hash)


def test_a_limit_does_not_hide_what_is_doubtful(world: World) -> None:
    """The two photographs are all that hangs in the batch, so it is the batch that changes hands."""
    _doubtful(world)
    assert world.plan(limit=1).doubts == ("2 photographs would move from one living patient to another",)
