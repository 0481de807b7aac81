"""The states that a photograph can be in, what each means, and what a person can do about it.

Every row of the export is in exactly one of them, and so is every original in the bucket.
"""

from __future__ import annotations

from enum import StrEnum


class PhotographState(StrEnum):
    """In the order in which a person should settle them: a row is in the first that applies."""

    DUPLICATE_RECID = "duplicate_recid"
    MALFORMED_ROW = "malformed_row"
    NO_CONTACT = "no_contact"
    MALFORMED_CONTACT = "malformed_contact"
    NO_OBJECT = "no_object"
    UNSUPPORTED_FILE = "unsupported_file"
    NO_PATIENT = "no_patient"
    AMBIGUOUS_PATIENT = "ambiguous_patient"
    CONTRADICTING_EVIDENCE = "contradicting_evidence"
    REMOVED_BY_STAFF = "removed_by_staff"
    PLACED_BY_STAFF = "placed_by_staff"
    BEYOND_LIMIT = "beyond_limit"
    LINKED = "linked"
    NO_METADATA = "no_metadata"
    SECOND_ORIGINAL = "second_original"

    @property
    def meaning(self) -> str:
        return _TEXTS[self][0]

    @property
    def remedy(self) -> str:
        return _TEXTS[self][1]


_TEXTS: dict[PhotographState, tuple[str, str]] = {
    PhotographState.DUPLICATE_RECID: (
        "its recid stands in the export more than once, so it cannot be told whose photograph it is",
        "Correct the recid in FileMaker and export again",
    ),
    PhotographState.MALFORMED_ROW: (
        "its row cannot be read without guessing which value belongs to which column",
        "Look at the row's raw text in fm_migration.csv_metadata, and export again",
    ),
    PhotographState.NO_CONTACT: ("its row names no patient", "Fill id_Contact in FileMaker and export again"),
    PhotographState.MALFORMED_CONTACT: (
        "what its row names as patient is not a UUID",
        "Correct id_Contact in FileMaker and export again",
    ),
    PhotographState.NO_OBJECT: (
        "the bucket holds no original under its recid or image id",
        "Dump the photograph from FileMaker again, then materialize s3_inventory",
    ),
    PhotographState.UNSUPPORTED_FILE: (
        "its file is of a kind that no browser shows and nobody would call a photograph",
        "Look at the object; convert it, or accept that it stays out",
    ),
    PhotographState.NO_PATIENT: (
        "the app has no patient of that id now",
        "If no re-import is under way, create the patient in the app with this FileMaker id, or correct the row",
    ),
    PhotographState.AMBIGUOUS_PATIENT: (
        "several patients of the app share that FileMaker id, or it has passed from one to another",
        "Correct the id of the wrong one in the app (fm_migration.tenure shows who held it), or fm-migration settle",
    ),
    PhotographState.CONTRADICTING_EVIDENCE: (
        "its original and FileMaker's image id name two different photographs, so nothing is moved",
        "Correct the image ids in FileMaker and export again; the finding names both",
    ),
    PhotographState.REMOVED_BY_STAFF: (
        "somebody has deleted its image in the app, and it is not created again",
        "Nothing, if that was on purpose; else fm-migration restore",
    ),
    PhotographState.PLACED_BY_STAFF: (
        "it hangs on another patient's record than its row says, and we did not put it there",
        "Nothing, if somebody moved it on purpose; else move it back in the app",
    ),
    PhotographState.BEYOND_LIMIT: (
        "the plan was limited to fewer photographs",
        "Plan again with a higher limit, or with none",
    ),
    PhotographState.LINKED: ("it hangs on its patient's record, or does once the plan is applied", "Nothing"),
    PhotographState.NO_METADATA: (
        "no row of the export names it, so nobody knows whose it is",
        "Export all records from FileMaker again; if it is still unknown, ask the clinic",
    ),
    PhotographState.SECOND_ORIGINAL: (
        "another original of the same photograph is the one that is shown",
        "Compare the two files; remove the wrong one from the bucket, or accept that it is not shown",
    ),
}
