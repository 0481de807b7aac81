"""python-fmrest, a client that others wrote against real servers: all that it can do, it can do here."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings, Storm

fmrest = pytest.importorskip("fmrest", reason="python-fmrest is not installed")
#: fmrest.Server, which the type checker does not know.
Foreign = Any


@pytest.fixture
def server() -> Iterator[FileMakerServer]:
    with FileMakerServer(ServerSettings(records=250, contacts=20)) as running:
        yield running


@pytest.fixture
def client(server: FileMakerServer) -> Iterator[Foreign]:
    """Logged in; it logs out by itself."""
    with foreign(server) as one:
        one.login()
        yield one


def foreign(server: FileMakerServer, **options: object) -> Foreign:
    account, password = server.account
    settings = {"database": "Clinic", "layout": "API_Images", "api_version": "vLatest"}
    settings["verify_ssl"] = str(server.ca_file)
    return fmrest.Server(server.url(), user=account, password=password, **(settings | options))


def test_it_logs_in_and_out(server: FileMakerServer) -> None:
    for version in ("v1", "v2", "vLatest"):
        with foreign(server, api_version=version) as client:
            assert len(client.login()) == 51
    report = server.report()
    assert (report["logins"], report["sessions_left"], report["credentials_in_urls"]) == (3, 0, 0)


def test_it_is_refused_with_a_wrong_password(server: FileMakerServer) -> None:
    client = foreign(server)
    client.password = "wrong"
    with pytest.raises(fmrest.exceptions.FileMakerError, match="212"):
        client.login()
    assert client.last_error == 212


def test_it_reads_all_records_in_pages(client: Foreign) -> None:
    numbers = []
    for offset in range(1, 250, 100):
        page = client.get_records(offset=offset, limit=100, sort=[{"fieldName": "recid", "sortOrder": "ascend"}])
        numbers += [record.record_id for record in page]
        assert page.info["foundCount"] == 250
    assert numbers == list(range(1, 251))
    with pytest.raises(fmrest.exceptions.FileMakerError):
        client.get_records(offset=251)
    assert client.last_error == 101


def test_it_finds(client: Foreign) -> None:
    query = [{"recid": "10...20"}, {"recid": "15", "omit": "true"}]
    order = [{"fieldName": "recid", "sortOrder": "descend"}]
    page = client.find(query, sort=order, limit=5, offset=2, date_format="iso-8601", response_layout="API_Images_Lean")
    assert [record.recid for record in page] == [19, 18, 17, 16, 14]
    with pytest.raises(fmrest.exceptions.FileMakerError):
        client.find([{"recid": "999"}])
    assert client.last_error == 401


def test_it_fetches_pictures(server: FileMakerServer, client: Foreign) -> None:
    for stream in (1, 2):
        server.change_settings(authenticated_stream=stream)
        for row in server.truth()[:20]:
            url = client.get_record(row["record"])[row["container"]]
            _, kind, length, answer = client.fetch_file(url)
            assert (kind.partition("/")[0], int(length)) == ("image", row["bytes"])
            assert hashlib.sha256(answer.content).hexdigest() == row["sha256"]
    report = server.report()
    assert report["containers_distinct"] == 20
    assert report["credentials_in_urls"] == report["credentials_elsewhere"] == 0


def test_it_reads_what_is_related(client: Foreign) -> None:
    client.layout = "API Contacts"
    record = client.get_record(1, portals=[{"name": "Images", "offset": 2, "limit": 3}])
    rows = list(record.portal_Images)
    assert len(rows) == 3
    assert record.portal_Images.info["foundCount"] == record["Images::Count"]
    assert all(row["Images::recid"] for row in rows)


def test_it_reads_what_there_is(client: Foreign) -> None:
    assert client.get_product_info()["version"] == "20.3.2.205"
    assert client.get_databases() == [{"name": "Clinic"}]
    assert client.get_layouts()[0]["name"] == "API_Images"
    assert client.get_scripts()[0]["name"] == "Echo"
    assert {one["name"] for one in client.get_layout()} >= {"id", "recid", "image_Full"}
    assert set(client.get_layout(metadata="all")) == {"fieldMetaData", "portalMetaData", "valueLists"}
    assert client.get_value_list_values("Type")[0] == ("Photo", "Photo")


def test_it_runs_scripts(client: Foreign) -> None:
    assert client.perform_script("Echo", "hello") == (0, "hello")
    client.get_record(1, scripts={"prerequest": ["Echo", "one"], "after": ["Fail", "two"]})
    assert client.last_script_result == {"prerequest": [0, "one"], "after": [5, "two"]}


def test_it_writes(server: FileMakerServer, client: Foreign) -> None:
    number = client.create_record({"Type": "Photo", "Name of file": "mine"})
    assert client.edit_record(number, {"Type": "Scan"}, mod_id=client.get_record(number).modification_id)
    assert client.upload_container(number, "image_Full", io.BytesIO(b"\x89PNG of mine"))
    record = client.get_record(number)
    assert record["Type"] == "Scan"
    assert client.fetch_file(record["image_Full"])[3].content == b"\x89PNG of mine"
    assert client.set_globals({"Images::chosen": "1"})
    assert client.delete_record(number)
    assert server.report()["writes"] == 5


def test_it_logs_in_again_when_its_token_is_gone(server: FileMakerServer) -> None:
    with foreign(server, auto_relogin=True) as client:
        client.login()
        server.end_sessions()
        assert client.get_record(3).recid == 3
    assert server.report()["sessions_by_end"] == {"revoked": 1, "logged out": 1}


def test_it_knows_the_proxys_page_and_nonsense(server: FileMakerServer, client: Foreign) -> None:
    server.storms([Storm(times=1, on=["records"])])
    with pytest.raises(fmrest.exceptions.BadGatewayError):
        client.get_records()
    server.storms([Storm(action="html", times=1, on=["records"])])
    with pytest.raises(fmrest.exceptions.BadJSON):
        client.get_records()
    server.storms([])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(client.get_records(limit=7))) == 7
