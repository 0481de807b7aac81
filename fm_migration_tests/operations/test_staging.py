"""From where the data is to our tables: files, folders and objects as exports; listings and reports as inventories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fm_migration.errors import ExportError, ObjectStoreError
from fm_migration.operations import staging
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.objects.test_inventory_report import FACTS as REPORTED
from fm_migration_tests.objects.test_inventory_report import SOURCE, as_csv, as_parquet, publish
from fm_migration_tests.places import DUMP, EXPORT_HEAD, use_places

CONTACT = "5F1B7A52-0C4E-4C57-9A77-0D1E5B0A2C11"


def _export(*recids: int) -> bytes:
    lines = [f"10/18/2016,{recid}.jpg,,{CONTACT},{recid}.jpg,,{recid},Dorsal\r\n" for recid in recids]
    return (EXPORT_HEAD + "".join(lines)).encode()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket, tmp_path: Path) -> Any:
    def make(export: str | Path, **settings: str) -> Places:
        use_places(monkeypatch, clinic_database, bucket, Path("unused"))
        monkeypatch.setenv("FM_EXPORT", str(export))
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return find_places(load_settings())

    return make


def _recids(places: Places, **options: Any) -> list[str]:
    with places.engine.begin() as connection:
        staging.stage_export(connection, places, **options)
        query = text("select recid from fm_migration.csv_metadata order by row_number")
        return list(connection.execute(query).scalars())


def test_of_a_folder_the_newest_file_that_matches_is_read(places: Any, tmp_path: Path) -> None:
    for age, name in enumerate(["Image_dataV9.csv", "Image_dataV10.csv", "patients.csv", "notes.txt"]):
        (tmp_path / name).write_bytes(_export(age))
        os.utime(tmp_path / name, (1_700_000_000 + age, 1_700_000_000 + age))
    assert _recids(places(tmp_path, FM_EXPORT_PATTERN="Image_data*.csv")) == ["1"]
    assert _recids(places(tmp_path, FM_EXPORT_PATTERN="*")) == ["2"]


def test_an_export_in_the_bucket_is_read(places: Any, bucket: Bucket) -> None:
    bucket.put("exports-of-filemaker/Größe V10.csv", _export(7, 8))
    assert _recids(places(f"s3://{bucket.name}/exports-of-filemaker/Größe V10.csv")) == ["7", "8"]


def test_an_export_that_is_not_in_the_bucket_is_named(places: Any, bucket: Bucket) -> None:
    with pytest.raises(ObjectStoreError, match="there is no such object"):
        _recids(places(f"s3://{bucket.name}/nowhere.csv"))
    with pytest.raises(ExportError, match="it is not an object of the bucket"):
        _recids(places("s3://somebody-elses/export.csv"))


def test_a_folder_without_exports_is_named_with_its_pattern(places: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ExportError, match=r"no file there ends in .csv, .tab, .mer, .xlsx and matches Image\*"):
        _recids(places(tmp_path, FM_EXPORT_PATTERN="Image*"))


def test_columns_and_types_of_the_clinics_own_are_used(places: Any, tmp_path: Path) -> None:
    export = tmp_path / "own.csv"
    export.write_bytes(b"Nummer,Wer,Wann,Was\r\n12," + CONTACT.encode() + b",2020-02-03,Fersensporn\r\n")
    profiles, types = tmp_path / "columns.toml", tmp_path / "types.csv"
    profiles.write_text(_OWN_PROFILE, encoding="utf-8")
    types.write_text(_OWN_TYPES, encoding="utf-8")
    wanted = places(export, FM_EXPORT_COLUMNS=str(profiles), FM_EXPORT_TYPES=str(types))
    assert _recids(wanted) == ["12"]
    with wanted.engine.connect() as connection:
        row = connection.execute(text("select taken_on::text, category from fm_migration.csv_metadata")).one()
    assert tuple(row) == ("2020-02-03", "posterior")


def _inventory(places: Places) -> dict[str, str]:
    with places.engine.begin() as connection:
        staging.stage_inventory(connection, places.store, places.settings)
        rows = connection.execute(text("select key, kind from fm_migration.s3_inventory where vanished is null"))
        return {row.key: row.kind for row in rows}


@pytest.mark.parametrize("file_format", ["CSV", "Parquet"])
def test_an_inventory_report_takes_the_place_of_a_listing(
    places: Any, bucket: Bucket, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = as_csv(REPORTED) if file_format == "CSV" else as_parquet(REPORTED)
    publish(bucket, [content], file_format, sourceBucket=bucket.name)
    prefix = f"s3://{bucket.name}/reports/{SOURCE}/daily/"
    found = _inventory(places("unused", FM_INVENTORY_REPORTS=prefix))
    assert set(found) == {facts.key for facts in REPORTED if facts.key.startswith(DUMP)}
    assert found[f"{DUMP}1.jpg"] == "original"


def test_the_alternative_layout_carries_its_claims(places: Any, bucket: Bucket) -> None:
    key = "exports/P-0012/2016-10-18/5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c12.jpg"
    bucket.put(key)
    bucket.put(f"{DUMP}1000.jpg")
    wanted = places("unused", FM_EXPORTS_PREFIXES="exports/")
    assert _inventory(wanted) == {key: "original", f"{DUMP}1000.jpg": "original"}


def test_our_own_thumbnails_and_quarantine_are_told_from_originals(places: Any, bucket: Bucket) -> None:
    for key in (f"{DUMP}1000.jpg", "thumbnails/ab/x.jpg", "fm-migration/quarantine/7/x.jpg", "elsewhere/1.jpg"):
        bucket.put(key)
    assert _inventory(places("unused")) == {
        f"{DUMP}1000.jpg": "original",
        "thumbnails/ab/x.jpg": "thumbnail",
        "fm-migration/quarantine/7/x.jpg": "quarantine",
    }


#: A clinic whose FileMaker speaks German: headings and words of its own.
_OWN_PROFILE = """
[headings]
recid = ["Nummer"]
contact = ["Wer"]
date = ["Wann"]
type = ["Was"]

[profiles.german]
order = ["recid", "contact", "date", "type"]
"""
_OWN_TYPES = "words,category,left,right,why\nfersensporn,posterior,,,a heel spur is photographed from behind\n"
