"""A PostgreSQL that the machine's packages have installed, of the version that clinics run: Debian's 15, or any other.

Belongs here: finding its programs, and a server on a data folder of its own that goes with whoever has asked. Does not
belong here: the embedded server out of the wheel, which is `fm_migration/embedded/postgres.py`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from fm_migration.embedded.ports import LOOPBACK, free_port

#: Names the folder with `initdb` and `postgres` of another version: /usr/lib/postgresql/16/bin.
VARIABLE = "FM_TEST_POSTGRES_BIN"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class InstalledPostgres:
    """A running server; its superuser is `postgres`."""

    version: str
    port: int
    password: str

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        secret = quote(self.password if password is None else password)
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template0") -> str:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)")


def programs() -> Path | None:
    """The folder with the server's programs, or None where none is installed."""
    folder = Path(os.environ.get(VARIABLE) or DEBIAN)
    return folder if (folder / "initdb").is_file() else None


@contextmanager
def serve(folder_of_programs: Path) -> Iterator[InstalledPostgres]:
    """A server with an empty data folder, on loopback and a free port, ended and removed with the block."""
    # Not below the folder of a test run, which only its owner may enter, and the server runs as somebody else.
    workshop = Path(tempfile.mkdtemp(prefix="installed-postgres-"))
    try:
        _own_by_server_user(workshop)
        password = secrets.token_urlsafe(12)
        _make_data_folder(folder_of_programs, workshop, password)
        with _running(folder_of_programs, workshop, password) as server:
            yield server
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _make_data_folder(folder_of_programs: Path, workshop: Path, password: str) -> None:
    password_file = workshop / "password"
    password_file.write_text(password, encoding="utf-8")
    options = [f"--pgdata={workshop / 'data'}", "--username=postgres", f"--pwfile={password_file}"]
    options += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    made = subprocess.run(
        [folder_of_programs / "initdb", *options],
        cwd=workshop, capture_output=True, text=True, check=False, **_as_server_user(),
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"initdb of {folder_of_programs} failed: {made.stderr}")


@contextmanager
def _running(folder_of_programs: Path, workshop: Path, password: str) -> Iterator[InstalledPostgres]:
    port = free_port()
    settings = {"listen_addresses": LOOPBACK, "port": port, "unix_socket_directories": "", "fsync": "off",
                "timezone": "UTC", "lc_messages": "C", "max_connections": 100}  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = workshop / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [folder_of_programs / "postgres", "-D", workshop / "data", *options],
            cwd=workshop, stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **_as_server_user(),
        ) as process,
    ):  # fmt: skip
        try:
            version = _wait_until_it_answers(process, f"postgresql://postgres:{quote(password)}@{LOOPBACK}:{port}", log)
            yield InstalledPostgres(version, port, password)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    """The server's version, once it has one to tell."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with psycopg.connect(f"{url}/postgres", connect_timeout=3) as connection:
                ((version,),) = connection.execute("show server_version").fetchall()
                return str(version).split()[0]
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _as_server_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as the user that Debian's package has made, or as nobody."""
    if os.geteuid() != 0:
        return {}
    user = _server_user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _own_by_server_user(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, _server_user().pw_uid, _server_user().pw_gid)
