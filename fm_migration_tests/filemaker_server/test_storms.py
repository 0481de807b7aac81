"""The weather: what a test asks for happens, when it asked for it, the same again by the same seed; and the report."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
from collections.abc import Iterable

import httpx
import pytest

from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings, Storm
from fm_migration_tests.filemaker_server.conftest import Connect, PlainClient, StartServer, code, found
from fm_migration_tests.filemaker_server.storms import Storms


def statuses(client: PlainClient, count: int) -> list[int]:
    return [client.records(_limit=1).status_code for _ in range(count)]


def struck(storm: Storm, kinds: Iterable[str], seed: int = 0) -> list[bool]:
    """Which of these requests it strikes, one a second."""
    weather = Storms()
    weather.set([storm], seed)
    return [bool(weather.striking(kind, None, float(second))) for second, kind in enumerate(kinds)]


# --- when ---


@pytest.mark.parametrize(
    ("storm", "which"),
    [
        (Storm(), "XXXXXXXX"),
        (Storm(after=3), "...XXXXX"),
        (Storm(every=3), "X..X..X."),
        (Storm(after=2, times=2), "..XX...."),
        (Storm(after=2, for_requests=3), "..XXX..."),
        (Storm(after=2, for_requests=2, again=True), "..XX..XX"),
        (Storm(after=1, for_seconds=3), ".XXX...."),
        (Storm(after=1, for_seconds=2, times=2), ".XX.XX.."),
        (Storm(on=["login"]), "........"),
        (Storm(on=["data"]), "XXXXXXXX"),
    ],
)
def test_a_storm_strikes_when_it_should(storm: Storm, which: str) -> None:
    assert "".join("X" if hit else "." for hit in struck(storm, ["records"] * 8)) == which


def test_a_storm_covers_more_than_it_waits_for() -> None:
    storm = Storm(on=["container"], after=1, for_requests=3, covers=["any"])
    kinds = ["records", "container", "container", "records", "login", "records"]
    assert struck(storm, kinds) == [False, False, True, True, True, False]


def test_chance_comes_from_the_seed() -> None:
    storm = Storm(share=0.3)
    runs = [struck(storm, ["records"] * 200, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 30 < sum(runs[0]) < 90


def test_the_engine_dies_after_some_downloads_and_comes_back_after_an_hour(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    urls = [client.fields(number)["image_small"] for number in (1, 2, 3)]
    dead = Storm(on=["container"], after=2, for_seconds=3600, covers=["any"], kills_sessions=True, times=1)
    server.storms([dead])
    assert [client.http.get(url).status_code for url in urls] == [200, 200, 502]
    assert client.http.get(f"{client.base}/productInfo").status_code == 502
    assert client.log_in().status_code == 502
    server.advance(3601)
    assert client.http.get(f"{client.base}/productInfo").status_code == 200
    assert client.log_in().status_code == 200
    assert server.report()["sessions_by_end"] == {"engine restarted": 1, "live": 1}


# --- what ---


@pytest.mark.parametrize(
    ("storm", "status", "text"),
    [
        (Storm(), 502, "<html>"),
        (Storm(status=503), 503, "<html>"),
        (Storm(status=400), 400, "<html>"),
        (Storm(action="html"), 200, "<html>"),
        (Storm(action="empty"), 200, ""),
    ],
)
def test_pages_instead_of_answers(
    start_server: StartServer, connect: Connect, storm: Storm, status: int, text: str
) -> None:
    server = start_server()
    client = connect(server)
    server.storms([storm])
    answer = client.records()
    assert (answer.status_code, answer.text[: len(text)]) == (status, text)
    assert bool(answer.text) == bool(text)


def test_429_says_when_to_come_back(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.storms([Storm(status=429, retry_after=7, times=1)])
    assert client.records().headers["retry-after"] == "7"
    assert client.records().status_code == 200


@pytest.mark.parametrize(
    ("wanted", "status"), [("101", 500), ("802", 500), ("812", 500), ("952", 401), ("953", 500), ("956", 500)]
)
def test_codes_instead_of_answers(start_server: StartServer, connect: Connect, wanted: str, status: int) -> None:
    server = start_server()
    client = connect(server)
    server.storms([Storm(action="code", code=wanted)])
    assert code(client.records()) == (status, wanted)
    server.storms([Storm(action="code", code=wanted, status=503)])
    assert code(client.records()) == (503, wanted)


def test_bodies_that_are_cut(start_server: StartServer, connect: Connect) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    whole = client.http.get(client.fields(1)["image_small"]).content
    server.clear_report()
    server.storms([Storm(on=["container"], action="short", keep=0.25)])
    short = client.http.get(client.fields(1)["image_small"])
    assert (short.status_code, short.content) == (200, whole[: len(whole) // 4])
    assert int(short.headers["content-length"]) == len(short.content)
    for action in ("truncate", "reset_midway"):
        server.storms([Storm(on=["container"], action=action)])
        with pytest.raises(httpx.TransportError):
            client.http.get(client.fields(1)["image_small"])
    server.storms([Storm(on=["container"], action="corrupt")])
    wrong = client.http.get(client.fields(1)["image_small"]).content
    assert len(wrong) == len(whole)
    assert sum(one != other for one, other in zip(wrong, whole, strict=True)) == 1
    server.storms([])
    assert client.http.get(client.fields(1)["image_small"]).content == whole


def test_connections_that_break(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.storms([Storm(action="reset", times=1)])
    with pytest.raises(httpx.TransportError):
        client.records()
    assert client.records().status_code == 200
    server.storms([Storm(action="hang", times=1)])
    client.http.timeout = httpx.Timeout(0.5)
    with pytest.raises(httpx.ReadTimeout):
        client.records()
    client.http.timeout = httpx.Timeout(30)
    assert client.records().status_code == 200
    server.storms([Storm(action="delay", seconds=0.3)])
    assert client.records().elapsed.total_seconds() >= 0.3


def test_a_session_is_revoked_or_the_engine_restarts(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    one, other = connect(server), connect(server)
    server.storms([Storm(action="revoke", times=1)])
    assert code(one.records()) == (401, "952")
    assert other.records().status_code == 200
    one.log_in()
    server.storms([Storm(action="restart", times=1)])
    assert code(one.records()) == (401, "952")
    assert code(other.records()) == (401, "952")
    assert server.report()["sessions_by_end"] == {"revoked": 1, "engine restarted": 2}


def test_an_address_may_go_stale_before_its_time(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.storms([Storm(on=["container"], action="stale", times=1)])
    stale = client.http.get(client.fields(1)["image_small"])
    assert (stale.status_code, "set-cookie" in stale.headers) == (302, False)
    assert "set-cookie" in client.http.get(client.fields(1)["image_small"]).headers


def test_only_some_records_can_be_struck(start_server: StartServer, connect: Connect) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    server.storms([Storm(on=["container"], records=[3], status=500)])
    answers = {number: client.http.get(client.fields(number)["image_small"]).status_code for number in (2, 3, 4)}
    assert answers == {2: 200, 3: 500, 4: 200}


def test_records_come_and_go_between_pages(start_server: StartServer, connect: Connect) -> None:
    server = start_server(records=20)
    client = connect(server)
    server.storms([Storm(on=["records"], action="change", add=2, remove=1, remove_records=[5])], seed=3)
    assert found(client.records(_limit=10)) == list(range(1, 11)), "the page is made before"
    server.storms([])
    report = server.report()
    assert report["records_added"] == [21, 22]
    assert (report["records_removed"][0], len(report["records_removed"]), report["records"]) == (5, 2, 20)
    left = set(range(1, 23)) - set(report["records_removed"])
    assert found(client.records(_limit=100)) == sorted(left)


def test_what_is_added_may_share_its_recid(start_server: StartServer, connect: Connect) -> None:
    server = start_server(records=20)
    client = connect(server)
    server.storms([Storm(on=["records"], action="change", add=3, add_like=True)], seed=1)
    client.records()
    server.storms([])
    order = [{"fieldName": "recid", "sortOrder": "ascend"}]
    rows = client.find(query=[{"recid": "1...20"}], sort=order).json()["response"]["data"]
    assert {one["recordId"] for one in rows} == {str(number) for number in range(1, 24)}
    recids = [one["fieldData"]["recid"] for one in rows]
    assert (len(recids), recids) == (23, sorted(recids))


def test_the_year_ends_at_its_limit(start_server: StartServer, connect: Connect) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    url = client.fields(1)["image_small"]
    spent = server.report()["bytes_json"]
    server.change_settings(budget_bytes=spent)
    assert code(client.records()) == (500, "953")
    assert client.http.get(url).status_code == 200
    server.change_settings(budget_counts="containers", budget_status=403)
    assert client.records().status_code == 200
    server.change_settings(budget_bytes=1)
    assert code(client.records()) == (403, "953")
    assert code(client.http.get(url)) == (403, "953")


def test_it_may_be_slow(start_server: StartServer, connect: Connect) -> None:
    server = start_server(latency={"records": 0.3}, latency_jitter=0.5)
    client = connect(server)
    assert client.records().elapsed.total_seconds() >= 0.3


# --- the report and the log ---


def test_requests_at_once_are_counted(start_server: StartServer, connect: Connect) -> None:
    server = start_server(latency={"any": 0.3})
    clients = [connect(server) for _ in range(3)]
    threads = [threading.Thread(target=client.records) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = server.report()
    assert 2 <= report["requests_at_once_most"] <= 3
    assert report["sessions_at_once_most"] == 3


def test_sessions_that_were_left_are_counted(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    first, second, third = connect(server), connect(server), connect(server)
    first.log_out()
    report = server.report()
    assert (report["sessions_at_once_most"], report["sessions_live"], report["sessions_left"]) == (3, 2, 2)
    server.advance(1000)
    report = server.report()
    assert (report["sessions_live"], report["sessions_left"]) == (0, 2)
    assert [one["how"] for one in report["sessions"]] == ["logged out", "expired", "expired"]
    assert second.token != third.token


def test_containers_fetched_again_are_counted(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    client.http.follow_redirects = True
    for _ in range(3):
        client.http.get(client.fields(2)["image_small"])
    client.http.get(client.fields(2)["image_large"])
    server.storms([Storm(on=["container"], action="truncate")])
    with pytest.raises(httpx.TransportError):
        client.http.get(client.fields(4)["image_small"])
    report = server.report()
    assert (report["containers_fetched"], report["containers_distinct"]) == (4, 2)
    assert report["containers_fetched_again_which"] == {"2 image_small": 3}


@pytest.mark.parametrize("action", ["short", "truncate", "corrupt", "html", "empty"])
def test_what_arrived_broken_was_not_fetched(start_server: StartServer, connect: Connect, action: str) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    server.storms([Storm.model_validate({"on": ["container"], "action": action, "times": 1})])
    with contextlib.suppress(httpx.TransportError):
        client.http.get(client.fields(1)["image_small"])
    client.http.get(client.fields(1)["image_small"])
    report = server.report()
    assert (report["containers_fetched"], report["containers_fetched_again"]) == (1, 0)


@pytest.mark.parametrize("kind", ["zero", "html", "broken", "garbage", "error", "refused", "gateway"])
def test_what_is_dead_and_asked_for_again_is_counted(start_server: StartServer, connect: Connect, kind: str) -> None:
    server = start_server(dead_share=1, dead_kinds=[kind])
    client = connect(server)
    client.http.follow_redirects = True
    for _ in range(2):
        client.http.get(client.fields(1)["image_small"])
    report = server.report()
    assert (report["dead_asked"], report["dead_asked_again"], report["containers_fetched"]) == (2, 1, 0)


def test_credentials_in_urls_are_found(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    account, password = server.account
    basic = base64.b64encode(f"{account}:{password}".encode()).decode()
    client.records()
    client.http.get(client.fields(1)["image_small"])
    assert server.report()["credentials_in_urls"] == 0
    for number, query in enumerate((f"token={client.token}", f"p={password}", f"a={basic}", f"user={account}"), 1):
        client.get(f"/layouts?{query}")
        assert server.report()["credentials_in_urls"] == number, query


def test_the_log_is_in_the_form_of_a_real_one(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    answer = client.records()
    client.records("Nowhere")
    lines = [line.split("\t") for line in server.log()]
    assert {len(line) for line in lines} == {8}
    stamp, number, level, peer, user, method, path, size = lines[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0000", stamp)
    assert (number, level, peer, user, method) == ("0", "INFO", "127.0.0.1", "intake", "GET")
    assert path == "/fmi/data/vLatest/databases/Clinic/layouts/API_Images/records"
    assert int(size) == len(answer.content)
    assert lines[0][4:7] == ["intake", "POST", "/fmi/data/vLatest/databases/Clinic/sessions"]
    assert lines[2][1:3] == ["105", "ERROR"]


def test_what_cannot_change_does_not(start_server: StartServer) -> None:
    server = start_server()
    with pytest.raises(ValueError, match="records cannot change"):
        server.change_settings(records=3)
    with pytest.raises(ValueError, match="authenticated_stream"):
        server.change_settings(authenticated_stream=3)
    with pytest.raises(ValueError, match="no engine"):
        server.stop_engine("diesel")


def test_several_servers_live_side_by_side() -> None:
    with FileMakerServer(ServerSettings(records=1)) as one, FileMakerServer(ServerSettings(records=2)) as other:
        assert [server.report()["records"] for server in (one, other)] == [1, 2]
        with pytest.raises(httpx.ConnectError):
            httpx.get(one.url("/fmi/data/v1/productInfo"), verify=other.ca)
