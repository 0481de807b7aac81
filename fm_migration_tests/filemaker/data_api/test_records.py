"""Reading all records while the table changes, and refusing a layout that lacks something."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration.errors import SettingsError
from fm_migration.filemaker.columns import built_in_profiles
from fm_migration.filemaker.data_api.access import CONTAINERS
from fm_migration.filemaker.data_api.records import Columns, Records, as_iso, check_layout
from fm_migration_tests.filemaker.data_api.conftest import Connect, Start, scripted

COLUMNS = Columns({"recid": "recid", "contact": "id_Contact"}, CONTAINERS)


@dataclass
class Table:
    """Records by their number, with the recid of each, and what happens to them between two pages."""

    recids: dict[int, int | None]
    changes: list[Callable[[dict[int, int | None]], None]] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        found = self._matching(asked["query"][0]["recid"])
        limit = int(asked["limit"])
        if self.changes:
            self.changes.pop(0)(self.recids)
        if not found:
            return httpx.Response(500, json={"messages": [{"code": "401", "message": "none"}], "response": {}})
        data = [
            {"fieldData": {"recid": "" if recid is None else recid}, "recordId": str(number), "modId": "1"}
            for number, recid in found[:limit]
        ]
        told = {"dataInfo": {"foundCount": len(found), "returnedCount": len(data)}, "data": data}
        return httpx.Response(200, json={"messages": [{"code": "0", "message": "OK"}], "response": told})

    def _matching(self, criterion: str) -> list[tuple[int, int | None]]:
        if criterion == "=":
            return sorted((number, recid) for number, recid in self.recids.items() if recid is None)
        least = int(criterion.removeprefix(">="))
        found = [(number, recid) for number, recid in self.recids.items() if recid is not None and recid >= least]
        return sorted(found, key=lambda one: (one[1], one[0]))


def _add(number: int, recid: int) -> Callable[[dict[int, int | None]], None]:
    return lambda recids: recids.update({1_000 + number: recid})


def _remove(number: int) -> Callable[[dict[int, int | None]], None]:
    def change(recids: dict[int, int | None]) -> None:
        recids.pop(number, None)

    return change


RECIDS = st.one_of(st.integers(0, 12), st.integers(0, 60), st.none())
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 50), st.integers(0, 60)),
        st.tuples(st.just("remove"), st.integers(1, 40), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(recids=st.lists(RECIDS, max_size=40), changes=CHANGES, page=st.integers(1, 9))
def test_no_record_that_was_there_throughout_is_missed_or_doubled(
    recids: list[int | None], changes: list[tuple[str, int, int]], page: int
) -> None:
    table = Table(dict(enumerate(recids, start=1)))
    before = set(table.recids)
    table.changes = [_add(number, recid) if what == "add" else _remove(number) for what, number, recid in changes]
    with tempfile.TemporaryDirectory() as folder:
        api = scripted(Path(folder), table.answer)
        seen = [int(record.number) for one in Records(api, COLUMNS).walk(page) for record in one.records]
    assert len(seen) == len(set(seen)), "a record came twice"
    assert before & set(table.recids) <= set(seen), "a record was missed"


@settings(max_examples=60, deadline=None)
@given(recids=st.lists(RECIDS, max_size=30), page=st.integers(1, 9), killed_after=st.integers(1, 5))
def test_a_walk_that_is_taken_up_behind_a_page_misses_nobody(
    recids: list[int | None], page: int, killed_after: int
) -> None:
    table = Table(dict(enumerate(recids, start=1)))
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        records = Records(scripted(Path(folder), table.answer), COLUMNS)
        last: int | None = None
        there: tuple[str, ...] = ()
        for number, one in enumerate(records.walk(page), start=1):
            seen += [record.number for record in one.records]
            last, there = one.last_key, one.seen_there
            if number == killed_after:
                break
        seen += [record.number for one in records.walk(page, last, there) for record in one.records]
    assert set(map(int, seen)) == set(table.recids)
    numbered = [number for number in seen if table.recids[int(number)] is not None]
    assert len(numbered) == len(set(numbered))


def test_a_page_that_is_cut_short_is_not_the_end(tmp_path: Path) -> None:
    """The clinic took a short page for the last one, and 5,094 records were never tried."""
    table = Table({number: number for number in range(1, 50)})

    def cut(request: httpx.Request) -> httpx.Response:
        whole = table.answer(request)
        told = whole.json()
        told["response"]["data"] = told["response"].get("data", [])[:2]
        return httpx.Response(whole.status_code, json=told)

    records = Records(scripted(tmp_path, cut), COLUMNS)
    assert [record.number for one in records.walk(20) for record in one.records] == [str(n) for n in range(1, 50)]


@pytest.mark.parametrize("counts", ["numbers", "strings", "absent"])
def test_all_records_of_the_simulated_server_come_once_while_it_changes(
    server: Start, connect: Connect, counts: str
) -> None:
    clinic = server(records=70, duplicate_recids=0.2, counts=counts)
    before = {str(row["record"]) for row in clinic.truth()}
    with connect(clinic) as api:
        columns = check_layout(api, CONTAINERS, built_in_profiles(), "_md5")
        seen: list[str] = []
        for number, page in enumerate(Records(api, columns).walk(7)):
            seen += [record.number for record in page.records]
            clinic.add_records(1)
            clinic.remove_records([number * 5 + 3])
    after = {str(row["record"]) for row in clinic.truth()}
    assert len(seen) == len(set(seen))
    assert before & after <= set(seen)
    assert clinic.report()["writes"] == 0


def _described(**changed: Any) -> Callable[[httpx.Request], httpx.Response]:
    kinds = {"recid": "number", "id_Contact": "text", **dict.fromkeys(CONTAINERS, "container"), **changed}
    fields = [{"name": name, "type": "normal", "result": kind} for name, kind in kinds.items() if kind]
    told = {"messages": [{"code": "0", "message": "OK"}], "response": {"fieldMetaData": fields}}
    return lambda _request: httpx.Response(200, json=told)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"image_large": None}, "it lacks image_large"),
        ({"image_large": "text"}, "image_large is not a container field"),
        ({"id_Contact": None}, "it lacks id_Contact"),
        ({"recid": None}, "it lacks recid"),
        ({"recid": "text"}, "recid is not a number field"),
    ],
)
def test_a_layout_that_lacks_something_is_refused_by_name(
    changed: dict[str, str | None], found: str, tmp_path: Path
) -> None:
    api = scripted(tmp_path, _described(**changed))
    with pytest.raises(SettingsError) as failure:
        check_layout(api, CONTAINERS, built_in_profiles(), "_md5")
    assert found in failure.value.found


def test_calculation_fields_with_the_sources_own_md5_are_found(tmp_path: Path) -> None:
    api = scripted(tmp_path, _described(image_full_MD5="text"))
    assert check_layout(api, CONTAINERS, built_in_profiles(), "_md5").md5 == {"image_Full": "image_full_MD5"}


@pytest.mark.parametrize(
    ("told", "iso"),
    [("10/18/2016", "2016-10-18"), ("1/2/2016", "2016-01-02"), ("13/40/2016", "13/40/2016"), ("", ""), ("x", "x")],
)
def test_dates_come_in_us_order(told: str, iso: str) -> None:
    assert as_iso(told) == iso
