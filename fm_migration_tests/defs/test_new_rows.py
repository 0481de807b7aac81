"""The sensor `new_rows`: what an intake has brought reaches the house by the same door as an export's rows."""

from __future__ import annotations

import pytest

from fm_migration import database
from fm_migration.defs.sensors.rows import new_rows
from fm_migration.ledger import transfers
from fm_migration.ledger.transfers import SourceRow
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings
from fm_migration_tests.places import use_filemaker

FROM_FILEMAKER = "select count(*) from fm_migration.csv_metadata where source = 'filemaker_images'"
FIRST = 900_001


@pytest.fixture
def watched(with_own_bucket: Ticking) -> Ticking:
    with_own_bucket.sensor = new_rows
    return with_own_bucket


def _bring(clinic: Ticking, *rows: SourceRow) -> None:
    engine = database.open_engine(clinic.sample.database_url)
    with engine.begin() as connection:
        transfers.keep_rows(connection, rows)
    engine.dispose()


def _read_long_ago(clinic: Ticking) -> None:
    """The sample's own reading was made seconds before, within the margin."""
    clinic.execute("update fm_migration.export_read set read_at = read_at - interval '1 hour'")


def test_without_an_intake_it_starts_nothing(watched: Ticking) -> None:
    assert watched.message() == "no row has come that was not read"


def test_before_the_first_import_it_names_the_job_to_start(untouched: Ticking) -> None:
    untouched.sensor = new_rows
    _bring(untouched, SourceRow("filemaker_images", "1", "900001"))
    assert "run import_photographs first" in untouched.message()


def test_rows_that_still_come_are_waited_for(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "600")
    _bring(watched, SourceRow("filemaker_images", "1", "900001"))
    assert "waiting until none has come" in watched.message()


def test_photographs_of_an_intake_are_taken_in(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    """From FileMaker to a state of each photograph, with nobody asking, and then quiet."""
    with FileMakerServer(ServerSettings(records=5, first_recid=FIRST)) as filemaker:
        use_filemaker(monkeypatch, filemaker)
        assert watched.run("bring_photographs").success
    asked = watched.requested()
    assert watched.follow(asked).success
    assert watched.ask(FROM_FILEMAKER) == 5
    states = """
        select count(*) from fm_migration.photo join fm_migration.csv_metadata using (photo)
        where source = 'filemaker_images' and key is not null
    """
    assert watched.ask(states) == 5, "each row has found its original in the bucket"
    _read_long_ago(watched)
    watched.execute("update fm_migration.source_row set changed_at = changed_at - interval '2 hours'")
    assert watched.message() == "no row has come that was not read"


def test_a_row_without_the_file_needs_no_file_and_dates_are_iso_whatever_the_exports_order(
    watched: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_DATE_ORDER", "mdy")
    row = SourceRow("filemaker_images", "1", "900001", date="2016-03-04", type="Dorsal")
    _bring(watched, row)
    assert watched.follow(watched.requested()).success
    assert str(watched.ask("select taken_on from fm_migration.csv_metadata where recid = '900001'")) == "2016-03-04"
