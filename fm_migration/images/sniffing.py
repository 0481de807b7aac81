"""What a file is by its first bytes, whatever its name or label says.

Belongs here: magic numbers. Does not belong here: looking further into the file than its head.
"""

from __future__ import annotations

from typing import NamedTuple

_HEAD = 1024


class FileKind(NamedTuple):
    """A format: `name` for those that we decode, '' for all others."""

    name: str
    mime: str


_JPEG = FileKind("JPEG", "image/jpeg")
_PNG = FileKind("PNG", "image/png")
_GIF = FileKind("GIF", "image/gif")
_WEBP = FileKind("WEBP", "image/webp")
_TIFF = FileKind("TIFF", "image/tiff")
_BMP = FileKind("BMP", "image/bmp")
_AVIF = FileKind("AVIF", "image/avif")
_HEIC = FileKind("HEIF", "image/heic")
_HEIF = FileKind("HEIF", "image/heif")
_PDF = FileKind("PDF", "application/pdf")
_UNKNOWN = FileKind("", "application/octet-stream")

#: An MPO is a JPEG with further ones behind it, and browsers know it by no other name.
_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
    (b"MM\0+", _TIFF),
    (b"\xff\x0a", FileKind("", "image/jxl")),
    (b"\0\0\0\x0cJXL ", FileKind("", "image/jxl")),
    (b"\0\0\0\x0cjP  ", FileKind("", "image/jp2")),
    (b"8BPS", FileKind("", "image/vnd.adobe.photoshop")),
    (b"\0\0\1\0", FileKind("", "image/vnd.microsoft.icon")),
    (b"%!PS", FileKind("", "application/postscript")),
    (b"\xc5\xd0\xd3\xc6", FileKind("", "application/postscript")),
    (b"PK\x03\x04", FileKind("", "application/zip")),
    (b"\x1f\x8b", FileKind("", "application/gzip")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("", "application/x-ole-storage")),
    (b"\x1aE\xdf\xa3", FileKind("", "video/webm")),
)
_BRANDS = {
    b"avif": _AVIF,
    b"avis": _AVIF,
    b"heic": _HEIC,
    b"heix": _HEIC,
    b"heim": _HEIC,
    b"heis": _HEIC,
    b"hevc": _HEIC,
    b"hevx": _HEIC,
    b"hevm": _HEIC,
    b"hevs": _HEIC,
}
#: Brands of the container alone: what is inside stands among the compatible brands.
_GENERAL_BRANDS = (b"mif1", b"mif2", b"msf1", b"miaf")
_RIFF = {b"WEBP": _WEBP, b"AVI ": FileKind("", "video/x-msvideo"), b"WAVE": FileKind("", "audio/wav")}
#: Sizes of the header that follows a bitmap's first 14 bytes; "BM" alone begins many a text.
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def kind_of(data: bytes) -> FileKind:
    """The format of a file's content. Total: any bytes have an answer."""
    head = data[:_HEAD]
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            # A raw photograph in TIFF's clothes; what a TIFF decoder finds in it is only its preview.
            return FileKind("", "image/x-canon-cr2") if kind is _TIFF and head[8:10] == b"CR" else kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], _UNKNOWN)
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return _BMP
    if b"%PDF-" in head:
        return _PDF
    if head[128:132] == b"DICM":
        return FileKind("", "application/dicom")
    return _by_text(head)


def _by_brand(head: bytes) -> FileKind:
    major = head[8:12]
    if major in _BRANDS:
        return _BRANDS[major]
    if major in _GENERAL_BRANDS:
        end = min(len(head), int.from_bytes(head[:4], "big"))
        compatible = [head[at : at + 4] for at in range(16, end - 3, 4)]
        return next((_BRANDS[brand] for brand in compatible if brand in _BRANDS), _HEIF)
    return FileKind("", "video/quicktime" if major == b"qt  " else "video/mp4")


def _by_text(head: bytes) -> FileKind:
    """A server's error page arrives with status 200 often enough to deserve its name."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return FileKind("", "text/html")
    if start.startswith((b"<?xml", b"<svg")):
        return FileKind("", "image/svg+xml" if b"<svg" in start else "application/xml")
    if start.startswith((b"{", b"[")):
        return FileKind("", "application/json")
    if start and not set(head) & _CONTROL:
        return FileKind("", "text/plain")
    return _UNKNOWN


_CONTROL = frozenset(range(32)) - frozenset(b"\t\r\n\f\x0b\x1d")
