"""A sample clinic of a module's own, whose database, bucket and export its tests may change, in any scope."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fm_migration.embedded.sample.model import EXPORT_FILE, TRUTH_FILE
from fm_migration.embedded.stack import Stack
from fm_migration_tests import templates
from fm_migration_tests.conftest import SampleClinic, bucket_of
from fm_migration_tests.thumbnails.conftest import copied


@contextmanager
def own_clinic(
    servers: Stack, client: Any, template: str, folder: Path, database: str | None = None
) -> Iterator[SampleClinic]:
    """A copy of the sample clinic that `_sample_template` has made; the export lies in the folder.

    Its database is a copy of another one where one is named: of what `_linked_template` has made.
    """
    name = f"own-{uuid.uuid4().hex[:12]}"
    files = servers.layout.home / template
    client.create_bucket(Bucket=name)
    bucket = copied(bucket_of(servers, client, template), bucket_of(servers, client, name))
    export = folder / Path(EXPORT_FILE).name
    shutil.copyfile(files / EXPORT_FILE, export)
    with templates.copied(servers, database or template, "own") as url:
        yield SampleClinic(url, bucket, export, json.loads((files / TRUTH_FILE).read_bytes()))
