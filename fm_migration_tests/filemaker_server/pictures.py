"""Pictures, made when they are asked for: real JPEGs, PNGs and HEICs, another one for every record and container.

A dozen of each are drawn; what makes the picture of one record its own is a comment inside the file, which a decoder
skips and a checksum does not. So a hundred thousand photographs cost neither time nor memory, and each can be known
again by its SHA-256.

Belongs here: bytes. Does not belong here: which record has which picture (`clinic.py`).
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Literal

from PIL import Image, ImageDraw

from fm_migration_tests.filemaker_server.settings import CONTAINERS

Format = Literal["jpg", "png", "heic"]

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "heic": "image/heic"}
#: Width and height of the largest; each next container has about two thirds of it.
SIZES = {name: (round(320 * 0.66**step), round(240 * 0.66**step)) for step, name in enumerate(CONTAINERS)}
VARIANTS = 12
_LARGEST_COMMENT = 65_000


def picture(container: str, form: Format, number: int, padded_to: int = 0) -> bytes:
    """The picture in one container of the record with this number."""
    note = f"invented photograph {number} {container}".encode()
    base = _drawn(container, form, number % VARIANTS)
    share = 0.5 ** CONTAINERS.index(container)
    padding = max(0, int(padded_to * share) - len(base))
    return _WITH_NOTE[form](base, note, padding)


def heic_can_be_made() -> bool:
    """pillow-heif is an extra, and some builds of it only decode."""
    try:
        return bool(_drawn(CONTAINERS[-1], "heic", 0))
    except (ImportError, KeyError, OSError, RuntimeError):
        return False


@cache
def _drawn(container: str, form: Format, variant: int) -> bytes:
    width, height = SIZES[container]
    angle = variant / VARIANTS
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    tint = Image.new("RGB", (width, height), (int(255 * angle), int(255 * (1 - angle)), 40 + 15 * variant))
    image = Image.blend(image, tint, 0.4)
    draw = ImageDraw.Draw(image)
    for ring in range(3, 3 + variant):
        inset = ring * min(width, height) // 40
        draw.ellipse((inset, inset, width - inset, height - inset), outline=(255, 255 - 20 * ring, 20 * ring))
    sink = io.BytesIO()
    if form == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
        image.save(sink, "HEIF", quality=60)
    else:
        image.save(sink, "JPEG" if form == "jpg" else "PNG", **({"quality": 85} if form == "jpg" else {}))
    return sink.getvalue()


def _with_jpeg_comment(data: bytes, note: bytes, padding: int) -> bytes:
    """Comments stand right behind the marker that opens the file."""
    parts = [note]
    while padding > 0:
        parts.append(b"." * min(padding, _LARGEST_COMMENT))
        padding -= _LARGEST_COMMENT
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return data[:2] + comments + data[2:]


def _with_png_text(data: bytes, note: bytes, padding: int) -> bytes:
    """A text chunk behind the header chunk, whose length is always the same; padding in a private chunk."""
    header = 8 + 25
    chunks = _png_chunk(b"tEXt", b"Comment\0" + note)
    if padding > 0:
        chunks += _png_chunk(b"fmPd", b"." * padding)
    return data[:header] + chunks + data[header:]


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_heic_box(data: bytes, note: bytes, padding: int) -> bytes:
    """A box of free space at the end."""
    body = note + b"." * max(0, padding)
    return data + struct.pack(">I", 8 + len(body)) + b"free" + body


_WITH_NOTE = {"jpg": _with_jpeg_comment, "png": _with_png_text, "heic": _with_heic_box}
