"""The intake against the simulated FileMaker, a real PostgreSQL and a real object server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sqlalchemy import Engine

from fm_migration.intake.bringing import Outcome, Told
from fm_migration.intake.wishes import Ending, Wishes
from fm_migration.objects.store import ObjectStore
from fm_migration_tests.filemaker_server import FileMakerServer, Storm
from fm_migration_tests.intake.conftest import brought, states

Start = Callable[..., FileMakerServer]
Bring = Callable[..., Outcome]


def _alive(server: FileMakerServer) -> dict[str, str]:
    """What must be in the dump at the end: by recid, the hash of the best picture that can arrive."""
    return {str(row["recid"]): row["sha256"] for row in server.truth() if row["dead"] is None}


def test_all_that_can_arrive_does_and_the_dead_are_quarantined(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore
) -> None:
    clinic = server(records=60, dead_share=0.2, broken_largest=0.1)
    outcome = bring(clinic)
    assert outcome.ending is Ending.COMPLETE
    assert brought(store) == _alive(clinic)
    dead = {str(row["record"]) for row in clinic.truth() if row["dead"]}
    assert {record for record, one in states(engine).items() if one.state == "quarantined"} == dead
    assert all(one.reason for one in states(engine).values() if one.state == "quarantined")
    report = clinic.report()
    assert (report["writes"], report["sessions_left"], report["sessions_at_once_most"]) == (0, 0, 1)
    assert (outcome.unseen, outcome.records) == (0, 60)


def test_a_second_run_fetches_nothing(server: Start, bring: Bring, store: ObjectStore) -> None:
    clinic = server(records=30, dead_share=0.2)
    first = bring(clinic)
    clinic.clear_report()
    second = bring(clinic)
    assert first.arrived > 0
    assert (second.arrived, second.quarantined) == (0, 0)
    assert "container" not in clinic.report()["requests"]
    assert brought(store) == _alive(clinic)


def test_a_smaller_picture_is_taken_only_when_the_larger_is_broken_and_it_is_written_down(
    server: Start, bring: Bring, engine: Engine
) -> None:
    clinic = server(records=40, broken_largest=0.3, smaller_share=0.2)
    outcome = bring(clinic)
    expected = {str(row["record"]): row["container"] for row in clinic.truth() if row["dead"] is None}
    assert {record: one.container for record, one in states(engine).items()} == expected
    assert 0 < outcome.smaller == sum(one.smaller_by > 0 for one in states(engine).values())


def test_a_limit_ends_a_run_and_the_next_goes_on(server: Start, bring: Bring, store: ObjectStore) -> None:
    clinic = server(records=25)
    endings = [bring(clinic, Wishes(limit=10, batch_size=6)) for _ in range(3)]
    assert [one.arrived for one in endings] == [10, 10, 5]
    assert [one.ending for one in endings] == [Ending.LIMIT, Ending.LIMIT, Ending.COMPLETE]
    assert brought(store) == _alive(clinic)
    assert clinic.report()["containers_fetched_again"] == 0


def test_a_storm_of_every_kind_costs_no_photograph(server: Start, bring: Bring, store: ObjectStore) -> None:
    clinic = server(records=120, dead_share=0.09)
    clinic.storms(
        [
            Storm(on=["container"], after=30, times=3, for_requests=6, covers=["any"], kills_sessions=True, again=True),
            Storm(on=["container"], share=0.06, status=401),
            Storm(on=["container"], share=0.04, status=400),
            Storm(on=["container"], share=0.03, action="html"),
            Storm(on=["container"], share=0.03, action="empty"),
            Storm(on=["container"], share=0.03, action="short"),
            Storm(on=["container"], share=0.03, action="truncate"),
            Storm(on=["container"], share=0.03, action="reset_midway"),
            Storm(on=["any"], share=0.02, action="reset"),
            Storm(on=["find", "records"], every=7, action="revoke"),
            Storm(on=["find", "records"], every=11, action="window_missing"),
            Storm(on=["login"], times=1, after=1, action="code", code="956"),
        ],
        seed=5,
    )
    outcome = bring(clinic)
    assert outcome.ending is Ending.COMPLETE
    assert brought(store) == _alive(clinic)
    report = clinic.report()
    assert (report["writes"], report["sessions_left"], report["sessions_at_once_most"]) == (0, 0, 1)
    assert report["credentials_in_urls"] == report["credentials_elsewhere"] == 0
    assert Counter(report["storms"])


def test_whoever_watches_is_told_of_each_photograph(server: Start, bring: Bring) -> None:
    clinic = server(records=5)
    told: list[Told] = []
    bring(clinic, tell=told.append)
    assert [(one.recid, one.state, one.done, one.expected) for one in told] == [
        (str(number), "arrived", number, 5) for number in range(1, 6)
    ]
    assert all(one.bytes > 0 and one.container for one in told)
