"""Whether a file is all there, by its header and by where its format ends; nothing is decoded.

Belongs here: what tells a file that was broken off on its way from a whole one. Does not belong here: damaged files
that a thumbnail can still be made of (`decoding.py`): at its arrival a file is whole, or it is asked for again.
"""

from __future__ import annotations

import io

from fm_migration.images.sniffing import FileKind

#: The ending that belongs to each kind's content, as the clinic's dump has it.
EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "TIFF": "tif",
    "BMP": "bmp",
    "AVIF": "avif",
    "HEIF": "heic",
    "PDF": "pdf",
}
_END_OF_JPEG = b"\xff\xd9"
_START_OF_SCAN = 0xDA
#: Markers of a JPEG without a length behind them.
_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
_PDF_END = 2048


def has_header(data: bytes, kind: FileKind) -> bool:
    """Whether the header can be read, and names a picture with a size."""
    if kind.name == "PDF":
        return True
    if kind.name in ("HEIF", "AVIF"):
        return _size_of_heif(data) > 0
    # Imported here: it brings Pillow, and Dagster imports this module with the code location.
    from fm_migration.images.decoding import RefusedError, open_header

    try:
        width, height = open_header(kind, data)
    except RefusedError:
        # Larger than we decode: a picture all the same, and the thumbnail's own reason later.
        return True
    except MemoryError:
        raise
    except Exception:
        # Pillow's readers of damaged headers raise whatever their arithmetic runs into.
        return False
    return width > 0 and height > 0


def is_whole(data: bytes, kind: FileKind) -> bool:
    """Whether the end of the file is where its format says. True where a format does not say."""
    if kind.name == "JPEG":
        return data.rfind(_END_OF_JPEG) > _start_of_scan(data)
    if kind.name == "PNG":
        return data.rfind(b"IEND") > 0
    if kind.name == "GIF":
        return data.rstrip(b"\0").endswith(b";")
    if kind.name == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    if kind.name == "BMP":
        return len(data) >= int.from_bytes(data[2:6], "little")
    if kind.name in ("HEIF", "AVIF"):
        return _boxes_end(data) <= len(data)
    if kind.name == "PDF":
        return b"%%EOF" in data[-_PDF_END:]
    if kind.name == "TIFF":
        return _strips_are_there(data)
    return True


def _start_of_scan(data: bytes) -> int:
    """Where the picture itself begins: an end marker before that belongs to a preview in the metadata."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return len(data)
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return at
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def _boxes_end(data: bytes) -> int:
    """Where the last of the boxes ends by their lengths."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length == 0:
            return len(data)
        if length < 8:
            return len(data) + 1
        at += length
    return at if at >= len(data) else len(data) + 1


def _size_of_heif(data: bytes) -> int:
    """Pixels of the largest picture that the boxes describe; 0 when none does."""
    pixels, at = 0, data.find(b"ispe")
    while at >= 0:
        width, height = int.from_bytes(data[at + 8 : at + 12], "big"), int.from_bytes(data[at + 12 : at + 16], "big")
        pixels, at = max(pixels, width * height), data.find(b"ispe", at + 4)
    return pixels


def _strips_are_there(data: bytes) -> bool:
    """Whether all strips or tiles of a TIFF's first picture lie within the file."""
    from PIL import TiffImagePlugin

    try:
        tags = TiffImagePlugin.TiffImageFile(io.BytesIO(data)).tag_v2
        pairs = ((273, 279), (324, 325))
        return all(
            offset + length <= len(data)
            for starts, lengths in pairs
            for offset, length in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
        )
    except MemoryError:
        raise
    except Exception:
        return False
