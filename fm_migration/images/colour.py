"""From what files hold (palettes, 16 bits, CMYK, profiles, alpha) to the sRGB that every browser shows alike.

Belongs here: modes and colour profiles. Does not belong here: geometry.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

#: Larger ones exist only to do harm; a printer's profile has up to two and a half megabytes.
_LARGEST_PROFILE = 4 * 1024 * 1024
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBa", "RGBA"})
_AS_THEY_ARE = frozenset({"L", "RGB", "RGBA", "CMYK", "LAB"})


def ready_to_shrink(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels may be averaged: L, RGB, RGBA, CMYK or LAB, 8 bits each."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in _AS_THEY_ARE:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A (small) picture in sRGB: mode L, RGB, or RGBA when any of it is transparent."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = _through_profile(image if alpha is None else image.convert("RGB"), profile)
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours = colours.convert("RGB")
        colours.putalpha(alpha)
    return colours


def over_white(image: Image.Image) -> Image.Image:
    """The picture as it shows on a white page."""
    if image.mode != "RGBA":
        return image
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits by their full range; of 32 bits and of fractions by what the picture uses of theirs."""
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
        image = image if image.mode == "I;16" else image.convert("I")
    else:
        low, high = (float(edge) for edge in image.getextrema())  # type: ignore[arg-type]  # one band: two numbers
        if low >= 0:
            low, high = 0.0, next((top for top in (1.0, 255.0, 65535.0) if high <= top), high)
    # Also false for the not-a-numbers that a file of fractions may hold.
    if not high - low > 0:
        return Image.new("L", image.size)
    scale = 255 / (high - low)
    return image.point(lambda value: value * scale - low * scale).convert("L")


def _through_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode in _SPACES and (profile or image.mode == "LAB"):
        try:
            transform = _transform(profile, image.mode)
            if transform is not None:
                return transform.apply(image)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            # A broken or unfitting profile costs the exact colours, not the picture.
            pass
    return image if image.mode in ("L", "RGB") else _without_profile(image)


def _without_profile(image: Image.Image) -> Image.Image:
    return image.getchannel(0) if image.mode == "LAB" else image.convert("RGB")


@lru_cache(maxsize=4)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None when the profile is for something else than this picture. A clinic's camera has one profile."""
    if profile is None:
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif len(profile) > _LARGEST_PROFILE:
        return None
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() != _SPACES[mode].strip():
        return None
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(source, target, mode, "RGB")
