"""What is in the app's tables before we come: by staff, by the document import, by the clinic's own image command.

Pure. The clinic's command is imitated with its habits, because adopting its rows is our work: everything is
`image/jpeg`, half of the categories are `other`, undated rows are dropped, doubtful ids are not doubted, and a batch
is made anew for each new patient UUID while the images stay where they were.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fm_migration.embedded.sample.mess import STALE_GENERATIONS
from fm_migration.embedded.sample.model import (
    Batch,
    Document,
    End,
    ExportedRow,
    Image,
    Patient,
    Picture,
    Relationship,
    StoredObject,
    Variant,
    patient_uuid,
    sample_uuid,
)
from fm_migration.embedded.sample.people import reimported_at, stream
from fm_migration.embedded.sample.words import STAFF

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: What the clinic's command writes into the description of every batch, the empty ones of its later runs included.
IMPORT_DESCRIPTION = "Imported from FileMaker"
_HAND_NAMES = ("Fitting", "Review", "Follow-up photographs", "Shoe check", "Wound progress")
_HAND_CATEGORIES = ("dorsal", "plantar", "wound", "shoe", "casts", "other")
#: The clinic's mapping takes the first key that the Type contains; it knows neither dorsal nor posterior.
_CLINIC_MAPPING = (
    ("l-brannock", "l_brannock"), ("r-brannock", "r_brannock"), ("planter", "plantar"), ("plantar", "plantar"),
    ("anterior", "anterior"), ("medial", "medial"), ("right lat", "lateral"), ("left lat", "left_lat"),
    ("lateral", "lateral"), ("wound", "wound"), ("r-shoe", "r_shoe"), ("l-shoe", "l_shoe"), ("shoe", "shoe"),
    ("afo", "afo"), ("cmo", "cmo"), ("podbox", "podbox"), ("cast", "casts"), ("x-ray", "xray"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Rows of the app, and the objects of what staff uploaded."""

    batches: tuple[Batch, ...]
    images: tuple[Image, ...]
    uploads: tuple[StoredObject, ...]
    documents: tuple[Document, ...]
    relationships: tuple[Relationship, ...]


@dataclass(slots=True)
class _Album:
    """A batch with its images while it is being designed."""

    batch: Batch
    images: list[Image]


def import_batch_name(day: dt.date) -> str:
    """What the clinic's command calls a batch of this day: `05 Aug 2021 ...`. English months whatever the locale."""
    return f"{day.day:02} {_MONTHS[day.month - 1]} {day.year} (FileMaker Import)"


def design(
    seed: int,
    variant: Variant,
    document_count: int,
    counts: dict[str, int],
    patients: tuple[Patient, ...],
    rows: tuple[ExportedRow, ...],
    objects: tuple[StoredObject, ...],
) -> Leftovers:
    """Everything that the app holds in this variant."""
    owners: dict[str, Patient] = {}
    for patient in patients:
        if patient.filemaker_id:
            owners.setdefault(patient.filemaker_id, patient)
    sessions = _sessions_of_the_command(rows)
    albums = list(_hand_albums(seed, variant, counts, patients, owners, list(sessions)))
    uploads = tuple(_upload(album, image, n) for album in albums for n, image in enumerate(album.images))
    if variant != "fresh":
        albums += _run_albums(seed, variant, counts, owners, sessions, objects)
    documents = tuple(_documents(seed, counts, document_count, [p for p in patients if p.filemaker_id]))
    return Leftovers(
        batches=tuple(album.batch for album in albums),
        images=tuple(image for album in albums for image in album.images),
        uploads=uploads,
        documents=documents,
        relationships=tuple(_relationships(seed, counts, patients, documents)),
    )


# --- the clinic's command -------------------------------------------------------------------------

_Session = tuple[str, dt.date]


def _sessions_of_the_command(rows: tuple[ExportedRow, ...]) -> dict[_Session, list[ExportedRow]]:
    """What the command could import: dated, with an object, of somebody the app knows (or thinks it knows).

    It worked from the export before this one, which held none of the rows that are in dispute now.
    """
    sessions: dict[_Session, list[ExportedRow]] = {}
    for row in rows:
        if row.taken and row.state in ("linked", "ambiguous_patient"):
            sessions.setdefault((row.patient or row.contact.upper(), row.taken), []).append(row)
    return sessions


def _run_albums(
    seed: int,
    variant: Variant,
    counts: dict[str, int],
    owners: dict[str, Patient],
    sessions: dict[_Session, list[ExportedRow]],
    objects: tuple[StoredObject, ...],
) -> list[_Album]:
    rng = stream(seed, "runs")
    names = {o.recid or o.image_id: o.key for o in objects if o.role == "original" and o.has_row}
    thumbnails = {o.recid: o.key for o in objects if o.role == "thumbnail"}
    first = []
    for (contact, day), rows in sessions.items():
        batch = _run_batch(seed, owners[contact], 1, day, len(rows))
        found = [(row, names.get(row.recid) or names[row.image_id]) for row in rows]
        images = [
            _run_image(seed, batch, row, key, thumbnails.get(row.recid, ""), n)
            for n, (row, key) in enumerate(found, start=1)
        ]
        first.append(_Album(batch, images))
    extra = _double_and_empty(seed, rng, variant, counts, first)
    _edit_as_staff(rng, counts["staff_edit"], first)
    _miscount(rng, counts["count_wrong"], first)
    later = range(2, STALE_GENERATIONS + 1 if variant == "stale" else 2)
    again = [
        _Album(_run_batch(seed, owners[contact], generation, day, 0), [])
        for generation in later
        for contact, day in sessions
    ]
    return first + extra + again


def _run_batch(seed: int, owner: Patient, generation: int, day: dt.date, count: int) -> Batch:
    return Batch(
        id=sample_uuid(seed, "batch", generation, owner.mrn, day),
        owner=owner.mrn,
        generation=generation,
        object_id=patient_uuid(seed, owner.mrn, generation),
        name=import_batch_name(day),
        description=IMPORT_DESCRIPTION,
        uploaded_by=None,
        uploaded_at=_run_at(generation),
        image_count=count,
        taken=day,
        mess=(),
    )


def _run_image(seed: int, batch: Batch, row: ExportedRow, key: str, thumbnail_key: str, order: int) -> Image:
    return Image(
        id=sample_uuid(seed, "image", row.image_id),
        batch_id=batch.id,
        s3_key=key,
        thumbnail_key=thumbnail_key,
        original_name=key.rpartition("/")[2],
        mime_type="image/jpeg",
        category=_category_of_the_command(row.type),
        caption=row.type,
        date_taken=row.taken,
        uploaded_by=None,
        uploaded_at=batch.uploaded_at,
        filemaker_id=row.image_id,
        order=order,
        width=None,
        height=None,
        edited=(),
        doubles=None,
    )


def _category_of_the_command(text: str) -> str:
    return next((category for key, category in _CLINIC_MAPPING if key in text.lower()), "other")


def _run_at(generation: int) -> dt.datetime:
    return reimported_at(generation) + dt.timedelta(days=1, hours=3)


def _double_and_empty(
    seed: int, rng: random.Random, variant: Variant, counts: dict[str, int], albums: list[_Album]
) -> list[_Album]:
    """Images entered twice by runs that broke off; after one import also batches entered twice, and empty ones."""
    extra: list[_Album] = []
    doubled = rng.sample([(album, image) for album in albums for image in album.images], counts["image_doubled"])
    second_batches = counts["batch_doubled"] if variant == "imported" else 0
    for number, (album, image) in enumerate(doubled):
        target = album
        if number < second_batches:
            copy = replace(album.batch, id=sample_uuid(seed, "doubled", number), mess=("batch_doubled",))
            target = _Album(replace(copy, image_count=0), [])
            extra.append(target)
        twin = replace(
            image,
            id=sample_uuid(seed, "twin", number),
            batch_id=target.batch.id,
            filemaker_id=None,
            order=len(target.images) + 1,
            doubles=image.id,
        )
        target.images.append(twin)
        target.batch = replace(target.batch, image_count=len(target.images))
    if variant == "imported":
        for number, album in enumerate(rng.sample(albums, counts["empty_batch"])):
            empty = replace(album.batch, id=sample_uuid(seed, "empty", number), image_count=0)
            extra.append(_Album(replace(empty, mess=("empty_batch",)), []))
    return extra


def _edit_as_staff(rng: random.Random, amount: int, albums: list[_Album]) -> None:
    for number, album in enumerate(rng.sample(albums, amount)):
        kind = ("category", "caption", "name", "order")[number % 4]
        if kind == "name":
            album.batch = replace(album.batch, name="Before surgery, compare with June", mess=("staff_edit",))
            continue
        values = {"category": "wound", "caption": "Seen with the patient, swelling less", "order": 90 + number}
        edited = replace(album.images[0], edited=(kind,))
        album.images[0] = _with_value(edited, kind, values[kind])


def _with_value(image: Image, column: str, value: object) -> Image:
    if column == "category":
        return replace(image, category=str(value))
    if column == "caption":
        return replace(image, caption=str(value))
    return replace(image, order=int(str(value)))


def _miscount(rng: random.Random, amount: int, albums: list[_Album]) -> None:
    for album in rng.sample([a for a in albums if not a.batch.mess], amount):
        album.batch = replace(album.batch, image_count=album.batch.image_count + 3, mess=("count_wrong",))


# --- staff ----------------------------------------------------------------------------------------


def _hand_albums(
    seed: int,
    variant: Variant,
    counts: dict[str, int],
    patients: tuple[Patient, ...],
    owners: dict[str, Patient],
    sessions: list[_Session],
) -> Iterator[_Album]:
    """Batches that clinicians uploaded; in the stale clinic at three times: before, amid and after the trouble."""
    rng = stream(seed, "staff")
    times = Counter(p.filemaker_id for p in patients)
    # Not of people who share an id: after a re-import nobody could say whose these batches are.
    from_filemaker = [p for p in patients if p.filemaker_id and times[p.filemaker_id] == 1]
    typed_in = [p for p in patients if not p.filemaker_id]
    same_name, empty = counts["hand_batch_same_name"], counts["hand_batch_empty"]
    for number in range(counts["hand_batch"] + same_name + empty):
        owner = rng.choice(typed_in if number == 0 else from_filemaker)
        name = f"{rng.choice(_HAND_NAMES)} {number + 1}"
        mess: tuple[str, ...] = ("hand_batch",)
        if 0 <= number - counts["hand_batch"] < same_name:
            contact, day = rng.choice([s for s in sessions if times[s[0]] == 1])
            owner, name, mess = owners[contact], import_batch_name(day), ("hand_batch_same_name",)
        elif number >= counts["hand_batch"] + same_name:
            mess = ("hand_batch_empty",)
        generation = (1, STALE_GENERATIONS, STALE_GENERATIONS + 1)[number % 3] if variant == "stale" else 1
        generation = generation if owner.filemaker_id else 1
        count = 0 if "hand_batch_empty" in mess else rng.randrange(1, 6)
        yield _hand_album(seed, rng, number, owner, generation, name, count, mess)


def _hand_album(
    seed: int,
    rng: random.Random,
    number: int,
    owner: Patient,
    generation: int,
    name: str,
    count: int,
    mess: tuple[str, ...],
) -> _Album:
    person = rng.choice(STAFF)
    at = reimported_at(generation) + dt.timedelta(days=2, minutes=rng.randrange(480))
    batch = Batch(
        id=sample_uuid(seed, "hand", number),
        owner=owner.mrn,
        generation=generation,
        object_id=patient_uuid(seed, owner.mrn, generation),
        name=name,
        description="",
        uploaded_by=person,
        uploaded_at=at,
        image_count=count,
        taken=None,
        mess=mess,
    )
    images = []
    for order in range(count):
        image_id = sample_uuid(seed, "hand", number, order)
        images.append(
            Image(
                id=image_id,
                batch_id=batch.id,
                # The app's own layout: the key keeps the UUID that the patient had on that day.
                s3_key=f"images/{batch.object_id}/{image_id}.jpg",
                thumbnail_key="",
                original_name=f"photo-{order + 1}.jpg",
                mime_type="image/jpeg",
                category=rng.choice(_HAND_CATEGORIES),
                caption="",
                date_taken=at.date(),
                uploaded_by=person,
                uploaded_at=at,
                filemaker_id=None,
                order=order,
                width=480,
                height=640,
                edited=(),
                doubles=None,
            )
        )
    return _Album(batch, images)


def _upload(album: _Album, image: Image, number: int) -> StoredObject:
    picture = Picture(
        view=image.category if image.category in ("dorsal", "plantar", "wound", "shoe") else "dorsal",
        side="LR"[number % 2],
        label=str(image.id)[:8],
        width=480,
        height=640,
        variation=image.id.int % 1000,
        orientation=1,
        taken=image.date_taken,
    )
    return StoredObject(image.s3_key, "other", picture, None, None, False, album.batch.mess)


# --- documents ------------------------------------------------------------------------------------


def _documents(seed: int, counts: dict[str, int], amount: int, patients: list[Patient]) -> Iterator[Document]:
    """Linked once, by the first import, and never again: after a re-import every one of them dangles."""
    rng = stream(seed, "documents")
    for number in range(amount):
        owner = None if number < counts["document_without_patient"] else rng.choice(patients)
        document = sample_uuid(seed, "document", number)
        target = patient_uuid(seed, owner.mrn, 1) if owner else None
        yield Document(
            id=document,
            owner=owner.mrn if owner else None,
            generation=1,
            object_id=target,
            s3_key=f"documents/{target or 'unassigned'}/{document}.pdf",
            filemaker_id=sample_uuid(seed, "document in FileMaker", number) if number % 20 else None,
            file_name=f"letter-{number + 1}.pdf",
            file_size=rng.randrange(20_000, 900_000),
            uploaded_at=reimported_at(1) + dt.timedelta(hours=rng.randrange(48)),
        )


# --- relationships --------------------------------------------------------------------------------

_KINDS_OF_RELATIONSHIP = ("mother of", "carer of", "sibling of")


def _relationships(
    seed: int, counts: dict[str, int], patients: tuple[Patient, ...], documents: tuple[Document, ...]
) -> Iterator[Relationship]:
    """Who belongs to whom, and letters about people. Like documents they are linked once, and dangle ever after.

    Of some the other one was typed in by hand and keeps the UUID: so a re-import breaks the one end of a row, or the
    other, or both.
    """
    rng = stream(seed, "relationships")
    times = Counter(p.filemaker_id for p in patients)
    from_filemaker = [p for p in patients if p.filemaker_id and times[p.filemaker_id] == 1]
    typed_in = [p for p in patients if not p.filemaker_id]
    between = counts["relationship_of_patients"]
    for number in range(between + counts["relationship_to_a_document"]):
        start = _end_of(seed, rng.choice(from_filemaker))
        to = _end_of(seed, rng.choice(typed_in if number % 3 else from_filemaker))
        kind, mess = rng.choice(_KINDS_OF_RELATIONSHIP), "relationship_of_patients"
        if number >= between:
            to = End("document", rng.choice(documents).id, None)
            kind, mess = "mentioned in", "relationship_to_a_document"
        if number % 2:
            start, to = to, start
        at = reimported_at(1) + dt.timedelta(hours=number)
        yield Relationship(sample_uuid(seed, "relationship", number), start, to, kind, at, (mess,))


def _end_of(seed: int, patient: Patient) -> End:
    return End("patient", patient_uuid(seed, patient.mrn, 1), patient.mrn)
