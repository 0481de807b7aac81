"""Thumbnails from the bucket to the app's rows: the whole way beside the engine alone, with two workers each.

    python -m bench thumbnails_end_to_end --count 100 --runs 3

The embedded PostgreSQL and the embedded object server run on the same machine and take their share of its cores, which
a real bucket does not: the ratio is a lower bound, and what the servers took is told beside it. `--rounds` lets several
images show each photograph, to see that memory does not grow with their number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import uuid
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from bench.harness import MARKDOWN_HEADER, Call, Comparison, compare
from bench.peers.photographs import photographs
from fm_migration import database
from fm_migration.clinic import contract, tables
from fm_migration.embedded.stack import Stack, hold
from fm_migration.embedded.state import StackLayout, read_state
from fm_migration.ledger import schema
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration.operations import staging
from fm_migration.settings import Settings, load_settings
from fm_migration.thumbnails.making import make_thumbnails

ENGINE, WHOLE = "engine, 2 workers", "bucket to app, 2 workers"
BUCKET = "bench-thumbnails"
MONTH = "2024-11"

_CLINIC = """
insert into images_batch (id, content_type_id, object_id, name, description, uploaded_at, image_count)
    values (:batch, :content_type, :batch, 'Bench', '', now(), :images);
insert into images_image (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type, category,
                          caption, uploaded_at, "order")
    select gen_random_uuid(), :batch, key, '', key, size, 'image/jpeg', '', '', now(), number
    from fm_migration.s3_inventory cross join generate_series(1, :rounds) as number where kind = 'original';
insert into fm_migration.link_plan (kind, hash, inputs, counts, doubts) values ('photographs', '', '', '{}', '{}');
insert into fm_migration.photo (photo, in_export, state, reason, home, month, clinic_image, plan_id)
    select 'image ' || id, true, 'linked', '', 'found', :month, id, (select max(id) from fm_migration.link_plan)
    from images_image
"""
_RESET = """
truncate fm_migration.thumbnail;
truncate fm_migration.planned_change;
update images_image set s3_thumbnail_key = '', thumbnail_size = null, width = null, height = null;
vacuum images_image
"""


# --- what is measured -------------------------------------------------------------------------------------------------


def opened(location: dict[str, str], database_url: str, **_: Any) -> tuple[Settings, ObjectStore, str]:
    settings = load_settings(home=Path(tempfile.gettempdir()))
    place = ObjectsLocation.parse(location["url"], location["access_key"], location["secret_key"])
    store = open_store(place, writable_prefixes=[settings.thumbnail_prefix])
    return settings, store, database_url


def whole(place: tuple[Settings, ObjectStore, str], images: int, **_: Any) -> None:
    settings, store, url = place
    engine = database.open_engine(url)
    report = make_thumbnails(engine, store, settings, [MONTH], run_id="bench")
    engine.dispose()
    if report.rows != images:
        raise RuntimeError(f"only {report.rows} of {images} rows were written")


# --- the clinic -------------------------------------------------------------------------------------------------------


def furnish(stack: Stack, files: list[Path], rounds: int) -> str:
    """A database whose images show these photographs; the photographs are put into the bucket first."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = stack.database_url(name)
    engine = database.open_engine(url)
    tables.metadata.create_all(engine)
    schema.upgrade(engine)
    settings = load_settings()
    location = ObjectsLocation.parse(_objects_url(stack), stack.access_key, stack.secret_key)
    store = open_store(location, writable_prefixes=settings.dump_prefixes)
    if BUCKET not in {bucket["Name"] for bucket in store.client.list_buckets()["Buckets"]}:
        store.client.create_bucket(Bucket=BUCKET)
    for number, file in enumerate(files, start=1000):
        store.put(f"{settings.dump_prefixes[0]}{number}.jpg", file.read_bytes(), "image/jpeg")
    with engine.begin() as connection:
        staging.stage_inventory(connection, store, settings)
        facts: dict[str, Any] = {
            "batch": uuid.uuid4(),
            "content_type": contract.patient_content_type_id(connection),
            "images": len(files) * rounds,
            "rounds": rounds,
            "month": MONTH,
        }
        for statement in _CLINIC.split(";"):
            used = {key: value for key, value in facts.items() if f":{key}" in statement}
            connection.execute(text(statement), used)
    engine.dispose()
    return url


def reset(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in _RESET.split(";"):
            connection.execute(statement)


def servers_cpu(home: Path) -> float:
    """CPU seconds of both servers by now, ended connections included."""
    state = read_state(StackLayout(home))
    if state is None:
        return 0.0
    keeper = state.keeper.process()
    return sum(sum(process.cpu_times()[:4]) for process in [keeper, *keeper.children()])


def _objects_url(stack: Stack) -> str:
    return f"s3://{BUCKET}?endpoint={stack.objects_url.partition('endpoint=')[2]}"


# --- what comes of it -------------------------------------------------------------------------------------------------


def told(comparison: Comparison, images: int, servers: float) -> str:
    lines = []
    for name in comparison.samples:
        wall, cpu = comparison.wall(name).median, comparison.cpu(name).median
        lines.append(
            f"{name:26}{images / wall:8.1f} a second{cpu / images * 1000:8.1f} ms CPU"
            f"{comparison.peak_rss(name).high / 2**20:8.0f} MiB at most"
        )
    share = 1 / comparison.ratio(WHOLE).median
    possible = comparison.cpu(ENGINE).median / (comparison.cpu(ENGINE).median + servers)
    lines.append(f"the servers took {servers / images * 1000:.1f} ms CPU: of two busy cores that leaves {possible:.0%}")
    lines.append(f"{'reached' if share >= 0.85 else 'MISSED '}  {share:.0%} of the engine's rate, at least 85 %")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench thumbnails_end_to_end", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="photographs (default 100)")
    parser.add_argument("--rounds", type=int, default=1, help="images of each photograph (default 1)")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each way (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each that do not count (default 1)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "fm-migration-bench-photographs"))
    options = parser.parse_args()

    files = photographs(options.folder, options.count)
    images = options.count * options.rounds
    with tempfile.TemporaryDirectory(prefix="bench-thumbnails-") as home:
        os.environ["FM_HOME"] = home
        stack = hold(load_settings(home=Path(home)))
        url = furnish(stack, files, options.rounds)
        location = {"url": _objects_url(stack), "access_key": stack.access_key, "secret_key": stack.secret_key}
        common = {"folder": str(options.folder), "count": options.count, "workers": 2, "rounds": options.rounds}
        ways = {
            ENGINE: Call("bench.thumbnails:isolated", common, prepare="bench.thumbnails:paths"),
            WHOLE: Call(
                "bench.thumbnails_end_to_end:whole",
                {"location": location, "database_url": url, "images": images},
                prepare="bench.thumbnails_end_to_end:opened",
            ),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}

        def before(name: str) -> None:
            reset(url)
            spent[name].append(-servers_cpu(Path(home)))

        def after(name: str) -> None:
            spent[name][-1] += servers_cpu(Path(home))

        comparison = compare(ways, runs=options.runs, warm_up=options.warm_up, before=before, after=after)
    print(told(comparison, images, statistics.median(spent[WHOLE])), "\n")
    print(MARKDOWN_HEADER)
    print(comparison.markdown_rows(f"{images} thumbnails of 12 megapixels, from the bucket to the app"))


if __name__ == "__main__":
    main()
