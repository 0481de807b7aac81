"""The rows of the export in our schema: replaced whole by an export that could be read, kept when it could not.

Everything happens in the caller's transaction, and the export is judged before the first write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from fm_migration.filemaker.problems import Caution
from fm_migration.filemaker.reading import Export
from fm_migration.filemaker.rows import COPY_COLUMNS, Survey, copy_values, normalise
from fm_migration.filemaker.types import TypeTable
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.plausibility import Shrinkage

_LAST_READ = text("select sha256 from fm_migration.export_read order by id desc limit 1")
_FORMER_ROWS = text("select rows_read from fm_migration.export_read order by id desc limit 1")
_PROBLEMS = text("""
select problem, count(*) as rows from fm_migration.csv_metadata, unnest(problems) as problem group by 1 order by 2 desc
""")
_OTHER = text("select count(*) from fm_migration.csv_metadata where category = 'other'")
_CONTENT_HASH = text("""
select count(*) || '-' || coalesce(sum(hashtextextended(csv_metadata::text, 0)), 0) from fm_migration.csv_metadata
""")
_RECORD = text("""
insert into fm_migration.export_read
    (source, sha256, bytes, dialect, rows_present, rows_read, rows_refused, problems, data_version, run_id)
values (:source, :sha256, :bytes, cast(:dialect as jsonb), :present, :read, :refused, cast(:problems as jsonb),
        :data_version, :run_id)
""")


@dataclass(frozen=True)
class CsvUpdate:
    """What an export held."""

    rows: int
    refused: int
    former_rows: int | None
    problems: dict[str, int]
    cautions: tuple[Caution, ...]
    other_category: int
    dialect: dict[str, str | bool]
    date_order: str
    date_order_reason: str
    data_version: str


def replace_rows(
    connection: Connection,
    export: Export,
    found: Survey,
    *,
    source: str,
    today: date,
    types: TypeTable,
    tolerated_shrinkage: float,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> CsvUpdate:
    """Put the export's rows in the place of the former ones, unless it is implausibly small."""
    former = connection.execute(_FORMER_ROWS).scalar()
    if not accept_fewer:
        Shrinkage("rows", found.counts.rows, former, tolerated_shrinkage).refuse_if_implausible(
            "reading",
            f"the export {source}",
            "Export all records again from FileMaker; if the rows were really removed, run with accept_fewer: true",
        )
    connection.execute(text("truncate fm_migration.csv_metadata"))
    copy_rows(connection, "fm_migration.csv_metadata", COPY_COLUMNS, _values(export, found, today, types))
    connection.execute(text("analyze fm_migration.csv_metadata"))
    problems: dict[str, int] = {row.problem: row.rows for row in connection.execute(_PROBLEMS)}
    content: str = connection.execute(_CONTENT_HASH).scalar_one()
    update = CsvUpdate(
        rows=found.counts.rows,
        refused=len(found.counts.refused),
        former_rows=former,
        problems=problems,
        cautions=found.cautions,
        other_category=connection.execute(_OTHER).scalar_one(),
        dialect=export.dialect.as_metadata(),
        date_order=found.dates.order,
        date_order_reason=found.dates.reason,
        data_version=content,
    )
    connection.execute(_RECORD, _record(export, update, source, run_id))
    return update


def last_read(connection: Connection) -> str | None:
    """The SHA-256 of the export that the rows are from; None before the first."""
    sha256: str | None = connection.execute(_LAST_READ).scalar()
    return sha256


def _values(export: Export, found: Survey, today: date, types: TypeTable) -> Iterator[tuple[object, ...]]:
    return (copy_values(row) for chunk in normalise(export, found, today, types) for row in chunk)


def _record(export: Export, update: CsvUpdate, source: str, run_id: str | None) -> dict[str, object]:
    return {
        "source": source,
        "sha256": export.sha256,
        "bytes": export.size,
        "dialect": json.dumps(update.dialect),
        "present": update.rows + update.refused,
        "read": update.rows,
        "refused": update.refused,
        "problems": json.dumps(update.problems),
        "data_version": update.data_version,
        "run_id": run_id,
    }
