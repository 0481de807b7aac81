"""Failure catalogue 13: portrait photographs must not lie on their side, nor left feet become right ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Made, Partial
from fm_migration.images.recipe import Recipe
from fm_migration_tests.images import pictures

# Pillow warns of what it finds in damaged files; the workers do not listen to it either.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_of_every_format_that_has_one(kind: str, orientation: int) -> None:
    outcome = make_thumbnail(pictures.turned(orientation, kind))
    assert type(outcome) is Made
    assert (outcome.width, outcome.height) == (480, 360)
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == (300, 225)
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 4


def test_the_measure_of_these_tests_tells_every_turning_apart() -> None:
    """Square, so that no size gives a turned picture away."""
    image = pictures.upright(300, 300)
    for transpose in pictures.STORED.values():
        assert pictures.difference(pictures.file(image, "PNG"), image.transpose(transpose)) > 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_what_the_file_records_is_reported(kind: str, orientation: int) -> None:
    """For the finding about left and right: other software may show a mirrored picture of this file."""
    outcome = make_thumbnail(pictures.turned(orientation, kind))
    assert isinstance(outcome, Made)
    assert outcome.orientation == orientation
    assert outcome.mirrored == (orientation in (2, 4, 5, 7))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_tiff_compressed_by_the_library_is_turned_once(orientation: int) -> None:
    exif = {274: orientation}
    stored = pictures.upright().transpose(pictures.STORED[orientation])
    outcome = make_thumbnail(pictures.file(stored, "TIFF", tiffinfo=exif, compression="tiff_lzw"))
    assert isinstance(outcome, Made)
    assert (outcome.width, outcome.height, outcome.orientation) == (480, 360, orientation)
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(value: int) -> None:
    outcome = make_thumbnail(pictures.turned(value))
    assert isinstance(outcome, Made)
    assert outcome.orientation == 1
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 4


def test_a_broken_exif_block_costs_the_orientation_only() -> None:
    broken = b"Exif\0\0MM\0*\xff\xff\xff\xff\x12\x34garbage"
    outcome = make_thumbnail(pictures.file(pictures.upright(), "JPEG", exif=broken))
    assert type(outcome) is Made
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 4


def test_a_cut_off_portrait_stands_upright_too() -> None:
    data = pictures.turned(6, "JPEG", pictures.noisy())
    outcome = make_thumbnail(data[: len(data) * 8 // 10])
    assert type(outcome) is Partial
    assert (outcome.width, outcome.height, outcome.thumbnail_width, outcome.thumbnail_height) == (480, 360, 300, 225)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 8), st.sampled_from(["JPEG", "PNG"]))
def test_sizes_are_of_the_upright_picture_whatever_the_shape(w: int, h: int, orientation: int, kind: str) -> None:
    outcome = make_thumbnail(pictures.turned(orientation, kind, pictures.upright().resize((w, h))))
    assert isinstance(outcome, Made)
    assert (outcome.width, outcome.height) == (w, h)
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == Recipe().fit(w, h)
