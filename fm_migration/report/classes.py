"""The classes of findings: how bad each is, what it means, and what a person can do about it."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """`error`: somebody does not see a photograph; `warning`: a person should look; `info`: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class FindingClass(StrEnum):
    """In the order in which the report shows them."""

    ROW_WITHOUT_OBJECT = "row_without_object"
    ROW_WITHOUT_PATIENT = "row_without_patient"
    ROW_UNUSABLE = "row_unusable"
    RECID_DOUBLED = "recid_doubled"
    AMBIGUOUS_PATIENT = "ambiguous_patient"
    OWNER_UNSETTLED = "owner_unsettled"
    CONTRADICTING_EVIDENCE = "contradicting_evidence"
    NOT_APPLIED = "not_applied"
    OBJECT_WITHOUT_ROW = "object_without_row"
    SECOND_ORIGINAL = "second_original"
    BATCH_WITHOUT_PATIENT = "batch_without_patient"
    GIVEN_BATCH_LOST = "given_batch_lost"
    LINK_WITHOUT_PATIENT = "link_without_patient"
    LINK_AMBIGUOUS = "link_ambiguous"
    FOLLOWED_THEN_SHARED = "followed_then_shared"
    IMAGE_WITHOUT_BATCH = "image_without_batch"
    IMAGE_WITHOUT_OBJECT = "image_without_object"
    FILE_UNREADABLE = "file_unreadable"
    FILE_NOT_AN_IMAGE = "file_not_an_image"
    FILE_MISPLACED = "file_misplaced"
    CONTENT_UNDER_TWO_PATIENTS = "content_under_two_patients"
    IMAGE_DOUBLED = "image_doubled"
    BATCH_DOUBLED = "batch_doubled"
    BATCH_EMPTY = "batch_empty"
    COUNT_WRONG = "count_wrong"
    THUMBNAIL_MISSING = "thumbnail_missing"
    THUMBNAIL_STALE = "thumbnail_stale"
    THUMBNAIL_WITHOUT_IMAGE = "thumbnail_without_image"
    MIRRORED_SIDE = "mirrored_side"
    PLACED_BY_STAFF = "placed_by_staff"
    REMOVED_BY_STAFF = "removed_by_staff"
    ARCHIVED_PATIENT = "archived_patient"
    UNDATED = "undated"
    TOO_NEW = "too_new"

    @property
    def severity(self) -> Severity:
        return _TEXTS[self][0]

    @property
    def meaning(self) -> str:
        return _TEXTS[self][1]

    @property
    def remedy(self) -> str:
        return _TEXTS[self][2]


_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

_TEXTS: dict[FindingClass, tuple[Severity, str, str]] = {
    FindingClass.ROW_WITHOUT_OBJECT: (
        _ERROR,
        "the bucket holds no original for this row of the export",
        "Dump the photograph from FileMaker again, then materialize s3_inventory",
    ),
    FindingClass.ROW_WITHOUT_PATIENT: (
        _ERROR,
        "the app has no patient of the id that this row names",
        "Create the patient in the app with this FileMaker id, or correct the row in FileMaker",
    ),
    FindingClass.ROW_UNUSABLE: (
        _ERROR,
        "the row names no patient, names one by something that is not a UUID, or cannot be read without guessing",
        "Correct the row in FileMaker and export again",
    ),
    FindingClass.RECID_DOUBLED: (
        _WARNING,
        "the recid stands in the export more than once",
        "Correct the recid in FileMaker and export again; if both rows say the same, nothing is lost",
    ),
    FindingClass.AMBIGUOUS_PATIENT: (
        _ERROR,
        "several patients of the app share the FileMaker id that this row names, or it has passed from one to another",
        "Correct the FileMaker id of the wrong one in the app; fm_migration.tenure shows who held it",
    ),
    FindingClass.OWNER_UNSETTLED: (
        _ERROR,
        "the photograph hangs on another batch than its row says, and whose that one is nobody can tell for certain",
        "Find out whose it is; `fm-migration settle` says who a former patient is now, or move it in the app",
    ),
    FindingClass.CONTRADICTING_EVIDENCE: (
        _ERROR,
        "two pieces of evidence name two photographs for one image, so nothing of either is moved",
        "Compare the image with both rows, correct the image ids in FileMaker, and export again",
    ),
    FindingClass.NOT_APPLIED: (
        _ERROR,
        "the photograph could be linked, and is not yet",
        "Materialize image_batches, or start the job import_photographs",
    ),
    FindingClass.OBJECT_WITHOUT_ROW: (
        _WARNING,
        "no row of the export names this original, so nobody knows whose it is",
        "Export all records from FileMaker again; if it is still unknown, ask the clinic. Never delete it",
    ),
    FindingClass.SECOND_ORIGINAL: (
        _WARNING,
        "the photograph has another original, and that one is shown",
        "Compare the two files; remove the wrong one from the bucket, or accept that it is not shown",
    ),
    FindingClass.BATCH_WITHOUT_PATIENT: (
        _ERROR,
        "the batch belongs to a patient that does not exist, so its photographs show nowhere",
        "Start the job heal_links; if it stays, its former patient was never seen by us: ask the clinic",
    ),
    FindingClass.GIVEN_BATCH_LOST: (
        _ERROR,
        "staff have given this batch to a patient without a known FileMaker id, who is gone; it is not taken back",
        "Ask whose it is; then `fm-migration settle` with that patient's UUID, or give the batch back in the app",
    ),
    FindingClass.LINK_WITHOUT_PATIENT: (
        _WARNING,
        "the row of another table points at a patient that does not exist",
        "Start the job heal_links; if it stays, its former patient was never seen by us: ask the clinic",
    ),
    FindingClass.LINK_AMBIGUOUS: (
        _ERROR,
        "it points at a former patient, and who that is now nobody can tell for certain",
        "Ask the clinic which of those who could be it is; then `fm-migration settle <former UUID> <patient>`",
    ),
    FindingClass.FOLLOWED_THEN_SHARED: (
        _WARNING,
        "it was led to this patient while nobody else had the FileMaker id, and now somebody else has it too",
        "See whose it is; if it is the other one's, correct the id in the app, and move it there",
    ),
    FindingClass.IMAGE_WITHOUT_BATCH: (
        _ERROR,
        "the image hangs on a batch that does not exist, or on one that is not a patient's",
        "Look at the image in the app's admin; link_plan moves it when a row of the export knows it",
    ),
    FindingClass.IMAGE_WITHOUT_OBJECT: (
        _ERROR,
        "the app shows an image whose object is not in the bucket",
        "Dump the photograph again or restore the object; `fm-migration explain` tells its recid",
    ),
    FindingClass.FILE_UNREADABLE: (
        _ERROR,
        "the original is empty, or so damaged that nothing or only a part of it can be shown",
        "Dump the photograph from FileMaker again",
    ),
    FindingClass.FILE_NOT_AN_IMAGE: (
        _INFO,
        "the original is a document or another file that has no picture to show",
        "Nothing, if it belongs there: what the app can open is linked, and the rest stays out",
    ),
    FindingClass.FILE_MISPLACED: (
        _WARNING,
        "an object with the content of a missing one lies under another key",
        "`fm-migration repair plan file_misplaced` points the image at where its file is now",
    ),
    FindingClass.CONTENT_UNDER_TWO_PATIENTS: (
        _WARNING,
        "the same file is on the records of two patients",
        "Ask the clinic whose it is; nothing can tell from here",
    ),
    FindingClass.IMAGE_DOUBLED: (
        _WARNING,
        "an earlier run entered this photograph a second time",
        "`fm-migration repair plan image_doubled` removes the double and keeps what staff have written",
    ),
    FindingClass.BATCH_DOUBLED: (
        _WARNING,
        "a patient has two imported batches of one day",
        "`fm-migration repair plan batch_doubled` merges them",
    ),
    FindingClass.BATCH_EMPTY: (
        _INFO,
        "a batch holds no image",
        "`fm-migration repair plan batch_empty` removes those that runs have left; what staff made stays",
    ),
    FindingClass.COUNT_WRONG: (
        _WARNING,
        "the batch says another number of images than it holds, so the badge is wrong",
        "`fm-migration repair plan count_wrong` counts again",
    ),
    FindingClass.THUMBNAIL_MISSING: (
        _WARNING,
        "the image has no thumbnail, or its thumbnail's object is gone",
        "Materialize thumbnails for its month",
    ),
    FindingClass.THUMBNAIL_STALE: (
        _INFO,
        "the thumbnail was made of an earlier version of the original",
        "Materialize thumbnails for its month",
    ),
    FindingClass.THUMBNAIL_WITHOUT_IMAGE: (
        _INFO,
        "no image shows this thumbnail",
        "`fm-migration repair plan thumbnail_without_image` moves it to the quarantine",
    ),
    FindingClass.MIRRORED_SIDE: (
        _WARNING,
        "the Type names a side and the file's orientation is mirrored: software that ignores it swaps left and right",
        "Compare with the patient's other photographs; the thumbnail is right",
    ),
    FindingClass.PLACED_BY_STAFF: (
        _INFO,
        "the photograph hangs on another patient's record than its row says, and we did not put it there",
        "Nothing, if somebody moved it on purpose; else move it back in the app",
    ),
    FindingClass.REMOVED_BY_STAFF: (
        _INFO,
        "somebody has deleted its image in the app, and it is not created again; the original stays in the bucket",
        "Nothing, if that was on purpose; else `fm-migration restore`",
    ),
    FindingClass.ARCHIVED_PATIENT: (
        _INFO,
        "the patient is archived, so the app may not list the photographs",
        "Nothing, or take the patient out of the archive",
    ),
    FindingClass.UNDATED: (
        _INFO,
        "the row has no date, or an impossible one; the photograph is in the batch of undated ones",
        "Fill the date in FileMaker and export again",
    ),
    FindingClass.TOO_NEW: (
        _INFO,
        "it is younger than one of the snapshots that it would have to be in, so it cannot be judged yet",
        "Nothing; the next report will tell",
    ),
}
