"""An intake from the simulated FileMaker into a database and a bucket of the test's own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from fm_migration.filemaker.columns import built_in_profiles
from fm_migration.filemaker.data_api.access import CONTAINERS, Access, Patience
from fm_migration.filemaker.data_api.addresses import server_origin
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.filemaker.data_api.containers import ByteSource, ContainerUrls, ODataValues
from fm_migration.filemaker.data_api.records import check_layout
from fm_migration.intake.bringing import Intake, Outcome, Workplace
from fm_migration.intake.wishes import Wishes
from fm_migration.ledger import transfers
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.filemaker_server import FileMakerServer
from fm_migration_tests.filemaker_server.handle import Handle

DUMP = "filemaker-import/images-bulk-dump/"
#: Everything as in production, but for the length of the pauses.
QUICK = Patience(first=0.005, longest=0.02, engine_first=0.02, engine_longest=0.2, engine_total=60.0, call_timeout=20.0)


def access_to(server: Handle) -> Access:
    account, password = server.account
    origin = server_origin(server.url())
    return Access(
        origin, "Clinic", "API_Images", SecretStr(account), SecretStr(password), authority=Path(server.ca_file)
    )


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    location = ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key)
    return open_store(location, writable_prefixes=["thumbnails/"], protected_prefixes=[DUMP])


@pytest.fixture
def server() -> Iterator[Callable[..., FileMakerServer]]:
    """Starts simulated servers with these settings; they end with the test."""
    from fm_migration_tests.filemaker_server import ServerSettings

    started: list[FileMakerServer] = []

    def start(**settings: Any) -> FileMakerServer:
        one = FileMakerServer(ServerSettings(**settings))
        one.__enter__()
        started.append(one)
        return one

    yield start
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture
def bring(engine: Engine, store: ObjectStore, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs an intake from a server as a run would, from the log-in to the log-out."""

    def run(
        server: Handle,
        wishes: Wishes | None = None,
        *,
        odata: str | None = None,
        patience: Patience = QUICK,
        on_progress: Callable[[Any], None] = lambda _told: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Outcome:
        with DataApi(access_to(server), tmp_path / "sessions", patience=patience) as api:
            columns = check_layout(api, CONTAINERS, built_in_profiles(), "_md5")
            second: ByteSource | None = ODataValues(api, odata, "id") if odata else None
            zone = ZoneInfo("Australia/Melbourne")
            place = Workplace(engine, store, (DUMP,), zone, on_progress=on_progress, sleep=sleep)
            return Intake(api, columns, ContainerUrls(api), second, place, wishes or Wishes()).run()

    return run


def brought(store: ObjectStore) -> dict[str, str]:
    """The SHA-256 of each object of the dump, by its name without the extension."""
    return {
        facts.key.removeprefix(DUMP).rpartition(".")[0]: hashlib.sha256(store.read(facts.key)).hexdigest()
        for facts in store.list(DUMP)
    }


def states(engine: Engine) -> dict[str, transfers.Transfer]:
    with engine.connect() as connection:
        return transfers.transfers(connection, "filemaker_images")
