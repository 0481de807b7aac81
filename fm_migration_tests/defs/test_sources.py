"""The three sources: each observation has a version that changes when, and only when, the world does."""

from __future__ import annotations

import uuid
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from fm_migration_tests.conftest import Bucket
from fm_migration_tests.places import DUMP, EXPORT_HEAD, use_places

ADD_PATIENT = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at, filemaker_metadata)
values (%s, 'A', 'B', false, now(), now(), %s)
"""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "Image_dataV10.csv"
    path.write_text(EXPORT_HEAD, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _places(monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket, export: Path) -> None:
    use_places(monkeypatch, clinic_database, bucket, export)


def _versions(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, str]:
    result = definitions.resolve_job_def("observe_sources").execute_in_process(instance=instance)
    observations = [
        event.asset_observation_data.asset_observation
        for event in result.filter_events(lambda event: event.is_asset_observation)
    ]
    return {seen.asset_key.to_user_string(): seen.tags["dagster/data_version"] for seen in observations}


def test_a_world_that_stands_still_keeps_its_versions(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    first = _versions(definitions, instance)
    assert set(first) == {"filemaker_export", "bulk_dump", "patients"}
    assert _versions(definitions, instance) == first


def test_each_change_changes_the_version_of_its_source_alone(
    definitions: dg.Definitions, instance: dg.DagsterInstance, bucket: Bucket, export: Path, clinic_database: str
) -> None:
    seen = _versions(definitions, instance)

    def changed() -> set[str]:
        nonlocal seen
        former, seen = seen, _versions(definitions, instance)
        return {name for name in seen if seen[name] != former[name]}

    bucket.put(f"{DUMP}1000.jpg", b"one")
    assert changed() == {"bulk_dump"}
    bucket.put(f"{DUMP}1000.jpg", b"two")
    assert changed() == {"bulk_dump"}
    bucket.put("elsewhere/1.jpg")
    assert changed() == set()
    export.write_text(EXPORT_HEAD + "1/2/2020,,,,,,1000,Dorsal\r\n", encoding="utf-8")
    assert changed() == {"filemaker_export"}
    first, second = uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(clinic_database) as connection:
        connection.execute(ADD_PATIENT, [first, '{"filemaker_id": "5F1B7A52-0C4E-4C57-9A77-0D1E5B0A2C11"}'])
    assert changed() == {"patients"}
    with psycopg.connect(clinic_database) as connection:
        connection.execute("update patients set first_name = 'C'")
    assert changed() == set()
    with psycopg.connect(clinic_database) as connection:
        connection.execute("update patients set id = %s", [second])
    assert changed() == {"patients"}


def test_both_shapes_of_the_metadata_column_hold_the_same_id(
    definitions: dg.Definitions, instance: dg.DagsterInstance, clinic_database: str
) -> None:
    patient = uuid.uuid4()
    with psycopg.connect(clinic_database) as connection:
        connection.execute(ADD_PATIENT, [patient, '{"filemaker_id": "5F1B7A52-0C4E-4C57-9A77-0D1E5B0A2C11"}'])
    as_object = _versions(definitions, instance)["patients"]
    with psycopg.connect(clinic_database) as connection:
        connection.execute("update patients set filemaker_metadata = to_jsonb(filemaker_metadata::text)")
    assert _versions(definitions, instance)["patients"] == as_object
