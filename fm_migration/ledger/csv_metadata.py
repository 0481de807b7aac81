"""The rows of all sources in our schema: replaced whole by what could be read, kept when it could not.

Everything happens in the caller's transaction, and each source is judged before the first write. A photograph that
several sources name is the first one's: what the others say of it is counted, not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fm_migration.filemaker.problems import Caution
from fm_migration.filemaker.rows import COPY_COLUMNS, Row, copy_values
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.plausibility import Shrinkage

#: The source that most clinics have, and the only one before there were several.
EXPORT_FILE = "export_file"

_COLUMNS = (*COPY_COLUMNS, "source")
_LAST_READ = text("""
select sha256 from fm_migration.export_read_source where source = :source order by export_read_id desc limit 1
""")
_FORMER_ROWS = text("select rows_read from fm_migration.export_read order by id desc limit 1")
#: What the former reading took from a source; nothing if it was not read then.
_FORMER_ROWS_OF = text("""
select rows_read + rows_set_aside from fm_migration.export_read_source
where source = :source and export_read_id = (select max(id) from fm_migration.export_read)
""")
_INCOMING = text("create temporary table incoming (like fm_migration.csv_metadata) on commit drop")
#: Without an id a row is known by its number, which each source counts anew.
_NAME_BY_SOURCE = text("""
update incoming set photo = source || ' ' || photo where recid is null and image_id is null
""")
_SET_ASIDE = text("""
with gone as (
    delete from incoming using fm_migration.csv_metadata as known
    where known.photo = incoming.photo or known.recid = incoming.recid or known.image_id = incoming.image_id
    returning incoming.photo, known.contact is distinct from incoming.contact
                              or known.taken_on is distinct from incoming.taken_on as differs
)
select count(*) as rows, count(*) filter (where differs) as differing from gone
""")
_NUMBER_ON = text("""
update incoming set row_number = row_number + (select coalesce(max(row_number), 0) from fm_migration.csv_metadata)
""")
_ADD = text("insert into fm_migration.csv_metadata select * from incoming order by row_number")
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
values (:source, :sha256, :bytes, cast(:dialect as jsonb), :rows + :refused, :rows, :refused, cast(:problems as jsonb),
        :data_version, :run_id)
returning id
""")
_RECORD_SOURCE = text("""
insert into fm_migration.export_read_source
    (export_read_id, source, origin, sha256, bytes, rows_present, rows_read, rows_refused, rows_set_aside,
     rows_differing)
values (:export_read_id, :source, :origin, :sha256, :bytes, :rows + :refused + :set_aside, :rows, :refused, :set_aside,
        :differing)
""")


@dataclass(frozen=True)
class SourceRows:
    """What one source holds, in the form that the table keeps. `chunks` is passed over once."""

    #: Its name in the column `source`.
    source: str
    #: The file, folder or server, for people.
    origin: str
    sha256: str
    bytes: int
    rows: int
    refused: int
    chunks: Iterable[Sequence[Row]]
    dialect: Mapping[str, str | bool]
    date_order: str
    date_order_reason: str
    cautions: tuple[Caution, ...] = ()


@dataclass(frozen=True)
class SourceTaken:
    """What was taken from one source: `set_aside` are photographs that a source before it names too."""

    source: str
    rows: int
    refused: int
    set_aside: int = 0
    #: Those of them that name another contact or another day.
    differing: int = 0


@dataclass(frozen=True)
class CsvUpdate:
    """What the sources held."""

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
    sources: tuple[SourceTaken, ...]


def replace_rows(
    connection: Connection,
    sources: Sequence[SourceRows],
    *,
    tolerated_shrinkage: float,
    accept_fewer: bool = False,
    run_id: str | None = None,
) -> CsvUpdate:
    """Put the rows of these sources, the most trusted first, in the place of the former ones.

    Refused if one of them is implausibly small.
    """
    former = connection.execute(_FORMER_ROWS).scalar()
    if not accept_fewer:
        for one in sources:
            _refuse_if_implausible(connection, one, tolerated_shrinkage)
    connection.execute(text("truncate fm_migration.csv_metadata"))
    taken = (_take_all(connection, sources[0]), *(_take_missing(connection, one) for one in sources[1:]))
    connection.execute(text("analyze fm_migration.csv_metadata"))
    problems: dict[str, int] = {row.problem: row.rows for row in connection.execute(_PROBLEMS)}
    content: str = connection.execute(_CONTENT_HASH).scalar_one()
    first = sources[0]
    update = CsvUpdate(
        rows=sum(one.rows for one in taken),
        refused=sum(one.refused for one in taken),
        former_rows=former,
        problems=problems,
        cautions=tuple(dict.fromkeys(caution for one in sources for caution in one.cautions)),
        other_category=connection.execute(_OTHER).scalar_one(),
        dialect=dict(first.dialect),
        date_order=first.date_order,
        date_order_reason=first.date_order_reason,
        data_version=content,
        sources=taken,
    )
    _record(connection, sources, update, run_id)
    return update


def last_read(connection: Connection, source: str = EXPORT_FILE) -> str | None:
    """The SHA-256 of what was last read of a source; None before the first time."""
    sha256: str | None = connection.execute(_LAST_READ, {"source": source}).scalar()
    return sha256


def _refuse_if_implausible(connection: Connection, one: SourceRows, tolerated: float) -> None:
    former = connection.execute(_FORMER_ROWS_OF, {"source": one.source}).scalar()
    what = f"the export {one.origin}" if one.source == EXPORT_FILE else f"the source {one.source}, {one.origin}"
    Shrinkage("rows", one.rows, former, tolerated).refuse_if_implausible(
        "reading",
        what,
        "Export all records again from FileMaker; if the rows were really removed, run with accept_fewer: true",
    )


def _take_all(connection: Connection, one: SourceRows) -> SourceTaken:
    copy_rows(connection, "fm_migration.csv_metadata", _COLUMNS, _values(one))
    return SourceTaken(one.source, one.rows, one.refused)


def _take_missing(connection: Connection, one: SourceRows) -> SourceTaken:
    """The rows of a further source about photographs that none before it names."""
    connection.execute(_INCOMING)
    copy_rows(connection, "incoming", _COLUMNS, _values(one))
    connection.execute(text("analyze fm_migration.csv_metadata, incoming"))
    connection.execute(_NAME_BY_SOURCE)
    aside = connection.execute(_SET_ASIDE).one()
    connection.execute(_NUMBER_ON)
    added = connection.execute(_ADD).rowcount
    connection.execute(text("drop table incoming"))
    return SourceTaken(one.source, added, one.refused, aside.rows, aside.differing)


def _values(one: SourceRows) -> Iterator[tuple[object, ...]]:
    return ((*copy_values(row), one.source) for chunk in one.chunks for row in chunk)


def _record(connection: Connection, sources: Sequence[SourceRows], update: CsvUpdate, run_id: str | None) -> None:
    """One row for the reading, and one for each source of it."""
    reading = {
        "source": ", ".join(one.origin for one in sources),
        "sha256": _together(sources),
        "bytes": sum(one.bytes for one in sources),
        "dialect": json.dumps(update.dialect),
        "rows": update.rows,
        "refused": update.refused,
        "problems": json.dumps(update.problems),
        "data_version": update.data_version,
        "run_id": run_id,
    }
    number = connection.execute(_RECORD, reading).scalar_one()
    for one, taken in zip(sources, update.sources, strict=True):
        of_source = {
            "export_read_id": number,
            "source": one.source,
            "origin": one.origin,
            "sha256": one.sha256,
            "bytes": one.bytes,
            "rows": taken.rows,
            "refused": taken.refused,
            "set_aside": taken.set_aside,
            "differing": taken.differing,
        }
        connection.execute(_RECORD_SOURCE, of_source)


def _together(sources: Sequence[SourceRows]) -> str:
    """The hash of a single source is its own, so that anybody can check it by `sha256sum`."""
    if len(sources) == 1:
        return sources[0].sha256
    return hashlib.sha256("".join(f"{one.source} {one.sha256}\n" for one in sources).encode()).hexdigest()
