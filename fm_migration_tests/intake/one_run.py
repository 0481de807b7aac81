"""A run of the intake in a process of its own, which a test may kill: `python -m fm_migration_tests.intake.one_run`.

The places and FileMaker stand in the environment, as for any command.
"""

from __future__ import annotations

from fm_migration.intake.wishes import Wishes
from fm_migration.operations.intake import run_intake
from fm_migration.places import find_places
from fm_migration.settings import load_settings

if __name__ == "__main__":
    brought = run_intake(find_places(load_settings()), Wishes(), on_progress=lambda told: print(told, flush=True))  # noqa: T201
    print(brought.outcome.ending.value)  # noqa: T201
