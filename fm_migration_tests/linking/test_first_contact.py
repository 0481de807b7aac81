"""What the clinic's own app shows, patient by patient, beside what the sample's truth says that it should.

The galleries are opened through the Django project, so that nothing of ours judges our own work. No picture is drawn:
whether an object exists is the listing's to say.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Row

from fm_migration.embedded.sample import truth
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration_tests.linking.world import World, furnish, reimport_sample
from fm_migration_tests.peers.gallery import Gallery, ShownBatch, open_gallery

SMALL = 0.02
#: DOMAIN.md section 1: nine runs of the clinic's command, of 1,661 batches each.
STALE_BATCHES = 14_949


@dataclass
class Sample:
    """A designed clinic in a database, its truth, and the app on top of it."""

    world: World
    clinic: Clinic
    truth: Mapping[str, Any]
    app: Gallery

    def reimport(self) -> None:
        reimport_sample(self.world, self.clinic)

    def uuids(self) -> dict[str, list[uuid.UUID]]:
        """The present UUIDs of a person as the truth names people: by FileMaker id, or by mrn."""
        name = {patient.mrn: patient.filemaker_id or patient.mrn for patient in self.clinic.patients}
        found: dict[str, list[uuid.UUID]] = {}
        for row in self.world.rows("select id, mrn from patients order by mrn"):
            found.setdefault(name[row.mrn], []).append(row.id)
        return found


@pytest.fixture
def make(world: World) -> Iterator[Callable[[Variant, float], Sample]]:
    """Sample clinics to order; one a test."""
    opened = []

    def build(variant: Variant, size: float) -> Sample:
        clinic = design_clinic(size, variant=variant)
        furnish(world, clinic)
        gallery = open_gallery(world.url)
        opened.append(gallery)
        return Sample(world, clinic, truth.describe(clinic), gallery.__enter__())

    yield build
    for gallery in opened:
        gallery.__exit__(None, None, None)


def _expected_photographs(sample: Sample) -> dict[str, Counter[str]]:
    """The objects that each person's gallery should show, by the truth's rows."""
    expected: dict[str, Counter[str]] = {}
    for row in sample.truth["rows"]:
        if row["state"] == "linked":
            expected.setdefault(row["patient"], Counter())[row["object"]] += 1
    return expected


def _expected_hand_batches(sample: Sample, *ways: str) -> dict[str, dict[uuid.UUID, list[str]]]:
    """The hand-made batches that each person's gallery should show, of those that can be `found_by` these ways."""
    expected: dict[str, dict[uuid.UUID, list[str]]] = {}
    for batch in sample.truth["hand_batches"]:
        if batch["found_by"] in ways:
            person = batch["patient"] or batch["mrn"]
            expected.setdefault(person, {})[uuid.UUID(batch["id"])] = batch["keys"]
    return expected


def _assert_galleries_show_the_truth(sample: Sample, *ways: str) -> None:
    """Every page of every patient: its photographs, its hand-made batches, and the number on its button."""
    pages = sample.app.visible()
    photographs, by_hand = _expected_photographs(sample), _expected_hand_batches(sample, *ways)
    everybodys_by_hand = {uuid.UUID(batch["id"]) for batch in sample.truth["hand_batches"]}
    doubles = {uuid.UUID(double["image"]) for double in sample.truth["left_by_runs"]["doubled_images"]}
    disputed = {row["object"] for row in sample.truth["rows"] if row["state"] == "ambiguous_patient"}
    shown_persons = 0
    for person, uuids in sample.uuids().items():
        page: list[ShownBatch] = [batch for patient in uuids for batch in pages[patient]]
        imported = [batch for batch in page if batch.id not in everybodys_by_hand]
        images = [image for batch in imported for image in batch.images if image.id not in doubles]
        # Photographs in dispute stay where an earlier run of the clinic's command has put them, or show nowhere.
        shown = Counter(image.url for image in images if image.url not in disputed)
        assert shown == photographs.get(person, Counter()), f"the photographs of {person}"
        hand = {batch.id: [image.url for image in batch.images] for batch in page if batch.id in everybodys_by_hand}
        assert hand == by_hand.get(person, {}), f"the hand-made batches of {person}"
        assert [batch.image_count for batch in page] == [len(batch.images) for batch in page], f"the badge of {person}"
        shown_persons += bool(page)
    assert shown_persons >= len(photographs)


def _assert_nothing_of_filemaker_is_visible(sample: Sample) -> None:
    """The clinic's complaint: "0 images" for everybody. The few whom FileMaker does not know were not re-imported."""
    badges = sample.app.badges()
    from_filemaker = {patient.filemaker_id for patient in sample.clinic.patients if patient.filemaker_id}
    uuids = sample.uuids()
    assert {badges[patient] for person in from_filemaker for patient in uuids[person]} == {0}


def _assert_states_are_the_truths(sample: Sample) -> None:
    planned = sample.world.rows("select row_number, state from fm_migration.photo_status where row_number is not null")
    states = {row.row_number: row.state for row in planned}
    assert states == {row["row"]: row["state"] for row in sample.truth["rows"]}


@dataclass(frozen=True)
class _Before:
    """What the app held before we came."""

    images: dict[uuid.UUID, Row[Any]]
    batches: dict[uuid.UUID, Row[Any]]


def _look(world: World) -> _Before:
    return _Before(
        {row.id: row for row in world.rows("select * from images_image")},
        {row.id: row for row in world.rows("select * from images_batch")},
    )


def _assert_nothing_is_lost(sample: Sample, before: _Before) -> None:
    """Every row is still there under its id, with what was in it; only links, counts and what was empty may differ."""
    now = _look(sample.world)
    assert before.images.keys() <= now.images.keys()
    assert before.batches.keys() <= now.batches.keys()
    for image_id, was in before.images.items():
        image = now.images[image_id]._asdict()
        filled = {"category", "caption", "date_taken", "filemaker_id"}
        kept = {name: value for name, value in was._asdict().items() if name != "batch_id"}
        same = {name: image[name] for name, value in kept.items() if name not in filled or value not in ("", None)}
        assert same == {name: kept[name] for name in same}
    for batch_id, was_batch in before.batches.items():
        batch = now.batches[batch_id]
        assert (batch.name, batch.uploaded_at, batch.uploaded_by_id) == (
            was_batch.name,
            was_batch.uploaded_at,
            was_batch.uploaded_by_id,
        )


def _assert_edits_of_staff_stay(sample: Sample) -> None:
    now = _look(sample.world)
    left = sample.truth["left_by_runs"]
    assert left["edited_images"]
    for edit in left["edited_images"]:
        assert getattr(now.images[uuid.UUID(edit["image"])], edit["column"]) == edit["value"]
    for edit in left["edited_batches"]:
        assert now.batches[uuid.UUID(edit["batch"])].name == edit["value"]


def _assert_leftovers_are_left(sample: Sample, before: _Before) -> None:
    """Images entered twice hang where they hung; batches without images point where they pointed."""
    now = _look(sample.world)
    doubles = {uuid.UUID(double["image"]) for double in sample.truth["left_by_runs"]["doubled_images"]}
    assert doubles
    for double in doubles:
        assert now.images[double].batch_id == before.images[double].batch_id
    full = {image.batch_id for image in before.images.values()}
    by_hand = {batch.id for batch in before.batches.values() if batch.uploaded_by_id is not None}
    empty = before.batches.keys() - full - by_hand
    assert empty
    assert {batch: now.batches[batch].object_id for batch in empty} == {
        batch: before.batches[batch].object_id for batch in empty
    }


@pytest.mark.long
def test_the_whole_clinic_is_imported_lost_and_healed(make: Callable[[Variant, float], Sample]) -> None:
    sample = make("fresh", 1.0)
    sample.world.link()
    _assert_states_are_the_truths(sample)
    _assert_galleries_show_the_truth(sample, "live")
    sample.reimport()
    _assert_nothing_of_filemaker_is_visible(sample)
    sample.world.link()
    _assert_galleries_show_the_truth(sample, "live")
    assert sample.world.plan().changes == 0


@pytest.mark.long
def test_the_whole_clinic_is_met_after_nine_failed_repairs(
    make: Callable[[Variant, float], Sample],
) -> None:
    sample = make("stale", 1.0)
    before = _look(sample.world)
    assert sum(batch.uploaded_by_id is None for batch in before.batches.values()) == STALE_BATCHES
    plan = sample.world.link()
    assert plan.counts["batches_relinked"] > 1_600
    _assert_states_are_the_truths(sample)
    _assert_galleries_show_the_truth(sample, "live", "photographs")
    _assert_nothing_is_lost(sample, before)
    _assert_edits_of_staff_stay(sample)
    _assert_leftovers_are_left(sample, before)
    assert sample.world.plan().changes == 0


@pytest.mark.parametrize("variant", ["fresh", "imported", "stale"])
def test_a_small_clinic_is_adopted_lost_and_healed(variant: Variant, make: Callable[[Variant, float], Sample]) -> None:
    sample = make(variant, SMALL)
    ways = ("live", "photographs") if variant == "stale" else ("live",)
    before = _look(sample.world)
    sample.world.link()
    _assert_states_are_the_truths(sample)
    _assert_galleries_show_the_truth(sample, *ways)
    _assert_nothing_is_lost(sample, before)
    if variant != "fresh":
        _assert_edits_of_staff_stay(sample)
        _assert_leftovers_are_left(sample, before)
    sample.reimport()
    _assert_nothing_of_filemaker_is_visible(sample)
    sample.world.link()
    _assert_galleries_show_the_truth(sample, *ways)
    _assert_nothing_is_lost(sample, before)
    assert sample.world.plan().changes == 0


def test_documents_follow_their_patients_home_from_the_clinics_first_import(
    make: Callable[[Variant, float], Sample],
) -> None:
    """They dangle since the first re-import; the photographs say whose the UUID was that they point at."""
    sample = make("stale", SMALL)
    sample.world.link()
    uuids = sample.uuids()
    person_of = {patient.mrn: patient.filemaker_id or patient.mrn for patient in sample.clinic.patients}
    photographed = {batch.object_id for batch in sample.clinic.batches if not batch.uploaded_by}
    owners = {
        document.id: (document.owner, sample.app.document_owner(document.id))
        for document in sample.clinic.documents
        if document.object_id in photographed
    }
    assert any(owner for _, owner in owners.values())
    for mrn, owner in owners.values():
        of_the_person = uuids[person_of[str(mrn)]]
        # Where two patients share the id, nobody can say whose document it is.
        assert owner == (of_the_person[0] if len(of_the_person) == 1 else None)
