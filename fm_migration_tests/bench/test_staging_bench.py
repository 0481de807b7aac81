"""The benchmark of staging compares ways that read the same: each counts what it read, and fails on too little."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from bench import staging
from bench.peers.staging_bucket import FOLDER, Server, keys_of
from bench.peers.staging_export import row_by_row, write_export
from fm_migration.filemaker import reading, rows
from fm_migration.objects import listing
from fm_migration.objects.store import ObjectsLocation, open_store
from fm_migration.places import Places
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.places import use_places

ROWS = 3_100
#: More than two pages, so that the listing is divided.
OBJECTS = 2_345


@pytest.fixture(scope="module")
def synthetic() -> Iterator[str]:
    server = Server(OBJECTS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"s3://bench?endpoint={server.url}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def export(tmp_path: Path) -> tuple[Path, int]:
    path = tmp_path / "export.csv"
    return path, write_export(path, ROWS)


@pytest.fixture
def places(
    monkeypatch: pytest.MonkeyPatch,
    clinic_database: str,
    bucket: Bucket,
    synthetic: str,
    export: tuple[Path, int],
) -> Iterator[Places]:
    use_places(monkeypatch, clinic_database, bucket, export[0])
    monkeypatch.setenv("FM_OBJECTS_URL", synthetic)
    opened = staging.opened()
    yield opened
    opened.engine.dispose()


def test_the_synthetic_bucket_lists_every_key_once_in_order(synthetic: str) -> None:
    store = open_store(ObjectsLocation.parse(synthetic, "anybody", "anything"))
    expected = keys_of(OBJECTS)
    assert [facts.key for facts in listing.list_objects(store, FOLDER, threads=1)] == expected
    assert sorted(facts.key for facts in listing.list_objects(store, FOLDER, threads=8)) == expected
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix=f"{FOLDER}1")
    assert [item["Key"] for page in pages for item in page["Contents"]] == [
        key for key in expected if key.startswith(f"{FOLDER}1")
    ]


def test_ours_and_the_dict_reader_find_the_same_rows_sound(export: tuple[Path, int]) -> None:
    path, sound = export
    number, photographs = row_by_row(path)
    assert (number, len(photographs)) == (ROWS, sound)
    assert sound < ROWS
    opened = reading.read(io.BytesIO(path.read_bytes()), name="export.csv")
    ours = [row for chunk in rows.normalise(opened, rows.survey(opened), date(2026, 3, 1)) for row in chunk]
    assert len(ours) == ROWS
    assert [(row.recid, row.contact, row.taken_on) for row in ours if row.contact and row.taken_on] == [
        (found.recid, str(found.contact), found.taken_on) for found in photographs
    ]


def test_every_way_reads_everything(places: Places, engine: Engine, export: tuple[Path, int]) -> None:
    with engine.begin() as connection:
        connection.execute(text(staging.PEER_TABLE))
    sound = export[1]
    for read in (
        staging.stage_export,
        staging.rows_by_dict_reader,
        staging.rows_by_dict_reader_stored,
        staging.rows_by_pandas,
    ):
        read(places, rows=ROWS, sound=sound)
    staging.list_ours(places, objects=OBJECTS)
    staging.list_boto3(places, objects=OBJECTS)
    staging.stage_inventory(places, objects=OBJECTS)
    staging.stage_inventory(places, objects=OBJECTS)


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
def test_rclone_reads_everything(places: Places) -> None:
    staging.list_rclone(places, objects=OBJECTS)
    staging.list_rclone(places, objects=0, folder=f"{FOLDER}none/")


def test_a_way_that_loses_something_is_not_measured(places: Places, export: tuple[Path, int]) -> None:
    with pytest.raises(AssertionError, match=r"found \(3100, \d+\) instead of \(3101, "):
        staging.rows_by_dict_reader(places, rows=ROWS + 1, sound=export[1])
    with pytest.raises(AssertionError, match=f"found {OBJECTS} instead of 9"):
        staging.list_boto3(places, objects=9)


def test_the_command_measures_and_gives_rows_for_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--only patients --patients 20 --runs 1 --warm-up 0"
    assert staging.main(options.split()) == 0
    printed = capsys.readouterr().out
    assert "| identity of 20 patients | after a re-import |" in printed
