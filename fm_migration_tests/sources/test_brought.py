"""What was brought without an export file reaches `csv_metadata` by the same rules, and says where it came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fm_migration.errors import ImplausibleInputError
from fm_migration.ledger import transfers
from fm_migration.ledger.transfers import SourceRow
from fm_migration.operations import staging
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.places import EXPORT_HEAD, use_places

ANNA = "5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c11"
API = "filemaker_images"


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket, tmp_path: Path) -> Places:
    use_places(monkeypatch, clinic_database, bucket, tmp_path / "export.csv")
    (tmp_path / "export.csv").write_text(f"{EXPORT_HEAD}10/18/2016,1.jpg,,{ANNA},1.jpg,,1,Dorsal\r\n")
    return find_places(load_settings())


def _row(recid: str, **told: str) -> SourceRow:
    return SourceRow(API, f"record {recid}", recid, **{"contact": ANNA, "date": "2016-10-18", "type": "Dorsal", **told})


def _keep(places: Places, *rows: SourceRow) -> None:
    with places.engine.begin() as connection:
        transfers.keep_rows(connection, rows)


def _stage(places: Places, columns: str, **options: Any) -> list[tuple[Any, ...]]:
    with places.engine.begin() as connection:
        staging.stage_export(connection, places, **options)
        query = text(f"select {columns} from fm_migration.csv_metadata order by row_number")
        return [tuple(row) for row in connection.execute(query)]


def test_the_rows_that_were_brought_stand_beside_those_of_the_export(places: Places) -> None:
    _keep(places, _row("1"), _row("20", type="Planter Left"), _row("3"))
    assert _stage(places, "recid, source, taken_on::text, category") == [
        ("1", "export_file", "2016-10-18", "dorsal"),
        ("3", API, "2016-10-18", "dorsal"),
        ("20", API, "2016-10-18", "plantar"),
    ]


def test_without_an_export_they_are_all_that_there_is(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FM_EXPORT")
    _keep(places, _row("7"))
    assert _stage(find_places(load_settings()), "row_number, recid, source") == [(1, "7", API)]


def test_what_is_wrong_with_a_row_is_named_on_it_as_on_one_of_the_export(places: Places) -> None:
    _keep(places, _row("2", contact="unknown", date="2016-13-40", note='says "left",\nthen right'))
    assert _stage(places, "recid, problems")[1:] == [
        ("2", ["missing_image_id", "malformed_contact", "impossible_date"])
    ]


def test_a_desktop_export_is_trusted_more_than_the_data_api(places: Places) -> None:
    _keep(places, _row("5", type="Dorsal"), SourceRow("desktop_export", "5.jpg", "5", contact=ANNA, type="Plantar"))
    assert _stage(places, "recid, source")[1:] == [("5", "desktop_export")]


def test_a_source_whose_rows_are_all_gone_stops_the_reading(places: Places) -> None:
    """It may be a server that answered with nothing; its photographs stay until a person says otherwise."""
    _keep(places, _row("7"))
    _stage(places, "recid")
    with places.engine.begin() as connection:
        transfers.forget_unseen(connection, API, datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(ImplausibleInputError, match="the source filemaker_images"):
        _stage(places, "recid")
    assert _stage(places, "recid", accept_fewer=True) == [("1",)]
