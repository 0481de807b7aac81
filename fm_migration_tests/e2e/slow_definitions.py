"""The code location with slow healing: before the plan is applied, as many seconds pass as a file says.

Only the daemons of tests and benchmarks load this, because importing it slows the whole process down. The delay stands
between reading and writing, where a re-import does the most harm.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from fm_migration.definitions import defs as defs
from fm_migration.linking import applying
from fm_migration_tests.e2e.daemon import DELAY_FILE

_apply_plan = applying.apply_plan


def _apply_slowly(*arguments: Any, **named: Any) -> applying.AppliedLinks:
    file = Path(os.environ[DELAY_FILE])
    time.sleep(float(file.read_text("utf-8")) if file.exists() else 0)
    return _apply_plan(*arguments, **named)


applying.apply_plan = _apply_slowly
