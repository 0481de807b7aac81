"""The benchmark of links does the same work in every way, and would notice if one did not. At twenty patients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import links
from bench.harness import BenchError, Call, compare
from bench.links import FLOOR, FLOOR_WITH_JOURNAL, ORM, OURS, OURS_FROM_FILES, SCENARIOS, Clinics, Scenario, Way
from bench.peers.clinic_data import TINY
from fm_migration.embedded.stack import Stack


@pytest.fixture
def clinics(servers: Stack, tmp_path: Path) -> Iterator[Clinics]:
    made = Clinics(servers.database_url, TINY, tmp_path, prefix=f"links_{uuid.uuid4().hex[:8]}")
    yield made
    made.remove()


@pytest.mark.long
def test_every_way_shows_every_photograph_on_its_patients_page(clinics: Clinics) -> None:
    """`links.run` itself counts what the gallery shows, and ends when a way has lost anything."""
    first = links.run(SCENARIOS["import"], clinics, TINY, runs=1, warm_up=0).comparison
    stale = links.run(SCENARIOS["stale"], clinics, TINY, runs=1, warm_up=0).comparison
    assert list(first.samples) == [OURS, OURS_FROM_FILES, ORM, FLOOR, FLOOR_WITH_JOURNAL]
    assert list(stale.samples) == [OURS, ORM, FLOOR]
    assert list(stale.parts(OURS)) == ["patients", "links", "plan", "apply"]


def test_a_way_that_does_not_do_the_work_ends_the_benchmark(clinics: Clinics) -> None:
    idle = Way("re-imported", "bench.peers.sql_floor:find_nothing_new", "bench.peers.sql_floor:connect")
    with pytest.raises(BenchError, match=r"shown=0, images=60, badges=0\) instead of 60"):
        links.run(Scenario("re-link", {"idle": idle}), clinics, TINY, runs=1, warm_up=0)


def test_the_time_around_a_call_is_told_apart_from_the_call() -> None:
    looked: list[str] = []
    calls = {"ours": Call("fm_migration_tests.bench.calls:work", {"rounds": 10})}
    comparison = compare(calls, runs=2, warm_up=0, after=looked.append)
    assert looked == ["ours", "ours"]
    assert comparison.around("ours") > comparison.wall("ours").high
    assert comparison.parts("ours") == {}
