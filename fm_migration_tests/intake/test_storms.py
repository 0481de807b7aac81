"""A whole clinic in the worst weather, with runs that are killed on the way: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration.objects.store import ObjectStore
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.filemaker_server import ServerSettings, Storm, server_process
from fm_migration_tests.filemaker_server.handle import Handle
from fm_migration_tests.intake.conftest import brought, states

PASSWORD = "canary-password-93b1"
ACCOUNT = "canary-account-0e77"
PATIENCE_SECONDS = 3_000

#: Everything at once: what the clinic has met, and what its documents are afraid of.
WEATHER = (
    Storm(
        name="engine",
        on=["container"],
        after=70,
        times=None,
        for_requests=3,
        covers=["any"],
        kills_sessions=True,
        again=True,
    ),
    Storm(on=["container"], share=0.03, status=401),
    Storm(on=["container"], share=0.02, status=400),
    Storm(on=["container"], share=0.02, action="html"),
    Storm(on=["container"], share=0.02, action="empty"),
    Storm(on=["container"], share=0.02, action="short"),
    Storm(on=["container"], share=0.02, action="truncate"),
    Storm(on=["container"], share=0.02, action="reset_midway"),
    Storm(on=["container"], share=0.01, action="stale"),
    Storm(on=["any"], share=0.005, action="reset"),
    Storm(on=["find", "records"], every=17, action="revoke"),
    Storm(on=["find", "records"], every=23, action="window_missing"),
    Storm(on=["login"], every=9, action="code", code="956", status=500),
    Storm(on=["login"], every=13, action="code", code="812", status=500),
)


def _run(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "fm_migration_tests.intake.one_run"],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
        )


def _arrived(engine: Engine) -> int:
    with engine.connect() as connection:
        count: int = connection.execute(
            text("select count(*) from fm_migration.transfer where state in ('arrived', 'quarantined')")
        ).scalar_one()
    return count


def _until(engine: Engine, count: int, run: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while _arrived(engine) < count and run.poll() is None:
        assert time.monotonic() < end, "the intake stands still"
        time.sleep(0.02)


@pytest.fixture
def environment(clinic_database: str, bucket: Bucket, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "FM_HOME": str(tmp_path / "home"),
        "FM_DATABASE_URL": clinic_database,
        "FM_OBJECTS_URL": bucket.url,
        "FM_OBJECTS_ACCESS_KEY": bucket.access_key,
        "FM_OBJECTS_SECRET_KEY": bucket.secret_key,
        "FM_RETRY_SECONDS": "0.02",
    }


def _named(environment: dict[str, str], server: Handle) -> dict[str, str]:
    account, password = server.account
    return {
        **environment,
        "FM_FILEMAKER_URL": server.url(),
        "FM_FILEMAKER_DATABASE": "Clinic",
        "FM_FILEMAKER_ACCOUNT": account,
        "FM_FILEMAKER_PASSWORD": password,
        "FM_FILEMAKER_CA": str(server.ca_file),
    }


@pytest.mark.parametrize(
    ("records", "kills"),
    [(150, 3), pytest.param(6_664, 10, marks=[pytest.mark.long, pytest.mark.timeout(7_200)])],
    ids=["small", "the whole clinic"],
)
def test_all_that_can_arrive_does_in_every_storm_though_runs_are_killed(
    records: int, kills: int, environment: dict[str, str], engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    chance, log = random.Random(records), tmp_path / "runs.log"
    settings = ServerSettings(
        records=records, dead_share=0.09, broken_largest=0.02, accounts={ACCOUNT: PASSWORD}, container_urls="glued"
    )
    with server_process(settings) as server:
        server.storms(WEATHER, seed=7)
        named = _named(environment, server)
        for number in range(kills):
            run = _run(named, log)
            _until(engine, round((number + chance.uniform(0.5, 0.95)) * records / (kills + 1)), run)
            commandline = Path(f"/proc/{run.pid}/cmdline")
            shown = commandline.read_bytes() if commandline.exists() else b""
            assert PASSWORD.encode() not in shown
            run.send_signal(signal.SIGKILL)
            run.wait()
        last = _run(named, log)
        assert last.wait(PATIENCE_SECONDS) == 0, log.read_text("utf-8")[-2_000:]
        _judge(server, kills, engine, store)
        _judge_a_second_run(server, named, log, store)
        _judge_the_output(server, log, tmp_path)


def _judge(server: Handle, kills: int, engine: Engine, store: ObjectStore) -> None:
    truth = server.truth()
    alive = {str(row["recid"]): row["sha256"] for row in truth if row["dead"] is None}
    dead = {str(row["record"]) for row in truth if row["dead"] is not None}
    assert brought(store) == alive, "each is there, byte by byte"
    known = states(engine)
    assert {record for record, one in known.items() if one.state == "quarantined"} == dead
    assert {one.sha256 for one in known.values() if one.state == "arrived"} <= set(alive.values())
    report = server.report()
    assert report["writes"] == 0
    assert (report["sessions_at_once_most"], report["sessions_left"]) == (1, 0)
    assert report["requests_at_once_most"] == 1
    assert report["credentials_in_urls"] == report["credentials_elsewhere"] == report["credentials_without_tls"] == 0
    # A run that is killed between the last byte and its commit fetches that one again.
    assert _again(report, {str(row["record"]) for row in truth if row["dead"] is None}) <= kills


def _again(report: dict[str, Any], alive: set[str]) -> int:
    return sum(count for which, count in report["containers_fetched_again_which"].items() if which.split()[0] in alive)


def _judge_a_second_run(server: Handle, named: dict[str, str], log: Path, store: ObjectStore) -> None:
    server.storms([])
    server.clear_report()
    before = brought(store)
    assert _run(named, log).wait(PATIENCE_SECONDS) == 0
    assert "container" not in server.report()["requests"], "neither what is here nor what is dead is fetched again"
    assert brought(store) == before


def _judge_the_output(server: Handle, log: Path, home: Path) -> None:
    """What runs print is kept by Dagster: numbers and names of fields only."""
    printed = log.read_text("utf-8")
    secrets = [ACCOUNT, PASSWORD, "Bearer", "Basic", "Streaming_SSL"]
    people = [row["id_Contact"] for row in server.truth()[:200]]
    assert [secret for secret in (*secrets, *people) if secret in printed] == []
    assert [path for path in (home / "home").rglob("session-*") if path.is_file()] == [], "the session is ended"
