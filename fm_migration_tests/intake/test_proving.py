"""Bytes count only when everything speaks for them; what does not is named."""

from __future__ import annotations

import hashlib

import pytest

from fm_migration.images.wholeness import EXTENSIONS
from fm_migration.intake.proving import Flaw, Proof, prove
from fm_migration_tests.images.pictures import DECODED, file, upright

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.mark.parametrize("kind", DECODED)
def test_a_whole_picture_of_every_kind_is_proven(kind: str) -> None:
    body = file(upright(), kind)
    found = prove(body, announced=len(body), source_md5=hashlib.md5(body).hexdigest().upper())
    assert isinstance(found, Proof)
    assert (found.size, found.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert found.extension == EXTENSIONS[kind]


@pytest.mark.parametrize("kind", DECODED)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_was_broken_off_is_not(kind: str, share: float) -> None:
    """Whether or not the server announced as many bytes as came."""
    body = file(upright(), kind)
    half = body[: int(len(body) * share)]
    assert prove(half, announced=len(half)) in (Flaw.BROKEN_OFF, Flaw.BROKEN_HEADER)
    assert prove(half, announced=len(body)) is Flaw.SHORT


def test_the_end_of_a_preview_is_not_the_end_of_the_picture() -> None:
    preview = file(upright(48, 36), "JPEG")
    body = file(upright(), "JPEG", exif=b"Exif\0\0" + preview)
    assert isinstance(prove(body), Proof)
    assert prove(body[: len(preview) + 900]) is Flaw.BROKEN_OFF


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b"", Flaw.ZERO_BYTES),
        (b"<!DOCTYPE html><html>502</html>", Flaw.ERROR_PAGE),
        (b'{"messages":[]}', Flaw.ERROR_PAGE),
        (b"\x00" * 400, Flaw.NOT_A_PICTURE),
        (b"PK\x03\x04" + b"x" * 100, Flaw.NOT_A_PICTURE),
        (b"\xff\xd8\xff\xe0" + b"\x11" * 300, Flaw.BROKEN_HEADER),
        (PDF[:-8], Flaw.BROKEN_OFF),
    ],
)
def test_what_is_no_photograph_is_named(body: bytes, flaw: Flaw) -> None:
    assert prove(body) is flaw


def test_a_pdf_is_taken_as_the_dump_has_them() -> None:
    found = prove(PDF)
    assert isinstance(found, Proof)
    assert (found.extension, found.content_type) == ("pdf", "application/pdf")


def test_bytes_that_the_sources_md5_does_not_speak_of_are_refused() -> None:
    """A picture that was altered on its way looks like one; only the source knows."""
    body = file(upright(), "PNG")
    assert prove(body, source_md5=hashlib.md5(body + b"x").hexdigest()) is Flaw.OTHER_MD5


def test_a_page_that_calls_itself_one_is_believed() -> None:
    assert prove(file(upright(), "PNG"), content_type="text/html") is Flaw.ERROR_PAGE
