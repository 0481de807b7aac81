"""Thumbnails of the clinic's own command: adopted when faithful, left alone when sideways, mirrored or another's."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fm_migration.images.adoption import agrees
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.likeness import BITS, colour_distance, distance, portrait, turnings
from fm_migration.images.outcome import Made, Outcome
from fm_migration.images.recipe import Recipe
from fm_migration_tests.images import pictures

TURNS = list(Image.Transpose)


def clinics_thumbnail(original: bytes, kind: str = "JPEG") -> bytes:
    """As the clinic's command makes it: stored pixels, no orientation, no profile."""
    image = Image.open(io.BytesIO(original)).copy()
    image.thumbnail((300, 300), Image.Resampling.LANCZOS)
    return pictures.file(image, kind, quality=85) if kind == "JPEG" else pictures.file(image, kind)


def photograph(orientation: int = 1, width: int = 1200, height: int = 900) -> bytes:
    return pictures.turned(orientation, "JPEG", pictures.noisy(width, height))


def is_faithful(thumbnail: bytes, original: Outcome, recipe: Recipe | None = None) -> bool:
    return agrees(make_thumbnail(thumbnail, recipe or Recipe()), original)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_thumbnail_of_an_upright_original_is_faithful(kind: str) -> None:
    original = photograph()
    assert is_faithful(clinics_thumbnail(original, kind), make_thumbnail(original))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("shape", [(1200, 900), (900, 900)])
def test_a_sideways_or_mirrored_one_is_not(orientation: int, shape: tuple[int, int]) -> None:
    original = photograph(orientation, *shape)
    assert not is_faithful(clinics_thumbnail(original), make_thumbnail(original))


def test_a_mirrored_foot_that_is_nearly_symmetric_is_not() -> None:
    """The hash of a picture and of its mirror image may lie close together; the closer one decides."""
    half = Image.new("L", (450, 900))
    half.putdata([min(255, 30 + (x * 7 + y * 3) // 45) for y in range(900) for x in range(450)])
    image = Image.new("L", (900, 900))
    image.paste(half, (0, 0))
    image.paste(ImageOps.mirror(half), (450, 0))
    image.paste(image.crop((0, 0, 450, 120)).point(lambda value: value // 2), (0, 400))
    original = make_thumbnail(pictures.file(image, "JPEG"))
    small = image.resize((300, 300), Image.Resampling.LANCZOS)
    assert is_faithful(pictures.file(small, "JPEG"), original)
    assert not is_faithful(pictures.file(ImageOps.mirror(small), "JPEG"), original)


def test_another_photograph_of_the_same_size_is_not() -> None:
    thumbnail = pictures.file(ImageOps.invert(pictures.upright()).resize((300, 225)), "JPEG")
    assert not is_faithful(thumbnail, make_thumbnail(photograph()))


def test_blank_pages_of_different_colours_are_different() -> None:
    """Nothing in them is darker than its neighbour, so their hashes agree."""
    white, black = (Image.new("RGB", (600, 600), colour) for colour in ("white", "black"))
    thumbnail = pictures.file(white.resize((300, 300)), "JPEG")
    assert is_faithful(thumbnail, make_thumbnail(pictures.file(white, "JPEG")))
    assert not is_faithful(thumbnail, make_thumbnail(pictures.file(black, "JPEG")))


@pytest.mark.parametrize("size", [(150, 112), (300, 222), (303, 227), (225, 300)])
def test_the_wrong_size_is_not(size: tuple[int, int]) -> None:
    thumbnail = pictures.file(pictures.noisy(1200, 900).resize(size), "JPEG")
    assert not is_faithful(thumbnail, make_thumbnail(photograph()))


def test_one_pixel_of_rounding_is() -> None:
    thumbnail = pictures.file(pictures.noisy(1200, 900).resize((300, 224), Image.Resampling.LANCZOS), "JPEG")
    assert is_faithful(thumbnail, make_thumbnail(photograph()))


def test_one_that_carries_a_place_or_a_name_is_not() -> None:
    small = pictures.noisy(1200, 900).resize((300, 225), Image.Resampling.LANCZOS)
    original = make_thumbnail(photograph())
    assert is_faithful(pictures.file(small, "JPEG"), original)
    assert not is_faithful(pictures.file(small, "JPEG", exif=pictures.exif_with_secrets()), original)
    assert not is_faithful(pictures.file(small, "JPEG", comment=pictures.SECRET), original)


def test_one_that_browsers_do_not_show_is_not() -> None:
    small = pictures.noisy(1200, 900).resize((300, 225), Image.Resampling.LANCZOS)
    assert not is_faithful(pictures.file(small, "TIFF"), make_thumbnail(photograph()))


def test_damage_on_either_side_is_not() -> None:
    original = photograph()
    thumbnail = clinics_thumbnail(original)
    assert not is_faithful(thumbnail[: len(thumbnail) * 9 // 10], make_thumbnail(original))
    assert not is_faithful(thumbnail, make_thumbnail(original[: len(original) * 8 // 10]))
    for nothing in (b"", b"<html>"):
        assert not is_faithful(nothing, make_thumbnail(original))
        assert not is_faithful(thumbnail, make_thumbnail(nothing))


def test_our_own_thumbnails_are_faithful_for_every_format() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"):
        original = make_thumbnail(pictures.file(pictures.noisy(), kind))
        assert isinstance(original, Made)
        assert is_faithful(original.thumbnail, original), kind


def test_another_recipe_s_thumbnails_are_judged_by_that_recipe() -> None:
    recipe = Recipe(side=120)
    original: Outcome = make_thumbnail(photograph(), recipe)
    assert isinstance(original, Made)
    assert is_faithful(original.thumbnail, original, recipe)
    assert agrees(make_thumbnail(original.thumbnail, recipe), original)
    assert not is_faithful(clinics_thumbnail(photograph()), original, recipe)


# --- the hash -------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", TURNS)
def test_the_turned_hash_is_the_hash_of_the_turned_picture(turn: Image.Transpose) -> None:
    square = pictures.noisy(900, 900)
    text, _ = portrait(square)
    turned, _ = portrait(square.transpose(turn))
    # Not equal: neighbouring cells that are alike have no order that could turn round.
    nearest = min(distance(turned, candidate) for candidate in turnings(text))
    assert nearest <= 8 < distance(turned, text)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**BITS - 1))
def test_turnings_are_seven_and_come_back(value: int) -> None:
    text = f"{value:0{BITS // 4}x}"
    assert len(turnings(text)) == 7
    # Whatever way a picture was turned, one of the seven ways turns it back.
    assert all(text in turnings(turned) for turned in turnings(text))


def test_distances() -> None:
    zeros, ones = "0" * (BITS // 4), "f" * (BITS // 4)
    assert distance(zeros, zeros) == 0
    assert distance(zeros, ones) == BITS
    assert colour_distance("#102030", "#10ff31") == 0xFF - 0x20
