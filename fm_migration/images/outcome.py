"""What may come of a file: a thumbnail, a thumbnail of a part, a reason why not, or no picture at all.

Belongs here: the types, plain values that travel between processes. Does not belong here: how they come about.
Nothing in them repeats what a file says in its metadata: no place, no name, no comment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Values of the EXIF orientation under which the stored picture is a mirror image of what was photographed.
MIRRORED = frozenset({2, 4, 5, 7})


class RefusalReason(StrEnum):
    """Why a picture cannot be read, in words for a list of findings."""

    EMPTY = "the file is empty"
    DAMAGED = "the file is damaged or cut off"
    TOO_LARGE = "the picture is larger than its format's limit"
    ENCRYPTED = "the file needs a password"
    NO_DECODER = "no decoder for this format is installed"
    OUT_OF_MEMORY = "decoding needs more memory than allowed"
    TIMED_OUT = "decoding takes longer than allowed"
    CRASHED = "the file crashed the decoder"


@dataclass(frozen=True, slots=True)
class Made:
    """A thumbnail, and what is known of its original."""

    thumbnail: bytes
    format: str  # JPEG, PNG, GIF or WEBP
    mime: str
    extension: str  # that belongs to the format, without a dot
    thumbnail_width: int
    thumbnail_height: int
    #: As a person sees the original, not as its pixels are stored. Of a PDF: the first page in points.
    width: int
    height: int
    original_mime: str
    original_sha256: str
    #: As the file records it, 1 to 8; the thumbnail is upright whatever it says.
    orientation: int
    #: Whether the original carries EXIF, XMP, IPTC or a comment. The thumbnail never does.
    has_metadata: bool
    mean_colour: str  # "#rrggbb", transparent parts over white
    perceptual_hash: str  # see likeness.py

    @property
    def mirrored(self) -> bool:
        """Whether software that ignores the orientation shows a left foot as a right one."""
        return self.orientation in MIRRORED


@dataclass(frozen=True, slots=True)
class Partial(Made):
    """A thumbnail of a damaged file: the upper part is there, the rest is one flat colour."""

    recognisable: float  # share of the picture, 0.5 to 1


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that cannot be shown. Trying again helps only when the object changes."""

    reason: RefusalReason
    original_mime: str
    original_sha256: str
    detail: str = ""  # figures and names of ours, for a person who looks into it


@dataclass(frozen=True, slots=True)
class NotAnImage:
    """Something else than a picture: a video, a page of HTML, a spreadsheet."""

    kind: str  # a mime type; application/octet-stream when nobody knows
    original_sha256: str


Outcome = Made | Partial | Unreadable | NotAnImage
