"""The photographs: what the plan says of a file is what a decoder finds in it."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pillow_heif
import pypdfium2
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from fm_migration.embedded.sample import pictures
from fm_migration.embedded.sample.model import Picture
from fm_migration.embedded.sample.plan import design_clinic

PICTURE = Picture(view="dorsal", side="L", label="4711", width=450, height=600, variation=12)


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures in grey values."""
    a, b = (np.asarray(image.convert("L"), dtype=float) for image in (one, other))
    return float(np.abs(a - b).mean())


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("orientation", range(9))
def test_every_orientation_turns_back_upright(orientation: int) -> None:
    picture = replace(PICTURE, orientation=orientation)
    stored = opened(pictures.draw(picture))
    assert stored.getexif().get(0x0112, 0) == orientation
    seen = ImageOps.exif_transpose(stored)
    assert seen.size == (450, 600)
    assert distance(seen, pictures.upright(picture)) < 6
    if orientation > 1:
        assert stored.size != (450, 600) or distance(stored, pictures.upright(picture)) > 10


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_formats_are_what_they_say(file_format: str) -> None:
    picture = replace(PICTURE, format=file_format)
    image = opened(pictures.draw(picture))
    assert image.format == file_format
    assert Image.MIME[file_format] == pictures.mime_type(picture)
    assert distance(image, pictures.upright(picture)) < 12


def test_heic_is_heic() -> None:
    picture = replace(PICTURE, format="HEIC")
    found = pillow_heif.read_heif(pictures.draw(picture))
    assert found.size == (450, 600)
    assert distance(found.to_pillow(), pictures.upright(picture)) < 8


def test_pdf_is_one_page_with_the_picture_on_it() -> None:
    picture = replace(PICTURE, format="PDF")
    document = pypdfium2.PdfDocument(pictures.draw(picture))
    assert len(document) == 1
    assert distance(document[0].render(scale=1).to_pil(), pictures.upright(picture)) < 8


def test_damaged_files_cannot_be_read() -> None:
    assert pictures.draw(replace(PICTURE, damage="zero_byte")) == b""
    with pytest.raises(OSError, match="truncated"):
        opened(pictures.draw(replace(PICTURE, damage="truncated"))).load()
    with pytest.raises((OSError, UnidentifiedImageError, SyntaxError)):
        opened(pictures.draw(replace(PICTURE, damage="cut_in_header"))).load()


def shape(picture: Picture) -> Image.Image:
    """Where the subject is: warm colours on a cold floor, too small for the noise, without the labels."""
    scene = pictures.upright(replace(picture, variation=0)).crop((68, 90, 420, 540)).resize((44, 56))
    pixels = np.asarray(scene, dtype=int)
    warmth = np.clip(pixels[:, :, 0] - pixels[:, :, 2] + 100, 0, 255)
    return Image.fromarray(warmth.astype(np.uint8))


@pytest.mark.parametrize("view", ["dorsal", "plantar", "posterior", "anterior", "medial", "lateral", "shoe"])
def test_right_is_the_mirror_image_of_left(view: str) -> None:
    left, right = (shape(replace(PICTURE, view=view, side=side)) for side in "LR")
    assert 2 * distance(ImageOps.mirror(right), left) < distance(right, left)


def test_a_left_sole_is_not_a_left_instep() -> None:
    """From below the big toe is on the other side."""
    sole, instep = shape(replace(PICTURE, view="plantar")), shape(PICTURE)
    assert distance(ImageOps.mirror(sole), instep) < distance(sole, instep)


def test_a_place_is_named_only_where_planned() -> None:
    with_gps, without = (opened(pictures.draw(replace(PICTURE, gps=gps))).getexif() for gps in (True, False))
    assert with_gps.get_ifd(0x8825)[1] == "S"
    assert not without.get_ifd(0x8825)


def test_the_clinics_thumbnails_ignore_the_orientation() -> None:
    straight = opened(pictures.draw(replace(PICTURE, thumbnail=True)))
    sideways = opened(pictures.draw(replace(PICTURE, thumbnail=True, orientation=6)))
    assert straight.size == pictures.thumbnail_size(PICTURE) == (225, 300)
    assert sideways.size == pictures.thumbnail_size(replace(PICTURE, orientation=6)) == (300, 225)


def test_two_photographs_never_have_the_same_bytes() -> None:
    clinic = design_clinic(0.02, 5)
    drawn = [(stored, pictures.draw(stored.picture)) for stored in clinic.objects if stored.picture]
    originals = [content for stored, content in drawn if stored.role == "original" and content]
    assert len(set(originals)) == len(originals)
    sizes = [len(c) for s, c in drawn if s.role == "original" and s.picture and not s.picture.damage]
    assert 30_000 < np.median(sizes) < 60_000


def test_another_process_draws_the_same_bytes() -> None:
    program = (
        "import hashlib, sys; from fm_migration.embedded.sample import pictures, plan\n"
        "objects = plan.design_clinic(0.0, 9).objects\n"
        "content = b''.join(pictures.draw(o.picture) for o in objects if o.picture)\n"
        "sys.stdout.write(hashlib.sha256(content).hexdigest())"
    )
    hashes = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        hashes.add(done.stdout.decode())
    here = b"".join(pictures.draw(o.picture) for o in design_clinic(0.0, 9).objects if o.picture)
    assert hashes == {hashlib.sha256(here).hexdigest()}
