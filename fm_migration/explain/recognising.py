"""What somebody asks about: a patient, a batch, a photograph or an object, told by what they have typed.

Belongs here: from a text to one subject, or an error that says what it could be. A subject is written as findings
write theirs, `image 6f9c…` or `recid 77`, so that a line of a report can be asked about as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from fm_migration.errors import FmMigrationError
from fm_migration.explain.gathering import ClinicRecords

_UUID = re.compile(r"\{?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})\}?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class SubjectKind(StrEnum):
    """What can be asked about. `photograph`: by its FileMaker UUID; `contact`: a patient by their FileMaker id."""

    PATIENT = "patient"
    CONTACT = "contact"
    BATCH = "batch"
    IMAGE = "image"
    PHOTOGRAPH = "photograph"
    RECID = "recid"
    ROW = "row"
    OBJECT = "object"
    THUMBNAIL = "thumbnail"
    LINK = "link"


@dataclass(frozen=True)
class Subject:
    """One thing to explain."""

    kind: SubjectKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def uuid(self) -> UUID:
        return UUID(self.name)


class UnknownSubjectError(FmMigrationError):
    """Nothing of this name is known. `could_be` holds what it could be where it is several things."""

    could_be: tuple[Subject, ...] = ()


def recognise(asked: str, records: ClinicRecords) -> Subject:
    """The one subject that is meant; UnknownSubjectError where there is none, or more than one."""
    text = asked.strip()
    found = list(_named(text, records) if _kind_of(text) else _meant(text, records))
    if len(found) == 1:
        return found[0]
    if found:
        error = UnknownSubjectError(
            "explaining",
            text,
            f"it could be {', or '.join(map(str, found))}",
            f"Say which: `fm-migration explain {found[0]}`",
        )
        error.could_be = tuple(found)
        raise error
    raise UnknownSubjectError(
        "explaining",
        text,
        "no patient, batch, image, row of the export or object of that name is known, present or former",
        "Give a patient's UUID or FileMaker id, a recid, an image's or a batch's UUID, or an object's key",
    )


def _kind_of(text: str) -> SubjectKind | None:
    first, _, rest = text.partition(" ")
    return SubjectKind(first.lower()) if rest.strip() and first.lower() in set(SubjectKind) else None


def _named(text: str, records: ClinicRecords) -> Iterator[Subject]:
    """A subject whose kind stands before it."""
    kind, name = _kind_of(text), text.partition(" ")[2].strip()
    if kind in (SubjectKind.OBJECT, SubjectKind.THUMBNAIL):
        yield from _keys(name, records)
    elif kind is SubjectKind.RECID:
        yield from _recids(name, records)
    elif kind is SubjectKind.ROW:
        if _NUMBER.fullmatch(name) and records.ask("rows_named", rows=[int(name)], recids=(), image_ids=()):
            yield Subject(SubjectKind.ROW, str(int(name)))
    elif kind is SubjectKind.LINK:
        if records.link(name) is not None:
            yield Subject(SubjectKind.LINK, name)
    elif kind is not None and (one := _as_uuid(name)) is not None:
        could_be = list(_uuids(one, records))
        same = [subject for subject in could_be if subject.kind is kind]
        persons = [
            subject for subject in could_be if {kind, subject.kind} == {SubjectKind.PATIENT, SubjectKind.CONTACT}
        ]
        yield from same or persons


def _meant(text: str, records: ClinicRecords) -> Iterator[Subject]:
    one = _as_uuid(text)
    if one is not None:
        yield from _uuids(one, records)
    elif _NUMBER.fullmatch(text):
        yield from _recids(text, records)
    else:
        yield from _keys(text, records)


def _as_uuid(text: str) -> UUID | None:
    match = _UUID.fullmatch(text)
    return UUID(match[1]) if match else None


#: A former UUID and a FileMaker id are looked for where it is nobody's present UUID.
_KINDS: tuple[tuple[str, SubjectKind], ...] = (
    ("patient", SubjectKind.PATIENT),
    ("contact", SubjectKind.CONTACT),
    ("batch", SubjectKind.BATCH),
    ("image", SubjectKind.IMAGE),
    ("photograph", SubjectKind.PHOTOGRAPH),
)


def _uuids(one: UUID, records: ClinicRecords) -> Iterator[Subject]:
    (meanings,) = records.ask("meanings", id=one)
    found = [Subject(kind, str(one)) for name, kind in _KINDS if meanings[name]]
    if meanings["former"] and not (meanings["patient"] or meanings["contact"]):
        found.append(Subject(SubjectKind.PATIENT, str(one)))
    yield from found


def _recids(number: str, records: ClinicRecords) -> Iterator[Subject]:
    """As it is written; else with other leading zeros, as spreadsheets lose them."""
    if not _NUMBER.fullmatch(number):
        return
    as_written = records.ask("rows_named", recids=[number], rows=(), image_ids=())
    others = as_written or records.ask("rows_like", recid=number)
    if others:
        rows = records.rows([row["row_number"] for row in others])
        yield from (Subject(SubjectKind.RECID, recid) for recid in sorted({row.recid or "" for row in rows.values()}))
    elif keys := records.ask("keys_named", recids=[number], keys=(), image_ids=()):
        originals = [row["key"] for row in keys if row["kind"] == "original"]
        yield Subject(SubjectKind.OBJECT, originals[0] if originals else keys[0]["key"])


def _keys(name: str, records: ClinicRecords) -> Iterator[Subject]:
    """A key, or the name of an object without its folders."""
    listed = records.ask("keys_named", keys=[name], recids=(), image_ids=())
    if listed:
        yield Subject(SubjectKind.THUMBNAIL if listed[0]["kind"] == "thumbnail" else SubjectKind.OBJECT, name)
    elif records.images(keys=[name]):
        yield Subject(SubjectKind.OBJECT, name)
    elif records.images(thumbnail_keys=[name]):
        yield Subject(SubjectKind.THUMBNAIL, name)
    else:
        for row in records.ask("keys_ending", name=name):
            yield Subject(SubjectKind.THUMBNAIL if row["kind"] == "thumbnail" else SubjectKind.OBJECT, row["key"])
