"""A clinic's life at random: every event that `play` knows, in any order, against the real database.

Belongs here: the rules of the machine and what each draws. Does not belong here: verdicts (`rules`, `undoing`), which
`play` asks for after each step of ours.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fm_migration_tests.linking.world import Photograph, image_id
from fm_migration_tests.model import driver as door
from fm_migration_tests.model.driver import Driver
from fm_migration_tests.model.people import OWN_ID, PERSONS
from fm_migration_tests.model.play import DAYS, NOBODYS, Play
from fm_migration_tests.model.things import BATCHES, DOCUMENTS, IMAGES, Cell, recid_of

RECIDS = tuple(str(number) for number in range(101, 109))
MOST_ROWS = 8
MOST_THINGS = 12
#: Statements that a disturbance may come before; a step has between ten and seventy.
MOST_STATEMENTS = 60

#: Rules that a run leaves out, by name, so that one known fault does not hide the next. `twins` leaves out the person
#: whose id is another one's in lower case, `wrong_ids` the ids of others.
WITHOUT = frozenset(name for name in os.environ.get("FM_MODEL_WITHOUT", "").split(",") if name)
HABITS = frozenset(("twins", "wrong_ids"))

persons = st.sampled_from([name for name in PERSONS if name != "eve" or "twins" not in WITHOUT])
recids = st.sampled_from(RECIDS)
days = st.sampled_from(tuple(DAYS))
texts = st.sampled_from(("Edited", "Wound", "see letter"))
nth = st.integers(0, 11)
statements = st.integers(1, MOST_STATEMENTS)
#: Which id a row is given: the person's own, none, that of another person, or the own in lower case.
_KINDS = ("own", "own", "own", "none", "lower", "another")
kinds_of_id = st.sampled_from([kind for kind in _KINDS if kind != "another" or "wrong_ids" not in WITHOUT])


def an_id(person: str, kind: str, other: str) -> str | None:
    ids = {"own": OWN_ID[person], "none": None, "another": OWN_ID[other], "lower": OWN_ID[person].lower()}
    return ids[kind]


class Clinic(RuleBasedStateMachine):
    """The machine; a subclass brings the driver."""

    driver: Driver
    steps = 0
    seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.play = Play(self.driver)
        self.rows: list[Photograph] = []

    def teardown(self) -> None:
        type(self).seconds += time.monotonic() - self.started

    def check_invariants(self, *arguments: Any, **options: Any) -> None:
        """After each step, whoever did it; not an invariant of hypothesis's, which would print a line for each."""
        type(self).steps += 1
        assert list(self.play.judge.miscounted(self.play.view)) == []
        super().check_invariants(*arguments, **options)

    # --- where it begins ----------------------------------------------------------------------------------------------

    @initialize(
        salt=st.integers(0, 3),
        there=st.sets(persons, min_size=2),
        rows=st.lists(st.tuples(persons, days), min_size=3, max_size=6),
        first=st.sampled_from(("nothing", "healed", "imported", "stale")),
    )
    def open(self, salt: int, there: set[str], rows: list[tuple[str, str]], first: str) -> None:
        self.play.salt = salt
        for person in sorted(there):
            self.play.patient(person)
        self.rows = [Photograph(recid, OWN_ID[person], day) for recid, (person, day) in zip(RECIDS, rows, strict=False)]
        if first in ("imported", "stale"):
            self._imported_by_the_clinic(stale=first == "stale")
        self.play.photographs(*self.rows)
        if first == "healed":
            self.play.heal()

    def _imported_by_the_clinic(self, *, stale: bool) -> None:
        for person in PERSONS:
            here = [row for row, name in self.play.people.person.items() if name == person]
            for day in DAYS:
                mine = [row.recid for row in self.rows if row.contact == OWN_ID[person] and row.date == day]
                if mine and (here or stale):
                    former = self.play.people.person
                    target = next((row for row in former if former[row] == person and row not in here), None)
                    target = here[0] if not stale else target or self.play.mint()
                    self.play.imported(target, *mine, day=day, person=person if stale else None)

    # --- what there is ------------------------------------------------------------------------------------------------

    def present(self, index: int) -> str:
        rows = list(self.play.people.present)
        return rows[index % len(rows)]

    def an_image(self, index: int) -> str:
        images = list(self.play.view[IMAGES])
        return images[index % len(images)]

    def live_batches(self) -> list[str]:
        """The batches that staff can see: those of patients who are there."""
        present = self.play.people.present
        return [batch for batch, row in self.play.view[BATCHES].items() if row["object_id"] in present]

    def has_people(self) -> bool:
        return bool(self.play.people.present)

    def has_images(self) -> bool:
        return bool(self.play.view[IMAGES])

    def has_room(self) -> bool:
        return self.has_people() and len(self.play.view[BATCHES]) < MOST_THINGS

    def export(self, rows: list[Photograph]) -> None:
        self.rows = rows
        self.play.export(*(rows or [NOBODYS]))

    # --- the patients' table ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.play.people.present) < MOST_ROWS)
    @rule(person=persons, kind=kinds_of_id, other=persons)
    def register(self, person: str, kind: str, other: str) -> None:
        self.play.patient(person, holds=an_id(person, kind, other))

    @precondition(lambda self: self.has_people())
    @rule(index=nth, kind=kinds_of_id, other=persons)
    def write_an_id(self, index: int, kind: str, other: str) -> None:
        row = self.present(index)
        self.play.write_id(row, an_id(self.play.people.person[row], kind, other))

    @precondition(lambda self: self.has_people())
    @rule(index=nth)
    def correct_an_id(self, index: int) -> None:
        row = self.present(index)
        self.play.write_id(row, OWN_ID[self.play.people.person[row]])

    @precondition(lambda self: self.has_people())
    @rule(index=nth)
    def remove_a_patient(self, index: int) -> None:
        self.play.remove(self.present(index))

    @precondition(lambda self: self.has_people())
    @rule(index=nth, to=nth)
    def merge_two_patients(self, index: int, to: int) -> None:
        """Two rows of one person become one: the app leads what it knows of to the row that stays."""
        one = self.present(index)
        same = [
            row
            for row in self.play.people.present
            if row != one and self.play.people.person[row] == self.play.people.person[one]
        ]
        if same:
            stays = same[to % len(same)]
            for batch in [each for each, row in self.play.view[BATCHES].items() if row["object_id"] == one]:
                self.play.give(batch, stays)
            self.play.remove(one)

    @precondition(lambda self: self.has_people())
    @rule(person=persons, kind=kinds_of_id, other=persons)
    def reimport_everybody(self, person: str, kind: str, other: str) -> None:
        """One of them may come back with another id."""
        self.play.reimport(ids={person: an_id(person, kind, other)} if kind != "own" else None)

    @precondition(lambda self: self.has_people())
    @rule(indexes=st.sets(nth, min_size=1, max_size=4))
    def reimport_some(self, indexes: set[int]) -> None:
        self.play.reimport(sorted({self.present(index) for index in indexes}))

    @precondition(lambda self: self.has_people())
    @rule(indexes=st.sets(nth, min_size=1, max_size=6))
    def begin_a_reimport(self, indexes: set[int]) -> None:
        """It may be killed here, go on slowly, or never be finished."""
        self.play.start_reimport(sorted({self.present(index) for index in indexes}))

    @precondition(lambda self: self.play.missing)
    @rule(how_many=st.integers(1, 3))
    def go_on_with_it(self, how_many: int) -> None:
        self.play.go_on(how_many)

    @precondition(lambda self: self.play.backup)
    @rule()
    def restore_the_patients(self) -> None:
        self.play.restore_patients()

    # --- FileMaker and the bucket -------------------------------------------------------------------------------------

    @rule(recid=recids, person=persons, day=days)
    def export_a_row_more(self, recid: str, person: str, day: str) -> None:
        """With its object; where the recid is there already, it is doubled."""
        if len(self.rows) < MOST_THINGS:
            self.export([*self.rows, Photograph(recid, OWN_ID[person], day)])
            self.play.objects(*self.play.things.originals, f"{recid}.jpg")

    @precondition(lambda self: self.rows)
    @rule(index=nth)
    def export_a_row_less(self, index: int) -> None:
        gone = index % len(self.rows)
        self.export([row for number, row in enumerate(self.rows) if number != gone])

    @precondition(lambda self: self.rows)
    @rule(index=nth, person=persons, day=days, lower=st.booleans())
    def correct_a_row(self, index: int, person: str, day: str, lower: bool) -> None:
        """Its contact and its day; FileMaker's newer exports write ids in lower case where no two differ by that."""
        at = index % len(self.rows)
        contact = OWN_ID[person].lower() if lower and person.lower() not in OWN_ID else OWN_ID[person]
        row = replace(self.rows[at], contact=contact, date=day, type=f"Wound {day}")
        self.export([*self.rows[:at], row, *self.rows[at + 1 :]])

    @precondition(lambda self: self.rows and self.has_people())
    @rule(index=nth, patient=nth)
    def name_a_patients_uuid(self, index: int, patient: int) -> None:
        """Newer exports name the app's own UUID."""
        at = index % len(self.rows)
        row = replace(self.rows[at], contact=self.present(patient).upper())
        self.export([*self.rows[:at], row, *self.rows[at + 1 :]])

    @precondition(lambda self: len(self.rows) > 1)
    @rule(one=nth, other=nth)
    def swap_image_ids(self, one: int, other: int) -> None:
        first, second = one % len(self.rows), other % len(self.rows)
        rows = list(self.rows)
        rows[first] = replace(rows[first], image_id=self.rows[second].cells()[2])
        rows[second] = replace(rows[second], image_id=self.rows[first].cells()[2])
        self.export(rows)

    @precondition(lambda self: len(self.rows) > 1)
    @rule(one=nth, other=nth)
    def move_an_image_id(self, one: int, other: int) -> None:
        first, second = one % len(self.rows), other % len(self.rows)
        if first != second:
            rows = list(self.rows)
            rows[second] = replace(rows[second], image_id=rows[first].cells()[2])
            rows[first] = replace(rows[first], image_id="")
            self.export(rows)

    @rule(recid=recids, kind=st.sampled_from(("jpg", "png", "JPG")))
    def add_an_original(self, recid: str, kind: str) -> None:
        self.play.objects(*self.play.things.originals, f"{recid}.{kind}")

    @precondition(lambda self: len(self.play.things.originals) > 1)
    @rule(index=nth, how=st.sampled_from(("remove", "replace")))
    def change_an_original(self, index: int, how: str) -> None:
        names = sorted(self.play.things.originals)
        chosen = names[index % len(names)]
        if how == "remove":
            self.play.objects(*(name for name in names if name != chosen))
        else:
            self.play.objects(*names, replaced=chosen)

    # --- the clinic's own import, and staff ---------------------------------------------------------------------------

    @precondition(lambda self: self.has_room())
    @rule(person=persons, chosen=st.sets(recids, min_size=1, max_size=4), stale=st.booleans(), index=nth)
    def import_as_the_clinic(self, person: str, chosen: set[str], stale: bool, index: int) -> None:
        """Its command puts photographs that are in no batch yet under some row, or under one that nobody read."""
        known = {recid_of(row) for row in self.play.view[IMAGES].values()}
        ids = {(row["filemaker_id"] or "").lower() for row in self.play.view[IMAGES].values()}
        new = [recid for recid in sorted(chosen) if recid not in known and image_id(recid).lower() not in ids]
        if new:
            target = self.play.mint() if stale else self.present(index)
            self.play.imported(target, *new, person=person if stale else None)

    @precondition(lambda self: self.has_room())
    @rule(patient=nth, names=st.sets(recids, min_size=1, max_size=3), into=st.booleans(), index=nth)
    def upload(self, patient: int, names: set[str], into: bool, index: int) -> None:
        """Files that are named like the dump's; into a batch of their own or one that staff see."""
        batches = self.live_batches()
        batch = batches[index % len(batches)] if into and batches else None
        self.play.upload(self.present(patient), *(f"{recid}.jpg" for recid in sorted(names)), into=batch)

    @precondition(lambda self: self.has_images() and self.live_batches())
    @rule(index=nth, to=nth)
    def move_an_image(self, index: int, to: int) -> None:
        batches, image = self.live_batches(), self.an_image(index)
        batch = batches[to % len(batches)]
        if self.play.view[IMAGES][image]["batch_id"] != batch:
            self.play.move(image, batch)

    @precondition(lambda self: self.live_batches())
    @rule(index=nth, patient=nth)
    def give_a_batch(self, index: int, patient: int) -> None:
        batches, to = self.live_batches(), self.present(patient)
        batch = batches[index % len(batches)]
        if self.play.view[BATCHES][batch]["object_id"] != to:
            self.play.give(batch, to)

    @precondition(lambda self: self.has_images())
    @rule(index=nth, column=st.sampled_from(("category", "caption")), value=texts)
    def edit_an_image(self, index: int, column: str, value: str) -> None:
        self.play.edit(IMAGES, self.an_image(index), column, value)

    @precondition(lambda self: self.live_batches())
    @rule(index=nth, column=st.sampled_from(("name", "description")), value=texts)
    def edit_a_batch(self, index: int, column: str, value: str) -> None:
        batches = self.live_batches()
        self.play.edit(BATCHES, batches[index % len(batches)], column, value)

    @precondition(lambda self: self.has_images())
    @rule(index=nth)
    def delete_an_image(self, index: int) -> None:
        self.play.delete_image(self.an_image(index))

    @precondition(lambda self: self.live_batches())
    @rule(index=nth)
    def delete_a_batch(self, index: int) -> None:
        batches = self.live_batches()
        self.play.delete_batch(batches[index % len(batches)])

    @precondition(lambda self: self.play.things.uploaded & set(self.play.view[IMAGES]))
    @rule()
    def delete_an_account(self) -> None:
        """Once we have seen who uploaded what; before, nobody could know it."""
        if self.play.things.uploaded & set(self.play.view[IMAGES]) <= self.play.things.seen:
            self.play.delete_account()

    @precondition(lambda self: self.has_people() and len(self.play.view[DOCUMENTS]) < MOST_THINGS)
    @rule(index=nth)
    def write_a_document(self, index: int) -> None:
        self.play.document(self.present(index))

    @precondition(lambda self: self.has_people() and self.play.view[DOCUMENTS])
    @rule(index=nth, patient=nth)
    def give_a_document(self, index: int, patient: int) -> None:
        documents = list(self.play.view[DOCUMENTS])
        self.play.give_document(documents[index % len(documents)], self.present(patient))

    @precondition(lambda self: self.has_people())
    @rule(one=nth, other=nth)
    def relate_two_patients(self, one: int, other: int) -> None:
        self.play.relation(self.present(one), self.present(other))

    # --- our own steps ------------------------------------------------------------------------------------------------

    @rule()
    def read(self) -> None:
        self.play.read()

    @rule()
    def follow(self) -> None:
        self.play.follow()

    @rule(read=st.booleans(), full=st.booleans())
    def plan(self, read: bool, full: bool) -> None:
        if read or not self.play.people.readings:
            self.play.read()
        self.play.plan(full=full)

    @precondition(lambda self: self.play.placing)
    @rule(index=st.sampled_from((0, 0, 0, 1, 2, 5)))
    def apply(self, index: int) -> None:
        """A plan may be applied long after it was made."""
        self.play.apply(self.play.placing[-1 - index % len(self.play.placing)])

    @rule()
    def heal(self) -> None:
        self.play.heal()

    @rule()
    def heal_again(self) -> None:
        """Twice as likely as the rest."""
        self.play.heal()

    @precondition(lambda self: self.play.plans)
    @rule(index=st.sampled_from((0, 0, 1, 2, 3, 5, 9)))
    def undo(self, index: int) -> None:
        done = [plan for plan in self.play.plans if plan in self.play.done] or self.play.plans
        self.play.undo(done[-1 - index % len(done)])

    @rule(step=st.sampled_from(("follow", "plan", "apply", "undo")), statement=statements)
    def be_killed(self, step: str, statement: int) -> None:
        plans = list(self.play.done) if step == "undo" else self.play.placing
        if step in ("apply", "undo") and not plans:
            return
        self.play.killed(step, statement, plans[-1] if step in ("apply", "undo") else None)

    @rule(statement=statements)
    def run_two_at_once(self, statement: int) -> None:
        self.play.at_once(statement)

    @precondition(lambda self: self.has_images() and self.live_batches())
    @rule(statement=statements, index=nth, to=nth, move=st.booleans(), value=texts)
    def apply_while_staff_work(self, statement: int, index: int, to: int, move: bool, value: str) -> None:
        self.play.read()
        plan = self.play.plan()
        image, batches = self.an_image(index), self.live_batches()
        batch = batches[to % len(batches)]
        if move and self.play.view[IMAGES][image]["batch_id"] != batch:
            cell, written = Cell(IMAGES, image, "batch_id"), self.play.moving(image, batch)
        else:
            change = "update images_image set caption = :value where id = :id"
            cell, written = Cell(IMAGES, image, "caption"), [(change, {"value": value, "id": image})]
        self.play.disturbed_apply(plan.number, statement, written, [cell])

    if door.CAN_SETTLE:

        @precondition(lambda self: self.has_people() and self.play.people.last_held)
        @rule(former=nth, patient=nth)
        def settle(self, former: int, patient: int) -> None:
            gone = [row for row in self.play.people.last_held if row not in self.play.people.present]
            if gone:
                self.play.settle(gone[former % len(gone)], self.present(patient))

    if door.CAN_RESTORE:

        @precondition(lambda self: self.play.things.removed)
        @rule(index=nth)
        def restore_a_photograph(self, index: int) -> None:
            removed = sorted(self.play.things.removed)
            self.play.restore(removed[index % len(removed)])
