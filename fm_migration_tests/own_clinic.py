"""A sample clinic of a module's own, whose database, bucket and export its tests may change, in any scope."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from fm_migration.embedded import object_server
from fm_migration.embedded.sample.model import EXPORT_FILE, TRUTH_FILE
from fm_migration.embedded.stack import Stack
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.thumbnails.conftest import copied


@contextmanager
def own_clinic(servers: Stack, client: Any, template: str, folder: Path) -> Iterator[SampleClinic]:
    """A copy of the sample clinic that `_sample_template` has made; the export lies in the folder."""
    name = f"own_{uuid.uuid4().hex[:12]}"
    files = servers.layout.home / template
    client.create_bucket(Bucket=name.replace("_", "-"))
    bucket = copied(_bucket(servers, client, template), _bucket(servers, client, name))
    export = folder / Path(EXPORT_FILE).name
    shutil.copyfile(files / EXPORT_FILE, export)
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as administration:
        administration.execute(f"create database {name} template {template}")
    try:
        yield SampleClinic(servers.database_url(name), bucket, export, json.loads((files / TRUTH_FILE).read_bytes()))
    finally:
        with psycopg.connect(servers.database_url("postgres"), autocommit=True) as administration:
            administration.execute(f"drop database {name} with (force)")


def _bucket(servers: Stack, client: Any, database: str) -> Bucket:
    name = database.replace("_", "-")
    url = f"s3://{name}?endpoint={object_server.url(servers.objects_port)}&region={object_server.REGION}"
    return Bucket(name, client, url, servers.access_key, servers.secret_key)
