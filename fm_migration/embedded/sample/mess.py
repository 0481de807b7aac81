"""The sizes of the real clinic, and how much of each kind of mess the sample holds.

Belongs here: numbers only. Every kind is planted by `plan` and reported by `truth` under the name it
has here. At other sizes an amount scales with the clinic but never falls below one, so that even the
smallest sample shows every kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

#: Amounts at full size. The first two groups lie inside the totals below; the third comes on top.
MESS = MappingProxyType(
    {
        # people
        "id_case_differs": 40,  # the app holds the FileMaker id in lower or mixed case
        "double_encoded_metadata": 300,  # filemaker_metadata is a JSON string that contains the object
        "shared_filemaker_id": 3,  # one FileMaker id on two patients of the app
        "merged_patient": 2,  # FileMaker contact merged into another; three rows each still name the old id
        "archived_patient": 40,
        "hand_entered_patient": 12,  # typed into the app, unknown to FileMaker
        # rows of the export
        "contact_lower_case": 8,
        "malformed_contact": 6,
        "missing_contact": 4,
        "unknown_contact": 12,
        "contact_app_uuid": 25,  # newer exports: the patient's present UUID in the app
        "contact_gone_app_uuid": 6,  # the same, from before a re-import that nobody recorded
        "missing_date": 9,
        "impossible_date": 4,
        "duplicate_recid_same": 5,  # a second row that says the same
        "duplicate_recid_conflict": 4,  # two rows that contradict each other
        # originals in the dump
        "object_without_row": 8,
        "png": 12,
        "heic": 6,
        "pdf": 8,
        "tiff": 2,
        "gif": 2,
        "webp": 2,
        "bmp": 1,
        "wrong_extension": 4,  # PNG bytes under a .jpg name
        "truncated_jpeg": 5,
        "zero_byte_file": 3,
        "upper_case_extension": 15,
        "no_extension": 6,
        "uuid_named_object": 10,
        "nested_object": 5,  # <key>.jpg/<random uuid>.jpg, as a broken exporter wrote them
        "exif_orientation_2": 25,
        "exif_orientation_3": 300,
        "exif_orientation_4": 20,
        "exif_orientation_5": 20,
        "exif_orientation_6": 1900,
        "exif_orientation_7": 20,
        "exif_orientation_8": 400,
        "gps_tag": 1500,
        # beside the originals
        "thumbnail_object": 640,
        "thumbnail_without_original": 3,
        "stray_file": 2,
        # made by staff
        "hand_batch": 120,
        "hand_batch_same_name": 3,  # named exactly as the import would name its own
        "hand_batch_empty": 4,
        "document_without_patient": 5,
        "relationship_of_patients": 30,  # in two of three, one of the two was typed in by hand
        "relationship_to_a_document": 8,  # the other end is not a patient
        # left by earlier runs of the clinic's command (variants `imported` and `stale` only)
        "image_doubled": 55,
        "staff_edit": 20,
        "count_wrong": 6,
        # variant `imported` only: `stale` has eight empty generations already
        "batch_doubled": 12,
        "empty_batch": 10,
    }
)

#: Kinds that exist only where earlier runs have left something.
LEFT_BY_RUNS = frozenset({"image_doubled", "staff_edit", "count_wrong"})
LEFT_BY_IMPORT = frozenset({"batch_doubled", "empty_batch"})

#: Photographs that still name a contact which was merged away.
ROWS_PER_MERGED_PATIENT = 3

#: How many times the clinic ran its command before anybody noticed.
STALE_GENERATIONS = 9


@dataclass(frozen=True, slots=True)
class MessTotals:
    """How many there are of everything, mess included."""

    patients: int
    contacts: int  # patients with photographs: distinct FileMaker ids of the app that the export dates
    sessions: int  # (patient, date) groups
    originals: int  # objects of the dump that are photographs or should be
    rows: int
    documents: int


def totals(size: float) -> MessTotals:
    """The totals of a clinic of this size; floors keep room for one of each kind of mess."""
    contacts = max(round(1303 * size), 20)
    originals = max(round(6490 * size), 100)
    return MessTotals(
        patients=max(round(2842 * size), contacts + 16),
        contacts=contacts,
        sessions=max(round(1661 * size), contacts + 5),
        originals=originals,
        rows=max(round(6662 * size), originals + 3),
        documents=max(round(10190 * size), 20),
    )


def amounts(size: float) -> dict[str, int]:
    """How much of each kind a clinic of this size holds."""
    return {name: max(1, round(full * size)) for name, full in MESS.items()}
