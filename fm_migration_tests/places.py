"""Points the process's settings at a test's own database and bucket, and imports its photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fm_migration.linking import applying, following, placing
from fm_migration.operations import staging
from fm_migration.places import Places
from fm_migration.settings import settings
from fm_migration_tests.conftest import Bucket

DUMP = "filemaker-import/images-bulk-dump/"
EXPORT_HEAD = "date,fileNane,id,id_Contact,Name of file,NexusExportDate,recid,Type\r\n"


def use_places(monkeypatch: pytest.MonkeyPatch, database_url: str, bucket: Bucket, export: Path) -> None:
    """Until the end of the test, FM_* names this database, this bucket and this export."""
    monkeypatch.setenv("FM_DATABASE_URL", database_url)
    monkeypatch.setenv("FM_OBJECTS_URL", bucket.url)
    monkeypatch.setenv("FM_OBJECTS_ACCESS_KEY", bucket.access_key)
    monkeypatch.setenv("FM_OBJECTS_SECRET_KEY", bucket.secret_key)
    monkeypatch.setenv("FM_EXPORT", str(export))
    settings.cache_clear()


def import_photographs(places: Places) -> None:
    """What the job of the same name does, without Dagster."""
    with places.engine.begin() as connection:
        staging.stage_export(connection, places)
        staging.stage_inventory(connection, places.store, places.settings)
        staging.stage_patients(connection)
    with places.engine.begin() as connection:
        following.follow(connection)
    with places.engine.begin() as connection:
        plan = placing.make_plan(connection, places.settings)
    with places.engine.begin() as connection:
        applying.apply_plan(connection, plan.id)
