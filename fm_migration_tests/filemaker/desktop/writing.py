"""Manifests as the export script writes them: from the columns of FILEMAKER's own facts, not from the code's."""

from __future__ import annotations

import hashlib

HEADER = "recid\tid\tid_Contact\tdate\ttype\tcontainer\tfilename\tbytes\tmd5\terror\tpath"
PATIENT = "6F9C2B1E-0A4D-4C7B-9E21-5D3C8A7B6F10"
OTHER = "0B1D5E7A-3C42-4F6E-8A9B-2D4C6E8F0A12"


def image_id(number: int) -> str:
    return f"A3C5E7F9-1B2D-4F60-8A9C-{number:012X}"


def md5_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def path_of(number: int, patient: str = PATIENT, day: str = "2016-10-18") -> str:
    return f"{patient}/{day}/{image_id(number)}.jpg"


def line(number: int, body: bytes | None = b"", **other: str) -> str:
    """A line about a record; `body` is what left FileMaker, None for an empty container."""
    said = {
        "recid": str(number),
        "id": image_id(number),
        "id_Contact": PATIENT,
        "date": "2016-10-18",
        "type": "Dorsal",
        "container": "image_Full" if body is not None else "",
        "filename": f"IMG_{number}.JPG" if body is not None else "",
        "bytes": str(len(body)) if body is not None else "",
        "md5": md5_of(body).upper() if body is not None else "",
        "error": "0" if body is not None else "102",
        "path": path_of(number),
        **other,
    }
    return "\t".join(said[column] for column in HEADER.split("\t"))


def manifest(*lines: str) -> bytes:
    return "".join(f"{text}\n" for text in (HEADER, *lines)).encode()
