"""What follows from what the engine says of a file: a state, the words for it, and what the app's row shall say. Pure.

Belongs here: the decisions. Does not belong here: reading, making and writing.
"""

from __future__ import annotations

from typing import NamedTuple

from fm_migration.images.outcome import Made, NotAnImage, Outcome, Partial, Unreadable
from fm_migration.images.recipe import thumbnail_key
from fm_migration.thumbnails.thumbnailing import FinishedThumbnail, Pending, ThumbnailState

#: What a column of the app holds: a file may claim more.
_LARGEST_INTEGER = 2**31 - 1


class ThumbnailDecision(NamedTuple):
    """What became of an image; `upload` is the thumbnail that has to be in the bucket before its row names it."""

    finished: FinishedThumbnail
    upload: bytes | None = None


def unavailable(pending: Pending, etag: str, trouble: str) -> ThumbnailDecision:
    """The original could not be had. What the app shows stays."""
    return ThumbnailDecision(
        FinishedThumbnail(
            clinic_image=pending.clinic_image,
            source_key=pending.source_key,
            source_etag=etag,
            present_key=pending.present_key,
            state=ThumbnailState.UNAVAILABLE,
            reason=trouble,
            key=_kept(pending),
        )
    )


def judge(
    pending: Pending,
    etag: str,
    outcome: Outcome,
    *,
    adopted_size: int | None,
    recipe_hash: str,
    prefix: str,
    names_a_side: bool,
) -> ThumbnailDecision:
    """`adopted_size`: the bytes of the clinic's own thumbnail, where that is faithful."""
    if isinstance(outcome, Made):
        return _with_thumbnail(pending, etag, outcome, adopted_size, recipe_hash, prefix, names_a_side)
    return ThumbnailDecision(_without(pending, etag, outcome))


def _with_thumbnail(
    pending: Pending,
    etag: str,
    made: Made,
    adopted_size: int | None,
    recipe_hash: str,
    prefix: str,
    names_a_side: bool,
) -> ThumbnailDecision:
    adopted = adopted_size is not None and pending.existing_key is not None
    if adopted and pending.existing_key is not None and adopted_size is not None:
        state, key, size = ThumbnailState.ADOPTED, pending.existing_key, adopted_size
    else:
        state = ThumbnailState.PARTIAL if isinstance(made, Partial) else ThumbnailState.CURRENT
        key = thumbnail_key(prefix, pending.clinic_image, recipe_hash, etag, made.extension)
        size = len(made.thumbnail)
    width, height = min(made.width, _LARGEST_INTEGER), min(made.height, _LARGEST_INTEGER)
    finished = FinishedThumbnail(
        clinic_image=pending.clinic_image,
        source_key=pending.source_key,
        source_etag=etag,
        present_key=pending.present_key,
        state=state,
        reason=f"{made.recognisable:.0%} of the picture can be seen" if isinstance(made, Partial) else "",
        key=key,
        size=size,
        width=width,
        height=height,
        mime_type=made.original_mime,
        original_sha256=made.original_sha256,
        mean_colour=made.mean_colour,
        mirrored_side=made.mirrored and names_a_side,
        after=_row(key, size, width, height, made.original_mime),
    )
    return ThumbnailDecision(finished, None if adopted else made.thumbnail)


def _without(pending: Pending, etag: str, outcome: Unreadable | NotAnImage) -> FinishedThumbnail:
    if isinstance(outcome, NotAnImage):
        state, mime, reason = ThumbnailState.NOT_AN_IMAGE, outcome.kind, f"not a picture but {outcome.kind}"
    else:
        state, mime = ThumbnailState.UNREADABLE, outcome.original_mime
        reason = f"{outcome.reason.value}{': ' + outcome.detail if outcome.detail else ''}"
    # A thumbnail of ours that shows another picture must not stay; one that only could not be made anew may.
    wrong = pending.source_changed and _kept(pending) is not None
    return FinishedThumbnail(
        clinic_image=pending.clinic_image,
        source_key=pending.source_key,
        source_etag=etag,
        present_key=pending.present_key,
        state=state,
        reason=reason,
        key=None if wrong else _kept(pending),
        mime_type=mime,
        original_sha256=outcome.original_sha256,
        after=_row("", None, None, None, mime) if wrong else {},
    )


def _kept(pending: Pending) -> str | None:
    """The thumbnail of ours that the app shows, if it does."""
    return pending.present_key if pending.present_key and pending.present_key == pending.our_key else None


def _row(key: str, size: int | None, width: int | None, height: int | None, mime: str) -> dict[str, object]:
    """All columns of the app that a thumbnail decides."""
    return {"s3_thumbnail_key": key, "thumbnail_size": size, "width": width, "height": height, "mime_type": mime}
