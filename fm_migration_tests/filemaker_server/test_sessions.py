"""Logging in and out, and how a session ends, against what is documented and was recorded."""

from __future__ import annotations

import re

import httpx
import pytest

from fm_migration_tests.filemaker_server import Storm
from fm_migration_tests.filemaker_server.conftest import Connect, PlainClient, StartServer, code


def test_the_token_comes_in_the_header_and_in_the_body(start_server: StartServer) -> None:
    answer = PlainClient(start_server()).log_in()
    token = answer.headers["X-FM-Data-Access-Token"]
    assert re.fullmatch(r"[0-9a-f]{51}", token)
    assert answer.json() == {"response": {"token": token}, "messages": [{"code": "0", "message": "OK"}]}


@pytest.mark.parametrize("body", [b"{}", b'{"fmDataSource":[]}', b""])
@pytest.mark.parametrize("path", ["sessions", "sessions/"])
def test_log_in_takes_what_clients_send(start_server: StartServer, body: bytes, path: str) -> None:
    client = PlainClient(start_server())
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = client.http.post(f"{client.database}/{path}", auth=client.server.account, content=body, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_log_in_without_json_is_415(start_server: StartServer, content_type: str | None) -> None:
    client = PlainClient(start_server())
    headers = {"Content-Type": content_type} if content_type else {}
    answer = client.log_in(json=None, content=b"{}", headers=headers)
    assert answer.status_code == 415


def test_without_authorization_it_is_10_and_with_a_wrong_one_212(start_server: StartServer) -> None:
    client = PlainClient(start_server())
    nothing = client.log_in(auth=None)
    assert code(nothing) == (401, "10")
    assert nothing.json()["messages"][0]["message"] == "HTTP Authorization header or OAuth headers are missing."
    assert nothing.json()["response"] == {}
    wrong = client.log_in(auth=("intake", "wrong"))
    assert code(wrong) == (401, "212")
    assert wrong.json()["messages"][0]["message"] == "Invalid user account and/or password; please try again"


def test_a_session_ends_15_minutes_after_the_last_call(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    for _ in range(3):
        server.advance(14 * 60)
        assert client.http.get(f"{client.base}/validateSession", headers=client.bearer).status_code == 200
    server.advance(15 * 60 + 1)
    answer = client.http.get(f"{client.base}/validateSession", headers=client.bearer)
    assert code(answer) == (401, "952")
    assert answer.json()["messages"][0]["message"] == "Invalid FileMaker Data API token (*)"
    assert server.report()["sessions_by_end"] == {"expired": 1}


@pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(start_server: StartServer, connect: Connect, scheme: str) -> None:
    client = connect(start_server())
    headers = {"Authorization": f"{scheme} {client.token}"}
    assert client.http.get(f"{client.base}/validateSession", headers=headers).status_code == 200


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
@pytest.mark.parametrize("authorized", [True, False])
def test_log_out_takes_what_clients_send(
    start_server: StartServer, connect: Connect, body: bytes, authorized: bool
) -> None:
    client = connect(start_server())
    headers = client.bearer if authorized else {}
    answer = client.http.request("DELETE", f"{client.database}/sessions/{client.token}", content=body, headers=headers)
    assert answer.status_code == 200
    assert code(client.records()) == (401, "952")
    assert code(client.log_out()) == (401, "952")
    report = client.server.report()
    assert (report["sessions_live"], report["sessions_left"], report["credentials_in_urls"]) == (0, 0, 0)


def test_another_spelling_of_the_database_makes_the_token_invalid(start_server: StartServer, connect: Connect) -> None:
    client = connect(start_server())
    answer = client.http.get(f"{client.base}/databases/clinic/layouts", headers=client.bearer)
    assert code(answer) == (401, "952")


def test_sessions_beyond_the_limit_are_refused(start_server: StartServer) -> None:
    server = start_server(max_sessions=2)
    client = PlainClient(server)
    first = client.log_in().headers["X-FM-Data-Access-Token"]
    assert client.log_in().status_code == 200
    assert code(client.log_in()) == (500, "956")
    server.change_settings(max_sessions_code="812", max_sessions_status=503)
    assert code(client.log_in()) == (503, "812")
    client.token = first
    client.log_out()
    assert client.log_in().status_code == 200
    assert server.report()["sessions_at_once_most"] == 2


def test_a_closed_database_is_802_though_the_engine_answers(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.close_database()
    assert client.http.get(f"{client.base}/productInfo").status_code == 200
    assert code(client.records()) == (401, "952")
    assert code(client.log_in()) == (500, "802")
    server.open_database()
    assert client.log_in().status_code == 200


def test_an_engine_that_was_restarted_knows_no_token(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.stop_engine()
    answer = client.records()
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert "<html>" in answer.text
    server.start_engine()
    assert code(client.records()) == (401, "952")


def test_a_session_closed_in_the_middle_is_112(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    server.storms([Storm(on=["records"], action="window_missing", times=1)])
    answer = client.records()
    assert code(answer) == (500, "112")
    assert answer.json()["messages"][0]["message"] == "Window is missing"
    assert code(client.records()) == (401, "952")


@pytest.mark.parametrize(("body", "text"), [("empty", ""), ("object", "{}"), ("token", "token")])
def test_fmid_is_read_from_the_header(start_server: StartServer, body: str, text: str) -> None:
    server = start_server(fmid_tokens=["good-id-token"], fmid_expired=["old-id-token"], fmid_login_body=body)
    client = PlainClient(server)
    answer = client.log_in(auth=None, headers={"Authorization": "FMID good-id-token"})
    assert (answer.status_code, len(client.token)) == (200, 51)
    assert text in answer.text
    assert (answer.text == "") == (body == "empty")
    expired = client.log_in(auth=None, headers={"Authorization": "FMID old-id-token"})
    assert (expired.status_code, expired.headers["content-type"]) == (401, "text/html")
    assert code(client.log_in(auth=None, headers={"Authorization": "FMID of-nobody"})) == (401, "212")


def test_product_info_needs_no_session_and_bears_one(start_server: StartServer) -> None:
    client = PlainClient(start_server())
    for headers in ({}, {"Authorization": "Bearer of-nobody"}, {"Content-Type": "application/json"}):
        info = client.http.get(f"{client.base}/productInfo", headers=headers).json()["response"]["productInfo"]
        assert (info["name"], info["version"]) == ("FileMaker Data API Engine", "20.3.2.205")
        assert (info["dateFormat"], info["timeStampFormat"]) == ("MM/dd/yyyy", "MM/dd/yyyy HH:mm:ss")


def test_databases_are_listed_by_basic(start_server: StartServer) -> None:
    client = PlainClient(start_server())
    answer = client.http.get(f"{client.base}/databases", auth=client.server.account)
    assert answer.json()["response"] == {"databases": [{"name": "Clinic"}]}
    assert code(client.http.get(f"{client.base}/databases")) == (401, "10")


def test_the_certificate_is_of_an_authority_that_nobody_trusts_by_himself(start_server: StartServer) -> None:
    server = start_server()
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(server.url("/fmi/data/v1/productInfo"))
    assert httpx.get(server.url("/fmi/data/v1/productInfo"), verify=server.ca).status_code == 200


def test_plain_http_serves_or_redirects(start_server: StartServer) -> None:
    server = start_server()
    url = server.url("/fmi/data/v1/productInfo", secure=False)
    assert httpx.get(url).status_code == 200
    httpx.get(url, auth=server.account)
    assert server.report()["credentials_without_tls"] == 1
    server.change_settings(http="redirect")
    answer = httpx.get(url)
    assert (answer.status_code, answer.headers["location"]) == (301, server.url("/fmi/data/v1/productInfo"))
