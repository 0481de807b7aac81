"""A desktop export into the dump: the whole way with its proofs beside plain uploads of the same files.

    python -m bench desktop_export --count 6664 --runs 3

The peer is what a person would write: boto3's `upload_file` in as many threads, with neither manifest nor checksum nor
a row of metadata. `again` is a second pass over an export that was brought. The embedded PostgreSQL and the embedded
object server run on the same machine and take their share of its cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from bench.harness import MARKDOWN_HEADER, Call, compare
from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded.stack import Stack, hold
from fm_migration.ledger import schema
from fm_migration.objects.store import ObjectsLocation, open_client
from fm_migration.operations.desktop_export import bring
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration.sources.desktop import open_place

OURS, AGAIN, PEER = "desktop_export", "desktop_export, again", "boto3 upload_file"
BUCKET = "bench-desktop-export"
WORKERS = 8


def opened(given: dict[str, str], **_: Any) -> Places:
    return find_places(load_settings(**given, watch_settle_seconds=0))


def ours(places: Places, folder: str, count: int, uploads: int, **_: Any) -> None:
    done = bring(places.engine, places.store, open_place(places, folder), places.settings, workers=WORKERS)
    if (done.uploaded, done.proven) != (uploads, count):
        raise RuntimeError(f"{done.uploaded} were brought and {done.proven} proven, not {uploads} and {count}")


def peer(places: Places, folder: str, count: int, **_: Any) -> None:
    client, files = places.store.client, sorted(Path(folder).rglob("*.jpg"))

    def upload(numbered: tuple[int, Path]) -> None:
        number, file = numbered
        client.upload_file(str(file), BUCKET, f"{places.settings.dump_prefixes[0]}{number}.jpg")

    with ThreadPoolExecutor(WORKERS) as pool:
        if len(list(pool.map(upload, enumerate(files)))) != count:
            raise RuntimeError("the folder has another number of files")


def make_export(folder: Path, count: int, size: int) -> Path:
    """An export of so many pictures with its manifest, as the script makes it."""
    # The tests know how an export looks; they are not part of the product.
    from fm_migration_tests.desktop_exports import DesktopExport, picture
    from fm_migration_tests.filemaker.desktop.writing import line, path_of

    export = DesktopExport(folder)
    lines = []
    for number in range(1, count + 1):
        patient = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number // 5))).upper()
        path = path_of(number, patient)
        plain = picture(number)
        # Behind the first two bytes, comments of any length are allowed: as large as a small photograph.
        filling = b"".join(b"\xff\xfe\xff\xff" + bytes(0xFFFD) for _ in range(size // 0x10000))
        body = plain[:2] + filling + plain[2:]
        lines.append(line(number, body, id_Contact=patient, path=path))
        export.file(path, body)
    export.line("\n".join(lines))
    return export.root


def furnish(stack: Stack) -> str:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = stack.database_url(name)
    engine = database.open_engine(url)
    tables.metadata.create_all(engine)
    schema.upgrade(engine)
    engine.dispose()
    return url


def reset(client: Any, database_url: str) -> None:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("truncate fm_migration.transfer, fm_migration.source_row")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench desktop_export", description=__doc__)
    parser.add_argument("--count", type=int, default=6664, help="photographs (default 6664)")
    parser.add_argument("--size", type=int, default=0, help="bytes of each beyond its first kilobyte (default 0)")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each way (default 3)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="bench-desktop-export-") as home:
        os.environ["FM_HOME"] = home
        folder = make_export(Path(home) / "desk", options.count, options.size)
        stack = hold(load_settings(home=Path(home)))
        url = furnish(stack)
        endpoint = stack.objects_url.partition("endpoint=")[2]
        given = {
            "database_url": url,
            "objects_url": f"s3://{BUCKET}?endpoint={endpoint}",
            "objects_access_key": stack.access_key,
            "objects_secret_key": stack.secret_key,
        }
        client = open_client(ObjectsLocation.parse(given["objects_url"], stack.access_key, stack.secret_key))
        client.create_bucket(Bucket=BUCKET)
        common = {"given": given, "folder": str(folder), "count": options.count}
        prepared = "bench.desktop_export:opened"
        ways = {
            OURS: Call("bench.desktop_export:ours", {**common, "uploads": options.count}, prepare=prepared),
            AGAIN: Call("bench.desktop_export:ours", {**common, "uploads": 0}, prepare=prepared),
            PEER: Call("bench.desktop_export:peer", common, prepare=prepared),
        }

        def before(name: str) -> None:
            if name != AGAIN:
                reset(client, url)

        comparison = compare(ways, runs=options.runs, warm_up=0, before=before)
    for name in (OURS, PEER):
        print(f"{name}: {options.count / comparison.wall(name).median:,.0f} uploads a second")
    print(MARKDOWN_HEADER)
    print(comparison.markdown_rows(f"{options.count:,} files of a desktop export"))


if __name__ == "__main__":
    main()
