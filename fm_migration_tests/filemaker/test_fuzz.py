"""Damaged files: no crash, no hang, no row that vanishes. FM_FUZZ sets how many files are tried."""

from __future__ import annotations

import io
import os
import random

import pytest

from fm_migration.errors import ExportError
from fm_migration.filemaker.dialect import Dialect
from fm_migration.filemaker.reading import Export
from fm_migration.filemaker.records import read_records
from fm_migration.filemaker.rows import copy_values, normalise, survey
from fm_migration_tests.filemaker.strategies import DIALECTS, TODAY, opened, row, rows
from fm_migration_tests.filemaker.writing import HEADINGS, adds_up, write

_FILES = int(os.environ.get("FM_FUZZ", "3000"))
_SHARES = 10

_AWKWARD = [
    b'"',
    b'""',
    b",",
    b";",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x0b",
    b"\x1d",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe9",
]


def _table(chance: random.Random) -> list[list[str]]:
    texts = [
        "Dorsal",
        "NA",
        "Planter Left",
        'a 5" lift',
        "two\nlines",
        "R\x0bL",
        "one\x1dtwo",
        "Fußabdruck é",
        "",
        "x, y; z",
    ]
    table = rows(chance.randint(1, 12))
    for cells in table:
        cells[1], cells[7] = chance.choice(texts), chance.choice(texts)
    return table


def _written(chance: random.Random) -> tuple[bytes, str]:
    dialect = chance.choice(DIALECTS)
    table = _table(chance)
    if not dialect.quoted:
        banned = str.maketrans(dict.fromkeys("\t\r\n", " "))
        table = [[cell.translate(banned) for cell in cells] for cells in table]
    if chance.random() < 0.03:
        plain = [[cell.replace("\x0b", " ").replace("\x1d", " ") for cell in cells] for cells in table]
        return write([list(HEADINGS), *plain], Dialect("xlsx")), "Image_data.xlsx"
    header = [list(HEADINGS)] if dialect.format == "mer" or chance.random() < 0.5 else []
    return write(header + table, dialect, chance.random() < 0.5), f"Image_data.{dialect.format}"


def _mutated(data: bytes, chance: random.Random) -> bytes:
    # Half of the UTF-16 files are damaged in whole characters: the others hardly ever can be read.
    unit = 2 if data[:4].count(0) and chance.random() < 0.5 else 1
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(changed) // unit + 1) * unit
        until = at + chance.choice((1, 1, 1, 2, 10, 100)) * unit
        kind = chance.randrange(8)
        if kind < 3:
            awkward = chance.choice(_AWKWARD)
            changed[at:at] = awkward if unit == 1 else awkward.decode("latin-1").encode(_wide(data))
        elif kind == 3:
            del changed[at:until]
        elif kind == 4:
            changed[at:at] = changed[at:until]
        elif kind == 5:
            changed[at : at + 1] = bytes((chance.randrange(256),))
        elif kind == 6 and chance.random() < 0.2:
            del changed[at:]
        else:
            changed[at:until] = chance.randbytes(len(changed[at:until]))
    return bytes(changed)


def _wide(data: bytes) -> str:
    return "utf-16-be" if data.startswith((b"\xfe\xff", b"\x00")) else "utf-16-le"


def _check(export: Export, data: bytes) -> None:
    """Every row of the file has become a row, and every character is in the raw text of one."""
    found = survey(export)
    made = [row for chunk in normalise(export, found, TODAY) for row in chunk]
    counts = export.counts
    assert adds_up(counts)
    assert not counts.refused
    assert [row.row_number for row in made] == list(range(1, counts.rows + 1))
    assert found.counts == counts
    for values in map(copy_values, made):
        assert not any("\x00" in value for value in values if isinstance(value, str))
    if export.dialect.format != "xlsx":
        errors = "replace" if export.dialect.damaged else "strict"
        text = data[len(export.dialect.mark) :].decode(export.dialect.encoding, errors)
        chunks = read_records(io.BytesIO(data), export.dialect, export.name, export.layout.width)
        assert _bare("".join(raw for chunk in chunks for raw in chunk.raws)) == _bare(text)


def _bare(text: str) -> str:
    """The text without line ends, which stand between records and so in none of them."""
    return text.replace("\r", "").replace("\n", "")


@pytest.mark.parametrize("share", range(_SHARES))
def test_a_damaged_file_is_read_row_for_row_or_refused_as_a_whole(share: int) -> None:
    read = refused = 0
    for number in range(_FILES // _SHARES):
        seed = share * 1_000_000 + number
        chance = random.Random(seed)
        data, name = _written(chance)
        data = _mutated(data, chance)
        try:
            _check(opened(data, name), data)
            read += 1
        except ExportError:
            refused += 1
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    # Were nearly all refused, this would test nothing.
    assert read > refused / 4


def test_a_file_of_unbalanced_quotation_marks_does_not_hang() -> None:
    # From each line the quoted cell reaches on over all that follow: the worst case of looking ahead.
    hostile = [",".join(row(number)[:7]) + ',"a",,"b' for number in range(20_000)]
    data = "\r\n".join([",".join(HEADINGS), ",".join(row(1)), *hostile]).encode()
    with pytest.raises(ExportError, match="do not balance"):
        survey(opened(data))


def test_a_quotation_mark_too_many_costs_one_row_its_cells_and_no_other_row() -> None:
    table = rows(5000)
    lines = [",".join(cells) for cells in [list(HEADINGS), *table]]
    lines[10] = lines[10].replace("IMG_", '"IMG_')
    export = opened("\r".join(lines).encode())
    records = list(export.records())
    assert len(records) == 5000
    assert [record.row_number for record in records if record.problems] == [10]
    assert records[9].cells[1] == '"IMG_10.jpg'
    assert records[10].cells == table[10]


def test_text_after_any_bytes_is_refused_in_four_parts_or_read() -> None:
    chance = random.Random(1)
    for size in (1, 2, 3, 10, 100, 1000):
        for _ in range(20):
            try:
                survey(opened(chance.randbytes(size)))
            except ExportError as error:
                assert all((error.doing, error.subject, error.found, error.remedy))
