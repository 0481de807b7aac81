"""Fills the empty servers: the clinic's tables, our schema, and the sample clinic in database, bucket and folder.

Done once per folder. What a killed process left half done, the next one finishes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import boto3
import psycopg
from botocore.config import Config

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded import locks, object_server
from fm_migration.embedded.sample import plan
from fm_migration.embedded.sample.build import Progress, build
from fm_migration.embedded.sample.model import EXPORT_FILE, TRUTH_FILE
from fm_migration.embedded.stack import BUCKET, DATABASE, Stack
from fm_migration.errors import EmbeddedStackError
from fm_migration.ledger import schema
from fm_migration.settings import Settings


def furnish(stack: Stack, settings: Settings, progress: Progress | None = None) -> Path:
    """The export of the sample clinic; the clinic is made first where there is none yet."""
    wanted = {"size": settings.sample_size, "seed": settings.sample_seed, "variant": settings.sample_variant}
    with locks.exclusive(stack.layout.home / "furnish.lock"):
        found = _made(stack)
        if found is not None and not _has_database(stack):
            # Root's database lies outside of FM_HOME, where a reboot may empty the folder. The rest is of no use alone.
            _clear(stack)
            found = None
        if found is None:
            _make(stack, settings, progress)
            _marker(stack).write_text(json.dumps(wanted), encoding="utf-8")
        elif found != wanted:
            raise _another_sample(stack, found, wanted)
        else:
            _upgrade(stack)
    return stack.layout.sample / EXPORT_FILE


def clear(stack: Stack) -> None:
    """Remove the sample clinic whole: database, bucket and files."""
    with locks.exclusive(stack.layout.home / "furnish.lock"):
        _clear(stack)


def truth_of(stack: Stack) -> Path:
    """What is right about the sample clinic, for people who want to check."""
    return stack.layout.sample / TRUTH_FILE


def client_of(stack: Stack) -> Any:
    """A plain client of the embedded object server."""
    return boto3.client(
        "s3",
        endpoint_url=object_server.url(stack.objects_port),
        aws_access_key_id=stack.access_key,
        aws_secret_access_key=stack.secret_key,
        region_name=object_server.REGION,
        config=Config(max_pool_connections=16, s3={"addressing_style": "path"}),
    )


def _marker(stack: Stack) -> Path:
    return stack.layout.sample / "made.json"


def _made(stack: Stack) -> dict[str, Any] | None:
    try:
        made: dict[str, Any] = json.loads(_marker(stack).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return made


def _make(stack: Stack, settings: Settings, progress: Progress | None) -> None:
    _create_database(stack)
    engine = database.open_engine(stack.database_url())
    tables.metadata.create_all(engine)
    schema.upgrade(engine)
    engine.dispose()
    clinic = plan.design_clinic(settings.sample_size, settings.sample_seed, variant=settings.sample_variant)
    with psycopg.connect(stack.database_url()) as connection:
        build(clinic, connection, client_of(stack), BUCKET, stack.layout.sample, progress=progress)


def _upgrade(stack: Stack) -> None:
    engine = database.open_engine(stack.database_url())
    with engine.connect() as connection:
        is_current = schema.current_revision(connection) == schema.newest_revision()
    if not is_current:
        schema.upgrade(engine)
    engine.dispose()


def _clear(stack: Stack) -> None:
    _marker(stack).unlink(missing_ok=True)
    with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database if exists {DATABASE} with (force)")
    _empty_bucket(client_of(stack))
    shutil.rmtree(stack.layout.sample, ignore_errors=True)


def _has_database(stack: Stack) -> bool:
    with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
    return found is not None


def _create_database(stack: Stack) -> None:
    if not _has_database(stack):
        with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE} template template0")


def _empty_bucket(client: Any) -> None:
    if BUCKET not in (bucket["Name"] for bucket in client.list_buckets()["Buckets"]):
        return
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})


def _another_sample(stack: Stack, found: dict[str, Any], wanted: dict[str, Any]) -> EmbeddedStackError:
    return EmbeddedStackError(
        "opening the sample clinic in",
        str(stack.layout.home),
        f"it was made with {_words(found)}, and {_words(wanted)} is asked for",
        "Unset FM_SAMPLE_*, choose another FM_HOME, or make it anew with `fm-migration sample make`",
    )


def _words(sample: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sample.items())
