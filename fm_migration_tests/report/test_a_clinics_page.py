"""The page and the files of the sample clinic's own report: they say what was found, and name nobody."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from fm_migration.embedded.sample.model import Clinic
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.report import charts
from fm_migration.report.files import Published, publish
from fm_migration_tests.linking.world import reimport_sample
from fm_migration_tests.report.reporting import Reported, furnish


@pytest.fixture
def clinic(world: Reported) -> Clinic:
    """A clinic with a first report, a re-import that was healed, and a report after it."""
    clinic = design_clinic(0.02, variant="stale")
    furnish(world, clinic)
    world.link()
    world.report(["thumbnail_missing"])
    reimport_sample(world, clinic)
    world.link()
    world.report(["thumbnail_missing"])
    return clinic


def _publish(world: Reported) -> Published:
    with world.engine.begin() as connection:
        return publish(connection, world.settings)


def test_the_files_hold_what_was_found(world: Reported, clinic: Clinic) -> None:
    published = _publish(world)
    frame = pd.read_parquet(published.parquet)
    found = {f"{row[0]} {row.subject}" for row in world.rows("select class, subject from fm_migration.open_finding")}
    assert set(frame["class"] + " " + frame["subject"]) == found
    assert len(frame) == len(found) == published.findings == published.data.open
    assert {one.kind.value: one.open for one in published.data.classes if one.open} == Counter(frame["class"])


def test_the_reimport_is_told_with_the_time_that_it_took(world: Reported, clinic: Clinic) -> None:
    (reimport,) = _publish(world).data.reimports
    assert reimport.took is not None
    assert 0 <= reimport.took.total_seconds() < 300
    known = {patient.filemaker_id for patient in clinic.patients if patient.filemaker_id}
    assert reimport.people == len(known)


def test_the_picture_adds_up(world: Reported, clinic: Clinic) -> None:
    totals = _publish(world).data.totals
    steps = charts.waterfall_steps(totals.waterfall)
    assert steps[0].end == totals.rows == len(clinic.rows)
    assert steps[-2].end == steps[-1].end
    assert len([step for step in steps if not step.total]) > 4


def test_nobody_is_named(world: Reported, clinic: Clinic) -> None:
    """Neither on the page nor in the files nor in what is attached to the asset."""
    published = _publish(world)
    texts = [Path(published.page).read_text("utf-8"), Path(published.csv).read_text("utf-8")]
    texts += charts.metadata_pictures(published.data).values()
    text = "\n".join(texts)
    for patient in clinic.patients:
        for words in (f"{patient.first_name} {patient.last_name}", f"{patient.last_name}, {patient.first_name}"):
            assert words not in text
        assert not re.search(rf"\b{re.escape(patient.mrn)}\b", text)
