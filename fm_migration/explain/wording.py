"""The sentences of an explanation, and the command that heals each class. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from fm_migration.explain.answers import HiddenReason
from fm_migration.explain.hops import HopName, HopState, HopWalk, said_of_gone
from fm_migration.explain.known import Home, KnownClinic
from fm_migration.report.classes import FindingClass

_IMPORT = "dg launch --job import_photographs"
_LIST = "dg launch --assets s3_inventory"
_REPAIR = "fm-migration repair plan {finding}"
_THUMBNAILS = "dg launch --assets thumbnails --partition {month}"
_HEAL = "fm-migration heal"

#: The command that heals a class.
HEALED_BY = {
    FindingClass.NOT_APPLIED: _IMPORT,
    FindingClass.BATCH_WITHOUT_PATIENT: _HEAL,
    FindingClass.LINK_WITHOUT_PATIENT: _HEAL,
    FindingClass.FILE_MISPLACED: _REPAIR,
    FindingClass.IMAGE_DOUBLED: _REPAIR,
    FindingClass.BATCH_DOUBLED: _REPAIR,
    FindingClass.BATCH_EMPTY: _REPAIR,
    FindingClass.COUNT_WRONG: _REPAIR,
    FindingClass.THUMBNAIL_MISSING: _THUMBNAILS,
    FindingClass.THUMBNAIL_STALE: _THUMBNAILS,
    FindingClass.THUMBNAIL_WITHOUT_IMAGE: _REPAIR,
    FindingClass.TOO_NEW: _LIST,
}
#: The command that ingests what a person has put right somewhere else.
INGESTED_BY = {
    FindingClass.ROW_WITHOUT_OBJECT: _IMPORT,
    FindingClass.ROW_WITHOUT_PATIENT: _IMPORT,
    FindingClass.ROW_UNUSABLE: _IMPORT,
    FindingClass.RECID_DOUBLED: _IMPORT,
    FindingClass.AMBIGUOUS_PATIENT: _IMPORT,
    FindingClass.OBJECT_WITHOUT_ROW: _IMPORT,
    FindingClass.IMAGE_WITHOUT_BATCH: _IMPORT,
    FindingClass.UNDATED: _IMPORT,
    FindingClass.OWNER_UNSETTLED: _IMPORT,
    FindingClass.CONTRADICTING_EVIDENCE: _IMPORT,
    FindingClass.IMAGE_WITHOUT_OBJECT: _LIST,
    FindingClass.FILE_UNREADABLE: _LIST,
    FindingClass.SECOND_ORIGINAL: _LIST,
}
#: Why photographs are not visible, as the end of a sentence about any number of them.
_BECAUSE = {
    FindingClass.ROW_WITHOUT_OBJECT: "the bucket has no file for their rows of the export",
    FindingClass.ROW_WITHOUT_PATIENT: "the app has no patient of the id that their rows of the export name",
    FindingClass.ROW_UNUSABLE: "their rows of the export cannot be used",
    FindingClass.RECID_DOUBLED: "their recids stand in the export more than once",
    FindingClass.AMBIGUOUS_PATIENT: "several patients of the app share their FileMaker id",
    FindingClass.OWNER_UNSETTLED: "nobody can tell for certain whose they are",
    FindingClass.CONTRADICTING_EVIDENCE: "the evidence names two photographs for one image",
    FindingClass.NOT_APPLIED: "they could be linked, and are not yet",
    FindingClass.OBJECT_WITHOUT_ROW: "no row of the export names their files",
    FindingClass.BATCH_WITHOUT_PATIENT: "their batches belong to a patient that does not exist",
    FindingClass.GIVEN_BATCH_LOST: "somebody has given their batches to a patient who is gone",
    FindingClass.LINK_AMBIGUOUS: "nobody can tell for certain who the former patient is to whom their batches belong",
    FindingClass.IMAGE_WITHOUT_BATCH: "they hang on no batch of a patient",
    FindingClass.IMAGE_WITHOUT_OBJECT: "their files are not in the bucket any more",
    FindingClass.FILE_MISPLACED: "their files lie under other keys",
    FindingClass.FILE_NOT_AN_IMAGE: "their files are not pictures",
    FindingClass.PLACED_BY_STAFF: "they hang on another patient's record",
    FindingClass.REMOVED_BY_STAFF: "somebody has deleted their images in the app",
    FindingClass.TOO_NEW: "they are younger than what was read last",
}


def headline_of(one: HopWalk) -> str:
    """What is the matter with one photograph, in a sentence."""
    broken, name = one.first_broken, _capitalised(one.subject)
    image = one.photograph.image
    if one.visible and image is not None:
        where = f"{name} is visible in the gallery of patient {image.owner}"
        if broken is None:
            return f"{where}."
        return f"{where}; the first thing wrong is the {_NAMES[broken.name]}: {broken.said}."
    if broken is None:
        return f"{name} is not visible."
    return f"{name} is not visible, and the {_NAMES[broken.name]} is why: {broken.said}."


_NAMES = {
    HopName.ROW: "export row",
    HopName.OBJECT: "object",
    HopName.PATIENT: "patient",
    HopName.BATCH: "batch",
    HopName.IMAGE: "image",
    HopName.THUMBNAIL: "thumbnail",
}


def describe_batch(
    facts: Mapping[str, Any], home: Home, world: KnownClinic, shown: int, reasons: Sequence[HiddenReason]
) -> str:
    has = f"{facts['has']:,} images"
    if not facts["of_patients"]:
        return f"belongs to something else than a patient, so no gallery shows its {has}."
    if not facts["has"]:
        if home.way == "uuid":
            return f"is empty and belongs to patient {facts['owner']}."
        who = said_of_gone(home)
        if world.reimport is not None:
            who = "a patient who was removed, or is not there yet in a re-import"
        return f"is empty and belongs to {facts['owner']}, {who}; no photograph hides because of it."
    if not reasons:
        return f"shows its {has} in the gallery of patient {facts['owner']}."
    said = "; ".join(f"{reason.because} ({reason.photographs:,})" for reason in reasons)
    return f"shows {shown:,} of its {has}: {said}."


def _capitalised(subject: str) -> str:
    return subject[:1].upper() + subject[1:]


def shows_at(one: HopWalk, patients: Sequence[UUID]) -> bool:
    image = one.photograph.image
    return one.visible and image is not None and image.owner in patients


def reasons(walks: Iterable[HopWalk], patients: Sequence[UUID] | None) -> list[HiddenReason]:
    """Why photographs are not visible (in the galleries of `patients`), the commonest reason first."""
    groups: dict[tuple[HopName, FindingClass | None, str], list[str]] = defaultdict(list)
    for one in walks:
        if one.visible and (patients is None or shows_at(one, patients)):
            continue
        groups[_reason(one, patients)].append(one.subject)
    return _sorted(groups)


def wrong(walks: Iterable[HopWalk], patients: Sequence[UUID] | None) -> list[HiddenReason]:
    """What is the matter with photographs that are visible all the same, the commonest first."""
    groups: dict[tuple[HopName, FindingClass | None, str], list[str]] = defaultdict(list)
    for one in walks:
        broken = one.first_broken
        if broken is not None and one.visible and (patients is None or shows_at(one, patients)):
            because = broken.finding.meaning if broken.finding else broken.said
            groups[(broken.name, broken.finding, because)].append(one.subject)
    return _sorted(groups)


def _sorted(groups: Mapping[tuple[HopName, FindingClass | None, str], list[str]]) -> list[HiddenReason]:
    found = [HiddenReason(*key, tuple(subjects)) for key, subjects in groups.items()]
    return sorted(found, key=lambda reason: -reason.photographs)


def _reason(one: HopWalk, patients: Sequence[UUID] | None) -> tuple[HopName, FindingClass | None, str]:
    if one.visible:
        hop = next(hop for hop in one.hops if hop.name is HopName.BATCH)
        return HopName.BATCH, hop.finding or FindingClass.PLACED_BY_STAFF, _BECAUSE[FindingClass.PLACED_BY_STAFF]
    broken = one.first_broken
    if broken is None:
        return HopName.IMAGE, None, "nobody can tell"
    if broken.state is HopState.UNKNOWN and broken.finding is None:
        return broken.name, None, broken.said
    finding = broken.finding
    if finding is FindingClass.BATCH_WITHOUT_PATIENT and one.photograph.owner.one in (patients or ()):
        return broken.name, finding, "their batches still point at a former UUID of this patient"
    if finding is FindingClass.ROW_WITHOUT_PATIENT and one.photograph.contact.known:
        return broken.name, finding, "the patient whom their rows of the export name is not in the app any more"
    if (
        finding is FindingClass.BATCH_WITHOUT_PATIENT
        and one.photograph.owner.known
        and one.photograph.owner.one is None
    ):
        return broken.name, finding, "the patient whom their batches belong to is not in the app any more"
    return broken.name, finding, _BECAUSE.get(finding, broken.said) if finding else broken.said


def command(finding: FindingClass, world: KnownClinic, month: str) -> str | None:
    if finding is FindingClass.NOT_APPLIED and world.plan is not None and not world.plan_applied:
        # A plan that waits for a person has to be looked at first.
        return "fm-migration plans" if world.plan_doubts else "dg launch --assets image_batches"
    command = HEALED_BY.get(finding) or INGESTED_BY.get(finding)
    return command.format(finding=finding.value, month=month) if command else None
