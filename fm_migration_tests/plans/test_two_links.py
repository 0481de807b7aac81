"""A table may hold two links to patients in one row: each is led, journalled and undone by itself."""

from __future__ import annotations

import uuid

import pytest

from fm_migration_tests.linking.world import ANNA, BERT, CARA, Photograph, World


@pytest.fixture
def related(own_world: World) -> World:
    """Anna and Bert are related, in a table of the clinic's."""
    anna, bert = own_world.patient(ANNA), own_world.patient(BERT)
    own_world.photographs(Photograph("77", CARA))
    own_world.read_patients()
    own_world.relationship(anna, bert)
    own_world.reimport()
    own_world.read_patients()
    return own_world


def _ends(world: World) -> tuple[uuid.UUID, uuid.UUID]:
    (row,) = world.rows("select from_object_id, to_object_id from contact_relationships")
    return (row.from_object_id, row.to_object_id)


def test_both_ends_of_a_row_are_led_home_and_journalled_apart(related: World) -> None:
    former, now = _ends(related), related.patients()
    update = related.follow()
    assert _ends(related) == (now[ANNA], now[BERT])
    journal = related.journal(update.plan or 0)
    assert {(row.column_name, row.before[row.column_name], row.after[row.column_name]) for row in journal} == {
        ("from_object_id", str(former[0]), str(now[ANNA])),
        ("to_object_id", str(former[1]), str(now[BERT])),
    }
    assert len({row.row_id for row in journal}) == 1
    undone = related.undo(update.plan or 0)
    assert (undone.restored, undone.left) == (2, ())
    assert _ends(related) == former


def test_one_end_that_somebody_has_changed_keeps_nobody_from_undoing_the_other(related: World) -> None:
    former, elsewhere = _ends(related), uuid.uuid4()
    update = related.follow()
    related.do("update contact_relationships set to_object_id = :elsewhere", elsewhere=elsewhere)
    undone = related.undo(update.plan or 0)
    assert undone.restored == 1
    assert len(undone.left) == 1
    assert _ends(related) == (former[0], elsewhere)


def test_an_undo_of_links_is_undone(related: World) -> None:
    update = related.follow()
    led = _ends(related)
    undone = related.undo(update.plan or 0)
    assert related.undo(undone.by or 0).restored == 2
    assert _ends(related) == led
    assert related.follow().followed == 0


def test_a_table_that_is_gone_by_then_is_said_so(related: World) -> None:
    update = related.follow()
    related.do("drop table contact_relationships")
    with pytest.raises(Exception, match="contact_relationships: it is not there any more"):
        related.undo(update.plan or 0)
