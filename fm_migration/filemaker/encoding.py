"""Which encoding the bytes of an export are in, judged by all of them.

Belongs here: byte order marks, UTF-16 without one, damaged UTF-8, Windows-1252 against Mac Roman. Does not
belong here: what the text means, not even where its lines end (`dialect.py`).

The head of a file proves nothing: the first "é" may stand in row 5,000. So the whole file is decoded once.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from fm_migration.errors import ExportError

HEAD_BYTES = 256 * 1024
_BLOCK = 1024 * 1024
_CONTEXTS = 5000

#: Byte order marks, with the encoding that each stands for.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

#: What an explicitly named encoding may be called, and what Python calls it. Marks are found by themselves.
_NAMES = {
    "utf8": "utf-8",
    "utf8sig": "utf-8",
    "utf16": "utf-16-le",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "cp1252": "cp1252",
    "windows1252": "cp1252",
    "ansi": "cp1252",
    "macroman": "mac-roman",
    "macintosh": "mac-roman",
    "mac": "mac-roman",
    "latin1": "iso8859-1",
    "iso88591": "iso8859-1",
}


class Encoding(NamedTuple):
    """The encoding of a file, and how sure of it we are."""

    name: str
    bom: bytes
    damaged: bool = False
    guessed: bool = False


class FileFacts(NamedTuple):
    """What one pass over the bytes tells."""

    size: int
    sha256: str
    head: bytes
    utf8_damage: int
    utf8_letters: int


def survey_bytes(stream: BinaryIO) -> FileFacts:
    """One pass from the start of the stream: its size, its hash, and how well it decodes as UTF-8."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    size = damage = letters = genuine = 0
    head = tail = b""
    for block in _blocks(stream):
        digest.update(block)
        size += len(block)
        if len(head) < HEAD_BYTES:
            head += block[: HEAD_BYTES - len(head)]
        if block.isascii() and not decoder.getstate()[0]:
            tail = b""
            continue
        text = decoder.decode(block)
        damage += text.count("\ufffd")
        letters += len(text) - len(text.encode("ascii", "ignore"))
        # A replacement character that stands in the file is text, and no damage of ours.
        genuine += (tail + block).count("\ufffd".encode())
        tail = block[-2:]
    damage += decoder.decode(b"", final=True).count("\ufffd")
    return FileFacts(size, digest.hexdigest(), head, damage - genuine, letters - damage)


def choose_encoding(stream: BinaryIO, facts: FileFacts, name: str, explicit: str | None) -> Encoding:
    """The encoding of the file: the explicit one if it decodes, else the one that the bytes show."""
    mark, marked = _mark(facts.head)
    wide = marked or _wide_without_mark(facts.head)
    if explicit is not None:
        encoding = _python_name(explicit, wide)
        return _checked(stream, name, encoding, mark if encoding == marked else b"", explicit)
    if wide:
        return _checked(stream, name, wide, mark, wide)
    if facts.utf8_damage == 0:
        return Encoding("utf-8", b"")
    if facts.utf8_letters > facts.utf8_damage:
        # Sequences of several bytes that are valid UTF-8 hardly ever come about by chance.
        return Encoding("utf-8", b"", damaged=True)
    return Encoding(_eight_bit(stream), b"", guessed=True)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while block := stream.read(_BLOCK):
        yield block


def _mark(head: bytes) -> tuple[bytes, str]:
    return next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", ""))


def _python_name(explicit: str, wide: str) -> str:
    name = _NAMES.get(re.sub(r"[^a-z0-9]", "", explicit.lower()))
    if name is None:
        raise ExportError(
            "choosing the encoding of",
            "the export",
            f"{explicit[:40]!r} is not an encoding that we read",
            "Set FM_EXPORT_ENCODING to utf-8, utf-16, utf-16-le, utf-16-be, cp1252 or mac-roman, or leave it unset",
        )
    # "UTF-16" alone does not say which byte comes first; the bytes do.
    return wide if name.startswith("utf-16") and wide.startswith("utf-16") else name


def _wide_without_mark(head: bytes) -> str:
    """UTF-16 by its zero bytes: ids, dates and delimiters are ASCII, so every other byte of them is zero."""
    pairs = len(head) // 2
    even = head[0 : pairs * 2 : 2].count(0)
    odd = head[1 : pairs * 2 : 2].count(0)
    if max(even, odd) <= pairs * 0.2 or min(even, odd) * 8 > max(even, odd):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _checked(stream: BinaryIO, name: str, encoding: str, mark: bytes, called: str) -> Encoding:
    """The encoding if (nearly) all bytes are text in it; a file that is hardly text in it is refused."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    characters = unreadable = 0
    for block in _blocks(stream):
        text = decoder.decode(block)
        characters += len(text)
        unreadable += text.count("\ufffd")
    unreadable += decoder.decode(b"", final=True).count("\ufffd")
    if unreadable > max(2, characters // 100):
        raise ExportError(
            "decoding",
            name,
            f"{unreadable} of {characters} characters are not text in {called}",
            "Export again, or set FM_EXPORT_ENCODING to the encoding that the file was exported in",
        )
    return Encoding(encoding, mark, damaged=unreadable > 0)


# Letters with accents that names and words are full of, and those that exist in an encoding but hardly in a clinic.
_COMMON = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüßœÀÁÂÄÅÆÇÈÉÊËÍÎÏÑÓÔÕÖØÚÛÜŒ")
_RARE = frozenset("šžýÿðþŠŽÝŸÐÞÃÌÒÙı")
_TYPOGRAPHY = frozenset("‘’“”–—…•°½¼¾£€®™©·×±²³ªº«»¿¡§´\xa0")
#: Bytes that are not characters in Windows-1252.
_HOLES = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
_NOT_HOLES = bytes(set(range(256)) - set(_HOLES))
_CONTEXT = re.compile(rb"(?s)([\x00-\x7f]?)([\x80-\xff]+)([\x00-\x7f]?)")


def _eight_bit(stream: BinaryIO) -> str:
    """Windows-1252 or Mac Roman: the one in which the letters beyond ASCII make more sense."""
    score = 0.0
    seen = 0
    for block in _blocks(stream):
        if block.isascii():
            continue
        if block.translate(None, delete=_NOT_HOLES):
            return "mac-roman"
        for found in _CONTEXT.finditer(block):
            if seen >= _CONTEXTS:
                break
            seen += 1
            score += _plausibility(found, "cp1252") - _plausibility(found, "mac-roman")
    return "cp1252" if score >= 0 else "mac-roman"


def _plausibility(found: re.Match[bytes], encoding: str) -> float:
    text = found.group().decode(encoding, "replace")
    start = len(found.group(1))
    return sum(
        _character(text[at - 1 : at], text[at], text[at + 1 : at + 2])
        for at in range(start, start + len(found.group(2)))
    )


def _character(before: str, character: str, after: str) -> float:
    """How well a character fits between its neighbours, from -2 to 3."""
    if character in _TYPOGRAPHY:
        between_letters = before.isalpha() and after.isalpha()
        return -2 if between_letters and character not in "’–—-·" else 1
    if character not in _COMMON and character not in _RARE:
        return -2
    if not (before.isalpha() or after.isalpha()):
        return -1
    if character.isupper() and before.islower():
        return -2
    return 3 if character in _COMMON else 0.5
