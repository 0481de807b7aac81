"""Telling a person about failed runs, by a webhook and by e-mail.

Two sensors, because each has to remember by itself what it has told: a webhook that is down would otherwise have the
same mail sent again at every tick.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.resources import SettingsResource
from fm_migration.operations.alerts import mail_alert, post_alert


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells a person about failed runs: posts job, run and message to FM_ALERT_URL. The message holds no "
    "patient data, because no message of ours does.",
)
def tell_of_failures(context: dg.RunFailureSensorContext, settings: SettingsResource) -> None:
    url = settings.settings().alert_url
    if url is None:
        return
    steps = [event.step_failure_data.user_failure_data for event in context.get_step_failure_events()]
    messages = [data.description for data in steps if data is not None and data.description]
    message = messages[0] if messages else "the run failed without a message of fm_migration's own"
    post_alert(url.get_secret_value(), context.dagster_run.job_name, context.dagster_run.run_id, message)


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="The same by e-mail: to FM_ALERT_EMAIL through FM_SMTP_URL. Counts and our own names only, not even "
    "the message, because mail is kept in many places.",
)
def mail_failures(context: dg.RunFailureSensorContext, settings: SettingsResource) -> None:
    values = settings.settings()
    if not values.alert_email or values.smtp_url is None:
        return
    run = context.dagster_run
    with readable_failures():
        text = _letter(context.instance, run)
        server = values.smtp_url.get_secret_value()
        mail_alert(server, values.alert_email, f"fm_migration: {run.job_name} has failed", text)


def _letter(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    steps = instance.get_run_step_stats(run.run_id)
    states = Counter(step.status.value.lower() if step.status else "unknown" for step in steps)
    failed = [step for step in steps if step.status is not None and step.status.value == "FAILURE"]
    of_the_day = Counter(
        record.dagster_run.status.value.lower()
        for record in instance.get_run_records(
            dg.RunsFilter(job_name=run.job_name, created_after=datetime.now(UTC) - timedelta(days=1))
        )
    )
    lines = [
        f"Run {run.run_id} of {run.job_name} has failed.",
        "",
        f"Steps: {_format_counts(states)}.",
        *(f"Failed: {step.step_key}, after {step.attempts or 1} tries." for step in failed),
        f"Runs of {run.job_name} in the last 24 hours: {_format_counts(of_the_day)}.",
        "",
        "The run in Dagster's UI says what went wrong and what to do. This mail holds counts and our own names only.",
    ]
    return "\n".join(lines) + "\n"


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
