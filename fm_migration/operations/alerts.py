"""Alerts to a person: by a webhook, by e-mail, or both, as the settings say.

Belongs here: which ways are open, and what is sent by each. Does not belong here: when to send one (the sensors), and
how a mail travels (`mail`). No alert holds patient data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fm_migration.operations.mail import MailServer, send
from fm_migration.settings import Settings

_TIMEOUT_SECONDS = 10


def post_alert(url: str, job: str, run_id: str | None, message: str) -> None:
    """Post one message to the webhook."""
    # Imported here: every run imports this module, and httpx takes a tenth of that time.
    import httpx

    body = {"job": job, "run_id": run_id, "message": message}
    httpx.post(url, json=body, timeout=_TIMEOUT_SECONDS).raise_for_status()


def mail_alert(server: str, addresses: Sequence[str], subject: str, text: str) -> None:
    """Send one mail to all addresses, through the server that the URL names."""
    send(MailServer.parse(server), addresses, subject, text)


def send_waiting_alert(values: Settings, job: str, reason: str) -> None:
    """Tell a person, in the same ways as of a failed run, that a job has been waiting for a long time.

    While one way works, a failure of the other raises nothing: at the next tick the first would send its alert again.
    """
    ways: list[Callable[[], None]] = []
    if values.alert_url is not None:
        message = f"waiting for longer than FM_ALERT_AFTER: {reason}"
        ways.append(partial(post_alert, values.alert_url.get_secret_value(), job, None, message))
    if values.alert_email and values.smtp_url is not None:
        text = f"{job} has been waiting for longer than FM_ALERT_AFTER.\n\nThe sensor in Dagster's UI says why.\n"
        server = values.smtp_url.get_secret_value()
        ways.append(partial(mail_alert, server, values.alert_email, f"fm_migration: {job} is waiting", text))
    failures: list[Exception] = []
    for send_one in ways:
        try:
            send_one()
        except Exception as error:
            failures.append(error)
    if failures and len(failures) == len(ways):
        raise failures[0]
