"""What a process calls to work on the embedded servers: they run for as long as any such process lives.

    with borrow(settings) as stack: ...     for a block
    stack = hold(settings)                  until this process ends

Holding is a shared lock on one file. The kernel gives it back when a process ends, however it ends, so no count of
users can go wrong. Which process starts the keeper is settled by a second lock.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fm_migration.embedded import locks, object_server, ports, postgres
from fm_migration.embedded.state import Running, StackLayout, StackState, read_secrets, read_state
from fm_migration.errors import EmbeddedStackError
from fm_migration.settings import Settings

BUCKET = "clinic"
DATABASE = "clinic"
START_SECONDS = 120.0
GIVE_WAY_SECONDS = 30.0


@dataclass(frozen=True)
class Stack:
    """Where the embedded servers answer."""

    layout: StackLayout
    database_port: int
    objects_port: int
    database_password: str = field(repr=False)
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def database_url(self, database: str = DATABASE) -> str:
        return postgres.url(self.database_port, self.database_password, database)

    @property
    def objects_url(self) -> str:
        return f"s3://{BUCKET}?endpoint={object_server.url(self.objects_port)}&region={object_server.REGION}"


_held: dict[Path, tuple[int, Stack]] = {}


def hold(settings: Settings) -> Stack:
    """The running servers, kept running until this process ends."""
    home = settings.home.resolve()
    if home not in _held:
        layout = _layout(home)
        lease = locks.hold_shared(layout.in_use)
        _held[home] = (lease, _running_stack(layout, settings))
    return _held[home][1]


@contextlib.contextmanager
def borrow(settings: Settings) -> Iterator[Stack]:
    """The running servers, kept running for the block."""
    layout = _layout(settings.home.resolve())
    lease = locks.hold_shared(layout.in_use)
    try:
        yield _running_stack(layout, settings)
    finally:
        os.close(lease)


def _layout(home: Path) -> StackLayout:
    layout = StackLayout(home)
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout.in_use.touch(mode=0o600)
    except OSError as error:
        raise EmbeddedStackError(
            "preparing the folder of the embedded stack",
            str(home),
            error.strerror or "this user may not write there",
            "Choose a folder of your own with FM_HOME",
        ) from error
    return layout


def _running_stack(layout: StackLayout, settings: Settings) -> Stack:
    with locks.exclusive(layout.start_lock):
        state = _answering(layout) or _start(layout, settings)
        secrets = read_secrets(layout)
    return Stack(
        layout,
        state.postgres.port,
        state.objects.port,
        database_password=secrets.database_password,
        access_key=secrets.access_key,
        secret_key=secrets.secret_key,
    )


def _answering(layout: StackLayout) -> StackState | None:
    """The announced servers, if they answer. A keeper whose servers died is given time to notice and go."""
    deadline = time.monotonic() + GIVE_WAY_SECONDS
    while (state := read_state(layout)) is not None and state.keeper.is_alive():
        if all(_answers(server) for server in (state.postgres, state.objects)):
            return state
        if time.monotonic() > deadline:
            state.keeper.process().kill()
        time.sleep(0.1)
    return None


def _answers(server: Running) -> bool:
    """Both must hold: the helpers of a killed PostgreSQL keep its port open for a moment."""
    return server.is_alive() and ports.is_open(server.port)


def _start(layout: StackLayout, settings: Settings) -> StackState:
    read_secrets(layout)
    layout.complaint.unlink(missing_ok=True)
    layout.state.unlink(missing_ok=True)
    with layout.keeper_log.open("ab") as log:
        # A session of its own: Ctrl-C in the terminal of one user must not end the servers of another.
        keeper = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fm_migration.embedded.keeper",
                str(layout.home),
                str(settings.embedded_postgres_port or 0),
                str(settings.embedded_objects_port or 0),
                str(settings.embedded_linger_seconds),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = read_state(layout)
        if state is not None and state.keeper.pid == keeper.pid:
            return state
        if keeper.poll() is not None:
            raise _start_failure(layout)
        time.sleep(0.02)
    keeper.kill()
    raise _start_failure(layout)


def _start_failure(layout: StackLayout) -> EmbeddedStackError:
    try:
        found = layout.complaint.read_text(encoding="utf-8")
    except OSError:
        tail = layout.keeper_log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        found = "; ".join(tail) or "the servers did not answer in time"
    return EmbeddedStackError("starting the embedded servers in", str(layout.home), found, f"See {layout.keeper_log}")
