"""The sensor `new_export`, tick by tick, on a real export, database and instance; runs are real ones."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import dagster as dg
import pytest

from fm_migration.defs.sensors.exports import new_export
from fm_migration.defs.sensors.runs import BECAUSE_TAG
from fm_migration.watching.exports import IN_SYNC
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.e2e.runs import record_run

WAITING = "waiting until it has not changed"


@pytest.fixture
def watched(untouched: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ticking:
    """Before the first import."""
    return _watching(untouched, monkeypatch, tmp_path)


@pytest.fixture
def read(linked: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ticking:
    """After it."""
    return _watching(linked, monkeypatch, tmp_path)


def _watching(clinic: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ticking:
    """The export is a copy that the test may change, and need not stop changing."""
    export = tmp_path / "export.csv"
    shutil.copyfile(clinic.sample.export, export)
    monkeypatch.setenv("FM_EXPORT", str(export))
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
    clinic.sensor = new_export
    return clinic


def _export() -> Path:
    return Path(os.environ["FM_EXPORT"])


def _change(text: str = "Dorsal") -> None:
    """One photograph has another Type: the same number of bytes, as after a correction in FileMaker."""
    whole = _export().read_text("utf-8-sig")
    assert text in whole
    _export().write_text(whole.replace(text, text.swapcase(), 1), "utf-8-sig")


def test_the_first_import_is_a_persons_to_start(watched: Ticking) -> None:
    assert watched.message() == "nothing was imported yet: run import_photographs first"


def test_who_has_started_small_is_not_overrun(watched: Ticking) -> None:
    limit = {"ops": {"link_plan": {"config": {"limit": 30}}}}
    assert watched.run("import_photographs", config=limit).success
    _change()
    assert watched.requested().run_config == limit


def test_an_export_that_was_read_starts_nothing_also_when_it_is_written_again(read: Ticking) -> None:
    assert read.message() == IN_SYNC
    _export().write_bytes(_export().read_bytes())
    os.utime(_export(), (1, 1))
    assert read.message() == IN_SYNC


def test_a_changed_export_is_imported_and_is_then_the_one_that_was_read(read: Ticking) -> None:
    before = read.ask("select count(*) from fm_migration.export_read")
    _change()
    request = read.requested()
    assert request.tags[BECAUSE_TAG] == "the export is not the one that was read last"
    assert read.follow(request).success
    assert read.ask("select count(*) from fm_migration.export_read") == before + 1
    assert read.message() == IN_SYNC


def test_a_file_that_is_still_written_is_waited_for(read: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "3600")
    whole = _export().read_bytes()
    _export().write_bytes(whole[: len(whole) // 2])
    assert WAITING in read.message()
    _export().write_bytes(whole + b"\r\n")
    assert WAITING in read.message(), "it has changed since, so the waiting begins anew"
    assert WAITING in read.message()
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
    assert read.requested()


def test_a_newer_file_of_a_folder_is_a_new_export(
    read: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    shutil.copyfile(_export(), folder / "Image_dataV9.csv")
    monkeypatch.setenv("FM_EXPORT", str(folder))
    assert read.message() == IN_SYNC
    shutil.copyfile(folder / "Image_dataV9.csv", folder / "Image_dataV10.csv")
    os.utime(folder / "Image_dataV9.csv", (1, 1))
    assert read.message() == IN_SYNC, "a copy of the same"
    monkeypatch.setenv("FM_EXPORT", str(folder / "Image_dataV10.csv"))
    _change()
    monkeypatch.setenv("FM_EXPORT", str(folder))
    assert read.requested()


def test_an_object_is_watched_like_a_file(read: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    key = f"exports-of-tests/{uuid.uuid4()}.csv"
    whole = _export().read_bytes()
    read.bucket.put(key, whole)
    monkeypatch.setenv("FM_EXPORT", f"s3://{read.bucket.name}/{key}")
    assert read.message() == IN_SYNC
    read.bucket.put(key, whole + b"\r\n")
    assert read.requested()


@pytest.mark.parametrize("there", ["no file", "an empty folder", "no object"])
def test_an_export_that_is_away_starts_nothing(
    read: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: str
) -> None:
    (tmp_path / "empty").mkdir()
    places: dict[str, str] = {
        "no file": str(tmp_path / "gone.csv"),
        "an empty folder": str(tmp_path / "empty"),
        "no object": f"s3://{read.sample.bucket.name}/gone.csv",
    }
    monkeypatch.setenv("FM_EXPORT", places[there])
    said = read.message()
    assert "there is no such" in said or "no file there" in said


def test_there_is_no_second_run_while_one_is_on_its_way(read: Ticking) -> None:
    _change()
    request = read.requested()
    job = read.definitions.resolve_job_def("import_photographs")
    record_run(read.instance, job, dg.DagsterRunStatus.QUEUED, request.tags)
    assert read.message().endswith("a run that writes links is in progress")


def test_an_export_that_is_refused_is_tried_again_after_a_pause_that_grows(read: Ticking) -> None:
    """Half of its rows are missing; it is refused before anything is written, and so never counts as read."""
    whole = _export().read_bytes().splitlines(keepends=True)
    _export().write_bytes(b"".join(whole[: len(whole) // 2]))
    request = read.requested()
    for tries in (1, 2):
        assert not read.follow(request).success
        assert f"{tries} runs for it have changed nothing" in read.message()
    # Another export is another state, and is not kept waiting for the one before.
    _export().write_bytes(b"".join(whole) + b"\r\n")
    assert read.requested()


def test_a_run_that_fails_behind_the_reading_is_repeated(read: Ticking) -> None:
    """The export counts as read then, and yet its photographs are not linked."""
    _change()
    request = read.requested()
    read.execute("alter table fm_migration.photo add constraint broken check (month is null) not valid")
    assert not read.follow(request).success
    assert "the export was read, and the run failed behind that; 1 runs for it" in read.message()
    read.execute("alter table fm_migration.photo drop constraint broken")
    assert read.follow(request).success
    assert read.message() == IN_SYNC


def test_a_run_that_a_person_has_cancelled_is_not_started_again_at_once(read: Ticking) -> None:
    _change()
    request = read.requested()
    job = read.definitions.resolve_job_def("import_photographs")
    run = record_run(read.instance, job, dg.DagsterRunStatus.STARTED, request.tags)
    read.instance.report_run_canceled(run)
    assert "1 runs for it have changed nothing" in read.message()


def test_it_is_switched_off_by_its_setting(read: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    _change()
    monkeypatch.setenv("FM_WATCH_EXPORT", "false")
    assert read.message() == "FM_WATCH_EXPORT is false: a person starts the imports"


def test_the_cursor_holds_no_more_than_a_fingerprint_a_time_and_a_hash(read: Ticking) -> None:
    read.tick()
    assert read.cursor is not None
    assert len(read.cursor) < 500
