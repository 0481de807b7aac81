"""The model and the real database side by side: what happens is done in both, and each step of ours is judged.

Belongs here: every event of the clinic's life and every step of ours, in one line for the tests. Does not belong here:
a rule (`rules`), or a call into the code under test (`driver`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fm_migration_tests.linking.world import DUMP, Photograph, filemaker_id, image_id
from fm_migration_tests.model import driver as door
from fm_migration_tests.model.driver import Driver, Planned, Refused, Statement
from fm_migration_tests.model.people import OWN_ID, People
from fm_migration_tests.model.rules import Judge
from fm_migration_tests.model.things import (
    BATCHES,
    DOCUMENTS,
    IMAGES,
    PATIENTS,
    RELATIONS,
    SOME_RUN,
    STAFF,
    Cell,
    Difference,
    Things,
    View,
    Writer,
    difference,
    recid_of,
)
from fm_migration_tests.model.undoing import Done, judge_undo

_PATIENT = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
values (:id, 'Test', 'Person', false, now(), now(), jsonb_build_object('filemaker_id', cast(:held as text)))
"""
_WRITE_ID = """
update patients set filemaker_metadata = jsonb_build_object('filemaker_id', cast(:held as text)) where id = :id
"""
_BATCH = """
insert into images_batch (id, content_type_id, object_id, name, description, uploaded_by_id, uploaded_at, image_count)
values (:id, :content_type, :patient, :name, :description, (select id from auth_user where username = :account),
        '2025-03-09 12:00+00', 0)
"""
_IMAGE = """
insert into images_image
    (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type, category, caption, date_taken,
     uploaded_by_id, uploaded_at, filemaker_id, "order")
values (:id, :batch, :key, '', :name, 1, 'image/jpeg', 'other', '', null,
        (select id from auth_user where username = :account), '2025-03-09 12:00+00', cast(:filemaker_id as uuid), 1)
"""
_DOCUMENT = """
insert into documents_document
    (id, content_type_id, object_id, s3_key, file_name, original_name, file_size, mime_type, s3_bucket, s3_url,
     category, description, tags, uploaded_by, uploaded_at, updated_at, is_active)
values (:id, :content_type, :patient, :key, 'letter.pdf', 'letter.pdf', 1, 'application/pdf', 'clinic',
        '', 'letter', '', '[]', 'import', now(), now(), true)
"""
_RELATION = f"""
insert into {RELATIONS}
    (id, from_content_type_id, from_object_id, to_content_type_id, to_object_id, relationship, created_at)
values (:id, :content_type, :one, :content_type, :other, 'knows', now())
"""
_ACCOUNT = """
insert into auth_user (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined)
values (:account, '!', false, '', '', '', false, true, now()) on conflict (username) do nothing
"""
_RECOUNT = """
update images_batch set image_count = (select count(*) from images_image where batch_id = images_batch.id)
where image_count <> (select count(*) from images_image where batch_id = images_batch.id)
"""
ACCOUNT = "clinician"
#: An export is never empty: a row of somebody whom the app does not know.
NOBODYS = Photograph("900", filemaker_id("Nobody"))
DAYS = {"10/18/2016": "18 Oct 2016", "10/19/2016": "19 Oct 2016", "": "Undated"}


class Unfair(AssertionError):  # noqa: N818  # a verdict
    """A verdict of the judge."""


@dataclass
class Play:
    """A clinic, what is known of it, and the judge."""

    driver: Driver
    people: People = field(default_factory=People)
    things: Things = field(default_factory=Things)
    plans: list[int] = field(default_factory=list)
    #: Those of `plans` that place photographs; a following is done as it is planned.
    placing: list[int] = field(default_factory=list)
    done: dict[int, Done] = field(default_factory=dict)
    #: Rows of the patients' table that a re-import has deleted and not created again yet: person and id as written.
    missing: list[tuple[str, str | None]] = field(default_factory=list)
    #: The rows that the last re-import deleted, for whoever restores them.
    backup: dict[str, str | None] = field(default_factory=dict)
    minted: int = 0
    salt: int = 0

    def __post_init__(self) -> None:
        self.driver.empty()
        self.content_type = self.driver.content_type()
        self.view = self.driver.view()
        self.judge = Judge(self.people, self.things)
        self.photographs(NOBODYS)

    def mint(self) -> str:
        self.minted += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.salt} {self.minted}"))

    # --- the patients' table ------------------------------------------------------------------------------------------

    def patient(self, person: str, *, holds: str | None = "own", row: str | None = None) -> str:
        """A row of the app for a person; it holds the person's own FileMaker id, another one as given, or none."""
        row, written = row or self.mint(), OWN_ID[person] if holds == "own" else holds
        self.driver.write((_PATIENT, {"id": row, "held": written}))
        self.people.add(row, person, written)
        self._look()
        return row

    def write_id(self, row: str, written: str | None) -> None:
        """Somebody corrects, clears or spoils the FileMaker id of a row that is there."""
        self.driver.write((_WRITE_ID, {"id": row, "held": written}))
        self.people.present[row] = written
        self._look()

    def remove(self, *rows: str) -> None:
        """Patients are deleted, and what points at them stays."""
        self.driver.write(*(("delete from patients where id = :id", {"id": row}) for row in rows))
        for row in rows:
            self.people.remove(row)
        self._look()

    def start_reimport(self, rows: Iterable[str] | None = None, ids: Mapping[str, str | None] | None = None) -> None:
        """The clinic's script deletes rows, by default all with an id; `ids` says who comes back with another one."""
        chosen = [row for row, held in self.people.present.items() if held] if rows is None else list(rows)
        self.backup = {row: self.people.present[row] for row in chosen}
        self.missing += [
            (self.people.person[row], (ids or {}).get(self.people.person[row], held))
            for row, held in self.backup.items()
        ]
        self.remove(*chosen)

    def go_on(self, how_many: int | None = None) -> list[str]:
        """The script creates so many of the missing again, under new UUIDs."""
        coming = self.missing[:how_many]
        self.missing = self.missing[len(coming) :]
        return [self.patient(person, holds=held) for person, held in coming]

    def reimport(self, rows: Iterable[str] | None = None, ids: Mapping[str, str | None] | None = None) -> None:
        """The whole script in one go."""
        self.start_reimport(rows, ids)
        self.go_on()

    def restore_patients(self) -> None:
        """The rows that the last re-import deleted come back under their old UUIDs, in the place of their new ones."""
        persons = {self.people.person[row] for row in self.backup}
        self.missing = [each for each in self.missing if each[0] not in persons]
        self.remove(*[row for row in self.people.present if self.people.person[row] in persons])
        for row, held in self.backup.items():
            self.patient(self.people.person[row], holds=held, row=row)
        self.backup = {}

    def now(self, person: str) -> str:
        """The one row of a person."""
        (row,) = [row for row in self.people.present if self.people.person[row] == person]
        return row

    # --- FileMaker and the bucket -------------------------------------------------------------------------------------

    def export(self, *rows: Photograph) -> None:
        """FileMaker exports these rows, and we read them."""
        self.driver.read_export(rows)
        self.things.read_export(list(rows))

    def objects(self, *names: str, replaced: str = "") -> None:
        """The bucket holds these originals, one of them perhaps with other bytes, and we have listed them."""
        if replaced:
            self.things.versions[replaced] = self.things.versions.get(replaced, 0) + 1
        self.driver.read_objects({name: self.things.versions.get(name, 0) for name in sorted(names)})
        self.things.originals = set(names)

    def photographs(self, *rows: Photograph) -> None:
        self.export(*rows)
        self.objects(*{f"{row.recid}.jpg" for row in rows})

    # --- the clinic's own import, and staff ---------------------------------------------------------------------------

    def imported(self, patient: str, *recids: str, day: str = "10/18/2016", person: str | None = None) -> str:
        """A batch as the clinic's own command has made it, under a row or under a UUID of `person` that nobody read."""
        if person is not None:
            self.people.person[patient] = person
        name = f"{DAYS[day]} (FileMaker Import)"
        ids = {recid: image_id(recid) for recid in recids}
        return self._batch(patient, name, {f"{DUMP}{recid}.jpg": ids[recid] for recid in recids}, None)

    def upload(self, patient: str, *names: str, into: str | None = None) -> str:
        """Staff upload files of these names, into a batch of their own or into one that is there."""
        keys = {f"images/{self.mint()}/{name}": None for name in names}
        if into is None:
            batch = self._batch(patient, "Shoe check", keys, ACCOUNT)
            self.things.made_by_hand.add(batch)
        else:
            batch = into
            self._staff((_ACCOUNT, {"account": ACCOUNT}), *self._images(batch, keys, ACCOUNT))
        self.things.uploaded |= {image for key in keys for image in self.view.images_with(key)}
        return batch

    def _batch(self, patient: str, name: str, keys: Mapping[str, str | None], account: str | None) -> str:
        batch = self.mint()
        values = {
            "id": batch,
            "content_type": self.content_type,
            "patient": patient,
            "name": name,
            "description": "" if account else "Imported from FileMaker",
            "account": account,
        }
        self._staff((_ACCOUNT, {"account": ACCOUNT}), (_BATCH, values), *self._images(batch, keys, account))
        return batch

    def _images(self, batch: str, keys: Mapping[str, str | None], account: str | None) -> list[Statement]:
        images: list[Statement] = []
        for key, claim in keys.items():
            values = {"id": self.mint(), "batch": batch, "key": key, "name": key.rpartition("/")[2]}
            images.append((_IMAGE, {**values, "account": account, "filemaker_id": claim}))
        return [*images, (_RECOUNT, {})]

    def document(self, patient: str) -> str:
        document = self.mint()
        values = {"id": document, "content_type": self.content_type, "patient": patient, "key": f"documents/{document}"}
        self._staff((_DOCUMENT, values))
        return document

    def relation(self, one: str, other: str) -> str:
        relation = self.mint()
        self._staff((_RELATION, {"id": relation, "content_type": self.content_type, "one": one, "other": other}))
        return relation

    def edit(self, table: str, row: str, column: str, value: Any) -> None:
        """Staff write into a column of an image or a batch."""
        self._staff((f"update {table} set {column} = :value where id = :id", {"value": value, "id": row}))
        self.things.edited[Cell(table, row, column)] = value

    def move(self, image: str, batch: str) -> None:
        """Staff move an image into another batch."""
        self._staff(*self.moving(image, batch))
        self._place(image)

    def _place(self, image: str) -> None:
        """Remember where staff have put an image; putting it back before anybody looked is not a decision."""
        cell = Cell(IMAGES, image, "batch_id")
        if self.things.known_at.get(cell) == self.view.value(cell):
            self.things.placed.pop(image, None)
        else:
            self.things.placed[image] = str(self.view.value(cell))

    def moving(self, image: str, batch: str) -> list[Statement]:
        change = "update images_image set batch_id = :batch where id = :id"
        return [(change, {"batch": batch, "id": image}), (_RECOUNT, {})]

    def give(self, batch: str, patient: str) -> None:
        """Staff point a batch at another patient."""
        self._staff(("update images_batch set object_id = :to where id = :id", {"to": patient, "id": batch}))
        if self.things.known_at.get(Cell(BATCHES, batch, "object_id")) == patient:
            return
        self.things.given.add(batch)
        self.things.placed |= dict.fromkeys(self.view.images_of(batch), batch)

    def give_document(self, document: str, patient: str) -> None:
        self._staff(("update documents_document set object_id = :to where id = :id", {"to": patient, "id": document}))

    def delete_image(self, image: str) -> None:
        """Staff delete an image in the app; its object stays in the bucket."""
        recid = recid_of(self.view[IMAGES][image])
        others = [other for other in self.view[IMAGES] if recid_of(self.view[IMAGES][other]) == recid]
        self._staff(("delete from images_image where id = :id", {"id": image}), (_RECOUNT, {}))
        if recid is not None:
            known = image in self.things.seen and others == [image] and recid not in self.things.taken_back
            known = known and bool(self.things.rows_of(recid) or self.things.originals_of(recid))
            (self.things.removed if known else self.things.removed_unseen).add(recid)

    def delete_batch(self, batch: str) -> None:
        """Staff delete a batch with what hangs on it."""
        for image in self.view.images_of(batch):
            self.delete_image(image)
        self._staff(("delete from images_batch where id = :id", {"id": batch}))

    def delete_account(self) -> None:
        """An account goes, and what it has uploaded loses its name."""
        self._staff(
            ("update images_image set uploaded_by_id = null", {}),
            ("update images_batch set uploaded_by_id = null", {}),
            ("delete from auth_user", {}),
        )

    def _staff(self, *statements: Statement) -> None:
        self.driver.write(*statements)
        self._look()

    def _look(self, writer: Writer = STAFF) -> View:
        """See what somebody has done and remember who did it; the view before."""
        before, self.view = self.view, self.driver.view()
        done = difference(before, self.view)
        self.things.writer |= dict.fromkeys(done.cells, writer)
        return before

    # --- our own steps ------------------------------------------------------------------------------------------------

    def read(self) -> None:
        self.driver.read_patients()
        self.people.read()

    def follow(self) -> list[int]:
        """Lead every link home by the history."""
        self.people.read()
        plans = self.driver.follow()
        self._judged(plans)
        return plans

    def plan(self, *, full: bool = False) -> Planned:
        """Plan the photographs; the clinic's tables stay as they are, and the states add up."""
        planned = self.driver.plan(full=full)
        self._nothing_happened("planning")
        self._know_images()
        self.plans.append(planned.number)
        self.placing.append(planned.number)
        self._states_add_up()
        return planned

    def apply(self, plan: int) -> bool:
        """Apply a plan, however old; False when it was refused, and then nothing has happened."""
        try:
            self.driver.apply(plan)
        except Refused:
            self._nothing_happened("a refused plan")
            return False
        self._judged([plan])
        return True

    def undo(self, plan: int) -> None:
        self.driver.undo(plan)
        before, self.view = self.view, self.driver.view()
        complaints = judge_undo(plan, self.done.get(plan, Done()), self.things, before, self.view)
        self._fair([*complaints, *self.judge.miscounted(self.view)])
        for cell in difference(before, self.view).cells:
            self._take_back(cell, self.done.get(plan, Done()))
        gone = {recid_of(row) for image, row in before[IMAGES].items() if image not in self.view[IMAGES]}
        self.things.taken_back |= {recid for recid in gone if recid}

    def _take_back(self, cell: Cell, done: Done) -> None:
        self.things.undone.add(cell)
        self.things.known_at[cell] = self.view.value(cell)
        former = done.writers.get(cell)
        if former:
            self.things.writer[cell] = former
        else:
            self.things.writer.pop(cell, None)

    def settle(self, former: str, patient: str) -> int | None:
        """A person says who a former patient is; None when it was said before, which has to be undone first."""
        self.people.read()
        before = self.people.settled.get(former)
        self.people.settled[former] = patient
        try:
            plan = self.driver.settle(former, patient)
        except Refused:
            if before is None:
                raise
            self.people.settled[former] = before
            self._nothing_happened("a refused settling")
            return None
        self._judged([plan])
        return plan

    def restore(self, *recids: str) -> int | None:
        """A person asks for photographs that staff had deleted; None when the app shows them again, from elsewhere."""
        self.people.read()
        try:
            plan = self.driver.restore(recids)
        except Refused:
            if not set(recids) <= {recid_of(row) for row in self.driver.view()[IMAGES].values()}:
                raise
            self._nothing_happened("a refused restoring")
            return None
        for asked in (self.things.removed, self.things.removed_unseen, self.things.taken_back):
            asked -= set(recids)
        self._judged([plan])
        return plan

    def heal(self) -> None:
        """A healing run, after which all that is clear is seen, and there is nothing left to do."""
        self.people.read()
        self._heal_once()
        self._fair(self.judge.unhealed(self.view))
        self._nothing_is_left()

    def _heal_once(self) -> None:
        self._judged(self.driver.follow())
        planned = self.plan()
        self.driver.apply(planned.number)
        self._judged([planned.number])

    def _nothing_is_left(self) -> None:
        states, again = self.driver.row_states(), self.plan()
        complaints = [f"never ends: a second plan has {again.changes} changes"] if again.changes else []
        if self.driver.follow():
            complaints.append("never ends: a second following has led links again")
        full = self.plan(full=True) if door.CAN_PLAN_INCREMENTALLY else again
        if full.changes or self.driver.row_states() != states:
            complaints.append(
                f"incremental is not full: {full.changes} changes, {states} and {self.driver.row_states()}"
            )
        self._look()
        self._fair(complaints)

    # --- disturbed steps ----------------------------------------------------------------------------------------------

    def killed(self, step: str, statement: int, plan: int | None = None) -> bool:
        """A process does a step and is killed before a statement: all of the step has happened, or nothing."""
        self.read()
        known = set(self.driver.applied_plans())
        was_killed = self.driver.killed(step, plan, statement)
        if step == "undo":
            self._judge_killed_undo(plan or 0, was_killed)
            return was_killed
        new = [number for number in self.driver.applied_plans() if number not in known]
        if not new:
            self._nothing_happened(f"a killed {step}")
        else:
            self._judged(new)
        return was_killed

    def _judge_killed_undo(self, plan: int, was_killed: bool) -> None:
        if was_killed and not difference(self.view, self.driver.view()):
            return
        self.undo(plan)

    def disturbed_apply(
        self, plan: int, statement: int, statements: Sequence[Statement], cells: Iterable[Cell]
    ) -> bool:
        """Staff write these cells in the middle of an apply; False when it was refused."""
        wrote = False

        def disturb() -> None:
            nonlocal wrote
            wrote = self.driver.write_unless_locked(*statements)

        applied = True
        try:
            self.driver.in_the_middle(lambda: self.driver.apply(plan), statement, disturb)
        except Refused:
            applied = False
        by_staff = frozenset(cells) if wrote else frozenset()
        if applied:
            self._judged([plan], by_staff)
        else:
            self._look()
        self.things.writer |= dict.fromkeys(by_staff, STAFF)
        for cell in by_staff:
            if cell.column == "batch_id":
                self._place(cell.row)
            else:
                self.things.edited[cell] = self.view.value(cell)
        return applied

    def at_once(self, statement: int) -> None:
        """Two healing runs, the second of which starts at a statement of the first."""
        self.read()
        before = self.view
        self.driver.at_once(statement)
        self._look(SOME_RUN)
        self._fair(self.judge.judge_step(before, self.view))
        self._write_down(difference(before, self.view), SOME_RUN)
        self._know_images()

    # --- verdicts -----------------------------------------------------------------------------------------------------

    def _judged(self, plans: Sequence[int], by_staff: frozenset[Cell] = frozenset()) -> None:
        """See what a step of ours has done, have it judged, and write down which plan did it."""
        before, self.view = self.view, self.driver.view()
        recognised = self._recognitions(before)
        self._fair(self.judge.judge_step(before, self.view, by_staff))
        self.people.settled |= recognised
        done = difference(before, self.view)
        writer = Writer("plan", plans[0]) if len(plans) == 1 else SOME_RUN
        if len(plans) == 1:
            self.done.setdefault(plans[0], Done()).add(done, before, self.things)
        self.things.writer |= {cell: writer for cell in done.cells if cell not in by_staff}
        self._write_down(done, writer, by_staff)
        self.plans += [number for number in plans if number not in self.plans]

    def _write_down(self, done: Difference, writer: Writer, by_staff: frozenset[Cell] = frozenset()) -> None:
        """What a step of ours has made and where it has put things."""
        self.things.undone -= set(done.cells)
        self.things.known_at |= {cell: self.view.value(cell) for cell in done.cells if cell not in by_staff}
        for table, row in done.added:
            cells = [Cell(table, row, column) for column in self.view[table][row]]
            self.things.writer |= dict.fromkeys(cells, writer)
            self.things.known_at |= {cell: self.view.value(cell) for cell in cells}
            if table == IMAGES:
                self.things.seen.add(row)
                self.things.taken_back.discard(recid_of(self.view[IMAGES][row]) or "")

    def _recognitions(self, before: View) -> dict[str, str]:
        """What a step has recognised by photographs alone stays recognised, whatever hangs there later."""
        found = {}
        for cell in difference(before, self.view).cells:
            if cell.column == "object_id" and cell.table == BATCHES:
                former, new = before.value(cell), self.view.value(cell)
                if former not in before[PATIENTS] and self.judge.recognised(former, before) == new:
                    found[former] = new
        return found

    def _nothing_happened(self, step: str) -> None:
        before = self._look()
        done = difference(before, self.view)
        self._fair([f"half done: {step} has changed {done}"] if done else [])

    def _know_images(self) -> None:
        """A plan has looked at the images, and at whose page each is on."""
        for image, row in self.view[IMAGES].items():
            self.things.seen.add(image)
            self.things.known_at[Cell(IMAGES, image, "batch_id")] = row["batch_id"]
            target, rows = self.view.target(image), self.things.rows_of(recid_of(row) or "")
            if target not in self.people.present or not rows or image in self.things.found_elsewhere:
                continue
            if any(self.people.may_be_home(each.contact, target) for each in rows):
                self.things.agreed.add(image)
            elif image not in self.things.agreed and not self._put_by_a_plan(image, row["batch_id"]):
                self.things.found_elsewhere.add(image)
        for batch, row in self.view[BATCHES].items():
            self.things.known_at[Cell(BATCHES, batch, "object_id")] = row["object_id"]

    def _put_by_a_plan(self, image: str, batch: str) -> bool:
        """By itself, or with all of its batch."""
        cells = (Cell(IMAGES, image, "batch_id"), Cell(BATCHES, batch, "object_id"))
        return any(cell in self.things.writer and self.things.writer[cell].who == "plan" for cell in cells)

    def _states_add_up(self) -> None:
        rows, originals = self.driver.row_states().total(), self.driver.original_states()
        complaints = []
        if rows != len(self.things.export):
            complaints.append(f"states: {rows} of rows, and the export has {len(self.things.export)}")
        if originals != self.things.originals:
            complaints.append(f"states: originals without one {sorted(self.things.originals - originals)}")
        self._fair(complaints)

    def _fair(self, complaints: Iterable[str]) -> None:
        found = list(complaints)
        if found:
            raise Unfair("\n".join([*found, "", *self.picture()]))

    # --- what there is to see -----------------------------------------------------------------------------------------

    def page(self, row: str) -> list[str]:
        """The names of the photographs on somebody's page."""
        images = self.view[IMAGES].values()
        shown = [each["s3_key"] for each in images if self.view[BATCHES][each["batch_id"]]["object_id"] == row]
        return sorted(key.rpartition("/")[2] for key in shown)

    def image(self, name: str) -> str:
        """The one image of an original of the dump."""
        (image,) = self.view.images_with(DUMP + name)
        return image

    def batch_of(self, name: str) -> str:
        return str(self.view[IMAGES][self.image(name)]["batch_id"])

    def row_state(self, recid: str) -> str:
        """The state of a row of the export by its recid."""
        return self.driver.state_of(recid)

    def owner_of(self, document: str) -> str:
        return str(self.view[DOCUMENTS][document]["object_id"])

    def picture(self) -> Iterator[str]:
        """All that there is, for whoever reads a verdict."""
        spelt = {own: f"{name}'s id" for name, own in OWN_ID.items()}
        for number, reading in enumerate(self.people.readings, start=1):
            held = ", ".join(f"{self.people.name(row)}={spelt.get(id_ or '', id_)}" for row, id_ in reading.items())
            yield f"reading {number}: {held or 'nobody'}"
        for row in self.things.export:
            yield f"export: {row.recid} of {self.judge.contact(row)} on {row.date or 'no day'}"
        yield f"originals: {', '.join(sorted(self.things.originals))}"
        for batch, values in self.view[BATCHES].items():
            names = [self.view[IMAGES][image]["s3_key"].rpartition("/")[2] for image in self.view.images_of(batch)]
            gone = "" if values["object_id"] in self.view[PATIENTS] else " (gone)"
            yield f"batch {values['name']!r} of {self.people.name(values['object_id'])}{gone}: {', '.join(names)}"
        for cell, target in self.view.link_cells():
            if cell.table != BATCHES:
                yield f"{cell.table}.{cell.column} -> {self.people.name(target)}"
