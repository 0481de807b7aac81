"""The judge: what may have happened in a step of ours, and what must be seen after a healing.

Each function gives complaints in words, none when all is well. Belongs here: the rules of issue and domain, said over
persons. Does not belong here: the database, and how the code under test comes to its decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fm_migration_tests.linking.world import DUMP, Photograph
from fm_migration_tests.model.people import People
from fm_migration_tests.model.things import (
    BATCHES,
    IMAGES,
    LINKS,
    PATIENTS,
    STAFF,
    Cell,
    Difference,
    Things,
    View,
    difference,
    image_id_of,
    recid_of,
)

#: What we may change on a row that we have not made; the rest only where it is empty or as the import left it.
OURS = {(BATCHES, "object_id"), (BATCHES, "image_count"), (IMAGES, "batch_id"), *LINKS}
NEVER = {"id", "s3_key", "original_name", "uploaded_by_id", "uploaded_at", "content_type_id", "mime_type", "text"}
EMPTY = (None, "", "other", "Imported from FileMaker", 0)


@dataclass
class Judge:
    people: People
    things: Things

    def name(self, row: str) -> str:
        return self.people.name(row)

    # --- what a step may do -----------------------------------------------------------------------------------------

    def judge_step(self, before: View, after: View, by_staff: frozenset[Cell] = frozenset()) -> list[str]:
        """Everything that one of our steps (but for an undo) must not have done."""
        done = difference(before, after)
        return [
            *self._lost(done),
            *self._overwritten(before, after, done, by_staff),
            *self._misled(before, after, done),
            *self._misplaced(before, after, by_staff),
            *self._made(after, done),
            *self.doubled(before, after),
            *self.miscounted(after),
        ]

    def _lost(self, done: Difference) -> list[str]:
        return [f"lost: a row of {table} is gone ({row[:8]})" for table, row in done.gone]

    def _overwritten(self, before: View, after: View, done: Difference, by_staff: frozenset[Cell]) -> Iterable[str]:
        for cell in done.cells:
            if cell in by_staff or (cell.table, cell.column) in OURS:
                continue
            old, new = before.value(cell), after.value(cell)
            if cell.column == "filemaker_id" and cell.row in self.things.uploaded:
                key = before[cell.table][cell.row]["s3_key"]
                yield f"believed a name: a person uploaded {key}, and it is taken for a photograph of FileMaker's"
            elif cell.table == PATIENTS:
                yield f"touched: the patients' table is not ours ({cell.column} of {self.name(cell.row)})"
            elif cell in self.things.edited:
                yield f"overwritten: staff wrote {old!r} into {cell.column}, and we {new!r}"
            elif cell.column in NEVER:
                yield f"overwritten: {cell.table}.{cell.column} is not ours to change ({old!r} became {new!r})"
            elif old not in EMPTY and cell.column != "order" and self._is_foreign(cell):
                yield f"overwritten: {cell.table}.{cell.column} was {old!r}, not by us, and became {new!r}"

    def _is_foreign(self, cell: Cell) -> bool:
        writer = self.things.writer.get(cell)
        return writer is None or writer == STAFF

    def _misled(self, before: View, after: View, done: Difference) -> Iterable[str]:
        """Links that were led to a stranger, or away from somebody who is there."""
        for cell in done.cells:
            if (cell.table, cell.column) not in LINKS:
                continue
            old, new = before.value(cell), after.value(cell)
            if cell.table == BATCHES and self._moves_whole(cell.row, new, before):
                continue
            if old in before[PATIENTS]:
                words = self.words(cell, before)
                yield f"taken away: {words} of {self.name(old)}, who is there, went to {self.name(new)}"
            elif new not in self.people.person:
                yield f"misled: {self.words(cell, before)} was led to a UUID that never was"
            elif not self._may_lead(old, new, before):
                yield f"stranger: {self.words(cell, before)} of {self.name(old)} was led to {self.name(new)}"

    def words(self, cell: Cell, view: View) -> str:
        if cell.table != BATCHES:
            return f"{cell.table}.{cell.column}"
        names = [view[IMAGES][image]["s3_key"].rpartition("/")[2] for image in view.images_of(cell.row)]
        return f"the batch {view[BATCHES][cell.row]['name']!r} with {names}"

    def _may_lead(self, old: str, new: str, view: View) -> bool:
        if self.people.was_read(old) or old in self.people.settled:
            return self.people.may_follow(old, new)
        return self.recognised(old, view) == new

    def recognised(self, former: str, view: View) -> str | None:
        """Whose a UUID that no reading ever saw must be taken for, by the photographs under it."""
        if self.people.was_read(former):
            return None
        homes: set[str | None] = set()
        for image, row in view[IMAGES].items():
            if view.target(image) == former and recid_of(row) and image not in self.things.placed:
                rows = self.things.rows_of(recid_of(row) or "")
                if self.things.contradicts(row) or len(rows) > 1:
                    homes.add(None)
                homes |= {self.people.believed_home(each.contact) for each in rows}
        return homes.pop() if len(homes) == 1 else None

    def _moves_whole(self, batch: str, new: str, before: View) -> bool:
        """Whether all of a batch may go to one row because each photograph of it is that person's."""
        images = before.images_of(batch)
        if new not in self.people.person or not images or batch in self.things.given | self.things.made_by_hand:
            return False
        return all(self._may_place(image, new, before) for image in images)

    def _may_place(self, image: str, new: str, before: View) -> bool:
        """Whether an image may leave where it is for the page of the person whom its row of the export names."""
        if self.things.in_place_by_staff(image):
            return False
        row = before[IMAGES][image]
        recid = recid_of(row)
        found = self.things.rows_of(recid) if recid else []
        if len(found) != 1 or self.things.contradicts(row):
            return False
        ours = self._we_put(image, before) or image in self.things.agreed
        if before.target(image) in before[PATIENTS] and not ours:
            return False
        return self.people.may_be_home(found[0].contact, new)

    def _we_put(self, image: str, view: View) -> bool:
        batch = str(view[IMAGES][image]["batch_id"])
        cells = (Cell(IMAGES, image, "batch_id"), Cell(BATCHES, batch, "object_id"))
        return any(self.things.writer.get(cell, STAFF).who in ("plan", "run") for cell in cells)

    def _misplaced(self, before: View, after: View, by_staff: frozenset[Cell]) -> Iterable[str]:
        """Images that went into another batch: of a stranger, or out of where people had put them."""
        for image, row in after[IMAGES].items():
            old = before[IMAGES].get(image)
            if old is None or old["batch_id"] == row["batch_id"] or Cell(IMAGES, image, "batch_id") in by_staff:
                continue
            came, went = after.target(image), before.target(image)
            name = row["s3_key"].rpartition("/")[2]
            if self.things.in_place_by_staff(image):
                yield f"undid staff: {name} was where people had put it, and went to {self.name(came)}"
            elif not (self._may_place(image, came, before) or self._only_another_day(image, went, came, before)):
                yield f"stranger: {name} went from the page of {self.name(went)} to that of {self.name(came)}"

    def _only_another_day(self, image: str, went: str, came: str, before: View) -> bool:
        """A photograph may be sorted into another batch on the page where it is, when it is ours to sort."""
        same = went == came or (went not in before[PATIENTS] and self.people.may_follow(went, came))
        return (
            same and recid_of(before[IMAGES][image]) is not None and not self.things.contradicts(before[IMAGES][image])
        )

    def _made(self, after: View, done: Difference) -> Iterable[str]:
        for table, row in done.added:
            if table == IMAGES:
                yield from self._made_image(row, after)
            elif table != BATCHES:
                yield f"made up: a row of {table}"
            elif not after.images_of(row):
                yield f"made up: the empty batch {after[BATCHES][row]['name']!r}"

    def _made_image(self, image: str, after: View) -> Iterable[str]:
        values = after[IMAGES][image]
        recid, target = recid_of(values), after.target(image)
        name = values["s3_key"].rpartition("/")[2]
        rows = self.things.rows_of(recid) if recid else []
        if name not in self.things.originals:
            yield f"made up: an image of {name}, of which the bucket has no original"
        elif len(rows) != 1:
            yield f"stranger: {name} has {len(rows)} rows in the export, and was put on the page of {self.name(target)}"
        elif recid in self.things.removed:
            yield f"undid staff: {name} was deleted by staff, and is made again"
        elif target not in self.people.person or not self.people.may_be_home(rows[0].contact, target):
            yield f"stranger: {name} of contact {self.contact(rows[0])} was put on the page of {self.name(target)}"

    def contact(self, row: Photograph) -> str:
        return "/".join(sorted(self.people.persons_of(row.contact))) or row.contact

    # --- what holds at any time -------------------------------------------------------------------------------------

    def doubled(self, before: View, after: View) -> Iterable[str]:
        had = Counter(row["s3_key"] for row in before[IMAGES].values())
        for key, times in Counter(row["s3_key"] for row in after[IMAGES].values()).items():
            if times > max(1, had[key]):
                yield f"doubled: {times} images show {key}"
        had = Counter(recid_of(row) for row in before[IMAGES].values())
        for recid, times in Counter(recid_of(row) for row in after[IMAGES].values()).items():
            if recid is not None and times > max(1, had[recid]):
                yield f"doubled: {times} images show the photograph {recid}"

    def miscounted(self, view: View) -> Iterable[str]:
        held = Counter(row["batch_id"] for row in view[IMAGES].values())
        for batch, row in view[BATCHES].items():
            if row["image_count"] != held[batch]:
                yield f"miscounted: {row['name']!r} says {row['image_count']} and holds {held[batch]}"

    # --- what must be seen after a healing --------------------------------------------------------------------------

    def unhealed(self, view: View) -> list[str]:
        """What is clear enough to be seen by now, and is not."""
        return [*self._not_led_home(view), *self._not_shown(view)]

    def _not_led_home(self, view: View) -> Iterable[str]:
        for cell, target in view.link_cells():
            if target in view[PATIENTS] or cell in self.things.undone:
                continue
            heir = self.people.must_follow(target) or self._clearly_recognised(target, view)
            if heir:
                words = self.words(cell, view)
                yield f"not healed: {words} still points at {self.name(target)}, who is {self.name(heir)} now"

    def _clearly_recognised(self, former: str, view: View) -> str | None:
        """The row that a never-seen UUID is, where every photograph under it is the import's and says so."""
        heir = self.recognised(former, view)
        if heir is None or self.people.person.get(former) != self.people.person[heir]:
            return None
        images = [image for image in view[IMAGES] if view.target(image) == former]
        plain = all(self._is_plainly_imported(image, view) for image in images)
        plain = plain and all(self.things.rows_of(recid_of(view[IMAGES][image]) or "") for image in images)
        homes = {
            self.people.must_be_home(row.contact)
            for image in images
            for row in self.things.rows_of(recid_of(view[IMAGES][image]) or "")
        }
        return heir if plain and homes == {heir} else None

    def _is_plainly_imported(self, image: str, view: View) -> bool:
        """Whether an image shows an original of the dump that is there, and people have left it where it was."""
        key = str(view[IMAGES][image]["s3_key"])
        originals = self.things.originals_of(recid_of(view[IMAGES][image]) or "")
        return originals == [key.removeprefix(DUMP)] and not self.things.in_place_by_staff(image)

    def _not_shown(self, view: View) -> Iterable[str]:
        for row in self.things.export:
            home = self.must_show(row, view)
            if home is None:
                continue
            key = DUMP + self.things.originals_of(row.recid)[0]
            images = view.images_with(key)
            if not images:
                yield f"not shown: {row.recid} of {self.contact(row)} is on nobody's page"
            elif view.target(images[0]) != home and self._is_ours_to_move(images[0], view):
                target = view.target(images[0])
                yield f"not shown: {row.recid} of {self.contact(row)} is on the page of {self.name(target)}"

    def must_show(self, row: Photograph, view: View) -> str | None:
        """The row on whose page a photograph must be seen, where nothing speaks against it."""
        things, claim = self.things, image_id_of(row).lower()
        untouched = row.recid not in things.removed | things.removed_unseen | things.taken_back
        single = len(things.rows_of(row.recid)) == 1 and len(things.originals_of(row.recid)) == 1
        if not (untouched and single) or (claim and len(things.claims[claim]) > 1):
            return None
        key = DUMP + things.originals_of(row.recid)[0]
        showing = [image for image in view[IMAGES].values() if recid_of(image) == row.recid]
        claiming = [image for image in view[IMAGES].values() if claim and image["filemaker_id"] == claim]
        others = [image for image in claiming if recid_of(image) != row.recid and image["id"] not in things.uploaded]
        doubtful = any(things.contradicts(image) or image["s3_key"] != key for image in showing)
        if len(showing) > 1 or others or doubtful:
            return None
        return self.people.must_be_home(row.contact)

    def _is_ours_to_move(self, image: str, view: View) -> bool:
        cells = (Cell(IMAGES, image, "batch_id"), Cell(BATCHES, view[IMAGES][image]["batch_id"], "object_id"))
        if self.things.in_place_by_staff(image) or any(cell in self.things.undone for cell in cells):
            return False
        if any(self.things.writer.get(cell) == STAFF for cell in cells):
            return False
        return view.target(image) not in view[PATIENTS] or self._we_put(image, view)
