"""Other ways to a thumbnail: the clinic's command, Pillow by default, libvips, and the bare decoder as the floor.

Belongs here: one function per way, from the bytes of a JPEG to the bytes of its thumbnail (the floors: to nothing).
Each has its best settings for this work. pyvips and simplejpeg are optional: put them on PYTHONPATH.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, JpegImagePlugin

SIDE = 300
QUALITY = 85


def seed(data: bytes) -> bytes:
    """The clinic's command: open, copy, thumbnail. The copy decodes all twelve megapixels."""
    image = Image.open(io.BytesIO(data)).copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return _saved(image)


def pillow(data: bytes) -> bytes:
    """`Image.thumbnail()` with its own defaults, which shrink on load."""
    image = Image.open(io.BytesIO(data))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return _saved(image)


def decode_pillow(data: bytes) -> bytes:
    """No thumbnail: only libjpeg-turbo's decoding at an eighth, as Pillow calls it."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft(None, (450, 338))
    image.load()
    return b""


def decode_turbo(data: bytes) -> bytes:
    """The same through simplejpeg, the thinnest wrapper of libjpeg-turbo that there is as a wheel."""
    import simplejpeg  # type: ignore[import-not-found,unused-ignore]  # installed for this benchmark only

    simplejpeg.decode_jpeg(data, "RGB", min_width=337, min_height=337)
    return b""


def vips(data: bytes) -> bytes:
    """pyvips with shrinking on load, turned upright, colours as they are."""
    import pyvips  # type: ignore[import-not-found,unused-ignore]  # installed for this benchmark only

    image = pyvips.Image.thumbnail_buffer(data, SIDE, height=SIDE)
    thumbnail: bytes = image.jpegsave_buffer(Q=QUALITY, keep="none")
    return thumbnail


def vips_srgb(data: bytes) -> bytes:
    """The same with the colours converted to sRGB, as our engine does."""
    import pyvips

    image = pyvips.Image.thumbnail_buffer(data, SIDE, height=SIDE, output_profile="srgb")
    thumbnail: bytes = image.jpegsave_buffer(Q=QUALITY, keep="none")
    return thumbnail


def vipsthumbnail(paths: list[Path]) -> None:
    """libvips' own command, all files in one call."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--size", f"{SIDE}x{SIDE}", "--export-profile", "srgb"]
        target = str(Path(folder, f"%s.jpg[Q={QUALITY},strip]"))
        subprocess.run(["vipsthumbnail", *options, "-o", target, *map(str, paths)], check=True)


def installed(*modules: str) -> bool:
    return all(find_spec(module) for module in modules)


def has_vipsthumbnail() -> bool:
    return shutil.which("vipsthumbnail") is not None


def _saved(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
