"""What we last wrote, kept by every way of writing: by apply, by follow, and by their undo.

The judge here is the app's own rows: what nobody has touched since must be in the table as the row has it, and what
somebody has touched must not.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fm_migration_tests.linking.world import ANNA, BERT, Photograph, World

ROWS = (Photograph("77", ANNA), Photograph("78", ANNA), Photograph("79", BERT))
COLUMNS = ("batch_id", "category", "caption", "date_taken", "filemaker_id")


@pytest.fixture
def imported(world: World) -> World:
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*ROWS)
    world.link()
    return world


def _written(world: World, table: str) -> dict[str, Any]:
    query = "select row_id, written from fm_migration.last_written where table_name = :table"
    return {row.row_id: row.written for row in world.rows(query, table=table)}


def _rows(world: World, table: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """The same out of the app's table, without what is null."""
    return {
        row["id"]: {column: row[column] for column in columns if row[column] is not None}
        for row in world.snapshot()[table]
    }


def _owners(world: World) -> dict[str, Any]:
    return _rows(world, "images_batch", ("object_id",))


def test_an_apply_keeps_what_it_has_written(imported: World) -> None:
    assert _written(imported, "images_batch") == _owners(imported)
    assert _written(imported, "images_image") == _rows(imported, "images_image", COLUMNS)
    assert len(_written(imported, "images_image")) == 3


def test_an_export_that_was_corrected_is_kept_over_it(imported: World) -> None:
    imported.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    plan = imported.link()
    image = str(imported.image("77.jpg").id)
    assert _written(imported, "images_image")[image]["caption"] == "Wound"
    imported.undo(plan)
    assert _written(imported, "images_image") == _rows(imported, "images_image", COLUMNS)
    assert _written(imported, "images_image")[image]["caption"] == "Dorsal"


def test_a_batch_that_follows_its_patient_takes_along_what_we_have_written(imported: World) -> None:
    """By the fast way of the links: what we placed and nobody has moved is still so."""
    before = _owners(imported)
    imported.reimport()
    imported.read_patients()
    update = imported.follow()
    assert update.followed == 2
    assert _owners(imported) != before
    assert _written(imported, "images_batch") == _owners(imported)
    imported.undo(update.plan or 0)
    assert _written(imported, "images_batch") == _owners(imported) == before


def test_a_whole_healing_does_so_too(imported: World) -> None:
    imported.reimport()
    imported.link()
    assert _written(imported, "images_batch") == _owners(imported)


def test_following_does_not_make_ours_what_staff_have_given_away(imported: World) -> None:
    batch, anna = imported.batch_of("77.jpg").id, imported.patients()[ANNA]
    imported.do("update images_batch set object_id = :b where id = :id", b=imported.patients()[BERT], id=batch)
    imported.reimport()
    imported.read_patients()
    plan = imported.follow().plan or 0
    assert imported.batch_of("77.jpg").object_id == imported.patients()[BERT]
    assert _written(imported, "images_batch")[str(batch)] == {"object_id": str(anna)}
    imported.undo(plan)
    assert _written(imported, "images_batch")[str(batch)] == {"object_id": str(anna)}


def test_a_batch_that_we_have_never_placed_follows_without_becoming_ours(imported: World) -> None:
    by_hand = imported.batch(imported.patients()[ANNA], "Shoe check", ["images/upload.jpg"])
    imported.reimport()
    imported.read_patients()
    imported.follow()
    assert imported.one("select object_id from images_batch where id = :id", id=by_hand) == imported.patients()[ANNA]
    assert str(by_hand) not in _written(imported, "images_batch")


def test_an_edit_of_staffs_is_another_value_than_what_we_wrote(imported: World) -> None:
    imported.do("update images_image set caption = 'Mine' where s3_key like '%/77.jpg'")
    image = str(imported.image("77.jpg").id)
    imported.photographs(Photograph("77", ANNA, type="Wound"), *ROWS[1:])
    imported.link()
    assert _written(imported, "images_image")[image]["caption"] == "Dorsal"


def test_nothing_is_remembered_of_what_was_undone(world: World) -> None:
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*ROWS)
    world.undo(world.link())
    assert world.one("select count(*) from fm_migration.last_written") == 0


def test_what_a_person_has_kept_from_an_undo_stays_remembered(world: World) -> None:
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*ROWS)
    plan = world.link()
    world.do("update images_image set caption = 'Mine' where s3_key like '%/77.jpg'")
    image = str(world.image("77.jpg").id)
    world.undo(plan)
    assert set(_written(world, "images_image")) == {image}


def test_links_of_other_tables_are_not_remembered(imported: World) -> None:
    imported.document(imported.patients()[ANNA])
    imported.reimport()
    imported.read_patients()
    imported.follow()
    tables = {row.table_name for row in imported.rows("select distinct table_name from fm_migration.last_written")}
    assert tables == {"images_batch", "images_image"}


def test_an_image_that_was_recognised_is_ours_as_far_as_we_have_written(world: World) -> None:
    """Adopted: its batch comes home, its empty columns are filled, what the clinic had written is not ours."""
    world.patient(ANNA)
    stale = world.batch(
        uuid.uuid4(), "18 Oct 2016 (FileMaker Import)", ["filemaker-import/images-bulk-dump/77.jpg"], by_hand=False,
        category="wound",
    )  # fmt: skip
    world.photographs(ROWS[0])
    world.link()
    (written,) = _written(world, "images_image").values()
    assert set(written) == {"caption", "date_taken", "filemaker_id"}
    assert _written(world, "images_batch") == {str(stale): {"object_id": str(world.patients()[ANNA])}}


def test_what_somebody_edited_stays_and_the_rest_of_the_row_goes_back(imported: World) -> None:
    before = imported.image("77.jpg")
    imported.photographs(Photograph("77", BERT, type="Wound"), *ROWS[1:])
    plan = imported.link(approved=True)
    moved = imported.image("77.jpg")
    assert (moved.batch_id != before.batch_id, moved.caption) == (True, "Wound")
    imported.do("update images_image set caption = 'Theirs' where id = :id", id=moved.id)

    assert imported.undo(plan).left == (f"images_image {moved.id}",)

    back = imported.image("77.jpg")
    assert (back.batch_id, back.caption) == (before.batch_id, "Theirs")
    known = _written(imported, "images_image")[str(back.id)]
    assert (known["batch_id"], known["caption"]) == (str(before.batch_id), "Wound")


def test_what_stood_in_the_way_of_a_column_is_put_back_once_it_is_gone(imported: World) -> None:
    imported.photographs(Photograph("77", BERT, type="Wound"), *ROWS[1:])
    plan = imported.link(approved=True)
    image = imported.image("77.jpg")
    imported.do("update images_image set caption = 'Theirs' where id = :id", id=image.id)
    imported.undo(plan)
    imported.do("update images_image set caption = 'Wound' where id = :id", id=image.id)

    undone = imported.undo(plan)

    assert (undone.restored, undone.left) == (1, ())
    assert imported.image("77.jpg").caption == "Dorsal"
    assert imported.undo(plan).restored == 0


def test_an_image_whose_former_batch_staff_deleted_gets_its_caption_back(imported: World) -> None:
    imported.photographs(Photograph("77", BERT, type="Wound"), *ROWS[1:])
    former = imported.image("77.jpg").batch_id
    plan = imported.link(approved=True)
    moved = imported.image("77.jpg")
    imported.do("delete from images_image where batch_id = :batch", batch=former)
    imported.do("delete from images_batch where id = :batch", batch=former)

    imported.undo(plan)

    left = imported.image("77.jpg")
    assert (left.batch_id, left.caption) == (moved.batch_id, "Dorsal")
