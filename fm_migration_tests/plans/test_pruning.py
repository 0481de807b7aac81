"""Pruning drops what nobody will ask for, and nothing that undo, people's edits or recognition rest on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fm_migration import plans
from fm_migration.errors import DatabaseError
from fm_migration.plans import Pruned, StalePlanError
from fm_migration_tests.linking.world import ANNA, BERT, Photograph, World

ROWS = (Photograph("77", ANNA), Photograph("78", ANNA), Photograph("79", BERT))
YEAR = timedelta(days=365)


@pytest.fixture
def imported(world: World) -> World:
    """Imported more than a year ago."""
    for person in (ANNA, BERT):
        world.patient(person)
    world.photographs(*ROWS)
    world.link()
    _age(world)
    return world


def _age(world: World) -> None:
    """All that was done until now was done long ago."""
    for column in ("made_at", "applied_at"):
        world.do(f"update fm_migration.link_plan set {column} = {column} - interval '400 days'")
    world.do("update fm_migration.planned_change set applied_at = applied_at - interval '400 days'")


def _prune(world: World, older_than: timedelta = YEAR) -> Pruned:
    with world.engine.begin() as connection:
        return plans.prune(connection, older_than)


def _changes(world: World) -> set[int]:
    return {row.plan_id for row in world.rows("select distinct plan_id from fm_migration.planned_change")}


def _plans(world: World) -> dict[int, Any]:
    return {row.id: row for row in world.rows("select * from fm_migration.link_plan")}


def test_changes_that_are_long_past_go_and_their_plan_says_so(imported: World) -> None:
    (plan,) = _changes(imported)
    changes = imported.one("select count(*) from fm_migration.planned_change")
    before = imported.snapshot()
    assert _prune(imported) == Pruned(0, 1, changes)
    assert _changes(imported) == set()
    with pytest.raises(DatabaseError, match=rf"undoing plan {plan}: its changes were dropped from the journal on 20"):
        imported.undo(plan)
    assert imported.snapshot() == before
    assert imported.apply(plan).applied == 0, "it was applied, and that stays so"


def test_what_is_young_stays_and_can_be_undone(imported: World) -> None:
    imported.reimport()
    before = imported.snapshot()
    imported.read_patients()
    young = imported.follow().plan or 0
    _prune(imported)
    assert young in _changes(imported)
    assert imported.undo(young).left == ()
    assert imported.snapshot() == before


def test_pruning_takes_nothing_from_what_we_know(imported: World) -> None:
    """The plan after it is the plan that there would have been: edits stay people's, images are recognised."""
    imported.do("update images_image set caption = 'Mine' where s3_key like '%/77.jpg'")
    imported.do("update images_batch set object_id = :b where id = :id", b=imported.patients()[BERT],
                id=imported.batch_of("78.jpg").id)  # fmt: skip
    written = imported.rows("select * from fm_migration.last_written order by 1, 2")
    _prune(imported)
    assert imported.rows("select * from fm_migration.last_written order by 1, 2") == written
    imported.reimport()
    imported.photographs(Photograph("77", ANNA, type="Wound"), Photograph("78", ANNA, type="Wound"), ROWS[2])
    plan = imported.link()
    assert plan.counts["images_created"] == 0
    assert imported.image("77.jpg").caption == "Mine"
    assert imported.states() == {"77": "placed_by_staff", "78": "placed_by_staff", "79": "linked"}
    assert sorted(imported.gallery(BERT)) == ["77.jpg", "78.jpg", "79.jpg"]


def test_undo_of_a_newer_plan_tells_our_images_from_uploads_without_the_older_journal(imported: World) -> None:
    """An undated photograph is dated by the first import, which may lie after the plan that is undone."""
    imported.reimport()
    imported.read_patients()
    plan = imported.follow().plan or 0
    imported.do("update images_image set uploaded_at = now() + interval '1 minute'")
    _prune(imported)
    assert imported.undo(plan).left == ()


def test_plans_that_a_newer_one_has_replaced_go_once_they_are_a_day_old(imported: World) -> None:
    first, second = imported.plan(), imported.plan()
    assert _prune(imported).superseded == 0, "somebody may still be looking at it"
    imported.do("update fm_migration.link_plan set made_at = made_at - interval '2 days'")
    assert _prune(imported).superseded == 1
    assert first.id not in _plans(imported)
    assert second.id in _plans(imported), "the newest of its kind waits for somebody"


def test_a_plan_that_others_refer_to_stays_without_its_changes_and_is_not_applied(imported: World) -> None:
    imported.photographs(*ROWS, Photograph("80", ANNA))
    first = imported.plan()
    assert first.changes > 0
    imported.do(
        "insert into fm_migration.link_plan (kind, hash, inputs, counts, doubts) "
        "values ('photographs', '', '', '{}', '{}')"
    )
    imported.do("update fm_migration.link_plan set made_at = made_at - interval '2 days'")
    _prune(imported)
    assert first.id in _plans(imported), "the states of the photographs are its own"
    assert first.id not in _changes(imported)
    with pytest.raises(StalePlanError, match="a newer one has taken its place"):
        imported.apply(first)


def test_a_plan_that_is_not_done_yet_stays(imported: World) -> None:
    (plan,) = _changes(imported)
    imported.do("update fm_migration.planned_change set outcome = null where id = (select min(id) "
                "from fm_migration.planned_change)")  # fmt: skip
    assert _prune(imported).past == 0
    assert _changes(imported) == {plan}


def test_an_undo_whose_plan_was_pruned_is_undone_all_the_same(imported: World) -> None:
    (plan,) = _changes(imported)
    before = imported.snapshot()
    undone = imported.undo(plan)
    _prune(imported)
    assert _changes(imported) == {undone.by}
    assert imported.undo(undone.by or 0).left == ()
    assert imported.snapshot() == before


def test_pruning_twice_finds_nothing(imported: World) -> None:
    _prune(imported)
    assert _prune(imported) == Pruned(0, 0, 0)
