"""A clinic of any size as rows and nothing else, for benchmarks of linking: no picture is drawn, no object stored.

Belongs here: filling an empty database with patients, their export and their listing; what an import leaves; and what
re-imports do to it. Everything is made by PostgreSQL from numbers, so a million photographs take a minute and the same
size always gives the same clinic. Does not belong here: any mess in the data, which the tests are about.

The truth stays in the table `bench.photograph`, and who each former UUID was in `bench.former_patient`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded.sample.words import types_for
from fm_migration.filemaker.types import built_in_types
from fm_migration.ledger import schema

EXPORT_FILE = "export.csv"
LISTING_FILE = "listing.csv"
BATCHES_FILE = "batches.copy"
IMAGES_FILE = "images.copy"

BATCH_COLUMNS = ("id", "content_type_id", "object_id", "name", "description", "uploaded_by_id", "uploaded_at",
                 "image_count")  # fmt: skip
IMAGE_COLUMNS = (
    "id", "batch_id", "s3_key", "s3_thumbnail_key", "original_name", "file_size", "thumbnail_size", "width", "height",
    "mime_type", "category", "caption", "date_taken", "uploaded_by_id", "uploaded_at", "filemaker_id", "order",
)  # fmt: skip

#: Our tables that an import fills, in the order of their references.
JOURNAL: tuple[LiteralString, ...] = tuple(
    f"fm_migration.{name}"
    for name in (
        "patient_identity",
        "patient_read",
        "link_plan",
        "photo",
        "recognition",
        "placement",
        "planned_change",
        "last_written",
        "consumed",
    )
)

#: How often the clinic ran its command before anybody noticed: DOMAIN.md section 1.
STALE_GENERATIONS = 9


@dataclass(frozen=True)
class Size:
    """How many there are. `photographed` patients share the sessions, one patient's photographs of one day each."""

    photographs: int
    sessions: int
    photographed: int
    patients: int

    def __str__(self) -> str:
        return f"{self.photographs:,} photographs of {self.photographed:,} patients"


CLINIC = Size(photographs=6_489, sessions=1_661, photographed=1_303, patients=2_842)
TINY = Size(photographs=60, sessions=17, photographed=12, patients=20)


def millions(number: int) -> Size:
    """A chain of clinics: a million photographs have 200,000 patients."""
    return Size(
        photographs=number * 1_000_000,
        sessions=number * 256_000,
        photographed=number * 200_000,
        patients=number * 200_000,
    )


_PATIENTS = """
insert into patients (id, first_name, last_name, archived, created_at, updated_at, mrn, dob, phone, email, address,
                      suburb, state, postcode, country, filemaker_metadata)
select md5('patient|' || mrn || '|1')::uuid, 'Given' || n %% 400, 'Family' || n %% 1700, n %% 70 = 0,
       timestamptz '2025-03-08 06:30Z', timestamptz '2025-03-08 06:30Z', mrn, date '1931-01-01' + n %% 29000,
       '03 5550 ' || lpad((n %% 10000)::text, 4, '0'), mrn || '@clinic.invalid', n %% 300 || ' Sample Street',
       'Suburb' || n %% 90, 'VIC', (3000 + n %% 900)::text, 'Australia',
       jsonb_build_object('filemaker_id', upper(md5('contact|' || n)::uuid::text), 'source', 'Patients.xlsx')
from (select n, 'LB' || lpad(n::text, 6, '0') as mrn from generate_series(1, %(patients)s) as n) as numbered
"""

# Dates step by a number that is prime to the count of days, so that no patient has two sessions on one day.
_PHOTOGRAPHS = """
create table bench.photograph as
select n, (n + 76)::text as recid, md5('image|' || n)::uuid as image_id, session, day,
       md5('contact|' || session %% %(photographed)s + 1)::uuid as contact,
       md5('patient|LB' || lpad((session %% %(photographed)s + 1)::text, 6, '0') || '|1')::uuid as first_patient_id,
       kind.type_text, kind.category, 'filemaker-import/images-bulk-dump/' || n + 76 || '.jpg' as key,
       26000 + n * 7919::bigint %% 3700000 as size, md5('etag|' || n) as etag
from (
    select n, session, date '2016-01-04' + (session * 37::bigint %% 3571)::int as day
    from (
        select n, ((n - 1) * %(sessions)s::bigint / %(photographs)s)::int as session
        from generate_series(1, %(photographs)s) as n
    ) as in_session
) as dated
join kind on kind.number = n %% %(kinds)s
"""

_BATCH_OF_SESSION = "md5('batch|' || session)::uuid"

_EXPORT_ROWS = """
select to_char(day, 'FMMM/FMDD/YYYY') as date, recid || '.jpg' as "fileNane", upper(image_id::text) as id,
       upper(contact::text) as "id_Contact", '' as "Name of file", '' as "NexusExportDate", recid, type_text as "Type"
from bench.photograph order by n
"""
_LISTING_ROWS = 'select key, etag, size from bench.photograph order by key collate "C"'
_BATCH_ROWS = f"""
select {_BATCH_OF_SESSION}, (select id from django_content_type where app_label = 'patients' and model = 'patient'),
       first_patient_id, to_char(day, 'DD Mon YYYY') || ' (FileMaker Import)', 'Imported from FileMaker', null::int,
       timestamptz '2025-03-09 09:30Z', count(*)
from bench.photograph group by session, day, first_patient_id order by session
"""
_IMAGE_ROWS = f"""
select md5('app image|' || n)::uuid, {_BATCH_OF_SESSION}, key, '', recid || '.jpg', size, null::int, null::int,
       null::int, 'image/jpeg', category, type_text, day, null::int, timestamptz '2025-03-09 09:30Z', image_id,
       row_number() over (partition by session order by n)
from bench.photograph order by n
"""

# What reading a file or listing a bucket leaves, for the photographs from a number on.
_EXPORT_STAGED: tuple[LiteralString, ...] = (
    """
    insert into fm_migration.export_read
        (source, sha256, bytes, dialect, rows_present, rows_read, rows_refused, problems, data_version)
    select 'export.csv', '', 0, '{}', count(*), count(*), 0, '{}', count(*) || '-bench' from bench.photograph
    """,
    """
    insert into fm_migration.csv_metadata
    select n, n + 1, recid, image_id, contact, upper(contact::text), day, to_char(day, 'FMMM/FMDD/YYYY'),
           recid || '.jpg', type_text, category, '',
           concat_ws(',', to_char(day, 'FMMM/FMDD/YYYY'), recid || '.jpg', upper(image_id::text),
                     upper(contact::text), '', '', recid, type_text), '{}', 'recid ' || recid
    from bench.photograph where n >= %(first)s
    """,
)
_LISTED: LiteralString = """
    insert into fm_migration.inventory_snapshot (started_at, finished_at, source, bucket, prefixes, objects, bytes)
    select now(), now(), 'listing', 'bench', array['filemaker-import/images-bulk-dump/'], count(*), sum(size)
    from bench.photograph
    """
_OBJECTS_STAGED: LiteralString = """
    insert into fm_migration.s3_inventory
    select key, 'original', recid, null, null, null, 'jpg', etag, size, timestamptz '2025-03-01 00:00Z', 'STANDARD',
           snapshot.id, snapshot.id, null
    from bench.photograph cross join (select max(id) as id from fm_migration.inventory_snapshot) as snapshot
    where n >= %(first)s
    """
# One more than there were: the last patient's, of the last day.
_ONE_MORE: LiteralString = """
insert into bench.photograph
select n + 1, (n + 1 + 76)::text, md5('image|' || n + 1)::uuid, session, day, contact, first_patient_id, type_text,
       category, 'filemaker-import/images-bulk-dump/' || n + 1 + 76 || '.jpg', size, md5('etag|' || n + 1)
from bench.photograph order by n desc limit 1
returning n
"""

# As the clinic's script leaves the table: the same people, each under a new UUID.
_REIMPORT: tuple[LiteralString, ...] = (
    """
    create temporary table reborn on commit drop as
    select id as former_id, md5('patient|' || mrn || '|' || %(generation)s)::uuid as patient_id from patients
    """,
    "update patients set id = reborn.patient_id from reborn where patients.id = reborn.former_id",
    # Whatever a UUID of an earlier generation led to now leads one further.
    """
    update bench.former_patient as known set patient_id = reborn.patient_id from reborn
    where known.patient_id = reborn.former_id
    """,
    "insert into bench.former_patient select former_id, patient_id from reborn",
)

# What the clinic's command does after a re-import: a new batch for each new patient UUID, and every image skipped.
_EMPTY_BATCHES = """
insert into images_batch (id, content_type_id, object_id, name, description, uploaded_at, image_count)
select md5('batch|' || session || '|' || %(generation)s)::uuid, first.content_type_id, former.patient_id, first.name,
       '', timestamptz '2025-03-09 09:30Z' + make_interval(weeks => 4 * (%(generation)s - 1)), 0
from (select distinct session, first_patient_id from bench.photograph) as sessions
join bench.former_patient as former on former.former_id = first_patient_id
join images_batch as first on first.id = md5('batch|' || session)::uuid
"""

# The gallery's rule, and that the patient is the one whom the export names.
_SHOWN = """
select count(distinct photograph.n)
from bench.photograph
join images_image as image on image.s3_key = photograph.key
join images_batch as batch on batch.id = image.batch_id
join django_content_type as kind on kind.id = batch.content_type_id and kind.model = 'patient'
join patients on patients.id = batch.object_id
    and patients.filemaker_metadata ->> 'filemaker_id' = upper(photograph.contact::text)
"""
_IMAGES = "select count(*) from images_image"
_BADGES = """
select coalesce(sum(image_count), 0) from images_batch join patients on patients.id = images_batch.object_id
"""


@dataclass(frozen=True)
class Seen:
    """What a clinic shows: photographs on their own patient's page, image rows, and the sum of the badges."""

    shown: int
    images: int
    badges: int


def make_tables(url: str) -> None:
    """The clinic's tables, empty, and our schema."""
    engine = database.open_engine(url)
    tables.metadata.create_all(engine)
    schema.upgrade(engine)
    engine.dispose()


def fill(url: str, size: Size, folder: Path) -> None:
    """Patients, and the files that an import starts from: the export, the listing, and the rows of the SQL floor."""
    folder.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(url) as connection:
        connection.execute("create schema bench")
        connection.execute("create table bench.former_patient (former_id uuid primary key, patient_id uuid not null)")
        connection.execute(_PATIENTS, size.__dict__)
        kinds = _make_kinds(connection)
        connection.execute(_PHOTOGRAPHS, {**size.__dict__, "kinds": kinds})
        connection.execute("create unique index on bench.photograph (key)")
        _write(connection, _EXPORT_ROWS, folder / EXPORT_FILE, "format csv, header")
        _write(connection, _LISTING_ROWS, folder / LISTING_FILE, "format csv")
        _write(connection, _BATCH_ROWS, folder / BATCHES_FILE, "format text")
        _write(connection, _IMAGE_ROWS, folder / IMAGES_FILE, "format text")


def stage(url: str) -> None:
    """The three inputs of a plan as reading the files would leave them; the patients are read by our own code."""
    with psycopg.connect(url) as connection:
        connection.execute(_LISTED)
        _stage_from(connection, 1)


def add_photograph(url: str) -> None:
    """One more row in the export, and its object in the bucket."""
    with psycopg.connect(url) as connection:
        _stage_from(connection, _number(connection, _ONE_MORE))


def _stage_from(connection: psycopg.Connection[Any], first: int) -> None:
    for statement in (*_EXPORT_STAGED, _OBJECTS_STAGED):
        connection.execute(statement, {"first": first} if "%(" in statement else None)


def reimport_patients(url: str, generation: int) -> None:
    """Everybody under a new UUID; batches and images stay as they are."""
    with psycopg.connect(url) as connection:
        for statement in _REIMPORT:
            connection.execute(statement, {"generation": generation} if "%(" in statement else None)


def run_the_command_again(url: str, generation: int) -> None:
    """One more empty batch for each patient and day, as the clinic's import makes them after a re-import."""
    with psycopg.connect(url) as connection:
        connection.execute(_EMPTY_BATCHES, {"generation": generation})


def settle(url: str) -> None:
    """Statistics as the server would have gathered them by itself, so that no run meets the gathering."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")


def look(url: str) -> Seen:
    """What the gallery shows now."""
    with psycopg.connect(url) as connection:
        return Seen(*(_number(connection, query) for query in (_SHOWN, _IMAGES, _BADGES)))


def write_journal(url: str, folder: Path) -> None:
    """What an import of ours has left in our own tables, for whoever wants to write the same rows without thinking."""
    with psycopg.connect(url) as connection:
        for table in JOURNAL:
            _write(connection, f"select * from {table}", folder / journal_file(table), "format text")


def journal_file(table: str) -> str:
    return f"{table}.copy"


def copy_in(connection: psycopg.Connection[Any], table: str, columns: tuple[str, ...], path: Path) -> None:
    """COPY a file into a table; into all of its columns when none are named."""
    names = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))) if columns else sql.SQL("")
    statement = sql.SQL("copy {} {} from stdin").format(sql.Identifier(*table.split(".")), names)
    with path.open("rb") as file, connection.cursor() as cursor, cursor.copy(statement) as copy:
        while block := file.read(1 << 18):
            copy.write(block)


def _make_kinds(connection: psycopg.Connection[Any]) -> int:
    """The Types in the proportions of the real export, with our categories; how many there are."""
    classify = built_in_types().classify
    texts = types_for(1000, random.Random("types of the benchmark"))
    connection.execute("create temporary table kind (number int, type_text text, category text) on commit drop")
    with connection.cursor() as cursor, cursor.copy("copy kind from stdin") as copy:
        # A return inside a field, which FileMaker writes as a vertical tab, is the export reader's business.
        for number, text in enumerate(text.replace("\x0b", " ") for text in texts):
            copy.write_row((number, text, classify(text).category))
    return len(texts)


def _write(connection: psycopg.Connection[Any], query: LiteralString, path: Path, options: LiteralString) -> None:
    statement = sql.SQL("copy ({}) to stdout ({})").format(sql.SQL(query), sql.SQL(options))
    with path.open("wb") as file, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            file.write(block)


def _number(connection: psycopg.Connection[Any], query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
