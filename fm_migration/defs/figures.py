"""The numbers that assets report with each run: what each is called and what it counts.

The UI plots them by name over the runs, and whoever watches them from outside asks for them by name, so a name stays as
it is. Whatever an asset reports and is not listed here, or the other way round, fails a test; `docs/catalogue.md` shows
the list (`python scripts/catalogue.py` writes it).
"""

from __future__ import annotations

from collections.abc import Mapping

from fm_migration.filemaker.desktop.states import State as DesktopState
from fm_migration.filemaker.problems import Problem
from fm_migration.linking.states import PhotographState
from fm_migration.report.classes import FindingClass
from fm_migration.thumbnails.thumbnailing import ThumbnailState

#: Not in every run: a run that changes nothing makes no plan.
NOW_AND_THEN = frozenset({("patient_links", "plan"), ("thumbnails", "plan")})

_PLAN = "number of the plan, to undo it by"

FIGURES: Mapping[str, Mapping[str, str]] = {
    "filemaker_export": {"bytes": "bytes of the file"},
    "bulk_dump": {"objects": "objects under the dump's prefixes", "bytes": "their bytes together"},
    "patients": {
        "patients": "rows of the clinic's table",
        "with_filemaker_id": "patients who came from FileMaker",
    },
    "desktop_export": {
        "files": "files of the export",
        "bytes": "their bytes together",
        "uploaded": "photographs that were brought into the dump; in a dry run, that would be",
        "uploaded_bytes": "their bytes together",
        "present": "photographs that the dump had already",
        "unchanged": "those of them that had not changed since they were brought, and were not read again",
        "proven": "photographs with the MD5 that FileMaker itself knows of them",
        "manifest_lines": "records of the manifests",
        "manifest_refused": "lines of the manifests that name no record",
        "manifest_unfinished": "manifests whose last line has no end",
        "dates_assumed": "dates that were read month first though nothing proves it",
        "dates_uncertain": "dates that could be two days, and are none therefore",
        "seconds": "seconds that it took",
        **{f"state/{state.value}": f"files or records: {state.meaning}" for state in DesktopState},
    },
    "csv_metadata": {
        "rows_read": "rows of the export, and of further sources",
        "rows_refused": "rows that could not be kept at all",
        "rows_set_aside": "rows of further sources about photographs that a source before them names too",
        "rows_differing": "those of them that name another patient or another day",
        "category_other": "rows whose Type fits only the category `other`",
        **{f"problem/{problem.value}": f"rows where {problem.meaning}" for problem in Problem},
    },
    "s3_inventory": {
        "snapshot": "number of the listing",
        "objects": "objects under all prefixes that we look at",
        "bytes": "their bytes together",
        "originals": "originals among them",
        "original_bytes": "bytes of the originals",
        "thumbnails": "thumbnails, ours and the clinic's own",
        "quarantined": "thumbnails that a repair has put aside",
        "others": "objects that are neither",
        "empty_originals": "originals without a byte",
        "unnamed_originals": "originals whose key names neither a recid nor an image",
        "appeared": "objects that the listing before did not have",
        "changed": "objects with another content than in the listing before",
        "vanished": "objects that the listing before had",
    },
    "filemaker_images": {
        "records": "records that were read",
        "rows": "their rows that were kept",
        "arrived": "photographs that this run has brought",
        "bytes": "their bytes together",
        "present": "photographs of which an object was there already",
        "quarantined": "photographs that this run has given up, with a reason",
        "smaller": "photographs of which only a smaller picture could be brought",
        "failed_tries": "tries in vain",
        "storms": "times that FileMaker's engine was found dead",
        "by_odata": "photographs whose bytes came by OData",
        "recid_differs": "records whose field recid is not FileMaker's own number",
        "unseen": "records that FileMaker has and the reading did not meet",
        "gone": "records that are in FileMaker no longer",
        "changed_at_source": "photographs that are other ones in FileMaker now",
        "would_fetch": "photographs that a dry run would have fetched",
        "json_bytes": "bytes of answers without containers",
        "container_bytes": "bytes of containers",
        "requests": "requests to FileMaker",
        "left": "photographs that are left to bring",
        "left_bytes": "their bytes, by the mean of those that are here",
        "state/waiting": "photographs that wait for another try",
        "state/arrived": "photographs that were brought and proven",
        "state/present": "photographs of which an object was there before",
        "state/quarantined": "photographs that cannot be brought",
    },
    "patient_map": {
        "patients": "rows of the clinic's table",
        "with_filemaker_id": "patients who came from FileMaker",
        "without_filemaker_id": "patients who did not",
        "malformed": "patients whose FileMaker id is not a UUID",
        "reading": "number of the reading",
        "ambiguous": "FileMaker ids that several patients share",
        "known": "people whom we know by a FileMaker id",
        "known_present": "those of them that are in the table",
        "began": "tenures that have begun: patients who are new, or have another FileMaker id",
        "ended": "tenures that have ended: patients who are gone, or have that FileMaker id no longer",
    },
    "link_plan": {
        "plan": _PLAN,
        "changes": "rows to insert or to update",
        "batches_created": "batches to insert",
        "batches_relinked": "batches to lead to their patient's present UUID",
        "batches_recounted": "batches whose count of images is to be put right",
        "images_created": "images to insert",
        "images_moved": "images to hang on another batch",
        "images_filled": "images to fill an empty column of",
        "patients_recognised": "former UUIDs of patients that are learned from their photographs",
        "linked": "photographs that hang on their patient when the plan is applied",
        "visible_before": "images that some patient's page shows now",
        "visible_after": "images that some patient's page would show afterwards",
        "changing_hands": "images that would go from one living patient to another",
        **{f"state/{state.value}": f"photographs where {state.meaning}" for state in PhotographState},
    },
    "image_batches": {
        "plan": "number of the plan that was applied, to undo it by",
        "rows_changed": "rows of the app that were inserted or updated",
        "rows_as_wished_already": "planned rows that were as planned already",
        "rows_overtaken": "planned rows that somebody had edited in the meantime, and that were left",
        "visible_before": "images that some patient's page showed before",
        "visible": "images that some patient's page shows now",
    },
    "patient_links": {
        "links": "links to patients, those of batches included",
        "followed": "links that were led to their patient's present UUID",
        "never_seen": "links to a UUID that nobody has ever seen",
        "ambiguous": "links to a former patient of whom nobody can tell for certain who it is now",
        "absent": "links to a patient whom we know and who is not in the table",
        "plan": _PLAN,
    },
    "thumbnails": {
        "months": "months of this run",
        "month_pending": "images of one month of several that wait for a thumbnail",
        "photographs": "linked images of these months",
        "pending": "images that wait for a thumbnail",
        "without_thumbnail": "images that show no thumbnail, for whatever reason",
        "replaced_by_others": "thumbnails that somebody has replaced since",
        "mirrored_side": "photographs that name a side and are stored as a mirror image",
        "other_images_without": "images of the app that are not ours to make a thumbnail of, and have none",
        "made": "photographs that this run has looked at",
        "rows_changed": "rows of the app that this run has updated",
        "rate": "photographs a second",
        "seconds": "seconds that it took",
        "bytes_read": "bytes of originals that were read",
        "bytes_written": "bytes of thumbnails that were written",
        "workers_replaced": "workers that a hostile or huge file has cost",
        "plan": _PLAN,
        **{f"state/{state.value}": f"images where {state.meaning}" for state in ThumbnailState},
    },
    "orphan_report": {
        "report": "number of the report",
        "findings": "open findings",
        "new": "findings that the report before did not have",
        "waived": "findings that the clinic has accepted",
        "rows": "rows of the export",
        "objects": "objects in the bucket",
        "bytes": "their bytes together",
        "patients": "patients of the app",
        "patients_with_photographs": "patients whose page shows a photograph",
        "images": "images of the app",
        "images_visible": "images that some patient's page shows",
        "photographs_visible": "rows of the export whose photograph some patient's page shows",
        **{f"finding/{kind.value}": f"findings where {kind.meaning}" for kind in FindingClass},
    },
}
