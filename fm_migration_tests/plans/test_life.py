"""A plan of a kind that no domain of ours knows: applied, undone and redone on a table of a test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from fm_migration import plans
from fm_migration.errors import DatabaseError
from fm_migration.plans import ApprovalNeededError, Guards, StalePlanError, TableRules, Undone
from fm_migration_tests.linking.world import World

SHELF = TableRules("shelf", changeable=("label",), insertable=("id", "label"), remembered=("label",))
BOOK = TableRules(
    "book",
    changeable=("title", "shelf_id", "pages"),
    insertable=("id", "title", "shelf_id", "pages"),
    derived=("pages",),
    forward=Guards(insert="wanted.after ->> 'title' <> 'Forbidden'", delete="target.title <> 'Kept'"),
    backward=Guards(delete="target.title <> 'Loved'"),
    remembered=("title",),
)
LIBRARY = plans.register(plans.PlanKind("library of a test", (SHELF, BOOK), remedy="Ask the librarian"))

TABLES = """
create table shelf (id int primary key, label text);
create table book (id int primary key, title text not null, shelf_id int references shelf, pages int);
insert into shelf values (1, 'Novels'), (2, 'Poems');
insert into book values (1, 'Emma', 1, 400), (2, 'Villette', 1, 500), (3, 'Odes', 2, 90)
"""

Change = tuple[str, int, str, dict[str, Any] | None, dict[str, Any] | None]


class Library:
    """Two tables, and plans for them written by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        for statement in TABLES.split(";"):
            world.do(statement)

    def plan(self, *changes: Change, doubts: tuple[str, ...] = ()) -> int:
        with self.connected() as connection:
            plan = plans.open_plan(connection, LIBRARY.name, inputs="shelves")
            for change in changes:
                _write_down(connection, plan, *change)
            plans.finish_plan(connection, plan, doubts=doubts)
        return plan

    def apply(self, plan: int, approve: str | None = None) -> tuple[int, int, int]:
        with self.connected() as connection:
            done = plans.apply(connection, plan, approve=approve, run_id="run")
        return done.applied, done.already, done.overtaken

    def undo(self, plan: int) -> Undone:
        with self.connected() as connection:
            return plans.undo(connection, plan, run_id="undoing run")

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: [tuple(row) for row in self.world.rows(f"select * from {table} order by id")]
            for table in ("shelf", "book")
        }

    def written(self) -> dict[str, Any]:
        rows = self.world.rows("select table_name || ' ' || row_id as name, written from fm_migration.last_written")
        return {row.name: row.written for row in rows}

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        with self.world.engine.begin() as connection:
            yield connection


def _write_down(connection: Connection, plan: int, table: str, row: int, action: str, before: Any, after: Any) -> None:
    connection.execute(
        text("""
        insert into fm_migration.planned_change (plan_id, table_name, row_id, action, before, after, reason)
        values (:plan, :table, :row, :action, cast(:before as jsonb), cast(:after as jsonb), 'a test')
        """),
        {
            "plan": plan,
            "table": table,
            "row": str(row),
            "action": action,
            "before": None if before is None else json.dumps(before),
            "after": None if after is None else json.dumps(after),
        },
    )


@pytest.fixture
def library(own_world: World) -> Library:
    return Library(own_world)


NEW_SHELF: Change = ("shelf", 3, "insert", None, {"id": 3, "label": "Plays"})
NEW_BOOK: Change = ("book", 4, "insert", None, {"id": 4, "title": "Faust", "shelf_id": 3, "pages": 200})
RENAMED: Change = ("book", 1, "update", {"title": "Emma"}, {"title": "Emma, a novel"})
GONE: Change = ("book", 3, "delete", {"id": 3, "title": "Odes", "shelf_id": 2, "pages": 90}, None)
SHELF_GONE: Change = ("shelf", 2, "delete", {"id": 2, "label": "Poems"}, None)
EVERYTHING = (NEW_SHELF, NEW_BOOK, RENAMED, GONE, SHELF_GONE)
AFTERWARDS = {
    "shelf": [(1, "Novels"), (3, "Plays")],
    "book": [(1, "Emma, a novel", 1, 400), (2, "Villette", 1, 500), (4, "Faust", 3, 200)],
}


def test_rows_go_in_change_and_go_in_the_order_of_their_references(library: Library) -> None:
    plan = library.plan(*EVERYTHING)
    assert library.apply(plan) == (5, 0, 0)
    assert library.rows() == AFTERWARDS


def test_undo_is_the_inverse_plan_and_is_listed_as_a_plan_of_its_own(library: Library) -> None:
    before = library.rows()
    plan = library.plan(*EVERYTHING)
    library.apply(plan)
    undone = library.undo(plan)
    assert (undone.restored, undone.left) == (5, ())
    assert library.rows() == before
    with library.connected() as connection:
        newest, original = plans.list_plans(connection, 2)
    assert (newest.kind, newest.undoes, newest.changes, newest.id) == ("undo", plan, 5, undone.by)
    assert original.undone_at is not None
    journal = library.world.journal(undone.by or 0)
    assert {(row.table_name, row.row_id, row.action) for row in journal} == {
        ("shelf", "3", "delete"), ("book", "4", "delete"), ("book", "1", "update"), ("book", "3", "insert"),
        ("shelf", "2", "insert"),
    }  # fmt: skip
    assert {(row.outcome, row.run_id, row.reason) for row in journal} == {
        ("applied", "undoing run", f"undo of plan {plan}")
    }


def test_undoing_twice_leaves_no_second_plan(library: Library) -> None:
    plan = library.plan(*EVERYTHING)
    library.apply(plan)
    library.undo(plan)
    count = library.world.one("select count(*) from fm_migration.link_plan")
    assert library.undo(plan) == Undone(plan, 0, (), None)
    assert library.world.one("select count(*) from fm_migration.link_plan") == count


def test_an_undo_is_undone_and_that_one_too(library: Library) -> None:
    before = library.rows()
    plan = library.plan(*EVERYTHING)
    library.apply(plan)
    written = library.written()
    first = library.undo(plan).by or 0
    redone = library.undo(first)
    assert (redone.restored, redone.left) == (5, ())
    assert library.rows() == AFTERWARDS
    assert library.written() == written
    assert {row.undone_at for row in library.world.journal(plan)} == {None}, "the plan is in force again"
    assert library.undo(redone.by or 0).restored == 5
    assert library.rows() == before
    assert library.undo(plan).restored == 0


def test_what_somebody_has_changed_stays_and_goes_back_once_that_is_out_of_the_way(library: Library) -> None:
    plan = library.plan(RENAMED, GONE)
    library.apply(plan)
    library.world.do("update book set title = 'Mine' where id = 1")
    undone = library.undo(plan)
    assert (undone.restored, undone.left) == (1, ("book 1",))
    library.world.do("update book set title = 'Emma, a novel' where id = 1")
    again = library.undo(plan)
    assert (again.restored, again.left) == (1, ())
    assert library.rows()["book"][0] == (1, "Emma", 1, 400)


def test_guards_hold_in_their_own_direction(library: Library) -> None:
    forbidden: Change = ("book", 5, "insert", None, {"id": 5, "title": "Forbidden", "shelf_id": 1, "pages": 1})
    loved: Change = ("book", 6, "insert", None, {"id": 6, "title": "Loved", "shelf_id": 1, "pages": 1})
    plan = library.plan(forbidden, loved)
    assert library.apply(plan) == (1, 0, 1)
    assert library.undo(plan).left == ("book 6",)
    library.world.do("update book set title = 'Kept' where id = 3")
    kept: Change = ("book", 3, "delete", {"id": 3, "title": "Kept", "shelf_id": 2, "pages": 90}, None)
    assert library.apply(library.plan(kept)) == (0, 0, 1)


def test_what_is_so_already_is_no_change_and_is_not_undone(library: Library) -> None:
    plan = library.plan(RENAMED, GONE, NEW_SHELF)
    library.world.do("update book set title = 'Emma, a novel' where id = 1")
    library.world.do("delete from book where id = 3")
    library.world.do("insert into shelf values (3, 'Plays')")
    assert library.apply(plan) == (0, 3, 0)
    after = library.rows()
    assert library.undo(plan) == Undone(plan, 0, (), None)
    assert library.rows() == after


def test_a_derived_column_is_nobodys_edit(library: Library) -> None:
    change: Change = ("book", 1, "update", {"title": "Emma", "pages": 400}, {"title": "Emma II", "pages": 410})
    plan = library.plan(change)
    library.world.do("update book set pages = 777 where id = 1")
    assert library.apply(plan) == (1, 0, 0)
    assert library.rows()["book"][0] == (1, "Emma II", 1, 777), "somebody else has counted"


def test_plans_are_undone_in_any_order(library: Library) -> None:
    before = library.rows()
    first = library.plan(RENAMED)
    library.apply(first)
    second = library.plan(("book", 1, "update", {"title": "Emma, a novel"}, {"title": "Third"}))
    library.apply(second)
    assert library.undo(first).left == ("book 1",), "the second has written over it"
    assert library.written() == {"book 1": {"title": "Third"}}
    assert library.undo(second).restored == 1
    assert library.written() == {"book 1": {"title": "Emma, a novel"}}
    assert library.undo(first).restored == 1
    assert library.rows() == before
    assert library.written() == {}


def test_what_was_written_last_is_kept_and_put_back_with_the_row(library: Library) -> None:
    library.apply(library.plan(RENAMED))
    plan = library.plan(
        ("book", 1, "delete", {"id": 1, "title": "Emma, a novel", "shelf_id": 1, "pages": 400}, None), NEW_SHELF
    )
    assert library.written() == {"book 1": {"title": "Emma, a novel"}}
    library.apply(plan)
    assert library.written() == {"shelf 3": {"label": "Plays"}}
    library.undo(plan)
    assert library.written() == {"book 1": {"title": "Emma, a novel"}}


def test_a_row_that_something_refers_to_is_not_removed(own_world: World) -> None:
    """Not even when it would break no rule of the database: whoever lists references knows of others."""
    library = Library(own_world)
    plan = library.plan(GONE)
    referring = TableRules("book", changeable=("title",), list_referred=_refer_to_the_odes)
    kind = plans.PlanKind(LIBRARY.name, (SHELF, referring))
    with library.connected() as connection:
        descent = plans.applying.trace(connection, plan)
        plans.applying.carry_out(
            connection, plan, plans.applying.Descent(kind, descent.backward, descent.origin, None), None
        )
    assert [row.outcome for row in library.world.journal(plan)] == ["overtaken"]


def _refer_to_the_odes(connection: Connection) -> None:
    connection.execute(text("insert into referred values ('3')"))


def test_a_plan_with_doubts_needs_its_hash(library: Library) -> None:
    plan = library.plan(RENAMED, doubts=("it is odd",))
    plan_hash = library.world.one("select hash from fm_migration.link_plan where id = :id", id=plan)
    with pytest.raises(ApprovalNeededError, match=f"it is odd.*{plan_hash}"):
        library.apply(plan)
    assert library.apply(plan, approve=plan_hash) == (1, 0, 0)


def test_the_hash_is_of_the_content_and_of_the_kind_and_the_inputs(library: Library) -> None:
    hashes = [
        library.world.one("select hash from fm_migration.link_plan where id = :id", id=library.plan(*changes))
        for changes in ([RENAMED, GONE], [GONE, RENAMED], [RENAMED])
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_undone_plan_is_not_applied(library: Library) -> None:
    plan = library.plan(RENAMED)
    library.undo(plan)
    with pytest.raises(StalePlanError, match=r"it was undone\. Ask the librarian"):
        library.apply(plan)


def test_a_kind_that_nobody_knows_is_said_so(library: Library) -> None:
    with library.connected() as connection:
        plan = plans.open_plan(connection, "of a later version")
    with pytest.raises(DatabaseError, match=r"of a later version: nobody here knows it; known are .*library"):
        library.apply(plan)


def test_a_table_without_rules_is_not_written(library: Library) -> None:
    plan = library.plan(("auth_user", 1, "update", {"username": "a"}, {"username": "b"}))
    with pytest.raises(DatabaseError, match="auth_user: a plan of library of a test may not change it"):
        library.apply(plan)


def test_a_column_without_rules_is_not_written(library: Library) -> None:
    plan = library.plan(("shelf", 1, "update", {"id": 1}, {"id": 9}))
    library.apply(plan)
    assert library.rows()["shelf"][0] == (1, "Novels")


def test_one_plan_holds_one_change_of_a_row_and_column(library: Library) -> None:
    with pytest.raises(Exception, match="planned_change_row"):
        library.plan(RENAMED, ("book", 1, "update", {"title": "Emma"}, {"title": "Other"}))


def test_a_kind_is_registered_once() -> None:
    assert plans.register(LIBRARY) is LIBRARY
    for name in (LIBRARY.name, "undo"):
        with pytest.raises(ValueError, match=name):
            plans.register(plans.PlanKind(name))


def test_a_writer_of_links_waits_for_another(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = library.plan(RENAMED)
    monkeypatch.setattr(plans.locks, "LOCK_SECONDS", 0.1)
    with library.connected() as connection:
        plans.locks.lock(connection)
        with pytest.raises(OperationalError, match="lock timeout"):
            library.apply(plan)
    assert library.apply(plan) == (1, 0, 0)
