"""What a designed clinic consists of. Frozen records only; who makes them is `plan`, who uses them the rest.

Identity: a patient's `mrn` never changes, its `id` does at every re-import ("generation"), and
`filemaker_id` is the canonical upper-case form even where the app stores another.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import datetime as dt

Variant = Literal["fresh", "imported", "stale"]
State = Literal[
    "linked",
    "no_object",
    "no_patient",
    "ambiguous_patient",
    "malformed_contact",
    "no_contact",
    "duplicate_recid",
]
Role = Literal["original", "thumbnail", "other"]
Damage = Literal["", "truncated", "cut_in_header", "zero_byte"]

#: Where the clinic's FileMaker script dumped the photographs.
DUMP_PREFIX = "filemaker-import/images-bulk-dump/"
#: Name of the clinic's CSV, under the folder of a built sample.
EXPORT_FILE = "export/Image_dataV10.csv"
TRUTH_FILE = "truth.json"

_NAMESPACE = uuid.UUID("5d1c0a52-93b5-5f5e-8a53-6b0f4a1d7c11")


def sample_uuid(*parts: object) -> uuid.UUID:
    """The UUID that these parts always have."""
    return uuid.uuid5(_NAMESPACE, "/".join(str(part) for part in parts))


def patient_uuid(seed: int, mrn: str, generation: int) -> uuid.UUID:
    """The UUID that a patient has after so many (re-)imports; the first import is generation 1."""
    return sample_uuid(seed, "patient", mrn, generation)


@dataclass(frozen=True, slots=True)
class Patient:
    """A row of `patients`."""

    mrn: str
    id: uuid.UUID
    filemaker_id: str | None
    stored_filemaker_id: str | None
    double_encoded: bool
    merged_filemaker_ids: tuple[str, ...]
    first_name: str
    last_name: str
    dob: dt.date
    archived: bool
    created_at: dt.datetime

    @property
    def metadata_json(self) -> str | None:
        """The text of `filemaker_metadata`: an object, or the same written as a JSON string."""
        if self.stored_filemaker_id is None:
            return None
        content: dict[str, object] = {"filemaker_id": self.stored_filemaker_id, "source": "Patients.xlsx"}
        if self.merged_filemaker_ids:
            content["merged_filemaker_ids"] = list(self.merged_filemaker_ids)
        text = json.dumps(content)
        return json.dumps(text) if self.double_encoded else text


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A row of the export as it is written, and what should become of it."""

    number: int  # 1 is the first row below the header
    recid: str
    image_id: str
    contact: str
    date: str
    type: str
    file_name: str
    name_of_file: str
    exported: str
    state: State
    patient: str | None  # FileMaker id, where the contact names exactly one patient of the app
    taken: dt.date | None
    mess: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All that it takes to draw a photograph. `width` and `height` are those of the upright picture."""

    view: str
    side: str
    label: str
    width: int
    height: int
    variation: int
    format: str = "JPEG"
    orientation: int = 0  # 0: no tag
    damage: Damage = ""
    taken: dt.date | None = None
    gps: bool = False
    thumbnail: bool = False  # as the clinic's command makes them: 300 pixels, orientation ignored


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the bucket."""

    key: str
    role: Role
    picture: Picture | None  # None: a file that is not a picture at all
    recid: str | None
    image_id: str | None
    has_row: bool
    mess: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of `images_batch` that is there before we come."""

    id: uuid.UUID
    owner: str  # mrn
    generation: int  # of the patient UUID that it points at
    object_id: uuid.UUID
    name: str
    description: str
    uploaded_by: str | None
    uploaded_at: dt.datetime
    image_count: int
    taken: dt.date | None
    mess: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A row of `images_image` that is there before we come. Its file size is that of the object."""

    id: uuid.UUID
    batch_id: uuid.UUID
    s3_key: str
    thumbnail_key: str
    original_name: str
    mime_type: str
    category: str
    caption: str
    date_taken: dt.date | None
    uploaded_by: str | None
    uploaded_at: dt.datetime
    filemaker_id: str | None
    order: int
    width: int | None
    height: int | None
    edited: tuple[str, ...]  # columns that staff have changed since the import
    doubles: uuid.UUID | None  # the image that this one repeats


@dataclass(frozen=True, slots=True)
class Document:
    """A row of `documents_document`. Its file is not in the bucket."""

    id: uuid.UUID
    owner: str | None  # mrn
    generation: int
    object_id: uuid.UUID | None
    s3_key: str
    filemaker_id: uuid.UUID | None
    file_name: str
    file_size: int
    uploaded_at: dt.datetime


@dataclass(frozen=True, slots=True)
class End:
    """One of the two links of a relationship: to a patient of some generation, or to something that is none."""

    model: Literal["patient", "document"]
    id: uuid.UUID
    owner: str | None  # mrn of the patient


@dataclass(frozen=True, slots=True)
class Relationship:
    """A row of `contact_relationships`: linked once, at the first import, like a document."""

    id: uuid.UUID
    start: End
    to: End
    relationship: str
    created_at: dt.datetime
    mess: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clinic:
    """The whole sample."""

    seed: int
    size: float
    variant: Variant
    generation: int  # of the patients' present UUIDs
    mess: dict[str, int]
    patients: tuple[Patient, ...]
    rows: tuple[ExportedRow, ...]
    objects: tuple[StoredObject, ...]
    uploads: tuple[StoredObject, ...]  # objects of hand-uploaded images, outside the dump
    batches: tuple[Batch, ...]
    images: tuple[Image, ...]
    documents: tuple[Document, ...]
    relationships: tuple[Relationship, ...]
