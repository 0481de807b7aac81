"""A small sample clinic on the servers of this test run."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fm_migration.embedded.sample.build import BuildResult, build
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.embedded.stack import Stack
from fm_migration_tests.conftest import Bucket

#: A little above the smallest, so that not every mess is there exactly once.
SIZE, SEED = 0.02, 11


@dataclass(frozen=True)
class Place:
    """A database, a bucket and a folder that a sample can be built in."""

    url: str
    connection: psycopg.Connection[Any]
    bucket: Bucket
    folder: Path

    def build(self, clinic: Clinic) -> BuildResult:
        return build(clinic, self.connection, self.bucket.client, self.bucket.name, self.folder, threads=2)

    def keys(self) -> dict[str, int]:
        """Every key of the bucket with its size."""
        pages = self.bucket.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def get(self, key: str) -> bytes:
        content = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()
        return bytes(content)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connection.transaction():
            return self.connection.execute(query, values).fetchall()

    def number(self, query: str, *values: object) -> int:
        return int(self.ask(query, *values)[0][0])


@pytest.fixture
def place(clinic_database: str, bucket: Bucket, tmp_path: Path) -> Iterator[Place]:
    with psycopg.connect(clinic_database) as connection:
        yield Place(clinic_database, connection, bucket, tmp_path)


@dataclass(frozen=True)
class Original:
    """A sample that is built once and copied from."""

    clinic: Clinic
    database: str
    bucket: str
    folder: Path


@pytest.fixture(scope="session")
def originals(
    servers: Stack, s3_client: Any, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Variant], Original]:
    """Each variant of the small sample, built when it is first asked for."""

    @cache
    def make(variant: Variant) -> Original:
        name = f"sample_{variant}_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(servers.database_url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {_template}")
        clinic, folder = design_clinic(SIZE, SEED, variant=variant), tmp_path_factory.mktemp(variant)
        bucket = name.replace("_", "-")
        with psycopg.connect(servers.database_url(name)) as connection:
            assert build(clinic, connection, s3_client, bucket, folder, threads=2).built
        return Original(clinic, name, bucket, folder)

    return make


@pytest.fixture
def built(
    originals: Callable[[Variant], Original],
    new_database: Callable[..., str],
    servers: Stack,
    s3_client: Any,
    tmp_path: Path,
) -> Iterator[Callable[[Variant], tuple[Place, Clinic]]]:
    """The small sample in a variant: a database and a folder of this test's own, and a bucket to leave as it is."""
    with ExitStack() as open_connections:

        def copy(variant: Variant) -> tuple[Place, Clinic]:
            original = originals(variant)
            url = new_database(original.database)
            connection = open_connections.enter_context(psycopg.connect(url))
            shutil.copytree(original.folder, tmp_path, dirs_exist_ok=True)
            bucket = Bucket(original.bucket, s3_client, "", servers.access_key, servers.secret_key)
            return Place(url, connection, bucket, tmp_path), original.clinic

        yield copy
