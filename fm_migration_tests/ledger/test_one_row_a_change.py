"""Migration 0007 on a database with a history: what was two rows becomes one, and goes back to two without loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, Row, text

from fm_migration import database
from fm_migration.ledger import schema

BATCH, IMAGE, DOCUMENT = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))
FOLLOWED = "its patient has a new UUID"

#: Five plans as the version before wrote them: an import, a healing, a correction that was undone, links, a repair.
PLANS = """
insert into fm_migration.link_plan (kind, hash, patient_read_id, inputs, counts, doubts, applied_at)
select kind, '', 1, '', '{}', '{}', now()
from unnest(array['photographs', 'photographs', 'photographs', 'links', 'repair'])
    with ordinality as plan (kind, number)
order by number
"""
PATIENT_READ = """
insert into fm_migration.patient_read (fingerprint, data_version, patients, with_filemaker_id, known, known_present)
values ('f', 'v', 1, 1, 1, 1)
"""
CHANGE = text("""
with planned as (
    insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
    values (:plan, :table, :row, :action, cast(:before as jsonb), cast(:after as jsonb), :reason) returning id
)
insert into fm_migration.change (planned_id, plan_id, outcome, applied_at, run_id, undone_at, undo_outcome)
select id, :plan, :outcome, timestamptz '2025-03-01' + :plan * interval '1 day', 'run ' || :plan,
       case when :undone then timestamptz '2025-04-01' end, case when :undone then 'restored' end
from planned where cast(:outcome as text) is not null
""")
JOURNAL = "select * from fm_migration.journal order by plan_id, table_name, row_id, after::text"
CHANGES = "select plan_id, outcome, run_id, applied_at, undone_at, undo_outcome from fm_migration.change order by 1, 2"


@pytest.fixture
def before(empty_database: str) -> Iterator[Engine]:
    """A database at the version before, with a history."""
    engine = database.open_engine(empty_database)
    schema.upgrade(engine, "0006")
    with engine.begin() as connection:
        connection.execute(text(PATIENT_READ))
        connection.exec_driver_sql(PLANS)
        for change in HISTORY:
            connection.execute(CHANGE, {"undone": False, "outcome": "applied", "before": None, **change})
    yield engine
    engine.dispose()


def _of(plan: int, table: str, row: str, action: str, after: str, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"plan": plan, "table": table, "row": row, "action": action, "after": after, "reason": reason, **more}


HISTORY = (
    _of(1, "images_batch", BATCH, "insert", '{"object_id": "a", "image_count": 1}'),
    _of(1, "images_image", IMAGE, "insert", '{"batch_id": "b", "caption": "Dorsal", "category": "", "s3_key": "k"}'),
    _of(2, "images_batch", BATCH, "update", '{"object_id": "a2"}', FOLLOWED, before='{"object_id": "a"}'),
    _of(2, "images_image", IMAGE, "update", '{"caption": "Wound"}', before='{"caption": "Dorsal"}'),
    _of(3, "images_image", IMAGE, "update", '{"caption": "Oops"}', before='{"caption": "Wound"}', undone=True),
    _of(3, "images_image", BATCH, "update", '{"caption": "Late"}', before='{"caption": ""}', outcome="overtaken"),
    _of(4, "documents_document", DOCUMENT, "update", '{"object_id": "a3"}', FOLLOWED, before='{"object_id": "a2"}'),
    # Staff had given the batch to d meanwhile, and d was re-imported.
    _of(4, "images_batch", BATCH, "update", '{"object_id": "d2"}', FOLLOWED, before='{"object_id": "d"}'),
    _of(5, "images_image", IMAGE, "update", '{"s3_key": "k2"}', before='{"s3_key": "k"}'),
    _of(5, "images_image", IMAGE, "update", '{"batch_id": "b2"}', before='{"batch_id": "b"}', outcome=None),
)


def _rows(engine: Engine, query: str) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        return connection.execute(text(query)).all()


def test_the_journal_says_the_same_and_the_column_of_a_link_besides(before: Engine) -> None:
    journal = _rows(before, JOURNAL)
    schema.upgrade(before)
    after = _rows(before, JOURNAL)
    names = [name for name in journal[0]._fields if name != "id"]
    assert [[getattr(row, name) for name in names] for row in after] == [
        [getattr(row, name) for name in names] for row in journal
    ]
    assert {(row.table_name, row.plan_id, row.column_name) for row in after if row.column_name} == {
        ("documents_document", 4, "object_id"),
        ("images_batch", 4, "object_id"),
        ("images_image", 5, "s3_key"),
    }
    assert _rows(before, "select after from fm_migration.planned_change where outcome is null") == [
        ({"batch_id": "b2"},)
    ]


def test_what_was_last_written_is_summed_up(before: Engine) -> None:
    """A batch that followed took it along; one that staff had given away before it followed did not."""
    schema.upgrade(before)
    written = {row.row_id: row.written for row in _rows(before, "select * from fm_migration.last_written")}
    assert written == {
        BATCH: {"object_id": "a2"},
        IMAGE: {"batch_id": "b", "caption": "Wound", "category": ""},
    }


def test_what_an_undo_needs_is_remembered(before: Engine) -> None:
    schema.upgrade(before)
    remembered = _rows(before, "select plan_id, table_name, remembered from fm_migration.planned_change "
                               "where remembered is not null order by 1, 2")  # fmt: skip
    assert [tuple(row) for row in remembered] == [
        (2, "images_batch", {"object_id": "a"}),
        (2, "images_image", {"caption": "Dorsal"}),
        (4, "images_batch", {"object_id": "a2"}),
    ]


def test_down_again_there_are_two_rows_as_before(before: Engine) -> None:
    changes, journal = _rows(before, CHANGES), _rows(before, JOURNAL)
    schema.upgrade(before)
    with before.begin() as connection:
        # An undo and a kind of a later version, of which the version before knows nothing.
        connection.execute(text("""
            insert into fm_migration.link_plan (kind, hash, inputs, counts, doubts, undoes, patient_read_id)
            values ('undo', '', '', '{}', '{}', 1, 1), ('settle', '', '', '{}', '{}', null, 1)
        """))  # fmt: skip
        connection.execute(text("""
            insert into fm_migration.planned_change (plan_id, table_name, row_id, action, after, reason, outcome)
            select id, 'images_batch', 'x', 'insert', '{}', '', 'applied'
            from fm_migration.link_plan where kind = 'undo'
        """))  # fmt: skip
    schema.downgrade(before, "0006")
    assert _rows(before, CHANGES) == changes
    names = [name for name in journal[0]._fields if name != "id"]
    assert [[getattr(row, name) for name in names] for row in _rows(before, JOURNAL)] == [
        [getattr(row, name) for name in names] for row in journal
    ]
    kinds = [row.kind for row in _rows(before, "select kind from fm_migration.link_plan order by id")]
    assert kinds == ["photographs", "photographs", "photographs", "links", "repair", "links"]
