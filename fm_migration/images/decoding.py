"""From the bytes of a file to its first picture, decoded no larger than a thumbnail needs where the format allows.

Belongs here: the allow-list of formats with their limits, and rescuing what is left of a damaged file. Does not
belong here: colours, turning, shrinking.

Pillow's classes are called by name. `Image.open` would try every plugin it knows, one of which hands files to
Ghostscript, and it has one limit of pixels for all formats.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from fm_migration.images.outcome import RefusalReason
from fm_migration.images.recipe import Recipe
from fm_migration.images.sniffing import FileKind

# At the level of debugging Pillow writes the values of tags into the log, and a tag may hold a patient's name.
logging.getLogger("PIL").setLevel(logging.INFO)

MEGA = 1_000_000
#: Most pixels per format. A JPEG is shrunk while it is decoded: the 200 megapixels of a phone cost a few megabytes.
#: The others unfold completely, at 4 bytes a pixel and, with alpha, once more; HEIF and AVIF need a third copy.
LIMITS = {
    "JPEG": 600 * MEGA,
    "PNG": 100 * MEGA,
    "TIFF": 100 * MEGA,
    "BMP": 100 * MEGA,
    "WEBP": 100 * MEGA,
    "GIF": 50 * MEGA,
    "HEIF": 64 * MEGA,
    "AVIF": 64 * MEGA,
}
#: The decoder keeps a progressive JPEG's coefficients of all pixels until the last scan.
PROGRESSIVE_LIMIT = 100 * MEGA
#: How much larger than the thumbnail the decoder's output may get. Less shows (measured by SSIM), more costs time.
DRAFT_MARGIN = 1.5
#: Of a damaged picture at least this share must be there for a person to recognise it.
LEAST_SHARE = 0.5
#: A run of zero bytes at the end of a JPEG this long is not a camera's padding but a transfer that was broken off.
_ZERO_TAIL = 512

_ORIENTATION = 0x0112
_END_OF_JPEG = b"\xff\xd9"
_TELLTALES = ("exif", "xmp", "comment", "photoshop", "Raw profile type exif", "XML:com.adobe.xmp")
#: Tags of a TIFF that people and cameras write into: description, make, artist, XMP, copyright, IPTC, EXIF, GPS.
_TELLING_TAGS = (270, 271, 315, 700, 33432, 33723, 34665, 34853)

_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}


class RefusedError(Exception):
    """This file gives no picture. Never leaves the package: it becomes an `Unreadable`."""

    def __init__(self, reason: RefusalReason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason, detail)


@dataclass(slots=True)
class Decoded:
    """A decoded picture, as its pixels are stored."""

    image: Image.Image
    width: int  # of the original, before the decoder shrank it
    height: int
    #: The part of `image` that the original's edges enclose: shrinking rounds up to whole pixels.
    box: tuple[float, float, float, float] | None = None
    orientation: int = 1  # still to be applied
    recorded_orientation: int = 1  # as the file says
    has_metadata: bool = False
    #: Of a damaged file: how much of the picture is there. None: the file is whole.
    share: float | None = None


def can_decode(kind: FileKind) -> bool:
    """Whether this installation has a decoder for the format."""
    if kind.name == "HEIF":
        return _heif() is not None
    return kind.name in _OPENERS and (kind.name not in ("WEBP", "AVIF") or bool(features.check(kind.name.lower())))


def one_thread_each() -> None:
    """Decoders that start threads of their own shall not, in a process that is one of several."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    _heif()


def open_header(kind: FileKind, data: bytes) -> tuple[int, int]:
    """Width and height by the header alone. Raises `RefusedError`, or whatever the reader stumbles over."""
    if not can_decode(kind):
        raise RefusedError(RefusalReason.NO_DECODER)
    return _open(kind, data).size


def decode(kind: FileKind, data: bytes, recipe: Recipe) -> Decoded:
    """The first picture of a file of this kind. Raises `RefusedError`, or whatever the decoder stumbles over."""
    if not can_decode(kind):
        raise RefusedError(RefusalReason.NO_DECODER)
    whole = data
    if kind.name == "JPEG":
        whole = _without_zero_tail(data)
    image = _open(kind, whole)
    decoded = Decoded(image, image.width, image.height)
    recorded = _recorded_orientation(kind, image)
    decoded.box = _shrink_on_load(kind, image, recipe)
    if len(whole) == len(data) and _load(image):
        decoded.has_metadata = _has_metadata(image)
        decoded.orientation = _orientation(image)
    else:
        decoded.has_metadata = _has_metadata(image)
        decoded.image = _rescued(kind, image, whole, recipe)
        decoded.orientation = _orientation(image)
        decoded.share = _share_there(decoded.image, upside_down=kind.name == "BMP")
        if decoded.share < LEAST_SHARE:
            raise RefusedError(RefusalReason.DAMAGED, f"{decoded.share:.0%} of the picture is there")
    decoded.recorded_orientation = recorded or decoded.orientation
    return decoded


def _open(kind: FileKind, data: bytes) -> ImageFile.ImageFile:
    opener = _heif() if kind.name == "HEIF" else _OPENERS[kind.name]
    image: ImageFile.ImageFile = opener(io.BytesIO(data))
    if kind.name == "JPEG":
        # All at once: fed by 64 KB, the decoder stops and resumes for every piece.
        image.decodermaxblock = len(data)
    limit = LIMITS[kind.name]
    if image.info.get("progressive"):
        limit = min(limit, PROGRESSIVE_LIMIT)
    if image.width * image.height > limit:
        raise RefusedError(
            RefusalReason.TOO_LARGE, f"{image.width} × {image.height} pixels, the limit is {limit // MEGA} million"
        )
    return image


def _heif() -> Any:
    """Class of pillow-heif, None without it. Thumbnails inside the file are not used: editors leave stale ones."""
    try:
        import pillow_heif
    except ImportError:
        return None
    options = pillow_heif.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return pillow_heif.HeifImageFile


def _shrink_on_load(
    kind: FileKind, image: ImageFile.ImageFile, recipe: Recipe
) -> tuple[float, float, float, float] | None:
    """Have a JPEG decoded at a half, a quarter or an eighth. Anything that touches the pixels first undoes this."""
    if kind.name != "JPEG":
        return None
    width, height = recipe.fit(image.width, image.height)
    drafted = image.draft(None, (ceil(width * DRAFT_MARGIN), ceil(height * DRAFT_MARGIN)))
    return drafted[1] if drafted else None


def _load(image: ImageFile.ImageFile) -> bool:
    """Decode; False when the file breaks off or the decoder gives up on it."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception:
        # Decoders of damaged files raise whatever their arithmetic runs into: OSError, SyntaxError, struct.error ...
        return False
    return True


# --- orientation and metadata -----------------------------------------------------------------------------------


def _recorded_orientation(kind: FileKind, image: ImageFile.ImageFile) -> int:
    """What the file says, of formats whose decoder turns the picture and then forgets. 0: ask after decoding."""
    if kind.name == "TIFF":
        return _orientation(image)
    if kind.name == "HEIF":
        return _valid(image.info.get("original_orientation"))
    return 0


def _orientation(image: Image.Image) -> int:
    try:
        return _valid(image.getexif().get(_ORIENTATION))
    except MemoryError:
        raise
    except Exception:
        # A broken EXIF block costs the orientation, not the picture.
        return 1


def _valid(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _has_metadata(image: ImageFile.ImageFile) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return any(tag in image.tag_v2 for tag in _TELLING_TAGS)
    if isinstance(image, PngImagePlugin.PngImageFile) and any(isinstance(text, str) for text in image.info.values()):
        return True
    return any(image.info.get(key) for key in _TELLTALES)


# --- damaged files ----------------------------------------------------------------------------------------------


def _without_zero_tail(data: bytes) -> bytes:
    """A JPEG without the zeros that stand in for the rest of it; decoders take them for a grey area, silently."""
    if not data.endswith(b"\0" * _ZERO_TAIL):
        return data
    stripped = data.rstrip(b"\0")
    return data if stripped.endswith(_END_OF_JPEG) else stripped


def _rescued(kind: FileKind, image: ImageFile.ImageFile, data: bytes, recipe: Recipe) -> Image.Image:
    """What a damaged file still gives, the missing part in one flat colour."""
    if kind.name == "JPEG":
        # With an end put behind it the decoder fills up the rest, and of a progressive one shows all scans so far.
        mended = _open(kind, data + _END_OF_JPEG)
        _shrink_on_load(kind, mended, recipe)
        if _load(mended):
            return mended
    if _is_interlaced(image):
        raise RefusedError(RefusalReason.DAMAGED, "interlaced, and cut off before its last pass")
    # What has been decoded up to the failure stays in the image; without tiles, loading it is no more than a look.
    image.tile = []
    try:
        image.load()
        if kind.name == "TIFF":
            image.load_end()
    except OSError as error:
        raise RefusedError(RefusalReason.DAMAGED) from error
    return image


def _is_interlaced(image: ImageFile.ImageFile) -> bool:
    """Rows of an interlaced file are spread over the whole picture, so it has gaps instead of an end."""
    if image.info.get("interlace"):
        return True
    arguments = image.tile[0].args if isinstance(image, GifImagePlugin.GifImageFile) and image.tile else None
    return isinstance(arguments, tuple) and len(arguments) > 1 and bool(arguments[1])


def _share_there(image: Image.Image, *, upside_down: bool) -> float:
    """Share of rows before the flat area that ends at the last pixel: nothing was decoded from there on."""
    grey = image.convert("L")
    last = grey.getpixel((0, 0) if upside_down else (grey.width - 1, grey.height - 1))
    bounds = grey.point([0 if value == last else 255 for value in range(256)]).getbbox()
    if bounds is None:
        return 0.0
    return (grey.height - bounds[1] if upside_down else bounds[3]) / grey.height
