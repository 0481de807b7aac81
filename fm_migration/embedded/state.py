"""What the embedded stack keeps in its folder: where things lie, who runs, which passwords were made.

The folder belongs to one user: files are readable by their owner alone.
"""

from __future__ import annotations

import json
import os
import secrets as randomness
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from pydantic import BaseModel

from fm_migration.embedded import processes
from fm_migration.errors import EmbeddedStackError


@dataclass(frozen=True)
class StackLayout:
    """The files under FM_HOME."""

    home: Path

    @property
    def state(self) -> Path:
        return self.home / "stack.json"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets.json"

    @property
    def in_use(self) -> Path:
        return self.home / "in-use.lock"

    @property
    def start_lock(self) -> Path:
        return self.home / "start.lock"

    @property
    def ports(self) -> Path:
        return self.home / "ports"

    @property
    def complaint(self) -> Path:
        return self.home / "complaint.txt"

    @property
    def keeper_log(self) -> Path:
        return self.home / "keeper.log"

    @property
    def postgres_data(self) -> Path:
        return self.home / "postgres"

    @property
    def postgres_log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def objects_log(self) -> Path:
        return self.home / "objects.log"

    @property
    def objects_pid(self) -> Path:
        return self.home / "objects.pid"

    @property
    def sample(self) -> Path:
        return self.home / "sample"

    def former_ports(self) -> tuple[int | None, int | None]:
        """The ports of the last start, of the database and of the object server."""
        try:
            database, objects = self.ports.read_text(encoding="utf-8").split()
            return int(database), int(objects)
        except (OSError, ValueError):
            return None, None


class Running(BaseModel, frozen=True):
    """A process, told from a later one of the same number by its birth time, and the port it serves."""

    pid: int
    created: float
    port: int

    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)

    def is_alive(self) -> bool:
        try:
            process = self.process()
            return abs(process.create_time() - self.created) < 1 and processes.is_alive(process)
        except psutil.Error:
            return False


class StackState(BaseModel, frozen=True):
    """Who runs, as announced by the keeper. Written whole or not at all."""

    keeper: Running
    postgres: Running
    objects: Running

    def write(self, layout: StackLayout) -> None:
        write_private(layout.state, self.model_dump_json())


def read_state(layout: StackLayout) -> StackState | None:
    try:
        return StackState.model_validate_json(layout.state.read_bytes())
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Secrets:
    """Passwords made for this folder at its first start; they do not show when printed."""

    database_password: str = field(repr=False)
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


def read_secrets(layout: StackLayout) -> Secrets:
    """The folder's secrets; made when the folder is new."""
    if not layout.secrets.exists():
        if layout.postgres_data.exists():
            raise EmbeddedStackError(
                "reading the passwords of the embedded stack from",
                str(layout.secrets),
                "the file is gone, and the database in the same folder was made with it",
                f"Put it back, or remove {layout.home} to make a new sample clinic",
            )
        made = Secrets(
            database_password=randomness.token_urlsafe(24),
            # ministack takes twelve digits for the number of an account; letters keep this a plain key.
            access_key="FM" + randomness.token_hex(9).upper(),
            secret_key=randomness.token_urlsafe(30),
        )
        write_private(layout.secrets, json.dumps(asdict(made)))
    return Secrets(**json.loads(layout.secrets.read_text(encoding="utf-8")))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
