"""What sources without an export file have brought: rows that are kept, transfers that are written down, and totals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from fm_migration import database
from fm_migration.ledger import schema, transfers
from fm_migration.ledger.transfers import Day, Pace, SourceRow, Transfer, Walk

SOURCE = "filemaker_images"
IMAGE = "0f8b5c9e-0000-4000-8000-000000000001"


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def _row(record: str, recid: str, **told: str) -> SourceRow:
    return SourceRow(SOURCE, record, recid, **told)


def test_a_row_that_is_told_again_takes_the_place_of_the_former(connection: Connection) -> None:
    transfers.keep_rows(connection, [_row("1", "10", raw="a", type="Dorsal"), _row("2", "9")])
    transfers.keep_rows(connection, [_row("1", "10", raw="b", type="Plantar")])
    assert [(row.recid, row.type) for row in transfers.rows_of(connection, SOURCE)] == [("9", ""), ("10", "Plantar")]


def test_rows_that_a_complete_reading_misses_are_left_out_until_they_are_told_again(connection: Connection) -> None:
    transfers.keep_rows(connection, [_row("1", "1"), _row("2", "2")])
    before = transfers.state_of_rows(connection)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert transfers.forget_unseen(connection, SOURCE, later) == 2
    assert list(transfers.rows_of(connection, SOURCE)) == []
    assert transfers.state_of_rows(connection) != before
    transfers.keep_rows(connection, [_row("1", "1"), _row("2", "2")])
    assert transfers.state_of_rows(connection) == before
    assert transfers.sources(connection) == [SOURCE]


def test_a_nul_character_does_not_stop_a_row(connection: Connection) -> None:
    transfers.keep_rows(connection, [_row("1", "1", type="Dor\x00sal")])
    assert [row.type for row in transfers.rows_of(connection, SOURCE)] == ["Dor\ufffdsal"]


def test_a_transfer_is_one_row_however_often_it_is_tried(connection: Connection) -> None:
    waiting = Transfer(SOURCE, "1", "10", IMAGE, "3", reason="engine_down", attempts=1)
    transfers.record(connection, waiting)
    arrived = Transfer(SOURCE, "1", "10", IMAGE, "3", "arrived", container="image_Full", bytes=5, sha256="ab")
    transfers.record(connection, arrived)
    found = transfers.transfers(connection, SOURCE)["1"]
    assert (found.state, found.bytes, found.image_id) == ("arrived", 5, IMAGE)
    assert found.finished_at is not None
    assert transfers.transfers(connection, SOURCE, ["2"]) == {}


def test_two_photographs_never_claim_one_object(connection: Connection) -> None:
    transfers.record(connection, Transfer(SOURCE, "1", "10", state="arrived", object_key="dump/10.jpg"))
    assert transfers.shares_recid(connection, "10", SOURCE, "2")
    assert not transfers.shares_recid(connection, "10", SOURCE, "1")
    with pytest.raises(IntegrityError), connection.begin_nested():
        transfers.record(connection, Transfer(SOURCE, "2", "10", state="arrived", object_key="dump/10.jpg"))


def test_quarantined_ones_are_released_when_a_person_asks(connection: Connection) -> None:
    for record in ("1", "2"):
        failed = Transfer(SOURCE, record, record, state="quarantined", reason="zero_bytes", attempts=4)
        transfers.record(connection, failed)
    assert transfers.release(connection, SOURCE, ["2"]) == 1
    found = transfers.transfers(connection, SOURCE)
    assert [(found[record].state, found[record].attempts) for record in ("1", "2")] == [
        ("quarantined", 4),
        ("waiting", 0),
    ]
    assert transfers.release(connection, SOURCE) == 1


def test_states_are_counted_with_their_reasons(connection: Connection) -> None:
    transfers.record(connection, Transfer(SOURCE, "1", state="arrived", bytes=5, smaller_by=1))
    transfers.record(connection, Transfer(SOURCE, "2", state="arrived", bytes=7))
    transfers.record(connection, Transfer(SOURCE, "3", state="quarantined", reason="zero_bytes"))
    assert [(s.state, s.reason, s.photographs, s.bytes, s.smaller) for s in transfers.standing(connection, SOURCE)] == [
        ("arrived", "", 2, 12, 1),
        ("quarantined", "zero_bytes", 1, 0, 0),
    ]


def test_days_add_up_and_keep_both_kinds_of_bytes_apart(connection: Connection) -> None:
    day = date(2025, 3, 10)
    transfers.add_to_day(connection, SOURCE, Day(day, json_bytes=10, container_bytes=100, requests=2, photographs=1))
    transfers.add_to_day(connection, SOURCE, Day(day, json_bytes=5, requests=1))
    assert transfers.days(connection, SOURCE) == [Day(day, 15, 100, 3, 1)]


def test_a_walk_and_a_pace_are_remembered(connection: Connection) -> None:
    assert transfers.read_walk(connection, SOURCE) == Walk()
    assert transfers.read_pace(connection, SOURCE) == Pace()
    started = datetime(2025, 3, 10, 6, tzinfo=UTC)
    walk = Walk(started, 184, ("7", "8"), records=6664)
    transfers.write_walk(connection, SOURCE, walk)
    transfers.set_pace(connection, SOURCE, Pace(12.5, paused=True))
    assert transfers.read_walk(connection, SOURCE) == walk
    assert transfers.read_pace(connection, SOURCE) == Pace(12.5, paused=True)


def test_the_migration_goes_back_without_the_rows_of_other_sources(empty_database: str) -> None:
    """What the version before cannot tell from the export's rows must not stay among them."""
    engine = database.open_engine(empty_database)
    schema.upgrade(engine, "0009")
    row = """
        insert into fm_migration.csv_metadata (row_number, record_number, contact_text, date_text, file_name, type_text,
            category, nexus_export_date, raw, photo, problems, source)
        values (:number, 1, '', '', '', '', '', '', '', :photo, '{}', :source)
    """
    with engine.begin() as connection:
        for number, source in enumerate(("export_file", SOURCE), start=1):
            connection.execute(text(row), {"number": number, "photo": f"recid {number}", "source": source})
    schema.downgrade(engine, "0008")
    with engine.connect() as connection:
        assert connection.execute(text("select photo from fm_migration.csv_metadata")).scalars().all() == ["recid 1"]
    schema.upgrade(engine)
    engine.dispose()
