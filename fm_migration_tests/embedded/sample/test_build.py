"""A built sample is what its truth file says, and building again does no harm."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageOps

from fm_migration.embedded.sample import truth
from fm_migration.embedded.sample.build import NOTE_KEY, build
from fm_migration.embedded.sample.model import DUMP_PREFIX, EXPORT_FILE, TRUTH_FILE, Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.errors import DatabaseError, ObjectStoreError
from fm_migration_tests.embedded.sample import rules
from fm_migration_tests.embedded.sample.conftest import SEED, SIZE, Place

Built = Callable[[Variant], tuple[Place, Clinic]]
VARIANTS: list[Variant] = ["fresh", "imported", "stale"]
PEOPLE = """
    SELECT id, coalesce(filemaker_metadata ->> 'filemaker_id', (filemaker_metadata #>> '{}')::jsonb ->> 'filemaker_id')
    FROM patients
"""


def load_truth(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.folder / TRUTH_FILE).read_bytes())
    return found


def read_export(place: Place) -> list[dict[str, str]]:
    content = (place.folder / EXPORT_FILE).read_bytes()
    assert content.startswith(b"\xef\xbb\xbfdate,fileNane,id,id_Contact,Name of file,NexusExportDate,recid,Type\r\n")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_truth_follows_from_what_was_built(built: Built, variant: Variant) -> None:
    """States and galleries, concluded from the file, the listing and the table alone."""
    place, _ = built(variant)
    expected, rows = load_truth(place), read_export(place)
    concluded = rules.states(rows, rules.photograph_names(place.keys()), place.ask(PEOPLE))
    assert concluded == [(row["state"], row["patient"]) for row in expected["rows"]]
    galleries = defaultdict(list)
    for row, (state, patient) in zip(rows, concluded, strict=True):
        if state == "linked":
            galleries[patient].append(row["recid"])
    said = {person: shown["recids"] for person, shown in expected["patients"].items() if shown["recids"]}
    assert galleries == said
    assert expected["states"] == Counter(state for state, _ in concluded)


def test_every_object_is_what_the_truth_says(built: Built) -> None:
    place, clinic = built("fresh")
    expected = load_truth(place)
    keys = place.keys()
    in_dump = {key: size for key, size in keys.items() if key.startswith(DUMP_PREFIX)}
    assert in_dump == {stored["key"]: stored["bytes"] for stored in expected["objects"]}
    assert set(keys) - set(in_dump) == {NOTE_KEY, *(stored.key for stored in clinic.uploads)}
    for stored in expected["objects"]:
        content = place.get(stored["key"])
        if not stored["readable"]:
            with pytest.raises((OSError, SyntaxError)):
                Image.open(io.BytesIO(content)).load()
            continue
        if stored["mime"] == "image/heic":
            continue  # Pillow alone does not read it; test_pictures does
        image = Image.open(io.BytesIO(content))
        seen = ImageOps.exif_transpose(image)
        assert (seen.width, seen.height) == (stored["width"], stored["height"]), stored["key"]
        assert Image.MIME[image.format or ""] == stored["mime"]
        if stored["class"] == "original":
            assert image.getexif().get(0x0112) == stored["orientation"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tables_hold_what_the_truth_says(built: Built, variant: Variant) -> None:
    place, _ = built(variant)
    expected = load_truth(place)
    totals = expected["totals"]
    for table, total in [
        ("patients", "patients"),
        ("images_batch", "batches"),
        ("images_image", "images"),
        ("documents_document", "documents"),
        ("contact_relationships", "relationships"),
    ]:
        assert place.number(f"SELECT count(*) FROM {table}") == totals[total]
    left = expected["left_by_runs"]
    assert place.number("SELECT count(*) FROM images_batch WHERE uploaded_by_id IS NULL") == left["batches"]
    assert left["images"] == place.number("SELECT count(*) FROM images_image WHERE uploaded_by_id IS NULL")
    assert len(left["doubled_images"]) == place.number(
        "SELECT count(*) - count(DISTINCT s3_key) FROM images_image WHERE uploaded_by_id IS NULL"
    )
    assert len(left["wrong_counts"]) == place.number(
        """
        SELECT count(*) FROM images_batch b
        WHERE image_count <> (SELECT count(*) FROM images_image i WHERE i.batch_id = b.id)
        """
    )
    dangling = place.number(
        "SELECT count(*) FROM images_batch b WHERE NOT EXISTS (SELECT FROM patients p WHERE p.id = b.object_id)"
    )
    by_hand = sum(batch["found_by"] != "live" for batch in expected["hand_batches"])
    assert dangling == (left["batches"] + by_hand if variant == "stale" else 0)
    assert sum(document["dangling"] for document in expected["documents"]) == place.number(
        """
        SELECT count(*) FROM documents_document d
        WHERE object_id IS NOT NULL AND NOT EXISTS (SELECT FROM patients p WHERE p.id = d.object_id)
        """
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("end", ["from", "to"])
def test_relationships_lead_where_the_truth_says(built: Built, variant: Variant, end: str) -> None:
    place, _ = built(variant)
    expected = {one["id"]: one[end] for one in load_truth(place)["relationships"]}
    stored = place.ask(
        f"""
        SELECT r.id::text, t.model, coalesce(upper(p.filemaker_metadata::text), p.mrn), d.id IS NOT NULL
        FROM contact_relationships r JOIN django_content_type t ON t.id = r.{end}_content_type_id
        LEFT JOIN patients p ON p.id = r.{end}_object_id LEFT JOIN documents_document d ON d.id = r.{end}_object_id
        """
    )
    assert {row[0] for row in stored} == set(expected)
    for number, model, person, document in stored:
        said = expected[number]
        assert model == said["model"]
        assert document is (model == "document")
        assert (person is None) is (said["dangling"] or model == "document")
        assert person is None or said["patient"] in person
    dangling = sum(one["dangling"] for one in expected.values())
    assert (dangling > 0) is (variant == "stale")


def test_both_shapes_of_filemaker_metadata_are_stored(built: Built) -> None:
    place, clinic = built("fresh")
    shapes = dict(place.ask("SELECT jsonb_typeof(filemaker_metadata), count(*) FROM patients GROUP BY 1"))
    double = sum(patient.double_encoded for patient in clinic.patients)
    without = clinic.mess["hand_entered_patient"]
    assert shapes == {None: without, "string": double, "object": len(clinic.patients) - double - without}


def test_the_content_type_is_looked_up(place: Place) -> None:
    """Its number differs from database to database."""
    with place.connection.transaction():
        place.connection.execute("DELETE FROM django_content_type")
        place.connection.execute(
            "INSERT INTO django_content_type (id, app_label, model) VALUES (77, 'patients', 'patient')"
        )
    place.build(design_clinic(0.0, 2))
    assert place.ask("SELECT DISTINCT content_type_id FROM images_batch") == [(77,)]


def test_the_truth_names_nobody(built: Built) -> None:
    place, clinic = built("stale")
    text = (place.folder / TRUTH_FILE).read_text(encoding="utf-8")
    assert not [p.last_name for p in clinic.patients if p.last_name in text]
    assert not [p.first_name for p in clinic.patients if f'"{p.first_name}' in text]


def test_building_again_changes_nothing(built: Built) -> None:
    place, clinic = built("imported")
    before = place.ask("SELECT xmin::text, id FROM images_image ORDER BY id")
    modified = place.bucket.client.head_object(Bucket=place.bucket.name, Key=clinic.objects[0].key)["LastModified"]
    assert not place.build(clinic).built
    assert place.ask("SELECT xmin::text, id FROM images_image ORDER BY id") == before
    head = place.bucket.client.head_object(Bucket=place.bucket.name, Key=clinic.objects[0].key)
    assert head["LastModified"] == modified


def test_a_missing_file_is_written_again(built: Built) -> None:
    place, clinic = built("fresh")
    content = (place.folder / EXPORT_FILE).read_bytes()
    (place.folder / EXPORT_FILE).unlink()
    assert place.build(clinic).built
    assert (place.folder / EXPORT_FILE).read_bytes() == content
    assert place.number("SELECT count(*) FROM patients") == len(clinic.patients)


@pytest.mark.parametrize(
    "other",
    [
        design_clinic(SIZE, SEED + 1),
        design_clinic(SIZE * 1.5, SEED),
        design_clinic(SIZE, SEED, variant="stale"),
    ],
    ids=["seed", "size", "variant"],
)
def test_another_sample_in_the_same_place_is_refused(built: Built, other: Clinic) -> None:
    place, _ = built("fresh")
    before = place.keys()
    with pytest.raises(ObjectStoreError, match="Use another bucket"):
        place.build(other)
    assert place.keys() == before


def test_a_database_with_other_patients_is_refused_before_anything_is_written(place: Place) -> None:
    with place.connection.transaction():
        place.connection.execute(
            "INSERT INTO patients (id, first_name, last_name, archived, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'A', 'B', false, now(), now())"
        )
    with pytest.raises(DatabaseError, match="Use an empty database"):
        place.build(design_clinic(0.0, 2))
    assert place.keys() == {}


def test_a_bucket_with_a_dump_of_its_own_is_refused(place: Place) -> None:
    place.bucket.put(f"{DUMP_PREFIX}1.jpg")
    with pytest.raises(ObjectStoreError, match="no sample made"):
        place.build(design_clinic(0.0, 2))
    assert set(place.keys()) == {f"{DUMP_PREFIX}1.jpg"}


def test_a_build_that_broke_off_is_finished_by_the_next(place: Place) -> None:
    clinic = design_clinic(0.0, 2)

    class Unplugged:
        """The real client, until somebody pulls the plug."""

        puts = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(place.bucket.client, name)

        def put_object(self, **arguments: Any) -> Any:
            self.puts += 1
            if self.puts > 40:
                raise KeyboardInterrupt
            return place.bucket.client.put_object(**arguments)

    with pytest.raises(KeyboardInterrupt):
        build(clinic, place.connection, Unplugged(), place.bucket.name, place.folder, threads=1)
    assert place.number("SELECT count(*) FROM patients") == 0
    assert place.build(clinic).built
    assert place.number("SELECT count(*) FROM patients") == len(clinic.patients)
    assert len(place.keys()) == len(clinic.objects) + len(clinic.uploads) + 1


def test_progress_is_told(place: Place) -> None:
    told: list[tuple[str, int, int]] = []
    clinic = design_clinic(0.0, 2)
    build(
        clinic,
        place.connection,
        place.bucket.client,
        place.bucket.name,
        place.folder,
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    last = {what: (done, total) for what, done, total in told}
    assert list(last) == ["drawing photographs", "writing files", "loading the database"]
    assert all(done == total for done, total in last.values())


def test_the_truth_file_is_its_description(built: Built) -> None:
    place, clinic = built("stale")
    described = truth.describe(clinic, place.keys())
    assert json.loads(truth.to_json(described)) == load_truth(place)
    assert {name: described[name] for name in ("version", "seed", "size", "variant")} == truth.identity(clinic)
