"""Who is in the sample: patients, their FileMaker ids, and what is wrong with those.

Pure. Does not belong here: what was photographed of them.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections import Counter
from dataclasses import dataclass

from fm_migration.embedded.sample.mess import MessTotals
from fm_migration.embedded.sample.model import Patient, patient_uuid
from fm_migration.embedded.sample.words import FIRST_NAMES, LAST_NAMES

_FIRST_IMPORT = dt.datetime(2025, 3, 8, 6, 30, tzinfo=dt.UTC)
_BETWEEN_IMPORTS = dt.timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class People:
    """Everybody, and who of them matters to the export."""

    patients: tuple[Patient, ...]
    contacts: tuple[str, ...]  # FileMaker ids with photographs
    shared: frozenset[str]  # those of them that two patients have
    merged: tuple[str, ...]  # ids that the app no longer knows
    present_uuid: dict[str, uuid.UUID]


def stream(seed: int, part: str) -> random.Random:
    """A stream of chance for one part of the design, so that more of one mess does not shuffle all the others."""
    return random.Random(f"fm-sample/{seed}/{part}")  # noqa: S311 - not for secrets: it has to be repeatable


def filemaker_uuid(rng: random.Random) -> str:
    """A UUID as FileMaker writes it: in upper case."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4)).upper()


def reimported_at(generation: int) -> dt.datetime:
    """When the patients were (re-)imported for the so-manieth time: every four weeks, the tenth in November 2025."""
    return _FIRST_IMPORT + (generation - 1) * _BETWEEN_IMPORTS


def design(seed: int, sizes: MessTotals, counts: dict[str, int], generation: int) -> People:
    """The patients of the app. Each mess about ids falls on people of its own."""
    rng = stream(seed, "people")
    distinct = sizes.patients - counts["hand_entered_patient"] - counts["shared_filemaker_id"]
    known = [filemaker_uuid(rng) for _ in range(distinct)]
    contacts = tuple(known[: sizes.contacts])
    shared = contacts[-counts["shared_filemaker_id"] :]
    case_differs = set(contacts[: counts["id_case_differs"]])
    survivors = contacts[counts["id_case_differs"] :][: counts["merged_patient"]]
    merged = {survivor: filemaker_uuid(rng) for survivor in survivors}
    double_encoded = set(rng.sample(known, counts["double_encoded_metadata"]))
    ids: list[str | None] = [*known, *shared, *[None] * counts["hand_entered_patient"]]
    archived = _archived(rng, ids, sizes.contacts, counts["archived_patient"])
    patients = []
    for number, filemaker_id in enumerate(ids, start=1):
        mrn = f"SC{number:06d}"
        # People typed in by hand are not in the Excel file of a re-import: they keep their first UUID.
        born = generation if filemaker_id else 1
        stored = _other_case(filemaker_id, number) if filemaker_id in case_differs else filemaker_id
        patients.append(
            Patient(
                mrn=mrn,
                id=patient_uuid(seed, mrn, born),
                filemaker_id=filemaker_id,
                stored_filemaker_id=stored,
                double_encoded=filemaker_id in double_encoded,
                merged_filemaker_ids=(merged[filemaker_id],) if filemaker_id in merged else (),
                first_name=rng.choice(FIRST_NAMES),
                last_name=rng.choice(LAST_NAMES),
                dob=dt.date(1931, 1, 1) + dt.timedelta(days=rng.randrange(80 * 365)),
                archived=number - 1 in archived,
                created_at=reimported_at(born),
            )
        )
    return People(
        patients=tuple(patients),
        contacts=contacts,
        shared=frozenset(shared),
        merged=tuple(merged.values()),
        present_uuid={p.filemaker_id: p.id for p in patients if p.filemaker_id},
    )


def _archived(rng: random.Random, ids: list[str | None], with_photographs: int, amount: int) -> set[int]:
    """Positions of so many people, half of them with photographs; nobody who shares an id."""
    times = Counter(ids)
    single = [number for number, filemaker_id in enumerate(ids) if filemaker_id and times[filemaker_id] == 1]
    photographed = [number for number in single if number < with_photographs]
    others = [number for number in single if number >= with_photographs]
    return {*rng.sample(photographed, (amount + 1) // 2), *rng.sample(others, amount // 2)}


def _other_case(filemaker_id: str | None, number: int) -> str | None:
    if filemaker_id is None or number % 2:
        return filemaker_id and filemaker_id.lower()
    half = len(filemaker_id) // 2
    return filemaker_id[:half].lower() + filemaker_id[half:]
