"""What a key says: original, thumbnail, quarantined or something else, and whose photograph it claims to be.

Belongs here: the layouts of keys that are met in the bucket, as pure functions over text. Does not belong here:
looking at an object's bytes (an extension proves nothing), or deciding which patient a photograph belongs to.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

DUMP_PREFIX = "filemaker-import/images-bulk-dump/"

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
#: A recid or an image UUID, perhaps marked as a thumbnail, perhaps with an extension. No dot may follow the
#: first one: `12.jpg.part` is somebody's half-finished download.
_NAME = re.compile(
    rf"(?:(?P<recid>[0-9]+)|(?P<image_id>{_UUID}))(?P<thumb>_[Tt][Hh][Uu][Mm][Bb])?(?:\.(?P<ext>[^./]*))?", re.ASCII
)


class KeyKind(StrEnum):
    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    QUARANTINE = "quarantine"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class KeyLayout:
    """Which prefix of the bucket holds what. The longest prefix that fits decides, so one may lie inside another."""

    #: `<recid>.<ext>`, `<image UUID>.<ext>` and what a broken exporter made of them.
    dump: tuple[str, ...] = (DUMP_PREFIX,)
    #: `<patient id>/<date>/<image id>.<ext>`, synced from FileMaker Pro.
    exports: tuple[str, ...] = ()
    #: Thumbnails that we make.
    thumbnails: tuple[str, ...] = ()
    quarantine: tuple[str, ...] = ()

    def area(self, key: str) -> tuple[str, str]:
        """The name of the area that a key lies in ('' when in none), and the rest of the key after its prefix."""
        best, name = None, ""
        for candidate in ("dump", "exports", "thumbnails", "quarantine"):
            for prefix in getattr(self, candidate):
                if key.startswith(prefix) and (best is None or len(prefix) > len(best)):
                    best, name = prefix, candidate
        return name, key[len(best or "") :]


class PathClaim(NamedTuple):
    """What the folders of an exported photograph say about it.

    A claim, not an identity: the folder may carry the patient's app UUID, which a re-import makes stale. Compare
    it with the export's row; never link a photograph by it alone.
    """

    contact: str
    date: str


class KeyFacts(NamedTuple):
    """What one key says. `recid` is the digits as written, with leading zeros; `image_id` is in lower case."""

    kind: KeyKind
    recid: str | None = None
    image_id: str | None = None
    claim: PathClaim | None = None
    extension: str = ""  # in lower case, without the dot


_OTHER = KeyFacts(KeyKind.OTHER)


def classify(key: str, layout: KeyLayout) -> KeyFacts:
    """What a key says about its object, by the layout of the bucket. Total: any text has an answer."""
    area, rest = layout.area(key)
    if not area or not rest or rest.endswith(("/", "_$folder$")):
        return _OTHER
    if area == "dump":
        return _in_dump(rest)
    if area == "exports":
        return _in_exports(rest)
    facts = _named(rest.rpartition("/")[2])
    kind = KeyKind.QUARANTINE if area == "quarantine" else KeyKind.THUMBNAIL
    if facts is _OTHER:
        return KeyFacts(kind, extension=_extension(rest))
    return facts._replace(kind=kind)


def shown_key(key: str) -> str:
    """A key for messages and logs: its file name when that is one of our ids, else a short hash.

    Folders and names made by people are left out, as they may carry a patient's name or id.
    """
    name = key.rpartition("/")[2]
    if _NAME.fullmatch(name):
        return name
    return f"object #{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _in_dump(rest: str) -> KeyFacts:
    name, slash, inner = rest.partition("/")
    facts = _named(name)
    if not slash or facts is _OTHER:
        return _OTHER if slash else facts
    # `<key>.jpg/<random uuid>.jpg`: the folder has the identity, the random UUID inside has none. The clinic's
    # thumbnail command has since put `<random uuid>_thumb.jpg` beside some of them.
    nested = _named(inner)
    if nested.image_id is None:
        return _OTHER
    thumbnail = KeyKind.THUMBNAIL in (facts.kind, nested.kind)
    return facts._replace(
        kind=KeyKind.THUMBNAIL if thumbnail else KeyKind.ORIGINAL, extension=nested.extension or facts.extension
    )


def _in_exports(rest: str) -> KeyFacts:
    parts = rest.split("/")
    facts = _named(parts[-1])
    if len(parts) != 3 or not all(parts) or facts is _OTHER:
        return _OTHER
    return facts._replace(claim=PathClaim(parts[0], parts[1]))


def _named(name: str) -> KeyFacts:
    match = _NAME.fullmatch(name)
    if match is None:
        return _OTHER
    recid, image_id, thumb, extension = match.group("recid", "image_id", "thumb", "ext")
    return KeyFacts(
        kind=KeyKind.THUMBNAIL if thumb else KeyKind.ORIGINAL,
        recid=recid,
        image_id=image_id.lower() if image_id else None,
        extension=(extension or "").lower(),
    )


def _extension(name: str) -> str:
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return extension.lower() if dot and stem else ""
