"""Reading records, layouts and scripts, and what is refused, against what is documented and was recorded."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from fm_migration_tests.filemaker_server import CONTAINERS
from fm_migration_tests.filemaker_server.conftest import Connect, StartServer, code, found

# --- the shape of an answer ---


def test_a_page_has_all_that_a_real_one_has(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=165))
    answer = client.records(_limit=2)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert body["messages"] == [{"code": "0", "message": "OK"}]
    assert body["response"]["dataInfo"] == {
        "database": "Clinic",
        "layout": "API_Images",
        "table": "Images",
        "totalRecordCount": 165,
        "foundCount": 165,
        "returnedCount": 2,
    }
    record = body["response"]["data"][0]
    assert set(record) == {"fieldData", "portalData", "recordId", "modId", "portalDataInfo"}
    assert (record["recordId"], record["portalData"], record["portalDataInfo"]) == ("1", {}, [])
    assert record["modId"].isdigit()
    fields = record["fieldData"]
    assert {"id", "id_Contact", "date", "Type", *CONTAINERS, "recid", "Name of file", "fileNane"} <= set(fields)
    assert {"Keyword(1)", "Keyword(2)", "Keyword(3)"} <= set(fields)
    assert fields["recid"] == 1
    assert re.fullmatch(r"\.\d\d MB", fields["filesize"])


def test_nothing_is_null_and_the_order_of_keys_varies(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=300, dead_share=0.3, dead_kinds=["empty", "question"]))
    texts = [client.records(_limit=100, _offset=start).text for start in (1, 101, 201)]
    assert all("null" not in text for text in texts)
    assert {text[:12] for text in texts} == {'{"response":', '{"messages":'}
    values = [one["fieldData"]["image_Full"] for text in texts for one in json.loads(text)["response"]["data"]]
    assert {"", "?"} <= set(values)


@pytest.mark.parametrize(
    ("counts", "total"), [("numbers", {"totalRecordCount": 30}), ("strings", {"totalRecordCount": "30"})]
)
def test_counts_may_be_text(start_server: StartServer, connect: Connect, counts: str, total: dict[str, object]) -> None:
    info = connect(start_server(counts=counts)).records().json()["response"]["dataInfo"]
    assert total.items() <= info.items()


def test_counts_may_be_absent(start_server: StartServer, connect: Connect) -> None:
    response = connect(start_server(counts="absent")).records().json()["response"]
    assert set(response) == {"data"}


def test_a_number_field_may_hold_text(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(text_recids=0.3))
    recids = [one["fieldData"]["recid"] for one in client.records().json()["response"]["data"]]
    assert {type(recid) for recid in recids} == {int, str}
    assert found(client.find(query=[{"recid": "3...4"}])) == [3, 4]


@pytest.mark.parametrize(
    ("dates", "pattern"),
    [(None, r"\d\d/\d\d/\d{4}"), ("0", r"\d\d/\d\d/\d{4}"), ("1", r"\d\d\.\d\d\.\d{4}"), ("2", r"\d{4}-\d\d-\d\d")],
)
def test_dates_are_american_unless_asked_for(
    start_server: StartServer, connect: Connect, dates: str | None, pattern: str
) -> None:
    client = connect(start_server())
    rows = client.records(**({"dateformats": dates} if dates else {})).json()["response"]["data"]
    assert {bool(re.fullmatch(f"({pattern})?", one["fieldData"]["date"])) for one in rows} == {True}
    assert any(one["fieldData"]["date"] for one in rows)
    assert re.fullmatch(rf"{pattern} \d\d:\d\d:\d\d", rows[0]["fieldData"]["modified"])


# --- pages ---


def test_the_first_hundred_come_unless_asked_for_more(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=150))
    assert found(client.records()) == list(range(1, 101))
    assert found(client.get("/layouts/API_Images/records?")) == list(range(1, 101))
    assert found(client.records(_limit=20, _offset=145)) == list(range(145, 151))
    assert found(client.records(_limit=2, _offset=0)) == [1, 2]


def test_an_offset_past_the_end_or_on_an_empty_layout_is_101(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    assert code(client.records(_offset=31)) == (500, "101")
    assert code(client.records("API_Empty")) == (500, "101")
    assert code(client.find(query=[{"recid": ">0"}], offset="31")) == (500, "101")
    server.change_settings(past_end="empty")
    assert found(client.records(_offset=31)) == []


def test_a_record_is_read_by_its_number(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(first_recid=184, recid_shift=5))
    record = client.get("/layouts/API_Images/records/184").json()["response"]["data"][0]
    assert (record["recordId"], record["fieldData"]["recid"]) == ("184", 189)
    for missing in ("183", "999", "abc"):
        assert code(client.get(f"/layouts/API_Images/records/{missing}")) == (500, "101")


@pytest.mark.parametrize("written", ["literal", "encoded"])
def test_the_order_may_be_written_in_two_ways(start_server: StartServer, connect: Connect, written: str) -> None:
    client = connect(start_server())
    order = '[{"fieldName":"recid","sortOrder":"descend"}]'
    text = quote(order, safe="") if written == "encoded" else order
    assert found(client.get(f"/layouts/API_Images/records?_limit=3&_sort={text}")) == [30, 29, 28]


def test_several_fields_sort_in_turn(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    order = [{"fieldName": "Type", "sortOrder": "ascend"}, {"fieldName": "date", "sortOrder": "descend"}]
    rows = client.records(_sort=json.dumps(order), dateformats="2").json()["response"]["data"]
    keys = [(one["fieldData"]["Type"], one["fieldData"]["date"]) for one in rows]
    assert [one for one, _ in keys] == sorted(one for one, _ in keys)
    for kind in {one for one, _ in keys}:
        dates = [day for one, day in keys if one == kind]
        assert dates == sorted(dates, reverse=True)


def test_a_version_is_as_good_as_another_and_others_are_not_there(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    for version in ("v1", "v2", "vLatest"):
        assert found(connect(server, version).records(_limit=1)) == [1]
    client = connect(server)
    for version in ("v3", "vlatest", "V1"):
        assert client.http.get(f"/fmi/data/{version}/productInfo").status_code == 404


# --- layouts ---


def test_a_layout_tells_its_fields(start_server: StartServer, connect: Connect) -> None:
    response = connect(start_server()).get("/layouts/API_Images").json()["response"]
    assert set(response) == {"fieldMetaData", "portalMetaData", "valueLists"}
    by_name = {one["name"]: one for one in response["fieldMetaData"]}
    assert {name: by_name[name]["result"] for name in ("id", "date", "recid", "image_large", "modified")} == {
        "id": "text",
        "date": "date",
        "recid": "number",
        "image_large": "container",
        "modified": "timeStamp",
    }
    assert (by_name["Keyword"]["maxRepeat"], by_name["Keyword"]["repetitionEnd"]) == (3, 3)
    names = "name type displayType result global autoEnter fourDigitYear maxRepeat maxCharacters notEmpty numeric"
    assert set(by_name["id"]) == {*names.split(), "timeOfDay", "repetitionStart", "repetitionEnd"}
    assert response["valueLists"][0]["name"] == "Type"


def test_layouts_lie_in_folders(start_server: StartServer, connect: Connect) -> None:
    layouts = connect(start_server()).get("/layouts").json()["response"]["layouts"]
    folder = next(one for one in layouts if one.get("isFolder"))
    inner = next(one for one in folder["folderLayoutNames"] if one.get("isFolder"))
    assert inner["folderLayoutNames"][0]["name"] == "API_Images_Moved"
    assert layouts[0] == {"name": "API_Images", "table": "Images"}


def test_a_layout_on_which_things_were_moved_says_so(start_server: StartServer, connect: Connect) -> None:
    fields = connect(start_server()).get("/layouts/API_Images_Moved").json()["response"]["fieldMetaData"]
    results = {one["name"]: one["result"] for one in fields}
    assert "date" not in results
    assert (results["image_large"], results["image_Full"]) == ("text", "container")


def test_a_layout_with_a_blank_in_its_name_has_a_portal(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=50, contacts=3))
    record = client.get("/layouts/API%20Contacts/records/1").json()["response"]["data"][0]
    rows = record["portalData"]["Images"]
    count = record["fieldData"]["Images::Count"]
    assert len(rows) == count
    assert set(rows[0]) == {"recordId", "modId", "Images::id", "Images::recid", "Images::date"}
    info = {"portalObjectName": "Images", "database": "Clinic", "table": "Images", "foundCount": count}
    assert info.items() <= record["portalDataInfo"][0].items()
    path = '/layouts/API%20Contacts/records/1?portal=["Images"]&_limit.Images=2&_offset.Images=2'
    some = client.get(path).json()["response"]["data"][0]["portalData"]["Images"]
    assert [one["recordId"] for one in some] == [one["recordId"] for one in rows[1:3]]
    none = client.get("/layouts/API%20Contacts/records/1?portal=[]").json()["response"]["data"][0]
    assert none["portalData"] == {}


def test_another_layout_may_answer(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    params = {"layout.response": "API_Images_Lean", "_limit": 1}
    response = client.get("/layouts/API_Images/records", params=params).json()["response"]
    assert response["dataInfo"]["layout"] == "API_Images_Lean"
    assert "filesize" not in response["data"][0]["fieldData"]
    wrong = client.get("/layouts/API_Images/records", params={"layout.response": "Nowhere"})
    assert code(wrong) == (500, "105")


# --- refusals ---


def test_the_errors_of_names(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    assert code(client.records("Nowhere")) == (500, "105")
    assert code(client.records("api_images")) == (500, "105")
    assert code(client.records(_sort='[{"fieldName":"Nothing","sortOrder":"ascend"}]')) == (500, "102")
    assert code(client.find(query=[{"Nothing": "1"}])) == (500, "102")
    assert client.records("Nowhere").json() == {
        "messages": [{"code": "105", "message": "Layout is missing"}],
        "response": {},
    }


@pytest.mark.parametrize("name", ["date_formats", "limit", "_Limit", "foo"])
def test_a_parameter_that_it_does_not_know_is_960(start_server: StartServer, connect: Connect, name: str) -> None:
    answer = connect(start_server()).records(**{name: "2"})
    assert code(answer) == (400, "960")
    assert answer.json()["messages"][0]["message"] == f"Unknown parameter(s): {name}"


def test_so_is_one_in_a_find_and_at_a_single_record(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    assert code(client.find(query=[{"recid": "1"}], date_formats=2)) == (400, "960")
    assert code(client.find(query=[{"recid": "1"}], _limit=2)) == (400, "960")
    assert code(client.get("/layouts/API_Images/records/1?_limit=1")) == (400, "960")


@pytest.mark.parametrize(
    "parameters", [{"_limit": "0"}, {"_limit": "x"}, {"_offset": "-1"}, {"dateformats": "3"}, {"_sort": "[{"}]
)
def test_values_that_make_no_sense_are_refused(
    start_server: StartServer, connect: Connect, parameters: dict[str, str]
) -> None:
    assert code(connect(start_server()).records(**parameters)) == (400, "960")


def test_paths_methods_and_content_types(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    http, database = client.http, client.database
    for path in ("/fmi/data/vLatest", f"{database}/Layouts", f"{database}/layouts/API_Images/find", "/fmi/data/v1/x"):
        assert http.get(path, headers=client.bearer).status_code == 404, path
    assert http.request("OPTIONS", f"{database}/sessions").status_code == 405
    assert http.get(f"{database}/sessions").status_code == 405
    assert http.get(f"{database}/layouts/API_Images/_find", headers=client.bearer).status_code == 405
    assert http.put(f"{database}/layouts/API_Images/records/1", headers=client.bearer).status_code == 405
    find = f"{database}/layouts/API_Images/_find"
    assert http.post(find, headers=client.bearer, content=b'{"query":[{"recid":"1"}]}').status_code == 415
    with_type = {**client.bearer, "Content-Type": "application/json"}
    assert http.post(find, headers=with_type, content=b"{not json").status_code == 400
    assert http.get(f"{database}/layouts/API_Images/records/1", headers=with_type).status_code == 200


def test_a_long_uri_is_refused(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    assert client.get(f"/layouts/API_Images/records?_sort={'x' * 2000}").status_code == 414


def test_without_a_token_or_with_a_wrong_one(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    path = f"{client.database}/layouts/API_Images/records"
    assert code(client.http.get(path)) == (401, "10")
    assert code(client.http.get(path, headers={"Authorization": "Bearer of-nobody"})) == (401, "952")
    assert code(client.http.get(path, auth=client.server.account)) == (401, "952")


# --- scripts, and writing ---


def test_scripts_answer_beside_the_records(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    scripts = client.get("/scripts").json()["response"]["scripts"]
    assert scripts[0] == {"name": "Echo", "isFolder": False}
    params = {"_limit": "1", "script": "Echo", "script.param": "hello", "script.presort": "Fail"}
    response = client.records(**params).json()["response"]
    assert (response["scriptResult"], response["scriptError"]) == ("hello", "0")
    assert (response["scriptResult.presort"], response["scriptError.presort"]) == ("", "5")
    alone = client.get("/layouts/API_Images/script/Echo?script.param=x").json()["response"]
    assert alone == {"scriptResult": "x", "scriptError": "0"}
    assert code(client.get("/layouts/API_Images/script/None")) == (500, "104")
    assert client.server.report()["scripts_run"] == 3


def test_writing_works_and_is_counted(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    http, records = client.http, f"{client.database}/layouts/API_Images/records"
    made = http.post(records, headers=client.bearer, json={"fieldData": {"Type": "Mine"}}).json()["response"]
    number = int(made["recordId"])
    assert client.fields(number)["Type"] == "Mine"
    changed = http.patch(f"{records}/{number}", headers=client.bearer, json={"fieldData": {"recid": 7}})
    assert changed.status_code == 200
    assert found(client.find(query=[{"recid": "7"}])) == [7, number]
    stale = http.patch(f"{records}/{number}", headers=client.bearer, json={"fieldData": {}, "modId": "99"})
    assert code(stale) == (500, "306")
    picture = {"upload": ("mine.jpg", b"\xff\xd8\xff\xd9", "image/jpeg")}
    upload = http.post(f"{records}/{number}/containers/image_Full/1", headers=client.bearer, files=picture)
    assert upload.status_code == 200
    url = client.fields(number)["image_Full"]
    http.follow_redirects = True
    assert http.get(url).content == b"\xff\xd8\xff\xd9"
    copy = http.post(f"{records}/{number}", headers={**client.bearer, "Content-Type": "application/json"})
    assert copy.json()["response"]["recordId"] == str(number + 1)
    assert http.delete(f"{records}/{number}", headers=client.bearer).status_code == 200
    assert code(client.get(f"/layouts/API_Images/records/{number}")) == (500, "101")
    unknown = http.patch(f"{records}/1", headers=client.bearer, json={"fieldData": {"Nothing": "1"}})
    assert code(unknown) == (500, "102")
    report = server.report()
    assert report["writes_by_kind"] == {"create": 1, "edit": 3, "upload": 1, "duplicate": 1, "delete": 1}
    assert report["writes"] == 7


def test_an_account_that_may_not_write_is_counted_all_the_same(start_server: StartServer, connect: Connect) -> None:
    server = start_server(read_only=True)
    client = connect(server)
    answer = client.http.delete(f"{client.database}/layouts/API_Images/records/1", headers=client.bearer)
    assert code(answer) == (500, "200")
    assert (server.report()["writes"], found(client.records(_limit=1))) == (1, [1])


# --- what the records are like ---


def test_two_records_may_share_a_recid(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=200, duplicate_recids=0.1))
    rows = client.records(_limit=200).json()["response"]["data"]
    recids = [one["fieldData"]["recid"] for one in rows]
    shared = next(recid for recid in recids if recids.count(recid) == 2)
    assert len(found(client.find(query=[{"recid": f"=={shared}"}]))) == 2
    order = [{"fieldName": "recid", "sortOrder": "ascend"}]
    by_key = client.find(query=[{"recid": ">=1"}], sort=order, limit="200").json()["response"]["data"]
    assert [one["fieldData"]["recid"] for one in by_key] == sorted(recids)


def test_numbers_may_be_missing(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=9, gap_every=4))
    assert found(client.records()) == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_the_same_seed_makes_the_same_clinic(start_server: StartServer) -> None:
    one, same, other = (start_server(seed=seed).truth() for seed in (1, 1, 2))
    assert one == same
    assert {row["id"] for row in one}.isdisjoint(row["id"] for row in other)


def test_a_hundred_thousand_records_are_read_by_key(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server(records=100_000))
    order = [{"fieldName": "recid", "sortOrder": "ascend"}]
    answer = client.find(query=[{"recid": ">=99900"}], sort=order, limit="100")
    assert found(answer) == list(range(99_900, 100_000))
    info = answer.json()["response"]["dataInfo"]
    assert (info["totalRecordCount"], info["foundCount"], info["returnedCount"]) == (100_000, 101, 100)
