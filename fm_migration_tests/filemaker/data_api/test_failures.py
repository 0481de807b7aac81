"""Every answer of FILEMAKER's list of errors, by its kind: what is an answer, what is waited for, what stops."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from fm_migration.errors import FmMigrationError, TransientError
from fm_migration.filemaker.data_api import failures
from fm_migration.filemaker.data_api.failures import read_answer
from fm_migration_tests.filemaker.data_api.conftest import ACCOUNT, PASSWORD, Connect, Start, scripted


def _coded(status: int, code: str, message: str = "words") -> httpx.Response:
    return httpx.Response(status, json={"messages": [{"code": code, "message": message}], "response": {}})


@pytest.mark.parametrize(("status", "code"), [(500, "401"), (404, "401"), (400, "401"), (500, "101"), (200, "0")])
def test_ordinary_outcomes_are_answers(status: int, code: str) -> None:
    answer = read_answer(_coded(status, code), "reading", "it")
    assert (answer.status, answer.code, answer.ok) == (status, code, code == "0")


@pytest.mark.parametrize(
    ("status", "code", "kind", "transient"),
    [
        (401, "952", failures.SessionEndedError, True),
        (500, "112", failures.SessionEndedError, True),
        (401, "212", failures.LoginRefusedError, False),
        (401, "10", failures.LoginRefusedError, False),
        (500, "102", failures.FileMakerError, False),
        (500, "105", failures.FileMakerError, False),
        (400, "960", failures.FileMakerError, False),
        (500, "802", failures.FileClosedError, True),
        (500, "812", failures.ServerFullError, True),
        (401, "956", failures.ServerFullError, True),
        (500, "953", failures.TransferLimitError, False),
        (403, "9", failures.FileMakerError, False),
    ],
)
def test_every_code_is_of_a_kind(status: int, code: str, kind: type[FmMigrationError], transient: bool) -> None:
    with pytest.raises(kind) as failure:
        read_answer(_coded(status, code), "reading", "it")
    assert type(failure.value) is kind
    assert failure.value.transient is transient
    assert code in str(failure.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (502, failures.EngineDownError),
        (503, failures.EngineDownError),
        (504, failures.EngineDownError),
        (401, failures.LoginRefusedError),
        (404, failures.FileMakerError),
        (405, failures.FileMakerError),
        (415, failures.FileMakerError),
        (403, failures.FileMakerError),
        (429, failures.ThrottledError),
        (200, failures.BrokenConnectionError),
    ],
)
def test_a_page_instead_of_an_answer_is_of_a_kind(status: int, kind: type[FmMigrationError]) -> None:
    response = httpx.Response(status, html="<html><body>nginx</body></html>")
    with pytest.raises(kind) as failure:
        read_answer(response, "reading", "it")
    assert type(failure.value) is kind


def test_a_server_that_says_how_long_to_wait_is_believed() -> None:
    response = httpx.Response(429, html="<html>", headers={"Retry-After": "7"})
    with pytest.raises(failures.ThrottledError) as failure:
        read_answer(response, "reading", "it")
    assert failure.value.seconds == 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), failures.EngineDownError),
        (httpx.ConnectTimeout("late"), failures.EngineDownError),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), failures.TlsError),
        (httpx.ReadTimeout("late"), failures.BrokenConnectionError),
        (httpx.RemoteProtocolError("peer closed"), failures.BrokenConnectionError),
    ],
)
def test_what_breaks_on_the_line_is_of_a_kind_and_keeps_nothing_of_the_request(
    error: httpx.HTTPError, kind: type[FmMigrationError], tmp_path: Path
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        error.request = request
        raise error

    api = scripted(tmp_path, answer)
    with pytest.raises(kind) as failure:
        api.call("GET", "/layouts", "reading")
    seen: BaseException | None = failure.value
    while seen is not None:
        assert not hasattr(seen, "request")
        assert not any(secret in repr(vars(seen)) for secret in (ACCOUNT, PASSWORD, "t0", "Bearer"))
        seen = seen.__cause__ or seen.__context__


def test_a_find_without_a_match_is_asked_once(server: Start, connect: Connect) -> None:
    clinic = server(records=3)
    with connect(clinic) as api:
        asked = {"query": [{"recid": ">=900"}], "sort": [{"fieldName": "recid", "sortOrder": "ascend"}]}
        assert api.call("POST", "/layouts/API_Images/_find", "reading", json=asked).code == failures.NO_MATCH
    assert clinic.report()["requests"]["find"] == 1


def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_not(server: Start, connect: Connect) -> None:
    from fm_migration_tests.filemaker_server import Storm

    clinic = server(records=3)
    clinic.storms([Storm(on=["layouts"], times=2, action="reset")])
    with connect(clinic) as api:
        assert api.call("GET", "/layouts/API_Images", "reading").ok
        with pytest.raises(failures.FileMakerError, match="105") as failure:
            api.call("GET", "/layouts/Nowhere", "reading")
    assert not isinstance(failure.value, TransientError)
    assert clinic.report()["statuses"].get("layouts 500") == 1
