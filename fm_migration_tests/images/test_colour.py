"""Palettes, depths, inks, profiles and transparency: the thumbnail shows the colours of the original."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Made
from fm_migration_tests.images import pictures


def made(data: bytes) -> Made:
    outcome = make_thumbnail(data)
    assert type(outcome) is Made, outcome
    return outcome


def in_profile(image: Image.Image, profile: bytes, mode: str = "RGB") -> Image.Image:
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target, outputMode=mode)
    assert converted is not None
    return converted


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_is_converted_to_srgb(kind: str) -> None:
    """Phones photograph in a wider range of colours; shown without conversion they look dull."""
    wide = in_profile(pictures.upright(), pictures.display_p3())
    assert pictures.difference(pictures.file(wide, "PNG"), pictures.upright()) > 8
    outcome = made(pictures.file(wide, kind, icc_profile=pictures.display_p3()))
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 3.5
    assert "icc_profile" not in Image.open(io.BytesIO(outcome.thumbnail)).info


def test_a_profile_of_a_heif_is_converted_too() -> None:
    wide = in_profile(pictures.upright(), pictures.display_p3())
    data = pictures.file(wide, "HEIF", icc_profile=pictures.display_p3(), icc_profile_type="prof")
    assert pictures.difference(made(data).thumbnail, pictures.upright()) < 3.5


def test_a_profile_of_grey() -> None:
    grey = pictures.upright().convert("L")
    dark = in_profile(grey.convert("RGB"), pictures.grey_gamma(1.0), "L")
    outcome = made(pictures.file(dark, "PNG", icc_profile=pictures.grey_gamma(1.0)))
    assert pictures.difference(outcome.thumbnail, grey) < 4


@pytest.mark.parametrize(
    "profile", [b"no profile at all", pictures.display_p3()[:200], pictures.grey_gamma(2.2), bytes(5 * 1024 * 1024)]
)
def test_a_broken_or_unfitting_profile_costs_the_exact_colours_only(profile: bytes) -> None:
    data = pictures.file(pictures.upright(), "TIFF", icc_profile=profile)
    assert pictures.difference(made(data).thumbnail, pictures.upright()) < 3


def test_inks_of_a_printer() -> None:
    data = pictures.file(pictures.upright().convert("CMYK"), "JPEG")
    assert pictures.difference(made(data).thumbnail, pictures.upright()) < 4


def test_lab_of_a_scanner() -> None:
    lab = ImageCms.profileToProfile(
        pictures.upright(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert pictures.difference(made(pictures.file(lab, "TIFF")).thumbnail, pictures.upright()) < 4


def deep(scale: float, kind: str) -> Image.Image:
    grey = np.asarray(pictures.upright().convert("L")).astype(np.float64)
    return Image.fromarray((grey * scale).astype(kind))


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (deep(257, "<u2"), "PNG"),
        (deep(257, "<u2"), "TIFF"),
        (deep(257, ">u2"), "TIFF"),
        (deep(257, "<i4"), "TIFF"),
        (deep(8_000_000, "<i4"), "TIFF"),
        (deep(1 / 255, "<f4"), "TIFF"),
        (deep(1, "<f4"), "TIFF"),
    ],
)
def test_more_than_eight_bits(image: Image.Image, kind: str) -> None:
    """Decoders clip them to white unless told otherwise."""
    # By the range that a picture uses, the darkest and the lightest may come out a little apart.
    assert pictures.difference(made(pictures.file(image, kind)).thumbnail, pictures.upright().convert("L")) < 8


def test_a_flat_picture_of_many_bits() -> None:
    outcome = made(pictures.file(Image.new("F", (40, 30), float("nan")), "TIFF"))
    assert outcome.mean_colour == "#000000"


def test_sixteen_bits_per_colour() -> None:
    rows = np.asarray(pictures.upright()).astype(">u2") * 257
    import zlib

    data = bytearray(pictures.png(480, 360, zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    data[24] = 16
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    assert pictures.difference(made(bytes(data)).thumbnail, pictures.upright()) < 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_black_and_white_becomes_grey(kind: str) -> None:
    dots = pictures.upright().convert("1")
    outcome = made(pictures.file(dots, kind))
    assert pictures.difference(outcome.thumbnail, dots.convert("L")) < 6
    assert len(np.unique(pictures.pixels(outcome.thumbnail))) > 16


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_palette(kind: str) -> None:
    outcome = made(pictures.file(pictures.upright().quantize(255), kind))
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 6


@pytest.mark.parametrize("mode", ["L", "YCbCr"])
def test_grey_and_luminance(mode: str) -> None:
    kind = "PNG" if mode == "L" else "TIFF"
    outcome = made(pictures.file(pictures.upright().convert(mode), kind))
    assert pictures.difference(outcome.thumbnail, pictures.upright().convert(mode).convert("RGB")) < 4


# --- transparency ---------------------------------------------------------------------------------


def half_transparent(mode: str = "RGBA") -> Image.Image:
    image = pictures.upright().convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 240, 360))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize(
    ("image", "kind", "kept"),
    [
        (half_transparent(), "PNG", "PNG"),
        (half_transparent("LA"), "PNG", "PNG"),
        (half_transparent().quantize(200), "PNG", "PNG"),
        (half_transparent(), "WEBP", "WEBP"),
        (half_transparent(), "GIF", "GIF"),
        (half_transparent(), "TIFF", "PNG"),
        (half_transparent(), "AVIF", "PNG"),
        (half_transparent(), "HEIF", "PNG"),
    ],
)
def test_transparency_is_kept(image: Image.Image, kind: str, kept: str) -> None:
    """A JPEG has none, so formats that would become one become a PNG instead."""
    outcome = made(pictures.file(image, kind))
    thumbnail = Image.open(io.BytesIO(outcome.thumbnail)).convert("RGBA")
    assert outcome.format == kept
    assert np.asarray(thumbnail)[:, :148, 3].max() < 8
    assert np.asarray(thumbnail)[:, 152:, 3].min() > 247


def test_colours_under_transparent_pixels_do_not_bleed() -> None:
    thumbnail = Image.open(io.BytesIO(made(pictures.file(half_transparent(), "PNG")).thumbnail))
    shown = np.asarray(thumbnail)
    edge = shown[100:120, 149:153]
    truth = np.asarray(pictures.upright().resize((300, 225)))[100:120, 149:153]
    visible = edge[..., 3] > 60
    assert np.abs(edge[..., :3].astype(int) - truth)[visible].max() < 40


def test_a_colour_declared_transparent() -> None:
    image = pictures.upright().copy()
    image.paste((1, 2, 3), (0, 0, 240, 360))
    outcome = made(pictures.file(image, "PNG", transparency=(1, 2, 3)))
    assert np.asarray(Image.open(io.BytesIO(outcome.thumbnail)).convert("RGBA"))[:, :145, 3].max() < 8


def test_alpha_that_hides_nothing_is_dropped() -> None:
    opaque: Any = pictures.upright().convert("RGBA")
    outcome = made(pictures.file(opaque, "TIFF"))
    assert outcome.format == "JPEG"
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 3


def test_the_mean_colour_sees_transparency_over_white() -> None:
    assert made(pictures.file(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")).mean_colour == "#ffffff"
    assert made(pictures.file(Image.new("RGB", (500, 50), (18, 52, 86)), "PNG")).mean_colour == "#123456"
