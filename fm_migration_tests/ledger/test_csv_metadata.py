"""The export in our schema: replaced whole or not at all, with every problem on its row."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration.errors import ExportError, ImplausibleInputError
from fm_migration.ledger import csv_metadata
from fm_migration.settings import load_settings
from fm_migration.sources import export_file

HEAD = "date,fileNane,id,id_Contact,Name of file,NexusExportDate,recid,Type"
CONTACT = "5F1B7A52-0C4E-4C57-9A77-0D1E5B0A2C11"


def _line(recid: object, contact: str = CONTACT, day: str = "10/18/2016", type_text: str = "Dorsal") -> str:
    image = f"00000000-0000-4000-8000-{int(str(recid) or 0) if str(recid).isdigit() else 0:012d}"
    return f"{day},{recid}.jpg,{image},{contact},{recid}.jpg,,{recid},{type_text}"


def _store(engine: Engine, *lines: str, **options: Any) -> csv_metadata.CsvUpdate:
    content = "\r\n".join([HEAD, *lines, ""]).encode("utf-8-sig")
    with (
        export_file.open_rows(csv_metadata.EXPORT_FILE, io.BytesIO(content), "export.csv", load_settings()) as found,
        engine.begin() as connection,
    ):
        return csv_metadata.replace_rows(connection, [found], **{"tolerated_shrinkage": 0.1, **options})


def _rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("select * from fm_migration.csv_metadata order by row_number")))


def test_values_arrive_as_they_stand_in_the_file(engine: Engine) -> None:
    _store(engine, _line("0077", type_text="NA"), _line(1000, type_text="Planter Left"))
    first, second = _rows(engine)
    assert (first.recid, first.type_text, first.taken_on) == ("0077", "NA", date(2016, 10, 18))
    assert str(first.contact) == CONTACT.lower()
    assert (second.category, second.type_text) == ("plantar", "Planter Left")
    assert second.raw == _line(1000, type_text="Planter Left")


def test_each_fault_of_a_row_is_named_on_it_and_the_row_kept(engine: Engine) -> None:
    """Failure catalogue 4 to 6: malformed contact, duplicate recid, no date, no contact, impossible date."""
    update = _store(
        engine,
        _line(1000),
        _line(1000, contact="11111111-0000-4000-8000-000000000001"),
        _line(1001, contact="unknown"),
        _line(1002, contact=""),
        _line(1003, day=""),
        _line(1004, day="2/30/2020"),
    )
    problems = [set(row.problems) & {"duplicate_recid", "malformed_contact", "missing_contact", "missing_date",
                                     "impossible_date"} for row in _rows(engine)]  # fmt: skip
    assert problems == [
        {"duplicate_recid"},
        {"duplicate_recid"},
        {"malformed_contact"},
        {"missing_contact"},
        {"missing_date"},
        {"impossible_date"},
    ]
    assert update.problems["duplicate_recid"] == 2
    assert update.rows == 6


def test_the_same_file_gives_the_same_version_and_another_row_another(engine: Engine) -> None:
    first = _store(engine, _line(1), _line(2))
    assert _store(engine, _line(1), _line(2)).data_version == first.data_version
    assert _store(engine, _line(1), _line(2, type_text="Wound")).data_version != first.data_version


@pytest.mark.parametrize("left", [0, 8])
def test_an_export_that_has_lost_too_many_rows_leaves_the_former_in_place(engine: Engine, left: int) -> None:
    """Failure catalogue 1: an empty export must not pass for a clinic without photographs."""
    _store(engine, *map(_line, range(1, 11)))
    before = _rows(engine)
    with pytest.raises((ImplausibleInputError, ExportError)):
        _store(engine, *map(_line, range(1, left + 1)))
    assert _rows(engine) == before


def test_a_person_can_accept_fewer_rows(engine: Engine) -> None:
    _store(engine, *map(_line, range(1, 11)))
    assert _store(engine, _line(1), accept_fewer=True).rows == 1
    assert len(_rows(engine)) == 1


def test_every_accepted_export_is_on_record(engine: Engine) -> None:
    _store(engine, _line(1))
    _store(engine, _line(1), _line(1))
    with engine.connect() as connection:
        reads = list(connection.execute(text("select * from fm_migration.export_read order by id")))
    assert [(read.rows_read, read.problems.get("duplicate_recid", 0)) for read in reads] == [(1, 0), (2, 2)]
    assert reads[0].dialect["encoding"] == "utf-8"
