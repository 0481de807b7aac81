"""The benchmark of the report finds what it has planted, and would notice if not. At twenty patients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bench import report
from bench.harness import BenchError
from bench.peers.clinic_data import TINY
from bench.report import Faulty
from fm_migration.embedded.stack import Stack


@pytest.fixture
def clinics(servers: Stack, tmp_path: Path) -> Iterator[Faulty]:
    made = Faulty(servers.database_url, TINY, tmp_path, prefix=f"report_{uuid.uuid4().hex[:8]}", every=9)
    yield made
    made.remove()


@pytest.mark.long
def test_every_report_finds_what_was_planted(clinics: Faulty) -> None:
    comparison = report.run(clinics, runs=1, warm_up=0)
    assert list(comparison.samples) == ["first report", "next report", "page and files"]


@pytest.mark.slow
def test_a_fault_that_was_not_found_ends_the_benchmark(clinics: Faulty) -> None:
    clinics.start_from(report.WAYS["next report"])
    with psycopg.connect(clinics.url) as connection:
        connection.execute("delete from bench.planted where fault = 1")
    with pytest.raises(BenchError, match="instead of"):
        report._compare_with_the_truth(clinics.url, "next report")
