"""A clinic full of canaries, and what may happen to it: imports, re-imports, undo, and everything that goes wrong.

Belongs here: putting invented patients' data wherever a clinic has patients' data, and setting traps that bring it into
errors. Does not belong here: looking for it (`canaries.py`), and what a test expects.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._utils.error import serializable_error_info_from_exc_info
from PIL import Image

from fm_migration.cli import main
from fm_migration.definitions import defs
from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.sensors.alerts import tell_of_failures
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.linking import placing
from fm_migration_tests.canaries import (
    BATCH_NAME,
    BORN,
    CAPTION,
    CONTACT,
    DOCUMENT,
    FILE_NAME,
    FIRST_NAME,
    LAST_NAME,
    MIDDLE_NAME,
    NOTE,
    OBJECT_NAME,
    PHONE,
    PICTURE,
    TYPE,
)
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.e2e.daemon import Dagster
from fm_migration_tests.e2e.runs import LOCATION
from fm_migration_tests.places import DUMP

DEFINITIONS: dg.Definitions = defs()
HEADINGS = ("date", "fileNane", "id", "id_Contact", "Name of file", "NexusExportDate", "recid", "Type")
FULL_NAME = f"{LAST_NAME}, {FIRST_NAME} {MIDDLE_NAME}"

#: Everybody is called the same and was born on the same day, so whichever row an error quotes, it is a canary.
_PEOPLE = """
update patients set first_name = %(first)s, last_name = %(last)s, middle_name = %(middle)s, preferred_name = %(first)s,
    dob = %(born)s, phone = %(phone)s, email = %(mail)s, address = %(note)s, comments = %(note)s, alerts = %(note)s
"""
_METADATA = """
update patients set filemaker_metadata = filemaker_metadata || %(more)s::jsonb
where jsonb_typeof(filemaker_metadata) = 'object'
"""
#: One patient with an id that is none, besides those of the sample who share theirs.
_MALFORMED = """
update patients set filemaker_metadata = jsonb_build_object('filemaker_id', %(contact)s::text)
where id = (select id from patients where filemaker_metadata is null limit 1)
"""
_DOCUMENTS = """
update documents_document set s3_key = %(document)s || id, file_name = %(document)s, original_name = %(full)s,
    description = %(note)s, category = %(document)s, s3_url = %(document)s, uploaded_by = %(full)s,
    filemaker_metadata = %(more)s
"""
_NOTES = "update notes_note set body = %(note)s"
#: What staff upload by hand hangs on somebody whom a re-import gives another UUID.
_BY_HAND = """
with batch as (
    insert into images_batch (id, content_type_id, object_id, name, description, uploaded_at, image_count)
    select gen_random_uuid(), type.id, patient.id, %(batch)s, %(note)s, now(), 1
    from django_content_type as type, (select id from patients where filemaker_metadata is not null limit 5) as patient
    where (type.app_label, type.model) = ('patients', 'patient') returning id
)
insert into images_image (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type, category,
    caption, uploaded_at, "order")
select gen_random_uuid(), id, %(object)s || id, '', %(full)s, 1, 'image/jpeg', %(caption)s, %(caption)s, now(), 1
from batch
"""

#: Whoever reads a patient gets an error that quotes the whole row.
_PATIENTS_COMPLAIN = """
alter table patients rename to people;
create function complain(people) returns boolean language plpgsql as
    $$ begin raise exception 'patient %', $1 using detail = $1::text, hint = $1::text; end $$;
create view patients as select * from people where complain(people);
"""
_PATIENTS_ARE_QUIET = "drop view patients; drop function complain; alter table people rename to patients;"
#: Whoever writes a batch gets an error that quotes the patient's row.
_BATCHES_COMPLAIN = """
create function complain() returns trigger language plpgsql as $$ begin
    raise exception 'batch of %', (select patients from patients limit 1)
    using detail = new::text, table = 'images_batch', errcode = '23514'; end $$;
create trigger complain before insert or update on images_batch for each row execute function complain();
"""
_BATCHES_ARE_QUIET = "drop trigger complain on images_batch; drop function complain;"


@dataclass
class Aviary:
    """The clinic, the Dagster instance that watches it, and all that was printed or posted meanwhile."""

    #: A file for each command and each run, with what it has printed and logged.
    terminal: Path

    clinic: SampleClinic
    dagster: Dagster
    posted: list[str] = field(default_factory=list)
    #: Whether each run in this process ended well.
    ended_well: dict[str, bool] = field(default_factory=dict)
    #: Whether each command has ended well when nothing was in its way.
    worked: dict[str, bool] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return self.clinic.database_url

    @property
    def bucket(self) -> Bucket:
        return self.clinic.bucket

    @property
    def export(self) -> Path:
        return self.clinic.export

    @property
    def certificate(self) -> Path:
        return self.terminal.with_name("certificate.jsonl")

    def sql(self, *statements: str, **values: Any) -> None:
        with psycopg.connect(self.database_url) as connection:
            for statement in statements:
                connection.execute(statement.encode(), values or None)

    def count(self, query: str, word: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            (found,) = connection.execute(query.encode(), {"word": f"%{word}%"}).fetchone() or (0,)
        return int(found)

    def reimport(self) -> None:
        with psycopg.connect(self.database_url) as connection:
            for _ in play_reimport(connection, seed=1):
                pass

    def command(self, *words: str) -> int:
        """Run a command of ours and keep what it prints; its exit code.

        In this process, which saves the seconds of its start; an exception that nobody catches is printed as Python
        would.
        """
        said = io.StringIO()
        with (
            self.dagster.as_its_own(),
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            patch.setattr(sys, "argv", ["fm-migration", *words])
            code: object = None
            try:
                main()
            except SystemExit as end:
                code = end.code
            except Exception:
                traceback.print_exc()
                code = 1
        self._print(" ".join(Path(word).name for word in words), said.getvalue())
        return code if isinstance(code, int) else 0

    def run(
        self, what: str, job: str, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Run a job in this process, as the UI's launchpad does it in another, and keep what is logged."""
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        logging.getLogger().addHandler(handler)
        try:
            with self.dagster.instance() as instance, contextlib.redirect_stderr(said):
                result = DEFINITIONS.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    run_config={"ops": {name: {"config": given} for name, given in (config or {}).items()}},
                    tags=dict(tags or {}),
                    raise_on_error=False,
                )
        finally:
            logging.getLogger().removeHandler(handler)
        self._print(what, said.getvalue())
        self.ended_well[what] = result.success

    def execute(self, what: str, job: str) -> None:
        """Run a job in another process, without a daemon, which has to fail; and keep what it prints."""
        with pytest.raises(RuntimeError) as failed:
            self.dagster.command("dagster", "job", "execute", "-m", LOCATION, "-j", job)
        self._print(what, str(failed.value))

    def _print(self, what: str, said: str) -> None:
        self.terminal.mkdir(exist_ok=True)
        number = len(list(self.terminal.iterdir()))
        (self.terminal / f"{number:02d} {what}.txt").write_text(said, "utf-8", errors="surrogateescape")

    def tell_of_the_newest_failure(self) -> None:
        """What the daemon does when a run has failed: hand it to the sensor that alerts."""
        with self.dagster.instance() as instance:
            run = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)[0]
            failed = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records[0]
            event = failed.event_log_entry.dagster_event
            assert event is not None
            tell_of_failures(
                dg.build_run_status_sensor_context(
                    sensor_name=tell_of_failures.name,
                    dagster_instance=instance,
                    dagster_run=run,
                    dagster_event=event,
                    resources={"settings": RESOURCES["settings"]},
                ).for_run_failure()
            )

    def tick(self, sensor: dg.SensorDefinition) -> bool:
        """What the daemon does with a sensor: look once, and record what came of it. Whether it went well."""
        with self.dagster.instance() as instance:
            tick = instance.create_tick(
                TickData(
                    instigator_origin_id=sensor.name,
                    instigator_name=sensor.name,
                    instigator_type=InstigatorType.SENSOR,
                    status=TickStatus.STARTED,
                    timestamp=time.time(),
                )
            )
            try:
                with dg.build_sensor_context(instance, resources=RESOURCES) as context:
                    sensor.evaluate_tick(context)
            except Exception:
                error = serializable_error_info_from_exc_info(sys.exc_info())
                instance.update_tick(tick.with_status(TickStatus.FAILURE, error=error))
                return False
            instance.update_tick(tick.with_status(TickStatus.SKIPPED))
            return True

    def make_all_thumbnails(self, what: str) -> None:
        """Those of all months in one run, as a backfill makes them."""
        with self.dagster.instance() as instance:
            months = instance.get_dynamic_partitions("month")
        self.run(
            what,
            "make_thumbnails",
            tags={
                "dagster/asset_partition_range_start": months[0],
                "dagster/asset_partition_range_end": months[-1],
            },
        )

    @contextmanager
    def patients_complain(self) -> Iterator[None]:
        self.sql(_PATIENTS_COMPLAIN)
        try:
            yield
        finally:
            self.sql(_PATIENTS_ARE_QUIET)

    @contextmanager
    def batches_complain(self) -> Iterator[None]:
        self.sql(_BATCHES_COMPLAIN)
        try:
            yield
        finally:
            self.sql(_BATCHES_ARE_QUIET)

    @contextmanager
    def exporting(self, content: bytes) -> Iterator[None]:
        """While another export lies where the good one was."""
        good = self.export.read_bytes()
        self.export.write_bytes(content)
        try:
            yield
        finally:
            self.export.write_bytes(good)


def settle(aviary: Aviary) -> None:
    """Give the clinic its canaries: the people, what staff wrote, the export, the pictures."""
    values: dict[str, Any] = {
        "first": FIRST_NAME, "last": LAST_NAME, "middle": MIDDLE_NAME, "born": BORN, "phone": PHONE,
        "mail": f"{FIRST_NAME}@{LAST_NAME}.example", "note": NOTE, "document": DOCUMENT, "full": FULL_NAME,
        "batch": f"{BATCH_NAME} of {FULL_NAME}", "object": f"uploads/{OBJECT_NAME} ", "caption": CAPTION,
        "contact": f"{CONTACT} {FULL_NAME}",
        "more": json.dumps({"name": FULL_NAME, "born": BORN.isoformat(), "note": NOTE}),
    }  # fmt: skip
    # Bound here and not by the server, which would want one type for a word that goes into columns of several.
    with psycopg.connect(aviary.database_url, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in (_PEOPLE, _METADATA, _MALFORMED, _DOCUMENTS, _NOTES, _BY_HAND):
            connection.execute(statement, values)
    unbalanced = export_of(f'"{FULL_NAME}" of "{NOTE}', f'1/31/2020,"{FULL_NAME}"s, "{NOTE}')
    aviary.export.write_bytes(as_csv(_with_canaries(aviary.export)) + unbalanced)
    _dump_pictures(aviary)


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _with_canaries(export: Path) -> list[list[str]]:
    """The sample's rows with a canary in every free text, and after them rows that are wrong in every way."""
    with export.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["fileNane"] = f"{FILE_NAME} {FULL_NAME} {number}.jpg"
        row["Name of file"] = f"{FULL_NAME} {BORN:%d.%m.%Y} {number}.jpg"
        if number % 10 == 0:
            row["Type"] = f"{TYPE} of {FULL_NAME}"
    wrong = [
        {"date": f"{BORN.month}/{BORN.day}/{BORN.year}", "recid": "900001"},
        {"date": f"born {BORN:%d %B %Y}", "recid": "900002"},
        {"id_Contact": f"{CONTACT} {FULL_NAME}", "recid": "900003"},
        {"id_Contact": FULL_NAME, "id": FULL_NAME, "recid": FULL_NAME},
        {"id": f"{FILE_NAME}", "recid": "900004"},
        {"Type": f"{TYPE} " * 200, "recid": "900005"},
        {"Type": f"{TYPE}\0{FULL_NAME}", "recid": "900006"},
    ]
    cells = [[(rows[0] | row)[name] for name in HEADINGS] for row in (*rows, *wrong)]
    return [list(HEADINGS), *cells, [*cells[0], FULL_NAME, NOTE], [FULL_NAME, NOTE]]


def _dump_pictures(aviary: Aviary) -> None:
    """Photographs with notes of the camera's, damaged ones, files that are none, and names after patients."""
    linked = [row["object"] for row in aviary.clinic.truth["rows"] if row["state"] == "linked"]
    described, truncated, damaged, no_picture, *_ = dict.fromkeys(linked)
    aviary.bucket.put(described, _picture())
    aviary.bucket.put(truncated, _picture()[:-400])
    aviary.bucket.put(damaged, b"\x89PNG\r\n\x1a\n" + f"tEXtComment\0{PICTURE} {FULL_NAME}".encode())
    aviary.bucket.put(no_picture, f"{PICTURE}: a letter about {FULL_NAME}".encode())
    # The one word that a report may have: it names objects by their keys, whoever has named them after whom.
    aviary.bucket.put(f"{DUMP}{OBJECT_NAME} 1.jpg", _picture())
    aviary.bucket.put(f"{DUMP}{OBJECT_NAME} 2.pdf", b"%PDF-1.4")


def _picture() -> bytes:
    """A JPEG that says in every way that it can whom it shows."""
    words = f"{PICTURE} {FULL_NAME} {BORN.isoformat()}"
    exif = Image.Exif()
    exif[0x010E] = exif[0x9286] = exif[0x8298] = words
    body = io.BytesIO()
    noise = Image.effect_noise((640, 480), 60).convert("RGB")
    noise.save(body, "JPEG", exif=exif, comment=words.encode())
    return body.getvalue()


def export_of(*rows: str, encoding: str = "utf-8") -> bytes:
    return "\r\n".join(rows).encode(encoding) + b"\r\n"


def _row(number: int, **cells: str) -> str:
    """A row that is well but for these cells."""
    sound = {
        "date": "1/31/2020",
        "fileNane": FILE_NAME,
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "id_Contact": "00000000-0000-4000-8000-000000000001",
        "Name of file": FULL_NAME.replace(",", ""),
        "NexusExportDate": "",
        "recid": str(910000 + number),
        "Type": TYPE,
    }
    return ",".join({**sound, **cells}[name] for name in HEADINGS)


HEAD = ",".join(HEADINGS)
_PERSON = f"{LAST_NAME},{FIRST_NAME},{BORN:%d/%m/%Y},{PHONE},{NOTE}"

#: Exports that cannot be read, each in another way.
UNREADABLE: dict[str, bytes] = {
    "nothing but headings": export_of(HEAD),
    "nothing but people": export_of(*[_PERSON] * 30),
    "headings named after a person": export_of(HEAD.replace("Type", FULL_NAME.replace(",", "")), *map(_row, range(30))),
    "no headings, and people first": export_of(_PERSON, *map(_row, range(30))),
    "no headings, and a column too many": export_of(*(f"{_row(number)},{NOTE}" for number in range(30))),
    "dates of both orders": export_of(
        HEAD, *(_row(n, date=f"{BORN:%d/%m/%Y}") for n in range(30)), *(_row(n) for n in range(30, 60))
    ),
    "bytes that are not text": export_of(HEAD) + f"{_row(1)}\r\n".encode("utf-16-le") * 30 + b"\xff\x81\x8d" * 500,
    "a workbook that is none": b"PK\x03\x04" + f"{FULL_NAME} {NOTE}".encode() * 100,
    "far fewer rows": export_of(HEAD, _row(1)),
}  # fmt: skip


@contextmanager
def faulty_planning() -> Iterator[None]:
    """A fault of ours, whose message quotes what it stumbled over, and whose cause does too."""

    def stumble(*_arguments: object, **_named: object) -> placing.Plan:
        try:
            int(FULL_NAME)
        except ValueError as cause:
            raise KeyError(f"who is {FULL_NAME}, born {BORN}?") from cause
        raise AssertionError("nobody is a number")

    sound, placing.make_plan = placing.make_plan, stumble
    try:
        yield
    finally:
        placing.make_plan = sound


@contextmanager
def listening(heard: list[str]) -> Iterator[str]:
    """A webhook of a chat; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
