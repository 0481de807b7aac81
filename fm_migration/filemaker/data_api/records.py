"""Records: is the layout what we need, and then all of them, each once, however the table changes meanwhile.

The walk goes by key and not by offset: an offset counts what is there now, so whoever is added or removed in front of
it shifts everybody behind. Each page asks for `recid >= last`, sorted, and leaves out what was seen at that recid: two
records may share one, and `> last` would lose the second. A short page is not the end; the end is a page without
anybody new. Records without a recid are asked for apart. Nothing is ever written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fm_migration.errors import SettingsError
from fm_migration.filemaker.columns import Profiles
from fm_migration.filemaker.data_api.addresses import segment
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.filemaker.data_api.failures import NO_MATCH, NO_RECORD, Answer, FileMakerError

#: Values of a container without anything in it.
EMPTY = ("", "?")
#: A page grows up to this when more records than it holds share a recid.
LONGEST_PAGE = 10_000
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


@dataclass(frozen=True)
class Columns:
    """Which field of the layout holds what, and its containers, the best picture first."""

    fields: Mapping[str, str]
    containers: tuple[str, ...]
    #: The fields in which the source itself says what the MD5 of a container is.
    md5: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One record as it came. `number` is FileMaker's own, `modification` its count of changes."""

    number: str
    modification: str
    told: Mapping[str, Any]
    #: In which session it was read, and when: containers' addresses do not outlive either.
    session: int
    read_at: float

    def text(self, name: str | None) -> str:
        """The value of a field as text. A number without a fraction is written without one."""
        value = "" if name is None else self.told.get(name, "")
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return value if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class Page:
    """Records in the order of their recids, and where the walk stands behind them."""

    records: tuple[Record, ...]
    last_key: int | None
    seen_there: tuple[str, ...]


class Records:
    """The records of a layout."""

    def __init__(self, api: DataApi, columns: Columns) -> None:
        self.columns = columns
        self._api = api
        self._path = api.access.records

    def count(self) -> int | None:
        """How many records the table has; None from servers that do not say."""
        answer = self._api.call(
            "GET", f"{self._path}/records", "counting the records of", params={"_limit": "1", "_offset": "1"}
        )
        if not answer.ok:
            return 0
        total = answer.response.get("dataInfo", {}).get("totalRecordCount")
        return int(total) if isinstance(total, int | str) and str(total).isdecimal() else None

    def get(self, number: str) -> Record | None:
        """One record as it is now; None when it is gone."""
        answer = self._api.call("GET", f"{self._path}/records/{segment(number)}", "reading a record of")
        found = self._read(answer)
        return found[0] if found else None

    def walk(self, page: int, last_key: int | None = None, seen_there: Sequence[str] = ()) -> Iterator[Page]:
        """All records from a place on, in pages of about this size; each is given once."""
        last, seen, size = last_key, set(seen_there), page
        while True:
            found, matching = self._find(self._from(last), size)
            new = [record for record in found if not (self._key(record) == last and record.number in seen)]
            if not new:
                if matching <= len(found):
                    break
                # Nobody but those seen already fits in: more of them share this recid than a page holds.
                size = self._larger(size)
                continue
            key = self._key(new[-1])
            if last is not None and key is not None and key < last:
                raise self._disorder("the records do not come in the order of their recids")
            there = {record.number for record in new if self._key(record) == key}
            seen = seen | there if key == last else there
            last, size = key, page
            yield Page(tuple(new), last, tuple(sorted(seen)))
        yield from self._without_key(page, last, seen)

    def sweep(self, page: int) -> Iterator[list[Record]]:
        """All records once more, by offset in the order in which they were made: for those that no walk by key meets.

        A number field may hold text, which servers sort where they like. Whoever is added or removed meanwhile may be
        missed here, and was met by the walk.
        """
        offset = 1
        while True:
            asked = {"_offset": str(offset), "_limit": str(page)}
            found = self._read(self._api.call("GET", f"{self._path}/records", "reading the records of", params=asked))
            if not found:
                return
            yield found
            offset += len(found)

    def _without_key(self, page: int, last: int | None, seen: set[str]) -> Iterator[Page]:
        """Records without a recid come last and together: there is nothing to sort them by."""
        size = page
        while True:
            found, matching = self._find({self._recid: "="}, size)
            if matching <= len(found):
                break
            size = self._larger(size)
        if found:
            yield Page(tuple(found), last, tuple(sorted(seen)))

    def _larger(self, size: int) -> int:
        if size >= LONGEST_PAGE:
            raise self._disorder(f"it does not give all records of one recid, though {size:,} were asked for")
        return min(size * 2, LONGEST_PAGE)

    def _disorder(self, found: str) -> FileMakerError:
        return FileMakerError(
            "reading the records of",
            self._api.access.layout,
            found,
            "Make recid a number field of the layout's own table, and number its records in FileMaker",
        )

    @property
    def _recid(self) -> str:
        return self.columns.fields["recid"]

    def _from(self, last: int | None) -> dict[str, str]:
        return {self._recid: f">={0 if last is None else last}"}

    def _key(self, record: Record) -> int | None:
        text = record.text(self._recid).strip()
        try:
            return int(float(text)) if text else None
        except (ValueError, OverflowError):
            # FileMaker sorts a number field by its digits, whatever stands between them.
            digits = re.sub(r"\D", "", text)
            return int(digits) if digits else None

    def _find(self, query: Mapping[str, str], limit: int) -> tuple[list[Record], int]:
        """The first so many of the records that match, and how many match."""
        asked = {
            "query": [dict(query)],
            "sort": [{"fieldName": self._recid, "sortOrder": "ascend"}],
            "limit": str(limit),
            "offset": "1",
        }
        answer = self._api.call("POST", f"{self._path}/_find", "reading the records of", json=asked)
        found = self._read(answer)
        told = answer.response.get("dataInfo", {}).get("foundCount")
        # Servers before version 18 do not say: then only a page that is not full can be the last.
        matching = int(told) if str(told).isdecimal() else len(found) + int(len(found) >= limit)
        return found, matching

    def _read(self, answer: Answer) -> list[Record]:
        if answer.code in (NO_MATCH, NO_RECORD):
            return []
        data = answer.response.get("data")
        if not isinstance(data, list):
            raise FileMakerError(
                "reading the records of",
                self._api.access.origin.url,
                "the answer has no data",
                "Report it as a fault of fm_migration, with the version of the server",
            )
        session, now = self._api.session.number, self._api.now()
        return [
            Record(str(one["recordId"]), str(one.get("modId", "")), one.get("fieldData", {}), session, now)
            for one in data
        ]


def check_layout(api: DataApi, containers: Sequence[str], profiles: Profiles, md5_suffix: str) -> Columns:
    """Which field holds what, before the first record is read; a layout that lacks something is refused by name."""
    answer = api.call("GET", api.access.records, "reading the layout of")
    described = answer.response.get("fieldMetaData", [])
    kinds = {one["name"]: one.get("result") for one in described if isinstance(one, dict) and "name" in one}
    fields: dict[str, str] = {}
    for name in kinds:
        known = profiles.field_of(name)
        if known is not None:
            fields.setdefault(known, name)
    missing = [shown for shown, known in (("recid", "recid"), ("id_Contact", "contact")) if known not in fields]
    missing += [name for name in containers if name not in kinds]
    wrong = [f"{name} is not a container field" for name in containers if kinds.get(name, "container") != "container"]
    # Text sorts 10 before 9, and a walk by such a key would miss records.
    wrong += [
        "recid is not a number field" for name in [fields.get("recid", "")] if kinds.get(name, "number") != "number"
    ]
    if missing or wrong or not containers:
        told = [*([f"it lacks {', '.join(missing)}"] if missing else []), *wrong]
        raise SettingsError(
            "checking the layout",
            api.access.layout,
            "; ".join(told) or "FM_FILEMAKER_CONTAINERS names no container",
            "Put the fields on the layout, or correct FM_FILEMAKER_LAYOUT and FM_FILEMAKER_CONTAINERS",
        )
    by_folded = {name.casefold(): name for name in kinds}
    md5 = {
        name: by_folded[f"{name}{md5_suffix}".casefold()]
        for name in containers
        if f"{name}{md5_suffix}".casefold() in by_folded
    }
    return Columns(fields, tuple(containers), md5)


def as_iso(text: str) -> str:
    """A date of an answer as year-month-day. Answers are in US order, as nothing else is asked for."""
    match = _US_DATE.fullmatch(text.strip())
    if match is None:
        return text
    month, day, year = map(int, match.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return text


def without_containers(record: Record, columns: Columns) -> str:
    """All other fields as JSON, in a fixed order, so that a change shows."""
    kept = {name: value for name, value in record.told.items() if name not in columns.containers}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
