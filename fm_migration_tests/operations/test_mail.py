"""Mail, to a real server on loopback that keeps or refuses it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email import message_from_string

import pytest

from fm_migration.errors import FmMigrationError, SettingsError
from fm_migration.operations.mail import MailError, MailServer, send
from fm_migration_tests.smtp import Mailbox, mail_server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


def _send(box: Mailbox, user: str = "") -> None:
    server = MailServer.parse(f"smtp://{user}127.0.0.1:{box.port}?from=dagster@example.org")
    send(server, ["it@example.org", "office@example.org"], "A run has failed", "1 failed – 2 well\n.\nthe end\n")


def test_a_letter_arrives_whole_at_everybody(mailbox: Mailbox) -> None:
    _send(mailbox)
    (letter,) = mailbox.letters
    told = message_from_string(letter)
    assert (told["From"], told["To"]) == ("dagster@example.org", "it@example.org, office@example.org")
    assert (told["Subject"], told["Auto-Submitted"]) == ("A run has failed", "auto-generated")
    assert mailbox.recipients == ["<it@example.org>", "<office@example.org>"]
    assert not mailbox.logins


def test_user_and_password_may_have_any_character(mailbox: Mailbox) -> None:
    _send(mailbox, user="dag%40ster:p%3Aw%2F1@")
    assert base64.b64decode(mailbox.logins[0]) == b"\0dag@ster\0p:w/1"


@pytest.mark.parametrize(
    ("refuses", "transient", "said"),
    [
        ({"AUTH": "535 no"}, False, "it refuses user or password. Correct FM_SMTP_URL."),
        ({"MAIL": "550 relay denied"}, False, "it answers 550"),
        ({"MAIL": "451 try later"}, True, "it answers 451"),
        ({"RCPT": "550 no such user"}, False, "it refuses every recipient. Correct FM_ALERT_EMAIL."),
    ],
)
def test_a_refusal_is_told_with_its_remedy(
    mailbox: Mailbox, refuses: dict[str, str], transient: bool, said: str
) -> None:
    mailbox.refuses = refuses
    with pytest.raises(FmMigrationError, match=said) as failure:
        _send(mailbox, user="user:secret@")
    assert failure.value.transient is transient
    assert "secret" not in str(failure.value)
    assert not mailbox.letters


def test_nobody_at_the_address_is_a_passing_failure() -> None:
    with pytest.raises(FmMigrationError, match="cannot be talked to") as failure:
        send(MailServer.parse("smtp://127.0.0.1:9"), ["it@example.org"], "s", "t")
    assert failure.value.transient


def test_a_password_does_not_travel_readable(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fm_migration.operations.mail._LOOPBACK", ())
    with pytest.raises(MailError, match="it offers no encryption"):
        _send(mailbox, user="user:secret@")
    assert not mailbox.logins


@pytest.mark.parametrize(
    ("url", "port", "implicit_tls"),
    [("smtps://mail.example.org", 465, True), ("smtp://mail.example.org", 587, False), ("smtp://h:2525", 2525, False)],
)
def test_the_port_follows_from_the_scheme(url: str, port: int, implicit_tls: bool) -> None:
    server = MailServer.parse(url)
    assert (server.port, server.implicit_tls) == (port, implicit_tls)


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail.example.org", "smtp://", "smtp://host:port"])
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="FM_SMTP_URL"):
        MailServer.parse(url)
