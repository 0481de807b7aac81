"""The sensor `new_objects`, tick by tick, on a real bucket, database and instance; runs are real ones."""

from __future__ import annotations

import hashlib
import json

import dagster as dg
import pytest

from fm_migration.defs.sensors.objects import INGESTED_BY, new_objects
from fm_migration.defs.sensors.runs import BECAUSE_TAG
from fm_migration.objects import listing
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.e2e.runs import record_run
from fm_migration_tests.places import DUMP

JPEG = b"\xff\xd8\xff\xe0"
PRESENT = (
    "select count(*) from fm_migration.s3_inventory where vanished is null and starts_with(key, 'filemaker-import')"
)


@pytest.fixture
def watched(with_own_bucket: Ticking) -> Ticking:
    with_own_bucket.sensor = new_objects
    return with_own_bucket


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the listing holds twenty keys, and a tick looks at one page: the bucket takes several ticks."""
    monkeypatch.setenv("FM_WATCH_PAGES", "1")
    fetch = listing._Pages._fetch_once

    def fetch_few(pages: listing._Pages, request: dict[str, object]) -> object:
        return fetch(pages, {**request, "MaxKeys": 20})

    monkeypatch.setattr(listing._Pages, "_fetch_once", fetch_few)


def _keys(watched: Ticking) -> list[str]:
    answer = watched.bucket.client.list_objects_v2(Bucket=watched.bucket.name, Prefix=DUMP)
    return [entry["Key"] for entry in answer["Contents"]]


def test_before_the_first_import_it_names_the_job_to_start(untouched: Ticking) -> None:
    """A dry run reads the bucket, and yet nothing may be applied by itself after it."""
    untouched.sensor = new_objects
    dry = [dg.AssetKey(name) for name in ("csv_metadata", "s3_inventory", "patient_map", "link_plan")]
    assert untouched.run("import_photographs", assets=dry).success
    assert untouched.message() == "nothing was imported yet: run import_photographs first"


def test_a_bucket_that_is_as_the_inventory_starts_nothing(watched: Ticking) -> None:
    said = f"the inventory is as the bucket: {watched.ask(PRESENT)} objects"
    assert watched.message() == said
    assert watched.message() == said


def test_what_we_write_ourselves_starts_nothing(watched: Ticking) -> None:
    watched.bucket.put("thumbnails/aa-bb/1.jpg")
    watched.bucket.put("fm-migration/reports/1.html")
    assert watched.message().startswith("the inventory is as the bucket")


def test_new_changed_and_vanished_objects_are_taken_in_by_one_run(watched: Ticking) -> None:
    keys = _keys(watched)
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    watched.bucket.put(f"{DUMP}900002.jpg", JPEG)
    watched.bucket.put(keys[0], JPEG + b"another picture")
    request = watched.requested()
    assert request.tags[BECAUSE_TAG] == "2 new, 1 changed and 0 vanished objects"
    assert list(request.asset_selection or ()) == INGESTED_BY
    exports = watched.ask("select count(*) from fm_migration.export_read")
    assert watched.follow(request).success
    assert watched.ask("select count(*) from fm_migration.export_read") == exports, "the export is not read again"
    assert watched.ask("select count(*) from fm_migration.photo where recid like '90000%'") == 2
    assert watched.message().startswith("the inventory is as the bucket")


def test_an_object_that_has_vanished_is_noticed_when_the_round_is_over(watched: Ticking) -> None:
    watched.bucket.client.delete_object(Bucket=watched.bucket.name, Key=_keys(watched)[3])
    request = watched.requested()
    assert request.tags[BECAUSE_TAG] == "0 new, 0 changed and 1 vanished objects"
    assert watched.follow(request).success
    assert watched.message().startswith("the inventory is as the bucket")


def test_a_copy_of_the_same_bytes_starts_nothing(watched: Ticking) -> None:
    key = _keys(watched)[0]
    body = watched.bucket.client.get_object(Bucket=watched.bucket.name, Key=key)["Body"].read()
    watched.bucket.put(key, body)
    assert watched.message().startswith("the inventory is as the bucket")


@pytest.mark.usefixtures("small_pages")
def test_the_look_goes_on_over_the_ticks_and_begins_anew(watched: Ticking) -> None:
    present = watched.ask(PRESENT)
    said = [watched.message() for _ in range(-(-present // 20))]
    assert said[0] == "20 objects are as the inventory has them; the look goes on at the next tick"
    assert said[1].startswith("40 objects")
    assert said[-1] == f"the inventory is as the bucket: {present} objects"
    assert watched.message().startswith("20 objects")
    assert watched.cursor is None, "a key may carry a patient's id, so Dagster is not told where it stands"


@pytest.mark.usefixtures("small_pages")
def test_a_difference_far_behind_is_found_and_the_look_stays_there_until_it_is_taken_in(watched: Ticking) -> None:
    watched.bucket.put(f"{DUMP}zzz.jpg", JPEG)
    while not (tick := watched.tick()).run_requests:
        assert "the look goes on" in tick.skip_message
    (request,) = tick.run_requests
    (again,) = watched.tick().run_requests
    assert again.tags == request.tags, "the same state has the same name"
    assert watched.follow(request).success
    assert watched.message().startswith("20 objects"), "a new reading of the bucket begins a new round"


@pytest.mark.usefixtures("small_pages")
def test_an_object_that_vanishes_in_the_middle_of_a_round_is_taken_in_by_one_run(watched: Ticking) -> None:
    watched.tick()
    watched.bucket.client.delete_object(Bucket=watched.bucket.name, Key=_keys(watched)[0])
    requests = []
    # As many ticks as four rounds take.
    for _ in range(4 * (watched.ask(PRESENT) // 20 + 1)):
        tick = watched.tick()
        if tick.run_requests:
            requests.append(tick.run_requests[0])
            assert watched.follow(requests[-1]).success
    assert len(requests) == 1


def test_uploads_that_go_on_are_waited_for_but_not_for_ever(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "3600")
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    assert watched.message() == "1 new, 0 changed and 0 vanished objects; waiting until none was written for 1:00:00"
    watched.bucket.put(f"{DUMP}900002.jpg", JPEG)
    assert watched.message().startswith("2 new")
    watched.execute("update fm_migration.object_watch set differs_since = differs_since - interval '15 minutes'")
    assert watched.requested()


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_there_is_no_second_run_while_one_is_on_its_way(watched: Ticking, status: dg.DagsterRunStatus) -> None:
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    request = watched.requested()
    job = watched.definitions.resolve_job_def("import_photographs")
    record_run(watched.instance, job, status, request.tags)
    assert watched.message().endswith("a run that writes links is in progress")


def test_a_listing_that_is_refused_is_tried_again_after_a_pause_that_grows(watched: Ticking) -> None:
    """Half of the originals are gone: a person should look, and nothing is torn down meanwhile."""
    for key in _keys(watched)[::2]:
        watched.bucket.client.delete_object(Bucket=watched.bucket.name, Key=key)
    present = watched.ask(PRESENT)
    request = watched.requested()
    for tries in (1, 2):
        assert not watched.follow(request).success
        assert f"{tries} runs for it have changed nothing" in watched.message()
    assert watched.ask(PRESENT) == present
    # Another state is not kept waiting.
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    assert watched.requested()


def test_a_run_that_fails_behind_the_listing_is_repeated(watched: Ticking) -> None:
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    request = watched.requested()
    watched.execute("alter table fm_migration.photo add constraint broken check (month is null) not valid")
    assert not watched.follow(request).success
    assert watched.message().startswith("new objects were read, and the run failed behind that; 1 runs for it")
    watched.execute("alter table fm_migration.photo drop constraint broken")
    assert watched.follow(request).success
    assert watched.message().startswith("the inventory is as the bucket")


def test_a_store_that_is_away_is_no_empty_bucket(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_OBJECTS_URL", f"s3://{watched.bucket.name}?endpoint=http://127.0.0.1:9")
    assert watched.message().startswith("the bucket could not be looked at this time")
    monkeypatch.setenv("FM_OBJECTS_URL", watched.bucket.url)
    assert watched.message().startswith("the inventory is as the bucket")


def test_beside_a_queue_a_round_begins_once_an_hour(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_OBJECT_EVENTS", "http://127.0.0.1:9/000000000000/nobody")
    assert watched.message().startswith("the inventory is as the bucket")
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    assert watched.message().startswith("the whole bucket was looked at; the next round begins at ")
    watched.execute("update fm_migration.object_watch set round_ended_at = round_ended_at - interval '1 hour'")
    assert watched.requested()


def test_where_the_inventory_comes_from_reports_a_newer_report_is_what_is_new(
    watched: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FM_INVENTORY_REPORTS", f"s3://{watched.bucket.name}/reports/")
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    _write_report(watched, "2000-01-01T01-00Z", 946_684_800_000)
    assert watched.message() == "the newest inventory report was read"
    _write_report(watched, "2100-01-01T01-00Z", 4_102_444_800_000)
    assert watched.message().startswith("the newest inventory report was read; the next look is at ")
    watched.execute("update fm_migration.object_watch set round_ended_at = round_ended_at - interval '1 hour'")
    assert watched.requested().tags[BECAUSE_TAG] == "an inventory report of 2100-01-01 00:00 UTC"


def _write_report(watched: Ticking, name: str, created: int) -> None:
    manifest = json.dumps(
        {
            "sourceBucket": watched.bucket.name,
            "creationTimestamp": str(created),
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
            "files": [],
        }
    ).encode()
    folder = f"reports/{watched.bucket.name}/daily/{name}"
    watched.bucket.put(f"{folder}/manifest.json", manifest)
    watched.bucket.put(f"{folder}/manifest.checksum", hashlib.md5(manifest).hexdigest().encode())


def test_it_is_switched_off_by_its_setting(watched: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.bucket.put(f"{DUMP}900001.jpg", JPEG)
    monkeypatch.setenv("FM_WATCH_OBJECTS", "false")
    assert watched.message() == "FM_WATCH_OBJECTS is false: a person materializes s3_inventory"
