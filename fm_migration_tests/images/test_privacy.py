"""No thumbnail says where or of whom it was taken."""

from __future__ import annotations

import io
import logging

import pytest
from PIL import Image, PngImagePlugin

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Made
from fm_migration_tests.images import pictures


def talkative(kind: str) -> bytes:
    """A file with a name and a place wherever its format has room for them."""
    options: dict[str, object] = {"exif": pictures.exif_with_secrets()}
    if kind in ("JPEG", "WEBP", "PNG", "AVIF", "HEIF"):
        options["xmp"] = pictures.xmp_with_secrets()
    if kind in ("JPEG", "GIF"):
        options["comment"] = pictures.SECRET.encode()
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", pictures.SECRET)
        options["pnginfo"] = info
    if kind == "GIF":
        del options["exif"]
        options["xmp"] = pictures.xmp_with_secrets()
    return pictures.file(pictures.upright(), kind, **options)


KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "HEIF")


def segments(data: bytes) -> set[str]:
    """What a thumbnail is made of, by the names of its format."""
    kind = Image.open(io.BytesIO(data)).format
    if kind == "JPEG":
        names, at = set(), 2
        while data[at + 1] != 0xDA:
            names.add(f"{data[at + 1]:02x}")
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        return names
    if kind == "PNG":
        names, at = set(), 8
        while at < len(data):
            names.add(data[at + 4 : at + 8].decode())
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return names
    if kind == "WEBP":
        names, at = set(), 12
        while at < len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            names.add(data[at : at + 4].decode())
            at += 8 + size + size % 2
        return names
    return {"comment"} if b"\x21\xfe" in data else set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_file_does_carry_them(kind: str) -> None:
    outcome = make_thumbnail(talkative(kind))
    assert isinstance(outcome, Made)
    assert outcome.has_metadata
    assert pictures.SECRET.encode() in talkative(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_thumbnail_carries_metadata(kind: str) -> None:
    outcome = make_thumbnail(talkative(kind))
    assert isinstance(outcome, Made)
    # JFIF, tables, frame; header, pixels, end; lossy pixels. No APP1, no COM, no tEXt, no eXIf, no EXIF.
    allowed = {"e0", "db", "c0", "c4", "IHDR", "IDAT", "IEND", "VP8 "}
    assert segments(outcome.thumbnail) <= allowed
    again = Image.open(io.BytesIO(outcome.thumbnail))
    assert not again.getexif()
    assert not {"exif", "xmp", "comment", "icc_profile", "Author"} & set(again.info)
    for part in pictures.SECRET.split():
        assert part.encode() not in outcome.thumbnail
        assert part not in repr(outcome)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_metadata_is_known_as_such(kind: str) -> None:
    outcome = make_thumbnail(pictures.file(pictures.upright(), kind))
    assert isinstance(outcome, Made)
    assert not outcome.has_metadata


def test_the_decoder_s_log_stays_silent_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    """Pillow logs the values of tags when somebody turns debugging on for everything."""
    with caplog.at_level(logging.DEBUG):
        make_thumbnail(talkative("TIFF"))
        make_thumbnail(talkative("PNG"))
    assert pictures.SECRET.split()[0] not in caplog.text
