"""Whether a thumbnail that somebody else made may stand in for the one we would make.

Belongs here: the rule. Does not belong here: finding such thumbnails, or what happens to the others.
"""

from __future__ import annotations

from typing import TypeGuard

from fm_migration.images.likeness import colour_distance, distance, turnings
from fm_migration.images.outcome import Made, Outcome, Partial

#: Bits of 144. Two ways of shrinking one photograph differ in one or two, two photographs in about sixty.
MOST_BITS = 14
#: Of 255. The clinic's command drops colour profiles, which shifts colours a little.
MOST_COLOUR = 32
_SHOWN_BY_BROWSERS = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def agrees(existing: Outcome, original: Outcome) -> bool:
    """Whether a thumbnail shows its whole original upright, in the size that we would make, and nothing else.

    Both have been read like any other picture, with the same recipe.
    """
    if not _is_whole(existing) or not _is_whole(original):
        return False
    return (
        existing.original_mime in _SHOWN_BY_BROWSERS
        # A thumbnail with an orientation tag is turned by some viewers only, and one with EXIF may carry a place.
        and existing.orientation == 1
        and not existing.has_metadata
        and abs(existing.width - original.thumbnail_width) <= 1
        and abs(existing.height - original.thumbnail_height) <= 1
        and colour_distance(existing.mean_colour, original.mean_colour) <= MOST_COLOUR
        and _upright(existing.perceptual_hash, original.perceptual_hash)
    )


def _is_whole(outcome: Outcome) -> TypeGuard[Made]:
    return isinstance(outcome, Made) and not isinstance(outcome, Partial)


def _upright(existing: str, original: str) -> bool:
    """Alike as it is, and not more alike turned or mirrored: a left foot mirrored looks much like a right one."""
    as_it_is = distance(existing, original)
    return as_it_is <= MOST_BITS and all(distance(turned, original) >= as_it_is for turned in turnings(existing))
