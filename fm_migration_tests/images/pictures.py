"""Files of every format, state and fault, drawn on the spot: what the clinic's dump holds, and what it may yet hold.

The picture is the same everywhere: four different corners and a bar near the top left, so that no turning and no
mirroring of it looks like another.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 480, 360
#: Top left, top right, bottom left, bottom right.
CORNERS = ((200, 60, 50), (60, 170, 80), (50, 80, 190), (210, 200, 90))
#: How pixels lie in a file whose orientation tag turns them back upright.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
SECRET = "Wilhelmina Sorrowfield"
# For writing: the engine itself calls the decoder by name.
pillow_heif.register_heif_opener()
DECODED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF")


@cache
def upright(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """The picture as a person should see it. Shared: do not draw on it."""
    image = Image.new("RGB", (2, 2))
    image.putdata(CORNERS)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    pen.rectangle((width // 8, height // 8, width // 2, height // 4), fill=(20, 20, 20))
    pen.ellipse((width * 5 // 8, height // 2, width * 7 // 8, height * 3 // 4), fill=(245, 245, 240))
    return image


def noisy(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """The same with a sensor's noise: files of it are as large as real ones, and no row is flat."""
    grains = np.random.default_rng(5).normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(upright(width, height)) + grains, 0, 255).astype(np.uint8), "RGB")


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    if kind == "HEIF":
        image.save(target, "HEIF", **{"quality": 90, "enc_params": {"preset": "ultrafast"}, **options})
    elif kind == "AVIF":
        image.save(target, "AVIF", **{"quality": 90, "speed": 10, **options})
    elif kind == "WEBP":
        image.save(target, "WEBP", **{"quality": 95, **options})
    elif kind == "GIF":
        (image.quantize(255) if image.mode == "RGB" else image).save(target, "GIF", **options)
    elif kind == "JPEG":
        image.save(target, "JPEG", **{"quality": 92, **options})
    else:
        image.save(target, kind, **options)
    return target.getvalue()


def turned(orientation: int, kind: str = "JPEG", image: Image.Image | None = None) -> bytes:
    """A file that has to be turned to be seen upright."""
    image = image or upright()
    stored = image.transpose(STORED[orientation]) if orientation in STORED else image.copy()
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file(stored, kind, exif=exif.tobytes() if kind == "HEIF" else exif)


def exif_with_secrets() -> bytes:
    """A camera's block with a place and a name in it, and a thumbnail's worth of notes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x010E], exif[0x013B] = "Lumenta", SECRET, SECRET
    exif[0x8825] = {1: "S", 2: (31.0, 14.0, 5.0), 3: "W", 4: (17.0, 42.0, 7.0)}
    return exif.tobytes()


def xmp_with_secrets() -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>{SECRET}</dc:creator></x:xmpmeta>'.encode()


def pixels(data: bytes | Image.Image) -> npt.NDArray[np.float64]:
    image = data if isinstance(data, Image.Image) else Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGB")).astype(np.float64)


def difference(thumbnail: bytes, truth: Image.Image) -> float:
    """Mean difference per channel, 0 to 255, from a picture shrunk to the thumbnail's size."""
    mine = pixels(thumbnail)
    return float(np.abs(mine - pixels(truth.resize((mine.shape[1], mine.shape[0]), Image.Resampling.LANCZOS))).mean())


# --- colour profiles ------------------------------------------------------------------------------


def display_p3() -> bytes:
    """A phone's wide-gamut profile in its simplest form: three primaries and one gamma."""
    white = (0.9642, 1.0, 0.8249)
    primaries = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
    curve = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(2.2 * 256))
    text = b"desc\0\0\0\0" + struct.pack(">I", 3) + b"P3\0" + bytes(78)
    tags = [(b"desc", text), (b"wtpt", _xyz(white))]
    tags += [(name, _xyz(values)) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(b"RGB ", tags)


def grey_gamma(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))
    return _profile(b"GRAY", [(b"wtpt", _xyz((0.9642, 1.0, 0.8249))), (b"kTRC", curve)])


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags:
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


# --- files that Pillow does not write -------------------------------------------------------------


def jpeg_from_strips(width: int, strips: list[tuple[Image.Image, int]]) -> bytes:
    """A JPEG of any height without ever holding its pixels: each strip of 16 rows, repeated.

    Behind a restart marker a row of blocks depends on nothing before it, so its code can be written again and again.
    """
    head, scan = b"", bytearray()
    rows = 0
    for strip, times in strips:
        data = file(strip.resize((width, 16)), "JPEG", quality=85, restart_marker_rows=1)
        sos = data.index(b"\xff\xda")
        head = data[:sos]
        body = sos + 2 + int.from_bytes(data[sos + 2 : sos + 4], "big")
        start = data[sos:body]
        for _ in range(times):
            scan += data[body:-2] + bytes((0xFF, 0xD0 + rows % 8))
            rows += 1
    frame = head.index(b"\xff\xc0") + 5
    head = head[:frame] + struct.pack(">H", rows * 16) + head[frame + 2 :]
    return head + start + bytes(scan[:-2]) + b"\xff\xd9"


def png(width: int, height: int, rows: bytes, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of 8 bits with anything in its header; `rows` is what is compressed, `extra` goes before it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def interlaced_png(image: Image.Image) -> bytes:
    """Adam7: seven passes, each a small picture of its own."""
    array = np.asarray(image.convert("RGB"))
    rows = bytearray()
    for x, y, step_x, step_y in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        for row in array[y::step_y, x::step_x]:
            rows += b"\0" + row.tobytes()
    return png(image.width, image.height, zlib.compress(bytes(rows)), interlaced=True)


def mpo() -> bytes:
    """What a phone with two lenses writes: a JPEG, a second one behind it, and an index of both."""
    target = io.BytesIO()
    second = Image.new("RGB", (WIDTH, HEIGHT), "magenta")
    upright().save(target, "MPO", save_all=True, append_images=[second], quality=92)
    return target.getvalue()


def pdf(image: Image.Image | None = None) -> bytes:
    target = io.BytesIO()
    (image or upright()).save(target, "PDF", resolution=72)
    return target.getvalue()


def empty_pdf(*, locked: bool = False) -> bytes:
    """Without a page; locked, with a password that nobody knows."""
    bodies = (b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>")
    lock = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
        b"1f" * 32,
        b"2e" * 32,
    )
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"/Size 3 /Root 1 0 R " + (lock if locked else b"")
    end = b"trailer << %s >>\nstartxref\n%d\n%%%%EOF" % (trailer, len(out))
    return out + b"xref\n0 3\n0000000000 65535 f \n" + table + end
