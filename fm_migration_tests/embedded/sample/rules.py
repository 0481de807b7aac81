"""The rules by which a row gets its state, once more and independently: from raw values, not from the plan's own notes.

The truth file says what was planted; here is what a careful reader would conclude. The tests hold the two together.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

ORIGINAL = re.compile(r"filemaker-import/images-bulk-dump/(?P<name>[^/.]+)(\.[A-Za-z]+)?(/[0-9a-f-]{36}\.jpg)?")


def parse_date(text: str) -> date | None:
    """A date as the clinic's FileMaker writes it, month first."""
    try:
        month, day, year = map(int, text.split("/"))
        return date(year, month, day)
    except ValueError:
        return None


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return len(text) == 36


def photograph_names(keys: Iterable[str]) -> set[str]:
    """Recids and upper-case image ids that the dump has an original for."""
    matches = (ORIGINAL.fullmatch(key) for key in keys)
    return {m["name"].upper() for m in matches if m and not m["name"].endswith("_thumb")}


def states(
    rows: Sequence[Mapping[str, str]], names: set[str], people: Iterable[tuple[uuid.UUID, str | None]]
) -> list[tuple[str, str | None]]:
    """State and patient of each row. `people` are pairs of app UUID and FileMaker id."""
    people = list(people)
    by_uuid = {str(key): (filemaker_id or "").upper() for key, filemaker_id in people}
    holders = Counter(filemaker_id.upper() for _, filemaker_id in people if filemaker_id)
    statements: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for row in rows:
        statements[row["recid"]].add((row["id_Contact"], row["date"], row["id"]))
    seen: set[str] = set()
    result: list[tuple[str, str | None]] = []
    for row in rows:
        contact = row["id_Contact"]
        patient = by_uuid.get(contact, contact.upper())
        known = patient if holders[patient] == 1 else None
        has_object = row["recid"] in names or row["id"].upper() in names
        if len(statements[row["recid"]]) > 1 or row["recid"] in seen:
            state = "duplicate_recid"
        elif not contact:
            state = "no_contact"
        elif not is_uuid(contact):
            state = "malformed_contact"
        elif not has_object:
            state = "no_object"
        else:
            state = {0: "no_patient", 1: "linked"}.get(holders[patient], "ambiguous_patient")
        seen.add(row["recid"])
        result.append((state, known))
    return result
