"""A small sample clinic whose photographs are linked, with a bucket of the test's own that may be written to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Row, text

from fm_migration import plans
from fm_migration.objects.store import ObjectStore
from fm_migration.operations import staging
from fm_migration.places import Places, find_places
from fm_migration.plans import Undone
from fm_migration.settings import load_settings
from fm_migration.thumbnails import thumbnailing
from fm_migration.thumbnails.making import MakingReport, make_thumbnails
from fm_migration.thumbnails.thumbnailing import Choice
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.places import link_photographs, use_places


@dataclass
class Photographed:
    """A clinic after `image_batches`, and the steps that follow."""

    sample: SampleClinic
    places: Places
    bucket: Bucket
    truth: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.truth = self.sample.truth

    @property
    def store(self) -> ObjectStore:
        return self.places.store

    def months(self) -> list[str]:
        with self.places.engine.connect() as connection:
            return thumbnailing.months(connection)

    def make(self, months: list[str] | None = None, choice: Choice | None = None, **options: Any) -> MakingReport:
        store = options.pop("store", self.store)
        return make_thumbnails(
            self.places.engine, store, self.places.settings, months or self.months(), choice, **options
        )

    def list_again(self) -> None:
        with self.places.engine.begin() as connection:
            staging.stage_inventory(connection, self.store, self.places.settings, accept_fewer=True)

    def link(self, limit: int | None = None) -> int:
        return link_photographs(self.places, limit)

    def undo(self, plan: int) -> Undone:
        with self.places.engine.begin() as connection:
            return plans.undo(connection, plan)

    def rows(self, query: str, **parameters: object) -> list[Row[Any]]:
        with self.places.engine.connect() as connection:
            return list(connection.execute(text(query), parameters))

    def execute(self, query: str, **parameters: object) -> None:
        with self.places.engine.begin() as connection:
            connection.execute(text(query), parameters)

    def images(self) -> dict[str, Any]:
        """The clinic's rows as they are."""
        return {
            str(row.id): row.image for row in self.rows("select id, to_jsonb(images_image) as image from images_image")
        }

    def states(self) -> dict[str, Row[Any]]:
        """What became of each photograph, by the key of its original."""
        return {row.source_key: row for row in self.rows("select * from fm_migration.thumbnail")}

    def objects(self) -> dict[str, dict[str, Any]]:
        """The truth about the originals of linked photographs, by key."""
        linked = {row["object"] for row in self.truth["rows"] if row["state"] == "linked"} & self.shown().keys()
        return {facts["key"]: facts for facts in self.truth["objects"] if facts["key"] in linked}

    def shown(self) -> dict[str, Row[Any]]:
        """What the app says of the images of linked photographs, by the key of the original."""
        query = """
        select image.*, photo.month from images_image as image
        join fm_migration.photo on photo.clinic_image = image.id and photo.state = 'linked'
        """
        return {row.s3_key: row for row in self.rows(query)}

    def body(self, key: str) -> bytes:
        answer: bytes = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()
        return answer

    def keys(self, prefix: str = "") -> set[str]:
        return {facts.key for facts in self.store.list(prefix)}


def copied(source: Bucket, target: Bucket) -> Bucket:
    """All objects of a bucket that tests share, in one that only this test has."""
    client = source.client
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=source.name)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def copy(key: str) -> None:
        client.copy_object(Bucket=target.name, Key=key, CopySource={"Bucket": source.name, "Key": key})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, keys))
    return target


def in_own_bucket(sample: SampleClinic, bucket: Bucket) -> SampleClinic:
    """The clinic with a copy of its bucket, and with the inventory as if the copy had been listed: it is younger."""
    copied(sample.bucket, bucket)
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    times = [(entry["LastModified"], entry["Key"]) for page in pages for entry in page.get("Contents", [])]
    with psycopg.connect(sample.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("update fm_migration.s3_inventory set last_modified = %s where key = %s", times)
        cursor.execute("update fm_migration.inventory_snapshot set bucket = %s", [bucket.name])
    return replace(sample, bucket=bucket)


@pytest.fixture
def photographed(
    linked_sample: Callable[..., SampleClinic], bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Photographed]:
    """A clinic to order (`fresh`, `imported` or `stale`), all its photographs linked or the first so many."""

    def make(variant: str, limit: int | None = None) -> Photographed:
        sample = in_own_bucket(linked_sample(variant, limit), bucket)
        use_places(monkeypatch, sample.database_url, bucket, sample.export)
        monkeypatch.setenv("FM_HOME", str(tmp_path))
        return Photographed(sample, find_places(load_settings()), bucket)

    return make


@pytest.fixture
def clinic(photographed: Callable[..., Photographed]) -> Photographed:
    """All photographs."""
    return photographed("fresh")


@pytest.fixture
def few(photographed: Callable[..., Photographed]) -> Photographed:
    """Two dozen photographs, which are enough for most of what may go wrong."""
    return photographed("fresh", 24)
