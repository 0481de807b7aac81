"""Canaries: invented patients' data that nobody could mistake, and the search for them where none may be.

Belongs here: the words, and looking through bytes, files, SQLite databases and buckets for them, also where they are
wrapped: in another case, escaped, percent-encoded, in base64, in hexadecimal, compressed, in UTF-16. Does not belong
here: putting them into a clinic, and what a test expects.
"""

from __future__ import annotations

import binascii
import contextlib
import gzip
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

FIRST_NAME = "Zephyrottilie"
LAST_NAME = "Quaggenborough"
#: With letters that every encoding writes in its own way; the rest of it is what is looked for.
MIDDLE_NAME = "Ämøbewibbelfrost"
BORN = date(1904, 2, 29)
PHONE = "0491570006"
CAPTION = "Quokkabunion"
TYPE = "Bilbykeratoma"
FILE_NAME = "Numbatsole"
CONTACT = "Drongocontact"
OBJECT_NAME = "Potorooscan"
BATCH_NAME = "Wombatsession"
DOCUMENT = "Echidnaletter"
NOTE = "Galahcomplaint"
PICTURE = "Cassowaryexif"

WORDS = (
    FIRST_NAME, LAST_NAME, "bewibbelfrost", PHONE, CAPTION, TYPE, FILE_NAME, CONTACT, OBJECT_NAME, BATCH_NAME,
    DOCUMENT, NOTE, PICTURE,
)  # fmt: skip
#: A birth date as files, databases, people and Python write it.
DATES = (
    "1904-02-29", "29/02/1904", "29/2/1904", "02/29/1904", "2/29/1904", "29.02.1904", "29.2.1904", "29 feb 1904",
    "29 february 1904", "february 29, 1904", "feb 29, 1904", "19040229", "1904, 2, 29",
)  # fmt: skip


def looking_for(*words: str) -> re.Pattern[bytes]:
    """What finds these words; handed to the functions below, it takes the place of the canaries."""
    return re.compile(b"|".join(re.escape(word.lower().encode()) for word in words))


_CANARY = looking_for(*WORDS, *DATES)
#: Eight letters of a word fill eleven of base64.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}")
_HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,}")
_UNICODE_ESCAPE = re.compile(rb"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})")
#: A text in base64 in a compressed text in base64 is as far as Dagster goes.
_MOST_WRAPPINGS = 3


@dataclass(frozen=True, order=True)
class Sighting:
    """A canary where none may be."""

    where: str
    word: str


def in_bytes(where: str, blob: bytes, words: re.Pattern[bytes] = _CANARY) -> set[Sighting]:
    """Every canary in a blob, however it is wrapped."""
    return {Sighting(where, word) for word in _words_in(blob, words)}


# The cells of many runs are alike, to the last letter.
@lru_cache(maxsize=10_000)
def _words_in(blob: bytes, words: re.Pattern[bytes]) -> frozenset[str]:
    return frozenset(found.decode() for layer in _unwrapped(blob) for found in words.findall(layer.lower()))


def in_text(where: str, text: str, words: re.Pattern[bytes] = _CANARY) -> set[Sighting]:
    return in_bytes(where, text.encode("utf-8", "surrogateescape"), words)


def in_folder(folder: Path, words: re.Pattern[bytes] = _CANARY) -> set[Sighting]:
    """Every canary in the names and bytes of all files below a folder, and in every cell of those that are SQLite's."""
    found: set[Sighting] = set()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found |= in_text(f"name of {name}", name, words)
        if path.is_file():
            found |= in_bytes(name, path.read_bytes(), words)
            found |= in_cells(name, path, words)
    return found


def in_cells(name: str, path: Path, words: re.Pattern[bytes] = _CANARY) -> set[Sighting]:
    """Every canary in the rows of a SQLite database: long values are scattered over its pages."""
    found: set[Sighting] = set()
    for table, row in _rows(path):
        for value in row:
            if isinstance(value, str):
                found |= in_text(f"{name}, table {table}", value, words)
            elif isinstance(value, bytes):
                found |= in_bytes(f"{name}, table {table}", value, words)
    return found


def in_objects(client: Any, bucket: str, prefixes: Iterable[str]) -> set[Sighting]:
    """Every canary in keys, metadata and contents of the objects under these prefixes."""
    found: set[Sighting] = set()
    for prefix in prefixes:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                answer = client.get_object(Bucket=bucket, Key=entry["Key"])
                found |= in_text(f"key {entry['Key']}", entry["Key"])
                found |= in_text(f"metadata of {entry['Key']}", str({**answer, "Body": None}))
                found |= in_bytes(entry["Key"], answer["Body"].read())
    return found


def _rows(path: Path) -> Iterator[tuple[str, Sequence[object]]]:
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            return
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                yield table, row


def _unwrapped(blob: bytes) -> Iterator[bytes]:
    """The blob, and what is in it when one way of wrapping after the other is taken off.

    All that took one way comes before all that took two: then what is met again need not be unwrapped again.
    """
    yield blob
    outer, seen = [blob], {blob, b""}
    for _ in range(_MOST_WRAPPINGS):
        inner = []
        for layer in outer:
            for unwrapped in _unwrappings(layer):
                if unwrapped not in seen:
                    seen.add(unwrapped)
                    inner.append(unwrapped)
                    yield unwrapped
        outer = inner


def _unwrappings(blob: bytes) -> Iterator[bytes]:
    if b"\0" in blob:
        yield blob.replace(b"\0", b"")
    if b"%" in blob:
        yield unquote_to_bytes(blob)
    if b"\\" in blob:
        yield _UNICODE_ESCAPE.sub(_as_utf8, blob)
    yield from _decompressed(blob)
    yield b"\n".join(bytes.fromhex(run.decode()) for run in _HEXADECIMAL.findall(blob))
    runs = [run.replace(b"-", b"+").replace(b"_", b"/") for run in _BASE64.findall(blob)]
    # What stands before a text shifts its letters in base64, so each of the four ways to begin is tried.
    for shift in range(4):
        decoded = [_from_base64(run[shift:]) for run in runs]
        yield b"\n".join(decoded)
        for one in decoded:
            yield from _decompressed(one)


def _as_utf8(found: re.Match[bytes]) -> bytes:
    return chr(int(found[1] or found[2], 16)).encode("utf-8", "surrogatepass")


def _from_base64(run: bytes) -> bytes:
    whole = run[: len(run) - len(run) % 4] if len(run) % 4 == 1 else run + b"=" * (-len(run) % 4)
    return binascii.a2b_base64(whole)


def _decompressed(blob: bytes) -> Iterator[bytes]:
    if blob[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(blob)
    elif blob[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(blob)
