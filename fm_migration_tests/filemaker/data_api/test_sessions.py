"""Sessions: one at a time, kept in a private file, renewed, always ended; and nothing of them is ever shown."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from fm_migration.errors import SettingsError
from fm_migration.filemaker.data_api import sessions
from fm_migration.filemaker.data_api.failures import LoginRefusedError, TlsError, TransferLimitError
from fm_migration_tests.filemaker.data_api.conftest import ACCOUNT, PASSWORD, Connect, Start
from fm_migration_tests.filemaker_server import Storm

LAYOUT = "/layouts/API_Images"


def test_a_run_has_one_session_and_ends_it(server: Start, connect: Connect, tmp_path: Path) -> None:
    clinic = server(records=2)
    with connect(clinic) as api:
        for _ in range(3):
            api.call("GET", LAYOUT, "reading")
        (kept,) = (tmp_path / "sessions").iterdir()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    report = clinic.report()
    assert (report["logins"], report["sessions_left"]) == (1, 0)
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_session_is_ended_whatever_happens(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    with pytest.raises(ZeroDivisionError), connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
        _ = 1 / 0
    assert clinic.report()["sessions_left"] == 0


def test_a_killed_runs_session_is_taken_up(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    connect(clinic).call("GET", LAYOUT, "reading")  # and is killed: it never ends its session
    with connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
    report = clinic.report()
    assert (report["logins"], report["sessions_at_once_most"], report["sessions_left"]) == (1, 1, 0)


def test_a_killed_runs_session_that_has_died_is_replaced(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    connect(clinic).call("GET", LAYOUT, "reading")
    clinic.advance(1_000)
    with connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
    report = clinic.report()
    assert (report["logins"], report["sessions_at_once_most"]) == (2, 1)


def test_a_file_that_others_could_have_read_is_not_used(server: Start, connect: Connect, tmp_path: Path) -> None:
    clinic = server(records=2)
    connect(clinic).call("GET", LAYOUT, "reading")
    (kept,) = (tmp_path / "sessions").iterdir()
    kept.chmod(0o644)
    with connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
    assert clinic.report()["logins"] == 2


@pytest.mark.parametrize("action", ["revoke", "window_missing"])
def test_a_session_that_ends_in_the_middle_is_replaced_and_the_call_replayed_once(
    server: Start, connect: Connect, action: str
) -> None:
    clinic = server(records=2)
    clinic.storms([Storm(on=["layouts"], after=1, times=1, action=action)])
    with connect(clinic) as api:
        assert all(api.call("GET", LAYOUT, "reading").ok for _ in range(3))
    report = clinic.report()
    assert (report["logins"], report["sessions_at_once_most"], report["sessions_left"]) == (2, 1, 0)
    assert report["requests"]["layouts"] == 4


def test_a_session_is_kept_alive_by_a_cheap_call(server: Start, connect: Connect) -> None:
    """A container's bytes do not keep it, and a phase of downloads may take longer than it lives."""
    clinic = server(records=2)
    with connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
        clinic.advance(800)
        api.session._used_at -= 800
        api.session.keep_alive()
        clinic.advance(800)
        assert api.call("GET", LAYOUT, "reading").ok
        assert clinic.report()["logins"] == 1


def test_a_token_of_claris_logs_in_without_a_body(server: Start, connect: Connect) -> None:
    clinic = server(records=2, fmid_tokens=["claris-id-token"], fmid_login_body="empty")
    with connect(clinic, claris_token=SecretStr("claris-id-token")) as api:
        assert api.call("GET", LAYOUT, "reading").ok


def test_an_expired_token_of_claris_is_named(server: Start, connect: Connect) -> None:
    clinic = server(records=2, fmid_expired=["old-id-token"])
    with (
        pytest.raises(LoginRefusedError, match="FM_FILEMAKER_CLARIS_TOKEN"),
        connect(clinic, claris_token=SecretStr("old-id-token")) as api,
    ):
        api.call("GET", LAYOUT, "reading")


def test_a_wrong_password_is_said_once_without_being_shown(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    with (
        pytest.raises(LoginRefusedError, match="212") as failure,
        connect(clinic, password=SecretStr("wrong-canary")) as api,
    ):
        api.call("GET", LAYOUT, "reading")
    assert "wrong-canary" not in str(failure.value)
    assert clinic.report()["logins_refused"] == 1


def test_an_unknown_authority_is_refused(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    with pytest.raises(TlsError, match="FM_FILEMAKER_CA"), connect(clinic, authority=None) as api:
        api.call("GET", LAYOUT, "reading")
    assert clinic.report()["requests"] == {}


def test_without_an_account_nothing_is_sent(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    with pytest.raises(SettingsError, match="FM_FILEMAKER_ACCOUNT"), connect(clinic, account=None) as api:
        api.call("GET", LAYOUT, "reading")
    assert clinic.report()["requests"] == {}


@pytest.mark.parametrize("code", ["812", "956"])
def test_a_full_server_is_waited_for(server: Start, connect: Connect, code: str) -> None:
    clinic = server(records=2)
    clinic.storms([Storm(on=["login"], times=2, action="code", code=code, status=500)])
    with connect(clinic) as api:
        assert api.call("GET", LAYOUT, "reading").ok
    assert clinic.report()["logins"] == 1


def test_the_years_limit_is_an_error_of_its_own(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    clinic.storms([Storm(on=["layouts"], action="code", code="953", status=500)])
    with pytest.raises(TransferLimitError), connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
    assert clinic.report()["sessions_left"] == 0


def test_the_breaker_asks_for_the_version_and_then_for_a_session(server: Start, connect: Connect) -> None:
    clinic = server(records=2)
    with connect(clinic) as api:
        api.call("GET", LAYOUT, "reading")
        clinic.stop_engine()
        api.breaker.trip()
        clinic.clear_report()
        while api.breaker._questions < 3:
            assert not api.breaker.ask()
        assert set(clinic.report()["requests"]) == {"product"}
        clinic.start_engine()
        while not api.breaker.ask():
            pass
        assert api.call("GET", LAYOUT, "reading").ok
        assert (api.breaker.storms, api.breaker.is_open) == (1, False)
    assert clinic.report()["sessions_left"] == 0


def test_no_log_shows_a_credential(
    server: Start, connect: Connect, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """httpx writes the URL of a log-out, which has the token in it, and httpcore the headers."""
    clinic = server(records=2)
    with caplog.at_level(logging.DEBUG):
        for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "stamina"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        with connect(clinic) as api:
            api.call("GET", LAYOUT, "reading")
            token = sessions.TokenFile(tmp_path / "sessions", api.access).read()
    assert token is not None
    for secret in (ACCOUNT, PASSWORD, token.get_secret_value(), "Basic ", "Bearer "):
        assert secret not in caplog.text
    assert not any(secret in repr(api.access) for secret in (ACCOUNT, PASSWORD))
