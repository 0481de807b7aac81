"""Whatever happens in whatever order, these stay true.

* No photograph is on another patient's record, unless staff have put it there.
* No edit of staff is lost, and nothing that they have made.
* The states of a plan add up to the rows of the export.
* Applying and then undoing is as if nothing had been; applying twice is applying once.
* Every cached count is the number of images.
* A healing run brings every photograph home, and the next one finds nothing to do.

FM_FUZZ sets how many sequences are tried.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Row

from fm_migration.plans import StalePlanError
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, Photograph, World

SEQUENCES = int(os.environ.get("FM_FUZZ") or 10)
STEPS = 12

PEOPLE = (ANNA, BERT, CARA)
RECIDS = tuple(str(number) for number in range(101, 107))
DAYS = ("10/18/2016", "10/19/2016", "")

people = st.sampled_from(PEOPLE)
texts = st.sampled_from(["", "Edited", "Wound"])
indexes = st.integers(0, 9)

IMAGES = """
select image.id, image.s3_key, image.category, image.caption, image.batch_id, batch.object_id, batch.name
from images_image as image join images_batch as batch on batch.id = image.batch_id order by image.s3_key
"""


class Clinic(RuleBasedStateMachine):
    """A clinic of three patients and six photographs, what happens in it, and what we remember of that."""

    def __init__(self, world: World) -> None:
        super().__init__()
        world.empty()
        self.world = world
        #: Whom every UUID has ever belonged to.
        self.person_of: dict[UUID, str] = {}
        #: What the export says of a photograph, and whose it has ever said that it is.
        self.rows: dict[str, Photograph] = {}
        self.ever: dict[str, set[str]] = {}
        #: What staff have done: texts by image and column, names of batches, whose a batch is, and where images are.
        self.texts: dict[tuple[UUID, str], str] = {}
        self.names: dict[UUID, str] = {}
        self.given: dict[UUID, str] = {}
        self.content: dict[UUID, set[UUID]] = {}
        self.placed: dict[UUID, UUID] = {}
        self.uploads = 0
        self.plans: list[int] = []
        #: Those of them that place photographs: a plan of links is applied as it is made.
        self.placing: list[int] = []

    # --- what happens -------------------------------------------------------------------------------------------

    @initialize(contacts=st.lists(people, min_size=6, max_size=6), days=st.lists(st.sampled_from(DAYS), min_size=6))
    def open(self, contacts: list[str], days: list[str]) -> None:
        for person in PEOPLE:
            self.person_of[self.world.patient(person)] = person
        self.rows = {
            recid: Photograph(recid, contact, day) for recid, contact, day in zip(RECIDS, contacts, days, strict=False)
        }
        self.ever = {recid: {row.contact} for recid, row in self.rows.items()}
        self.world.photographs(*self.rows.values())
        self.world.read_patients()

    @rule()
    def reimport(self) -> None:
        self.world.reimport()
        self.person_of |= {patient: person for person, patient in self.world.patients().items()}

    @rule(recid=st.sampled_from(RECIDS), contact=people)
    def correct_the_export(self, recid: str, contact: str) -> None:
        self.rows[recid] = Photograph(recid, contact, self.rows[recid].date, type=f"Wound {contact[:2]}")
        self.ever[recid].add(contact)
        self.world.photographs(*self.rows.values())

    @rule(limit=st.sampled_from([None, None, 2, 4]))
    def plan(self, limit: int | None) -> None:
        self.world.read_patients()
        plan = self.world.plan(limit)
        assert plan.rows == len(self.rows)
        self.plans.append(plan.id)
        self.placing.append(plan.id)

    @precondition(lambda self: self.placing)
    @rule(index=indexes)
    def apply(self, index: int) -> None:
        plan = self.placing[-1 - index % len(self.placing)]
        before = self.world.snapshot()
        try:
            self._apply(plan)
        except StalePlanError:
            assert self.world.snapshot() == before
            return
        once = self.world.snapshot()
        self._apply(plan)
        assert self.world.snapshot() == once

    @precondition(lambda self: self.plans)
    @rule(index=indexes)
    def undo(self, index: int) -> None:
        plan = self.plans[-1 - index % len(self.plans)]
        self.world.undo(plan)
        once = self.world.snapshot()
        self.world.undo(plan)
        assert self.world.snapshot() == once
        held = self._held()
        self.content = {batch: images & held.get(batch, set()) for batch, images in self.content.items()}

    @rule()
    def apply_and_undo(self) -> None:
        self.world.read_patients()
        plan = self.world.plan()
        before = self.world.snapshot()
        self._apply(plan.id)
        assert self.world.undo(plan).left == ()
        assert self.world.snapshot() == before

    @rule()
    def heal(self) -> None:
        self.world.read_patients()
        plan = self.world.plan()
        self._apply(plan.id)
        self.plans.append(plan.id)
        self.placing.append(plan.id)
        links = self.world.follow()
        if links.plan:
            self.plans.append(links.plan)
        self._assert_everybody_is_home()
        assert self.world.plan().changes == 0
        assert self.world.follow().followed == 0

    # --- what staff do ------------------------------------------------------------------------------------------

    @precondition(lambda self: self._images())
    @rule(
        index=indexes, column=st.sampled_from(["category", "caption"]), value=st.sampled_from(["", "Edited", "Wound"])
    )
    def write(self, index: int, column: str, value: str) -> None:
        image = self._image(index)
        if getattr(image, column) != value:
            self.world.do(f"update images_image set {column} = :value where id = :id", value=value, id=image.id)
            self.texts[image.id, column] = value

    @precondition(lambda self: self._images())
    @rule(index=indexes)
    def rename(self, index: int) -> None:
        batch = self._image(index).batch_id
        self.names[batch] = f"Renamed {len(self.names)}"
        self.world.do("update images_batch set name = :name where id = :id", name=self.names[batch], id=batch)

    @precondition(lambda self: self._images())
    @rule(index=indexes, person=people)
    def give_a_batch_to_somebody(self, index: int, person: str) -> None:
        self._read()
        image = self._image(index)
        if self.person_of[image.object_id] == person:
            return
        patient = self.world.patients()[person]
        self.world.do("update images_batch set object_id = :to where id = :id", to=patient, id=image.batch_id)
        self.given[image.batch_id] = person
        self.content[image.batch_id] = self._held()[image.batch_id]

    @precondition(lambda self: len(self._images()) > 1)
    @rule(index=indexes, to=indexes)
    def move_an_image(self, index: int, to: int) -> None:
        image, batch = self._image(index), self._image(to).batch_id
        if image.batch_id == batch:
            return
        self.world.do("update images_image set batch_id = :batch where id = :id", batch=batch, id=image.id)
        for touched, by in ((batch, 1), (image.batch_id, -1)):
            self.world.do("update images_batch set image_count = image_count + :by where id = :id", by=by, id=touched)
        self.placed[image.id] = batch
        self.content.setdefault(batch, set()).add(image.id)

    @rule(person=people)
    def upload(self, person: str) -> None:
        self._read()
        self.uploads += 1
        batch = self.world.batch(self.world.patients()[person], "By hand", [f"images/hand-{self.uploads}.jpg"])
        self.given[batch] = person
        self.content[batch] = self._held()[batch]

    # --- what stays true ----------------------------------------------------------------------------------------

    @invariant()
    def no_photograph_is_on_another_patients_record(self) -> None:
        for image in self._images():
            if image.id not in self.content.get(image.batch_id, ()):
                assert self.person_of[image.object_id] in self.ever[_recid(image)]

    @invariant()
    def nothing_of_staffs_is_lost(self) -> None:
        images = {image.id: image for image in self._images()}
        for (image, column), value in self.texts.items():
            assert getattr(images[image], column) == value
        for image, batch in self.placed.items():
            assert images[image].batch_id == batch
        batches = {row.id: row for row in self.world.rows("select id, name, object_id from images_batch")}
        for batch, name in self.names.items():
            assert batches[batch].name == name
        for batch, person in self.given.items():
            assert self.person_of[batches[batch].object_id] == person
        assert sum(image.s3_key.startswith("images/") for image in images.values()) == self.uploads

    @invariant()
    def every_count_is_right(self) -> None:
        assert self.world.wrong_counts() == []

    def _assert_everybody_is_home(self) -> None:
        """Every photograph shows once: where staff have put it, else with whom the export names."""
        shown: dict[str, str] = {}
        present = {patient: person for person, patient in self.world.patients().items()}
        for image in self._images():
            if image.s3_key.startswith(DUMP):
                assert _recid(image) not in shown
                shown[_recid(image)] = present[image.object_id]
                if image.id not in self.content.get(image.batch_id, ()):
                    assert present[image.object_id] == self.rows[_recid(image)].contact
            else:
                assert image.object_id in present
        assert shown.keys() == self.rows.keys()

    # --- how --------------------------------------------------------------------------------------------------------

    def _apply(self, plan: int) -> None:
        approve = self.world.one("select hash from fm_migration.link_plan where id = :plan", plan=plan)
        self.world.apply(plan, approve=approve)

    def _read(self) -> None:
        """The sensor has seen the patients before staff refer to them; nobody can know a UUID that came and went."""
        self.world.read_patients()

    def _images(self) -> list[Row[Any]]:
        return list(self.world.rows(IMAGES))

    def _image(self, index: int) -> Row[Any]:
        images = self._images()
        return images[index % len(images)]

    def _held(self) -> dict[UUID, set[UUID]]:
        held: dict[UUID, set[UUID]] = {}
        for image in self._images():
            held.setdefault(image.batch_id, set()).add(image.id)
        return held


def _recid(image: Row[Any]) -> str:
    return str(image.s3_key).removeprefix(DUMP).removesuffix(".jpg")


def test_any_sequence_of_runs_re_imports_and_edits_keeps_every_photograph_home(world: World) -> None:
    class Here(Clinic):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            # A sequence takes a second, and shrinking one takes hundreds of them.
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
