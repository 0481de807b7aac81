"""An export to read, and the ways of reading it that are not ours.

Belongs here: writing an export of any size in the clinic's own form, and the peers that read it: `csv.DictReader`
with a check of each row, and pandas. Does not belong here: timing them (`bench/staging.py`).
"""

from __future__ import annotations

import csv
import random
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from fm_migration.embedded.sample.words import FREQUENT_TYPES

HEADER = ("date", "fileNane", "id", "id_Contact", "Name of file", "NexusExportDate", "recid", "Type")
_FIRST_DAY = date(2016, 2, 1)
_DAYS = 3_550
#: The clinic: 6,662 rows of 2,842 patients.
_ROWS_OF_PATIENT = 6_662 / 2_842


class Photograph(NamedTuple):
    """What a reader that goes row by row keeps of a sound row."""

    row_number: int
    recid: str
    image_id: uuid.UUID
    contact: uuid.UUID
    taken_on: date
    file_name: str
    type_text: str


def write_export(path: Path, rows: int) -> int:
    """An export of so many rows, the same at every call; how many of them are sound.

    One row in a thousand is not: it has no contact and no date, a contact that is not a UUID, or an impossible date.
    """
    chance = random.Random(rows)
    contacts = [_uuid(chance) for _ in range(max(1, int(rows / _ROWS_OF_PATIENT)))]
    texts, weights = zip(*FREQUENT_TYPES, strict=True)
    faulty = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for recid, type_text in enumerate(chance.choices(texts, weights, k=rows), start=77):
            contact, day = chance.choice(contacts), _us_date(chance)
            if recid % 1000 == 0:
                contact, day = (("", ""), (f"patient {recid}", day), (contact, "2/30/2019"))[faulty % 3]
                faulty += 1
            named = f"IMG_{chance.randrange(10_000):04}.JPG"
            writer.writerow((day, f"{recid}.jpg", _uuid(chance), contact, named, "11/3/2025", recid, type_text))
    return rows - faulty


def row_by_row(path: Path) -> tuple[int, list[Photograph]]:
    """The number of rows, and the sound ones: `csv.DictReader`, and one row after the other parsed and checked."""
    number = 0
    sound: list[Photograph] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            recid = row["recid"].strip()
            if not recid.isdigit():
                continue
            try:
                # Taken apart by hand, because strptime alone would double the time of the whole row.
                month, day, year = row["date"].split("/")
                taken_on = date(int(year), int(month), int(day))
                image_id, contact = uuid.UUID(row["id"].strip()), uuid.UUID(row["id_Contact"].strip())
            except ValueError:
                continue
            sound.append(Photograph(number, recid, image_id, contact, taken_on, row["fileNane"], row["Type"]))
    return number, sound


def as_copy_rows(photographs: list[Photograph]) -> Iterator[tuple[object, ...]]:
    """The same photographs as rows of our table, without the raw text, the category and the problems."""
    for found in photographs:
        yield (
            found.row_number,
            found.row_number + 1,
            found.recid,
            found.image_id,
            found.contact,
            str(found.contact),
            found.taken_on,
            str(found.taken_on),
            found.file_name,
            found.type_text,
            "",
            "",
            "",
            [],
            f"recid {found.recid}",
            "export_file",
        )


def _uuid(chance: random.Random) -> str:
    """In upper case, as FileMaker writes it."""
    digits = f"{chance.getrandbits(128):032X}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _us_date(chance: random.Random) -> str:
    day = _FIRST_DAY + timedelta(days=chance.randrange(_DAYS))
    return f"{day.month}/{day.day}/{day.year}"
