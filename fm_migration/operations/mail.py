"""Sends a short text by e-mail, through the SMTP server of FM_SMTP_URL. Knows nothing of what it says."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import parse_qsl, unquote, urlsplit

from fm_migration.errors import FmMigrationError, SettingsError, TransientError

SECONDS = 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EXAMPLE = "Write it like smtps://user:password@mail.example.org:465 or smtp://user:password@mail.example.org:587"


class MailError(FmMigrationError):
    """The mail server refuses."""


@dataclass(frozen=True)
class MailServer:
    """Where to send, as whom, and from which address."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None
    password: str | None
    sender: str | None

    @classmethod
    def parse(cls, url: str) -> MailServer:
        """Read `smtps://…` (TLS from the first byte) or `smtp://…` (STARTTLS where the server offers it)."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0:
            raise SettingsError("reading", "FM_SMTP_URL", "it is not a URL of a mail server", _EXAMPLE)
        implicit_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if implicit_tls else 587),
            implicit_tls=implicit_tls,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sender=dict(parse_qsl(parts.query)).get("from"),
        )


def send(server: MailServer, recipients: Sequence[str], subject: str, text: str) -> None:
    """Send one mail to all of them; an error of ours when the server does not take it."""
    message = EmailMessage()
    message["From"] = server.sender or recipients[0]
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=server.host)
    # No answer machine shall answer.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    where = f"{server.host}:{server.port}"
    try:
        with _connected(server) as connection:
            _log_in(server, connection)
            connection.send_message(message)
    except smtplib.SMTPAuthenticationError:
        raise MailError("sending mail by", where, "it refuses user or password", "Correct FM_SMTP_URL") from None
    except smtplib.SMTPResponseException as error:
        kind = TransientError if 400 <= error.smtp_code < 500 else MailError
        raise kind("sending mail by", where, f"it answers {error.smtp_code}", "Look into its log") from None
    except smtplib.SMTPRecipientsRefused:
        raise MailError("sending mail by", where, "it refuses every recipient", "Correct FM_ALERT_EMAIL") from None
    except ssl.SSLError:
        raise MailError("sending mail by", where, "its TLS is not trusted", "Use the name in its certificate") from None
    except (OSError, smtplib.SMTPException) as error:
        found = f"it cannot be talked to ({type(error).__name__})"
        raise TransientError("sending mail by", where, found, "See that it runs; correct FM_SMTP_URL") from None


def _connected(server: MailServer) -> smtplib.SMTP:
    if server.implicit_tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=SECONDS)


def _log_in(server: MailServer, connection: smtplib.SMTP) -> None:
    connection.ehlo()
    encrypted = server.implicit_tls
    if not encrypted and connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
        connection.ehlo()
        encrypted = True
    if server.user is None:
        return
    if not encrypted and server.host not in _LOOPBACK:
        raise MailError(
            "sending mail by",
            f"{server.host}:{server.port}",
            "it offers no encryption, and the password would travel readable",
            "Use smtps://, or a server with STARTTLS",
        )
    connection.login(server.user, server.password or "")
