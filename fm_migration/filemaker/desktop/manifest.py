"""The manifest of the export script: one line per record, with what should have arrived.

Belongs here: reading its text, in whatever encoding and with whatever line ends FileMaker or a copy has given it. Does
not belong here: comparing it with the files (`judging.py`).

No path of a manifest is ever opened: a path only says which of the files that the folder really has is meant.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fm_migration.errors import ExportError
from fm_migration.filemaker.desktop.paths import ROOT, normal
from fm_migration.filemaker.encoding import choose_encoding, survey_bytes
from fm_migration.filemaker.rows import recid_of, uuid_of

COLUMNS = ("recid", "id", "id_Contact", "date", "type", "container", "filename", "bytes", "md5", "error", "path")
#: What FileMaker answers where a container is empty, and leaves an empty file.
EMPTY_CONTAINER = 102

_LINE_END = re.compile(r"\r\n|\r|\n")
_PATH_KIND = re.compile(r"(?:file|filemac|filewin|image|imagemac|imagewin):/*", re.IGNORECASE)
_MD5 = re.compile(r"[0-9a-f]{32}")


class ManifestLine(NamedTuple):
    """What the manifest says of one record. Ids are None when missing or malformed; what stood there is kept."""

    number: int
    recid: str | None
    image_id: str | None
    #: None where the manifest has no such column; then the folders say it.
    contact: str | None
    date: str | None
    type: str
    container: str
    file_name: str
    bytes: int | None
    md5: str | None
    error: int | None
    path: str
    raw: str

    @property
    def names_a_file(self) -> bool:
        """Whether there should be a file with bytes for it."""
        return not self.error and bool(self.path)


@dataclass(frozen=True)
class Manifest:
    """All lines of all manifests of an export."""

    lines: tuple[ManifestLine, ...] = ()
    #: Lines that have no record in them, by their numbers: too few cells, or neither recid nor id.
    refused: int = 0
    #: Manifests whose last line has no end: the script was still writing, or was stopped.
    unfinished: int = 0
    by_path: dict[str, ManifestLine] = field(default_factory=dict)
    by_photo: dict[str, tuple[ManifestLine, ...]] = field(default_factory=dict)
    by_md5: dict[str, tuple[ManifestLine, ...]] = field(default_factory=dict)


def read_manifests(contents: Sequence[tuple[str, bytes]]) -> Manifest:
    """The manifests of an export, in the order in which they were written: each as its name and its bytes."""
    lines: list[ManifestLine] = []
    refused = unfinished = 0
    for name, data in contents:
        found = _Text(name, data)
        unfinished += found.unfinished
        refused += found.refused
        # What a later export says of a record counts, also where its folder is another one now. One that failed says
        # nothing against a picture that is there.
        again = {_record(line) for line in found.lines if line.names_a_file}
        lines = [line for line in lines if _record(line) not in again]
        lines += {(_record(line), _comparable(line.path)): line for line in found.lines}.values()
    kept = _without_overtaken(lines)
    return Manifest(
        lines=tuple(kept),
        refused=refused,
        unfinished=unfinished,
        by_path={_comparable(line.path): line for line in kept if line.path},
        by_photo=_grouped([(name, line) for line in kept for name in _photos(line)]),
        by_md5=_grouped([(line.md5, line) for line in kept if line.md5]),
    )


def line_of(manifest: Manifest, path: str) -> ManifestLine | None:
    """The line about a file of the folder."""
    return manifest.by_path.get(_comparable(path))


def _record(line: ManifestLine) -> tuple[str | None, str | None]:
    return line.recid, line.image_id


def _grouped(pairs: Sequence[tuple[str, ManifestLine]]) -> dict[str, tuple[ManifestLine, ...]]:
    groups: dict[str, tuple[ManifestLine, ...]] = {}
    for name, line in pairs:
        groups[name] = (*groups.get(name, ()), line)
    return groups


def _photos(line: ManifestLine) -> list[str]:
    """The names by which a file can be known to be the line's."""
    return [*([f"recid {line.recid}"] if line.recid else []), *([f"image {line.image_id}"] if line.image_id else [])]


def _without_overtaken(lines: list[ManifestLine]) -> list[ManifestLine]:
    """Without lines of records that had no picture, or could not be exported, and that a later run has exported."""
    exported = {name for line in lines if line.names_a_file for name in _photos(line)}
    return [line for line in lines if line.names_a_file or not any(name in exported for name in _photos(line))]


def _comparable(path: str) -> str:
    """A path relative to the folder, in the form in which a manifest's and a file's can be compared."""
    parts = [part for part in _PATH_KIND.sub("", normal(path).replace("\\", "/")).split("/") if part]
    folded = [part.casefold() for part in parts]
    if ROOT in folded:
        folded = folded[folded.index(ROOT) + 1 :]
    return "/".join(folded)


class _Text:
    """One manifest as lines."""

    def __init__(self, name: str, data: bytes) -> None:
        self.lines: list[ManifestLine] = []
        self.refused = 0
        text = _decoded(name, data)
        self.unfinished = bool(text) and not text.endswith(("\r", "\n"))
        rows = [row for row in _LINE_END.split(text) if row]
        if self.unfinished:
            # Half of a line may read like a whole one: a path that is cut off, an MD5 that is another one.
            rows.pop()
        at = _header(rows, name)
        start = 1 if at is not None else 0
        at = at or dict(zip(COLUMNS, range(len(COLUMNS)), strict=True))
        for number, row in enumerate(rows[start:], start=1):
            line = _line(number, row, at)
            if line is None:
                self.refused += 1
            else:
                self.lines.append(line)


def _decoded(name: str, data: bytes) -> str:
    stream = io.BytesIO(data)
    encoding = choose_encoding(stream, survey_bytes(stream), name, None)
    return data[len(encoding.bom) :].decode(encoding.name, "replace")


def _header(rows: Sequence[str], name: str) -> dict[str, int] | None:
    """Where each column stands, by the first line; None when that is a record already."""
    if not rows:
        return None
    cells = [cell.strip().casefold() for cell in rows[0].split("\t")]
    at = {column: cells.index(column.casefold()) for column in COLUMNS if column.casefold() in cells}
    if not at and len(cells) == len(COLUMNS):
        return None
    if "path" not in at or not at.keys() & {"recid", "id"}:
        raise ExportError(
            "reading the manifest",
            name,
            f"its first line has {len(cells)} cells, and is neither a header with path and recid or id nor a record",
            f"Export it again with the script; its columns are {', '.join(COLUMNS)}, parted by tabs",
        )
    return at


def _line(number: int, row: str, at: dict[str, int]) -> ManifestLine | None:
    cells = row.split("\t")
    if len(cells) <= max(at.values()):
        return None
    said = {column: cells[place].strip(" \xa0") for column, place in at.items()}
    recid, image_id = recid_of(said.get("recid", "")), uuid_of(said.get("id", ""))
    if recid is None and image_id is None:
        return None
    md5 = said.get("md5", "").lower()
    return ManifestLine(
        number=number,
        recid=recid,
        image_id=image_id,
        contact=said.get("id_Contact"),
        date=said.get("date"),
        type=said.get("type", ""),
        container=said.get("container", ""),
        file_name=said.get("filename", ""),
        bytes=_number(said.get("bytes", "")),
        md5=md5 if _MD5.fullmatch(md5) else None,
        error=_number(said.get("error", "")),
        path=said["path"],
        raw=row,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
