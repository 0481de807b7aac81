"""Finding, in FileMaker's own language."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from fm_migration_tests.filemaker_server.clinic import Field
from fm_migration_tests.filemaker_server.conftest import Connect, StartServer, code, found
from fm_migration_tests.filemaker_server.queries import ISO_DAY, US_DAY, criterion, recid_limits


@pytest.mark.parametrize(
    ("text", "matches", "not_matches"),
    [
        ("Before", ["Before After", "before", "x before", "Beforehand"], ["", "x-ray", "rebefore"]),
        ("aft bef", ["Before After"], ["Before", "After"]),
        ("=Before", ["Before After"], ["Beforehand"]),
        ("==Before", ["before"], ["Before After", "Beforehand"]),
        ("==Before*", ["Before After"], ["x Before"]),
        ("=", [""], ["x"]),
        ("==", [""], ["x"]),
        ("*", ["x"], [""]),
        ("B@ll", ["Ball", "Bell"], ["Bll"]),
        ("IMG#", ["IMG1"], ["IMGx"]),
        ("sc*n", ["scan", "scion"], ["scab"]),
        ('"Before After"', ["x before after"], ["After Before"]),
        ("==a\\*b", ["a*b"], ["axb"]),
        ("b...d", ["b", "c"], ["a", "e", ""]),
        (">b", ["c"], ["b", "a"]),
        ("4F1C2", ["4F1C2A00-0000-4000-8000-000000000000"], ["A4F1C2"]),
    ],
)
def test_text(text: str, matches: list[str], not_matches: list[str]) -> None:
    test = criterion(Field("x"), text)
    assert [value for value in matches if not test(value)] == []
    assert [value for value in not_matches if test(value)] == []


@pytest.mark.parametrize(
    ("text", "matches", "not_matches"),
    [
        ("12", [12, "12 (old)"], [1, 120, ""]),
        ("==12", [12], [112]),
        (">=12", [12, 13], [11, ""]),
        (">12", [13], [12]),
        ("<12", [11], [12, ""]),
        ("≤12", [12, 11], [13]),
        ("1...10", [1, 10, 5.5], [0, 11, ""]),
        ("1..10", [1, 10], [11]),
        ("-5...-1", [-3], [0]),
        ("=", [""], [0]),
        ("*", [0], [""]),
        ("?", ["old"], [1, ""]),
    ],
)
def test_numbers(text: str, matches: list[object], not_matches: list[object]) -> None:
    test = criterion(Field("x", "number"), text)
    assert [value for value in matches if not test(value)] == []
    assert [value for value in not_matches if test(value)] == []


@pytest.mark.parametrize(
    ("text", "day", "matches", "not_matches"),
    [
        ("10/18/2016", US_DAY, [date(2016, 10, 18)], [date(2016, 10, 19), ""]),
        ("2016-10-18", ISO_DAY, [date(2016, 10, 18)], [date(2018, 10, 16)]),
        ("18.10.2016", "%d.%m.%Y", [date(2016, 10, 18)], [date(2016, 10, 19)]),
        ("1.1.2016...31.12.2016", "%d.%m.%Y", [date(2016, 5, 5)], [date(2017, 1, 1)]),
        ("10/2016", US_DAY, [date(2016, 10, 1)], [date(2016, 11, 1)]),
        ("2016", US_DAY, [date(2016, 1, 1)], [date(2017, 1, 1)]),
        (">10/18/2016", US_DAY, [date(2016, 10, 19)], [date(2016, 10, 18), ""]),
        ("1/1/2016...12/31/2016", US_DAY, [date(2016, 5, 5)], [date(2017, 1, 1)]),
        ("10/18/2016", US_DAY, [datetime(2016, 10, 18, 9)], [datetime(2016, 10, 19, 9)]),  # noqa: DTZ001  as FileMaker has it
        ("=", US_DAY, [""], [date(2016, 1, 1)]),
    ],
)
def test_dates(text: str, day: str, matches: list[object], not_matches: list[object]) -> None:
    test = criterion(Field("x", "date"), text, day)
    assert [value for value in matches if not test(value)] == []
    assert [value for value in not_matches if test(value)] == []


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (">=1200", (1200, None)),
        (">1200", (1201, None)),
        ("< 5", (None, 4)),
        ("5", (5, 5)),
        ("==5", (5, 5)),
        ("1...10", (1, 10)),
        ("1…10", (1, 10)),
        ("*", None),
        ("1.5", None),
    ],
)
def test_what_can_be_looked_up(text: str, limits: tuple[int | None, int | None] | None) -> None:
    assert recid_limits(text) == limits


def test_requests_add_and_omit(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    assert found(client.find(query=[{"recid": "1...3"}, {"recid": "7"}])) == [1, 2, 3, 7]
    assert found(client.find(query=[{"recid": "1...5"}, {"recid": "2...3", "omit": "true"}])) == [1, 4, 5]
    assert found(client.find(query=[{"recid": "1...5"}, {"recid": "2...3", "omit": True}])) == [1, 4, 5]
    assert found(client.find(query=[{"recid": ">5", "omit": "true"}])) == [1, 2, 3, 4, 5]
    assert found(client.find(query=[{"recid": "1...5", "omit": "false"}])) == [1, 2, 3, 4, 5]
    kind = client.fields(1)["Type"].split()[0]
    both = found(client.find(query=[{"recid": "1...9", "Type": kind}]))
    assert 1 in both
    assert {client.fields(number)["Type"].split()[0] for number in both} == {kind}


def test_limits_are_texts_or_numbers(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    order = [{"fieldName": "recid", "sortOrder": "descend"}]
    for limit, offset in (("2", "3"), (2, 3)):
        assert found(client.find(query=[{"recid": ">=1"}], sort=order, limit=limit, offset=offset)) == [28, 27]
    assert found(client.find(query=[{"recid": ">=1"}], sort=[], limit=2, offset=0)) == [1, 2]


def test_an_id_is_found_by_the_whole_field(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    name = client.fields(17)["id"]
    assert found(client.find(query=[{"id": f"=={name}"}])) == [17]
    assert found(client.find(query=[{"id": f"=={name.lower()}"}])) == [17]


@pytest.mark.parametrize("dates", ["0", "1", "2"])
def test_a_date_is_found_as_it_is_shown(start_server: StartServer, connect: Connect, dates: str) -> None:
    client = connect(start_server())
    rows = client.records(dateformats=dates).json()["response"]["data"]
    number, shown = next((int(row["recordId"]), row["fieldData"]["date"]) for row in rows if row["fieldData"]["date"])
    assert number in found(client.find(query=[{"date": shown}], dateformats=dates))


def test_repetitions_are_searched(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    numbers = found(client.find(query=[{"Keyword": "left"}]))
    assert numbers
    assert {client.fields(number)["Keyword(3)"] for number in numbers} == {"left"}


@pytest.mark.parametrize("status", [500, 404, 400])
def test_no_match_is_401_with_a_status_by_version(start_server: StartServer, connect: Connect, status: int) -> None:
    answer = connect(start_server(no_match_status=status)).find(query=[{"recid": "999"}])
    assert code(answer) == (status, "401")
    assert answer.json()["messages"][0]["message"] == "No records match the request"


def test_what_cannot_be_asked(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    assert code(client.find(query=[{"recid": ""}])) == (500, "400")
    assert code(client.find(query=[{"date": "18.45.2016"}])) == (500, "500")
    assert client.find(query=[]).status_code == 400
    assert client.find().status_code == 400
    assert client.find(query={"recid": "1"}).status_code == 400


def test_a_changed_table_is_searched_anew(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    query = [{"Type": "*"}]
    assert len(found(client.find(query=query))) == 30
    server.remove_records([3, 4])
    (new,) = server.add_records()
    numbers = found(client.find(query=query))
    assert (len(numbers), 3 in numbers, new in numbers) == (29, False, True)
    order = [{"fieldName": "recid", "sortOrder": "ascend"}]
    assert found(client.find(query=[{"recid": ">=1"}], sort=order)) == numbers
