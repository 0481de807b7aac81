"""What is right about a sample clinic: the file that tests compare with.

Everything is said as the design planted it, not as some rule would decide it. People are named by FileMaker id, or
by `mrn` where they have none; never by name. Bump VERSION when a key means something else, or
when an older sample lacks what this one has.

    rows        one entry for each row of the export: its one state, whose it is, which object belongs to it
    objects     one entry for each object under the dump's prefix, and what a reader should find in it
    patients    what each patient's gallery should show, by FileMaker id
    hand_batches, left_by_runs, documents, relationships    what the app holds already
    batches_by_generation                    how many batches point at the patients of each (re-)import
"""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from fm_migration.embedded.sample import pictures
from fm_migration.embedded.sample.model import Batch, Clinic, End, ExportedRow, Image, Relationship, StoredObject

VERSION = 2
_NOT_A_PICTURE = "not_a_picture"
_MIRRORED = frozenset({2, 4, 5, 7})


def identity(clinic: Clinic) -> dict[str, Any]:
    """What tells one sample from another."""
    return {"version": VERSION, "seed": clinic.seed, "size": clinic.size, "variant": clinic.variant}


def describe(clinic: Clinic, sizes: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The truth about a clinic, ready for JSON. `sizes` are the bytes of each object, once they are known."""
    keys = _keys_by_photograph(clinic.objects)
    rows = [_describe_row(row, keys) for row in clinic.rows]
    filemaker_id = {patient.mrn: patient.filemaker_id for patient in clinic.patients}
    hand = [batch for batch in clinic.batches if batch.uploaded_by]
    # A UUID of the first generation still has batches with photographs, which say whose it was. Later ones are
    # known only to whoever kept a history.
    photographed = {b.object_id for b in clinic.batches if not b.uploaded_by and b.generation == 1}
    images_of: dict[object, list[Image]] = defaultdict(list)
    for image in clinic.images:
        images_of[image.batch_id].append(image)
    return {
        **identity(clinic),
        "totals": _totals(clinic),
        "mess": clinic.mess,
        "states": dict(Counter(row.state for row in clinic.rows)),
        "rows": rows,
        "objects": [_describe_object(stored, (sizes or {}).get(stored.key)) for stored in clinic.objects],
        "patients": _galleries(clinic, hand, filemaker_id),
        "ambiguous_filemaker_ids": _repeated(filemaker_id.values()),
        "hand_batches": [_describe_hand_batch(clinic, b, images_of[b.id], filemaker_id, photographed) for b in hand],
        "left_by_runs": _left_by_runs(clinic, images_of),
        "batches_by_generation": dict(Counter(str(batch.generation) for batch in clinic.batches)),
        "documents": [
            {
                "id": str(document.id),
                "patient": filemaker_id[document.owner] if document.owner else None,
                "dangling": document.owner is not None and document.generation != clinic.generation,
            }
            for document in clinic.documents
        ],
        "relationships": [_describe_relationship(clinic, one, filemaker_id) for one in clinic.relationships],
    }


def to_json(truth: dict[str, Any]) -> bytes:
    """The bytes of the truth file: one line for each row, object and patient, so that two versions can be compared."""
    parts = []
    for key, value in truth.items():
        if isinstance(value, list) and value:
            inside = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value)
            parts.append(f"{json.dumps(key)}: [\n{inside}\n]")
        elif key == "patients":
            inside = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{inside}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


# --- rows and objects -----------------------------------------------------------------------------


def _keys_by_photograph(objects: Iterable[StoredObject]) -> dict[str, str]:
    """Keys of originals by recid, and by upper-case image id for those that are named so."""
    return {(o.recid or str(o.image_id)): o.key for o in objects if o.role == "original"}


def _describe_row(row: ExportedRow, keys: dict[str, str]) -> dict[str, Any]:
    return {
        "row": row.number,
        "recid": row.recid,
        "image_id": row.image_id,
        "state": row.state,
        "patient": row.patient,
        "date": row.taken.isoformat() if row.taken else None,
        "undated": None if row.taken else ("impossible" if row.date else "missing"),
        "type": row.type,
        "object": keys.get(row.recid) or keys.get(row.image_id),
        "mess": list(row.mess),
    }


def _describe_object(stored: StoredObject, size: int | None) -> dict[str, Any]:
    picture = stored.picture
    described: dict[str, Any] = {
        "key": stored.key,
        "class": stored.role,
        "recid": stored.recid,
        "image_id": stored.image_id,
        "has_row": stored.has_row,
        "bytes": size,
        "mess": list(stored.mess),
        "readable": False,
        "why_not": _NOT_A_PICTURE,
    }
    if picture is None:
        return described
    why_not = picture.damage or ("pdf" if picture.format == "PDF" and not picture.thumbnail else None)
    described.update(
        readable=why_not is None,
        why_not=why_not,
        mime=pictures.mime_type(picture),
        # The upright size, also of what is truncated: a reader that rescues it should find the same.
        width=picture.width if why_not in (None, "truncated") else None,
        height=picture.height if why_not in (None, "truncated") else None,
        orientation=picture.orientation or None,
        mirrored=picture.orientation in _MIRRORED,
        side=picture.side or None,
        gps=picture.gps,
    )
    if stored.role == "thumbnail":
        described["width"], described["height"] = pictures.thumbnail_size(picture)
        described["faithful"] = picture.orientation in (0, 1)
    return described


# --- patients -------------------------------------------------------------------------------------


def _galleries(clinic: Clinic, hand: list[Batch], filemaker_id: dict[str, str | None]) -> dict[str, Any]:
    """What each patient with anything to show should see, once everything that can be linked is."""
    galleries: dict[str, dict[str, Any]] = {}

    def gallery(person: str) -> dict[str, Any]:
        return galleries.setdefault(person, {"recids": [], "image_ids": [], "dates": [], "hand_batches": []})

    for row in clinic.rows:
        if row.state == "linked" and row.patient:
            shown = gallery(row.patient)
            shown["recids"].append(row.recid)
            shown["image_ids"].append(row.image_id)
            day = row.taken.isoformat() if row.taken else None
            if day not in shown["dates"]:
                shown["dates"].append(day)
    for batch in hand:
        gallery(filemaker_id[batch.owner] or batch.owner)["hand_batches"].append(str(batch.id))
    for patient in clinic.patients:
        person = patient.filemaker_id or patient.mrn
        if person in galleries:
            galleries[person]["archived"] = patient.archived
    return galleries


def _repeated(ids: Iterable[str | None]) -> list[str]:
    return sorted(name for name, times in Counter(ids).items() if name and times > 1)


def _describe_hand_batch(
    clinic: Clinic,
    batch: Batch,
    images: list[Image],
    filemaker_id: dict[str, str | None],
    photographed: set[uuid.UUID],
) -> dict[str, Any]:
    live = batch.generation == clinic.generation or filemaker_id[batch.owner] is None
    found_by = "live" if live else "photographs" if batch.object_id in photographed else "history_only"
    return {
        "id": str(batch.id),
        "patient": filemaker_id[batch.owner],
        "mrn": batch.owner,
        "images": [str(image.id) for image in images],
        "keys": [image.s3_key for image in images],
        "generation": batch.generation,
        "found_by": found_by,
        "mess": list(batch.mess),
    }


def _describe_relationship(
    clinic: Clinic, relationship: Relationship, filemaker_id: dict[str, str | None]
) -> dict[str, Any]:
    """A patient's end dangles after a re-import, as long as a re-import knows them at all."""

    def described(end: End) -> dict[str, Any]:
        person = filemaker_id[end.owner] if end.owner else None
        dangling = person is not None and clinic.generation != 1
        return {"model": end.model, "patient": person or end.owner, "dangling": dangling}

    return {
        "id": str(relationship.id),
        "from": described(relationship.start),
        "to": described(relationship.to),
        "mess": list(relationship.mess),
    }


def _left_by_runs(clinic: Clinic, images_of: dict[object, list[Image]]) -> dict[str, Any]:
    imported = [batch for batch in clinic.batches if not batch.uploaded_by]
    images = [image for image in clinic.images if not image.uploaded_by]
    return {
        "batches": len(imported),
        "images": len(images),
        "empty_batches": sum(not images_of[batch.id] for batch in imported),
        "doubled_batches": [str(b.id) for b in imported if "batch_doubled" in b.mess],
        "doubled_images": [{"image": str(i.id), "of": str(i.doubles), "key": i.s3_key} for i in images if i.doubles],
        "wrong_counts": [
            {"batch": str(b.id), "says": b.image_count, "has": len(images_of[b.id])}
            for b in imported
            if b.image_count != len(images_of[b.id])
        ],
        "edited_images": [
            {"image": str(i.id), "column": column, "value": getattr(i, column)} for i in images for column in i.edited
        ],
        "edited_batches": [
            {"batch": str(b.id), "column": "name", "value": b.name} for b in imported if "staff_edit" in b.mess
        ],
    }


def _totals(clinic: Clinic) -> dict[str, int]:
    dated = {
        (row.patient or row.contact.upper(), row.taken)
        for row in clinic.rows
        if row.taken and row.state in ("linked", "ambiguous_patient")
    }
    linked = {(row.patient, row.taken) for row in clinic.rows if row.state == "linked"}
    roles = Counter(stored.role for stored in clinic.objects)
    return {
        "patients": len(clinic.patients),
        "patients_with_photographs": len({contact for contact, _ in dated}),
        "patients_with_linked_photographs": len({patient for patient, _ in linked}),
        "sessions": len(dated),
        "linked_batches": len(linked),
        "linked_photographs": sum(row.state == "linked" for row in clinic.rows),
        "rows": len(clinic.rows),
        "originals": roles["original"],
        "thumbnails": roles["thumbnail"],
        "other_objects": roles["other"],
        "objects": len(clinic.objects),
        "uploads": len(clinic.uploads),
        "batches": len(clinic.batches),
        "hand_batches": sum(batch.uploaded_by is not None for batch in clinic.batches),
        "images": len(clinic.images),
        "documents": len(clinic.documents),
        "relationships": len(clinic.relationships),
    }
