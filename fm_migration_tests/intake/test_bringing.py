"""The intake against the simulated FileMaker, a real PostgreSQL and a real object server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration.errors import TransientError
from fm_migration.filemaker.data_api.failures import FileMakerError
from fm_migration.intake.bringing import SOURCE, Outcome, PhotographOutcome
from fm_migration.intake.wishes import Ending, Wishes
from fm_migration.ledger import transfers
from fm_migration.objects.store import ObjectStore
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.filemaker_server import FileMakerServer, Storm
from fm_migration_tests.intake.conftest import DUMP, QUICK, brought, states

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


@pytest.mark.parametrize("form", ["port", "upper", "443", "glued", "http", "path", "elsewhere"])
@pytest.mark.parametrize("stream", [1, 2])
def test_every_form_of_a_containers_address_leads_to_its_bytes(
    server: Start, bring: Bring, store: ObjectStore, form: str, stream: int
) -> None:
    clinic = server(records=3, container_urls=form, authenticated_stream=stream, container_bearer="required")
    bring(clinic)
    assert brought(store) == _alive(clinic)
    report = clinic.report()
    assert report["credentials_elsewhere"] == report["requests_elsewhere"] == report["credentials_without_tls"] == 0


@pytest.mark.parametrize(
    "oddity",
    [
        {"second_get": "offer"},
        {"redirect_location": "relative"},
        {"redirect_location": "alternate"},
        {"counts": "strings"},
        {"counts": "absent"},
        {"no_match_status": 404},
        {"no_match_status": 400},
        {"key_order": "fixed"},
        {"text_recids": 0.3},
        {"duplicate_recids": 0.3},
        {"recid_shift": 1_000},
        {"gap_every": 3},
        {"smaller_share": 0.5},
    ],
    ids=str,
)
def test_every_oddity_of_a_server_costs_no_photograph(
    server: Start, bring: Bring, store: ObjectStore, oddity: dict[str, Any]
) -> None:
    clinic = server(records=24, **oddity)
    outcome = bring(clinic, Wishes(batch_size=5))
    wanted = [row["sha256"] for row in clinic.truth() if row["dead"] is None]
    assert sorted(brought(store).values()) == sorted(wanted)
    # A server of before version 18 does not say how many there are.
    assert outcome.unseen == (None if oddity.get("counts") == "absent" else 0)
    assert outcome.quarantined == 0
    assert (outcome.recid_differs > 0) == (bool(oddity.keys() & {"recid_shift", "duplicate_recids"}))


def test_an_address_that_has_died_is_read_again(server: Start, bring: Bring, store: ObjectStore) -> None:
    """The clinic read all addresses first and fetched hours later."""
    clinic = server(records=12)
    clinic.storms([Storm(on=["container"], every=3, action="stale")])
    bring(clinic)
    assert brought(store) == _alive(clinic)


def test_odata_takes_over_while_the_other_engine_is_down(server: Start, bring: Bring, store: ObjectStore) -> None:
    clinic = server(records=12)
    # The breaker asks again after a minute; the records are all of one page, so OData needs no session.
    patience = replace(QUICK, first=60.0, engine_first=60.0)

    def on_progress(told: PhotographOutcome) -> None:
        if told.done == 3:
            clinic.stop_engine()
        if told.done == 12:
            clinic.start_engine()

    outcome = bring(clinic, odata="Images", patience=replace(patience, engine_longest=60.0), on_progress=on_progress)
    assert outcome.by_odata == 9
    assert outcome.storms == 1
    assert brought(store) == _alive(clinic)


def test_a_second_way_that_does_not_work_gives_nobody_up(server: Start, bring: Bring, store: ObjectStore) -> None:
    clinic = server(records=8)

    def on_progress(told: PhotographOutcome) -> None:
        if told.done == 2:
            clinic.storms([Storm(on=["container"], times=1, for_requests=4, covers=["container", "product"])])

    outcome = bring(clinic, odata="Nowhere", on_progress=on_progress)
    assert (outcome.by_odata, outcome.quarantined) == (0, 0)
    assert brought(store) == _alive(clinic)


def test_without_odata_a_dead_engine_is_waited_for_and_no_longer_than_is_wished(
    server: Start, bring: Bring, engine: Engine
) -> None:
    clinic = server(records=6)

    def on_progress(told: PhotographOutcome) -> None:
        if told.done == 2:
            clinic.stop_engine()

    with pytest.raises(TransientError, match="has not come back"):
        bring(clinic, patience=replace(QUICK, engine_total=0.3), on_progress=on_progress)
    assert sum(one.state == "arrived" for one in states(engine).values()) == 2
    clinic.start_engine()
    assert bring(clinic).arrived == 4


def test_an_original_that_is_there_is_neither_fetched_nor_touched(
    server: Start, bring: Bring, engine: Engine, bucket: Bucket
) -> None:
    clinic = server(records=4)
    bucket.put(f"{DUMP}2.JPG", b"the clinic's own")
    outcome = bring(clinic)
    assert (outcome.present, outcome.arrived) == (1, 3)
    assert bucket.client.get_object(Bucket=bucket.name, Key=f"{DUMP}2.JPG")["Body"].read() == b"the clinic's own"
    assert states(engine)["2"].state == "present"
    assert clinic.report()["containers_fetched"] == 3


def test_a_photograph_that_was_brought_and_not_written_down_is_recognised(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore
) -> None:
    """A run that is killed between the object and its row."""
    clinic = server(records=3)
    bring(clinic)
    with engine.begin() as connection:
        connection.execute(text("delete from fm_migration.transfer"))
    clinic.clear_report()
    bring(clinic)
    assert "container" not in clinic.report()["requests"]
    found = states(engine)["1"]
    assert (found.state, found.sha256) == ("arrived", _alive(clinic)["1"])


def test_a_server_that_refuses_every_container_gives_nobody_up(server: Start, bring: Bring, engine: Engine) -> None:
    clinic = server(records=40)
    clinic.storms([Storm(on=["container"], status=401)])
    with pytest.raises(FileMakerError, match="were refused one after another"):
        bring(clinic)
    assert not any(one.state == "quarantined" for one in states(engine).values())
    clinic.storms([])
    assert bring(clinic).arrived == 40


def test_a_quarantined_photograph_is_tried_again_when_its_record_changes(
    server: Start, bring: Bring, engine: Engine
) -> None:
    clinic = server(records=6, dead_share=1.0, dead_kinds=["zero"])
    assert bring(clinic).quarantined == 6
    with engine.begin() as connection:
        connection.execute(text("update fm_migration.transfer set modification = 'before' where record = '3'"))
    clinic.clear_report()
    bring(clinic)
    assert clinic.report()["requests"]["container"] > 0
    assert {one.state for one in states(engine).values()} == {"quarantined"}


def test_a_record_that_is_gone_leaves_the_rows_and_its_original_stays(
    server: Start, bring: Bring, engine: Engine, store: ObjectStore
) -> None:
    clinic = server(records=8)
    bring(clinic)
    clinic.remove_records([4])
    outcome = bring(clinic)
    assert outcome.gone == 1
    with engine.connect() as connection:
        assert [row.record for row in transfers.rows_of(connection, SOURCE)] == ["1", "2", "3", "5", "6", "7", "8"]
    assert "4" in brought(store)


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
    told: list[PhotographOutcome] = []
    bring(clinic, on_progress=told.append)
    assert [(one.recid, one.state, one.done, one.expected) for one in told] == [
        (str(number), "arrived", number, 5) for number in range(1, 6)
    ]
    assert all(one.bytes > 0 and one.container for one in told)
