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

from fm_migration.embedded.sample import truth
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration_tests.clinic.linking import World, furnish, reimport_sample
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
def make(world: World, clinic_database: str) -> Iterator[Callable[[Variant, float], Sample]]:
    """Sample clinics to order; one a test."""
    opened = []

    def build(variant: Variant, size: float) -> Sample:
        clinic = design_clinic(size, variant=variant)
        furnish(world, clinic)
        gallery = open_gallery(clinic_database)
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
    badges = sample.app.badges()
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
        assert sum(badges[patient] for patient in uuids) == sum(len(batch.images) for batch in page), person
        shown_persons += bool(page)
    assert shown_persons >= len(photographs)


def _assert_nothing_of_filemaker_is_visible(sample: Sample) -> None:
    pages = sample.app.visible()
    from_filemaker = {patient.filemaker_id for patient in sample.clinic.patients if patient.filemaker_id}
    for person, uuids in sample.uuids().items():
        if person in from_filemaker:
            assert [pages[patient] for patient in uuids] == [[] for _ in uuids]


def _assert_states_are_the_truths(sample: Sample) -> None:
    planned = sample.world.rows("select row_number, state from fm_migration.photo where row_number is not null")
    states = {row.row_number: row.state for row in planned}
    assert states == {row["row"]: row["state"] for row in sample.truth["rows"]}


@pytest.mark.slow
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
