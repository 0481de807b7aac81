"""The orphan report: finding everything in a clinic of which one photograph in a hundred has something wrong.

    python -m bench report                the clinic's size: 6,489 photographs; goal: under 1 s
    python -m bench report --million      1,000,000 photographs of 200,000 patients; goal: under 60 s and 500 MiB

"first report" finds everything for the first time, "next report" all of it again, each timed in `make_report` once the
process is up and connected. "page and files" then reads a report and writes its page, CSV and Parquet. Six kinds of
fault are planted, and a report that misses one of them, or finds one too many, ends the benchmark.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg

from bench import harness, links
from bench.harness import Call, Comparison, compare
from bench.links import Clinics, Place, Way, open_place
from bench.peers.clinic_data import CLINIC, Size, millions
from fm_migration.report.files import publish
from fm_migration.report.findings import make_report, one_moment

#: One photograph in so many has a fault.
EVERY = 100

_PLANT: tuple[LiteralString, ...] = (
    # Thumbnails as a finished run leaves them. Their own objects lie outside the listed prefix.
    """
    update images_image set s3_thumbnail_key = 'thumbnails/' || id || '.jpg', thumbnail_size = 16000
    """,
    """
    insert into fm_migration.thumbnail
        (clinic_image, source_key, source_etag, recipe, state, reason, key, size, mime_type, original_sha256,
         mean_colour, mirrored_side, attempts)
    select image.id, image.s3_key, object.etag, 'bench', 'current', '', image.s3_thumbnail_key, 16000, 'image/jpeg',
           md5(object.etag), '', false, 1
    from images_image as image join fm_migration.s3_inventory as object on object.key = image.s3_key
    """,
    "update patients set archived = false where archived",
    """
    create table bench.planted as
    select photograph.n / %(every)s %% 6 as fault, photograph.key, photograph.recid, image.id as image, image.batch_id
    from bench.photograph join images_image as image on image.s3_key = photograph.key
    where photograph.n %% %(every)s = 0
    """,
    # Nobody whom the app knows, or the report would say that the patient has been entered since.
    """
    update fm_migration.csv_metadata as csv set contact = gen_random_uuid()
    from bench.planted where fault = 0 and csv.recid = planted.recid
    """,
    """
    update fm_migration.photo set state = 'no_patient', clinic_image = null, home = 'none', person = null
    from bench.planted where fault = 0 and photo.recid = planted.recid
    """,
    """
    update fm_migration.s3_inventory as object set vanished = changed
    from bench.planted where fault = 1 and object.key = planted.key
    """,
    """
    update fm_migration.photo set key = null from bench.planted where fault = 1 and photo.key = planted.key
    """,
    """
    insert into images_image
    select (jsonb_populate_record(twin, jsonb_build_object('id', gen_random_uuid(), 'filemaker_id', null))).*
    from images_image as twin join bench.planted on planted.image = twin.id where fault = 2
    """,
    """
    insert into fm_migration.recognition (clinic_image, photo, evidence, looked_like)
    select image.id, 'recid ' || planted.recid, 'object', 0
    from images_image as image join bench.planted on planted.key = image.s3_key and planted.image <> image.id
    where fault = 2
    """,
    """
    update images_batch as batch set image_count = image_count + 1
    from bench.planted where fault = 2 and batch.id = planted.batch_id
    """,
    """
    update images_batch as batch set image_count = image_count + 5
    from bench.planted where fault = 3 and batch.id = planted.batch_id
    """,
    """
    with gone as (
        update images_image as image set s3_thumbnail_key = ''
        from bench.planted where fault = 4 and image.id = planted.image returning image.id
    )
    delete from fm_migration.thumbnail using gone where clinic_image = gone.id
    """,
    """
    update images_batch as batch set object_id = gen_random_uuid()
    from bench.planted where fault = 5 and batch.id = planted.batch_id
    """,
)
_PLANTED = """
select coalesce(jsonb_object_agg(class, findings), '{}')
from (
    select case fault when 0 then 'row_without_patient' when 1 then 'image_without_object' when 2 then 'image_doubled'
                      when 3 then 'count_wrong' when 4 then 'thumbnail_missing' else 'given_batch_lost' end
               as class,
           count(*) as findings
    from bench.planted group by 1
) as by_class
"""
_FOUND = "select counts from fm_migration.report order by id desc limit 1"


class Faulty(Clinics):
    """Clinics with faults, and with a report about them."""

    def __init__(
        self,
        url_of: Callable[[str], str],
        size: Size,
        folder: Path,
        prefix: str = "report",
        server: psutil.Process | None = None,
        every: int = EVERY,
    ) -> None:
        super().__init__(url_of, size, folder, prefix, server)
        self._every = every
        self._recipes = {
            **self._recipes,
            "faulty": ("imported by us", self._plant),
            "reported": ("faulty", _report_once),
        }

    def _plant(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            for statement in _PLANT:
                connection.execute(statement, {"every": self._every} if "%(" in statement else None)


def report(place: Place, **_arguments: object) -> None:
    """One report."""
    with one_moment(place.engine) as connection:
        make_report(connection, place.settings)


def page_and_files(place: Place, **_arguments: object) -> None:
    """The newest report as people get it."""
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder, place.engine.connect() as connection:
        publish(connection, place.settings.model_copy(update={"reports": folder}))


def _report_once(url: str) -> None:
    place = open_place(url)
    report(place)
    place.engine.dispose()


WAYS = {
    "first report": Way("faulty", "bench.report:report", "bench.links:open_place"),
    "next report": Way("reported", "bench.report:report", "bench.links:open_place"),
    "page and files": Way("reported", "bench.report:page_and_files", "bench.links:open_place"),
}


def run(clinics: Faulty, runs: int, warm_up: int) -> Comparison:
    """All ways in turn, each from its own start, with a look at what was found."""
    arguments = {"url": clinics.url, "folder": str(clinics.folder)}
    calls = {name: Call(way.target, arguments, way.prepare) for name, way in WAYS.items()}
    return compare(
        calls,
        runs=runs,
        warm_up=warm_up,
        before=lambda name: clinics.start_from(WAYS[name]),
        after=lambda name: _compare_with_the_truth(clinics.url, name),
    )


def _compare_with_the_truth(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        planted, found = (connection.execute(query).fetchone() for query in (_PLANTED, _FOUND))
    if planted != found:
        raise harness.BenchError("comparing", name, f"it has found {found} instead of {planted}", "Find out why")


def main(arguments: Sequence[str]) -> int:
    """`python -m bench report`."""
    parser = argparse.ArgumentParser(prog="python -m bench report", description=__doc__.partition("\n")[0])
    parser.add_argument("--million", action="store_true", help="1,000,000 photographs")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each that do not count (default 1)")
    options = parser.parse_args(arguments)
    size = millions(1) if options.million else CLINIC
    with links.open_clinics(size, Faulty) as clinics:
        comparison = run(clinics, options.runs, options.warm_up)
    what = f"report, {size}, one in {EVERY} with a fault"
    print(f"== {what}\n{comparison.table()}\n\n{harness.MARKDOWN_HEADER}")
    print(comparison.markdown_rows(f"report, {size.photographs:,} photographs"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
