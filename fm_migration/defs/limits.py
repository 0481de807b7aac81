"""How much at a time, how often again, how long at most: the limits that assets and jobs share.

What is tried again is decided by the kind of error: everything that a run raises becomes a failure that says whether it
may go better by itself (`failures.py`), and a permanent one ends the step at its first try.
"""

from __future__ import annotations

import dagster as dg

from fm_migration.settings import settings

#: How many steps may use a thing at the same time, over all runs. A step belongs to one pool: to that of the scarcest
#: thing it uses. FileMaker has a yearly transfer limit and few sessions, so one at a time.
POOLS = {"filemaker": 1, "database": 4, "s3": 4, "thumbnails": 2}

#: For dropped connections, time-outs and throttling: after 5 s, 10 s and 20 s by default, a little scattered, so that
#: several runs that were thrown off by the same restart do not come back at the same moment.
RETRY = dg.RetryPolicy(
    max_retries=3, delay=settings().retry_seconds, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

#: The tag by which Dagster ends a run that takes longer than so many seconds. Others may take the six hours of
#: dagster.yaml.
MAX_RUNTIME = "dagster/max_runtime"
SHORT = {MAX_RUNTIME: "900"}
LONG = {MAX_RUNTIME: "7200"}
#: Runs that heal are taken from the queue before all others.
FIRST = {"dagster/priority": "10"}


def set_pools(instance: dg.DagsterInstance) -> None:
    """Give every pool its limit, where nobody has given it another one."""
    storage = instance.event_log_storage
    chosen = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    for name, limit in POOLS.items():
        if name not in chosen:
            storage.set_concurrency_slots(name, limit)
