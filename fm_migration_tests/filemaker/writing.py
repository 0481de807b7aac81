"""Writes tables as FileMaker and its neighbours would, in any dialect: for tests and samples.

Belongs here: bytes out of rows. It is the reader's opposite and shares no code with it, so that a mistake in
one shows in the other.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import openpyxl
from openpyxl.cell import WriteOnlyCell

from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.reading import Counts

HEADINGS = ("date", "fileNane", "id", "id_Contact", "Name of file", "NexusExportDate", "recid", "Type")


def write(
    rows: Sequence[Sequence[str]], dialect: Dialect, quote_all: bool = False, last_separator: bool = True
) -> bytes:
    """The rows (a header among them, if there is to be one) in the dialect."""
    if dialect.format == "xlsx":
        return workbook(rows)
    lines = [dialect.delimiter.join(_cell(cell, dialect, quote_all) for cell in row) for row in rows]
    text = dialect.record_separator.join(lines) + (dialect.record_separator if lines and last_separator else "")
    return dialect.mark + text.encode(dialect.encoding)


def _cell(cell: str, dialect: Dialect, quote_all: bool) -> str:
    if not dialect.quoted:
        return cell
    if quote_all or any(character in cell for character in (dialect.delimiter, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def workbook(rows: Sequence[Sequence[object]]) -> bytes:
    """The rows as an .xlsx; texts stay texts, other values become what Excel makes of them."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Export")
    for row in rows:
        cells = []
        for value in row:
            cell = WriteOnlyCell(sheet, value=value)
            if isinstance(value, str):
                # Without this a text that begins with "=" would become a formula.
                cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def adds_up(counts: Counts) -> bool:
    """Whether every record of a pass is accounted for."""
    return counts.records == counts.header + counts.rows + counts.blank + len(counts.refused)
