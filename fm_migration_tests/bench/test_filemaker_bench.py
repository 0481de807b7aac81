"""The benchmark of FileMaker compares ways that read the same: each counts what it read, and fails on too little."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from bench import filemaker
from bench.peers.filemaker import Where
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings

RECORDS = 250
WAYS = ["plain", "fmrest", "our"]


@pytest.fixture(scope="module")
def server() -> Iterator[FileMakerServer]:
    with FileMakerServer(ServerSettings(records=RECORDS, duplicate_recids=0.1)) as running:
        yield running


def where(server: FileMakerServer) -> list[str]:
    return list(Where(server.url(), str(server.ca_file), *server.account))


@pytest.mark.parametrize("way", WAYS)
def test_each_way_reads_every_record_once_and_logs_out(server: FileMakerServer, way: str) -> None:
    read = getattr(filemaker, f"{way}_records")
    read(where(server), RECORDS)
    with pytest.raises(AssertionError, match=f"found {RECORDS} instead of {RECORDS + 1}"):
        read(where(server), RECORDS + 1)
    assert server.report()["sessions_live"] == 0


@pytest.mark.parametrize("way", WAYS)
def test_each_way_fetches_the_same_pictures(server: FileMakerServer, way: str) -> None:
    fetch = getattr(filemaker, f"{way}_containers")
    # In the order of the recids, which are not those of the records here.
    rows = sorted(server.truth(), key=lambda row: (row["recid"], row["record"]))
    whole = hashlib.sha256()
    for row in rows[:20]:
        whole.update(bytes.fromhex(row["sha256"]))
    fetch(where(server), 20, whole.hexdigest())
    with pytest.raises(AssertionError, match="would mean nothing"):
        fetch(where(server), 19, whole.hexdigest())
    assert server.report()["sessions_live"] == 0
