"""What `dagster.yaml` names: where Dagster keeps its history and the output of its runs.

Belongs here: two switches, because that file cannot choose by a variable. Without a setting, everything is in the
folder DAGSTER_HOME; with one, in PostgreSQL or in a bucket. Does not belong here: what an asset or a sensor needs.
"""

from __future__ import annotations

import os
from pathlib import Path

from fm_migration.settings import Settings


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME; where that is not set, the folder that `fm-migration dev` uses.

    Dagster itself would take a folder that it removes in the end, when it finds `dagster.yaml` where it was started.
    """
    named = os.environ.get("DAGSTER_HOME")
    return Path(named).expanduser() if named else settings.home.resolve() / "dagster"
