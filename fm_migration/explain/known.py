"""What is known of a photograph: its row, its object, its patient, its batch and image, its thumbnail. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from fm_migration.linking.states import PhotographState


class Presence(StrEnum):
    """Whether the bucket has an object, as far as anybody knows."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class KnownRow:
    """A row of the export, and what the newest plan says of it."""

    row_number: int
    recid: str | None
    contact: UUID | None
    #: The same as it is written there: two ids that differ in case only may be two patients.
    written: str
    names_nobody: bool
    taken_on: date | None
    problems: Sequence[str]
    image_id: UUID | None
    times: int
    contradicted: bool
    first_of_recid: int
    original: str | None
    state: str | None
    home: str | None
    planned_image: UUID | None
    planned_batch: UUID | None
    month: str | None
    #: An image for which the evidence names two photographs, this one among them, and which.
    contradicting: UUID | None
    shows: str | None
    contradicts: str | None
    #: Its image was in the app, and somebody has deleted it there.
    deleted: bool

    @property
    def subject(self) -> str:
        return f"recid {self.recid}" if self.recid and self.times == 1 else f"row {self.row_number}"

    @property
    def repeated(self) -> bool:
        """A further row of a recid: it can never be linked."""
        return self.times > 1 and self.row_number != self.first_of_recid

    @property
    def unsettled(self) -> bool:
        """It hangs where it should not, and nobody can tell for certain whose that batch is."""
        return self.state == PhotographState.AMBIGUOUS_PATIENT and self.home != "ambiguous"


@dataclass(frozen=True)
class KnownImage:
    """An image of the app, its batch, and what we know of its thumbnail."""

    id: UUID
    key: str
    batch: UUID
    filemaker_id: UUID | None
    uploaded_at: datetime
    by_hand: bool
    thumbnail_key: str
    has_batch: bool
    of_patients: bool
    owner: UUID | None
    owner_lives: bool
    thumbnail_state: str | None
    thumbnail_reason: str | None
    our_thumbnail: str | None
    thumbnail_source: str | None
    thumbnail_etag: str | None
    thumbnail_made_at: datetime | None
    thumbnail_undone: bool
    mirrored_side: bool
    #: The photograph that it was recognised as, and the row of the export about that one.
    photo: str | None
    photo_row: int | None
    photo_month: str | None
    #: Its batch was ours, and somebody has given it to another owner.
    given: bool


@dataclass(frozen=True)
class Stored:
    """An object as it was listed last."""

    key: str
    kind: str
    recid: str | None
    image_id: UUID | None
    size: int
    etag: str
    last_modified: datetime
    extension: str
    missed_at: datetime | None
    moved_to: str | None


@dataclass(frozen=True)
class Home:
    """The living patients that an id leads to, and how; `known`: whether our history knows the id at all.

    `why` nobody follows somebody who is gone: never_seen, absent, without_id, shared, passed. `doubt`: an id of one
    patient that is not theirs for certain, because it is shared or has passed. `settled`: a person has said who it is.
    """

    patients: tuple[UUID, ...] = ()
    way: str = ""
    known: bool = False
    why: str = ""
    doubt: str = ""
    settled: bool = False

    @property
    def one(self) -> UUID | None:
        return self.patients[0] if len(self.patients) == 1 and not self.doubt else None

    @property
    def ambiguous(self) -> bool:
        """Whether it leads to somebody for whom a person must speak."""
        return len(self.patients) > 1 or bool(self.doubt) or (not self.patients and self.why in ("shared", "passed"))


@dataclass(frozen=True)
class Tenure:
    """Who held which FileMaker id, from when to when. No beginning: from before all readings."""

    patient_id: UUID
    filemaker_id: UUID | None
    written: str
    began_at: datetime | None
    ended_at: datetime | None
    ending: str | None
    shared: bool
    recognised: bool
    settled: UUID | None


@dataclass(frozen=True)
class KnownClinic:
    """As of when all of it holds."""

    export_read_at: datetime | None
    listed_at: datetime | None
    prefixes: tuple[str, ...]
    plan: int | None
    plan_applied: bool
    plan_doubts: tuple[str, ...]
    #: While a re-import is under way: how many of the known patients are there, and how many there should be.
    reimport: tuple[int, int] | None = None
    archived: frozenset[UUID] = frozenset()

    def lists(self, key: str) -> bool:
        return key.startswith(self.prefixes) if self.prefixes else False


@dataclass(frozen=True)
class KnownPhotograph:
    """All that is known of one photograph."""

    world: KnownClinic
    row: KnownRow | None = None
    image: KnownImage | None = None
    #: Its original, and whether the bucket has it.
    key: str | None = None
    stored: Stored | None = None
    presence: Presence = Presence.UNKNOWN
    #: Where the bucket has an original of this row that no listing has seen yet.
    unlisted: str | None = None
    thumbnail: Stored | None = None
    thumbnail_presence: Presence = Presence.UNKNOWN
    #: Whom the row names, and whom the batch belongs to.
    contact: Home = Home()
    owner: Home = Home()
    #: Further images of the same object.
    doubles: tuple[UUID, ...] = ()
    #: The image that is the row's own, when this one is another.
    double_of: UUID | None = None
