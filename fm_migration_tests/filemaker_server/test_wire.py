"""HTTP itself, as clients speak it, byte by byte; and the server by hand, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fm_migration.embedded import processes
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings, Storm, server_process
from fm_migration_tests.filemaker_server.conftest import StartServer

PRODUCT = b"GET /fmi/data/v1/productInfo HTTP/1.1\r\nHost: localhost\r\n"


def exchange(server: FileMakerServer, *pieces: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as line:
        for piece in pieces:
            line.sendall(piece)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_connections_are_kept_and_closed_as_the_client_says(start_server: StartServer) -> None:
    server = start_server()
    both = exchange(server, PRODUCT + b"\r\n", PRODUCT + b"Connection: close\r\n\r\n")
    assert both.count(b"HTTP/1.1 200 OK") == 2
    assert (both.count(b"Connection: keep-alive"), both.count(b"Connection: close")) == (1, 1)
    old = exchange(server, b"GET /fmi/data/v1/productInfo HTTP/1.0\r\n\r\n")
    assert old.count(b"Connection: close") == 1


def test_requests_in_a_row_are_answered_in_their_order(start_server: StartServer) -> None:
    server = start_server(latency={"product": 0.1})
    other = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = exchange(server, PRODUCT + b"\r\n" + PRODUCT + b"\r\n" + other)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"200", b"404"]


def test_a_body_may_come_in_chunks_or_after_a_question(start_server: StartServer) -> None:
    server = start_server()
    head = b"POST /fmi/data/v1/databases/Clinic/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nAuthorization: Basic aW50YWtlOmludmVudGVkLWZvci10ZXN0cw==\r\n"
    chunks = exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n")
    assert chunks.startswith(b"HTTP/1.1 200 OK")
    asked = exchange(server, head + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"{}")
    assert asked.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_nonsense_is_400(start_server: StartServer) -> None:
    assert exchange(start_server(), b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request")


def test_a_reset_is_a_reset(start_server: StartServer) -> None:
    server = start_server()
    server.storms([Storm(action="reset")])
    with pytest.raises(ConnectionResetError):
        exchange(server, PRODUCT + b"\r\n")
    server.storms([Storm(action="truncate")])
    head, _, body = exchange(server, PRODUCT + b"\r\n").partition(b"\r\n\r\n")
    length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    assert len(body) == length // 2


def test_the_standard_library_can_be_its_client(start_server: StartServer) -> None:
    server = start_server()
    with urllib.request.urlopen(server.url("/fmi/data/vLatest/productInfo"), context=server.ca) as answer:
        assert json.load(answer)["messages"][0]["code"] == "0"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_can_be_its_client(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    account, password = server.account

    def curl(*words: str) -> bytes:
        command = ["curl", "--silent", "--show-error", "--cacert", str(server.ca_file), *words]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout

    sessions = server.url("/fmi/data/vLatest/databases/Clinic/sessions")
    json_type = "Content-Type: application/json"
    told = json.loads(curl("-X", "POST", "-u", f"{account}:{password}", "-H", json_type, "-d", "{}", sessions))
    bearer = f"Authorization: Bearer {told['response']['token']}"
    records = server.url("/fmi/data/vLatest/databases/Clinic/layouts/API%20Contacts/records?_limit=1")
    assert json.loads(curl("-H", bearer, records))["response"]["dataInfo"]["returnedCount"] == 1
    record = json.loads(curl("-H", bearer, records.replace("API%20Contacts", "API_Images")))["response"]["data"][0]
    row = server.truth()[0]
    jar = str(tmp_path / "cookies")
    picture = curl("--location", "--cookie-jar", jar, "--cookie", jar, record["fieldData"][row["container"]])
    assert len(picture) == row["bytes"]
    curl("-X", "DELETE", f"{sessions}/{told['response']['token']}")
    assert server.report()["sessions_by_end"] == {"logged out": 1}


def test_when_it_stops_it_hangs_up() -> None:
    with FileMakerServer(ServerSettings(records=1)) as server:
        idle = socket.create_connection(("127.0.0.1", server.http_port), timeout=20)
        idle.sendall(PRODUCT + b"\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
    with idle, contextlib.suppress(ConnectionResetError):
        assert idle.recv(65536) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.http_port), timeout=20)


# --- by hand ---


def test_it_runs_in_a_process_of_its_own() -> None:
    with server_process(ServerSettings(records=7, dead_share=1, dead_kinds=["zero"])) as server:
        with urllib.request.urlopen(server.url("/fmi/data/vLatest/productInfo"), context=server.ca) as answer:
            assert answer.status == 200
        assert (server.report()["requests"], server.report()["records"]) == ({"product": 1}, 7)
        assert {row["dead"] for row in server.truth()} == {"zero"}
        server.storms([Storm(status=503)])
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(server.url("/fmi/data/vLatest/productInfo"), context=server.ca)
        assert server.add_records(2) == [8, 9]
        assert server.remove_records([1, 99]) == [1]
        with pytest.raises(ValueError, match="cannot change"):
            server.change_settings(seed=3)
        assert len(server.log()) == 2


def test_by_hand_it_says_where_it_is_and_ends_with_its_report(tmp_path: Path) -> None:
    storms, report = tmp_path / "storms.json", tmp_path / "report.json"
    storms.write_text('[{"on": ["product"], "status": 504}]')
    command = [sys.executable, "-m", "fm_migration_tests.filemaker_server", "--any-port", "--records", "5"]
    command += ["--set", "dead_share=0.5", "--set", "database=Practice", "--storms", str(storms)]
    command += ["--report", str(report), "--log", str(tmp_path / "log"), "--ca", str(tmp_path / "ca.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said: list[str] = []
        while "Ctrl-C" not in "".join(said):
            said.append(child.stdout.readline())
            assert said[-1], "it ended before it said where it is"
        url = next(line.split()[-1] for line in said if line.startswith("  plain HTTP"))
        with pytest.raises(urllib.error.HTTPError, match="504"):
            urllib.request.urlopen(f"{url}/productInfo")
        processes.end_child(child, signal.SIGTERM, 20)
    assert "Practice" in "".join(said)
    assert (tmp_path / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert json.loads(report.read_text())["statuses"] == {"product 504": 1}
    assert "\t504\tERROR\t" in (tmp_path / "log").read_text()


def test_by_hand_it_says_that_a_port_is_taken(start_server: StartServer) -> None:
    taken = str(start_server().http_port)
    command = [sys.executable, "-m", "fm_migration_tests.filemaker_server", "--http-port", taken]
    command += ["--https-port", "0", "--control-port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Cannot listen: ")
    assert "--any-port" in ended.stderr


@pytest.mark.parametrize("words", [["--set", "nothing=1"], ["--set", "records"], ["--settings", "{"]])
def test_by_hand_it_refuses_settings_that_do_not_exist(words: list[str]) -> None:
    command = [sys.executable, "-m", "fm_migration_tests.filemaker_server", "--any-port", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr


def test_by_hand_it_lists_what_can_be_set() -> None:
    command = [sys.executable, "-m", "fm_migration_tests.filemaker_server", "--list"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    for name in (*ServerSettings.model_fields, *Storm.model_fields):
        assert f"  {name} = " in said
