"""How thumbnails are made, in one value with a stable hash, and the names that come of it.

Belongs here: the recipe and the naming of thumbnails, so that a thumbnail is current or not by its name alone. Does
not belong here: carrying the recipe out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from uuid import UUID

#: To be raised with every change of the engine that makes visibly different thumbnails: all are then made again.
ENGINE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """At most `side` pixels in width and height; `quality` of JPEG and WebP."""

    side: int = 300
    quality: int = 85

    def __post_init__(self) -> None:
        if not (1 <= self.side <= 4096 and 1 <= self.quality <= 100):
            raise ValueError("a recipe has a side of 1 to 4096 pixels and a quality of 1 to 100")

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits, the same for the same recipe on every machine."""
        text = json.dumps({**asdict(self), "engine": ENGINE_VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The thumbnail's size for a picture of this size: never enlarged, never less than one pixel."""
        longest = max(width, height)
        if longest <= self.side:
            return width, height
        return max(1, round(width * self.side / longest)), max(1, round(height * self.side / longest))


def thumbnail_stem(prefix: str, image_id: UUID | str, recipe_hash: str, source_etag: str) -> str:
    """The key of an image's current thumbnail up to the dot: a thumbnail with another stem is out of date.

    The file name is the image's id, so that a listing of thumbnails names their images.
    """
    return f"{prefix.rstrip('/')}/{recipe_hash}-{_etag_hash(source_etag)}/{str(image_id).lower()}"


def thumbnail_key(prefix: str, image_id: UUID | str, recipe_hash: str, source_etag: str, extension: str) -> str:
    """Where a thumbnail lies. The same picture, recipe and source always give the same key."""
    return f"{thumbnail_stem(prefix, image_id, recipe_hash, source_etag)}.{extension}"


def _etag_hash(etag: str) -> str:
    """Servers write one ETag with and without quotes, and parts of an upload add a suffix: neither suits a key."""
    return hashlib.sha256(etag.strip().removeprefix("W/").strip('"').encode()).hexdigest()[:12]
