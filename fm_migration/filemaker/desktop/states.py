"""What becomes of each file of a desktop export, and of each line of its manifest: exactly one of these states.

Belongs here: the names, meanings and remedies, in one place, so that the asset, the terminal and the docs say the same.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a state means for a person who only wants to know whether to do something."""

    TAKEN = "taken"  # the photograph is in the dump
    CLUTTER = "clutter"  # no photograph, and nothing to do
    WAITING = "waiting"  # looked at again by the next run
    LEFT = "left"  # somebody has to look


class _Facts(NamedTuple):
    kind: Kind
    meaning: str
    remedy: str = ""


class State(StrEnum):
    """The state of a file, or of a line of the manifest that has no file."""

    TAKEN = "taken"
    UNLINKED = "unlinked"
    UNKNOWN_PATIENT = "unknown_patient"
    SAME_AGAIN = "same_again"
    CLUTTER = "clutter"
    MANIFEST = "manifest"
    GROWING = "growing"
    NOT_A_FILE = "not_a_file"
    UNREADABLE = "unreadable"
    MISNAMED = "misnamed"
    RESERVED_NAME = "reserved_name"
    THUMBNAIL = "thumbnail"
    MISPLACED = "misplaced"
    CONTRADICTS = "contradicts"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"
    BROKEN = "broken"
    CUT_OFF = "cut_off"
    MD5_DIFFERS = "md5_differs"
    SWAPPED = "swapped"
    DOUBLED = "doubled"
    CHANGED = "changed"
    EMPTY_IN_FILEMAKER = "empty_in_filemaker"
    FAILED_IN_FILEMAKER = "failed_in_filemaker"
    MISSING = "missing"

    @property
    def kind(self) -> Kind:
        return _STATES[self].kind

    @property
    def taken(self) -> bool:
        """Whether the photograph is in the dump, and its row among the metadata."""
        return self.kind is Kind.TAKEN

    @property
    def meaning(self) -> str:
        """What the state is, in a sentence without its full stop."""
        return _STATES[self].meaning

    @property
    def remedy(self) -> str:
        """What a person can do about it, as an instruction without its full stop; empty where nothing is to be done."""
        return _STATES[self].remedy


_STATES: dict[State, _Facts] = {
    State.TAKEN: _Facts(Kind.TAKEN, "the photograph is in the dump, and its row names a patient whom the app knows"),
    State.UNLINKED: _Facts(
        Kind.TAKEN,
        "the photograph is in the dump, but neither folder nor manifest names a patient",
        "Set id_Contact of the record in FileMaker and export it again",
    ),
    State.UNKNOWN_PATIENT: _Facts(
        Kind.TAKEN,
        "the photograph is in the dump, but the app knows nobody by the id of its folder or line",
        "Import the patient into the app; the photograph is linked as soon as the patient is there",
    ),
    State.SAME_AGAIN: _Facts(Kind.CLUTTER, "the same bytes as another file of the same photograph, which was taken"),
    State.CLUTTER: _Facts(
        Kind.CLUTTER, "a file of the operating system, such as .DS_Store, ._name, Thumbs.db or desktop.ini"
    ),
    State.MANIFEST: _Facts(Kind.CLUTTER, "a manifest of the export script"),
    State.GROWING: _Facts(
        Kind.WAITING,
        "the file is still being written or copied, or is the name of a copy under way",
        "Wait until the copy is complete; the next run takes it",
    ),
    State.NOT_A_FILE: _Facts(
        Kind.LEFT,
        "a link or a device; nothing is followed out of the folder",
        "Copy the photograph itself into the folder",
    ),
    State.UNREADABLE: _Facts(
        Kind.LEFT, "this user may not read the file or its folder", "Give the user of this process read access"
    ),
    State.MISNAMED: _Facts(
        Kind.LEFT,
        "the name is neither an image id nor a recid, so nothing says which photograph it is",
        "Name the file after the record's id or recid, or export it again with the script",
    ),
    State.RESERVED_NAME: _Facts(
        Kind.LEFT,
        "the path holds a name that Windows reserves for a device, such as CON or LPT1",
        "Name the file after the record's id or recid, or export it again with the script",
    ),
    State.THUMBNAIL: _Facts(Kind.LEFT, "the name ends in _thumb, so it is a thumbnail and no original"),
    State.MISPLACED: _Facts(
        Kind.LEFT,
        "the file lies deeper than <patient>/<date>/ with one more folder, so its folders cannot be read for certain",
        "Move it to <patient>/<date>/",
    ),
    State.CONTRADICTS: _Facts(
        Kind.LEFT,
        "the folders, or the folders and the manifest, name two patients or two days",
        "Look in FileMaker whose photograph it is, and export it again with the script",
    ),
    State.EMPTY: _Facts(
        Kind.LEFT, "the file has no bytes", "Look at the record's container in FileMaker and export it again"
    ),
    State.TOO_LARGE: _Facts(
        Kind.LEFT, "the file is larger than a photograph can be", "Look whether it is a photograph at all"
    ),
    State.NOT_AN_IMAGE: _Facts(
        Kind.LEFT,
        "the content is neither a picture nor a PDF, whatever its name says",
        "Look at the record's container in FileMaker",
    ),
    State.BROKEN: _Facts(
        Kind.LEFT,
        "the picture is broken off or its head cannot be read, and no MD5 says that it left FileMaker so",
        "Copy the file again from where the export was made, or export it again with the script",
    ),
    State.CUT_OFF: _Facts(
        Kind.LEFT,
        "the file has another size than the manifest says",
        "Copy the file again from where the export was made, or export it again",
    ),
    State.MD5_DIFFERS: _Facts(
        Kind.LEFT,
        "the bytes are not those that left FileMaker, by the MD5 of the manifest",
        "Copy the file again from where the export was made, or export it again",
    ),
    State.SWAPPED: _Facts(
        Kind.LEFT,
        "the bytes are those of another line of the manifest, so two files have changed places",
        "Export both records again; never correct it by renaming",
    ),
    State.DOUBLED: _Facts(
        Kind.LEFT,
        "several files with different bytes claim to be one photograph, and nothing says which it is",
        "Remove the wrong one, or export the record again with the script, whose manifest tells them apart",
    ),
    State.CHANGED: _Facts(
        Kind.LEFT,
        "the dump holds another picture of this photograph, and originals are never overwritten",
        "Compare the two; take the wrong one out of the folder, or the object out of the dump by hand",
    ),
    State.EMPTY_IN_FILEMAKER: _Facts(
        Kind.LEFT, "the manifest says that the record has no picture", "Nothing, or add the picture in FileMaker"
    ),
    State.FAILED_IN_FILEMAKER: _Facts(
        Kind.LEFT,
        "the manifest says that FileMaker could not export the picture",
        "Look the error up in FileMaker's list of error codes, and export the record again",
    ),
    State.MISSING: _Facts(
        Kind.LEFT,
        "the manifest has the photograph, and the folder does not",
        "Copy the folder again, or let filemaker_images bring it",
    ),
}
