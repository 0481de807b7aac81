"""The one process that owns the embedded servers: starts them, waits, and ends them with their last user.

Every process that uses the servers holds a shared lock on `in-use.lock` (`stack.py`). When the keeper gets that
lock for itself, nobody is left. It holds it while it stops the servers, so that a newcomer waits for the end and
then starts afresh. Killing the keeper leaves servers behind; the next keeper adopts them.

    python -m fm_migration.embedded.keeper HOME
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fm_migration.embedded import locks, object_server, ports, postgres, processes, server_place
from fm_migration.embedded.state import Running, Secrets, StackLayout, StackState, read_secrets
from fm_migration.errors import FmMigrationError

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Orders:
    """What the process that starts the keeper asks of it."""

    postgres_port: int | None
    objects_port: int | None
    linger_seconds: float


def main() -> None:
    layout = StackLayout(Path(sys.argv[1]))
    orders = Orders(
        postgres_port=int(sys.argv[2]) or None, objects_port=int(sys.argv[3]) or None, linger_seconds=float(sys.argv[4])
    )
    stopping = False

    def stop_soon(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, stop_soon)
    try:
        with _servers(layout, orders) as servers:
            _wait_for_the_end(layout, orders.linger_seconds, servers, lambda: stopping)
    except FmMigrationError as error:
        layout.complaint.write_text(str(error), encoding="utf-8")
        sys.exit(1)


@contextlib.contextmanager
def _servers(layout: StackLayout, orders: Orders) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """Both servers, announced in the state file while they run, stopped afterwards."""
    secrets = read_secrets(layout)
    database: Running | None = None
    objects: Running | None = None
    try:
        database = _run_postgres(layout, orders, secrets)
        objects = _run_objects(layout, orders, secrets)
        layout.ports.write_text(f"{database.port} {objects.port}", encoding="utf-8")
        StackState(keeper=_identity(psutil.Process()), postgres=database, objects=objects).write(layout)
        yield database.process(), objects.process()
    finally:
        layout.state.unlink(missing_ok=True)
        if objects is not None:
            object_server.stop(objects.process())
        if database is not None:
            postgres.stop(database.process())


def _run_postgres(layout: StackLayout, orders: Orders, secrets: Secrets) -> Running:
    left = postgres.running_on(layout.postgres_data)
    if left is not None:
        server, port = left
        if postgres.answers(port, secrets.database_password):
            return _running(server, port)
        postgres.stop(server)
    place = server_place.prepare(layout.postgres_data)
    postgres.make_data_folder(place, secrets.database_password)
    port = ports.choose(orders.postgres_port, layout.former_ports()[0], "FM_EMBEDDED_POSTGRES_PORT")
    server = postgres.start(place, port, secrets.database_password, layout.postgres_log)
    return _running(server, port)


def _run_objects(layout: StackLayout, orders: Orders, secrets: Secrets) -> Running:
    former = layout.former_ports()[1]
    left = _object_server_left_behind(layout)
    if left is not None:
        if former is not None and object_server.answers(former):
            return _running(left, former)
        object_server.stop(left)
    port = ports.choose(orders.objects_port, former, "FM_EMBEDDED_OBJECTS_PORT")
    server = object_server.start(layout.objects, port, secrets.access_key, secrets.secret_key, layout.objects_log)
    layout.objects_pid.write_text(f"{server.pid} {server.create_time()}", encoding="utf-8")
    return _running(server, port)


def _object_server_left_behind(layout: StackLayout) -> psutil.Process | None:
    try:
        pid, created = layout.objects_pid.read_text(encoding="utf-8").split()
        server = psutil.Process(int(pid))
        return server if abs(server.create_time() - float(created)) < 1 and "ministack" in server.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _wait_for_the_end(
    layout: StackLayout,
    linger_seconds: float,
    servers: tuple[psutil.Process, psutil.Process],
    stopping: Callable[[], bool],
) -> None:
    """Return when nobody has used the servers for the linger time, when one of them died, or when told to."""
    in_use = locks.open_lock_file(layout.in_use)
    idle_since: float | None = None
    while all(processes.is_alive(server) for server in servers) and not stopping():
        if not locks.try_exclusive(in_use):
            idle_since = None
        else:
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= linger_seconds:
                return  # still holding the lock: it goes with this process, after the servers
            locks.release(in_use)
        time.sleep(POLL_SECONDS)


def _identity(process: psutil.Process) -> Running:
    return _running(process, 0)


def _running(process: psutil.Process, port: int) -> Running:
    return Running(pid=process.pid, created=process.create_time(), port=port)


if __name__ == "__main__":
    os.umask(0o077)
    main()
