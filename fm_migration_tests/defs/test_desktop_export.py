"""The asset `desktop_export`: from a folder to the galleries, and nothing of a patient on the way."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from fm_migration.filemaker.desktop.states import State
from fm_migration.settings import settings
from fm_migration_tests import canaries
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.desktop_exports import DesktopExport, picture
from fm_migration_tests.filemaker.desktop.writing import OTHER, PATIENT, image_id, line
from fm_migration_tests.places import use_places

ADD_PATIENT = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
values (%s, 'A', 'B', false, now(), now(), jsonb_build_object('filemaker_id', %s::text))
"""
SEEN = """
select patients.filemaker_metadata ->> 'filemaker_id', image.s3_key, batch.name, image.category
from images_image as image join images_batch as batch on batch.id = image.batch_id
join patients on patients.id = batch.object_id order by 2
"""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket) -> DesktopExport:
    export = DesktopExport(tmp_path / "desk")
    use_places(monkeypatch, clinic_database, bucket, Path())
    monkeypatch.setenv("FM_EXPORT", "")
    monkeypatch.setenv("FM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
    monkeypatch.setenv("FM_DESKTOP_EXPORT", str(export.root))
    settings.cache_clear()
    with psycopg.connect(clinic_database) as connection:
        for filemaker_id in (PATIENT, OTHER):
            connection.execute(ADD_PATIENT, [uuid.uuid4(), filemaker_id])
    return export


def _run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str = "import_desktop_export", **config: Any
) -> dg.ExecuteInProcessResult:
    ops = {"ops": {"desktop_export": {"config": config}}} if config else {}
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, run_config={**QUIET, **ops}, raise_on_error=False
    )


def _told(result: dg.ExecuteInProcessResult, asset: str = "desktop_export") -> dict[str, Any]:
    (made,) = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return {name: entry.value for name, entry in made.materialization.metadata.items()}


def _passed(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        one.check_name: one.passed
        for one in result.get_asset_check_evaluations()
        if one.asset_key == dg.AssetKey("desktop_export")
    }


def _seen(database_url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(SEEN).fetchall()


def test_a_folder_is_all_it_takes_to_fill_the_galleries(
    definitions: dg.Definitions, instance: dg.DagsterInstance, export: DesktopExport, clinic_database: str
) -> None:
    """No CSV: the rows are the manifest's and the paths'. One without a recid is known by its image's id."""
    export.photograph(1000)
    export.photograph(1001, patient=OTHER, day="2017-02-03", type="Planter")
    export.file(f"{OTHER.lower()}/2018-01-02/{image_id(7)}.JPG", picture(7))
    result = _run(definitions, instance)
    assert result.success
    dump = "filemaker-import/images-bulk-dump/"
    assert _seen(clinic_database) == [
        (PATIENT, f"{dump}1000.jpg", "18 Oct 2016 (FileMaker Import)", "dorsal"),
        (OTHER, f"{dump}1001.jpg", "03 Feb 2017 (FileMaker Import)", "plantar"),
        (OTHER, f"{dump}{image_id(7).lower()}.jpg", "02 Jan 2018 (FileMaker Import)", "other"),
    ]
    assert _passed(result) == {"everything_was_taken": True, "arrived_as_it_left": True, "days_are_certain": True}
    told = _told(result)
    assert (told["uploaded"], told["state/taken"], told["proven"]) == (3, 3, 2)
    assert _told(result, "csv_metadata")["rows_read"] == 3
    again = _run(definitions, instance)
    assert (_told(again)["uploaded"], _told(again)["unchanged"]) == (0, 3)
    assert _told(again, "link_plan")["dagster/row_count"] == _told(result, "link_plan")["dagster/row_count"]
    assert len(_seen(clinic_database)) == 3


def test_what_does_not_fit_is_a_warning_with_its_remedy_and_stops_nothing(
    definitions: dg.Definitions, instance: dg.DagsterInstance, export: DesktopExport, clinic_database: str
) -> None:
    export.photograph(1000)
    export.photograph(1001, picture(1002))
    export.photograph(1002, picture(1001))
    export.file(f"{PATIENT}/03-04-2016/left foot.jpg", picture(5))
    export.file(f"{PATIENT}/03-04-2016/6.jpg", picture(6))
    result = _run(definitions, instance)
    assert result.success
    assert _passed(result) == {"everything_was_taken": False, "arrived_as_it_left": False, "days_are_certain": False}
    told = _told(result)
    assert State.SWAPPED.remedy in told["states"]
    assert State.MISNAMED.remedy in told["states"]
    assert told["summary"] == "6 files: 2 brought, 0 there before; 3 left with a reason"
    assert len(_seen(clinic_database)) == 2


def test_without_the_setting_it_does_nothing(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    export: DesktopExport,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who materializes everything, and has no desktop export, shall not meet an error."""
    export.photograph(1000)
    monkeypatch.delenv("FM_DESKTOP_EXPORT")
    result = dg.materialize(
        [definitions.get_assets_def("desktop_export")], instance=instance, resources=definitions.resources or {}
    )
    assert _told(result)["summary"] == "not in use: FM_DESKTOP_EXPORT is not set"
    assert bucket.client.list_objects_v2(Bucket=bucket.name).get("KeyCount") == 0


def test_a_dry_run_and_another_folder_are_said_in_the_launchpad(
    definitions: dg.Definitions, instance: dg.DagsterInstance, export: DesktopExport, bucket: Bucket, tmp_path: Path
) -> None:
    elsewhere = DesktopExport(tmp_path / "elsewhere")
    elsewhere.photograph(5)
    result = dg.materialize(
        [definitions.get_assets_def("desktop_export")],
        instance=instance,
        resources=definitions.resources or {},
        run_config={"ops": {"desktop_export": {"config": {"place": str(elsewhere.root), "dry_run": True}}}},
    )
    assert _told(result)["summary"] == "2 files: 1 would be brought, 0 there before"
    assert bucket.client.list_objects_v2(Bucket=bucket.name).get("KeyCount") == 0


def test_nothing_of_a_patient_leaves_the_database(
    definitions: dg.Definitions,
    export: DesktopExport,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folders are patients' ids, and people call files as they like: whatever goes wrong, none of it is told."""
    word = canaries.LAST_NAME
    words = canaries.looking_for(*canaries.WORDS, PATIENT, OTHER, PATIENT.replace("-", ""))
    export.photograph(1000, filename=f"{word}.jpg", type=canaries.TYPE)
    export.photograph(1001, picture(1002), id_Contact=canaries.CONTACT)
    export.photograph(1002, b"")
    export.line(line(1003, picture(1003), path=f"{word}/1003.jpg"))
    export.file(f"{word}/2016-10-18/{canaries.FILE_NAME}.jpg", picture(1))
    export.file(f"{PATIENT}/{OTHER}/{word}/1.jpg", picture(2))
    export.file(f"{word}/13.13.2016/1004.jpg", picture(3))
    (export.root / f"{canaries.NOTE}.jpg").symlink_to(tmp_path)
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        assert _run(definitions, instance).success
        # A manifest that cannot be read, a store that refuses, a folder that is gone.
        (export.root / f"manifest {word}.tsv").write_text(f"{word}\t{PATIENT}\n")
        assert not _run(definitions, instance).success
        (export.root / f"manifest {word}.tsv").unlink()
        export.file(f"{PATIENT}/2016-10-18/1005.jpg", picture(1005))
        monkeypatch.setenv("FM_OBJECTS_ACCESS_KEY", "unknown")
        settings.cache_clear()
        assert not _run(definitions, instance).success
    printed = capfd.readouterr()
    assert canaries.in_text("printed", printed.out + printed.err, words) == set()
    assert canaries.in_folder(home, words) == set()
    assert canaries.in_objects(bucket.client, bucket.name, ["filemaker-import/"]) == set()
