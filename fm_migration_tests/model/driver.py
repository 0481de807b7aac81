"""The one door from the model to the code under test and to its real database.

Belongs here: what the clinic does as plain rows, our own steps by the names that the model has for them, and ways to
disturb a step (a process killed at a statement, staff or another run in the middle of it). When the code's functions
get other names, this module changes and no other. Does not belong here: any expectation.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from fm_migration import database
from fm_migration.clinic import contract
from fm_migration.errors import DatabaseError, FmMigrationError
from fm_migration.ledger import identity
from fm_migration.linking import consuming
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.plans import StalePlanError
from fm_migration_tests.linking.world import DUMP, LISTED_AT, Photograph, World
from fm_migration_tests.model.things import BATCHES, DOCUMENTS, IMAGES, PATIENTS, RELATIONS, View

#: What the code under test can do by now. The machine leaves out what it cannot.
CAN_SETTLE = True
CAN_RESTORE = True
CAN_PLAN_INCREMENTALLY = True

TABLES = (BATCHES, IMAGES, DOCUMENTS, RELATIONS, PATIENTS)
_VIEW = " union all ".join(f"select '{table}', id::text, to_jsonb(t) from {table} as t" for table in TABLES)
#: Rows that a migration of ours has put there stay.
_FILLED = text("""
select relation.oid::regclass::text as name from pg_class as relation
join pg_namespace as namespace on namespace.oid = relation.relnamespace
where relation.relkind = 'r' and namespace.nspname = 'fm_migration'
""")
_OTHERS = text("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
_PLANS = text("select id from fm_migration.link_plan where applied_at is not null order by id")
LOCK_WAIT = "20ms"

Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Planned:
    number: int
    changes: int


class Refused(Exception):  # noqa: N818  # an outcome, not an error
    """The code under test would not do a step now, and said why."""


@dataclass
class Driver:
    """A clinic in a database of its own, and the steps of the code under test on it."""

    world: World

    # --- the clinic ---------------------------------------------------------------------------------------------------

    def empty(self) -> None:
        with self.world.engine.begin() as connection:
            connection.execute(text("set local session_replication_role = replica"))
            for table in self._to_empty(connection):
                connection.execute(text(f"delete from {table}"))

    def _to_empty(self, connection: Connection) -> tuple[str, ...]:
        tables = _to_empty.get(self.world.url)
        if tables is None:
            ours = [row.name for row in connection.execute(_FILLED)]
            filled = {
                name for name in ours if connection.execute(text(f"select exists (select from {name})")).scalar_one()
            }
            tables = (*(name for name in ours if name not in filled), *TABLES, "auth_user")
            _to_empty[self.world.url] = tables
        return tables

    def content_type(self) -> int:
        with self.world.engine.begin() as connection:
            return contract.patient_content_type_id(connection)

    def write(self, *statements: Statement) -> None:
        """What the app or the clinic's script does, in one transaction."""
        with self.world.engine.begin() as connection:
            for statement, parameters in statements:
                connection.execute(text(statement), parameters)

    def write_unless_locked(self, *statements: Statement) -> bool:
        """The same in the middle of a step of ours; False when it would have had to wait for that."""
        try:
            with self.world.engine.begin() as connection:
                connection.execute(text(f"set local lock_timeout = '{LOCK_WAIT}'"))
                for statement, parameters in statements:
                    connection.execute(text(statement), parameters)
        except DBAPIError:
            return False
        return True

    def view(self) -> View:
        tables: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
        with self.world.engine.connect() as connection:
            for table, key, row in connection.execute(text(_VIEW)):
                tables[table][key] = row
        return View({table: dict(sorted(rows.items())) for table, rows in tables.items()})

    # --- what we read -------------------------------------------------------------------------------------------------

    def read_export(self, rows: Sequence[Photograph]) -> None:
        self.world.export(*rows)

    def read_objects(self, versions: Mapping[str, int]) -> None:
        """List these originals; bytes that were replaced have another ETag."""
        self.world.list_facts(
            [
                ObjectFacts(DUMP + name, f"etag-{name}-{version}", 1000, LISTED_AT, STANDARD)
                for name, version in versions.items()
            ]
        )

    def read_patients(self) -> None:
        self.world.read_patients()

    # --- what we do ---------------------------------------------------------------------------------------------------

    def follow(self) -> list[int]:
        """Read the patients and lead every link home by the history; the numbers of the plans that did it."""
        self.read_patients()
        plan = self.world.follow().plan
        return [plan] if plan else []

    def plan(self, *, full: bool = False) -> Planned:
        """Plan the photographs; `full` looks at everything and not only at what has changed."""
        plan = self.world.plan(full=full)
        return Planned(plan.id, plan.changes)

    def apply(self, plan: int) -> None:
        """Apply a plan as somebody who has approved it; Refused when it is not of today any more."""
        approve = self.world.one("select hash from fm_migration.link_plan where id = :plan", plan=plan)
        try:
            self.world.apply(plan, approve=approve)
        except StalePlanError as error:
            raise Refused(str(error)) from error

    def undo(self, plan: int) -> None:
        self.world.undo(plan)

    def settle(self, former: str, patient: str) -> int:
        try:
            return self.world.settle(UUID(former), UUID(patient)).plan
        except DatabaseError as error:
            raise Refused(str(error)) from error

    def restore(self, recids: Sequence[str]) -> int:
        try:
            return self.world.restore(*recids).id
        except DatabaseError as error:
            raise Refused(str(error)) from error

    def heal(self) -> list[int]:
        """All of it in the order of a healing run; the numbers of the plans that were applied."""
        plans = self.follow()
        plan = self.plan()
        self.apply(plan.number)
        return [*plans, plan.number]

    def heals_by_itself(self) -> bool:
        """Whether the sensor would start a run of healing, were the table to stand as it is."""
        with self.world.engine.begin() as connection:
            return identity.read_state(connection).fingerprint != consuming.consumed(connection).fingerprint

    # --- what it says -------------------------------------------------------------------------------------------------

    def row_states(self) -> Counter[str]:
        """How many rows of the export are in each state."""
        rows = self.world.rows("select state from fm_migration.photo where in_export")
        return Counter(row.state for row in rows)

    def original_states(self) -> set[str]:
        """The originals that are in a state, with a row of the export or without."""
        rows = self.world.rows("select key from fm_migration.photo where key is not null")
        return {row.key.removeprefix(DUMP) for row in rows}

    def state_of(self, recid: str) -> str:
        (row,) = self.world.rows("select state from fm_migration.photo where recid = :recid and in_export", recid=recid)
        return str(row.state)

    def applied_plans(self) -> list[int]:
        with self.world.engine.connect() as connection:
            return list(connection.execute(_PLANS).scalars())

    # --- how a step is disturbed --------------------------------------------------------------------------------------

    def in_the_middle(self, step: Callable[[], Any], statement: int, disturb: Callable[[], None]) -> Any:
        """Do a step, and `disturb` once before its so-manieth statement."""
        with _at_statement(self.world.engine, statement, disturb):
            return step()

    def killed(self, step: str, argument: int | None, statement: int) -> bool:
        """Have a process do a step and end itself by SIGKILL before a statement; False when it came to its end."""
        arguments = (self.world.url, str(self.world.folder), step, argument, statement)
        process = _server().Process(target=_doomed, args=arguments)
        process.start()
        process.join()
        self._wait_until_alone()
        if process.exitcode not in (0, 3, -signal.SIGKILL):
            raise AssertionError(f"the process ended with {process.exitcode}")
        return bool(process.exitcode == -signal.SIGKILL)

    def _wait_until_alone(self) -> None:
        """The server may need a moment to see that its client is gone."""
        self.world.engine.dispose()
        with self.world.engine.connect() as connection:
            for _ in range(500):
                if connection.execute(_OTHERS).scalar_one() == 0:
                    return
                connection.rollback()
                time.sleep(0.01)
        raise AssertionError("the killed process still has a connection")

    def at_once(self, statement: int) -> None:
        """Two healing runs: the second starts at a statement of the first. Each may be refused, neither may do harm."""
        second = threading.Thread(target=self._heal_quietly)

        def start() -> None:
            second.start()
            second.join(0.05)

        with _at_statement(self.world.engine, statement, start):
            self._heal_quietly()
        if second.ident is not None:
            second.join()

    def _heal_quietly(self) -> None:
        try:
            self.heal()
        except (Refused, FmMigrationError):
            return
        except DBAPIError as error:
            if not database.explain_statement(error).transient:
                raise


_to_empty: dict[str, tuple[str, ...]] = {}


@contextmanager
def _at_statement(engine: Engine, number: int, act: Callable[[], None]) -> Iterator[None]:
    """Act once before the so-manieth statement of this thread; committing counts as one too."""
    thread, count = threading.get_ident(), 0

    def counted(*_: Any) -> None:
        nonlocal count
        if threading.get_ident() == thread:
            count += 1
            if count == number:
                act()

    event.listen(engine, "before_cursor_execute", counted)
    event.listen(engine, "commit", counted)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", counted)
        event.remove(engine, "commit", counted)


def _server() -> Any:
    """A process that has imported everything and splits off the doomed ones: 20 ms each instead of two seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _doomed(url: str, folder: str, step: str, argument: int | None, statement: int) -> None:
    engine = database.open_engine(url)
    driver = Driver(World(engine, Path(folder)))
    steps: dict[str, Callable[[], Any]] = {
        "follow": driver.follow,
        "plan": driver.plan,
        "apply": lambda: driver.apply(argument or 0),
        "undo": lambda: driver.undo(argument or 0),
    }
    with _at_statement(engine, statement, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        try:
            steps[step]()
        except Refused:
            os._exit(3)
    os._exit(0)
