"""The files of a report: where they go, that they say the same, and that nobody ever sees half of one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from fm_migration.errors import FmMigrationError, SettingsError
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration.report.classes import FindingClass as Kind
from fm_migration.report.files import Published, publish
from fm_migration.settings import Settings, load_settings
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.report.made_up import DUMP, Reports
from fm_migration_tests.report.nights import ACCEPTED, OPEN, some_weeks


@pytest.fixture
def reports(engine: Engine) -> Reports:
    return Reports(engine)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def write(reports: Reports, settings: Settings, store: ObjectStore | None = None) -> Published:
    with reports.engine.begin() as connection:
        return publish(connection, settings, store)


def open_bucket(bucket: Bucket) -> ObjectStore:
    location = ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key)
    return open_store(location, writable_prefixes=("fm-migration/", "thumbnails/"), protected_prefixes=(DUMP,))


def read_csv(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_is_a_folder_of_its_number_and_a_page_with_a_name_that_stays(reports: Reports, here: Settings) -> None:
    some_weeks(reports)
    published = write(reports, here)
    folder = here.home / "reports"
    number = str(reports.made[-1])
    assert published.local
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        *(f"{number}/{name}" for name in ("findings.csv", "findings.parquet", "report.html")), "latest.html",
    ]  # fmt: skip
    assert 'href="findings.csv"' in Path(published.page).read_text("utf-8")
    assert f'href="{number}/findings.csv"' in Path(published.latest).read_text("utf-8")
    assert folder.stat().st_mode & 0o077 == 0, "for its owner alone"


def test_csv_and_parquet_hold_every_finding_that_counts_and_those_accepted(reports: Reports, here: Settings) -> None:
    some_weeks(reports)
    published = write(reports, here)
    frame = pd.read_parquet(published.parquet)
    rows = read_csv(published.csv)
    assert len(frame) == len(rows) == published.findings == sum(OPEN.values()) + ACCEPTED
    assert frame["class"].value_counts()[Kind.IMAGE_DOUBLED] == OPEN[Kind.IMAGE_DOUBLED]
    assert frame["waiver"].notna().sum() == ACCEPTED
    assert list(frame.columns) == list(rows[0])
    assert [row["subject"] for row in rows] == frame["subject"].tolist()
    assert frame["row"].dtype.kind in "if"
    assert str(frame["first_seen"].dtype).endswith("UTC]")
    pd.testing.assert_series_equal(
        pd.read_csv(published.csv, dtype=str)["key"], frame["key"].astype("str"), check_dtype=False
    )


def test_evidence_without_a_column_is_not_lost(reports: Reports, here: Settings) -> None:
    reports.add({Kind.COUNT_WRONG: 1})
    evidence = {"batch": "b", "row": "no number", "says": 5, "thumbs": [1, 2], "state": None}
    reports.find(Kind.COUNT_WRONG, "batch b", evidence)
    (row,) = pq.read_table(write(reports, here).parquet).to_pylist()
    assert (row["batch"], row["says"], row["state"], row["row"]) == ("b", "5", None, None)
    assert row["more"] == '{"row": "no number", "thumbs": [1, 2]}'
    assert row["meaning"] == Kind.COUNT_WRONG.meaning


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1"])
def test_a_spreadsheet_runs_nothing(reports: Reports, here: Settings, text: str) -> None:
    reports.add({Kind.UNDATED: 1})
    reports.find(Kind.UNDATED, text, {"recid": text})
    published = write(reports, here)
    (row,) = read_csv(published.csv)
    assert row["subject"] == row["recid"] == f"'{text}"
    assert pq.read_table(published.parquet).column("subject").to_pylist() == [text]


def test_quotes_commas_and_line_breaks_survive_the_csv(reports: Reports, here: Settings) -> None:
    reports.add({Kind.UNDATED: 1})
    subject = 'recid "1", 2\nthree ; Müller 足'
    reports.find(Kind.UNDATED, subject)
    assert [row["subject"] for row in read_csv(write(reports, here).csv)] == [subject]


def test_a_report_without_findings_has_empty_tables(reports: Reports, here: Settings) -> None:
    reports.add()
    published = write(reports, here)
    assert read_csv(published.csv) == []
    assert pq.read_table(published.parquet).num_rows == 0


def test_a_second_time_replaces_and_a_new_report_leaves_the_old_one(reports: Reports, here: Settings) -> None:
    reports.add(verdict="The first")
    first = write(reports, here)
    assert write(reports, here).page == first.page
    reports.add(verdict="The second")
    second = write(reports, here)
    assert "The first" in Path(first.page).read_text("utf-8")
    assert "The second" in Path(second.page).read_text("utf-8")
    assert first.latest == second.latest
    assert "The second" in Path(second.latest).read_text("utf-8")


def test_a_write_that_fails_leaves_what_was_there(
    reports: Reports, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports.add(verdict="The first")
    first = write(reports, here)
    reports.add(verdict="The second")

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FmMigrationError, match=r"writing the report to .*: No space left on device"):
        write(reports, here)
    assert "The first" in Path(first.latest).read_text("utf-8")
    assert [path.name for path in (here.home / "reports").rglob(".*")] == [], "no draft is left behind"


def test_a_folder_that_cannot_be_written_is_named(reports: Reports, tmp_path: Path) -> None:
    reports.add()
    (tmp_path / "file").write_text("x")
    with pytest.raises(FmMigrationError, match="Let FM_REPORTS name a folder that can be written"):
        write(reports, load_settings(reports=str(tmp_path / "file" / "reports")))


def test_a_folder_of_ones_own_may_be_set(reports: Reports, tmp_path: Path) -> None:
    reports.add()
    published = write(reports, load_settings(reports=str(tmp_path / "elsewhere"), objects_url="s3://clinic"))
    assert published.latest == str(tmp_path / "elsewhere/latest.html")


# --- in the bucket ----------------------------------------------------------------------------------------------------


def _objects(bucket: Bucket) -> dict[str, Any]:
    keys = [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]
    return {key: bucket.client.get_object(Bucket=bucket.name, Key=key) for key in keys}


def test_beside_a_real_bucket_the_report_goes_there(reports: Reports, bucket: Bucket, here: Settings) -> None:
    some_weeks(reports)
    settings = here.model_copy(update={"objects_url": bucket.url})
    published = write(reports, settings, open_bucket(bucket))
    number = reports.made[-1]
    assert not published.local
    assert published.page == f"s3://{bucket.name}/fm-migration/reports/{number}/report.html"
    found = _objects(bucket)
    assert {key.removeprefix("fm-migration/reports/"): one["ContentType"] for key, one in found.items()} == {
        f"{number}/report.html": "text/html; charset=utf-8",
        f"{number}/findings.csv": "text/csv; charset=utf-8",
        f"{number}/findings.parquet": "application/vnd.apache.parquet",
        "latest.html": "text/html; charset=utf-8",
    }
    latest = found["fm-migration/reports/latest.html"]
    assert latest["CacheControl"] == "no-cache"
    assert latest["Body"].read().decode().startswith("<!doctype html>")
    assert not (here.home / "reports").exists()


def test_a_prefix_of_ones_own_may_be_set(reports: Reports, bucket: Bucket) -> None:
    reports.add()
    settings = load_settings(reports=f"s3://{bucket.name}/for/the clinic")
    published = write(reports, settings, open_bucket(bucket))
    assert published.latest == f"s3://{bucket.name}/for/the%20clinic/latest.html"
    assert "for/the clinic/latest.html" in _objects(bucket)


@pytest.mark.parametrize("prefix", [DUMP, f"{DUMP}reports", "filemaker-import", "thumbnails/reports"])
def test_no_report_is_ever_written_among_originals_or_thumbnails(reports: Reports, bucket: Bucket, prefix: str) -> None:
    reports.add()
    with pytest.raises(SettingsError, match="overlaps with"):
        write(reports, load_settings(reports=f"s3://{bucket.name}/{prefix}"), open_bucket(bucket))
    assert _objects(bucket) == {}


def test_a_place_in_a_store_needs_a_store(reports: Reports) -> None:
    reports.add()
    with pytest.raises(SettingsError, match="Set FM_REPORTS to a folder"):
        write(reports, load_settings(objects_url="s3://clinic"))


def test_the_page_is_written_after_what_it_points_at(
    reports: Reports, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports.add()
    written: list[str] = []
    store = open_bucket(bucket)
    put = store.put

    def remember(key: str, body: bytes, content_type: str, **options: Any) -> str:
        written.append(key.rpartition("/")[2])
        return put(key, body, content_type, **options)

    monkeypatch.setattr(store, "put", remember)
    write(reports, load_settings(objects_url=bucket.url), store)
    assert written == ["findings.csv", "findings.parquet", "report.html", "latest.html"]


@pytest.mark.parametrize("value", ["s3://bucket", "s3:///prefix", "https://reports.example/x"])
def test_a_place_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="FM_REPORTS must be a folder or begin with s3://bucket/prefix"):
        load_settings(reports=value)
