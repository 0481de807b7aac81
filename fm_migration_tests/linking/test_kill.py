"""The process is killed, or the database goes away, at each step of an apply: DOMAIN.md section 7, item 16.

Afterwards the clinic is as it was, to the last column, and the next run finishes. There is nothing in between.
"""

from __future__ import annotations

import signal
import uuid

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fm_migration.database import ConnectionLostError, explain_statement
from fm_migration.linking import applying
from fm_migration.linking.placing import Plan
from fm_migration_tests.linking.doomed import ABOUT_TO_COMMIT, STEPS, doomed, stopping
from fm_migration_tests.linking.world import ANNA, BERT, DUMP, Photograph, World

ALL_STEPS = (*STEPS, ABOUT_TO_COMMIT)


@pytest.fixture
def planned(world: World) -> tuple[World, Plan]:
    """A plan of every kind of change: stale batches come home, one is recognised, an image moves, one is new."""
    world.batch(uuid.uuid4(), "18 Oct 2016 (FileMaker Import)", [DUMP + "77.jpg", DUMP + "78.jpg"], by_hand=False)
    world.batch(uuid.uuid4(), "19 Oct 2016 (FileMaker Import)", [DUMP + "80.jpg"], by_hand=False)
    world.patient(ANNA)
    world.patient(BERT)
    rows = [Photograph("77", ANNA), Photograph("79", ANNA), Photograph("80", ANNA, "10/19/2016")]
    world.photographs(*rows, Photograph("78", BERT))
    world.read_patients()
    plan = world.plan()
    kinds = ("batches_created", "images_created", "images_moved", "batches_relinked", "patients_recognised")
    assert all(plan.counts[kind] for kind in kinds)
    return world, plan


def _ledger(world: World) -> list[object]:
    """What an apply writes into our own schema."""
    return [
        world.rows(f"select * from fm_migration.{table} order by 1")
        for table in ("planned_change", "last_written", "consumed", "patient_identity", "link_plan")
    ]


def _assert_the_next_run_finishes(world: World, plan: Plan) -> None:
    assert world.apply(plan).applied == plan.changes
    assert (sorted(world.gallery(ANNA)), world.gallery(BERT)) == (["77.jpg", "79.jpg", "80.jpg"], ["78.jpg"])
    assert world.wrong_counts() == []
    assert world.plan().changes == 0


@pytest.mark.parametrize("step", ALL_STEPS)
def test_16_a_process_killed_at_any_step_leaves_the_state_before(planned: tuple[World, Plan], step: str) -> None:
    world, plan = planned
    before, ledger = world.snapshot(), _ledger(world)
    with doomed(world.url, plan.id, step) as process:
        assert world.snapshot() == before, "nobody sees half an apply"
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert (world.snapshot(), _ledger(world)) == (before, ledger)
    _assert_the_next_run_finishes(world, plan)


def _terminate(world: World, connection: Connection) -> None:
    """End the server's side of the connection, as an administrator or a fail-over does."""
    backend = connection.execute(text("select pg_backend_pid()")).scalar_one()
    with world.engine.connect() as other:
        ended = other.execute(text("select pg_terminate_backend(:backend, 30000)"), {"backend": backend})
        assert ended.scalar_one() is True


@pytest.mark.parametrize("step", ALL_STEPS)
def test_16_a_connection_that_drops_at_any_step_leaves_the_state_before(
    planned: tuple[World, Plan], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, plan = planned
    before, ledger = world.snapshot(), _ledger(world)
    if step != ABOUT_TO_COMMIT:
        monkeypatch.setattr(*stopping(step, lambda connection: _terminate(world, connection)))
    with pytest.raises(DBAPIError) as caught, world.engine.begin() as connection:
        applying.apply_plan(connection, plan.id)
        _terminate(world, connection)
    error = explain_statement(caught.value)
    assert isinstance(error, ConnectionLostError)
    assert error.transient, "Dagster may try the run again by itself"
    monkeypatch.undo()
    assert (world.snapshot(), _ledger(world)) == (before, ledger)
    _assert_the_next_run_finishes(world, plan)


def test_16_a_process_killed_after_the_commit_leaves_the_state_after(planned: tuple[World, Plan]) -> None:
    """The run is lost to whoever started it, but its work is not; a second run sees that nothing is left to do."""
    world, plan = planned
    world.apply(plan)
    after = world.snapshot()
    again = world.apply(plan)
    assert (again.applied, again.visible) == (plan.changes, 4)
    assert world.snapshot() == after
    assert world.plan().changes == 0


def test_16_killed_while_it_plans_it_leaves_no_plan(
    planned: tuple[World, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, plan = planned
    ledger, photos = _ledger(world), world.rows("select * from fm_migration.photo_status order by row_number")
    monkeypatch.setattr(
        "fm_migration.linking.placing._finish", lambda connection, *_, **_options: _terminate(world, connection)
    )
    with pytest.raises(DBAPIError):
        world.plan()
    monkeypatch.undo()
    assert _ledger(world) == ledger
    assert world.rows("select * from fm_migration.photo_status order by row_number") == photos
    _assert_the_next_run_finishes(world, plan)


def test_16_killed_while_it_re_links_it_leaves_the_former_links(
    planned: tuple[World, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = planned
    world.document(world.patients()[ANNA])
    world.reimport()
    world.read_patients()
    before, ledger = world.snapshot(), _ledger(world)
    monkeypatch.setattr(
        "fm_migration.plans.finish_applied", lambda connection, *_, **_options: _terminate(world, connection)
    )
    with pytest.raises(DBAPIError):
        world.follow()
    monkeypatch.undo()
    assert (world.snapshot(), _ledger(world)) == (before, ledger)
    assert world.follow().followed == 1
