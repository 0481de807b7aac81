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
import botocore.loaders
import botocore.session
import hypothesis
import psycopg
import pytest
from botocore.config import Config
from psycopg import sql
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
from fm_migration_tests import installed_postgres, templates
from fm_migration_tests.guard import stand_guard
from fm_migration_tests.installed_postgres import InstalledPostgres
from fm_migration_tests.places import import_photographs

TEMPLATE = "clinic_template"
#: Names a folder: test runs that follow each other find servers and templates there (`bench/mutants.py`).
SERVERS = "FM_TEST_SERVERS"
#: Modules that run a daemon of Dagster's, most with a web server or a browser beside it.
DAEMONS = (
    "fm_migration_tests/browser/test_dagster_ui.py",
    "fm_migration_tests/cli/test_dev.py",
    "fm_migration_tests/e2e/test_backfills.py",
    "fm_migration_tests/e2e/test_healing.py",
    "fm_migration_tests/e2e/test_importing.py",
)
#: Said in the name of a test that runs one and has a twin that does not.
UNDER_THE_DAEMON = "[under the daemon"
#: Hypothesis' own profile for CI, but for its being the same each time, which --hypothesis-profile=ci still is.
EACH_TIME_ANEW = "each time anew"
hypothesis.settings.register_profile(EACH_TIME_ANEW, parent=hypothesis.settings.get_profile("ci"), derandomize=False)
#: About 130 photographs: small enough to be made in two seconds, large enough for every kind of mess.
SAMPLE_SIZE = 0.02


def pytest_configure(config: pytest.Config) -> None:
    """Other examples and other sequences in each test run; the processes of a run inherit both seeds."""
    os.environ.setdefault("FM_MODEL_SEED", str(secrets.randbelow(1_000_000)))
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile(EACH_TIME_ANEW)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"hypothesis: --hypothesis-seed={config.getoption('--hypothesis-seed')} tries the same examples again",
        f"model: FM_MODEL_SEED={os.environ['FM_MODEL_SEED']} plays the same sequences again",
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Before anything is started, and not in the workers of xdist, which are children of what is guarded."""
    # Processes that may not keep what they compile start in three times the time; the tests start hundreds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if not hasattr(config, "workerinput") and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(1_000_000))
    # In the debugger a person presses Ctrl-C to look around, not to end the run.
    in_debugger = config.getoption("usepdb") or config.getoption("trace")
    if not hasattr(config, "workerinput") and not in_debugger:
        stand_guard()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with daemons go first, then the other slow ones: whoever begins the longest last keeps all waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not _has_daemon(item.nodeid), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByModule(config, log)


class _ByModule(LoadScopeScheduling):  # type: ignore[misc]  # has no types
    """Each module on one process, as some build a clinic for all their tests; those with daemons on one together.

    Several daemons at a time, each with its code server and its runs, only keep two cores from getting anything done.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "daemons" if _has_daemon(nodeid) else nodeid.partition("::")[0]


def _has_daemon(nodeid: str) -> bool:
    return nodeid.startswith(DAEMONS) or UNDER_THE_DAEMON in nodeid


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """The developer's own FM_* variables and .env must not reach a test."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith(("FM_", "DAGSTER_HOME"))]:
        if name not in ("FM_FUZZ", SERVERS, installed_postgres.VARIABLE) and not name.startswith("FM_MODEL_"):
            patch.delenv(name)
    patch.setitem(Settings.model_config, "env_file", None)
    settings.cache_clear()
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _quick_clients() -> Iterator[None]:
    """Parsing the model of S3 takes 0.1 s, and hundreds of clients are made, most of them by the code under test."""
    patch, loader = pytest.MonkeyPatch(), botocore.loaders.create_loader()
    patch.setattr(botocore.session, "create_loader", lambda *_: loader)
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
    """The PostgreSQL and the object server of this test run, or those that several runs share in a folder."""
    shared = os.environ.get(SERVERS)
    base = tmp_path_factory.getbasetemp()
    # Under xdist every worker has a folder of its own below the one of the run.
    run_folder = base.parent if base.name.startswith("popen-") else base
    home = Path(shared) if shared else run_folder / "servers"
    stack = hold(load_settings(home=home, embedded_linger_seconds=1))
    _trust_the_disk(stack)
    return stack


def _trust_the_disk(servers: Stack) -> None:
    """Nothing of a test run has to survive a power cut. Dropping a database takes 0.05 s then, and 1 to 2 s otherwise.

    What embedded/ promises of servers that are killed is tested on servers of those tests' own, as they are.
    """
    with (
        locks.exclusive(servers.layout.home / "trust.lock"),
        psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection,
    ):
        for option in ("fsync", "full_page_writes"):
            connection.execute(f"alter system set {option} = off")
        connection.execute("select pg_reload_conf()")
        # Thousands of connections are made, and each hashes the password as often as it was hashed when it was set.
        connection.execute("set scram_iterations = 1")
        connection.execute(sql.SQL("alter role postgres password {}").format(servers.database_password))


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
    """A database with the clinic's tables and our schema, to make copies of."""

    def fill(url: str) -> None:
        engine = database.open_engine(url)
        tables.metadata.create_all(engine)
        schema.upgrade(engine)
        engine.dispose()

    return templates.made_once(servers, TEMPLATE, "template0", fill)


@pytest.fixture
def new_database(servers: Stack) -> Iterator[Callable[..., str]]:
    """Makes databases, empty or as copies of a template; they go with the test."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        made.append(templates.copy(servers, template))
        return servers.database_url(made[-1])

    yield make
    if made:
        templates.drop(servers, *made)


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
    with templates.copied(servers, _template, "module") as url:
        engine = database.open_engine(url)
        yield engine
        engine.dispose()


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
def _sample_template(servers: Stack, s3_client: Any, _template: str) -> Callable[[Variant], str]:
    """Makes a sample clinic of a variant once in a test run; the name of the database to copy."""

    def make(variant: Variant) -> str:
        name = f"sample_{variant}"

        def fill(url: str) -> None:
            clinic = design_clinic(SAMPLE_SIZE, seed=1, variant=variant)
            with psycopg.connect(url) as target:
                build(clinic, target, s3_client, name.replace("_", "-"), servers.layout.home / name)

        return templates.made_once(servers, name, _template, fill)

    return make


@pytest.fixture(scope="session")
def _linked_template(servers: Stack, _sample_template: Callable[[Variant], str]) -> Callable[..., str]:
    """The same after our import, of all photographs or the first so many: an import takes seconds."""

    def make(variant: Variant, limit: int | None = None) -> str:
        sample = _sample_template(variant)

        def fill(url: str) -> None:
            with templates.places_of_sample(servers, url, sample) as places:
                import_photographs(places, limit)

        return templates.made_once(servers, f"{sample}_linked_{limit or 'all'}", sample, fill)

    return make


@pytest.fixture
def make_sample(
    servers: Stack, s3_client: Any, _sample_template: Callable[[Variant], str], new_database: Callable[..., str]
) -> Callable[..., SampleClinic]:
    """Sample clinics to order, `fresh`, `imported` or `stale`: as built, or with what another template has of it."""

    def make(variant: Variant, template: str | None = None) -> SampleClinic:
        name = _sample_template(variant)
        folder = servers.layout.home / name
        return SampleClinic(
            database_url=new_database(template or name),
            bucket=bucket_of(servers, s3_client, name),
            export=folder / EXPORT_FILE,
            truth=json.loads((folder / TRUTH_FILE).read_bytes()),
        )

    return make


@pytest.fixture
def linked_sample(
    make_sample: Callable[..., SampleClinic], _linked_template: Callable[..., str]
) -> Callable[..., SampleClinic]:
    """The same after our import."""

    def make(variant: Variant, limit: int | None = None) -> SampleClinic:
        return make_sample(variant, _linked_template(variant, limit))

    return make


def bucket_of(servers: Stack, client: Any, name: str) -> Bucket:
    """The bucket of this name; that of a sample clinic is called like its database, as far as buckets may be."""
    name = name.replace("_", "-")
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
    return bucket_of(servers, s3_client, name)
