"""The whole way from a file to its thumbnail, in this process.

Belongs here: the order of the steps. Does not belong here: the steps, or protection from files that crash, loop or
devour memory (isolation.py).
"""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

from PIL import Image

from fm_migration.images import colour, decoding, documents
from fm_migration.images.decoding import Decoded, RefusedError
from fm_migration.images.likeness import portrait
from fm_migration.images.outcome import Made, NotAnImage, Outcome, Partial, RefusalReason, Unreadable
from fm_migration.images.recipe import Recipe
from fm_migration.images.sniffing import FileKind, kind_of

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: A large picture is first averaged down by whole numbers, to no less than this many times its final size.
_REDUCING_GAP = 3.0


class _Output(NamedTuple):
    format: str
    mime: str
    extension: str


_JPEG = _Output("JPEG", "image/jpeg", "jpg")
_PNG = _Output("PNG", "image/png", "png")
#: The original's format where every browser shows it. The tablets of a clinic are too old for AVIF.
_OUTPUTS = {"PNG": _PNG, "GIF": _Output("GIF", "image/gif", "gif"), "WEBP": _Output("WEBP", "image/webp", "webp")}


def make_thumbnail(data: bytes, recipe: Recipe | None = None) -> Outcome:
    """The thumbnail of a file's first picture or page, or why there is none. Never raises because of the file."""
    recipe = recipe or Recipe()
    digest = hashlib.sha256(data).hexdigest()
    kind = kind_of(data)
    if not kind.name or (kind.name == "PDF" and not documents.can_render()):
        return _without_picture(data, kind, digest)
    try:
        decoded = documents.render(data, recipe) if kind.name == "PDF" else decoding.decode(kind, data, recipe)
        return _finish(kind, decoded, recipe, digest)
    except RefusedError as refusal:
        return Unreadable(refusal.reason, kind.mime, digest, refusal.detail)
    except Image.DecompressionBombError:
        # A frame or a tile inside the file claims to be far larger than the picture.
        return Unreadable(RefusalReason.TOO_LARGE, kind.mime, digest)
    except MemoryError:
        return Unreadable(RefusalReason.OUT_OF_MEMORY, kind.mime, digest)
    except Exception as error:
        # Decoders raise whatever a damaged file runs them into. Only the kind of error is kept: its words may quote
        # the file.
        return Unreadable(RefusalReason.DAMAGED, kind.mime, digest, type(error).__name__)


def _without_picture(data: bytes, kind: FileKind, digest: str) -> Unreadable | NotAnImage:
    if not data:
        return Unreadable(RefusalReason.EMPTY, kind.mime, digest)
    if not data.strip(b"\0"):
        return Unreadable(RefusalReason.EMPTY, kind.mime, digest, "nothing but zero bytes")
    return NotAnImage(kind.mime, digest)


def _finish(kind: FileKind, decoded: Decoded, recipe: Recipe, digest: str) -> Made:
    # Taken first: the profile does not survive all conversions.
    profile = decoded.image.info.get("icc_profile")
    small = _shrunk(colour.ready_to_shrink(decoded.image), decoded, recipe)
    upright = colour.to_srgb(small, profile)
    width, height = decoded.width, decoded.height
    if decoded.orientation in _TURN:
        upright = upright.transpose(_TURN[decoded.orientation])
        if decoded.orientation >= 5:
            width, height = height, width
    output = _OUTPUTS.get(kind.name, _PNG if upright.mode == "RGBA" else _JPEG)
    likeness, mean = portrait(colour.over_white(upright))
    facts = Made(
        thumbnail=_encoded(upright, output, recipe),
        format=output.format,
        mime=output.mime,
        extension=output.extension,
        thumbnail_width=upright.width,
        thumbnail_height=upright.height,
        width=width,
        height=height,
        original_mime=kind.mime,
        original_sha256=digest,
        orientation=decoded.recorded_orientation,
        has_metadata=decoded.has_metadata,
        mean_colour=mean,
        perceptual_hash=likeness,
    )
    if decoded.share is None:
        return facts
    return Partial(**{name: getattr(facts, name) for name in Made.__slots__}, recognisable=round(decoded.share, 3))


def _shrunk(image: Image.Image, decoded: Decoded, recipe: Recipe) -> Image.Image:
    size = recipe.fit(*((decoded.width, decoded.height) if decoded.box else image.size))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=decoded.box, reducing_gap=_REDUCING_GAP)


def _encoded(image: Image.Image, output: _Output, recipe: Recipe) -> bytes:
    # Encoders copy comments, profiles and more from `info`; nothing of the original's may get into a thumbnail.
    bare = image.copy()
    bare.info = {}
    target = io.BytesIO()
    if output.format == "JPEG":
        bare.save(target, "JPEG", quality=recipe.quality, optimize=True)
    elif output.format == "WEBP":
        bare.save(target, "WEBP", quality=recipe.quality)
    else:
        bare.save(target, output.format)
    return target.getvalue()
