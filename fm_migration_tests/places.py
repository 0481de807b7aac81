"""Points the process's settings at a test's own database and bucket, and imports its photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fm_migration.linking import applying, following, placing
from fm_migration.operations import staging
from fm_migration.places import Places
from fm_migration.settings import settings

if TYPE_CHECKING:
    from fm_migration_tests.conftest import Bucket
    from fm_migration_tests.filemaker_server.handle import Handle

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


def import_photographs(places: Places, limit: int | None = None) -> int:
    """What the job of the same name does, without Dagster, with all photographs or the first so many; the plan's id."""
    with places.engine.begin() as connection:
        staging.stage_export(connection, places)
        staging.stage_inventory(connection, places.store, places.settings)
        staging.stage_patients(connection)
    return link_photographs(places, limit)


def link_photographs(places: Places, limit: int | None = None) -> int:
    with places.engine.begin() as connection:
        following.follow(connection)
    with places.engine.begin() as connection:
        plan = placing.make_plan(connection, places.settings, limit=limit)
    with places.engine.begin() as connection:
        applying.apply_plan(connection, plan.id, approve=plan.hash)
    return plan.id


def use_filemaker(monkeypatch: pytest.MonkeyPatch, server: Handle) -> None:
    """Until the end of the test, FM_FILEMAKER_* names this simulated server."""
    account, password = server.account
    monkeypatch.setenv("FM_FILEMAKER_URL", server.url())
    monkeypatch.setenv("FM_FILEMAKER_DATABASE", "Clinic")
    monkeypatch.setenv("FM_FILEMAKER_ACCOUNT", account)
    monkeypatch.setenv("FM_FILEMAKER_PASSWORD", password)
    monkeypatch.setenv("FM_FILEMAKER_CA", str(server.ca_file))
    monkeypatch.setenv("FM_RETRY_SECONDS", "0.02")
    settings.cache_clear()
