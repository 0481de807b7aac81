"""Every format of the dump becomes a thumbnail of the right picture; what is not a picture is called by its name."""

from __future__ import annotations

import hashlib
import io
import sys

import pytest
from PIL import Image

from fm_migration.images import sniffing
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Made, NotAnImage, Partial, RefusalReason, Unreadable
from fm_migration.images.recipe import Recipe
from fm_migration_tests.images import pictures

MIMES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}


def made(data: bytes) -> Made:
    outcome = make_thumbnail(data)
    assert type(outcome) is Made, outcome
    return outcome


@pytest.mark.parametrize("kind", pictures.DECODED)
def test_a_thumbnail_of_every_format(kind: str) -> None:
    data = pictures.file(pictures.upright(), kind)
    outcome = made(data)
    thumbnail = Image.open(io.BytesIO(outcome.thumbnail))
    assert thumbnail.size == (outcome.thumbnail_width, outcome.thumbnail_height) == (300, 225)
    assert (outcome.width, outcome.height) == (480, 360)
    assert outcome.original_mime == MIMES[kind]
    assert outcome.original_sha256 == hashlib.sha256(data).hexdigest()
    assert thumbnail.format == outcome.format == (kind if kind in ("JPEG", "PNG", "GIF", "WEBP") else "JPEG")
    assert outcome.mime == Image.MIME[outcome.format]
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < (7 if kind == "GIF" else 3)
    assert outcome.mean_colour == made(pictures.file(pictures.upright(), kind)).mean_colour


@pytest.mark.parametrize("kind", pictures.DECODED)
def test_a_small_picture_is_not_enlarged(kind: str) -> None:
    outcome = made(pictures.file(pictures.upright(96, 64), kind))
    assert (outcome.thumbnail_width, outcome.thumbnail_height, outcome.width, outcome.height) == (96, 64, 96, 64)


@pytest.mark.parametrize("kind", pictures.DECODED)
@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (1, 900)])
def test_odd_shapes(kind: str, size: tuple[int, int]) -> None:
    outcome = make_thumbnail(pictures.file(pictures.upright().resize(size), kind))
    assert isinstance(outcome, Made), outcome
    assert (outcome.width, outcome.height) == size
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == Recipe().fit(*size)


def test_the_format_is_told_by_content_whatever_the_name_was() -> None:
    """The clinic's dump labels everything image/jpeg; there is no parameter that could repeat the mistake."""
    assert made(pictures.file(pictures.upright(), "PNG")).original_mime == "image/png"


def test_another_recipe() -> None:
    outcome = make_thumbnail(pictures.file(pictures.upright(), "JPEG"), Recipe(side=100, quality=40))
    assert isinstance(outcome, Made)
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == (100, 75)
    assert len(outcome.thumbnail) < len(made(pictures.file(pictures.upright(), "JPEG")).thumbnail)


def test_the_first_picture_of_an_mpo() -> None:
    """Phones with two lenses write the second picture behind the first; browsers show such a file as a JPEG."""
    outcome = made(pictures.mpo())
    assert outcome.original_mime == "image/jpeg"
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (480, 360), colour) for colour in ("magenta", "cyan")]
    first = pictures.upright().quantize(255) if kind == "GIF" else pictures.upright()
    data = pictures.file(first, kind, save_all=True, append_images=frames)
    assert pictures.difference(made(data).thumbnail, pictures.upright()) < 7


def test_a_progressive_jpeg() -> None:
    data = pictures.file(pictures.upright(), "JPEG", progressive=True)
    assert pictures.difference(made(data).thumbnail, pictures.upright()) < 3


def test_a_bitmap_stored_from_the_bottom_up_and_from_the_top_down() -> None:
    data = bytearray(pictures.file(pictures.upright(), "BMP"))
    data[22:26] = (-pictures.HEIGHT).to_bytes(4, "little", signed=True)
    flipped = pictures.upright().transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert pictures.difference(made(bytes(data)).thumbnail, flipped) < 3


# --- documents ------------------------------------------------------------------------------------


def test_the_first_page_of_a_pdf() -> None:
    outcome = made(pictures.pdf())
    assert (outcome.original_mime, outcome.format) == ("application/pdf", "JPEG")
    assert (outcome.width, outcome.height) == (480, 360)
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == (300, 225)
    assert pictures.difference(outcome.thumbnail, pictures.upright()) < 6


def test_a_small_page_is_drawn_as_large_as_any() -> None:
    outcome = made(pictures.pdf(pictures.upright(96, 64)))
    assert (outcome.thumbnail_width, outcome.thumbnail_height) == (300, 200)


def test_without_a_renderer_a_pdf_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    outcome = make_thumbnail(pictures.pdf())
    assert isinstance(outcome, NotAnImage)
    assert outcome.kind == "application/pdf"


@pytest.mark.parametrize("data", [b"%PDF-1.7\nnothing follows", pictures.pdf()[:300], pictures.empty_pdf()])
def test_a_broken_pdf(data: bytes) -> None:
    outcome = make_thumbnail(data)
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.DAMAGED


def test_a_pdf_that_needs_a_password() -> None:
    outcome = make_thumbnail(pictures.empty_pdf(locked=True))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.ENCRYPTED


def test_without_a_decoder_for_heif_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures.file(pictures.upright(), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    outcome = make_thumbnail(data)
    assert isinstance(outcome, Unreadable)
    assert (outcome.reason, outcome.original_mime) == (RefusalReason.NO_DECODER, "image/heic")


# --- what is not a picture ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "text/html"),
        (b"\xef\xbb\xbf\r\n<HTML>", "text/html"),
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "application/xml"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
        (b'{"messages":[{"code":"952"}]}', "application/json"),
        (b"PK\x03\x04" + bytes(60), "application/zip"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "application/postscript"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2", "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "video/quicktime"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (bytes(128) + b"DICM" + bytes(40), "application/dicom"),
        (b"BMW and other words that begin like a bitmap", "text/plain"),
        (b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "image/x-canon-cr2"),
        (b"\x07\x08\x01\x02random", "application/octet-stream"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, kind: str) -> None:
    outcome = make_thumbnail(data)
    assert isinstance(outcome, NotAnImage)
    assert (outcome.kind, outcome.original_sha256) == (kind, hashlib.sha256(data).hexdigest())


def test_postscript_never_reaches_pillow() -> None:
    """Pillow would hand it to Ghostscript."""
    assert sniffing.kind_of(b"%!PS-Adobe-3.0 EPSF-3.0\n").name == ""
    assert isinstance(make_thumbnail(b"\xc5\xd0\xd3\xc6" + bytes(40)), NotAnImage)


@pytest.mark.parametrize(
    ("brand", "compatible", "name"),
    [
        (b"mif1", b"mif1heic", "HEIF"),
        (b"mif1", b"mif1avif", "AVIF"),
        (b"msf1", b"hevc", "HEIF"),
        (b"avis", b"", "AVIF"),
        (b"heix", b"", "HEIF"),
    ],
)
def test_containers_that_many_formats_share(brand: bytes, compatible: bytes, name: str) -> None:
    box = b"ftyp" + brand + bytes(4) + compatible
    assert sniffing.kind_of((len(box) + 4).to_bytes(4, "big") + box).name == name


def test_partial_is_a_kind_of_made() -> None:
    """Whoever writes width and height asks for Made; whoever lists findings asks for Partial."""
    assert issubclass(Partial, Made)
