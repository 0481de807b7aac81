"""What was photographed, when, and what is wrong with its metadata: the part that rows and objects are made from.

Pure. Each mess is planted on photographs of its own, so that the truth about a row never depends on two of them
at once. Every session (one patient, one day) keeps its first photograph free of any mess about its row: it is what
makes the session exist.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fm_migration.embedded.sample.mess import ROWS_PER_MERGED_PATIENT, MessTotals
from fm_migration.embedded.sample.model import State, sample_uuid
from fm_migration.embedded.sample.people import People, filemaker_uuid, stream
from fm_migration.embedded.sample.words import types_for

FIRST_DAY = dt.date(2016, 1, 4)
LAST_DAY = dt.date(2025, 10, 31)
MOST_PHOTOGRAPHS = 15
MOST_SESSIONS = 7
#: How many photographs a session has, and how often: median 4, a long tail.
_SESSION_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15)
_SESSION_WEIGHTS = (160, 130, 140, 290, 110, 80, 30, 25, 18, 11, 6)
#: Dates that no calendar has, in either order of day and month: they must not decide the order of a column.
IMPOSSIBLE_DATES = ("2/30/2018", "13/45/2019", "2/29/2019", "0/12/2020", "4/31/2017")
_MALFORMED_CONTACTS = (
    "12345",
    "n/a",
    "{}-X",
    "see referral",
    "00000000-0000-0000-0000-00000000000G",
    "F81D4FAE-7DEC-11D0-A765",
)


@dataclass(slots=True)
class Shot:
    """A photograph while it is being designed."""

    contact: str
    day: dt.date  # by which the recids run, and the capture date unless `written_date` says otherwise
    state: State = "linked"
    patient: str | None = None
    recid: str = ""
    image_id: str = ""
    type: str = ""
    written_date: str | None = None  # where the export has something else than the day
    rows: int = 1
    has_object: bool = True
    row_mess: list[str] = field(default_factory=list)
    file_mess: list[str] = field(default_factory=list)

    @property
    def taken(self) -> dt.date | None:
        return self.day if self.written_date is None else None


def design(seed: int, sizes: MessTotals, counts: dict[str, int], people: People) -> list[Shot]:
    """All photographs: those of the export, and those that only the dump knows."""
    rng = stream(seed, "photographs")
    sessions_of = _session_days(rng, sizes.sessions, people)
    aside = _shots_outside_sessions(rng, counts, people, sessions_of)
    in_sessions = sizes.rows - sum(shot.rows for shot in aside) - counts["duplicate_recid_same"]
    sessions = _sessions(rng, sizes.sessions, in_sessions, people, sessions_of)
    spare = [shot for session in sessions for shot in session[1:] if shot.state == "linked"]
    rng.shuffle(spare)
    supply = iter(spare)
    shots = [shot for session in sessions for shot in session] + aside
    without_object = len(shots) + counts["object_without_row"] - sizes.originals
    _take_objects_away(aside, without_object, supply)
    _plant_row_mess(counts, people, supply)
    shots += [Shot("", _a_day(rng), rows=0) for _ in range(counts["object_without_row"])]
    _number(rng, shots)
    with_rows = [shot for shot in shots if shot.rows]
    for shot, text in zip(with_rows, types_for(len(with_rows), rng), strict=True):
        shot.type = text
    return shots


def _session_days(rng: random.Random, count: int, people: People) -> dict[str, list[dt.date]]:
    days_of: dict[str, list[dt.date]] = {}
    for contact, times in zip(people.contacts, _visits(rng, len(people.contacts), count), strict=True):
        days: set[dt.date] = set()
        while len(days) < times:
            days.add(_a_day(rng))
        days_of[contact] = sorted(days)
    return days_of


def _visits(rng: random.Random, contacts: int, sessions: int) -> list[int]:
    """How many sessions each contact has: mostly one, at most seven."""
    visits = [1] * contacts
    extra = sessions - contacts
    if extra >= 4 * MOST_SESSIONS:
        visits[contacts // 2] = MOST_SESSIONS
        extra -= MOST_SESSIONS - 1
    regulars = max(1, contacts // 3)
    while extra:
        contact = rng.randrange(regulars if rng.random() < 0.5 else contacts)
        if visits[contact] < MOST_SESSIONS:
            visits[contact] += 1
            extra -= 1
    return visits


def _sessions(
    rng: random.Random, count: int, photographs: int, people: People, days_of: dict[str, list[dt.date]]
) -> list[list[Shot]]:
    lengths = iter(_session_lengths(rng, count, photographs))
    sessions = []
    for contact, days in days_of.items():
        ambiguous = contact in people.shared
        for day in days:
            shots = [Shot(contact, day) for _ in range(next(lengths))]
            for shot in shots:
                shot.state = "ambiguous_patient" if ambiguous else "linked"
                shot.patient = None if ambiguous else contact
                shot.row_mess = ["shared_filemaker_id"] if ambiguous else []
            sessions.append(shots)
    return sessions


def _session_lengths(rng: random.Random, count: int, photographs: int) -> list[int]:
    lengths = rng.choices(_SESSION_SIZES, _SESSION_WEIGHTS, k=count)
    lengths[0] = MOST_PHOTOGRAPHS
    missing = photographs - sum(lengths)
    while missing:
        session = rng.randrange(1, count)
        if missing > 0 and lengths[session] < MOST_PHOTOGRAPHS:
            lengths[session] += 1
            missing -= 1
        elif missing < 0 and lengths[session] > 1:
            lengths[session] -= 1
            missing += 1
    return lengths


def _shots_outside_sessions(
    rng: random.Random, counts: dict[str, int], people: People, days_of: dict[str, list[dt.date]]
) -> list[Shot]:
    """Photographs whose row names no patient or no day, or that two rows quarrel over."""
    plain = [contact for contact in people.contacts if contact not in people.shared]
    shots: list[Shot] = []

    def add(kind: str, contact: str, state: State, **more: Any) -> None:
        shots.append(Shot(contact, more.pop("day", None) or _a_day(rng), state, row_mess=[kind], **more))

    for n in range(counts["malformed_contact"]):
        text = _MALFORMED_CONTACTS[n % len(_MALFORMED_CONTACTS)].format(filemaker_uuid(rng))
        add("malformed_contact", text, "malformed_contact")
    for n in range(counts["missing_contact"]):
        # The first of them lacks its date too, like the one row of the real export.
        add("missing_contact", "", "no_contact", written_date=None if n else "")
    strangers = [filemaker_uuid(rng) for _ in range((counts["unknown_contact"] + 1) // 2)]
    for n in range(counts["unknown_contact"]):
        add("unknown_contact", strangers[n % len(strangers)], "no_patient")
    for _ in range(counts["contact_gone_app_uuid"]):
        add("contact_gone_app_uuid", str(sample_uuid("gone", rng.random())), "no_patient")
    for contact in people.merged * ROWS_PER_MERGED_PATIENT:
        add("merged_patient", contact, "no_patient")
    undated = [("missing_date", "")] * counts["missing_date"]
    for n in range(counts["impossible_date"]):
        undated.append(("impossible_date", IMPOSSIBLE_DATES[n % len(IMPOSSIBLE_DATES)]))
    for kind, written in undated:
        contact = rng.choice(plain)
        add(kind, contact, "linked", patient=contact, written_date=written)
    for _ in range(counts["duplicate_recid_conflict"]):
        contact = rng.choice(plain)
        # Of a day that the contact has a session on: what is in dispute founds no session of its own.
        day = days_of[contact][0]
        add("duplicate_recid_conflict", contact, "duplicate_recid", patient=contact, rows=2, day=day)
    return shots


def _take_objects_away(aside: list[Shot], amount: int, supply: Iterator[Shot]) -> None:
    """Rows without an object. One each of three kinds from outside the sessions is among them, for the precedence."""
    chosen: list[Shot] = []
    for kind in ("malformed_contact", "unknown_contact", "missing_date"):
        group = [shot for shot in aside if shot.row_mess == [kind]]
        if len(group) > 1 and len(chosen) < amount - 1:
            chosen.append(group[-1])
    chosen += [next(supply) for _ in range(amount - len(chosen))]
    for shot in chosen:
        shot.has_object = False
        shot.row_mess.append("row_without_object")
        if shot.state in ("no_patient", "linked"):
            shot.state = "no_object"


def _plant_row_mess(counts: dict[str, int], people: People, supply: Iterator[Shot]) -> None:
    for _ in range(counts["duplicate_recid_same"]):
        shot = next(supply)
        shot.rows = 2
        shot.row_mess.append("duplicate_recid_same")
    for _ in range(counts["contact_app_uuid"]):
        shot = next(supply)
        shot.row_mess.append("contact_app_uuid")
        shot.contact = str(people.present_uuid[shot.contact])
    for _ in range(counts["contact_lower_case"]):
        shot = next(supply)
        shot.row_mess.append("contact_lower_case")
        shot.contact = shot.contact.lower()


def _number(rng: random.Random, shots: list[Shot]) -> None:
    """Recids run with time, with gaps; image ids are FileMaker UUIDs."""
    recid = 76
    for shot in sorted(shots, key=lambda s: s.day):
        recid += rng.choice((1, 1, 1, 2))
        shot.recid = str(recid)
        shot.image_id = filemaker_uuid(rng)


def _a_day(rng: random.Random) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=rng.randrange((LAST_DAY - FIRST_DAY).days + 1))
