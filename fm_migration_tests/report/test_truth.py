"""The findings on the sample clinic, with its known mess, are those that its design says: none missed, none false."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fm_migration.embedded.sample import truth as sample_truth
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.report.classes import FindingClass
from fm_migration.report.findings import make_report, one_moment
from fm_migration_tests.linking.world import reimport_sample
from fm_migration_tests.report.reporting import Findings, Reported, furnish
from fm_migration_tests.thumbnails.conftest import Photographed

SMALL = 0.02
#: States of rows by the class that reports them.
_ROW_CLASSES = {
    "no_object": FindingClass.ROW_WITHOUT_OBJECT,
    "no_patient": FindingClass.ROW_WITHOUT_PATIENT,
    "no_contact": FindingClass.ROW_UNUSABLE,
    "malformed_contact": FindingClass.ROW_UNUSABLE,
    "ambiguous_patient": FindingClass.AMBIGUOUS_PATIENT,
    "duplicate_recid": FindingClass.RECID_DOUBLED,
}


class Truth:
    """What the design of a clinic says should be found, once everything is linked that can be."""

    def __init__(self, clinic: Clinic, world: Reported) -> None:
        self.clinic = clinic
        self.world = world
        self.truth: Mapping[str, Any] = sample_truth.describe(clinic)
        self.left = self.truth["left_by_runs"]
        self.images_of: dict[uuid.UUID, list[Any]] = defaultdict(list)
        for image in clinic.images:
            self.images_of[image.batch_id].append(image)
        self.linked_keys = {row["object"] for row in self.truth["rows"] if row["state"] == "linked"}
        self.ambiguous = set(self.truth["ambiguous_filemaker_ids"])
        self.person_of = {patient.mrn: patient.filemaker_id for patient in clinic.patients}

    def findings(self) -> Findings:
        found: Findings = defaultdict(set)
        self._of_rows(found)
        self._of_objects(found)
        self._of_batches(found)
        found["image_doubled"] = {f"image {double['image']}" for double in self.left["doubled_images"]}
        found["batch_doubled"] = {f"batch {batch}" for batch in self.left["doubled_batches"]}
        found["link_without_patient"] = {*self._lost_documents(), *self._lost_relationships()}
        found["archived_patient"] = set(self._archived())
        found["thumbnail_missing"] = set(self._without_thumbnail())
        return {name: subjects for name, subjects in found.items() if subjects}

    def _of_rows(self, found: Findings) -> None:
        times = Counter(row["recid"] for row in self.truth["rows"])
        for row in self.truth["rows"]:
            subject = f"recid {row['recid']}" if times[row["recid"]] == 1 else f"row {row['row']}"
            if row["state"] in _ROW_CLASSES:
                found[_ROW_CLASSES[row["state"]].value].add(subject)
            elif row["undated"]:
                found["undated"].add(subject)

    def _of_objects(self, found: Findings) -> None:
        for one in self.truth["objects"]:
            if one["class"] == "original" and not one["has_row"]:
                found["object_without_row"].add(f"object {one['key']}")
            if "thumbnail_without_original" in one["mess"]:
                found["thumbnail_without_image"].add(f"thumbnail {one['key']}")

    def _of_batches(self, found: Findings) -> None:
        history_only = {batch["id"] for batch in self.truth["hand_batches"] if batch["found_by"] == "history_only"}
        for batch in self.clinic.batches:
            images = self.images_of[batch.id]
            if not images:
                found["batch_empty"].add(f"batch {batch.id}")
            elif str(batch.id) in history_only or self._is_in_dispute(batch):
                found["batch_without_patient"].add(f"batch {batch.id}")
        for wrong in self.left["wrong_counts"]:
            # The import has counted again where it has linked anything.
            held = self.images_of[uuid.UUID(wrong["batch"])]
            if not any(image.s3_key in self.linked_keys for image in held):
                found["count_wrong"].add(f"batch {wrong['batch']}")

    def _is_in_dispute(self, batch: Any) -> bool:
        """A batch of former days whose photographs two patients may claim: nobody can lead it home."""
        is_stale = batch.generation != self.clinic.generation and not batch.uploaded_by
        return is_stale and self.person_of[batch.owner] in self.ambiguous

    def _lost_documents(self) -> list[str]:
        """Those of former UUIDs that no photograph reports, or of people who share an id."""
        photographed = {
            batch.object_id for batch in self.clinic.batches if not batch.uploaded_by and self.images_of[batch.id]
        }
        return [
            f"link documents_document.object_id {document.id}"
            for document in self.clinic.documents
            if document.owner is not None
            and document.generation != self.clinic.generation
            and (document.object_id not in photographed or self.person_of[document.owner] in self.ambiguous)
        ]

    def _lost_relationships(self) -> list[str]:
        """The ends of former UUIDs that no photograph reports. Who shares an id or was typed in has none."""
        photographed = {
            batch.object_id for batch in self.clinic.batches if not batch.uploaded_by and self.images_of[batch.id]
        }
        reimported = self.clinic.generation > 1
        return [
            f"link contact_relationships.{column} {one.id}"
            for one in self.clinic.relationships
            for column, end in (("from_object_id", one.start), ("to_object_id", one.to))
            if end.owner and reimported and self.person_of[end.owner] and end.id not in photographed
        ]

    def _archived(self) -> list[str]:
        found_by = {batch["id"]: batch["found_by"] for batch in self.truth["hand_batches"]}
        shown = {row["patient"] for row in self.truth["rows"] if row["state"] == "linked"} | {
            self.person_of[batch.owner]
            for batch in self.clinic.batches
            if batch.uploaded_by and self.images_of[batch.id] and found_by[str(batch.id)] != "history_only"
        }
        present = {row.mrn: row.id for row in self.world.rows("select mrn, id from patients")}
        return [
            f"patient {present[patient.mrn]}"
            for patient in self.clinic.patients
            if patient.archived and patient.filemaker_id in shown and patient.filemaker_id
        ]

    def _without_thumbnail(self) -> list[str]:
        doubles = {double["image"] for double in self.left["doubled_images"]}
        images = {
            row.s3_key: row
            for row in self.world.rows("select id, s3_key, s3_thumbnail_key from images_image")
            if str(row.id) not in doubles
        }
        return [f"image {images[key].id}" for key in self.linked_keys if not images[key].s3_thumbnail_key]


def _assert_the_truth_is_found(world: Reported, clinic: Clinic) -> None:
    found = world.find(accept=["thumbnail_missing"])
    expected = Truth(clinic, world).findings()
    assert {name: len(subjects) for name, subjects in found.items()} == {
        name: len(subjects) for name, subjects in expected.items()
    }
    assert found == expected


@pytest.mark.parametrize("variant", ["fresh", "imported", "stale"])
def test_a_small_clinic(world: Reported, variant: Variant) -> None:
    clinic = design_clinic(SMALL, variant=variant)
    furnish(world, clinic)
    world.link()
    _assert_the_truth_is_found(world, clinic)


@pytest.mark.long
@pytest.mark.parametrize("variant", ["imported", "stale"])
def test_the_whole_clinic(world: Reported, variant: Variant) -> None:
    clinic = design_clinic(1.0, variant=variant)
    furnish(world, clinic)
    world.link()
    _assert_the_truth_is_found(world, clinic)


def test_a_reimport_that_is_healed_leaves_the_same_findings(world: Reported) -> None:
    """But for the patients' own ids, which are others now."""
    clinic = design_clinic(SMALL, variant="imported")
    furnish(world, clinic)
    world.link()
    before = world.find(accept=["thumbnail_missing"])
    reimport_sample(world, clinic)
    world.link()
    report = world.report(accept=["thumbnail_missing"])
    after = world.open()
    assert FindingClass.ARCHIVED_PATIENT not in report.new, "it is the same people"
    assert before.pop("archived_patient") != after.pop("archived_patient")
    # Where two patients share an id, nothing can lead what hangs on them to their new UUIDs: the truth, and found.
    ambiguous = after.pop("link_ambiguous")
    disputed = {f"batch {batch.id}" for batch in clinic.batches} & ambiguous
    lost = ambiguous - disputed
    assert disputed
    people = {patient.mrn: patient.filemaker_id for patient in clinic.patients}
    shared = set(sample_truth.describe(clinic)["ambiguous_filemaker_ids"])
    assert {people[batch.owner] for batch in clinic.batches if f"batch {batch.id}" in disputed} <= shared
    owners = {f"link documents_document.object_id {one.id}": one.owner for one in clinic.documents}
    assert {people[owners[subject] or ""] for subject in lost} <= shared
    assert after == before


def test_the_totals_add_up_on_a_whole_small_clinic(world: Reported) -> None:
    clinic = design_clinic(SMALL, variant="stale")
    furnish(world, clinic)
    world.link()
    report = world.report()
    totals = report.totals
    truth = sample_truth.describe(clinic)
    assert totals["states"] == truth["states"]
    assert totals["rows"] == sum(totals["states"].values()) == truth["totals"]["rows"]
    assert totals["objects"] == sum(totals["objects_by_kind"].values()) == truth["totals"]["objects"]
    assert totals["bytes"] == sum(totals["bytes_by_kind"].values()) == 1000 * totals["objects"]
    assert totals["images"] == totals["images_visible"] + sum(totals["images_invisible"].values())
    assert sum(totals["thumbnails"].values()) == truth["states"]["linked"]
    assert sum(totals["originals"].values()) == totals["objects_by_kind"]["original"]
    first, *between, last = totals["waterfall"]
    assert first[1] + sum(number for _, number in between) == last[1] == truth["totals"]["linked_photographs"]
    assert all(number < 0 for _, number in between)
    disputed = truth["states"]["ambiguous_patient"]
    assert totals["hidden"]["no_patient"] <= truth["states"]["no_patient"]
    assert totals["hidden"]["ambiguous_patient"] == disputed
    assert "linked" not in totals["hidden"]


def test_what_the_thumbnails_say_of_the_files(photographed: Callable[..., Photographed]) -> None:
    """With real files in a real bucket: what is damaged, what is not a picture, and whose sides are mirrored."""
    clinic = photographed("fresh")
    clinic.make()
    clinic.list_again()
    clinic.link()
    with one_moment(clinic.places.engine) as connection:
        report = make_report(connection, clinic.places.settings)
    found: Findings = defaultdict(set)
    for row in clinic.rows("select class, subject from fm_migration.open_finding"):
        found[row[0]].add(row.subject)
    files = clinic.objects()
    shown = clinic.shown()
    assert found["file_unreadable"] == {
        f"object {key}" for key, facts in files.items() if facts["why_not"] not in (None, "pdf")
    }
    assert found["mirrored_side"] == {
        f"image {shown[key].id}"
        for key, facts in files.items()
        if facts["mirrored"] and facts["side"] and facts["readable"]
    }
    for finding_class in ("thumbnail_missing", "thumbnail_stale", "content_under_two_patients", "file_not_an_image"):
        assert finding_class not in found
    assert report.withheld == {}
    assert sum(report.totals["thumbnails"].values()) == len(files)
    settings = clinic.places.settings
    looked_at = (*settings.original_prefixes, settings.thumbnail_prefix, settings.quarantine_prefix)
    sizes = {facts.key: facts.size for facts in clinic.store.list()}
    assert report.totals["bytes"] == sum(size for key, size in sizes.items() if key.startswith(looked_at))
    # The rest is as the rows say.
    states = Counter(row["state"] for row in clinic.truth["rows"])
    assert len(found["row_without_object"]) == states["no_object"]
    assert len(found["row_without_patient"]) == states["no_patient"]
