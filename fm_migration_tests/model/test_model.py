"""The machine at play: whatever happens in whatever order, the judge is content.

A run says its seed in its first lines, another one each time. To look closer:

    FM_MODEL_SEED=n      plays the same sequences again
    FM_MODEL_STEPS=n     plays so many steps
    FM_MODEL_LIFE=n      begins a new clinic after so many; few make counterexamples that are short as they are found
    FM_MODEL_SHRINK=no   does not look for the shortest counterexample, which takes up to five minutes
    FM_MODEL_WITHOUT=..  leaves out rules of the machine, so that one known fault does not hide the next
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from fm_migration_tests.model.driver import Driver
from fm_migration_tests.model.machine import HABITS, WITHOUT, Clinic

SEED = int(os.environ.get("FM_MODEL_SEED") or 1)
STEPS = int(os.environ.get("FM_MODEL_STEPS") or 0)
SHRINK = os.environ.get("FM_MODEL_SHRINK") != "no"
IN_A_LIFE = int(os.environ.get("FM_MODEL_LIFE") or 50)


def _play(driver: Driver, steps: int) -> None:
    """One clinic's life after the other, until there were so many steps."""
    rules = WITHOUT - HABITS
    assert all(hasattr(Clinic, name) for name in rules), f"the machine has not all of these rules: {sorted(rules)}"
    here: type[Clinic] = type("Here", (Clinic,), {"driver": driver, **dict.fromkeys(rules)})
    number = SEED
    while here.steps < steps:
        lives = max(1, (steps - here.steps) // IN_A_LIFE)
        run_state_machine_as_test(seed(number)(here), settings=_settings(lives))
        number += 1
    rate = here.steps / here.seconds
    sys.stdout.write(f"{here.steps} steps in {here.seconds:.0f} s, {rate:.0f} a second, from the seed {SEED}\n")
    assert here.steps >= steps


def _settings(lives: int) -> settings:
    return settings(
        max_examples=lives,
        stateful_step_count=IN_A_LIFE,
        deadline=None,
        # Another sequence in each run, in CI too, where hypothesis would choose the same ones for ever.
        derandomize=False,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_and_fifty_steps_of_a_clinics_life(driver: Driver) -> None:
    _play(driver, STEPS or 150)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_twenty_thousand_steps_of_a_clinics_life(driver: Driver) -> None:
    _play(driver, max(STEPS, 20_000))
