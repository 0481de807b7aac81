"""The embedded servers: one pair however many processes ask, gone with the last of them, well after any death."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from fm_migration.embedded import object_server, ports
from fm_migration.embedded.processes import wait_gone
from fm_migration.embedded.stack import Stack, borrow
from fm_migration.embedded.state import StackLayout, read_state
from fm_migration.errors import EmbeddedStackError
from fm_migration.settings import Settings, load_settings
from fm_migration_tests.embedded.running import clear_away, processes_in, wait_until_nobody_runs
from fm_migration_tests.waiting import PATIENCE_SECONDS

#: A process that borrows the stack, says on which ports it runs, and lets go when its standard input is closed.
BORROWER = """
import sys
from pathlib import Path
from fm_migration.embedded.stack import borrow
from fm_migration.settings import load_settings
with borrow(load_settings(home=Path(sys.argv[1]), embedded_linger_seconds=0)) as stack:
    print(stack.database_port, stack.objects_port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with a name that shells and option parsers stumble over; whatever runs in it ends with the test."""
    home = tmp_path / "Klinik Größe 100%"
    yield home
    clear_away(home)


def _settings(home: Path, **more: object) -> Settings:
    return load_settings(home=home, embedded_linger_seconds=0, **more)


def _borrower(home: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BORROWER, str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def _accepts_work(stack: Stack) -> bool:
    with psycopg.connect(stack.database_url("postgres")) as connection:
        return connection.execute("select 1").fetchone() == (1,)


def test_the_last_borrower_takes_the_servers_along(home: Path) -> None:
    first, second = _borrower(home), _borrower(home)
    assert _line(first) == _line(second) != ""
    _end(first)
    assert processes_in(home), "one borrower is left"
    _end(second)
    wait_until_nobody_runs(home)
    assert read_state(StackLayout(home)) is None


def test_what_was_stored_is_there_again_after_a_restart_on_the_same_ports(home: Path) -> None:
    with borrow(_settings(home)) as stack:
        former = (stack.database_port, stack.objects_port)
        with psycopg.connect(stack.database_url("postgres")) as connection:
            connection.execute("create table kept as select 7 as seven")
        client = _client(stack)
        client.create_bucket(Bucket="kept")
        client.put_object(Bucket="kept", Key="größe 1.jpg", Body=b"picture")
    wait_until_nobody_runs(home)
    with borrow(_settings(home)) as stack:
        assert (stack.database_port, stack.objects_port) == former
        with psycopg.connect(stack.database_url("postgres")) as connection:
            assert connection.execute("select seven from kept").fetchone() == (7,)
        assert _client(stack).get_object(Bucket="kept", Key="größe 1.jpg")["Body"].read() == b"picture"


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_two_processes_start_it_at_the_same_moment(home: Path, rounds: int) -> None:
    for round_number in range(rounds):
        pair = (_borrower(home), _borrower(home))
        answers = [_line(process) for process in pair]
        assert answers[0] == answers[1] != ""
        keepers = [process for process in processes_in(home) if "fm_migration.embedded.keeper" in process.cmdline()]
        assert len(keepers) == 1
        for process in pair:
            _end(process)
        if round_number % 5 == 4:
            clear_away(home)
            shutil.rmtree(home)


@pytest.mark.parametrize("after", [0.05, 0.6, *(pytest.param(after, marks=pytest.mark.long) for after in (0.3, 0.9))])
def test_a_start_that_is_killed_is_made_good_by_the_next(home: Path, after: float) -> None:
    borrower = _borrower(home)
    time.sleep(after)
    for process in processes_in(home):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    borrower.kill()
    borrower.communicate()
    with borrow(_settings(home)) as stack:
        assert _accepts_work(stack)


def test_a_killed_keeper_leaves_servers_that_the_next_one_adopts(home: Path) -> None:
    borrower = _borrower(home)
    database_port, objects_port = _line(borrower).split()
    state = read_state(StackLayout(home))
    assert state is not None
    state.keeper.process().kill()
    assert wait_gone(state.keeper.process(), PATIENCE_SECONDS)
    with borrow(_settings(home)) as stack:
        assert (str(stack.database_port), str(stack.objects_port)) == (database_port, objects_port)
        assert _accepts_work(stack)
        _end(borrower)
    wait_until_nobody_runs(home)


def test_a_killed_database_is_noticed_and_started_again(home: Path) -> None:
    borrower = _borrower(home)
    _line(borrower)
    state = read_state(StackLayout(home))
    assert state is not None
    server = state.postgres.process()
    server.kill()
    # A process that is being killed still answers for some milliseconds, on a busy machine for longer.
    assert wait_gone(server, PATIENCE_SECONDS)
    with borrow(_settings(home)) as stack:
        assert _accepts_work(stack)
    _end(borrower)


def test_left_over_locks_and_a_left_over_state_file_stop_nobody(home: Path) -> None:
    home.mkdir(parents=True)
    for name in ("in-use.lock", "start.lock"):
        (home / name).touch()
    (home / "stack.json").write_text(
        '{"keeper":{"pid":999999,"created":1,"port":0},"postgres":{"pid":999998,"created":1,"port":1},'
        '"objects":{"pid":999997,"created":1,"port":2}}'
    )
    with borrow(_settings(home)) as stack:
        assert _accepts_work(stack)


def test_a_port_in_use_is_named_with_the_setting_that_chose_it(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(EmbeddedStackError, match=rf"port {port}: another program.*FM_EMBEDDED_OBJECTS_PORT"),
            borrow(_settings(home, embedded_objects_port=port)),
        ):
            pass
    wait_until_nobody_runs(home)


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "a file"
    occupied.touch()
    with (
        pytest.raises(EmbeddedStackError, match=r"a file/home: .* Choose a folder of your own with FM_HOME"),
        borrow(_settings(occupied / "home")),
    ):
        pass


def test_both_servers_listen_on_loopback_alone_and_ask_for_a_password(home: Path) -> None:
    with borrow(_settings(home)) as stack:
        addresses = {
            connection.laddr.ip
            for process in processes_in(home)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses == {ports.LOOPBACK}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(stack.database_url("postgres").replace(stack.database_password, "wrong"))
        # ministack does not verify the secret of its own root key; an access key that it never gave it refuses.
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            _client(stack, access_key="FMSOMEBODYELSE").list_buckets()
    for private in ("secrets.json", "postgres", "objects"):
        assert (home / private).stat().st_mode & 0o077 == 0
    assert stack.database_password not in repr(stack)
    assert stack.secret_key not in repr(stack)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_it_as_itself(reachable: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    ours = {"user": daemon.pw_uid, "group": daemon.pw_gid, "extra_groups": [], "cwd": reachable}
    if not _may_run_python(ours):
        pytest.skip("another user may not enter the folder that the virtual environment lies in")
    home = reachable / "of an ordinary user"
    home.mkdir()
    shutil.chown(home, daemon.pw_uid, daemon.pw_gid)
    borrower = _borrower(home, **ours)
    assert len(_line(borrower).split()) == 2
    assert {process.username() for process in processes_in(home)} == {"daemon"}
    assert not (home / "postgres").is_symlink()
    _end(borrower)
    wait_until_nobody_runs(home)


def _may_run_python(options: dict[str, Any]) -> bool:
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import fm_migration"], check=False, capture_output=True, **options
        )
    except PermissionError:
        return False
    return tried.returncode == 0


def _client(stack: Stack, access_key: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=object_server.url(stack.objects_port),
        aws_access_key_id=access_key or stack.access_key,
        aws_secret_access_key=stack.secret_key,
        region_name=object_server.REGION,
    )
