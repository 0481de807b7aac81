"""What the path of an exported file says: which photograph, whose, and of which day.

Belongs here: names and folders as FileMaker, macOS, Windows and people write them, read as pure functions over text.
Does not belong here: opening anything. Paths are relative to the export's folder, with `/` between their parts.

A path is a claim and never an identity: a folder that a person has moved says something else, and the manifest wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fm_migration.filemaker.desktop.states import State
from fm_migration.filemaker.rows import LONGEST_RECID, uuid_of

#: What the script writes where a record has no patient, or no date.
UNLINKED = "unlinked"
UNDATED = "undated"
#: The folder that the script makes; people choose it, or the one above.
ROOT = "exports"
#: `<patient>/10/18/2016/` and one folder more.
DEEPEST = 5

_CLUTTER = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized", "icon\r", ".apdisk"})
_CLUTTER_FOLDERS = frozenset(
    {
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".temporaryitems",
    }
)
#: What browsers, rsync, cloud drives and Office call a file that is not complete yet.
_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".icloud", ".filepart", "~")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
_MANIFEST = re.compile(r"manifest[^/]*\.(?:tsv|tab|txt)", re.IGNORECASE)

_HEX = "[0-9a-fA-F]"
_UUID = rf"\{{?{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\}}?|{_HEX}{{32}}"
#: ` 1` macOS, ` (1)` Windows and browsers, `_2` FileMaker and scripts, `copy` the Finder, `- Copy` the Explorer.
_AGAIN = r" \d{1,3}| ?\(\d{1,3}\)|_\d{1,3}|(?: -)? copy(?: \d{1,3}| ?\(\d{1,3}\))?"
_NAME = re.compile(
    rf"(?:(?P<uuid>{_UUID})|(?P<recid>[0-9]{{1,{LONGEST_RECID}}}))(?P<thumb>_thumb)?(?P<again>(?:{_AGAIN})*)"
    r"(?P<extensions>(?:\.[0-9a-z]{1,8}){0,2})\.?",
    re.IGNORECASE | re.ASCII,
)

_DAY = re.compile(r"\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})|\d{4}[-./]\d{1,2}[-./]\d{1,2}", re.ASCII)
#: macOS shows a `/` of a name as `:` below the Finder, and a share of Windows' makes U+F022 of it.
_SLASHES = str.maketrans({":": "/", "\uf022": "/", "∕": "/", "⁄": "/", "_": "-", "–": "-"})


class PathFacts(NamedTuple):
    """What a path says. With `trouble` it says nothing that may be used."""

    trouble: State | None = None
    recid: str | None = None
    image_id: str | None = None
    #: Whose folder it lies in, as it is written there; empty where the path names nobody.
    contact: str = ""
    #: The day as it is written, with `/`, `-` or `.` between its parts; empty where the path names none.
    date: str = ""
    #: Whether the name bears the mark of a second copy.
    again: bool = False
    extension: str = ""


def read_path(path: str) -> PathFacts:
    """What a path says. Total: any text has an answer."""
    *folders, name = normal(path).split("/")
    if trouble := _no_photograph(folders, name):
        return PathFacts(trouble)
    found = _NAME.fullmatch(name)
    if found is None:
        return PathFacts(State.MISNAMED)
    if found["thumb"]:
        return PathFacts(State.THUMBNAIL)
    said = _Folders(folders)
    if trouble := said.trouble():
        return PathFacts(trouble)
    extension = found["extensions"].rpartition(".")[2]
    return PathFacts(
        recid=found["recid"] and str(found["recid"]),
        image_id=uuid_of(found["uuid"]) if found["uuid"] else None,
        contact=said.contact(),
        date=said.dates[0] if said.dates else "",
        again=bool(found["again"]),
        extension=extension.lower(),
    )


def normal(path: str) -> str:
    """A path in the form in which two of them can be compared: composed characters, and `/` between its parts."""
    return unicodedata.normalize("NFC", path)


def is_manifest(path: str) -> bool:
    """Whether a path is that of a manifest: in the folder itself, or in the folder `exports` below it."""
    *folders, name = normal(path).split("/")
    return bool(_MANIFEST.fullmatch(name)) and len(folders) <= 1 and all(map(_is_root, folders))


def _no_photograph(folders: Sequence[str], name: str) -> State | None:
    """Why a path cannot be a photograph's, whatever it says besides."""
    lowered = name.lower()
    if lowered in _CLUTTER or name.startswith("._") or any(part.lower() in _CLUTTER_FOLDERS for part in folders):
        return State.CLUTTER
    if name.startswith((".", "~")) or lowered.endswith(_UNFINISHED):
        return State.GROWING
    if any(_RESERVED.fullmatch(part.partition(".")[0].rstrip(" ")) for part in (*folders, name)):
        return State.RESERVED_NAME
    if ".." in folders or any(ord(character) < 32 for part in (*folders, name) for character in part):
        return State.MISPLACED if ".." in folders else State.MISNAMED
    return None


class _Folders:
    """What the folders of a path say, each taken for what it looks like."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.patients: list[str] = []
        self.dates: list[str] = []
        self.others: list[str] = []
        self.unlinked = False
        # An empty folder exists in a bucket only: there it is a patient who is not named.
        parts = [folder.strip(" \xa0").rstrip(".") for folder in folders]
        if parts and _is_root(parts[0]):
            parts = parts[1:]
        self.depth = len(parts)
        for kind, text in _kinds(parts):
            if kind == "patient":
                self.patients.append(text)
            elif kind == "date":
                self.dates.append(text)
            elif kind == "nobody":
                self.unlinked = True
            elif kind == "other":
                self.others.append(text)

    def trouble(self) -> State | None:
        """Why nothing that the folders say may be used."""
        if len(set(map(uuid_of, self.patients))) > 1 or len(set(self.dates)) > 1 or (self.unlinked and self.patients):
            return State.CONTRADICTS
        if len(self.others) > 1 or self.depth > DEEPEST:
            return State.MISPLACED
        return None

    def contact(self) -> str:
        """Whose folder it is; a folder that is not an id stands for a patient only where no other one does."""
        if self.patients:
            return self.patients[0]
        return "" if self.unlinked else "".join(self.others)


def _kinds(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each folder, or three of them that are one date together, as what it looks like."""
    at = 0
    while at < len(parts):
        part, three = parts[at], "/".join(parts[at : at + 3])
        plain = part.translate(_SLASHES)
        if uuid_of(part):
            yield "patient", part
        elif part.lower() == UNLINKED or part == "":
            yield "nobody", ""
        elif part.lower() == UNDATED:
            yield "undated", ""
        elif _DAY.fullmatch(plain):
            yield "date", plain
        elif part.isdecimal() and _DAY.fullmatch(three) and three.count("/") == 2:
            yield "date", three
            at += 2
        else:
            yield "other", part
        at += 1


def _is_root(folder: str) -> bool:
    return folder.lower() == ROOT
