"""What the clinic accepts: findings that are counted apart, each with a reason and the date of the decision.

Belongs here: reading the file that FM_WAIVERS names. A line is a class of findings, a subject as the report names it
(or `*` for all of the class), why, and when. A file that cannot be read without guessing stops the report: a waiver
that silently did nothing, or silently hid too much, would be worse.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fm_migration.errors import SettingsError
from fm_migration.report.classes import FindingClass

COLUMNS = ("class", "subject", "reason", "date")


@dataclass(frozen=True)
class Waiver:
    """One accepted finding, or a whole class of them."""

    finding_class: FindingClass
    subject: str
    reason: str
    decided_on: date

    @property
    def message(self) -> str:
        """As it stands beside the finding."""
        return f"{self.reason} ({self.decided_on.isoformat()})"


def read_waivers(path: Path | None) -> tuple[Waiver, ...]:
    """The waivers of a file; none when no file is set."""
    if path is None:
        return ()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(path.name, f"it cannot be read ({type(error).__name__})") from error
    return parse_waivers(text, path.name)


def parse_waivers(text: str, source: str) -> tuple[Waiver, ...]:
    """The waivers of a text; `source` names it in messages. Blank lines and lines that begin with # are left out."""
    reader = csv.reader(io.StringIO(text), strict=True)
    waivers: dict[tuple[FindingClass, str], int] = {}
    found: list[Waiver] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            raise _bad(f"{source} line 1", f"it names the columns {', '.join(header) or 'of nothing'}")
        for cells in reader:
            place = f"{source} line {reader.line_num}"
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if len(cells) > len(header):
                raise _bad(place, "it has more cells than columns; a text with a comma needs quotation marks")
            waiver = _waiver(dict(zip(header, cells, strict=False)), place)
            key = waiver.finding_class, waiver.subject
            if key in waivers:
                raise _bad(f"{place}, field subject", f"line {waivers[key]} says so already")
            waivers[key] = reader.line_num
            found.append(waiver)
    except csv.Error as error:
        raise _bad(f"{source} line {reader.line_num}", f"it is not a line of CSV ({error})") from error
    return tuple(found)


def _waiver(cells: dict[str, str], place: str) -> Waiver:
    for column in COLUMNS:
        if not cells.get(column, "").strip():
            raise _bad(f"{place}, field {column}", "it is empty")
    values = {column: cells[column].strip() for column in COLUMNS}
    try:
        finding_class = FindingClass(values["class"])
    except ValueError:
        raise _bad(f"{place}, field class", "there is no such class of findings") from None
    try:
        decided_on = date.fromisoformat(values["date"])
    except ValueError:
        raise _bad(f"{place}, field date", "it is not a date like 2026-01-31") from None
    return Waiver(finding_class, values["subject"], values["reason"], decided_on)


def _bad(place: str, found: str) -> SettingsError:
    return SettingsError(
        "reading the waivers",
        place,
        found,
        "Correct the file that FM_WAIVERS names: its first line is class,subject,reason,date, and docs/report.md lists "
        "the classes",
    )
