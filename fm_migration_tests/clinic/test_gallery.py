"""The clinic's app shows what DOMAIN.md says that it shows, so that later tests may judge by what it shows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from fm_migration.clinic import contract, tables
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.peers.gallery import Gallery, RefusedError, ShownBatch, Store, open_gallery

NOON = datetime(2016, 10, 18, 12, tzinfo=UTC)
FILEMAKER_ID = "6F1A2B3C-0D4E-4F50-8A61-7B82C93DA4E5"


def _write_batch(
    engine: Engine,
    patient_id: UUID,
    *,
    uploaded_at: datetime = NOON,
    image_count: int = 0,
    content_type_id: int | None = None,
) -> UUID:
    """A batch as a direct writer makes it: no default helps, so every column is there."""
    batch_id = uuid.uuid4()
    with engine.begin() as connection:
        connection.execute(
            insert(tables.images_batch).values(
                id=batch_id,
                content_type_id=content_type_id or contract.patient_content_type_id(connection),
                object_id=patient_id,
                name="18 Oct 2016 (FileMaker Import)",
                description="",
                uploaded_at=uploaded_at,
                image_count=image_count,
            )
        )
    return batch_id


def _write_image(
    engine: Engine,
    batch_id: UUID,
    key: str,
    *,
    thumbnail_key: str = "",
    order: int = 0,
    uploaded_at: datetime = NOON,
) -> UUID:
    image_id = uuid.uuid4()
    with engine.begin() as connection:
        connection.execute(
            insert(tables.images_image).values(
                id=image_id,
                batch_id=batch_id,
                s3_key=key,
                s3_thumbnail_key=thumbnail_key,
                original_name=key,
                file_size=1,
                mime_type="image/jpeg",
                category="dorsal",
                caption="Dorsal",
                uploaded_at=uploaded_at,
                order=order,
            )
        )
    return image_id


def _only(batches: list[ShownBatch]) -> ShownBatch:
    (batch,) = batches
    return batch


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(tables.metadata.tables[table])) or 0


@pytest.fixture
def patient(app: Gallery) -> UUID:
    return app.create_patient("Test", "Person", FILEMAKER_ID)


def test_a_patients_page_shows_the_patients_own_batches_by_date(
    app: Gallery, patient: UUID, django_engine: Engine
) -> None:
    other = app.create_patient("Other", "Person")
    late = _write_batch(django_engine, patient, uploaded_at=NOON + timedelta(days=1))
    early = _write_batch(django_engine, patient)
    others = _write_batch(django_engine, other)
    pages = app.visible([patient, other])
    assert [batch.id for batch in pages[patient]] == [early, late]
    assert [batch.id for batch in pages[other]] == [others]
    assert pages[patient][0].uploaded_at == NOON


def test_a_batch_shows_its_images_in_order_and_the_first_is_its_cover(
    app: Gallery, patient: UUID, django_engine: Engine
) -> None:
    batch = _write_batch(django_engine, patient)
    third = _write_image(django_engine, batch, "3.jpg", order=2)
    second = _write_image(django_engine, batch, "2.jpg", order=1, uploaded_at=NOON + timedelta(hours=1))
    first = _write_image(django_engine, batch, "1.jpg", order=1)
    shown = _only(app.visible([patient])[patient])
    assert [image.id for image in shown.images] == [first, second, third]
    assert shown.cover == shown.images[0]


def test_an_empty_batch_is_shown_without_a_cover(app: Gallery, patient: UUID, django_engine: Engine) -> None:
    _write_batch(django_engine, patient)
    shown = _only(app.visible([patient])[patient])
    assert (shown.cover, shown.images) == (None, ())


def test_after_a_reimport_nothing_is_shown_and_nothing_is_gone(
    app: Gallery, patient: UUID, django_engine: Engine
) -> None:
    app.upload_batch(patient, "By hand", ["hand/1.jpg", "hand/2.jpg"])
    document = app.attach_document(patient, "documents/letter.pdf")
    assert len(_only(app.visible([patient])[patient]).images) == 2
    assert app.document_owner(document) == patient

    app.delete_patient(patient)
    again = app.create_patient("Test", "Person", FILEMAKER_ID)

    assert app.visible([patient, again]) == {patient: [], again: []}
    assert app.visible() == {again: []}
    assert app.badges() == {again: 0}
    assert app.document_owner(document) is None
    assert (_count(django_engine, "images_batch"), _count(django_engine, "images_image")) == (1, 2)

    with django_engine.begin() as connection:
        connection.execute(update(tables.images_batch).values(object_id=again))
    assert [image.url for image in _only(app.visible()[again]).images] == ["hand/1.jpg", "hand/2.jpg"]


def test_a_batch_of_another_content_type_is_not_the_patients(
    app: Gallery, patient: UUID, django_engine: Engine
) -> None:
    content_type = tables.django_content_type
    with django_engine.connect() as connection:
        of_images = connection.scalar(
            select(content_type.c.id).where(content_type.c.app_label == "images", content_type.c.model == "image")
        )
    _write_batch(django_engine, patient, image_count=3, content_type_id=of_images)
    assert app.visible([patient]) == {patient: []}
    assert app.badges([patient]) == {patient: 0}


def test_an_empty_thumbnail_key_is_no_thumbnail(app: Gallery, patient: UUID, django_engine: Engine) -> None:
    batch = _write_batch(django_engine, patient)
    _write_image(django_engine, batch, "1.jpg", thumbnail_key="", order=1)
    _write_image(django_engine, batch, "2.jpg", thumbnail_key="thumbs/2.jpg", order=2)
    images = _only(app.visible([patient])[patient]).images
    assert [(image.url, image.thumbnail_url) for image in images] == [("1.jpg", None), ("2.jpg", "thumbs/2.jpg")]


def test_the_badge_believes_the_cached_counts(app: Gallery, patient: UUID, django_engine: Engine) -> None:
    _write_batch(django_engine, patient, image_count=5)
    batch = _write_batch(django_engine, patient, image_count=2)
    _write_image(django_engine, batch, "1.jpg")
    assert app.badges([patient]) == {patient: 7}
    assert sum(len(shown.images) for shown in app.visible([patient])[patient]) == 1


def test_the_addresses_answer_as_the_front_end_expects(app: Gallery, patient: UUID, django_engine: Engine) -> None:
    batch = _write_batch(django_engine, patient, image_count=1)
    image = _write_image(django_engine, batch, "1.jpg")
    shown_image = {
        "id": str(image),
        "url": "1.jpg",
        "thumbnail_url": None,
        "category": "dorsal",
        "caption": "Dorsal",
        "order": 0,
    }
    shown_batch = {
        "id": str(batch),
        "name": "18 Oct 2016 (FileMaker Import)",
        "uploaded_at": "2016-10-18T12:00:00+00:00",
        "image_count": 1,
    }
    address = "/api/images/batches/"
    assert app.get(address, patient_id=str(patient)) == (
        200,
        {"badge": 1, "batches": [{**shown_batch, "cover": shown_image}]},
    )
    assert app.get(f"{address}{batch}/") == (200, {**shown_batch, "images": [shown_image]})
    assert app.get(f"{address}{uuid.uuid4()}/")[0] == 404
    assert app.get(address)[0] == 400
    assert app.get(address, patient_id="0077")[0] == 400


def test_urls_are_presigned_from_the_keys_as_they_are(
    django_database: str, django_engine: Engine, bucket: Bucket
) -> None:
    bucket.put("dump/0077 Ümlaut+plus.JPG", b"original")
    bucket.put("thumbs/77.jpg", b"thumbnail")
    endpoint: str = bucket.client.meta.endpoint_url
    store = Store(endpoint, bucket.name, bucket.access_key, bucket.secret_key)
    with open_gallery(django_database, store) as app:
        patient = app.create_patient("Test", "Person")
        batch = _write_batch(django_engine, patient)
        _write_image(django_engine, batch, "dump/0077 Ümlaut+plus.JPG", thumbnail_key="thumbs/77.jpg", order=1)
        _write_image(django_engine, batch, "dump/0078.jpg", order=2)
        present, missing = _only(app.visible([patient])[patient]).images
    assert present.thumbnail_url is not None
    assert "X-Amz-Signature=" in present.url
    assert urlopen(present.url).read() == b"original"
    assert urlopen(present.thumbnail_url).read() == b"thumbnail"
    with pytest.raises(HTTPError) as caught:
        urlopen(missing.url)
    assert caught.value.code == 404


def test_an_appointment_protects_a_patient_and_a_note_does_not(
    app: Gallery, patient: UUID, django_engine: Engine
) -> None:
    app.write_note(patient)
    other = app.create_patient("Other", "Person")
    app.book_appointment(other)
    assert app.delete_patient(patient) == {"notes.Note": 1, "patients.Patient": 1}
    with pytest.raises(RefusedError) as caught:
        app.delete_patient(other)
    assert caught.value.kind == "ProtectedError"
    assert set(app.visible()) == {other}
    assert (_count(django_engine, "notes_note"), _count(django_engine, "appointments_appointment")) == (0, 1)


def test_deleting_a_batch_takes_its_images_with_it(app: Gallery, patient: UUID, django_engine: Engine) -> None:
    kept = app.upload_batch(patient, "Kept", ["1.jpg"])
    gone = app.upload_batch(patient, "Gone", ["2.jpg", "3.jpg"])
    assert app.delete_batch(gone) == {"images.Image": 2, "images.ImageBatch": 1}
    assert _only(app.visible([patient])[patient]).id == kept
    assert _count(django_engine, "images_image") == 1


def test_staff_edit_what_they_see(app: Gallery, patient: UUID) -> None:
    batch = app.upload_batch(patient, "By hand", ["1.jpg", "2.jpg"])
    first, second = _only(app.visible([patient])[patient]).images
    app.edit_image(first.id, category="wound", caption="Left heel")
    app.edit_image(first.id, order=9, caption="")
    app.rename_batch(batch, "Before the operation")
    shown = _only(app.visible([patient])[patient])
    assert shown.name == "Before the operation"
    assert [image.id for image in shown.images] == [second.id, first.id]
    edited = shown.images[1]
    assert (edited.category, edited.caption, edited.order) == ("wound", "", 9)


def test_many_patients_are_asked_for_at_once(app: Gallery, django_engine: Engine) -> None:
    with django_engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO patients (id, first_name, last_name, archived, created_at, updated_at)
                SELECT gen_random_uuid(), 'Test', 'Person ' || number, false, now(), now()
                FROM generate_series(1, :patients) AS number
            """),
            {"patients": 300},
        )
        connection.execute(
            text("""
                INSERT INTO images_batch (id, content_type_id, object_id, name, description, uploaded_at, image_count)
                SELECT gen_random_uuid(), :content_type, id, 'Batch', '', now(), 2 FROM patients
            """),
            {"content_type": contract.patient_content_type_id(connection)},
        )
        connection.execute(
            text("""
                INSERT INTO images_image (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type,
                                          category, caption, uploaded_at, "order")
                SELECT gen_random_uuid(), id, 'key', '', 'name', 1, 'image/jpeg', '', '', now(), number
                FROM images_batch, generate_series(1, 2) AS number
            """)
        )
        ids = connection.scalars(select(tables.patients.c.id)).all()
    pages = app.visible(ids)
    assert set(pages) == set(ids)
    assert {len(_only(page).images) for page in pages.values()} == {2}
    assert app.badges() == dict.fromkeys(ids, 2)


def test_the_app_works_on_the_tables_of_our_own_definitions(clinic_database: str, engine: Engine) -> None:
    """The embedded sample clinic is made without Django, and Django must not be able to tell."""
    with open_gallery(clinic_database) as app:
        patient = app.create_patient("Test", "Person", FILEMAKER_ID)
        app.write_note(patient)
        app.upload_batch(patient, "By hand", ["1.jpg"])
        document = app.attach_document(patient, "documents/letter.pdf")
        assert app.badges() == {patient: 1}
        assert app.document_owner(document) == patient
        app.delete_patient(patient)
    assert _count(engine, "notes_note") == 0
    assert _count(engine, "images_image") == 1


def test_a_refusal_does_not_end_the_app(app: Gallery) -> None:
    with pytest.raises(RefusedError, match="DoesNotExist"):
        app.delete_patient(uuid.uuid4())
    assert app.visible() == {}
