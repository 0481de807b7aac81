"""The judge judged: wrong outcomes made by hand, which it must reject, beside the right ones, which it must accept.

A judge that accepts everything proves nothing. Here the code under test does nothing; the tests themselves write what
it might have written into a view, so neither database nor plan is needed.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fm_migration_tests.linking.world import DUMP, Photograph, image_id
from fm_migration_tests.model.people import OWN_ID, People
from fm_migration_tests.model.rules import Judge
from fm_migration_tests.model.things import BATCHES, DOCUMENTS, IMAGES, PATIENTS, RELATIONS, Cell, Things, View, Writer
from fm_migration_tests.model.undoing import Done, judge_undo

ANNA, BERT = OWN_ID["Anna"], OWN_ID["Bert"]
PLAN = Writer("plan", 1)


class Table:
    """A clinic in a view alone: Anna's and Bert's rows and pages, and what a step makes of them."""

    def __init__(self) -> None:
        self.people, self.things = People(), Things()
        self.judge = Judge(self.people, self.things)
        self.tables: dict[str, dict[str, dict[str, Any]]] = {
            table: {} for table in (BATCHES, IMAGES, DOCUMENTS, RELATIONS, PATIENTS)
        }
        self.sit("a1", "Anna", ANNA)
        self.sit("b1", "Bert", BERT)
        self.things.read_export([Photograph("101", ANNA), Photograph("102", BERT)])
        self.things.originals = {"101.jpg", "102.jpg"}

    def sit(self, row: str, person: str, held: str | None) -> None:
        self.people.add(row, person, held)
        self.tables[PATIENTS][row] = {"id": row}
        self.people.read()

    def hold(self, row: str, held: str | None) -> None:
        self.people.present[row] = held
        self.people.read()

    def leave(self, row: str) -> None:
        self.people.remove(row)
        del self.tables[PATIENTS][row]
        self.people.read()

    def view(self) -> View:
        return View(copy.deepcopy(self.tables))

    def document(self, row: str) -> None:
        self.tables[DOCUMENTS]["letter"] = {"id": "letter", "object_id": row}

    def batch(self, name: str, row: str, *images: str, by: Writer | None = PLAN) -> None:
        self.tables[BATCHES][name] = {"id": name, "object_id": row, "name": name, "image_count": len(images)}
        for image in images:
            self.tables[IMAGES][image] = {
                "id": image,
                "batch_id": name,
                "s3_key": f"{DUMP}{image}.jpg",
                "filemaker_id": None,
                "caption": "",
            }
            if by:
                self.things.writer[Cell(IMAGES, image, "batch_id")] = by

    def judge_step(self, before: View) -> str:
        return "\n".join(self.judge.judge_step(before, self.view()))

    def unhealed(self) -> str:
        return "\n".join(self.judge.unhealed(self.view()))


@pytest.fixture
def table() -> Table:
    return Table()


def _lead(table: Table, to: str) -> str:
    before = table.view()
    table.document(to)
    return table.judge_step(before)


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_letter_that_follows_its_patient_is_right_and_one_that_stays_behind_is_not(table: Table) -> None:
    table.document("a1")
    table.leave("a1")
    table.sit("a2", "Anna", ANNA)
    assert "not healed" in table.unhealed()
    assert _lead(table, "a2") == ""
    assert "not healed" not in table.unhealed()


def test_a_letter_on_a_strangers_page_is_wrong(table: Table) -> None:
    table.document("a1")
    table.leave("a1")
    assert "stranger" in _lead(table, "b1")


def test_a_letter_taken_from_somebody_who_is_there_is_wrong_even_for_another_row_of_hers(table: Table) -> None:
    table.sit("a2", "Anna", None)
    table.document("a1")
    assert "taken away" in _lead(table, "a2")


@pytest.mark.parametrize("first", ["a1", "b1"])
def test_whoever_shared_an_id_with_one_who_went_is_no_successor(table: Table, first: str) -> None:
    table.hold("b1", ANNA)
    table.document("a1")
    for row in (first, "b1" if first == "a1" else "a1"):
        table.leave(row)
    table.sit("b2", "Bert", ANNA)
    assert "not healed" not in table.unhealed(), "it may wait for a person"
    assert "stranger" in _lead(table, "b2")


def test_whoever_withdrew_from_a_shared_id_leaves_it_to_the_other(table: Table) -> None:
    table.hold("b1", ANNA)
    table.hold("b1", BERT)
    table.document("a1")
    table.leave("a1")
    table.sit("a2", "Anna", ANNA)
    assert "not healed" in table.unhealed()
    assert _lead(table, "a2") == ""


def test_a_sharer_who_went_still_claims_the_id(table: Table) -> None:
    """Her row goes on alone, and then somebody comes with the id: it may be Bert who is back."""
    table.hold("b1", ANNA)
    table.leave("b1")
    table.document("a1")
    table.leave("a1")
    table.sit("b2", "Bert", ANNA)
    assert "not healed" not in table.unhealed()
    assert "stranger" in _lead(table, "b2")


def test_an_id_that_passed_to_somebody_who_stood_beside_takes_nothing_along(table: Table) -> None:
    table.document("a1")
    table.leave("a1")
    table.hold("b1", ANNA)
    assert "stranger" in _lead(table, "b1")


def test_what_nobody_could_know_is_not_held_against_anybody(table: Table) -> None:
    """Bert's new row came with Anna's id after she was gone, as every re-import looks."""
    table.document("a1")
    table.leave("a1")
    table.sit("b2", "Bert", ANNA)
    assert _lead(table, "b2") == ""
    assert "not healed" not in table.unhealed()


def test_an_id_that_was_let_go_leads_nowhere(table: Table) -> None:
    table.document("a1")
    table.hold("a1", None)
    table.leave("a1")
    table.sit("b2", "Bert", ANNA)
    assert "stranger" in _lead(table, "b2")


def test_two_ids_by_case_are_two(table: Table) -> None:
    table.sit("e1", "Eve", OWN_ID["Eve"])
    table.sit("f1", "eve", OWN_ID["eve"])
    table.document("e1")
    table.leave("e1")
    table.leave("f1")
    table.sit("f2", "eve", OWN_ID["eve"])
    assert "stranger" in _lead(table, "f2")
    table.document("e1")
    table.sit("e2", "Eve", OWN_ID["Eve"])
    assert "not healed" in table.unhealed()
    assert _lead(table, "e2") == ""


# --- photographs ------------------------------------------------------------------------------------------------------


def test_a_photograph_made_on_its_persons_page_is_right_and_on_anothers_wrong(table: Table) -> None:
    before = table.view()
    table.batch("anna", "a1", "101")
    assert table.judge_step(before) == ""
    table.batch("bert", "a1", "102")
    assert "stranger: 102.jpg" in table.judge_step(before)


def test_a_photograph_that_is_nowhere_is_missed(table: Table) -> None:
    table.batch("anna", "a1", "101")
    assert table.unhealed() == "not shown: 102 of Bert is on nobody's page"


def test_a_batch_of_two_persons_moves_to_neither_as_a_whole(table: Table) -> None:
    table.batch("mixed", "unread", "101", "102", by=None)
    before = table.view()
    table.tables[BATCHES]["mixed"]["object_id"] = "a1"
    assert "stranger: the batch" in table.judge_step(before)


def test_swapped_image_ids_move_nothing(table: Table) -> None:
    table.batch("anna", "a1", "101")
    table.batch("bert", "b1", "102")
    table.tables[IMAGES]["101"]["filemaker_id"] = image_id("101").lower()
    table.things.read_export(
        [Photograph("101", ANNA, image_id=image_id("102")), Photograph("102", BERT, image_id=image_id("101"))]
    )
    before = table.view()
    table.tables[BATCHES]["anna"]["object_id"] = "b1"
    assert "taken away" in table.judge_step(before)


def test_a_corrected_contact_moves_the_photograph_and_nothing_else_does(table: Table) -> None:
    table.batch("anna", "a1", "101")
    before = table.view()
    table.batch("new", "b1", "101")
    table.tables[BATCHES]["anna"]["image_count"] = 0
    assert "stranger: 101.jpg" in table.judge_step(before)
    table.things.read_export([Photograph("101", BERT), Photograph("102", BERT)])
    assert table.judge_step(before) == ""


def test_what_staff_have_placed_stays(table: Table) -> None:
    table.batch("anna", "a1")
    table.batch("bert", "b1", "101")
    table.things.placed["101"] = "bert"
    before = table.view()
    table.batch("anna", "a1", "101")
    table.tables[BATCHES]["bert"]["image_count"] = 0
    assert "undid staff" in table.judge_step(before)


def test_what_staff_have_deleted_stays_deleted(table: Table) -> None:
    table.things.removed.add("101")
    before = table.view()
    assert "101" not in table.unhealed()
    table.batch("anna", "a1", "101")
    assert "undid staff" in table.judge_step(before)


def test_a_doubled_recid_is_nobodys(table: Table) -> None:
    table.things.read_export([Photograph("101", ANNA), Photograph("101", BERT)])
    before = table.view()
    table.batch("anna", "a1", "101")
    assert "2 rows in the export" in table.judge_step(before)


def test_what_staff_wrote_is_theirs(table: Table) -> None:
    table.batch("anna", "a1", "101")
    table.tables[IMAGES]["101"]["caption"] = "see letter"
    before = table.view()
    table.tables[IMAGES]["101"]["caption"] = "Dorsal"
    assert "overwritten" in table.judge_step(before)


def test_a_lost_a_doubled_and_a_miscounted_image_are_seen(table: Table) -> None:
    table.batch("anna", "a1", "101")
    before = table.view()
    double = {**table.tables[IMAGES]["101"], "id": "again"}
    table.tables[IMAGES]["again"] = double
    verdict = table.judge_step(before)
    assert "doubled" in verdict
    assert "miscounted" in verdict
    del table.tables[IMAGES]["again"], table.tables[IMAGES]["101"]
    assert "lost" in table.judge_step(before)


# --- undo -------------------------------------------------------------------------------------------------------------


def _followed(table: Table) -> tuple[Done, Cell]:
    table.document("a2")
    cell = Cell(DOCUMENTS, "letter", "object_id")
    table.things.writer[cell] = PLAN
    return Done(before={cell: "a1"}), cell


def test_an_undo_must_restore_what_the_plan_wrote_last(table: Table) -> None:
    done, _ = _followed(table)
    before = table.view()
    assert "not undone" in "\n".join(judge_undo(1, done, table.things, before, table.view()))
    table.document("a1")
    assert judge_undo(1, done, table.things, before, table.view()) == []


def test_an_undo_must_not_touch_what_somebody_has_written_since(table: Table) -> None:
    done, cell = _followed(table)
    table.things.writer[cell] = Writer("staff")
    before = table.view()
    assert judge_undo(1, done, table.things, before, table.view()) == []
    table.document("a1")
    assert "overwritten" in "\n".join(judge_undo(1, done, table.things, before, table.view()))


def test_an_undo_removes_what_the_plan_made_and_nothing_that_staff_edited(table: Table) -> None:
    table.batch("anna", "a1", "101")
    done = Done(made=[(BATCHES, "anna"), (IMAGES, "101")])
    before = table.view()
    assert "still there" in "\n".join(judge_undo(1, done, table.things, before, table.view()))
    table.things.writer[Cell(IMAGES, "101", "caption")] = Writer("staff")
    assert judge_undo(1, done, table.things, before, table.view()) == []
    del table.tables[IMAGES]["101"]
    assert "lost" in "\n".join(judge_undo(1, done, table.things, before, table.view()))
