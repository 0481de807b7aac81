"""How an outcome travels from a worker to its parent: a line of JSON and the thumbnail's bytes.

Belongs here: both directions. Does not belong here: the processes.

Not pickle: whoever takes a worker over through a hole in a decoder could run anything in the parent with it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any

from fm_migration.images.outcome import Made, NotAnImage, Outcome, Partial, RefusalReason, Unreadable

#: Length of the JSON, length of the thumbnail.
LENGTHS = struct.Struct("<II")
#: No honest answer is larger.
MOST_FACTS = 64 * 1024
MOST_THUMBNAIL = 64 * 1024 * 1024

_KINDS: dict[str, type[Made | Partial | Unreadable | NotAnImage]] = {
    kind.__name__: kind for kind in (Made, Partial, Unreadable, NotAnImage)
}


class GarbledError(ValueError):
    """What came is not an outcome."""


def pack(outcome: Outcome) -> bytes:
    facts: dict[str, Any] = asdict(outcome)
    thumbnail = facts.pop("thumbnail", b"")
    text = json.dumps({"outcome": type(outcome).__name__, **facts}).encode()
    return b"".join((LENGTHS.pack(len(text), len(thumbnail)), text, thumbnail))


def lengths(beginning: bytes) -> tuple[int, int]:
    """How many bytes of facts and of thumbnail follow."""
    facts, thumbnail = LENGTHS.unpack(beginning)
    if facts > MOST_FACTS or thumbnail > MOST_THUMBNAIL:
        raise GarbledError("an answer of implausible length")
    return facts, thumbnail


def unpack(text: bytes, thumbnail: bytes) -> Outcome:
    """The outcome that was packed; every value is checked for its type, as the sender may have been taken over."""
    try:
        facts = json.loads(text)
        kind = _KINDS[facts.pop("outcome")]
        if issubclass(kind, Made):
            facts["thumbnail"] = thumbnail
        if issubclass(kind, Unreadable):
            facts["reason"] = RefusalReason(facts["reason"])
        outcome = kind(**facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GarbledError("an answer that says nothing") from error
    _check_types(outcome)
    return outcome


_TYPES: dict[str, type] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "bytes": bytes,
    "RefusalReason": RefusalReason,
}


def _check_types(outcome: Outcome) -> None:
    for name, spec in type(outcome).__dataclass_fields__.items():
        # Annotations are texts, as in all our modules; exact types, for True is an int too.
        if type(getattr(outcome, name)) is not _TYPES[str(spec.type)]:
            raise GarbledError(f"{name} is of another type")
