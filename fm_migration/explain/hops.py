"""The way of one photograph: export row, object, patient, batch, image, thumbnail, and where it breaks. Pure.

Belongs here: what that which is known means at each hop, in words of our own ids. Does not belong here: asking the
database or the bucket (`gathering.py`).

A hop is broken when something does not work there that should. It hides the photograph when that is why no gallery
shows it. What cannot be judged yet is unknown: nobody is called an orphan while a re-import is under way, and nothing
is missed that is younger than the listing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from fm_migration.explain.known import Home, KnownImage, KnownPhotograph, Presence, Stored
from fm_migration.filemaker.problems import Problem
from fm_migration.linking.placing import UNSUPPORTED
from fm_migration.linking.states import PhotographState
from fm_migration.report.classes import FindingClass

#: Problems of a row that keep it from being linked and have a hop or a sentence of their own.
_SAID_OTHERWISE = frozenset(
    {Problem.DUPLICATE_RECID, Problem.MISSING_CONTACT, Problem.MALFORMED_CONTACT, Problem.DUPLICATE_IMAGE_ID}
)


class HopName(StrEnum):
    """In the order in which a photograph takes them."""

    ROW = "row"
    OBJECT = "object"
    PATIENT = "patient"
    BATCH = "batch"
    IMAGE = "image"
    THUMBNAIL = "thumbnail"


class HopState(StrEnum):
    """`none`: there is nothing here, and nothing has to be, or an earlier hop is why."""

    OK = "ok"
    REMARK = "remark"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    NONE = "none"


@dataclass(frozen=True)
class Hop:
    """One station and what is the matter there. `finding` and `subject` are those of the report."""

    name: HopName
    state: HopState
    said: str
    finding: FindingClass | None = None
    subject: str | None = None
    #: Whether this is why no gallery shows the photograph.
    hides: bool = False
    #: Whether no command heals it before a person has put something right, although it heals others of its class.
    after_remedy: bool = False


@dataclass(frozen=True)
class HopWalk:
    """The way of one photograph, hop by hop."""

    subject: str
    photograph: KnownPhotograph
    hops: tuple[Hop, ...]

    @property
    def visible(self) -> bool:
        return _shows(self.photograph)

    @property
    def patient(self) -> UUID | None:
        """Whose gallery shows it; else whose it is."""
        image = self.photograph.image
        if self.visible and image is not None:
            return image.owner
        return self.photograph.contact.one or self.photograph.owner.one

    @property
    def first_broken(self) -> Hop | None:
        """The first hop that hides it; of a visible photograph the first at which anything is broken."""
        hiding = next((hop for hop in self.hops if hop.hides), None)
        broken = (hop for hop in self.hops if hop.state is HopState.BROKEN)
        return hiding if not self.visible and hiding else next(broken, None)

    @property
    def month(self) -> str:
        photograph = self.photograph
        month = photograph.image.photo_month if photograph.image else None
        return month or (photograph.row.month if photograph.row else None) or "undated"


def walk(photograph: KnownPhotograph) -> HopWalk:
    """The six hops of a photograph."""
    hops = (
        _row_hop(photograph),
        _object_hop(photograph),
        _patient_hop(photograph),
    )
    return HopWalk(
        _subject(photograph),
        photograph,
        (*hops, _batch_hop(photograph, hops), _image_hop(photograph), _thumbnail_hop(photograph)),
    )


def _subject(photograph: KnownPhotograph) -> str:
    if photograph.image is not None and (photograph.row is None or photograph.double_of):
        return f"image {photograph.image.id}"
    if photograph.row is not None:
        return photograph.row.subject
    return f"object {photograph.key}"


def _shows(photograph: KnownPhotograph) -> bool:
    image = photograph.image
    return image is not None and image.owner_lives and photograph.presence is not Presence.GONE


# --- the hops -----------------------------------------------------------------------------------------------------


def _row_hop(photograph: KnownPhotograph) -> Hop:
    row = photograph.row
    if row is None:
        return _hop_without_row(photograph)
    number, hides = f"row {row.row_number:,} of the export", photograph.image is None

    def broken(finding: FindingClass, said: str) -> Hop:
        return Hop(HopName.ROW, HopState.BROKEN, f"{number} {said}", finding, row.subject, hides)

    if row.repeated or row.contradicted:
        why = "contradict each other" if row.contradicted else "say the same, and the first of them counts"
        return broken(FindingClass.RECID_DOUBLED, f"is one of {row.times} with recid {row.recid}, which {why}")
    unreadable = [problem for problem in map(Problem, row.problems) if _keeps_from_linking(problem)]
    if unreadable:
        return broken(FindingClass.ROW_UNUSABLE, f"cannot be used: {unreadable[0].meaning}")
    if row.contact is None:
        said = "names no patient" if row.names_nobody else "names its patient by something that is not a UUID"
        return broken(FindingClass.ROW_UNUSABLE, said)
    said = f"{number} is recid {row.recid}" if row.recid is not None else f"{number} is known by its image's id"
    if row.times > 1:
        said += f"; {row.times - 1} further rows say the same"
        return Hop(HopName.ROW, HopState.REMARK, said, FindingClass.RECID_DOUBLED, row.subject)
    if row.taken_on is None:
        return Hop(HopName.ROW, HopState.REMARK, f"{said}, without a date", FindingClass.UNDATED, row.subject)
    return Hop(HopName.ROW, HopState.OK, said)


def _keeps_from_linking(problem: Problem) -> bool:
    return problem.blocks_linking and problem not in _SAID_OTHERWISE


def _hop_without_row(photograph: KnownPhotograph) -> Hop:
    image, world, stored = photograph.image, photograph.world, photograph.stored
    if world.export_read_at is None:
        return Hop(HopName.ROW, HopState.UNKNOWN, "no export was read yet", hides=image is None)
    if image is not None:
        said = "somebody uploaded it in the app, so no export has to name it"
        if not image.by_hand:
            said = "no row of the export names it; an earlier run has made the image"
        return Hop(HopName.ROW, HopState.NONE if image.by_hand else HopState.REMARK, said)
    subject = f"object {photograph.key}"
    if stored is not None and stored.last_modified > world.export_read_at:
        said = "no row of the export names it, but it is younger than the export"
        return Hop(HopName.ROW, HopState.UNKNOWN, said, FindingClass.TOO_NEW, subject, hides=True)
    said = "no row of the export names it, so nobody knows whose it is"
    return Hop(HopName.ROW, HopState.BROKEN, said, FindingClass.OBJECT_WITHOUT_ROW, subject, hides=True)


def _object_hop(photograph: KnownPhotograph) -> Hop:
    if photograph.key is None:
        return _hop_without_key(photograph)
    if photograph.presence is Presence.GONE:
        return _hop_of_a_missing_object(photograph)
    if photograph.presence is Presence.UNKNOWN:
        return _hop_of_an_unlisted_object(photograph)
    if photograph.stored is None:
        return Hop(HopName.OBJECT, HopState.OK, f"{photograph.key}, which the bucket has")
    return _hop_of_a_present_object(photograph, photograph.stored)


def _hop_of_a_present_object(photograph: KnownPhotograph, stored: Stored) -> Hop:
    image, subject = photograph.image, f"object {stored.key}"
    said = f"{stored.key}, {stored.size:,} bytes"
    if stored.size == 0:
        return Hop(HopName.OBJECT, HopState.BROKEN, f"{stored.key} is empty", FindingClass.FILE_UNREADABLE, subject)
    if image is None and _is_unsupported(photograph, stored):
        said = f"{stored.key} is not a kind of file that a gallery shows"
        return Hop(HopName.OBJECT, HopState.BROKEN, said, FindingClass.FILE_NOT_AN_IMAGE, subject, hides=True)
    if image is not None and (image.thumbnail_source, image.thumbnail_etag) == (stored.key, stored.etag):
        reason = f": {image.thumbnail_reason}" if image.thumbnail_reason else ""
        if image.thumbnail_state == "unreadable":
            said = f"{stored.key} cannot be shown{reason}"
            return Hop(HopName.OBJECT, HopState.BROKEN, said, FindingClass.FILE_UNREADABLE, subject)
        if image.thumbnail_state == "not_an_image":
            said = f"{said}, which is not a picture"
            return Hop(HopName.OBJECT, HopState.REMARK, said, FindingClass.FILE_NOT_AN_IMAGE, subject)
        if image.thumbnail_state == "partial":
            return Hop(HopName.OBJECT, HopState.REMARK, f"{said}, of which only a part can be shown{reason}")
    return Hop(HopName.OBJECT, HopState.OK, said)


def _is_unsupported(photograph: KnownPhotograph, stored: Stored) -> bool:
    row = photograph.row
    return stored.extension in UNSUPPORTED or (row is not None and row.state == PhotographState.UNSUPPORTED_FILE)


def _hop_without_key(photograph: KnownPhotograph) -> Hop:
    """A row for which no original was ever listed."""
    row = photograph.row
    subject = row.subject if row else None
    if photograph.unlisted:
        said = f"{photograph.unlisted} is in the bucket, and younger than the newest listing of it"
        return Hop(HopName.OBJECT, HopState.UNKNOWN, said, FindingClass.TOO_NEW, subject, hides=True)
    if photograph.world.listed_at is None:
        return Hop(HopName.OBJECT, HopState.UNKNOWN, "the bucket was never listed", hides=True)
    said = "the bucket holds no original under its recid or image id"
    return Hop(HopName.OBJECT, HopState.BROKEN, said, FindingClass.ROW_WITHOUT_OBJECT, subject, hides=True)


def _hop_of_a_missing_object(photograph: KnownPhotograph) -> Hop:
    stored, image = photograph.stored, photograph.image
    if stored is None:
        said = f"{photograph.key} is not in the bucket, and no listing has ever seen it"
    elif stored.missed_at is None:
        said = f"{photograph.key} is not in the bucket any more, though the newest listing has seen it"
    else:
        said = f"{photograph.key} is not in the bucket any more since the listing of {stored.missed_at:%Y-%m-%d %H:%M}"
    subject = f"image {image.id}" if image else photograph.row.subject if photograph.row else f"object {photograph.key}"
    finding = FindingClass.IMAGE_WITHOUT_OBJECT if image else FindingClass.ROW_WITHOUT_OBJECT
    if stored is not None and stored.moved_to:
        said += f"; {stored.moved_to} has the same content"
        finding = FindingClass.FILE_MISPLACED
    return Hop(HopName.OBJECT, HopState.BROKEN, said, finding, subject, hides=True)


def _hop_of_an_unlisted_object(photograph: KnownPhotograph) -> Hop:
    world, image, key = photograph.world, photograph.image, photograph.key
    if world.listed_at is None:
        return Hop(HopName.OBJECT, HopState.UNKNOWN, f"{key}; the bucket was never listed")
    if not world.lists(key or ""):
        return Hop(HopName.OBJECT, HopState.UNKNOWN, f"{key} lies outside of what we list, so nobody has looked")
    subject = f"image {image.id}" if image else f"object {key}"
    said = f"{key} is younger than the newest listing of the bucket"
    return Hop(HopName.OBJECT, HopState.UNKNOWN, said, FindingClass.TOO_NEW, subject)


def _patient_hop(photograph: KnownPhotograph) -> Hop:
    row, image = photograph.row, photograph.image
    if row is not None and row.contact is not None:
        return _hop_to(photograph, photograph.contact, row.subject, "the row")
    if row is not None and image is None:
        return Hop(HopName.PATIENT, HopState.NONE, "nobody is named")
    if image is None or image.owner is None or not image.of_patients:
        return Hop(HopName.PATIENT, HopState.NONE, "nobody knows whose it is")
    if image.owner_lives:
        return _hop_to(photograph, Home((image.owner,), "uuid"), f"patient {image.owner}", "the batch")
    return _hop_to(photograph, photograph.owner, f"batch {image.batch}", "the batch")


_WAYS = {
    "uuid": "by the UUID that {whose} has",
    "filemaker_id": "by the FileMaker id that {whose} has",
    "history": "by a former UUID that {whose} still has",
}


def _hop_to(photograph: KnownPhotograph, home: Home, subject: str, whose: str) -> Hop:
    world, hidden = photograph.world, not _shows(photograph)
    if home.ambiguous:
        finding = FindingClass.AMBIGUOUS_PATIENT if whose == "the row" else FindingClass.LINK_AMBIGUOUS
        said = _said_of_doubt(home, whose)
        return Hop(HopName.PATIENT, HopState.BROKEN, said, finding, subject, hides=_unplaced(photograph))
    if home.one is None and world.reimport is not None:
        present, known = world.reimport
        said = f"a re-import of the patients is under way, or some were removed: {present:,} of {known:,} are there"
        return Hop(HopName.PATIENT, HopState.UNKNOWN, said, None, subject, hides=hidden)
    if home.one is None:
        of_row = photograph.row is not None and photograph.row.contact is not None
        finding = FindingClass.ROW_WITHOUT_PATIENT if of_row else FindingClass.BATCH_WITHOUT_PATIENT
        said = f"the app has no patient of the id that {whose} has"
        said += ", though it had one" if home.known else ", and never had one as far as we know"
        hides = _unplaced(photograph)
        return Hop(HopName.PATIENT, HopState.BROKEN, said, finding, subject, hides=hides, after_remedy=True)
    said = f"patient {home.one}, {_WAYS[home.way].format(whose=whose)}"
    if home.one in world.archived:
        said += "; archived, so the app may not list them"
        return Hop(HopName.PATIENT, HopState.REMARK, said, FindingClass.ARCHIVED_PATIENT, f"patient {home.one}")
    return Hop(HopName.PATIENT, HopState.OK, said)


#: What a UUID is that nobody in the app has now, by why nobody follows.
GONE = {
    "never_seen": "a UUID that we have never seen",
    "absent": "a former UUID of somebody who is not in the app now",
    "without_id": "a former UUID of a patient without a FileMaker id, so nothing tells who that is now",
    "shared": "a former UUID whose FileMaker id others had too, so nobody can tell for certain who that is now",
    "passed": "a former UUID whose FileMaker id has come to several, or to somebody who was known before",
}


def _said_of_doubt(home: Home, whose: str) -> str:
    if len(home.patients) > 1:
        return f"{len(home.patients)} patients of the app share the FileMaker id that {whose} names"
    if not home.patients:
        return f"{whose} names {GONE[home.why]}"
    if home.doubt == "shared":
        return f"the FileMaker id that {whose} names is also somebody's who is not back, so it is nobody's for certain"
    return f"the FileMaker id that {whose} names has passed to a patient who was known before, not to a new one"


def _unplaced(photograph: KnownPhotograph) -> bool:
    """Whether not knowing the patient is why it hides: it has no image, or one on a record of nobody."""
    return photograph.image is None or not photograph.image.owner_lives


def _batch_hop(photograph: KnownPhotograph, before: Sequence[Hop]) -> Hop:
    image = photograph.image
    if image is None:
        return _hop_without_image(photograph, before)
    if not image.has_batch or not image.of_patients:
        said = (
            f"batch {image.batch} does not exist" if not image.has_batch else f"batch {image.batch} is not a patient's"
        )
        subject = f"image {image.id}"
        return Hop(HopName.BATCH, HopState.BROKEN, said, FindingClass.IMAGE_WITHOUT_BATCH, subject, hides=True)
    if not image.owner_lives:
        return _hop_of_a_stale_batch(photograph, image)
    named = photograph.contact.one
    if named is not None and named != image.owner:
        return _hop_of_another_record(photograph, image, named)
    return Hop(HopName.BATCH, HopState.OK, f"batch {image.batch}")


def _hop_of_a_stale_batch(photograph: KnownPhotograph, image: KnownImage) -> Hop:
    subject, world, owner = f"batch {image.batch}", photograph.world, photograph.owner
    if world.reimport is not None:
        said = f"batch {image.batch} belongs to a patient who was removed, or is not there yet in a re-import"
        return Hop(HopName.BATCH, HopState.UNKNOWN, said, None, subject, hides=True)
    said = f"batch {image.batch} belongs to {image.owner}, {said_of_gone(owner)}"
    finding, nobody = finding_of_gone(owner, image.given), owner.one is photograph.contact.one is None
    return Hop(HopName.BATCH, HopState.BROKEN, said, finding, subject, hides=True, after_remedy=nobody)


def said_of_gone(owner: Home) -> str:
    """Whose UUID it is that nobody in the app has now."""
    if owner.one is not None:
        return f"a former UUID of patient {owner.one}{', as a person has settled' if owner.settled else ''}"
    if owner.patients:
        return f"a former UUID that {len(owner.patients)} patients may have had"
    return GONE.get(owner.why, GONE["never_seen"])


def finding_of_gone(owner: Home, given: bool) -> FindingClass:
    """What it is that a batch belongs to somebody who is not there; `given`: a person has given it to that one."""
    if owner.ambiguous:
        return FindingClass.LINK_AMBIGUOUS
    lost = owner.why in ("without_id", "never_seen")
    return FindingClass.GIVEN_BATCH_LOST if given and lost else FindingClass.BATCH_WITHOUT_PATIENT


def _hop_of_another_record(photograph: KnownPhotograph, image: KnownImage, named: UUID) -> Hop:
    row, world = photograph.row, photograph.world
    said = f"batch {image.batch} is on the record of patient {image.owner}, and the row names {named}"
    pending = row is not None and row.state == PhotographState.LINKED and row.planned_batch not in (None, image.batch)
    if pending and not world.plan_applied:
        subject = row.subject if row else None
        return Hop(
            HopName.BATCH, HopState.BROKEN, f"{said}; plan {world.plan} moves it", FindingClass.NOT_APPLIED, subject
        )
    if row is not None and row.unsettled:
        said += "; we had put it there, and nobody can tell for certain where it belongs"
        return Hop(HopName.BATCH, HopState.BROKEN, said, FindingClass.OWNER_UNSETTLED, row.subject)
    if row is not None and row.contradicting is not None:
        return Hop(HopName.BATCH, HopState.REMARK, said)
    return Hop(HopName.BATCH, HopState.REMARK, said, FindingClass.PLACED_BY_STAFF, f"image {image.id}")


def _hop_without_image(photograph: KnownPhotograph, before: Sequence[Hop]) -> Hop:
    if any(hop.hides for hop in before):
        return Hop(HopName.BATCH, HopState.NONE, "it has got no image in the app")
    row, world = photograph.row, photograph.world
    if row is not None and row.contradicting is not None:
        return Hop(HopName.BATCH, HopState.NONE, "it has got no image in the app")
    if row is not None and row.deleted:
        said = "somebody has deleted its image in the app, so it is not created again"
        return Hop(HopName.BATCH, HopState.REMARK, said, FindingClass.REMOVED_BY_STAFF, row.subject, hides=True)
    if world.plan is None:
        said = "no plan was made yet, so it has no image in the app"
    elif row is not None and row.state == PhotographState.BEYOND_LIMIT:
        said = "the newest plan was limited to fewer photographs"
    elif world.plan_applied:
        said = f"it has no image in the app, and plan {world.plan}, which is applied, does not make one"
    elif world.plan_doubts:
        said = f"plan {world.plan} waits for a person's approval"
    else:
        said = f"plan {world.plan} was made and is not applied"
    subject = row.subject if row else None
    return Hop(HopName.BATCH, HopState.BROKEN, said, FindingClass.NOT_APPLIED, subject, hides=True)


def _image_hop(photograph: KnownPhotograph) -> Hop:
    image, row = photograph.image, photograph.row
    if row is not None and row.contradicting is not None:
        said = f"image {row.contradicting} is {row.shows} by its object, or by what was known of it before, and "
        said += f"{row.contradicts} by other evidence, so nothing of either is moved"
        finding, hides = FindingClass.CONTRADICTING_EVIDENCE, image is None
        return Hop(HopName.IMAGE, HopState.BROKEN, said, finding, row.subject, hides)
    if image is None:
        return Hop(HopName.IMAGE, HopState.NONE, "there is none")
    subject = f"image {image.id}"
    if photograph.double_of is not None:
        said = f"image {image.id} is a second one; image {photograph.double_of} shows the photograph"
        return Hop(HopName.IMAGE, HopState.BROKEN, said, FindingClass.IMAGE_DOUBLED, subject)
    if photograph.doubles:
        others = ", ".join(map(str, photograph.doubles))
        said = f"image {image.id}; the same photograph was entered again as {others}"
        return Hop(HopName.IMAGE, HopState.REMARK, said, FindingClass.IMAGE_DOUBLED, f"image {photograph.doubles[0]}")
    return Hop(HopName.IMAGE, HopState.OK, f"image {image.id}")


def _thumbnail_hop(photograph: KnownPhotograph) -> Hop:
    image = photograph.image
    if image is None:
        return Hop(HopName.THUMBNAIL, HopState.NONE, "there is none")
    if not image.thumbnail_key:
        return _hop_without_thumbnail(photograph, image)
    key, subject = image.thumbnail_key, f"image {image.id}"
    made_since = bool(
        image.thumbnail_made_at
        and photograph.world.listed_at
        and image.our_thumbnail == key
        and image.thumbnail_made_at > photograph.world.listed_at
    )
    if photograph.thumbnail_presence is Presence.GONE and not made_since:
        said = f"{key} is not in the bucket"
        return Hop(HopName.THUMBNAIL, HopState.BROKEN, said, FindingClass.THUMBNAIL_MISSING, subject)
    stored = photograph.stored
    if image.our_thumbnail == key and stored is not None and stored.missed_at is None:
        if image.thumbnail_source == stored.key and image.thumbnail_etag not in ("", stored.etag):
            said = f"{key} was made of an earlier version of the original"
            return Hop(HopName.THUMBNAIL, HopState.REMARK, said, FindingClass.THUMBNAIL_STALE, subject)
        if image.mirrored_side:
            said = f"{key} is right, but software that ignores the orientation mirrors the original"
            return Hop(HopName.THUMBNAIL, HopState.REMARK, said, FindingClass.MIRRORED_SIDE, subject)
    if photograph.thumbnail_presence is Presence.UNKNOWN and not made_since:
        return Hop(HopName.THUMBNAIL, HopState.UNKNOWN, f"{key} lies outside of what we list, so nobody has looked")
    return Hop(HopName.THUMBNAIL, HopState.OK, key)


#: Thumbnails are made of these photographs only.
_MADE_OF = frozenset({PhotographState.LINKED.value, PhotographState.PLACED_BY_STAFF.value})


def _hop_without_thumbnail(photograph: KnownPhotograph, image: KnownImage) -> Hop:
    if image.thumbnail_state in ("unreadable", "not_an_image"):
        return Hop(HopName.THUMBNAIL, HopState.NONE, f"there cannot be one: {image.thumbnail_reason or 'no picture'}")
    if image.thumbnail_undone:
        return Hop(HopName.THUMBNAIL, HopState.REMARK, "a person has undone it, so it is not written again")
    if photograph.row is None or photograph.row.state not in _MADE_OF or photograph.double_of is not None:
        said = "there is none; thumbnails are made of linked photographs only, and the app shows the original"
        return Hop(HopName.THUMBNAIL, HopState.REMARK, said)
    said = "it has not been made yet"
    if image.thumbnail_state == "unavailable":
        said = f"it could not be made: {image.thumbnail_reason or 'the object could not be had'}"
    elif image.thumbnail_state is not None:
        said = "it was made, and the app does not show it"
    return Hop(HopName.THUMBNAIL, HopState.BROKEN, said, FindingClass.THUMBNAIL_MISSING, f"image {image.id}")
