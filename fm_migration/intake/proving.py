"""Whether bytes that came are the photograph, before it counts.

A status of 200 proves nothing: an error page, half a file and nothing at all were met with it. So length, type, magic
bytes, header, the end of the format and, where the source tells it, the MD5 must fit. What does not is named.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from fm_migration.images.sniffing import kind_of
from fm_migration.images.wholeness import EXTENSIONS, has_header, is_whole


class Flaw(StrEnum):
    """What stands against bytes that came. docs/intake.md explains each to a person."""

    ZERO_BYTES = "zero_bytes"
    SHORT = "short"
    ERROR_PAGE = "error_page"
    NOT_A_PICTURE = "not_a_picture"
    BROKEN_HEADER = "broken_header"
    BROKEN_OFF = "broken_off"
    OTHER_MD5 = "other_md5"


@dataclass(frozen=True)
class Proof:
    """What proves a photograph, to be kept with it."""

    size: int
    sha256: str
    md5: str
    content_type: str
    extension: str
    #: The MD5 that the source told; None when it tells none.
    source_md5: str | None = None


def prove(
    body: bytes, *, announced: int | None = None, content_type: str = "", source_md5: str | None = None
) -> Proof | Flaw:
    """The proof, or what stands against it."""
    if not body:
        return Flaw.ZERO_BYTES
    if announced is not None and announced != len(body):
        return Flaw.SHORT
    kind = kind_of(body)
    if kind.mime in ("text/html", "application/json") or content_type == "text/html":
        return Flaw.ERROR_PAGE
    if kind.name not in EXTENSIONS:
        # PDFs have no decoder of Pillow's, and are known all the same.
        return Flaw.NOT_A_PICTURE
    flaw = _flaw_inside(body)
    if flaw is not None:
        return flaw
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    told = (source_md5 or "").strip().lower() or None
    if told is not None and told != md5:
        return Flaw.OTHER_MD5
    return Proof(len(body), hashlib.sha256(body).hexdigest(), md5, kind.mime, EXTENSIONS[kind.name], told)


def _flaw_inside(body: bytes) -> Flaw | None:
    kind = kind_of(body)
    if not has_header(body, kind):
        return Flaw.BROKEN_HEADER
    return None if is_whole(body, kind) else Flaw.BROKEN_OFF
