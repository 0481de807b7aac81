"""Schedules: what happens without anybody asking and without anything having changed.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import bring_photographs, report, within
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.intake.bringing import SOURCE
from fm_migration.ledger import transfers
from fm_migration.linking import applying
from fm_migration.settings import settings as read_settings

#: When nobody uploads and nobody re-imports, and early enough that somebody looks at it in the morning.
NIGHTLY = "30 3 * * *"


@dg.schedule(
    job=report,
    cron_schedule=NIGHTLY,
    execution_timezone=read_settings().clinic_timezone,
    # Running, because the report that nobody has switched on is the one that was needed: links broke for months and
    # nobody noticed. It reads, and until the first import it does nothing.
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night in the clinic's time zone: the bucket and the patients are read anew, and the report is "
    "made. Nothing is done until photographs were imported. A plan that was limited stays so.",
)
def nightly_report(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    with readable_failures(), database.engine().connect() as connection:
        last = applying.last_applied(connection)
    if last is None:
        return dg.SkipReason("nothing was imported yet: run import_photographs first")
    # Who has started small wants no more than that to be planned, and applied by the automation, in the night.
    limited = within(last)
    return dg.RunRequest(run_config=limited or {"ops": {"link_plan": {"config": {"full": True}}}})


@dg.schedule(
    job=bring_photographs,
    cron_schedule="0 */6 * * *",
    execution_timezone=read_settings().clinic_timezone,
    # Running, because a number in the settings is what switches it on: two switches would be one too many.
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every six hours in the clinic's time zone: so many photographs as FM_FILEMAKER_EVERY_SIX_HOURS says "
    "are brought from FileMaker. With 0, or while a person has paused the intake, it starts nothing.",
)
def filemaker_intake(settings: SettingsResource, database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    values = settings.settings()
    if values.filemaker_url is None or values.filemaker_every_six_hours == 0:
        return dg.SkipReason("FM_FILEMAKER_EVERY_SIX_HOURS is 0, or FM_FILEMAKER_URL is not set")
    with readable_failures(), database.engine().connect() as connection:
        paused = transfers.read_pace(connection, SOURCE).paused
    if paused:
        return dg.SkipReason("a person has paused the intake: `fm-migration intake --resume` lets it go on")
    limit = {"limit": values.filemaker_every_six_hours}
    return dg.RunRequest(run_config={"ops": {"filemaker_images": {"config": limit}}})
