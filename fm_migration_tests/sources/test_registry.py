"""Rows from several sources: each photograph once, by the source that is trusted most, and nothing uncounted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from fm_migration.errors import ExportError, ImplausibleInputError
from fm_migration.ledger import csv_metadata
from fm_migration.ledger.csv_metadata import CsvUpdate, SourceRows
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration.sources.export_file import open_rows
from fm_migration.sources.registry import SOURCES, open_sources
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.places import use_places

HEAD = "date,fileNane,id,id_Contact,Name of file,NexusExportDate,recid,Type"
ANNA = "5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c11"
BERT = "5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c12"


def _line(recid: str, contact: str = ANNA, day: str = "10/18/2016", image: str = "") -> str:
    return f"{day},{recid}.jpg,{image},{contact},{recid}.jpg,,{recid},Dorsal"


def _content(*lines: str) -> io.BytesIO:
    return io.BytesIO("\r\n".join([HEAD, *lines, ""]).encode())


@dataclass(frozen=True)
class Folder:
    """A source beside the export: what a desktop export or the Data API will be."""

    name: str
    lines: tuple[str, ...]

    def is_in_use(self, _connection: Connection, _places: Places) -> bool:
        return bool(self.lines)

    @contextmanager
    def open(self, _connection: Connection, places: Places) -> Iterator[SourceRows]:
        with open_rows(self.name, _content(*self.lines), f"the folder of {self.name}", places.settings) as found:
            yield found


def _read(engine: Engine, *sources: tuple[str, list[str]], **options: Any) -> CsvUpdate:
    with ExitStack() as opened, engine.begin() as connection:
        found = [
            opened.enter_context(open_rows(name, _content(*lines), f"{name}.csv", load_settings()))
            for name, lines in sources
        ]
        return csv_metadata.replace_rows(connection, found, **{"tolerated_shrinkage": 0.1, **options})


def _query(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_a_further_source_fills_what_the_first_lacks(engine: Engine) -> None:
    update = _read(engine, ("export_file", [_line("1"), _line("2")]), ("folder", [_line("2"), _line("3", BERT)]))
    rows = "select row_number, recid, source from fm_migration.csv_metadata order by row_number"
    assert _query(engine, rows) == [(1, "1", "export_file"), (2, "2", "export_file"), (4, "3", "folder")]
    assert [(one.source, one.rows, one.set_aside, one.differing) for one in update.sources] == [
        ("export_file", 2, 0, 0),
        ("folder", 1, 1, 0),
    ]
    assert update.rows == 3


def test_what_a_further_source_says_otherwise_is_counted_and_not_believed(engine: Engine) -> None:
    update = _read(
        engine,
        ("export_file", [_line("1"), _line("2"), _line("3")]),
        ("folder", [_line("1", BERT), _line("2", day="10/19/2016"), _line("3"), _line("4")]),
    )
    assert (update.sources[1].set_aside, update.sources[1].differing) == (3, 2)
    assert _query(engine, "select contact::text from fm_migration.csv_metadata where recid = '1'") == [(ANNA,)]


def test_one_photograph_is_recognised_by_its_image_id_too(engine: Engine) -> None:
    image = "00000000-0000-4000-8000-000000000001"
    update = _read(engine, ("export_file", [_line("1", image=image)]), ("folder", [_line("", image=image)]))
    assert update.sources[1].set_aside == 1


def test_rows_without_an_id_are_kept_apart_by_their_source(engine: Engine) -> None:
    _read(engine, ("export_file", [_line("")]), ("folder", [_line("")]))
    names = "select photo from fm_migration.csv_metadata order by row_number"
    assert _query(engine, names) == [("row 1",), ("folder row 1",)]


def test_the_rows_of_all_sources_add_up_to_what_was_read(engine: Engine) -> None:
    _read(engine, ("export_file", [_line("1")]), ("folder", [_line("1"), _line("2")]))
    sums = """
        select whole.rows_read, sum(part.rows_read), sum(part.rows_present), sum(part.rows_set_aside)
        from fm_migration.export_read as whole
        join fm_migration.export_read_source as part on part.export_read_id = whole.id group by 1
    """
    assert _query(engine, sums) == [(2, 2, 3, 1)]


def test_each_source_is_judged_by_its_own_former_reading(engine: Engine) -> None:
    many = [_line(str(number)) for number in range(100, 120)]
    _read(engine, ("export_file", [_line("1")]), ("folder", many))
    with pytest.raises(ImplausibleInputError, match=r"the source folder, folder\.csv.*10 rows.*had 20"):
        _read(engine, ("export_file", [_line("1")]), ("folder", many[:10]))
    assert _query(engine, "select count(*) from fm_migration.csv_metadata") == [(21,)]
    _read(engine, ("export_file", [_line("1")]), ("folder", many[:10]), accept_fewer=True)
    assert _query(engine, "select count(*) from fm_migration.csv_metadata") == [(11,)]


def test_of_a_single_source_the_hash_is_the_one_that_sha256sum_says(engine: Engine) -> None:
    _read(engine, ("export_file", [_line("1")]))
    ((whole, part),) = _query(
        engine,
        "select whole.sha256, part.sha256 from fm_migration.export_read as whole "
        "join fm_migration.export_read_source as part on part.export_read_id = whole.id",
    )
    assert whole == part
    with engine.connect() as connection:
        assert csv_metadata.last_read(connection) == part


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, clinic_database: str, bucket: Bucket, tmp_path: Path) -> Places:
    use_places(monkeypatch, clinic_database, bucket, tmp_path / "export.csv")
    return find_places(load_settings())


def test_a_source_that_is_not_in_use_is_not_read(places: Places, tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(_content(_line("1")).getvalue())
    sources = (*SOURCES, Folder("empty", ()), Folder("folder", (_line("9"),)))
    with places.engine.connect() as connection, open_sources(connection, places, sources) as opened:
        assert [one.source for one in opened] == ["export_file", "folder"]


def test_with_no_source_in_use_the_missing_setting_is_named(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FM_EXPORT")
    without = find_places(load_settings())
    with (
        without.engine.connect() as connection,
        pytest.raises(ExportError, match="FM_EXPORT is not set"),
        open_sources(connection, without),
    ):
        pass
