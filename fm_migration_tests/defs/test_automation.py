"""The second way to heal, tick by tick: what is made from older inputs is requested, whatever happens in between.

The runs are real ones on the sample clinic, in this process; a tick asks the condition what the daemon would request.
The sensor plays no part here. The races are those that Dagster's own conditions lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import psycopg
import pytest

from fm_migration.defs.assets import links as clinic_assets
from fm_migration.defs.automation import automation
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.linking import applying, following
from fm_migration_tests.conftest import SampleClinic
from fm_migration_tests.defs.conftest import Import
from fm_migration_tests.defs.memory import recall
from fm_migration_tests.e2e.homes import homes
from fm_migration_tests.e2e.runs import record_run
from fm_migration_tests.places import use_places

IMPORT = ("csv_metadata", "s3_inventory", "patient_map", "patient_links", "link_plan", "image_batches")
LINKS = {"link_plan", "image_batches", "patient_links"}
#: Every race ends within so many ticks, or never.
MOST_TICKS = 6


@dataclass
class Automated:
    """A clinic, an instance, and the automation's memory from tick to tick."""

    database_url: str
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    cursor: Any = None
    requests: list[set[str]] = field(default_factory=list)

    def run(self, *assets: str) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def tick(self) -> set[str]:
        """What the automation requests now."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        self.requests.append({key.to_user_string() for key in keys if result.get_num_requested(key)})
        return self.requests[-1]

    def tick_and_run(self) -> set[str]:
        """A tick, and the run that it requests."""
        requested = self.tick()
        if requested:
            self.run(*requested)
        return requested

    def tick_until_quiet(self) -> None:
        for _ in range(MOST_TICKS):
            if not self.tick_and_run():
                return
        raise AssertionError(f"still not quiet after {MOST_TICKS} ticks: {self.requests}")

    def reimport(self) -> None:
        with psycopg.connect(self.database_url) as connection:
            for _ in play_reimport(connection, seed=1):
                pass

    def reimport_and_map(self) -> None:
        """What a person does who does not wait for the sensor."""
        self.reimport()
        assert self.run("patient_map").success

    def homes(self) -> dict[str, str]:
        with psycopg.connect(self.database_url) as connection:
            return homes(connection)


Order = Callable[[str | None], Automated]


@pytest.fixture
def order(
    make_sample: Callable[..., SampleClinic],
    monkeypatch: pytest.MonkeyPatch,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Order:
    """A clinic in the state of this template."""

    def make(template: str | None) -> Automated:
        sample = make_sample("fresh", template)
        use_places(monkeypatch, sample.database_url, sample.bucket, sample.export)
        return Automated(sample.database_url, definitions, instance)

    return make


@pytest.fixture
def untouched(order: Order) -> Automated:
    return order(None)


@pytest.fixture
def imported(order: Order, import_by_dagster: Callable[..., Import]) -> Automated:
    """Everything imported, and one tick gone by."""
    made = import_by_dagster("fresh", *IMPORT)
    clinic = order(made.template)
    recall(clinic.instance, made.memory)
    assert clinic.tick() == set()
    return clinic


@pytest.fixture
def whole(imported: Automated) -> Callable[[], bool]:
    """Whether every photograph and every document leads to whom it did after the import."""
    before = imported.homes()
    assert len(before) > 100
    return lambda: imported.homes() == before


def test_what_was_never_made_is_left_to_a_person(untouched: Automated) -> None:
    assert untouched.tick() == set()
    untouched.run("csv_metadata", "s3_inventory", "patient_map")
    assert untouched.tick() == set()


def test_unchanged_patients_request_nothing(imported: Automated) -> None:
    assert imported.run("patient_map").success
    assert imported.tick() == set()


def test_a_new_patient_map_requests_the_links_in_one_run_and_heals(
    imported: Automated, whole: Callable[[], bool]
) -> None:
    imported.reimport_and_map()
    assert not whole()
    assert imported.tick_and_run() == LINKS
    assert whole()
    assert imported.tick() == set()


def test_a_changed_source_alone_requests_nothing(imported: Automated) -> None:
    """Sources are observed by the sensor and by people; what was read from them last is what the links are made of."""
    for _ in range(2):
        assert imported.run("filemaker_export", "bulk_dump", "patients").success
        assert imported.tick() == set()
        imported.reimport()


def test_a_half_imported_table_heals_who_is_back_and_then_the_others(
    imported: Automated, whole: Callable[[], bool]
) -> None:
    at_home = imported.homes()
    imported.reimport()
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("create table late as select * from patients order by id limit 40")
        connection.execute("delete from patients where id in (select id from late)")
    assert imported.run("patient_map").success
    imported.tick_until_quiet()
    assert 0 < len(imported.homes()) < len(at_home)
    assert imported.homes().items() <= at_home.items()
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("insert into patients select * from late")
    assert imported.run("patient_map").success
    imported.tick_until_quiet()
    assert whole()


def test_patients_who_have_all_lost_their_ids_request_nothing(imported: Automated) -> None:
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("update patients set filemaker_metadata = null")
    assert not imported.run("patient_map").success
    assert imported.tick() == set()


def test_plans_made_by_hand_are_applied(imported: Automated, whole: Callable[[], bool]) -> None:
    imported.reimport_and_map()
    assert imported.run("link_plan").success
    imported.tick_until_quiet()
    assert whole()


def _once(action: Callable[[], object]) -> Callable[[], None]:
    left = [action]

    def act() -> None:
        if left:
            left.pop()()

    return act


def _before(monkeypatch: pytest.MonkeyPatch, module: Any, function: str, action: Callable[[], None]) -> None:
    """Have the action happen whenever the function is about to be called."""
    original = getattr(module, function)

    def acting_first(*arguments: Any, **named: Any) -> Any:
        action()
        return original(*arguments, **named)

    monkeypatch.setattr(module, function, acting_first)


@pytest.mark.parametrize("ticks_meanwhile", [False, True], ids=["no tick during the run", "a tick during the run"])
@pytest.mark.parametrize(
    ("module", "function"),
    [(clinic_assets, "summary"), (applying, "apply_plan"), (following, "follow")],
    ids=["after planning", "before applying", "before the other links"],
)
def test_a_reimport_during_the_run_is_not_lost(
    imported: Automated,
    whole: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    function: str,
    ticks_meanwhile: bool,
) -> None:
    """R1, R2 and R3: the run was requested and has read its inputs when the patients change once more."""

    def meanwhile() -> None:
        imported.reimport_and_map()
        if ticks_meanwhile:
            imported.tick()

    _before(monkeypatch, module, function, _once(meanwhile))
    imported.reimport_and_map()
    assert imported.tick_and_run() == LINKS
    imported.tick_until_quiet()
    assert whole()


def test_a_reimport_between_request_and_run_is_not_lost(imported: Automated, whole: Callable[[], bool]) -> None:
    """R1b."""
    imported.reimport_and_map()
    requested = imported.tick()
    imported.reimport_and_map()
    imported.run(*requested)
    imported.tick_until_quiet()
    assert whole()


def test_a_reimport_between_the_run_and_the_next_tick_is_not_lost(
    imported: Automated, whole: Callable[[], bool]
) -> None:
    """R4."""
    imported.reimport_and_map()
    imported.tick_and_run()
    imported.reimport_and_map()
    imported.tick_until_quiet()
    assert whole()


def test_a_failed_run_is_repeated_when_an_input_was_made_anew_and_not_before(
    imported: Automated, whole: Callable[[], bool]
) -> None:
    imported.reimport_and_map()
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("alter table images_batch add check (object_id is null) not valid")
    assert imported.tick_and_run() == LINKS
    assert not whole()
    assert [imported.tick() for _ in range(3)] == [set()] * 3
    with psycopg.connect(imported.database_url) as connection:
        connection.execute("alter table images_batch drop constraint images_batch_object_id_check")
    assert imported.tick() == set()
    imported.reimport_and_map()
    imported.tick_until_quiet()
    assert whole()


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.CANCELED])
def test_a_requested_run_that_waits_or_was_cancelled_is_not_requested_again(
    imported: Automated, status: dg.DagsterRunStatus
) -> None:
    imported.reimport_and_map()
    requested = imported.tick()
    job = imported.definitions.resolve_implicit_global_asset_job_def()
    record_run(imported.instance, job, status, assets=requested)
    assert [imported.tick() for _ in range(2)] == [set()] * 2


def test_its_runs_are_kept_apart_and_ended_like_those_of_the_sensor(definitions: dg.Definitions) -> None:
    assert automation.run_tags == definitions.resolve_job_def("heal_links").tags
