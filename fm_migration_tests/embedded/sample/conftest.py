"""A small sample clinic on the servers of this test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fm_migration.embedded.sample.build import BuildResult, build
from fm_migration.embedded.sample.model import Clinic, Variant
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration_tests.conftest import Bucket

#: A little above the smallest, so that not every mess is there exactly once.
SIZE, SEED = 0.02, 11


@dataclass(frozen=True)
class Place:
    """A database, a bucket and a folder that a sample can be built in."""

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
        yield Place(connection, bucket, tmp_path)


@pytest.fixture
def built(place: Place) -> Callable[[Variant], Clinic]:
    """Builds the small sample in a variant, and gives back its design."""

    def make(variant: Variant) -> Clinic:
        clinic = design_clinic(SIZE, SEED, variant=variant)
        place.build(clinic)
        return clinic

    return make
