"""Both ways into the dump: what a desktop export has brought is not fetched, and the other way round."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from fm_migration.errors import TransientError
from fm_migration.filemaker.desktop.states import State
from fm_migration.intake.bringing import Outcome
from fm_migration.ledger import transfers
from fm_migration.objects.store import ObjectsLocation, ObjectStore
from fm_migration.operations import desktop_export, staging
from fm_migration.operations.desktop_export import Brought
from fm_migration.places import Places
from fm_migration.settings import load_settings
from fm_migration.sources.desktop import Folder
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.desktop_exports import DesktopExport, picture
from fm_migration_tests.filemaker_server import FileMakerServer
from fm_migration_tests.intake.conftest import brought

Start = Callable[..., FileMakerServer]
Bring = Callable[..., Outcome]

SETTINGS = {"watch_settle_seconds": 0, "export": ""}


@pytest.fixture
def export(tmp_path: Path) -> DesktopExport:
    return DesktopExport(tmp_path)


def _bring_folder(engine: Engine, store: ObjectStore, export: DesktopExport) -> Brought:
    return desktop_export.bring(engine, store, Folder(export.root), load_settings(**SETTINGS))


def test_the_api_brings_what_the_export_lacks(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore, export: DesktopExport, bucket: Bucket
) -> None:
    clinic = server(records=12)
    truth = {str(row["recid"]): row["sha256"] for row in clinic.truth()}
    exported = sorted(truth, key=int)[:5]
    for recid in exported:
        export.photograph(int(recid))
    _bring_folder(engine, store, export)
    outcome = bring(clinic)
    assert (outcome.arrived, outcome.present) == (7, 5)
    hashes = {recid: hashlib.sha256(picture(int(recid))).hexdigest() for recid in exported}
    assert brought(store) == truth | hashes
    places = Places(
        load_settings(**SETTINGS),
        "",
        ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key),
        export="",
        embedded=False,
    )
    with engine.begin() as connection:
        staging.stage_export(connection, places)
        rows = connection.execute(text("select source, recid from fm_migration.csv_metadata")).all()
    assert Counter(row.source for row in rows) == {"desktop_export": 5, "filemaker_images": 7}
    assert {row.recid for row in rows if row.source == "desktop_export"} == set(exported)


def test_the_export_brings_what_the_api_could_not(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore, export: DesktopExport
) -> None:
    clinic = server(records=12, dead_share=0.4)
    bring(clinic)
    dead = [row["recid"] for row in clinic.truth() if row["dead"]]
    assert dead
    for row in clinic.truth():
        export.photograph(row["recid"])
    done = _bring_folder(engine, store, export)
    # What the API has brought is another picture here, and stays.
    assert done.states == {State.TAKEN: len(dead), State.CHANGED: 12 - len(dead), State.MANIFEST: 1}
    assert brought(store).keys() == {str(row["recid"]) for row in clinic.truth()}


def test_one_brings_at_a_time(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore, export: DesktopExport
) -> None:
    export.photograph(1)
    with transfers.alone(engine):
        for attempt in (lambda: bring(server(records=1)), lambda: _bring_folder(engine, store, export)):
            with pytest.raises(TransientError, match="another run is bringing some"):
                attempt()
