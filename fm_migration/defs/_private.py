"""What we use of Dagster that has no public name in the pinned release: all of it here, each with its reason.

An upgrade of Dagster begins with this module and `fm_migration/instance/_private.py`. What we rest on (names,
parameters, members) is written down in fm_migration_tests/defs/test_private.py, which says what has changed.
"""

from __future__ import annotations

import dagster as dg

# Whether an asset was made from its inputs as they are now: the UI shows it, and no public condition asks it.
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.events import AssetKeyPartitionKey

# A backfill is a row of the instance's storage. The UI writes it through GraphQL, which needs a web server; here it is
# written by the function that GraphQL calls.
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.utils import make_new_backfill_id

__all__ = [
    "BULK_ACTION_TERMINAL_STATUSES",
    "AssetKeyPartitionKey",
    "BulkActionStatus",
    "BulkActionsFilter",
    "CachingStaleStatusResolver",
    "PartitionBackfill",
    "StaleStatus",
    "make_new_backfill_id",
    "switch_auto_materialize_on",
]


def switch_auto_materialize_on(instance: dg.DagsterInstance) -> None:
    """Turn the switch of an older daemon, which ours never asks and which only the UI shows."""
    # Imported here, where it is needed: the daemon's modules take a while.
    from dagster._daemon.asset_daemon import set_auto_materialize_paused

    set_auto_materialize_paused(instance, paused=False)
