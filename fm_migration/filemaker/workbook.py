"""An .xlsx file as rows of strings.

Belongs here: opening a workbook, choosing its sheet, and turning the values of Excel back into the text that
FileMaker meant. Does not belong here: what a cell means. A number loses its leading zeros when it is stored as
one: that has happened before we see it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import BinaryIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

from fm_migration.errors import ExportError

_SAMPLE = 200
#: An export of a million rows unpacks to less than this; a file that claims more is an accident or an attack.
MAX_UNPACKED = 2 * 1024**3

type_of_value = str | int | float | bool | date | time | datetime | timedelta


def read_rows(stream: BinaryIO, name: str, sheet: str | None = None) -> Iterator[list[str]]:
    """The rows of the sheet from its very first, so that they count as Excel counts them; an empty row is []."""
    opened = _open(stream, name, sheet)
    if opened.start is None:
        return
    yield from ([] for _ in range(opened.start[0]))
    for row in opened.iter_rows():
        cells = [_text(value) for value in row]
        yield cells if any(cells) else []


def sample(stream: BinaryIO, name: str, sheet: str | None = None) -> list[list[str]]:
    """The first rows that are not empty."""
    return list(islice((cells for cells in read_rows(stream, name, sheet) if cells), _SAMPLE))


def _open(stream: BinaryIO, name: str, sheet: str | None) -> CalamineSheet:
    _check_archive(stream, name)
    stream.seek(0)
    try:
        workbook = CalamineWorkbook.from_filelike(stream)
        names = [sheet] if sheet is not None else _visible(workbook)
        sheets = [workbook.get_sheet_by_name(found) for found in names]
    except (CalamineError, OSError, ValueError) as error:
        raise _unreadable(name, f"{type(error).__name__}") from error
    except BaseException as error:
        # The Rust library's panics are no Exception; anything else of that rank is not ours to catch.
        if type(error).__name__ != "PanicException":
            raise
        raise _unreadable(name, "its sheets are damaged") from error
    if not sheets:
        raise _unreadable(name, "it has no sheets")
    return next((found for found in sheets if found.start is not None), sheets[0])


def _visible(workbook: CalamineWorkbook) -> list[str]:
    names = [found.name for found in workbook.sheets_metadata if found.visible == SheetVisibleEnum.Visible]
    return names or workbook.sheet_names


def _check_archive(stream: BinaryIO, name: str) -> None:
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _unreadable(name, "the archive is damaged or cut off") from error
    if not any(entry.filename.startswith("xl/") for entry in entries):
        raise _unreadable(name, "it is a ZIP archive without a workbook in it")
    if (unpacked := sum(entry.file_size for entry in entries)) > MAX_UNPACKED:
        raise _unreadable(name, f"it claims to unpack to {unpacked // 2**20} MiB")


def _text(value: type_of_value) -> str:
    """A value of Excel as FileMaker would have exported it: 77.0 was 77, and a date is a day."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _unreadable(name: str, found: str) -> ExportError:
    return ExportError(
        "opening the workbook", name, found, "Export it again from FileMaker as .xlsx, or as .csv with UTF-8"
    )
