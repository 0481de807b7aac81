"""Containers: the address in the record, the redirect with its cookie, staleness, and what never arrives."""

from __future__ import annotations

import hashlib
import io
import re
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from fm_migration_tests.filemaker_server import CONTAINERS, FileMakerServer
from fm_migration_tests.filemaker_server.conftest import Connect, PlainClient, StartServer
from fm_migration_tests.filemaker_server.pictures import heic_can_be_made, picture

COOKIE = "X-FMS-Session-Key"


def address(client: PlainClient, number: int = 1) -> str:
    """The address of one picture, fresh at each call."""
    return str(client.fields(number)["image_small"])


def anonymous(server: FileMakerServer) -> httpx.Client:
    """A client of containers: no Bearer, a jar of its own."""
    return httpx.Client(base_url=server.url(), verify=server.ca)


def cookie_of(answer: httpx.Response) -> str:
    found = re.fullmatch(rf"{COOKIE}=([0-9a-f]+); HttpOnly", answer.headers["set-cookie"])
    assert found
    return found[1]


# --- the address ---


def test_the_address_looks_like_a_real_one(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    urls = [address(client, number) for number in range(1, 31)]
    form = rf"https://localhost:{server.https_port}/Streaming_SSL/(MainDB|Additional_1)/[0-9a-f]{{64}}(\.\w+)?"
    matches = [re.fullmatch(form + r"\?RCType=(\w+)", url) for url in urls]
    assert all(matches)
    assert {found[1] for found in matches if found} == {"MainDB", "Additional_1"}
    kinds = {found[3] for found in matches if found}
    assert kinds == {"EmbeddedRCFileProcessor", "RCFileProcessor", "SecuredRCFileProcessor"}
    assert {bool(found[2]) for found in matches if found} == {True, False}
    assert address(client) != address(client), "each reading gives another"


@pytest.mark.parametrize(
    ("style", "form"),
    [
        ("upper", r"https://LOCALHOST:\d+/Streaming_SSL/.*"),
        ("443", r"https://localhost:443/Streaming_SSL/.*"),
        ("glued", r"https://localhostStreaming_SSL/.*"),
        ("http", r"http://localhost:\d+/Streaming_SSL/.*"),
        ("path", r"/Streaming_SSL/.*"),
        ("elsewhere", r"https://127\.0\.0\.1:\d+/Streaming_SSL/.*"),
    ],
)
def test_other_forms_of_the_address(start_server: StartServer, connect: Connect, style: str, form: str) -> None:
    server = start_server(container_urls=style, authenticated_stream=2)
    url = address(connect(server))
    assert re.fullmatch(form, url)
    path = url[url.index("Streaming_SSL") :]
    assert anonymous(server).get(f"/{path}").status_code == 200


def test_another_host_counts_what_it_is_given(start_server: StartServer, connect: Connect) -> None:
    server = start_server(container_urls="elsewhere")
    client = connect(server)
    assert urlsplit(address(client)).port not in (server.https_port, server.http_port)
    assert anonymous(server).get(address(client)).status_code == 404
    assert server.report()["credentials_elsewhere"] == 0
    client.http.get(address(client), headers=client.bearer)
    report = server.report()
    assert (report["credentials_elsewhere_which"], report["requests_elsewhere"]) == (["authorization"], 2)


def test_the_redirect_may_lead_to_another_host(start_server: StartServer, connect: Connect) -> None:
    server = start_server(redirect_location="elsewhere")
    first = anonymous(server).get(address(connect(server)))
    assert first.status_code == 302
    with anonymous(server) as http:
        http.follow_redirects = True
        assert http.get(address(connect(server))).status_code == 404
    assert server.report()["credentials_elsewhere"] == 0
    anonymous(server).get(first.headers["location"], headers={"Cookie": f"{COOKIE}={cookie_of(first)}"})
    assert server.report()["credentials_elsewhere_which"] == ["cookie"]


# --- the cookie (AuthenticatedStream 1) ---


@pytest.mark.parametrize("location", ["absolute", "relative"])
def test_the_first_get_redirects_with_a_cookie(start_server: StartServer, connect: Connect, location: str) -> None:
    server = start_server(redirect_location=location)
    url = address(connect(server))
    first = anonymous(server).get(url)
    assert first.status_code == 302
    target = url if location == "absolute" else url.removeprefix(server.url())
    assert first.headers["location"] == f"{target}&Redirect"
    cookie = {"Cookie": f"{COOKIE}={cookie_of(first)}"}
    followed = anonymous(server).get(f"{url}&Redirect", headers=cookie)
    again = anonymous(server).get(url, headers=cookie)
    assert (followed.status_code, again.status_code) == (200, 200)
    assert followed.content == again.content == picture("image_small", "jpg", 1)


@pytest.mark.parametrize("suffix", ["", "&Redirect"])
def test_the_next_get_without_the_cookie_is_401(start_server: StartServer, connect: Connect, suffix: str) -> None:
    server = start_server()
    url = address(connect(server))
    assert anonymous(server).get(url).status_code == 302
    refused = anonymous(server).get(url + suffix)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "text/html")


def test_a_client_with_a_jar_gets_one_picture_after_the_other(start_server: StartServer, connect: Connect) -> None:
    server = start_server(records=40)
    client = connect(server)
    truth = {row["record"]: row for row in server.truth()}
    with httpx.Client(verify=server.ca, follow_redirects=True) as http:
        for number, row in truth.items():
            data = http.get(client.fields(number)[row["container"]]).content
            assert hashlib.sha256(data).hexdigest() == row["sha256"]
            assert len(data) == row["bytes"]
    report = server.report()
    assert (report["containers_fetched"], report["containers_fetched_again"]) == (40, 0)


def test_a_cookie_opens_one_address_or_all(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    cookie = {"Cookie": f"{COOKIE}={cookie_of(anonymous(server).get(address(client, 1)))}"}
    assert anonymous(server).get(address(client, 2), headers=cookie).status_code == 302
    assert anonymous(server).get(address(client, 2) + "&Redirect", headers=cookie).status_code == 401
    server.change_settings(cookie_holds_for="all")
    assert anonymous(server).get(address(client, 2), headers=cookie).status_code == 200


def test_a_second_first_get_may_be_offered_another_cookie(start_server: StartServer, connect: Connect) -> None:
    server = start_server(second_get="offer")
    url = address(connect(server))
    cookies = {cookie_of(anonymous(server).get(url)) for _ in range(2)}
    assert len(cookies) == 2


def test_the_bearer_is_needed_or_not(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server)
    assert "set-cookie" in anonymous(server).get(address(client)).headers
    server.change_settings(container_bearer="required")
    without = anonymous(server).get(address(client))
    assert (without.status_code, "set-cookie" in without.headers) == (302, False)
    assert "set-cookie" in anonymous(server).get(address(client), headers=client.bearer).headers


def test_at_once_with_authenticated_stream_2(start_server: StartServer, connect: Connect) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    answer = anonymous(server).get(address(client))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers
    partly = anonymous(server).get(address(client), headers={"Range": "bytes=0-9"})
    assert (partly.status_code, partly.content) == (200, answer.content)


# --- the end of an address ---


def test_a_stale_address_redirects_without_a_cookie_and_later_refuses(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server(url_seconds=900, stale_redirect_seconds=600, session_seconds=90_000)
    url = address(connect(server))
    server.advance(899)
    assert "set-cookie" in anonymous(server).get(url).headers
    server.advance(2)
    stale = anonymous(server).get(url)
    assert (stale.status_code, "set-cookie" in stale.headers) == (302, False)
    assert anonymous(server).get(f"{url}&Redirect").status_code == 401
    server.advance(600)
    assert anonymous(server).get(url).status_code == 401


@pytest.mark.parametrize("how", ["log out", "administrator", "restart", "idle"])
@pytest.mark.parametrize("stream", [1, 2])
def test_an_address_dies_with_its_session(start_server: StartServer, connect: Connect, how: str, stream: int) -> None:
    server = start_server(url_seconds=3600, authenticated_stream=stream)
    client = connect(server)
    url = address(client)
    if how == "log out":
        client.log_out()
    if how == "administrator":
        assert server.end_sessions() == 1
    if how == "restart":
        server.stop_engine()
        server.start_engine()
    if how == "idle":
        server.advance(901)
    answer = anonymous(server).get(url)
    assert (answer.status_code, "set-cookie" in answer.headers) == (302, False)
    client.log_in()
    assert anonymous(server).get(address(client)).status_code == (302 if stream == 1 else 200)


@pytest.mark.parametrize("resets", [False, True])
def test_a_container_keeps_the_session_alive_only_if_asked_to(
    start_server: StartServer, connect: Connect, resets: bool
) -> None:
    server = start_server(container_resets_session=resets, authenticated_stream=2)
    client = connect(server)
    url = address(client)
    server.advance(600)
    assert client.http.get(url, headers=client.bearer).status_code == 200
    server.advance(600)
    assert client.records().status_code == (200 if resets else 401)


@pytest.mark.parametrize("path", ["MainDB/" + "0" * 64, "MainDB/xyz", "Elsewhere/" + "0" * 64, "MainDB"])
def test_an_address_that_it_never_gave_out(start_server: StartServer, path: str) -> None:
    server = start_server()
    assert anonymous(server).get(f"/Streaming_SSL/{path}?RCType=EmbeddedRCFileProcessor").status_code == 404


# --- what is inside ---


def test_pictures_are_real_and_each_is_another() -> None:
    seen = set()
    for form in ("jpg", "png", *(["heic"] if heic_can_be_made() else [])):
        for number in (1, 13, 25):
            for container in CONTAINERS:
                data = picture(container, form, number)  # type: ignore[arg-type]
                with Image.open(io.BytesIO(data)) as image:
                    image.load()
                    assert image.format == {"jpg": "JPEG", "png": "PNG", "heic": "HEIF"}[form]
                seen.add(hashlib.sha256(data).hexdigest())
                assert data == picture(container, form, number)  # type: ignore[arg-type]
    assert len(seen) == (3 if heic_can_be_made() else 2) * 3 * len(CONTAINERS)


@pytest.mark.parametrize("form", ["jpg", "png", "heic"])
def test_pictures_can_be_as_large_as_wanted(form: str) -> None:
    if form == "heic" and not heic_can_be_made():
        pytest.skip("pillow-heif is not there, or cannot encode")
    data = picture("image_Full", form, 5, padded_to=300_000)  # type: ignore[arg-type]
    assert 300_000 <= len(data) < 301_000
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def test_a_smaller_container_may_be_the_largest_that_is_filled(start_server: StartServer, connect: Connect) -> None:
    server = start_server(records=200, smaller_share=0.3)
    best = {row["record"]: row["container"] for row in server.truth()}
    assert set(best.values()) == set(CONTAINERS)
    client = connect(server)
    for number, container in best.items():
        fields = client.fields(number)
        larger = CONTAINERS[: CONTAINERS.index(container)]
        assert {fields[name] for name in larger} <= {"", "?"}
        assert fields[container].startswith("https://")


@pytest.mark.parametrize(
    ("kind", "status", "what"),
    [
        ("zero", 200, b""),
        ("html", 200, b"<html>"),
        ("broken", 200, b"\xff\xd8\xff"),
        ("garbage", 200, None),
        ("error", 500, b"<html>"),
        ("refused", 401, b"<html>"),
        ("gateway", 502, b"<html>"),
    ],
)
def test_what_is_dead_is_dead_for_ever(
    start_server: StartServer, connect: Connect, kind: str, status: int, what: bytes | None
) -> None:
    server = start_server(dead_share=1, dead_kinds=[kind], authenticated_stream=2, png_share=0, heic_share=0)
    client = connect(server)
    answers = [anonymous(server).get(address(client)) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    assert answers[0].content == answers[1].content
    assert what is None or answers[0].content.startswith(what)
    if kind in ("broken", "garbage"):
        with (
            pytest.raises(OSError, match=r"truncated|cannot identify"),
            Image.open(io.BytesIO(answers[0].content)) as one,
        ):
            one.load()
    assert {row["dead"] for row in server.truth()} == {kind}


def test_nine_in_a_hundred_may_be_dead(start_server: StartServer) -> None:
    truth = start_server(records=2000, dead_share=0.09).truth()
    dead = [row for row in truth if row["dead"]]
    assert 140 < len(dead) < 220
    assert {"sha256" in row for row in dead} == {False}
    assert len({row["dead"] for row in dead}) == 8


def test_the_largest_may_be_broken_and_the_next_sound(start_server: StartServer, connect: Connect) -> None:
    server = start_server(broken_largest=1, smaller_share=0, authenticated_stream=2)
    row = server.truth()[0]
    assert (row["container"], row["dead"]) == ("image_Ex_large", None)
    data = anonymous(server).get(connect(server).fields(row["record"])["image_Full"]).content
    assert 0 < len(data) < len(picture("image_Full", row["extension"], row["record"]))


def test_the_layout_may_have_the_proof(start_server: StartServer, connect: Connect) -> None:
    server = start_server(records=60)
    client = connect(server)
    for row in server.truth():
        fields = client.fields(row["record"], "API_Images_Proof")
        assert fields[f"{row['container']}_MD5"] == row["md5"].upper()
        assert fields[f"{row['container']}_fileSize"] == row["bytes"]
        if row["container"] != "image_Full":
            assert fields["image_Full_MD5"] == ""


# --- OData ---


def value_of(server: FileMakerServer, key: str, name: str = "image_small", **options: object) -> httpx.Response:
    path = f"/fmi/odata/v4/Clinic/Images({key})/{name}/$value"
    return anonymous(server).get(path, **({"auth": server.account} | options))  # type: ignore[arg-type]


def test_odata_gives_the_bytes_at_once(start_server: StartServer) -> None:
    server = start_server(records=100, heic_share=0.2)
    for row in server.truth():
        answer = value_of(server, f"'{row['id']}'", row["container"])
        assert hashlib.sha256(answer.content).hexdigest() == row["sha256"]
        assert (
            answer.headers["content-type"]
            == {
                "jpg": "image/jpeg",
                "png": "image/png",
                "heic": "application/octet-stream",
            }[row["extension"]]
        )
    report = server.report()
    assert (report["logins"], report["sessions_at_once_most"], report["containers_fetched"]) == (0, 0, 100)
    assert value_of(server, server.truth()[0]["record"]).status_code == 200


def test_odata_wants_basic_in_each_call(start_server: StartServer) -> None:
    server = start_server()
    key = f"'{server.truth()[0]['id']}'"
    assert value_of(server, key, auth=None).status_code == 401
    assert value_of(server, key, auth=("intake", "wrong")).status_code == 401


def test_odata_without_a_record_a_field_or_a_picture(start_server: StartServer) -> None:
    server = start_server(dead_share=1, dead_kinds=["empty"])
    key = f"'{server.truth()[0]['id']}'"
    assert value_of(server, key).status_code == 204
    assert value_of(server, "'of-nobody'").status_code == 404
    assert value_of(server, key, "nothing").status_code == 404


def test_odata_may_refuse_heic(start_server: StartServer) -> None:
    if not heic_can_be_made():
        pytest.skip("pillow-heif is not there, or cannot encode")
    server = start_server(png_share=0, heic_share=1, odata_heic="refuse")
    row = server.truth()[0]
    assert value_of(server, f"'{row['id']}'", row["container"]).status_code == 415


def test_odata_outlives_the_other_engine_and_the_other_way_round(start_server: StartServer, connect: Connect) -> None:
    server = start_server(authenticated_stream=2)
    client = connect(server)
    row, url = server.truth()[0], address(client)
    key, name = f"'{row['id']}'", row["container"]
    server.stop_engine("odata")
    assert value_of(server, key, name).status_code == 502
    assert anonymous(server).get(url).status_code == 200
    server.start_engine("odata")
    server.stop_engine()
    assert anonymous(server).get(url).status_code == 502
    assert value_of(server, key, name).status_code == 200


def test_odata_tells_what_there_is(start_server: StartServer) -> None:
    server = start_server()
    http = anonymous(server)
    http.auth = server.account
    assert http.get("/fmi/odata/v4").json() == {"value": [{"name": "Clinic", "url": "Clinic"}]}
    assert [one["name"] for one in http.get("/fmi/odata/v4/Clinic").json()["value"]] == ["Images", "Contacts"]
    metadata = http.get("/fmi/odata/v4/Clinic/$metadata").text
    assert metadata.count('Type="Edm.Stream"') == len(CONTAINERS)
    assert '<Key><PropertyRef Name="id"/></Key>' in metadata
    row = server.truth()[0]
    assert http.get(f"/fmi/odata/v4/Clinic/Images('{row['id']}')").json()["recid"] == row["recid"]


def test_odata_reads_in_pages_and_compares(start_server: StartServer) -> None:
    server = start_server()
    http = anonymous(server)
    http.auth = server.account
    images = "/fmi/odata/v4/Clinic/Images"
    page = http.get(images, params={"$top": "3", "$skip": "5", "$select": "id,recid", "$count": "true"}).json()
    assert page["@odata.count"] == 30
    assert [set(row) for row in page["value"]] == [{"id", "recid"}] * 3
    assert [row["recid"] for row in page["value"]] == [6, 7, 8]
    assert http.get(f"{images}/$count").text == "30"
    some = http.get(images, params={"$filter": "recid ge 4 and recid lt 6"}).json()["value"]
    assert [row["recid"] for row in some] == [4, 5]
    named = http.get(images, params={"$filter": "\"Name of file\" eq 'IMG_00007.JPG'"}).json()["value"]
    assert [row["recid"] for row in named] == [7]
    without = http.get(images, params={"$filter": "date eq null"}).json()["value"]
    assert all(row["date"] is None for row in without)
    for parameters in ({"$filter": "contains(id, 'x')"}, {"$top": "x"}, {"$expand": "y"}):
        assert http.get(images, params=parameters).status_code == 400


def test_odata_may_answer_octet_stream_with_a_name(start_server: StartServer) -> None:
    server = start_server(odata_octet_stream="name")
    row = server.truth()[0]
    key, accept = f"'{row['id']}'", {"Accept": "application/octet-stream"}
    named = value_of(server, key, row["container"], headers=accept)
    assert (named.headers["content-type"].partition(";")[0], named.text) == ("text/plain", "IMG_00001.JPG")
    assert len(value_of(server, key, row["container"]).content) == row["bytes"]
