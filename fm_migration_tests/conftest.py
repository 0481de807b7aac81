"""Fixtures everybody may use: real servers, shared by all workers of a test run, and a fresh place on them per test.

The servers are the project's own embedded stack in a folder of this test run: the first worker that asks starts
them, they end with the last one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from sqlalchemy import Engine
from xdist.scheduler import LoadScopeScheduling

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded import locks, object_server
from fm_migration.embedded.sample.build import build
from fm_migration.embedded.sample.model import EXPORT_FILE, TRUTH_FILE, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.embedded.stack import Stack, hold
from fm_migration.ledger import schema
from fm_migration.settings import Settings, load_settings, settings
from fm_migration_tests import installed_postgres
from fm_migration_tests.guard import stand_guard
from fm_migration_tests.installed_postgres import InstalledPostgres

TEMPLATE = "clinic_template"
#: Modules that run a daemon of Dagster's, most with a web server or a browser beside it.
DAEMONS = (
    "fm_migration_tests/e2e/",
    "fm_migration_tests/browser/test_dagster_ui.py",
    "fm_migration_tests/cli/test_dev.py",
)
#: About 130 photographs: small enough to be made in two seconds, large enough for every kind of mess.
SAMPLE_SIZE = 0.02


def pytest_configure() -> None:
    """Another seed for the machine of the model in each test run; its processes inherit it."""
    os.environ.setdefault("FM_MODEL_SEED", str(secrets.randbelow(1_000_000)))


def pytest_report_header() -> str:
    return f"model: FM_MODEL_SEED={os.environ['FM_MODEL_SEED']} plays the same sequences again"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Before anything is started, and not in the workers of xdist, which are children of what is guarded."""
    # Processes that may not keep what they compile start in three times the time; the tests start hundreds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # In the debugger a person presses Ctrl-C to look around, not to end the run.
    in_debugger = config.getoption("usepdb") or config.getoption("trace")
    if not hasattr(config, "workerinput") and not in_debugger:
        stand_guard()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with daemons go first, then the other slow ones: whoever begins the longest last keeps all waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.nodeid.startswith(DAEMONS), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByModule(config, log)


class _ByModule(LoadScopeScheduling):  # type: ignore[misc]  # has no types
    """Each module on one process, as some build a clinic for all their tests; those with daemons on one together.

    Several daemons at a time, each with its code server and its runs, only keep two cores from getting anything done.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "daemons" if nodeid.startswith(DAEMONS) else nodeid.partition("::")[0]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """The developer's own FM_* variables and .env must not reach a test."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith(("FM_", "DAGSTER_HOME"))]:
        if name not in ("FM_FUZZ", installed_postgres.VARIABLE) and not name.startswith("FM_MODEL_"):
            patch.delenv(name)
    patch.setitem(Settings.model_config, "env_file", None)
    settings.cache_clear()
    yield
    patch.undo()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="reachable-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, _no_settings_from_outside: None) -> Stack:
    """The PostgreSQL and the object server of this test run."""
    base = tmp_path_factory.getbasetemp()
    # Under xdist every worker has a folder of its own below the one of the run.
    run_folder = base.parent if base.name.startswith("popen-") else base
    stack = hold(load_settings(home=run_folder / "servers", embedded_linger_seconds=1))
    _trust_the_disk(stack)
    return stack


def _trust_the_disk(servers: Stack) -> None:
    """Nothing of a test run has to survive a power cut. Dropping a database takes 0.05 s then, and 1 to 2 s otherwise.

    What embedded/ promises of servers that are killed is tested on servers of those tests' own, as they are.
    """
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        for option in ("fsync", "full_page_writes"):
            connection.execute(f"alter system set {option} = off")
        connection.execute("select pg_reload_conf()")


@pytest.fixture(scope="session")
def postgres15() -> Iterator[InstalledPostgres]:
    """The PostgreSQL that Debian ships and clinics run, or the one that FM_TEST_POSTGRES_BIN names."""
    programs = installed_postgres.programs()
    if programs is None:
        pytest.skip(f"no PostgreSQL in {installed_postgres.DEBIAN}: install postgresql-15, or set FM_TEST_POSTGRES_BIN")
    with installed_postgres.serve(programs) as server:
        yield server


@pytest.fixture(scope="session")
def _template(servers: Stack) -> str:
    """A database with the clinic's tables and our schema, to make copies of: a copy takes 50 ms."""
    with (
        locks.exclusive(servers.layout.home / "template.lock"),
        psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection,
    ):
        found = connection.execute("select 1 from pg_database where datname = %s", [TEMPLATE]).fetchone()
        if not found:
            connection.execute("create database clinic_template_draft")
            engine = database.open_engine(servers.database_url("clinic_template_draft"))
            tables.metadata.create_all(engine)
            schema.upgrade(engine)
            engine.dispose()
            connection.execute(f"alter database clinic_template_draft rename to {TEMPLATE}")
    return TEMPLATE


@pytest.fixture
def new_database(servers: Stack) -> Iterator[Callable[..., str]]:
    """Makes databases, empty or as copies of a template; they go with the test."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        made.append(name)
        return servers.database_url(name)

    yield make
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        for name in made:
            connection.execute(f"drop database if exists {name} with (force)")


@pytest.fixture
def empty_database(new_database: Callable[..., str]) -> str:
    """The URL of a database with nothing in it."""
    return new_database()


@pytest.fixture
def clinic_database(new_database: Callable[..., str], _template: str) -> str:
    """The URL of a database with the clinic's tables, empty, and our schema."""
    return new_database(_template)


@pytest.fixture
def engine(clinic_database: str) -> Iterator[Engine]:
    """An engine on a clinic's database of this test's own."""
    engine = database.open_engine(clinic_database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def module_engine(servers: Stack, _template: str) -> Iterator[Engine]:
    """One database for the tests of a module, which empty it: five times faster than making another."""
    name = f"module_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {_template}")
    engine = database.open_engine(servers.database_url(name))
    yield engine
    engine.dispose()
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@dataclass(frozen=True)
class Bucket:
    """A bucket of this test's own, with a plain boto3 client to fill and to look into it."""

    name: str
    client: Any
    url: str
    access_key: str
    secret_key: str

    def put(self, key: str, body: bytes = b"x") -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)


@dataclass(frozen=True)
class SampleClinic:
    """A small sample clinic in a database of this test's own; the bucket and the files are shared, so only read."""

    database_url: str
    bucket: Bucket
    export: Path
    truth: dict[str, Any]


@pytest.fixture(scope="session")
def _sample_template(servers: Stack, s3_client: Any) -> Callable[[Variant], str]:
    """Makes a sample clinic of a variant once in a test run; the name of the database to copy."""

    def make(variant: Variant) -> str:
        name = f"sample_{variant}"
        with (
            locks.exclusive(servers.layout.home / f"{name}.lock"),
            psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection,
        ):
            if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
                draft = f"{name}_draft"
                connection.execute(f"create database {draft} template template0")
                engine = database.open_engine(servers.database_url(draft))
                tables.metadata.create_all(engine)
                schema.upgrade(engine)
                engine.dispose()
                clinic = design_clinic(SAMPLE_SIZE, seed=1, variant=variant)
                folder = servers.layout.home / name
                with psycopg.connect(servers.database_url(draft)) as target:
                    build(clinic, target, s3_client, name.replace("_", "-"), folder)
                connection.execute(f"alter database {draft} rename to {name}")
        return name

    return make


@pytest.fixture
def make_sample(
    servers: Stack, s3_client: Any, _sample_template: Callable[[Variant], str], new_database: Callable[..., str]
) -> Callable[[Variant], SampleClinic]:
    """Sample clinics to order: `fresh`, `imported` or `stale`."""

    def make(variant: Variant) -> SampleClinic:
        name = _sample_template(variant)
        folder = servers.layout.home / name
        return SampleClinic(
            database_url=new_database(name),
            bucket=_bucket(servers, s3_client, name.replace("_", "-")),
            export=folder / EXPORT_FILE,
            truth=json.loads((folder / TRUTH_FILE).read_bytes()),
        )

    return make


def _bucket(servers: Stack, client: Any, name: str) -> Bucket:
    endpoint = object_server.url(servers.objects_port)
    url = f"s3://{name}?endpoint={endpoint}&region={object_server.REGION}"
    return Bucket(name, client, url, servers.access_key, servers.secret_key)


@pytest.fixture(scope="session")
def s3_client(servers: Stack) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=object_server.url(servers.objects_port),
        aws_access_key_id=servers.access_key,
        aws_secret_access_key=servers.secret_key,
        region_name=object_server.REGION,
        config=Config(max_pool_connections=16, s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(servers: Stack, s3_client: Any) -> Bucket:
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return _bucket(servers, s3_client, name)
