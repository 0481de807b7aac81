"""A thumbnail is current or not by its name: the name changes with the recipe and the source, and with nothing else."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.images.recipe import Recipe, thumbnail_key, thumbnail_stem

IMAGE = uuid.UUID("7d0c7f6e-2f5d-4a39-9a53-0d5f7f0c6b11")
ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'


def test_the_hash_of_the_recipe_is_the_same_for_ever() -> None:
    """When this fails, every thumbnail of every clinic will be made again. Then it should be on purpose."""
    assert Recipe().hash == "91ccd3634e9a"


def test_every_part_of_the_recipe_counts() -> None:
    assert len({Recipe().hash, Recipe(side=299).hash, Recipe(quality=84).hash}) == 3


@pytest.mark.parametrize(("side", "quality"), [(0, 85), (5000, 85), (300, 0), (300, 101)])
def test_an_impossible_recipe(side: int, quality: int) -> None:
    with pytest.raises(ValueError, match="recipe"):
        Recipe(side, quality)


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 4096))
def test_a_thumbnail_fits_keeps_its_shape_and_is_never_enlarged(width: int, height: int, side: int) -> None:
    across, down = Recipe(side=side).fit(width, height)
    assert 1 <= across <= min(side, width)
    assert 1 <= down <= min(side, height)
    if max(width, height) > side:
        assert max(across, down) == side
        scale = side / max(width, height)
        assert abs(across - max(1, width * scale)) <= 0.5
        assert abs(down - max(1, height * scale)) <= 0.5
    assert Recipe(side=side).fit(height, width) == (down, across)


def test_the_key() -> None:
    key = thumbnail_key("thumbnails/", IMAGE, Recipe().hash, ETAG, "jpg")
    assert key.startswith(f"thumbnails/{Recipe().hash}-")
    assert key.endswith(f"/{IMAGE}.jpg")
    assert key == thumbnail_stem("thumbnails", str(IMAGE).upper(), Recipe().hash, ETAG) + ".jpg"


def test_quotes_around_an_etag_are_the_server_s_style() -> None:
    bare = thumbnail_stem("t/", IMAGE, "r", ETAG.strip('"'))
    assert thumbnail_stem("t/", IMAGE, "r", ETAG) == bare == thumbnail_stem("t/", IMAGE, "r", f"W/{ETAG}")


@given(st.text(max_size=60), st.text(max_size=60), st.uuids(), st.uuids())
def test_different_sources_and_images_have_different_keys(one: str, other: str, a: uuid.UUID, b: uuid.UUID) -> None:
    def same(text: str) -> str:
        return text.strip().removeprefix("W/").strip('"')

    keys_agree = thumbnail_stem("t/", a, "r", one) == thumbnail_stem("t/", b, "r", other)
    assert keys_agree == (a == b and same(one) == same(other))
    key = thumbnail_key("t/", a, "r", one, "jpg")
    # Whatever a server calls an ETag, the key stays short and plain.
    assert key.isascii() and len(key) < 80 and ".." not in key
