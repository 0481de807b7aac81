"""Bringing a desktop export in: real files, a real object server, a real PostgreSQL."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration.errors import FmMigrationError, SettingsError, TransientError
from fm_migration.filemaker.desktop.states import Kind, State
from fm_migration.ledger import transfers
from fm_migration.objects.store import ObjectStore
from fm_migration.operations import desktop_export
from fm_migration.operations.desktop_export import Brought, bring
from fm_migration.places import Places, find_places
from fm_migration.settings import load_settings
from fm_migration.sources.desktop import open_place
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.desktop_exports import DesktopExport, of_format, picture
from fm_migration_tests.e2e.daemon import wait_for
from fm_migration_tests.filemaker.desktop.writing import OTHER, PATIENT, image_id, line, md5_of, path_of

DUMP = "filemaker-import/images-bulk-dump/"


@pytest.fixture
def places(clinic_database: str, bucket: Bucket) -> Iterator[Places]:
    places = find_places(
        load_settings(
            database_url=clinic_database,
            objects_url=bucket.url,
            objects_access_key=bucket.access_key,
            objects_secret_key=bucket.secret_key,
            watch_settle_seconds=0,
        )
    )
    yield places
    places.engine.dispose()


@pytest.fixture
def export(tmp_path: Path) -> DesktopExport:
    return DesktopExport(tmp_path)


@pytest.fixture
def brought(places: Places, export: DesktopExport) -> Callable[..., Brought]:
    def again(**options: Any) -> Brought:
        place = open_place(places, str(export.root))
        return bring(places.engine, places.store, place, places.settings, **options)

    return again


def _objects(bucket: Bucket) -> dict[str, bytes]:
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=DUMP).get("Contents", [])
    return {
        entry["Key"].removeprefix(DUMP): bucket.client.get_object(Bucket=bucket.name, Key=entry["Key"])["Body"].read()
        for entry in found
    }


def _rows(engine: Engine, columns: str) -> list[tuple[Any, ...]]:
    query = f"select {columns} from fm_migration.source_row where gone_at is null order by record"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def _states(engine: Engine) -> dict[str, str]:
    query = "select record, reason from fm_migration.transfer where state not in ('arrived', 'present')"
    with engine.connect() as connection:
        return {row.record.partition(" ")[2]: row.reason for row in connection.execute(text(query))}


def test_what_the_script_has_made_comes_into_the_dump_with_its_rows(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1000)
    export.photograph(1001, patient=OTHER, day="2017-02-03", type="Plantar")
    done = brought()
    assert _objects(bucket) == {"1000.jpg": picture(1000), "1001.jpg": picture(1001)}
    assert (done.uploaded, done.present, done.proven, done.manifest_lines) == (2, 0, 2, 2)
    assert done.states == {State.TAKEN: 2, State.MANIFEST: 1}
    assert _rows(places.engine, "source, recid, image_id, contact, date, type, file_name") == [
        ("desktop_export", "1000", image_id(1000).lower(), PATIENT, "2016-10-18", "Dorsal", "IMG_1000.JPG"),
        ("desktop_export", "1001", image_id(1001).lower(), OTHER, "2017-02-03", "Plantar", "IMG_1001.JPG"),
    ]


def test_the_object_carries_its_proof(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket, places: Places
) -> None:
    export.photograph(1000)
    brought()
    found = bucket.client.head_object(Bucket=bucket.name, Key=f"{DUMP}1000.jpg")
    assert found["ContentType"] == "image/jpeg"
    assert found["Metadata"].keys() == {"fm-source", "fm-sha256", "fm-md5", "fm-type"}
    with places.engine.connect() as connection:
        transfer = connection.execute(text("select * from fm_migration.transfer")).one()
    assert (transfer.state, transfer.container, transfer.bytes) == ("arrived", "image_Full", len(picture(1000)))
    assert (transfer.sha256, transfer.source_md5) == (found["Metadata"]["fm-sha256"], found["Metadata"]["fm-md5"])


def test_a_second_pass_reads_and_brings_nothing(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    for number in range(1000, 1005):
        export.photograph(number)
    first = brought()
    with places.engine.connect() as connection:
        version = desktop_export.fingerprint(connection)
    before = {key: bucket.client.head_object(Bucket=bucket.name, Key=DUMP + key) for key in _objects(bucket)}
    again = brought()
    assert (again.uploaded, again.present, again.unchanged) == (0, 5, 5)
    assert again.states == first.states
    with places.engine.connect() as connection:
        assert desktop_export.fingerprint(connection) == version
    thorough = brought(read_all=True)
    assert (thorough.uploaded, thorough.present, thorough.unchanged) == (0, 5, 0)
    after = {key: bucket.client.head_object(Bucket=bucket.name, Key=DUMP + key) for key in _objects(bucket)}
    assert {key: head["LastModified"] for key, head in before.items()} == {
        key: head["LastModified"] for key, head in after.items()
    }


def test_what_is_in_the_dump_is_recognised_by_its_checksum(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1000)
    export.photograph(1001)
    export.photograph(1002)
    bucket.put(f"{DUMP}1000.JPEG", picture(1000))
    # An earlier generation of the dump has the image's id as the name.
    bucket.put(f"{DUMP}{image_id(1001).lower()}.jpg", picture(1001))
    bucket.put(f"{DUMP}1002.jpg", picture(7))
    done = brought()
    assert done.states == {State.TAKEN: 2, State.CHANGED: 1, State.MANIFEST: 1}
    assert (done.uploaded, done.present) == (0, 2)
    assert _objects(bucket).keys() == {"1000.JPEG", f"{image_id(1001).lower()}.jpg", "1002.jpg"}
    assert _objects(bucket)["1002.jpg"] == picture(7)


def test_an_object_that_was_uploaded_in_parts_is_recognised(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1000)
    where = {"Bucket": bucket.name, "Key": f"{DUMP}1000.jpg"}
    upload = bucket.client.create_multipart_upload(**where)["UploadId"]
    part = bucket.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=picture(1000))
    bucket.client.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert "-" in bucket.client.head_object(**where)["ETag"]
    assert (brought().present, brought().uploaded) == (1, 0)


def test_an_original_that_vanished_from_the_dump_is_brought_again(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1000)
    brought()
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{DUMP}1000.jpg")
    assert brought().uploaded == 1
    assert _objects(bucket) == {"1000.jpg": picture(1000)}


def test_no_manifest_and_no_csv_is_needed(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    """Exported by hand or by another script: the paths say all there is."""
    export.file(f"{PATIENT.lower()}/10-18-2016/{image_id(1)}.JPG", picture(1))
    export.file(f"{PATIENT}/10/19/2016/77 1.jpg", picture(77))
    export.file(f"unlinked/2016-10-20/{image_id(3)}", picture(3))
    export.file("18.10.2016/0078.heic", picture(78))
    done = brought()
    assert done.states == {State.TAKEN: 2, State.UNLINKED: 2}
    assert _objects(bucket).keys() == {
        f"{image_id(1).lower()}.jpg",
        "77.jpg",
        f"{image_id(3).lower()}.jpg",
        "0078.jpg",
    }
    assert _rows(places.engine, "recid, contact, date, file_name") == [
        ("", PATIENT.lower(), "2016-10-18", f"{image_id(1)}.JPG"),
        ("", "", "2016-10-20", image_id(3)),
        ("0078", "", "2016-10-18", "0078.heic"),
        ("77", PATIENT, "2016-10-19", "77 1.jpg"),
    ]


def test_extensions_are_given_by_content(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    for number, (form, name) in enumerate(
        [("PNG", "1.jpg"), ("GIF", "2"), ("TIFF", "3.JPEG"), ("BMP", "4.heic"), ("WEBP", "5.png"), ("PDF", "6.jpg")]
    ):
        export.file(f"{PATIENT}/2016-10-{number + 10}/{name}", of_format(form))
    brought()
    assert _objects(bucket).keys() == {"1.png", "2.gif", "3.tif", "4.bmp", "5.webp", "6.pdf"}


def test_every_trouble_is_told_and_nothing_is_misfiled(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1)
    export.photograph(2, picture(2)[:-9])
    export.photograph(3, picture(3) + b"!")
    export.file(f"{PATIENT}/2016-10-18/24.jpg", picture(24)[:-9])
    export.photograph(4, picture(5))
    export.photograph(5, picture(4))
    export.photograph(6).unlink()
    export.line(line(7, None))
    export.file(path_of(7), b"")
    export.line(line(8, None))
    export.line(line(9, picture(9), error="800"))
    export.photograph(10)
    export.file(path_of(10).replace(".jpg", " 1.jpg"), picture(10))
    export.file(path_of(11), picture(11))
    export.file(path_of(11).replace(".jpg", "_2.jpg"), picture(12))
    export.file(path_of(13), b"")
    export.file(path_of(14), b"<html>Bad Gateway</html>")
    export.file(f"{PATIENT}/left foot.jpg", picture(15))
    export.file(f"{PATIENT}/a/b/c/16.jpg", picture(16))
    export.file(f"{PATIENT}/{OTHER}/17.jpg", picture(17))
    export.file(f"{PATIENT}/18_thumb.jpg", picture(18))
    export.file("NUL.jpg", picture(19))
    export.file(f"{PATIENT}/20.jpg.part", picture(20))
    for clutter in (".DS_Store", f"{PATIENT}/._21.jpg", f"{PATIENT}/Thumbs.db", "desktop.ini"):
        export.file(clutter, b"x")
    (export.root / "22.jpg").symlink_to(export.root / path_of(1))
    bucket.put(f"{DUMP}23.jpg", picture(24))
    export.photograph(23)

    done = brought()
    assert _objects(bucket).keys() == {"1.jpg", "10.jpg", "23.jpg"}
    assert _objects(bucket)["23.jpg"] == picture(24)
    assert done.states == {
        State.TAKEN: 2,
        State.CUT_OFF: 1,
        State.BROKEN: 1,
        State.MD5_DIFFERS: 1,
        State.SWAPPED: 2,
        State.MISSING: 1,
        State.EMPTY_IN_FILEMAKER: 2,
        State.FAILED_IN_FILEMAKER: 1,
        State.SAME_AGAIN: 1,
        State.DOUBLED: 2,
        State.EMPTY: 1,
        State.NOT_AN_IMAGE: 1,
        State.MISNAMED: 1,
        State.MISPLACED: 1,
        State.CONTRADICTS: 1,
        State.THUMBNAIL: 1,
        State.RESERVED_NAME: 1,
        State.GROWING: 1,
        State.CLUTTER: 4,
        State.NOT_A_FILE: 1,
        State.CHANGED: 1,
        State.MANIFEST: 1,
    }
    # Every file is in one state, and so is every record of the manifest that has none.
    assert done.states.total() == done.files + 3
    told = _states(places.engine)
    assert told.pop(path_of(4)) == "swapped"
    assert told.pop("record 6") == "missing"
    assert len(told) == done.of_kind(Kind.LEFT) + done.of_kind(Kind.WAITING) - 2
    assert [recid for (recid,) in _rows(places.engine, "recid")] == ["1", "10"]


def test_a_picture_that_is_damaged_in_filemaker_itself_is_taken(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    """By the manifest's MD5 this is all there is of it."""
    damaged = picture(1)[:-9]
    export.line(line(1, damaged))
    export.file(path_of(1), damaged)
    assert brought().states[State.TAKEN] == 1
    assert _objects(bucket) == {"1.jpg": damaged}


def test_what_is_put_right_is_taken_and_no_longer_told(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    file = export.photograph(1, b"")
    export.photograph(2, picture(3))
    brought()
    assert set(_states(places.engine).values()) == {"empty", "md5_differs"}
    file.write_bytes(picture(1))
    export.file(path_of(2), picture(2))
    assert brought().uploaded == 2
    assert _states(places.engine) == {}


def test_a_photograph_that_is_changed_in_the_folder_is_told_and_not_overwritten(
    export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    path = f"{PATIENT}/2016-10-18/1.jpg"
    export.file(path, picture(1))
    brought()
    export.file(path, picture(2))
    assert brought().states == {State.CHANGED: 1}
    assert _objects(bucket) == {"1.jpg": picture(1)}


def test_the_folder_may_go_when_all_of_it_was_brought(
    places: Places, export: DesktopExport, brought: Callable[..., Brought]
) -> None:
    export.photograph(1).unlink()
    export.photograph(2)
    export.file(path_of(1), picture(1))
    brought()
    for file in export.root.rglob("*.jpg"):
        file.unlink()
    assert brought().states[State.MISSING] == 2
    assert len(_rows(places.engine, "record")) == 2


def test_a_row_that_is_corrected_in_filemaker_is_corrected(
    places: Places, export: DesktopExport, brought: Callable[..., Brought]
) -> None:
    export.photograph(1, type="Dorsal")
    brought()
    export.line(line(1, picture(1), type="Plantar", id_Contact=PATIENT))
    done = brought()
    assert (done.uploaded, done.present) == (0, 1)
    assert _rows(places.engine, "type") == [("Plantar",)]


def test_an_image_whose_recid_becomes_known_is_one_row(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.file(path_of(1), picture(1))
    brought()
    export.line(line(1, picture(1)))
    done = brought()
    assert (done.uploaded, done.present) == (0, 1)
    assert _objects(bucket).keys() == {f"{image_id(1).lower()}.jpg"}
    assert _rows(places.engine, "recid") == [("1",)]


def test_unknown_patients_are_counted_once_the_patients_were_read(
    places: Places, export: DesktopExport, brought: Callable[..., Brought]
) -> None:
    export.photograph(1)
    export.photograph(2, patient=OTHER)
    assert brought().states[State.UNKNOWN_PATIENT] == 0
    with places.engine.begin() as connection:
        connection.execute(
            text("""
                insert into fm_migration.patient_identity (patient_id, began, filemaker_id, written)
                values ('00000000-0000-4000-8000-000000000001', 0, cast(:id as uuid), :id)
            """),
            {"id": PATIENT},
        )
    done = brought()
    assert (done.states[State.TAKEN], done.states[State.UNKNOWN_PATIENT]) == (1, 1)


def test_a_dry_run_says_what_would_be_done(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    export.photograph(1)
    export.photograph(2, b"")
    done = brought(dry_run=True)
    assert (done.uploaded, done.states[State.EMPTY]) == (1, 1)
    assert _objects(bucket) == {}
    assert _rows(places.engine, "record") == []
    assert _states(places.engine) == {}


def test_while_the_script_still_writes_files_without_a_line_wait(
    places: Places,
    export: DesktopExport,
    brought: Callable[..., Brought],
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export.photograph(1)
    export.file(path_of(2), picture(2))
    manifest = next(export.root.glob("manifest-*"))
    monkeypatch.setattr(desktop_export, "still_growing", lambda *_: {manifest.name})
    done = brought()
    assert (done.uploaded, done.states[State.GROWING]) == (1, 2)
    assert _objects(bucket).keys() == {"1.jpg"}


def test_folders_of_two_forms_of_a_name_are_one_patient(
    export: DesktopExport, brought: Callable[..., Brought], places: Places
) -> None:
    for number, form in enumerate(("NFC", "NFD"), start=1):
        export.file(f"{unicodedata.normalize(form, 'Füße')}/2016-10-18/{number}.jpg", picture(number))  # type: ignore[arg-type]
    brought()
    assert {contact for (contact,) in _rows(places.engine, "contact")} == {"Füße"}


def test_names_that_are_no_text_do_no_harm(
    places: Places, export: DesktopExport, brought: Callable[..., Brought]
) -> None:
    folder = bytes(export.root) + b"/F\xfc\xdfe"
    Path(folder.decode("utf-8", "surrogateescape")).mkdir()
    export.file("F\udcfc\udcdfe/1.jpg", picture(1))
    export.file("F\udcfc\udcdfe/foot.jpg", picture(2))
    done = brought()
    assert (done.uploaded, done.states[State.MISNAMED]) == (1, 1)


def test_dates_that_could_be_two_days_are_none(
    places: Places, export: DesktopExport, brought: Callable[..., Brought]
) -> None:
    for number, day in enumerate(("10-18-2016", "18-10-2016", "03-04-2016"), start=1):
        export.file(f"{PATIENT}/{day}/{number}.jpg", picture(number))
    done = brought()
    assert (done.dates_uncertain, done.dates_assumed) == (1, 0)
    assert [day for (day,) in _rows(places.engine, "date")] == ["2016-10-18", "2016-10-18", "03-04-2016 ?"]


def test_an_export_below_a_prefix_of_the_bucket_is_brought_too(places: Places, bucket: Bucket) -> None:
    prefix = "desk/exports/"
    bucket.put(f"{prefix}{path_of(1)}", picture(1))
    bucket.put(f"{prefix}/2016-10-18/2.jpg", picture(2))
    bucket.put(f"{prefix}{PATIENT}/", b"")
    bucket.put(f"{prefix}{PATIENT}/.DS_Store", b"x")
    bucket.put(f"{prefix}{PATIENT}/3.jpg", b"")
    bucket.put(f"{prefix}manifest.tsv", "\n".join(["recid\tid\tpath", f"1\t{image_id(1)}\t{path_of(1)}", ""]).encode())
    place = open_place(places, f"s3://{bucket.name}/{prefix}")
    done = bring(places.engine, places.store, place, places.settings)
    assert done.states == {
        State.TAKEN: 1,
        State.UNLINKED: 1,
        State.EMPTY: 1,
        State.CLUTTER: 1,
        State.MANIFEST: 1,
    }
    assert _objects(bucket) == {"1.jpg": picture(1), "2.jpg": picture(2)}
    again = bring(places.engine, places.store, place, places.settings)
    assert (again.uploaded, again.unchanged) == (0, 2)


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("filemaker-import/images-bulk-dump/", "overlaps with filemaker-import"),
        ("filemaker-import/", "overlaps with filemaker-import"),
        ("thumbnails/x/", "overlaps with thumbnails/"),
        ("", "not a prefix of the bucket"),
    ],
)
def test_a_prefix_where_photographs_lie_already_is_refused(
    places: Places, bucket: Bucket, prefix: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        open_place(places, f"s3://{bucket.name}/{prefix}")
    with pytest.raises(SettingsError, match="not a prefix of the bucket"):
        open_place(places, "s3://another/exports/")


def test_two_at_once_are_refused(places: Places, export: DesktopExport, brought: Callable[..., Brought]) -> None:
    export.photograph(1)
    with places.engine.connect() as other:
        other.execute(text("select pg_advisory_lock(:lock)"), {"lock": transfers.BRING_LOCK})
        with pytest.raises(FmMigrationError, match="another run is bringing some"):
            brought()
        other.execute(text("select pg_advisory_unlock(:lock)"), {"lock": transfers.BRING_LOCK})
    assert brought().uploaded == 1


_BRING = """
import sys
from fm_migration.operations import desktop_export
from fm_migration.places import find_places
from fm_migration.settings import load_settings
from fm_migration.sources.desktop import open_place

desktop_export.EVERY_SECONDS = 0.05
places = find_places(load_settings())
desktop_export.bring(places.engine, places.store, open_place(places, sys.argv[1]), places.settings, workers=2)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket, clinic_database: str
) -> None:
    """Killed three times on the way; what is there is never written again."""
    numbers = range(1000, 1300)
    for number in numbers:
        export.photograph(number)
    environment = {
        **os.environ,
        "FM_DATABASE_URL": clinic_database,
        "FM_OBJECTS_URL": bucket.url,
        "FM_OBJECTS_ACCESS_KEY": bucket.access_key,
        "FM_OBJECTS_SECRET_KEY": bucket.secret_key,
        "FM_WATCH_SETTLE_SECONDS": "0",
    }
    written: dict[str, Any] = {}
    for _ in range(3):
        some_more = len(_written(bucket)) + 20
        process = subprocess.Popen([sys.executable, "-c", _BRING, str(export.root)], env=environment)
        try:
            wait_for("some more are there", partial(_are_there, bucket, some_more), every=0.01)
        finally:
            process.kill()
            process.wait()
        assert written.items() <= _written(bucket).items(), "an object was written again"
        written = _written(bucket)
    assert len(written) < len(numbers)
    with places.engine.connect() as connection:
        known = connection.execute(text("select count(*) from fm_migration.transfer where state = 'arrived'")).scalar()
    assert known
    # The dead process's lock goes with its connection, which the server may notice a moment later.
    wait_for("the lock is free", lambda: _is_free(places.engine), every=0.05)
    done = brought()
    assert (done.uploaded, done.present) == (len(numbers) - len(written), len(written))
    assert done.unchanged >= known
    assert written.items() <= _written(bucket).items(), "an object was written again"
    assert _objects(bucket) == {f"{number}.jpg": picture(number) for number in numbers}
    assert len(_rows(places.engine, "record")) == len(numbers)


def _written(bucket: Bucket) -> dict[str, Any]:
    """When each object was written."""
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=DUMP).get("Contents", [])
    return {entry["Key"]: (entry["LastModified"], entry["ETag"]) for entry in found}


def _are_there(bucket: Bucket, number: int) -> bool:
    return len(_written(bucket)) >= number


def _is_free(engine: Engine) -> bool:
    try:
        with transfers.alone(engine):
            return True
    except FmMigrationError:
        return False


def test_a_store_that_fails_for_a_while_is_tried_again(
    export: DesktopExport,
    brought: Callable[..., Brought],
    bucket: Bucket,
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And an answer that is lost after the object was written makes neither a second object nor a contradiction."""
    for number in range(1, 5):
        export.photograph(number)
    real, calls = ObjectStore.add_original, itertools.count()

    def failing(self: ObjectStore, *arguments: Any) -> str:
        nth = next(calls)
        if nth == 0:
            raise TransientError("writing", "1.jpg", "the connection broke off", "Run again")
        etag = real(self, *arguments)
        if nth == 2:
            raise TransientError("writing", "2.jpg", "the answer was lost", "Run again")
        return etag

    monkeypatch.setattr(ObjectStore, "add_original", failing)
    monkeypatch.setattr(desktop_export, "FIRST_WAIT", 0.0)
    done = brought(workers=1)
    assert done.states == {State.TAKEN: 4, State.MANIFEST: 1}
    assert _objects(bucket) == {f"{number}.jpg": picture(number) for number in range(1, 5)}


def test_a_store_that_stays_away_fails_the_run_and_keeps_what_is_there(
    export: DesktopExport,
    brought: Callable[..., Brought],
    bucket: Bucket,
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(1, 8):
        export.photograph(number)
    real, calls = ObjectStore.add_original, itertools.count()

    def away(self: ObjectStore, *arguments: Any) -> str:
        if next(calls) >= 4:
            raise TransientError("writing", "an object", "nobody answers", "Run again")
        return real(self, *arguments)

    monkeypatch.setattr(desktop_export, "FIRST_WAIT", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "add_original", away)
        with pytest.raises(TransientError, match="nobody answers"):
            brought(workers=1)
    there = len(_objects(bucket))
    assert there == 4
    assert brought().uploaded == 7 - there


@pytest.mark.long
def test_the_whole_clinic_by_its_manifest(
    places: Places, export: DesktopExport, brought: Callable[..., Brought], bucket: Bucket
) -> None:
    """6,664 records, some of which go wrong on the way: each is told, none is misfiled, and again nothing is done."""
    lines, wrong = [], {}
    for number in range(1, 6665):
        patient = PATIENT if number % 2 else OTHER
        path = path_of(number, patient, f"{2016 + number % 10}-{number % 12 + 1:02}-{number % 28 + 1:02}")
        lines.append(line(number, picture(number), id_Contact=patient, date=path.split("/")[1], path=path))
        file = export.file(path, picture(number))
        if number % 600 == 1:
            file.write_bytes(picture(number) + b"!")
            wrong[number] = State.MD5_DIFFERS
        elif number % 600 == 2:
            file.unlink()
            wrong[number] = State.MISSING
        elif number % 600 == 3:
            export.file(path.replace(".jpg", " 1.jpg"), picture(number))
        elif number % 600 in (4, 5):
            file.write_bytes(picture(number + (1 if number % 600 == 4 else -1)))
            wrong[number] = State.SWAPPED
        elif number % 600 == 6:
            file.write_bytes(b"")
            wrong[number] = State.EMPTY
    export.line("\n".join(lines))
    done = brought()
    expected = Counter(wrong.values())
    expected.update({State.TAKEN: 6664 - len(wrong), State.SAME_AGAIN: 12, State.MANIFEST: 1})
    assert done.states == expected
    assert done.uploaded == done.proven == 6664 - len(wrong)
    etags: dict[str, str] = {}
    for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=DUMP):
        etags |= {entry["Key"].removeprefix(DUMP): entry["ETag"].strip('"') for entry in page["Contents"]}
    assert etags == {f"{number}.jpg": md5_of(picture(number)) for number in range(1, 6665) if number not in wrong}
    contacts = dict(_rows(places.engine, "recid, contact"))
    assert contacts == {
        str(number): PATIENT if number % 2 else OTHER for number in range(1, 6665) if number not in wrong
    }
    again = brought()
    assert (again.uploaded, again.states) == (0, done.states)
    assert again.unchanged == done.uploaded - 12
