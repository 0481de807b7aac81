"""The contract of the clinic's tables: what passes, what is named, and what is none of our business."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, bindparam, event, insert, null, select, text
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS
from sqlalchemy.schema import CreateSchema

from fm_migration import database
from fm_migration.clinic import contract, tables
from fm_migration.clinic.contract import ContractDifference
from fm_migration.errors import ContractError
from fm_migration_tests.peers import gallery

# What the catalogue says about the columns, keys and indexes of our definitions. Names of constraints and
# the order of columns are left out, and so are Django's indexes for LIKE, which only its admin uses.
CATALOGUE = {
    "columns": """
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
               attnotnull, atthasdef, attidentity
        FROM pg_attribute
        WHERE attrelid = ANY (:tables) AND attnum > 0 AND NOT attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE conrelid = ANY (:tables)
    """,
    "indexes": """
        SELECT indrelid::regclass::text, indisunique, regexp_replace(pg_get_indexdef(indexrelid), '.* USING ', '')
        FROM pg_index
        WHERE indrelid = ANY (:tables) AND pg_get_indexdef(indexrelid) NOT LIKE '%pattern_ops%'
    """,
}


def _catalogue(engine: Engine, of: str) -> list[tuple[object, ...]]:
    query = text(CATALOGUE[of]).bindparams(bindparam("tables", type_=ARRAY(REGCLASS)))
    with engine.connect() as connection:
        rows = connection.execute(query, {"tables": list(tables.metadata.tables)})
        return sorted((tuple(row) for row in rows), key=str)


def _named(connection: Connection) -> list[str]:
    return [str(difference) for difference in contract.find_differences(connection)]


@pytest.mark.parametrize("made_by", ["engine", "django_engine"])
def test_both_ways_of_making_the_tables_fulfil_the_contract(made_by: str, request: pytest.FixtureRequest) -> None:
    with request.getfixturevalue(made_by).connect() as connection:
        assert contract.find_differences(connection) == []
        contract.verify(connection)


@pytest.mark.parametrize("of", CATALOGUE)
def test_our_definitions_make_exactly_what_django_makes(engine: Engine, django_engine: Engine, of: str) -> None:
    djangos = _catalogue(django_engine, of)
    assert {row[0] for row in djangos} == set(tables.metadata.tables)
    assert _catalogue(engine, of) == djangos


def test_the_migrations_of_the_django_app_are_those_of_its_models(django_database: str) -> None:
    assert "No changes detected" in gallery.manage(django_database, "makemigrations", "--check", "--dry-run")


DROP_UNIQUE = "ALTER TABLE images_image DROP CONSTRAINT images_image_filemaker_id_key"
NO_UNIQUE = "expected a unique constraint, found none that is checked at once for every row"
UNFILLABLE = "expected no further column that an insert must fill, found integer NOT NULL without a default"

NAMED = {
    "a table is missing": (
        "DROP TABLE images_image",
        ["images_image: expected a table of this name, found none in the search path (public)"],
    ),
    "columns are missing": (
        "ALTER TABLE patients DROP COLUMN filemaker_metadata; ALTER TABLE images_image DROP COLUMN caption",
        [
            "patients.filemaker_metadata: expected a column of type jsonb, found no such column",
            "images_image.caption: expected a column of type text, found no such column",
        ],
    ),
    "a column was renamed": (
        'ALTER TABLE images_image RENAME COLUMN "order" TO position',
        [
            "images_image.order: expected a column of type integer, found no such column",
            f"images_image.position: {UNFILLABLE}",
        ],
    ),
    "a generic link became text": (
        "ALTER TABLE images_batch ALTER COLUMN object_id TYPE varchar(36)",
        ["images_batch.object_id: expected uuid, found character varying(36)"],
    ),
    "a key became shorter": (
        "ALTER TABLE images_image ALTER COLUMN s3_key TYPE varchar(200)",
        ["images_image.s3_key: expected character varying(500), found character varying(200)"],
    ),
    "a moment lost its time zone": (
        "ALTER TABLE images_batch ALTER COLUMN uploaded_at TYPE timestamp",
        ["images_batch.uploaded_at: expected timestamp with time zone, found timestamp without time zone"],
    ),
    "the metadata became json": (
        "ALTER TABLE patients ALTER COLUMN filemaker_metadata TYPE json",
        ["patients.filemaker_metadata: expected jsonb, found json"],
    ),
    "a column that we leave empty must be filled": (
        "ALTER TABLE images_image ALTER COLUMN width SET NOT NULL",
        ["images_image.width: expected NULL allowed, found NOT NULL"],
    ),
    "a thumbnail key may be NULL": (
        "ALTER TABLE images_image ALTER COLUMN s3_thumbnail_key DROP NOT NULL",
        ["images_image.s3_thumbnail_key: expected NOT NULL, found NULL allowed"],
    ),
    "an insert must fill a column that we do not know": (
        "ALTER TABLE images_batch ADD COLUMN site_id integer NOT NULL",
        [f"images_batch.site_id: {UNFILLABLE}"],
    ),
    "the FileMaker id of a photograph is no longer unique": (
        DROP_UNIQUE,
        [f"images_image.filemaker_id: {NO_UNIQUE}"],
    ),
    "it is unique only for some rows": (
        f"{DROP_UNIQUE}; CREATE UNIQUE INDEX ON images_image (filemaker_id) WHERE category <> ''",
        [f"images_image.filemaker_id: {NO_UNIQUE}"],
    ),
    "it is unique only together with the batch": (
        f"{DROP_UNIQUE}; ALTER TABLE images_image ADD UNIQUE (filemaker_id, batch_id)",
        [f"images_image.filemaker_id: {NO_UNIQUE}"],
    ),
    "it is unique only at commit, which ON CONFLICT cannot use": (
        f"{DROP_UNIQUE}; ALTER TABLE images_image ADD UNIQUE (filemaker_id) DEFERRABLE INITIALLY DEFERRED",
        [f"images_image.filemaker_id: {NO_UNIQUE}"],
    ),
    "a batch has lost its primary key": (
        "ALTER TABLE images_batch DROP CONSTRAINT images_batch_pkey CASCADE",
        [f"images_batch.id: {NO_UNIQUE}"],
    ),
    "the content types are missing": (
        "TRUNCATE django_content_type CASCADE",
        [
            "django_content_type: expected a row (patients, patient), found none",
            "django_content_type: expected a row (images, imagebatch), found none",
        ],
    ),
    "the app was renamed": (
        "UPDATE django_content_type SET app_label = 'photos' WHERE app_label = 'images'",
        ["django_content_type: expected a row (images, imagebatch), found none"],
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_difference_is_named(rolled_back: Connection, case: str) -> None:
    statement, expected = NAMED[case]
    rolled_back.execute(text(statement))
    assert _named(rolled_back) == expected


HARMLESS = {
    "a new column that may stay empty": "ALTER TABLE images_image ADD COLUMN rating integer",
    "a new column with a default": "ALTER TABLE images_image ADD COLUMN hidden boolean NOT NULL DEFAULT false",
    "a new column that numbers itself": (
        "ALTER TABLE images_batch ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY"
    ),
    "a new column computed from others": (
        "ALTER TABLE images_image ADD COLUMN size bigint NOT NULL GENERATED ALWAYS AS (file_size * 2) STORED"
    ),
    "a new column to fill, where we only read": "ALTER TABLE patients ADD COLUMN risk integer NOT NULL",
    "a patient without a name": "ALTER TABLE patients ALTER COLUMN last_name DROP NOT NULL",
    "a column gone that we do not use": "ALTER TABLE patients DROP COLUMN shoe_size",
    "metadata that must be filled, where we only read": (
        "ALTER TABLE patients ALTER COLUMN filemaker_metadata SET NOT NULL"
    ),
    "a longer key": "ALTER TABLE images_image ALTER COLUMN s3_key TYPE varchar(1024)",
    "a name without a limit": "ALTER TABLE images_batch ALTER COLUMN name TYPE text",
    "no foreign key": (
        "DO $$ DECLARE key record; BEGIN "
        "FOR key IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint WHERE contype = 'f' "
        "LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', key.owner, key.conname); END LOOP; END $$"
    ),
    "tables gone that we do not use": "DROP TABLE appointments_appointment, notes_note, contact_relationships",
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_changes_nothing_for_us_is_no_difference(rolled_back: Connection, case: str) -> None:
    rolled_back.execute(text(HARMLESS[case]))
    assert _named(rolled_back) == []


def test_the_error_names_every_difference_and_what_to_do(rolled_back: Connection) -> None:
    rolled_back.execute(text("ALTER TABLE images_image DROP COLUMN caption, ADD COLUMN site uuid NOT NULL"))
    with pytest.raises(ContractError) as caught:
        contract.verify(rolled_back)
    differences = _named(rolled_back)
    assert len(differences) == 2
    message = str(caught.value)
    assert all(difference in message for difference in differences)
    assert f"database {rolled_back.engine.url.database}" in message
    assert "manage.py migrate" in message
    assert not caught.value.transient


def test_an_empty_database_is_told_from_an_outdated_one(empty_database: str) -> None:
    engine = database.open_engine(empty_database)
    with engine.connect() as connection, pytest.raises(ContractError) as caught:
        contract.verify(connection)
    engine.dispose()
    assert "FM_DATABASE_URL" in caught.value.remedy
    assert "FM_APP_SCHEMA" in caught.value.remedy
    assert caught.value.found.count("expected a table of this name") == 5


def test_one_missing_table_is_no_empty_database(rolled_back: Connection) -> None:
    rolled_back.execute(text("DROP TABLE documents_document"))
    with pytest.raises(ContractError, match=r"manage\.py migrate") as caught:
        contract.verify(rolled_back)
    assert "FM_DATABASE_URL" not in caught.value.remedy


def test_a_copy_in_another_schema_is_verified_as_itself(django_engine: Engine, django_database: str) -> None:
    with django_engine.begin() as connection:
        connection.execute(CreateSchema("rehearsal"))
    rehearsal = database.open_engine(django_database, "rehearsal")
    with rehearsal.begin() as connection:
        assert "found none in the search path (rehearsal)" in _named(connection)[0]
        tables.metadata.create_all(connection)
        contract.verify(connection)
        connection.execute(text("ALTER TABLE images_batch DROP COLUMN image_count"))
        assert _named(connection) == [
            "images_batch.image_count: expected a column of type integer, found no such column"
        ]
    rehearsal.dispose()
    with django_engine.connect() as connection:
        contract.verify(connection)


def test_a_missing_schema_is_said_to_be_missing(django_database: str) -> None:
    engine = database.open_engine(django_database, "nowhere")
    with engine.connect() as connection:
        assert _named(connection)[0].endswith("found none in the search path (which is empty)")
    engine.dispose()


def test_the_comparison_takes_two_statements(rolled_back: Connection) -> None:
    statements = []
    event.listen(rolled_back, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    contract.verify(rolled_back)
    assert len(statements) == 2


def test_the_content_type_of_patients_is_looked_up(rolled_back: Connection) -> None:
    content_type = tables.django_content_type
    rolled_back.execute(text("TRUNCATE django_content_type CASCADE"))
    with pytest.raises(ContractError, match=r"expected a row \(patients, patient\), found none"):
        contract.patient_content_type_id(rolled_back)
    rolled_back.execute(
        insert(content_type).values(
            [
                {"id": 71, "app_label": "patients", "model": "visit"},
                {"id": 72, "app_label": "archive", "model": "patient"},
                {"id": 73, "app_label": "patients", "model": "patient"},
            ]
        )
    )
    assert contract.patient_content_type_id(rolled_back) == 73


def test_no_metadata_is_null_and_not_the_json_value_null(rolled_back: Connection) -> None:
    patients = tables.patients
    now = datetime.now(UTC)
    rolled_back.execute(
        insert(patients).values(
            id=uuid.uuid4(),
            first_name="Test",
            last_name="Person",
            archived=False,
            created_at=now,
            updated_at=now,
            filemaker_metadata=None,
        )
    )
    assert rolled_back.scalar(select(patients.c.filemaker_metadata.is_(null()))) is True


def test_a_difference_of_a_table_and_one_of_a_column_read_alike() -> None:
    assert str(ContractDifference("patients", None, "a", "b")) == "patients: expected a, found b"
    assert str(ContractDifference("patients", "id", "a", "b")) == "patients.id: expected a, found b"
