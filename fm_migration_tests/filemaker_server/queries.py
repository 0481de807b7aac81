"""FileMaker's way of finding and sorting: criteria by field, requests that add and requests that omit.

A text criterion matches beginnings of words; `==` the whole field, `=` a whole word, alone an empty field; `*` any
characters, alone a field that is not empty; `@` one character, `#` one digit; `<` `<=` `>` `>=` and `...` compare.

Belongs here: which records, in which order. Does not belong here: how a request says so (`data_api.py`).
"""

from __future__ import annotations

import functools
import json
import re
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, overload

from fm_migration_tests.filemaker_server.clinic import (
    Clinic,
    Field,
    Holding,
    Layout,
    Table,
    Upload,
    Value,
    recid_key,
    record_of,
)
from fm_migration_tests.filemaker_server.errors import FileMakerError
from fm_migration_tests.filemaker_server.settings import ServerSettings

Test = Callable[[Value], bool]
Order = tuple[str, bool]
"""A field, and whether it descends."""

US_DAY, ISO_DAY = "%m/%d/%Y", "%Y-%m-%d"
_OPERATORS = ("<=", ">=", "≤", "≥", "<", ">")
_RANGE = re.compile(r"\.{2,3}|…")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
#: Results that are kept, so that reading a found set in pages does not find it again for each.
KEPT = 8


class Finder:
    """Finds records of one database, and remembers the last results."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._kept: OrderedDict[str, Sequence[int]] = OrderedDict()

    def select(
        self, layout: Layout, requests: Sequence[Mapping[str, str]] | None, order: Sequence[Order], dates: int
    ) -> Sequence[int]:
        """The numbers of the records; all of them when there are no requests."""
        table = self._clinic.tables[layout.table]
        # So that a field that is not there is told before anything is looked for.
        compiled = None if requests is None else [self._compiled(layout, one, dates) for one in requests]
        _known(layout, [name for name, _ in order])
        if compiled is None and not order:
            return table.numbers()
        in_order = self._by_recid_alone(table, compiled, order)
        if in_order is not None:
            return in_order
        key = json.dumps([layout.name, table.version, [dict(one) for one in requests or ()], order, dates])
        key += "all" if requests is None else ""
        if key not in self._kept:
            found = table.numbers() if compiled is None else self._found(table, compiled)
            self._kept[key] = self._sorted(table, found, order)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    # --- finding ---

    def _compiled(self, layout: Layout, request: Mapping[str, str], dates: int) -> _Request:
        omit = str(request.get("omit", "false")).lower() == "true"
        texts = {name: text for name, text in request.items() if name != "omit"}
        fields = {field.name: field for field in _known(layout, texts)}
        if not any(text.strip() for text in texts.values()):
            raise FileMakerError("400")
        day = day_format(dates, self._clinic.settings)
        tests = [(_bare(name), criterion(fields[name], text, day)) for name, text in texts.items() if text.strip()]
        limits = recid_limits(texts["recid"]) if layout.table == "Images" and "recid" in texts else None
        return _Request(omit, tests, limits)

    def _found(self, table: Table, requests: Sequence[_Request]) -> Sequence[int]:
        """Requests in their order: each adds to the found set or takes away from it."""
        if len(requests) == 1 and not requests[0].omit:
            return sorted(self._matching(table, requests[0]))
        found = set(table.numbers()) if requests[0].omit else set()
        for request in requests:
            matching = self._matching(table, request)
            found = found.difference(matching) if request.omit else found.union(matching)
        return sorted(found)

    def _by_recid_alone(
        self, table: Table, requests: Sequence[_Request] | None, order: Sequence[Order]
    ) -> Sequence[int] | None:
        """A range of recids in their order is looked up: that is how everything is read in pages by key."""
        plain = table is self._clinic.images and not self._clinic.settings.text_recids
        if not plain or list(order) != [("recid", False)]:
            return None
        if requests is None:
            return _Range(self._clinic.in_recid_order(), (None, None))
        one = requests[0]
        if len(requests) > 1 or one.omit or one.limits is None or len(one.tests) > 1:
            return None
        return _Range(self._clinic.in_recid_order(), one.limits)

    def _matching(self, table: Table, request: _Request) -> Iterable[int]:
        candidates: Iterable[int] = table.numbers()
        tests = request.tests
        if request.limits and not self._clinic.settings.text_recids:
            candidates = _Range(self._clinic.in_recid_order(), request.limits)
            tests = [(name, test) for name, test in tests if name != "recid"]
            if not tests:
                return candidates
        return [number for number in candidates if _passes(table.values(number), tests)]

    # --- sorting ---

    def _sorted(self, table: Table, numbers: Sequence[int], order: Sequence[Order]) -> Sequence[int]:
        result = list(numbers)
        for name, descending in reversed(order):
            key = self._sort_key(table, name)
            result.sort(key=key, reverse=descending)
        return result if order else numbers

    def _sort_key(self, table: Table, name: str) -> Callable[[int], Any]:
        if name == "recid" and table is self._clinic.images and not self._clinic.settings.text_recids:
            clinic = self._clinic
            return lambda number: clinic.images.changed(number).get("recid", clinic.recid(number))
        bare = _bare(name)
        return lambda number: _sortable(table.values(number).get(bare, ""))


class _Request:
    """One object of a query."""

    def __init__(
        self, omit: bool, tests: Sequence[tuple[str, Test]], limits: tuple[int | None, int | None] | None
    ) -> None:
        self.omit, self.tests, self.limits = omit, tests, limits


class _Range(Sequence[int]):
    """The records with a recid within limits, in that order, taken apart only when they are asked for."""

    def __init__(self, order: array[int], limits: tuple[int | None, int | None]) -> None:
        low, high = limits
        self._order = order
        self._start = 0 if low is None else bisect_left(order, recid_key(low))
        self._end = len(order) if high is None else max(self._start, bisect_left(order, recid_key(high + 1)))

    def __len__(self) -> int:
        return self._end - self._start

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> list[int]: ...

    def __getitem__(self, place: int | slice) -> int | list[int]:
        places = range(self._start, self._end)[place]
        if isinstance(places, range):
            return [record_of(self._order[one]) for one in places]
        return record_of(self._order[places])


def _known(layout: Layout, names: Iterable[str]) -> list[Field]:
    """Each field under the name that was asked for: a repetition is asked for as `name(2)`."""
    found = []
    for name in names:
        field = layout.field(name) or layout.field(_bare(name))
        if field is None:
            raise FileMakerError("102")
        found.append(Field(name, field.result, field.repetitions, field.calculated))
    return found


def _bare(name: str) -> str:
    return re.sub(r"\(\d+\)$", "", name)


def _passes(values: Mapping[str, Value], tests: Sequence[tuple[str, Test]]) -> bool:
    return all(_any_repetition(values.get(name, ""), test) for name, test in tests)


def _any_repetition(value: Value, test: Test) -> bool:
    return any(test(one) for one in value) if isinstance(value, list) else test(value)


def _sortable(value: Value) -> tuple[int, Any]:
    """Empty first, numbers by size, text without case."""
    if isinstance(value, list):
        value = value[0]
    if value == "" or isinstance(value, Holding | Upload):
        return (0, "")
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, datetime):
        return (2, value.timestamp())
    if isinstance(value, date):
        return (2, float(value.toordinal()))
    return (3, str(value).casefold())


# --- criteria ---


def day_format(dates: int, settings: ServerSettings) -> str:
    """What `dateformats` means: American, the file's own, ISO."""
    return (US_DAY, settings.file_dates, ISO_DAY)[dates]


def criterion(field: Field, text: str, day: str = US_DAY) -> Test:
    """What a value of this field must be to match; `day` says how dates are written."""
    text = text.strip()
    if text in ("=", "=="):
        return _is_empty
    if text == "*":
        return lambda value: not _is_empty(value)
    if field.result == "container":
        raise FileMakerError("960")
    if field.result == "number":
        return _comparing(text, _as_number, _parse_number) or _same_number(text)
    if field.result in ("date", "timeStamp"):
        parse = functools.partial(_parse_date, day=day)
        return _comparing(text, _as_date, parse) or _date_test(text, day)
    return _text_test(text)


def recid_limits(text: str) -> tuple[int | None, int | None] | None:
    """The range that a criterion of whole numbers means, for looking it up; None for every other criterion."""
    text = text.strip()
    whole = re.fullmatch(r"(<=|>=|≤|≥|<|>|==|=)?\s*(-?\d+)", text)
    if whole:
        operator, number = whole[1] or "=", int(whole[2])
        return {
            "<": (None, number - 1), "<=": (None, number), "≤": (None, number),
            ">": (number + 1, None), ">=": (number, None), "≥": (number, None),
        }.get(operator, (number, number))  # fmt: skip
    pair = re.fullmatch(r"(-?\d+)\s*(?:\.{2,3}|…)\s*(-?\d+)", text)
    return (int(pair[1]), int(pair[2])) if pair else None


def _is_empty(value: Value) -> bool:
    return value == "" or (isinstance(value, Holding) and value.dead == "empty")


def _comparing(text: str, as_key: Callable[[Value], Any], parse: Callable[[str], Any]) -> Test | None:
    """A comparison or a range, if the criterion is one."""
    for operator in _OPERATORS:
        if text.startswith(operator):
            limit = parse(text[len(operator) :])
            return _compared(operator, limit, as_key)
    ends = _RANGE.split(text)
    if len(ends) == 2:
        low, high = parse(ends[0]), parse(ends[1])
        return lambda value: (key := as_key(value)) is not None and low <= key <= high
    return None


def _compared(operator: str, limit: Any, as_key: Callable[[Value], Any]) -> Test:
    def test(value: Value) -> bool:
        key = as_key(value)
        if key is None:
            return False
        if operator in ("<", "<=", "≤") and key < limit:
            return True
        if operator in (">", ">=", "≥") and key > limit:
            return True
        return operator not in ("<", ">") and bool(key == limit)

    return test


def _as_number(value: Value) -> float | None:
    """A number field may hold text; its value is then that of the digits in it."""
    if isinstance(value, int | float):
        return value
    found = _NUMBER.search(str(value))
    return float(found[0]) if found else None


def _parse_number(text: str) -> float:
    found = _NUMBER.search(text)
    if not found:
        raise FileMakerError("960")
    return float(found[0])


def _same_number(text: str) -> Test:
    if not _NUMBER.search(text):
        # "?" finds what is no number, and text is searched as text.
        return (lambda value: not _is_empty(value) and _as_number(value) is None) if text == "?" else _text_test(text)
    wanted = _parse_number(text)
    return lambda value: _as_number(value) == wanted


def _as_date(value: Value) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None


def _parse_date(text: str, day: str) -> date:
    """A date that cannot be is an error of FileMaker's."""
    text = text.strip()
    if day == US_DAY:
        text = re.sub("[.-]", "/", text)
    try:
        return datetime.strptime(text.partition(" ")[0], day).date()  # noqa: DTZ007  a day has no time zone
    except ValueError as error:
        raise FileMakerError("500") from error


def _date_test(text: str, day: str) -> Test:
    text = text.lstrip("=")
    if text == "?":
        return lambda value: isinstance(value, str) and value != ""
    if re.fullmatch(r"\d{4}", text):
        year = int(text)
        return lambda value: (found := _as_date(value)) is not None and found.year == year
    month = re.fullmatch(r"(\d{1,2})/(\d{4})", text)
    if month:
        wanted_month = (int(month[2]), int(month[1]))
        return lambda value: (found := _as_date(value)) is not None and (found.year, found.month) == wanted_month
    wanted = _parse_date(text, day)
    return lambda value: _as_date(value) == wanted


def _text_test(text: str) -> Test:
    compared = _comparing(text, lambda value: str(value).casefold() or None, lambda end: end.strip().casefold())
    if compared:
        return compared
    if text.startswith("=="):
        whole = re.compile(_pattern(text[2:]) + r"\Z", re.IGNORECASE | re.DOTALL)
        return lambda value: whole.match(str(value)) is not None
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        phrase = re.compile(r"(?<!\w)" + re.escape(text[1:-1]), re.IGNORECASE)
        return lambda value: phrase.search(str(value)) is not None
    words = [_word_test(word) for word in text.split()]
    return lambda value: all(test(str(value)) for test in words)


def _word_test(word: str) -> Callable[[str], bool]:
    """The beginning of a word; with `=` a whole one."""
    end = ""
    if word.startswith("="):
        word, end = word[1:], r"(?!\w)"
    pattern = re.compile(r"(?<![^\W_])" + _pattern(word) + end, re.IGNORECASE)
    return lambda value: pattern.search(value) is not None


_WILDCARDS = {"*": ".*", "@": ".", "#": r"\d", "?": "."}


def _pattern(text: str) -> str:
    """Wildcards as a regular expression; behind a backslash they are themselves."""
    parts, characters = [], iter(text)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "")))
        else:
            parts.append(_WILDCARDS.get(character, re.escape(character)))
    return "".join(parts)
