"""Schedules: what happens without anybody asking and without anything having changed.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import report, within
from fm_migration.defs.resources import DatabaseResource
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
