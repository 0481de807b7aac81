"""The rows of the sample's FileMaker export, from the designed photographs; and writing them as the clinic's CSV.

Pure. The file is the clinic's own kind: UTF-8 with a byte order mark, CRLF, a header, the typo `fileNane`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fm_migration.embedded.sample.model import ExportedRow
from fm_migration.embedded.sample.people import filemaker_uuid, stream
from fm_migration.embedded.sample.photographs import Shot
from fm_migration.embedded.sample.words import FIRST_NAMES, LAST_NAMES

HEADER = ("date", "fileNane", "id", "id_Contact", "Name of file", "NexusExportDate", "recid", "Type")


def csv_bytes(rows: Iterable[ExportedRow]) -> bytes:
    """The export as a file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(
        (r.date, r.file_name, r.image_id, r.contact, r.name_of_file, r.exported, r.recid, r.type) for r in rows
    )
    return text.getvalue().encode("utf-8-sig")


def design(seed: int, shots: list[Shot]) -> Iterator[ExportedRow]:
    """The rows in FileMaker's order: by recid, repeated ones anywhere."""
    rng = stream(seed, "rows")
    places: list[tuple[float, int, Shot]] = []
    for shot in shots:
        for copy in range(shot.rows):
            place = float(shot.recid) if copy == 0 else rng.uniform(77, float(shot.recid) * 1.1)
            places.append((place, copy, shot))
    contacts = sorted({shot.patient for shot in shots if shot.patient})
    seen: set[str] = set()
    disputes = 0
    for number, (_, copy, shot) in enumerate(sorted(places, key=lambda p: p[:2]), start=1):
        row = _row(rng, number, shot)
        if copy and "duplicate_recid_conflict" in shot.row_mess:
            row = _contradicting(rng, row, disputes, contacts)
            disputes += 1
        elif row.state == "linked" and shot.recid in seen:
            row = replace(row, state="duplicate_recid")
        seen.add(shot.recid)
        yield row


def _row(rng: random.Random, number: int, shot: Shot) -> ExportedRow:
    name = f"IMG_{rng.randrange(10000):04d}.JPG"
    if rng.randrange(20) == 0:
        # Staff name files after patients: an export holds names even where no column says so.
        name = f"{rng.choice(LAST_NAMES)} {rng.choice(FIRST_NAMES)} {number}.jpg"
    return ExportedRow(
        number=number,
        recid=shot.recid,
        image_id=shot.image_id,
        contact=shot.contact,
        date=_us_date(shot.day) if shot.written_date is None else shot.written_date,
        type=shot.type,
        file_name=f"{shot.recid}.jpg" if rng.randrange(3) else "",
        name_of_file=name,
        exported=_us_date(dt.date(2025, 11, rng.randrange(3, 8))) if rng.randrange(4) else "",
        state=shot.state,
        patient=shot.patient,
        taken=shot.taken,
        mess=tuple(shot.row_mess),
    )


def _contradicting(rng: random.Random, row: ExportedRow, number: int, contacts: list[str]) -> ExportedRow:
    """The same recid with another contact, another day or another image id, in turn."""
    if number % 3 == 1 and row.taken:
        day = row.taken + dt.timedelta(days=1)
        return replace(row, date=_us_date(day), taken=day)
    if number % 3 == 2:
        return replace(row, image_id=filemaker_uuid(rng))
    other = rng.choice([contact for contact in contacts if contact != row.patient])
    return replace(row, contact=other, patient=other)


def _us_date(day: dt.date) -> str:
    return f"{day.month}/{day.day}/{day.year}"
