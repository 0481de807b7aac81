"""A plan applied or refused, what staff do meanwhile, what they have done since, and the way back.

DOMAIN.md section 7, items 10 and 11, and the locks.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from fm_migration import plans
from fm_migration.errors import ContractError, DatabaseError
from fm_migration.ledger import identity
from fm_migration.linking import applying, consuming
from fm_migration.linking.placing import Plan
from fm_migration.plans import StalePlanError, locks
from fm_migration.plans import applying as plans_applying
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, Photograph, World, image_id

IMPORTED = "18 Oct 2016 (FileMaker Import)"
ROWS = (Photograph("77", ANNA), Photograph("78", ANNA), Photograph("79", BERT))


@pytest.fixture
def planned(world: World) -> tuple[World, Plan]:
    """A clinic of three photographs, nothing imported yet, and the plan to import them."""
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*ROWS)
    world.read_patients()
    return world, world.plan()


@pytest.fixture
def imported(planned: tuple[World, Plan]) -> tuple[World, Plan]:
    """The same, imported."""
    world, plan = planned
    world.apply(plan)
    return world, plan


Planned = tuple[World, Plan]


def _move_batch(world: World, batch: uuid.UUID, patient: uuid.UUID) -> None:
    assert world.do("update images_batch set object_id = :patient where id = :id", patient=patient, id=batch) == 1


def _edit(world: World, name: str, **values: str) -> None:
    assignments = ", ".join(f"{column} = :{column}" for column in values)
    assert world.do(f"update images_image set {assignments} where s3_key = :key", key=DUMP + name, **values) == 1


def _upload(world: World, batch: uuid.UUID) -> None:
    """A picture is added to a batch in the app, which raises the count."""
    world.do(
        """insert into images_image (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type,
               category, caption, uploaded_at, "order")
           values (gen_random_uuid(), :batch, 'images/upload.jpg', '', 'upload.jpg', 1, 'image/jpeg', '', '', now(), 9)
        """,
        batch=batch,
    )
    world.do("update images_batch set image_count = image_count + 1 where id = :id", id=batch)


# --- once and again ---------------------------------------------------------------------------------------------------


def test_applying_does_what_the_plan_says_and_says_so(planned: Planned) -> None:
    world, plan = planned
    done = world.apply(plan)
    assert (done.applied, done.already, done.overtaken, done.visible) == (plan.changes, 0, 0, 3)
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])
    assert world.wrong_counts() == []
    assert {entry.outcome for entry in world.journal(plan)} == {"applied"}


def test_applying_a_plan_a_second_time_changes_nothing_and_says_so(imported: Planned) -> None:
    world, plan = imported
    before, journal = world.snapshot(), world.journal(plan)
    again = world.apply(plan)
    assert again.visible == 3
    assert (world.snapshot(), world.journal(plan)) == (before, journal)


def test_a_second_run_plans_nothing(imported: Planned) -> None:
    world, _ = imported
    before = world.snapshot()
    again = world.link()
    assert again.changes == 0
    assert world.snapshot() == before


def test_the_same_photographs_get_the_same_ids_in_any_run(imported: Planned) -> None:
    world, plan = imported
    before = world.snapshot()
    world.undo(plan)
    # FileMaker's next export has the rows in another order.
    world.export(*reversed(ROWS))
    world.link()
    assert world.snapshot() == before


def _consumed(world: World) -> str | None:
    with world.engine.connect() as connection:
        return consuming.consumed(connection).fingerprint


def _fingerprint(world: World) -> str:
    with world.engine.connect() as connection:
        return identity.read_state(connection).fingerprint


def test_what_the_links_were_made_from_is_noted_with_them(planned: Planned) -> None:
    """The sensor compares it with the patients as they are."""
    world, plan = planned
    assert _consumed(world) is None
    world.apply(plan)
    assert _consumed(world) != _fingerprint(world), "the other links are not made yet"
    world.follow()
    assert _consumed(world) == _fingerprint(world)
    world.reimport()
    assert _consumed(world) != _fingerprint(world)
    world.link()
    assert _consumed(world) == _fingerprint(world)


def test_applying_an_old_plan_again_does_not_pretend_that_the_links_were_made_from_its_patients(
    imported: Planned,
) -> None:
    world, old = imported
    world.reimport()
    world.link()
    assert _consumed(world) == _fingerprint(world)
    world.apply(old)
    assert _consumed(world) == _fingerprint(world)


def test_a_plan_that_does_not_exist_is_said_so(world: World) -> None:
    with pytest.raises(DatabaseError, match="plan 41: there is no such plan"):
        world.apply(41)
    with pytest.raises(DatabaseError, match="plan 41: there is no such plan"):
        world.undo(41)


def test_a_clinic_whose_tables_changed_since_the_plan_is_left_alone(own_world: World) -> None:
    own_world.patient(ANNA)
    own_world.photographs(ROWS[0])
    own_world.read_patients()
    plan = own_world.plan()
    own_world.do("alter table images_image alter column s3_key type varchar(200)")
    with pytest.raises(ContractError, match=r"images_image\.s3_key"):
        own_world.apply(plan)
    assert own_world.galleries() == {}


# --- plans that the world has overtaken -------------------------------------------------------------------------------


def _another_export(world: World) -> None:
    world.export(*ROWS, Photograph("80", BERT))


def _another_listing(world: World) -> None:
    world.objects("77.jpg", "78.jpg", "79.jpg", "80.jpg")


def _another_reading_of_the_patients(world: World) -> None:
    world.patient(CARA)
    world.read_patients()


def _a_patient_more(world: World) -> None:
    world.patient(CARA)


def _a_patient_less(world: World) -> None:
    world.do("delete from patients where id = :id", id=world.patients()[BERT])


def _half_a_reimport(world: World) -> None:
    world.reimport(only=[ANNA])


def _a_whole_reimport(world: World) -> None:
    world.reimport()


def _an_id_corrected_in_the_app(world: World) -> None:
    corrected = "update patients set filemaker_metadata = cast(:new as jsonb) where id = :id"
    world.do(corrected, new=json.dumps({"filemaker_id": CARA}), id=world.patients()[BERT])


@pytest.mark.parametrize(
    ("meanwhile", "found"),
    [
        (_another_export, "were read anew"),
        (_another_listing, "were read anew"),
        (_another_reading_of_the_patients, "were read anew"),
        (_a_patient_more, "the patients have changed"),
        (_a_patient_less, "the patients have changed"),
        (_half_a_reimport, "the patients have changed"),
        (_a_whole_reimport, "the patients have changed"),
        (_an_id_corrected_in_the_app, "the patients have changed"),
    ],
)
def test_a_plan_whose_inputs_have_changed_is_refused(
    planned: Planned, meanwhile: Callable[[World], None], found: str
) -> None:
    world, plan = planned
    meanwhile(world)
    before = world.snapshot()
    with pytest.raises(StalePlanError, match=found):
        world.apply(plan, approve=plan.hash)
    assert world.snapshot() == before
    assert world.journal(plan) == []


def test_reading_the_same_again_does_not_make_a_plan_stale(planned: Planned) -> None:
    world, plan = planned
    world.photographs(*ROWS)
    world.read_patients()
    world.do("update patients set first_name = 'Another', updated_at = now()")
    assert world.apply(plan).applied == plan.changes


# --- 10: a re-import in flight ----------------------------------------------------------------------------------------


def test_10_whoever_is_back_is_healed_while_others_are_missing(imported: Planned) -> None:
    world, _ = imported
    bert = world.patients()[BERT]
    world.reimport(only=[ANNA])
    world.read_patients()
    links = world.follow()
    assert (links.followed, links.never_seen) == (1, 0)
    assert world.gallery(ANNA) == ["77.jpg", "78.jpg"]
    assert world.batch_of("79.jpg").object_id == bert
    plan = world.plan()
    assert (plan.changes, plan.states, plan.doubts) == (0, {"linked": 3}, ())


def test_10_an_empty_table_of_patients_moves_nothing(imported: Planned) -> None:
    world, _ = imported
    world.reimport(only=[])
    before = world.snapshot()
    world.read_patients()
    links = world.follow()
    assert (links.followed, links.never_seen) == (0, 0)
    assert sum(table.absent for table in links.tables) == 2
    plan = world.plan()
    assert plan.changes == 0
    world.apply(plan)
    assert world.snapshot() == before


def test_10_whoever_is_missing_at_the_end_loses_no_photograph(imported: Planned) -> None:
    """A patient who was really removed: the rows stay where they are, and come home if the patient does."""
    world, _ = imported
    bert = world.patients()[BERT]
    world.do("delete from patients where id = :id", id=bert)
    plan = world.link()
    assert plan.states == {"linked": 3}
    assert plan.changes == 0
    assert world.batch_of("79.jpg").object_id == bert
    again = world.patient(BERT)
    world.link()
    assert world.galleries()[again] == ["79.jpg"]


def test_10_two_re_imports_in_a_row_end_healed(imported: Planned) -> None:
    world, _ = imported
    world.reimport()
    world.reimport()
    world.link()
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])
    world.reimport()
    world.read_patients()
    world.reimport()
    world.link()
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])


def test_10_a_backup_with_the_former_uuids_is_healed_too(imported: Planned) -> None:
    world, _ = imported
    former = world.patients()
    world.reimport()
    world.link()
    for person, patient in former.items():
        world.do("update patients set id = :former where id = :now", former=patient, now=world.patients()[person])
    assert world.galleries() == {}
    world.link()
    assert world.galleries() == {former[ANNA]: ["77.jpg", "78.jpg"], former[BERT]: ["79.jpg"]}


# --- 11: what staff have done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["category", "caption"])
@pytest.mark.parametrize("value", ["Swelling is less", ""])
def test_11_what_staff_have_written_stays_through_exports_and_re_imports(
    imported: Planned, column: str, value: str
) -> None:
    """Also a caption that they have emptied."""
    world, _ = imported
    _edit(world, "77.jpg", **{column: value})
    world.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    world.link()
    world.reimport()
    world.link()
    assert getattr(world.image("77.jpg"), column) == value


def test_11_what_nobody_has_edited_follows_the_export(imported: Planned) -> None:
    world, _ = imported
    world.photographs(Photograph("77", ANNA, type="Wound", date="10/20/2016"), *ROWS[1:])
    world.link()
    image = world.image("77.jpg")
    assert (image.category, image.caption, str(image.date_taken)) == ("wound", "Wound", "2016-10-20")


def test_11_an_adopted_image_keeps_what_is_written_and_gets_what_is_empty(world: World) -> None:
    anna = world.patient(ANNA)
    world.batch(anna, IMPORTED, [DUMP + "77.jpg"], by_hand=False, category="other", caption="")
    world.photographs(Photograph("77", ANNA, type="Wound"))
    world.link()
    image = world.image("77.jpg")
    assert (image.category, image.caption, str(image.date_taken)) == ("other", "Wound", "2016-10-18")
    assert str(image.filemaker_id) == image_id("77").lower()


def test_11_names_orders_and_descriptions_are_staffs(imported: Planned) -> None:
    world, _ = imported
    world.do("update images_batch set name = 'Before surgery', description = 'Compare with June'")
    world.do("""update images_image set "order" = 90 where s3_key like '%/77.jpg'""")
    world.reimport()
    world.link()
    assert world.batch_of("77.jpg").name == "Before surgery"
    assert world.batch_of("79.jpg").description == "Compare with June"
    assert world.gallery(ANNA) == ["78.jpg", "77.jpg"]


def test_11_a_batch_that_staff_have_moved_stays_with_whom_they_gave_it_to(imported: Planned) -> None:
    world, _ = imported
    batch = world.batch_of("77.jpg").id
    _move_batch(world, batch, world.patients()[BERT])
    for _ in range(2):
        assert world.link().counts["images_moved"] == 0
        assert sorted(world.gallery(BERT)) == ["77.jpg", "78.jpg", "79.jpg"]
        assert world.states() == {"77": "placed_by_staff", "78": "placed_by_staff", "79": "linked"}
    for _ in range(2):
        world.reimport()
        world.link()
        # Our having led the batch to Bert's new UUID does not make it ours to give back to Anna.
        world.link()
        assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == ([], ["77.jpg", "78.jpg", "79.jpg"])


def test_11_an_image_that_staff_have_moved_stays_there(imported: Planned) -> None:
    world, _ = imported
    target = world.batch_of("79.jpg").id
    world.do("update images_image set batch_id = :batch where s3_key like '%/77.jpg'", batch=target)
    world.link()
    world.reimport()
    world.link()
    world.link()
    assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == (["78.jpg"], ["77.jpg", "79.jpg"])
    assert world.states()["77"] == "placed_by_staff"


def test_11_a_batch_into_which_staff_have_moved_an_image_does_not_follow_it(imported: Planned) -> None:
    """Anna's image was moved to Bert's batch and his own out of it: the batch still is Bert's."""
    world, _ = imported
    berts = world.batch_of("79.jpg").id
    elsewhere = world.batch(world.patients()[BERT], "Sorted by hand")
    world.do("update images_image set batch_id = :batch where s3_key like '%/77.jpg'", batch=berts)
    world.do("update images_image set batch_id = :batch where s3_key like '%/79.jpg'", batch=elsewhere)
    for _ in range(2):
        world.link()
        assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == (["78.jpg"], ["77.jpg", "79.jpg"])
        world.reimport()
    world.link()
    assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == (["78.jpg"], ["77.jpg", "79.jpg"])


def test_11_a_later_photograph_does_not_follow_a_batch_that_staff_have_moved(imported: Planned) -> None:
    world, _ = imported
    for recid in ("81", "82", "83"):
        # Each time the batch of the day has been given to Bert, a photograph of Anna's that day gets another one.
        anna, bert = world.patients()[ANNA], world.patients()[BERT]
        world.do("update images_batch set object_id = :bert where object_id = :anna", anna=anna, bert=bert)
        known = [Photograph(str(number), ANNA) for number in range(81, int(recid) + 1)]
        world.photographs(*ROWS, *known)
        world.link()
        assert world.gallery(ANNA) == [f"{recid}.jpg"]
    assert world.wrong_counts() == []


def test_11_photographs_in_a_batch_made_by_hand_are_left_there(world: World) -> None:
    anna, bert = world.patient(ANNA), world.patient(BERT)
    world.batch(bert, "Sorted by hand", [DUMP + "77.jpg"])
    world.batch(anna, "Sorted too", [DUMP + "78.jpg"])
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.link()
    assert world.galleries() == {anna: ["78.jpg"], bert: ["77.jpg"]}
    assert world.states() == {"77": "placed_by_staff", "78": "linked"}


def test_a_corrected_contact_moves_what_we_have_placed_ourselves(imported: Planned) -> None:
    world, _ = imported
    world.photographs(Photograph("77", BERT), *ROWS[1:])
    world.link(approved=True)
    assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == (["78.jpg"], ["77.jpg", "79.jpg"])
    assert world.wrong_counts() == []
    assert world.batch_of("77.jpg").id == world.batch_of("79.jpg").id, "Bert has a batch of that day"


def test_a_corrected_contact_takes_along_a_batch_of_which_it_is_true_of_all(imported: Planned) -> None:
    world, _ = imported
    batch = world.batch_of("77.jpg").id
    world.patient(CARA)
    world.photographs(Photograph("77", CARA), Photograph("78", CARA), ROWS[2])
    world.link(approved=True)
    assert (world.gallery(ANNA), world.gallery(CARA)) == ([], ["77.jpg", "78.jpg"])
    assert world.batch_of("77.jpg").id == batch


def test_a_corrected_contact_does_not_take_along_what_somebody_has_uploaded(imported: Planned) -> None:
    """The picture was taken of Anna, whatever FileMaker now says about the two beside it."""
    world, _ = imported
    _upload(world, world.batch_of("77.jpg").id)
    world.patient(CARA)
    world.photographs(Photograph("77", CARA), Photograph("78", CARA), ROWS[2])
    world.link(approved=True)
    assert (world.gallery(ANNA), world.gallery(CARA)) == (["images/upload.jpg"], ["77.jpg", "78.jpg"])
    assert world.wrong_counts() == []


def test_what_the_clinics_own_command_has_placed_with_a_living_patient_is_reported_and_left(world: World) -> None:
    """Its row says otherwise, but whether the clinic moved it on purpose is not ours to guess."""
    bert = world.patient(BERT)
    world.batch(bert, IMPORTED, [DUMP + "77.jpg"], by_hand=False)
    world.patient(ANNA)
    world.photographs(Photograph("77", ANNA))
    assert world.link().states == {"placed_by_staff": 1}
    assert world.galleries() == {bert: ["77.jpg"]}


# --- between plan and apply -------------------------------------------------------------------------------------------


def test_an_edit_between_plan_and_apply_wins_and_is_reported(imported: Planned) -> None:
    world, _ = imported
    world.photographs(Photograph("77", ANNA, type="Wound"), Photograph("78", ANNA, type="Wound"), ROWS[2])
    world.read_patients()
    plan = world.plan()
    _edit(world, "77.jpg", caption="Left heel")
    done = world.apply(plan)
    assert (done.applied, done.overtaken) == (1, 1)
    assert done.overtaken_rows == (f"images_image {world.image('77.jpg').id}",)
    assert (world.image("77.jpg").caption, world.image("78.jpg").caption) == ("Left heel", "Wound")
    assert world.plan().counts["images_filled"] == 1, "the category alone is still ours to correct"


def test_an_edit_of_another_column_does_not_stand_in_the_way(imported: Planned) -> None:
    world, _ = imported
    world.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    world.read_patients()
    plan = world.plan()
    world.do("""update images_image set "order" = 50 where s3_key like '%/77.jpg'""")
    assert world.apply(plan).overtaken == 0
    assert (world.image("77.jpg").caption, world.image("77.jpg").order) == ("Wound", 50)


def test_a_batch_given_to_somebody_else_after_the_plan_receives_nothing(imported: Planned) -> None:
    """Anna's new photograph was to go into her batch of that day, and the batch is Bert's by now."""
    world, _ = imported
    world.photographs(*ROWS, Photograph("80", ANNA))
    world.read_patients()
    plan = world.plan()
    _move_batch(world, world.batch_of("77.jpg").id, world.patients()[BERT])
    done = world.apply(plan)
    assert done.overtaken == 2
    assert world.rows("select 1 from images_image where s3_key like '%/80.jpg'") == []
    assert world.wrong_counts() == []
    world.link()
    assert (world.gallery(ANNA), sorted(world.gallery(BERT))) == (["80.jpg"], ["77.jpg", "78.jpg", "79.jpg"])


def test_an_image_is_not_moved_into_a_batch_given_to_somebody_else_after_the_plan(imported: Planned) -> None:
    world, _ = imported
    cara = world.patient(CARA)
    world.photographs(Photograph("77", BERT), *ROWS[1:])
    world.read_patients()
    plan = world.plan()
    assert plan.counts["images_moved"] == 1
    _move_batch(world, world.batch_of("79.jpg").id, cara)
    world.apply(plan, approve=plan.hash)
    assert (world.gallery(ANNA), world.gallery(CARA)) == (["77.jpg", "78.jpg"], ["79.jpg"])
    assert world.wrong_counts() == []


def test_a_batch_deleted_after_the_plan_costs_only_what_was_to_go_into_it(imported: Planned) -> None:
    world, _ = imported
    world.photographs(Photograph("77", BERT), ROWS[1], ROWS[2], Photograph("80", ANNA))
    world.read_patients()
    plan = world.plan()
    berts = world.batch_of("79.jpg").id
    world.do("delete from images_image where batch_id = :id", id=berts)
    world.do("delete from images_batch where id = :id", id=berts)
    done = world.apply(plan, approve=plan.hash)
    assert done.overtaken == 2
    assert world.gallery(ANNA) == ["77.jpg", "78.jpg", "80.jpg"]
    assert world.wrong_counts() == []


def test_an_image_deleted_after_the_plan_is_overtaken(imported: Planned) -> None:
    world, _ = imported
    world.reimport()
    world.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    world.read_patients()
    world.follow()
    plan = world.plan()
    world.do("delete from images_image where s3_key like '%/77.jpg'")
    assert world.apply(plan).overtaken == 1
    assert world.gallery(ANNA) == ["78.jpg"]
    world.link(approved=True)
    assert world.wrong_counts() == []
    assert world.states()["77"] == "removed_by_staff"


def test_an_upload_between_plan_and_apply_is_counted(imported: Planned) -> None:
    """The app has raised the count of the batch itself; that must not stand in the way of ours."""
    world, _ = imported
    world.photographs(*ROWS, Photograph("80", ANNA))
    world.read_patients()
    plan = world.plan()
    batch = world.batch_of("77.jpg").id
    for _ in range(2):
        _upload(world, batch)
    assert world.apply(plan).overtaken == 0
    assert world.one("select image_count from images_batch where id = :id", id=batch) == 5


def test_the_clinics_own_command_run_between_plan_and_apply_doubles_nothing(planned: Planned) -> None:
    world, plan = planned
    known = {DUMP + "77.jpg": image_id("77")}
    world.batch(world.patients()[ANNA], IMPORTED, list(known), by_hand=False, filemaker_ids=known)
    done = world.apply(plan)
    assert done.overtaken == 1
    assert sorted(world.gallery(ANNA)) == ["77.jpg", "78.jpg"]
    assert world.wrong_counts() == []


def test_an_id_given_to_another_image_after_the_plan_stays_there(world: World) -> None:
    """Only one image may have a FileMaker id: filling it in twice would fail the whole apply."""
    anna = world.patient(ANNA)
    world.batch(anna, IMPORTED, [DUMP + "77.jpg", DUMP + "78.jpg"], by_hand=False)
    world.photographs(Photograph("77", ANNA), Photograph("78", ANNA))
    world.read_patients()
    plan = world.plan()
    known = {"images/same.jpg": image_id("77")}
    world.batch(anna, "By the app", list(known), filemaker_ids=known)
    assert world.apply(plan).overtaken == 1
    assert str(world.image("78.jpg").filemaker_id) == image_id("78").lower()


# --- undo -------------------------------------------------------------------------------------------------------------


def test_apply_and_undo_is_as_if_nothing_had_been(planned: Planned) -> None:
    world, plan = planned
    before = world.snapshot()
    world.apply(plan)
    undone = world.undo(plan)
    assert (undone.restored, undone.left) == (plan.changes, ())
    assert world.snapshot() == before


def test_undo_gives_back_wrong_counts_and_stale_links_as_they_were(world: World) -> None:
    keys = [DUMP + "77.jpg", DUMP + "78.jpg"]
    world.batch(uuid.uuid4(), IMPORTED, keys, by_hand=False, count=12)
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(*ROWS[:1], Photograph("78", BERT), ROWS[2], Photograph("80", ANNA))
    before = world.snapshot()
    world.read_patients()
    plan = world.plan()
    assert min(plan.counts[name] for name in ("batches_created", "images_moved", "images_created")) > 0
    world.apply(plan)
    assert world.wrong_counts() == []
    assert world.undo(plan).left == ()
    assert world.snapshot() == before


def test_undoing_twice_is_harmless(imported: Planned) -> None:
    world, plan = imported
    world.undo(plan)
    before, journal = world.snapshot(), world.journal(plan)
    again = world.undo(plan)
    assert (again.restored, again.left) == (0, ())
    assert (world.snapshot(), world.journal(plan)) == (before, journal)


def test_undoing_what_was_never_applied_does_nothing(planned: Planned) -> None:
    world, plan = planned
    before = world.snapshot()
    assert world.undo(plan).restored == 0
    assert world.snapshot() == before


def test_an_undone_plan_is_not_applied_again(imported: Planned) -> None:
    world, plan = imported
    world.undo(plan)
    world.apply(plan)
    assert world.galleries() == {}, "it counts as applied, and applying it changes nothing"
    world.link()
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])


def test_undo_leaves_what_somebody_has_changed_since_and_names_it(imported: Planned) -> None:
    world, plan = imported
    _edit(world, "77.jpg", caption="Left heel")
    edited, batch = world.image("77.jpg").id, world.batch_of("77.jpg").id
    undone = world.undo(plan)
    assert undone.left == (f"images_batch {batch}", f"images_image {edited}")
    assert world.galleries() == {world.patients()[ANNA]: ["77.jpg"]}
    assert world.image("77.jpg").caption == "Left heel"
    assert world.wrong_counts() == []
    before = world.snapshot()
    assert world.undo(plan).left == undone.left
    assert world.snapshot() == before


def test_undo_of_a_re_link_leaves_a_batch_that_staff_have_moved_since(imported: Planned) -> None:
    world, _ = imported
    world.reimport()
    former = world.batch_of("79.jpg").object_id
    world.read_patients()
    plan = world.follow().plan or 0
    moved = world.batch_of("77.jpg").id
    _move_batch(world, moved, world.patients()[BERT])
    assert world.undo(plan).left == (f"images_batch {moved}",)
    assert world.batch_of("77.jpg").object_id == world.patients()[BERT]
    assert world.batch_of("79.jpg").object_id == former


def test_undo_of_a_re_link_leaves_a_batch_into_which_somebody_has_uploaded_since(imported: Planned) -> None:
    world, _ = imported
    world.reimport()
    world.read_patients()
    plan = world.follow().plan or 0
    batch = world.batch_of("77.jpg").id
    _upload(world, batch)
    assert world.undo(plan).left == (f"images_batch {batch}",)
    assert world.galleries() == {world.patients()[ANNA]: ["77.jpg", "78.jpg", "images/upload.jpg"]}
    assert world.wrong_counts() == []


def test_undo_of_a_recount_leaves_the_batch_with_whom_staff_have_given_it_to(imported: Planned) -> None:
    world, _ = imported
    world.photographs(*ROWS, Photograph("80", ANNA))
    plan = world.link()
    _move_batch(world, world.batch_of("77.jpg").id, world.patients()[BERT])
    world.undo(plan)
    assert sorted(world.gallery(BERT)) == ["77.jpg", "78.jpg", "79.jpg"]
    assert world.wrong_counts() == []


def test_undo_keeps_a_batch_into_which_staff_have_uploaded(imported: Planned) -> None:
    world, plan = imported
    batch = world.batch_of("79.jpg").id
    _upload(world, batch)
    assert world.undo(plan).left == (f"images_batch {batch}",)
    assert world.galleries() == {world.patients()[BERT]: ["images/upload.jpg"]}
    assert world.wrong_counts() == []


def test_thumbnails_do_not_stand_in_the_way_of_an_undo(imported: Planned) -> None:
    """They were made from the object; nobody has edited anything."""
    world, plan = imported
    world.do(
        "update images_image set s3_thumbnail_key = 'thumbnails/a.jpg', thumbnail_size = 9, width = 4, height = 3, "
        "mime_type = 'image/png'"
    )
    assert world.undo(plan).left == ()
    assert world.one("select count(*) from images_image") == 0


def test_undo_does_not_put_an_image_back_into_a_batch_that_is_gone(world: World) -> None:
    keys = [DUMP + "77.jpg", DUMP + "78.jpg", DUMP + "79.jpg"]
    stale = world.batch(uuid.uuid4(), IMPORTED, keys, by_hand=False)
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(*ROWS)
    plan = world.link()
    assert plan.counts["images_moved"] == 3
    world.do("delete from images_image where batch_id = :id", id=stale)
    world.do("delete from images_batch where id = :id", id=stale)
    undone = world.undo(plan)
    assert world.gallery(BERT) == ["79.jpg"]
    assert f"images_image {world.image('79.jpg').id}" in undone.left


def test_plans_are_undone_in_any_order(imported: Planned) -> None:
    world, first = imported
    world.photographs(*ROWS, Photograph("80", ANNA))
    second = world.link()
    world.undo(first)
    assert world.gallery(ANNA) == ["80.jpg"]
    assert world.wrong_counts() == []
    world.undo(second)
    assert world.galleries() == {}
    assert world.wrong_counts() == []


def test_after_an_undo_the_next_plan_may_write_what_was_undone(imported: Planned) -> None:
    """What we wrote and took back is no longer what we wrote last."""
    world, _ = imported
    world.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    plan = world.link()
    world.undo(plan)
    assert world.image("77.jpg").caption == "Dorsal"
    assert world.link().counts["images_filled"] == 1
    assert world.image("77.jpg").caption == "Wound"


# --- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def _applying(world: World, plan: Plan) -> Iterator[None]:
    """A plan applied, and its transaction still open."""
    connection = world.engine.connect()
    try:
        with connection.begin():
            applying.apply_plan(connection, plan.id)
            yield
    finally:
        connection.close()


@contextmanager
def _another_user(world: World, wait: str = "200ms") -> Iterator[psycopg.Connection]:
    """Somebody of the clinic's, who does not wait longer than this."""
    with psycopg.connect(world.url, autocommit=True, options=f"-c lock_timeout={wait}") as connection:
        yield connection


def test_readers_of_the_gallery_are_not_blocked_by_an_apply(planned: Planned) -> None:
    world, plan = planned
    shown = """select count(*) from images_image as image join images_batch as batch on batch.id = image.batch_id
               join patients on patients.id = batch.object_id"""
    with _applying(world, plan), _another_user(world) as reader:
        assert reader.execute(shown).fetchone() == (0,), "the state before, and at once"
    assert world.one(shown) == 3


WRITES = {
    "a batch is renamed": "update images_batch set name = 'Renamed'",
    "an image is moved": "update images_image set batch_id = batch_id",
}


@pytest.mark.parametrize("write", WRITES)
def test_a_writer_of_the_clinics_waits_for_an_apply_and_then_gets_through(planned: Planned, write: str) -> None:
    world, plan = planned
    with _applying(world, plan), _another_user(world) as user, pytest.raises(psycopg.errors.LockNotAvailable):
        user.execute(WRITES[write])
    done = threading.Event()

    def write_patiently() -> None:
        with _another_user(world, wait="30s") as user:
            user.execute(WRITES[write])
        done.set()

    writer = threading.Thread(target=write_patiently)
    world.undo(plan)
    plan = world.plan()
    with _applying(world, plan):
        writer.start()
        assert not done.wait(0.2)
    writer.join(30)
    assert done.is_set()


def test_other_tables_of_the_clinics_can_be_written_during_an_apply(planned: Planned) -> None:
    world, plan = planned
    with _applying(world, plan), _another_user(world) as user:
        user.execute("update documents_document set description = 'Read'")


def test_a_re_import_does_not_wait_for_an_apply(planned: Planned) -> None:
    """We need no more than to read patients, and may lock no table for it. Healing sees what has changed."""
    world, plan = planned
    with _applying(world, plan), _another_user(world) as importer:
        importer.execute("update patients set first_name = 'Anew'")
        importer.execute("delete from patients where id = %s", [world.patients()[BERT]])
    assert _consumed(world) != _fingerprint(world)
    world.patient(BERT)
    world.link()
    assert (world.gallery(ANNA), world.gallery(BERT)) == (["77.jpg", "78.jpg"], ["79.jpg"])


def test_a_re_import_in_the_middle_of_an_apply_is_seen_before_the_commit(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, plan = planned
    before, original = world.snapshot(), plans_applying._derive

    def reimport_meanwhile(*arguments: Any) -> None:
        original(*arguments)
        with _another_user(world) as importer:
            importer.execute("delete from patients where id = %s", [world.patients()[ANNA]])

    monkeypatch.setattr(plans_applying, "_derive", reimport_meanwhile)
    with pytest.raises(StalePlanError, match="the patients have changed"):
        world.apply(plan)
    assert world.journal(plan) == []
    assert [world.snapshot()[table] for table in ("images_batch", "images_image")] == [
        before[table] for table in ("images_batch", "images_image")
    ]


def _until(world: World, question: str) -> None:
    """Wait for the answer to become other than zero; the test's own time limit ends it otherwise."""
    while not world.one(question):
        threading.Event().wait(0.01)


def test_an_apply_that_cannot_have_its_locks_gives_up_and_changes_nothing(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, plan = planned
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.1)
    with _another_user(world) as user, user.transaction():
        user.execute("lock table images_batch in row exclusive mode")
        with pytest.raises(OperationalError, match="lock timeout"):
            world.apply(plan)
    assert world.journal(plan) == []
    assert world.apply(plan).applied == plan.changes


def test_two_applies_at_once_are_done_one_after_the_other(planned: Planned) -> None:
    world, plan = planned
    results = []
    with _applying(world, plan):
        second = threading.Thread(target=lambda: results.append(world.apply(plan)))
        second.start()
        _until(world, "select count(*) from pg_locks where locktype = 'advisory' and not granted")
        assert results == []
    second.join(30)
    assert [result.visible for result in results] == [3]
    assert len(world.journal(plan)) == plan.changes


def test_a_plan_cannot_be_applied_while_it_is_undone(imported: Planned) -> None:
    world, plan = imported
    with world.engine.connect() as connection, connection.begin():
        plans.undo(connection, plan.id)
        with world.engine.connect() as other, other.begin():
            other.execute(text("set local lock_timeout = '100ms'"))
            with pytest.raises(OperationalError):
                other.execute(text("select from fm_migration.link_plan where id = :id for update"), {"id": plan.id})
