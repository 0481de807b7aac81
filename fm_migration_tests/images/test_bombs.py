"""Small files that claim to be large ones. None of them may cost more than itself."""

from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.isolation import IsolatedEngine
from fm_migration.images.outcome import Made, Outcome, RefusalReason, Unreadable
from fm_migration_tests.images import pictures


def png_header(width: int, height: int) -> bytes:
    return pictures.png(width, height, zlib.compress(bytes(1000)))


def jpeg_header(width: int, height: int, *, progressive: bool = False) -> bytes:
    data = bytearray(pictures.file(pictures.upright(), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_header(width: int, height: int) -> bytes:
    data = bytearray(pictures.file(pictures.upright(), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_header(width: int, height: int) -> bytes:
    data = bytearray(pictures.file(pictures.upright(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff_header(width: int, height: int) -> bytes:
    data = bytearray(pictures.file(pictures.upright(), "TIFF"))
    for tag, value in ((256, width), (257, height)):
        at = data.index(struct.pack("<HH", tag, 4)) if struct.pack("<HH", tag, 4) in data else -1
        if at < 0:
            at = data.index(struct.pack("<HHI", tag, 3, 1))
            data[at + 2 : at + 4] = struct.pack("<H", 4)
        data[at + 8 : at + 12] = struct.pack("<I", value)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    """An extended header of the largest canvas, with nothing on it."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


CLAIMS = {
    "png": png_header(60_000, 60_000),
    "jpeg": jpeg_header(65_500, 65_500),
    "progressive jpeg": jpeg_header(20_000, 12_000, progressive=True),
    "gif": gif_header(65_535, 65_535),
    "bmp": bmp_header(60_000, 60_000),
    "tiff": tiff_header(60_000, 60_000),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_more_pixels_than_the_format_s_limit(name: str) -> None:
    outcome = make_thumbnail(CLAIMS[name])
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.TOO_LARGE


def test_the_reason_names_the_pixels_and_the_limit() -> None:
    outcome = make_thumbnail(CLAIMS["png"])
    assert isinstance(outcome, Unreadable)
    assert outcome.detail == "60000 × 60000 pixels, the limit is 100 million"


def isolated(data: bytes, megabytes: int) -> Outcome:
    with IsolatedEngine(workers=1, memory=megabytes * 1024 * 1024) as engine:
        ((_, outcome),) = engine.imap([("bomb", data)])
    return outcome


def test_pixels_within_the_limit_of_the_format_and_beyond_that_of_memory() -> None:
    """99 million black pixels fit into 100 KB of file."""
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(9900 * 3 + 1)) for _ in range(10_000)) + rows.flush()
    bomb = pictures.png(9900, 10_000, packed)
    assert len(bomb) < 500_000
    outcome = isolated(bomb, 128)
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "extra",
    [
        pictures.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(300_000_000), 1)),
        pictures.chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(300_000_000), 1)),
    ],
    ids=["text", "profile"],
)
def test_a_compressed_chunk_beside_the_picture(extra: bytes) -> None:
    """Three hundred megabytes of nothing in a comment or in a colour profile."""
    rows = zlib.compress(b"".join(b"\0" + bytes([row % 256]) * 90 for row in range(30)))
    outcome = isolated(pictures.png(30, 30, rows, extra=extra), 200)
    assert isinstance(outcome, Made | Unreadable)


def test_a_huge_canvas_of_webp() -> None:
    outcome = isolated(webp_header(16_383, 16_383), 200)
    assert isinstance(outcome, Unreadable)


def test_a_phone_picture_of_200_megapixels_is_no_bomb() -> None:
    """16,320 × 12,240 pixels, as phones have written since 2022. They would take 800 MB; an eighth takes 12."""
    sky, floor = Image.new("RGB", (64, 16), (90, 140, 220)), Image.new("RGB", (64, 16), (120, 90, 60))
    outcome = isolated(pictures.jpeg_from_strips(16_320, [(sky, 382), (floor, 383)]), 100)
    assert isinstance(outcome, Made)
    assert (outcome.width, outcome.height) == (16_320, 12_240)
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == (300, 225)
    shown = pictures.pixels(outcome.thumbnail)
    assert abs(shown[:108] - (90, 140, 220)).max() < 8
    assert abs(shown[117:] - (120, 90, 60)).max() < 8
