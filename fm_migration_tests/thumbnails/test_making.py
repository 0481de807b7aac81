"""Thumbnails of a whole small clinic: upright, current, made once, and continued by whoever comes after a stop."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from fm_migration.embedded.sample import pictures
from fm_migration.embedded.sample.model import Picture
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.images import documents
from fm_migration.images.recipe import Recipe
from fm_migration.thumbnails import making
from fm_migration.thumbnails.progress import Progress
from fm_migration.thumbnails.thumbnailing import Choice, ThumbnailState
from fm_migration_tests.conftest import SAMPLE_SIZE
from fm_migration_tests.peers.gallery import Store, open_gallery
from fm_migration_tests.thumbnails.conftest import Photographed
from fm_migration_tests.waiting import PATIENCE_SECONDS

DUMP = "filemaker-import/images-bulk-dump/"
#: Mean difference of a channel, of 255, between two ways of shrinking one picture: a palette costs most.
SAME = 6.0


def _pictures() -> dict[str, Picture]:
    clinic = design_clinic(SAMPLE_SIZE, seed=1, variant="fresh")
    return {stored.key: stored.picture for stored in clinic.objects if stored.picture}


def _difference(one: Image.Image, other: Image.Image) -> float:
    if one.size != other.size:
        return 255.0
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_every_readable_photograph_has_a_thumbnail_upright_in_the_true_size(clinic: Photographed) -> None:
    report = clinic.make()
    drawn, shown, recipe = _pictures(), clinic.shown(), Recipe()
    readable = {key: facts for key, facts in clinic.objects().items() if facts["readable"]}
    assert len(readable) > 90
    for key, facts in readable.items():
        image = shown[key]
        assert (image.width, image.height, image.mime_type) == (facts["width"], facts["height"], facts["mime"]), key
        thumbnail = clinic.body(image.s3_thumbnail_key)
        assert len(thumbnail) == image.thumbnail_size
        picture = _opened(thumbnail)
        assert not picture.getexif()
        size = recipe.fit(facts["width"], facts["height"])
        truth = pictures.upright(drawn[key]).resize(size, Image.Resampling.LANCZOS)
        unlike = _difference(picture, truth)
        assert unlike < SAME, key
        assert all(_difference(picture, truth.transpose(turn)) > 2 * unlike for turn in Image.Transpose), key
    assert report.done == len(shown)
    assert report.bytes_read == sum(facts["bytes"] for facts in clinic.objects().values())


def test_what_is_no_readable_picture_has_a_state_with_its_reason(clinic: Photographed) -> None:
    clinic.make()
    states, shown = clinic.states(), clinic.shown()
    for key, facts in clinic.objects().items():
        row = states[key]
        if facts["why_not"] == "zero_byte":
            assert (row.state, row.reason) == ("unreadable", "the file is empty")
        elif facts["why_not"] == "cut_in_header":
            assert row.state == "unreadable"
            assert row.reason.startswith("the file is damaged or cut off")
        elif facts["why_not"] == "pdf":
            assert row.state == ("current" if documents.can_render() else "not_an_image")
            assert row.mime_type == "application/pdf"
        else:
            assert row.state in ("current", "adopted"), key
        if row.state == "unreadable":
            assert shown[key].s3_thumbnail_key == ""
    assert {facts["mime"] for facts in clinic.objects().values() if facts["readable"]} >= {"image/heic", "image/tiff"}


def test_a_second_run_makes_nothing_and_writes_nothing(clinic: Photographed) -> None:
    clinic.make()
    images, states, keys = clinic.images(), clinic.states(), clinic.keys()
    again = clinic.make()
    assert (again.done, again.rows, again.plan, again.bytes_read) == (0, 0, None, 0)
    assert (clinic.images(), clinic.states(), clinic.keys()) == (images, states, keys)


def test_a_month_has_its_own_photographs_only(clinic: Photographed) -> None:
    month = clinic.months()[3]
    clinic.make([month])
    taken = {key for key, image in clinic.shown().items() if image.month == month}
    assert set(clinic.states()) == taken
    clinic.make()
    assert set(clinic.states()) == set(clinic.shown())


def test_undated_photographs_are_a_month_of_their_own(clinic: Photographed) -> None:
    assert clinic.months()[-1] == "undated"
    assert clinic.make(["undated"]).done > 0


def test_limit_makes_so_many_and_only_missing_leaves_what_is_out_of_date(few: Photographed) -> None:
    assert few.make(choice=Choice(limit=7)).done == 7
    newer = Recipe(quality=60)
    assert few.make(choice=Choice(only_missing=True), recipe=newer).done == len(few.shown()) - 7
    assert few.make(recipe=newer).done == 7


def test_force_makes_all_again_into_the_same_objects(few: Photographed) -> None:
    first = few.make()
    images, keys = few.images(), few.keys()
    again = few.make(choice=Choice(force=True))
    assert again.done == first.done
    assert again.rows == 0, "the rows say it already"
    assert (few.images(), few.keys()) == (images, keys)
    assert {row.attempts for row in few.states().values()} == {2}


def test_a_new_recipe_makes_all_again_under_new_keys(few: Photographed) -> None:
    few.make()
    before = {key: image.s3_thumbnail_key for key, image in few.shown().items()}
    few.make(recipe=Recipe(side=200))
    for key, image in few.shown().items():
        if few.states()[key].state == "current":
            assert image.s3_thumbnail_key != before[key]
            assert max(_opened(few.body(image.s3_thumbnail_key)).size) <= 200


def test_the_originals_and_the_clinics_own_thumbnails_stay_as_they_are(clinic: Photographed) -> None:
    before = {facts.key: facts.etag for facts in clinic.store.list(DUMP)}
    clinic.make()
    assert {facts.key: facts.etag for facts in clinic.store.list(DUMP)} == before
    made = clinic.keys("thumbnails/")
    named = {row.key for row in clinic.states().values() if row.key}
    assert made == {key for key in named if not key.startswith(DUMP)}


def test_photographs_by_hand_are_not_ours(clinic: Photographed) -> None:
    uploaded = {key: image for key, image in clinic.images().items() if image["uploaded_by_id"]}
    assert uploaded
    clinic.make()
    assert {key: clinic.images()[key] for key in uploaded} == uploaded


def test_a_mirrored_side_is_marked_and_no_other(clinic: Photographed) -> None:
    clinic.make()
    types = {row["object"]: row["type"] for row in clinic.truth["rows"] if row["state"] == "linked"}
    expected = {
        key
        for key, facts in clinic.objects().items()
        if facts.get("mirrored") and types[key].split("-")[0] in ("L", "R", "Left", "Right")
    }
    assert expected
    assert {key for key, row in clinic.states().items() if row.mirrored_side} == expected


def test_the_gallery_shows_a_thumbnail_of_every_readable_photograph(clinic: Photographed) -> None:
    clinic.make()
    bucket = clinic.bucket
    endpoint = bucket.client.meta.endpoint_url
    with open_gallery(
        clinic.sample.database_url, Store(endpoint, bucket.name, bucket.access_key, bucket.secret_key)
    ) as app:
        pages = app.visible()
    images = [image for page in pages.values() for batch in page for image in batch.images]
    thumbnails = {str(image.id): image.thumbnail_url for image in images}
    readable = [key for key, facts in clinic.objects().items() if facts["readable"]]
    ids = {key: str(image.id) for key, image in clinic.shown().items()}
    missing = [key for key in readable if not thumbnails[ids[key]]]
    assert missing == []
    assert len(readable) > 90


def test_a_killed_run_is_continued(clinic: Photographed) -> None:
    code = (
        "from fm_migration.places import find_places; from fm_migration.settings import load_settings;"
        "from fm_migration.thumbnails import making, thumbnailing; making.BATCH = 5;"
        "places = find_places(load_settings());"
        "months = thumbnailing.months(places.engine.connect());"
        "making.make_thumbnails(places.engine, places.store, places.settings, months)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    ends = time.monotonic() + PATIENCE_SECONDS
    while len(clinic.states()) < 20 and run.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = len(clinic.states())
    assert 20 <= done < len(clinic.shown()), "killed too early or too late to say anything"
    assert clinic.make().done == len(clinic.shown()) - done
    assert all(row.attempts == 1 for row in clinic.states().values())
    assert clinic.make().done == 0


def test_two_runs_at_once_do_no_harm(few: Photographed) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        reports = [future.result() for future in [pool.submit(few.make) for _ in range(2)]]
    assert sum(report.rows for report in reports) == len([i for i in few.shown().values() if i.s3_thumbnail_key])
    assert few.make().done == 0


def test_it_tells_how_far_it_is_with_the_time_left(few: Photographed) -> None:
    told: list[Progress] = []
    few.make(on_progress=told.append, progress_every=0.05)
    assert len(told) > 2
    assert told[-1].done == told[-1].total == len(few.shown())
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert "a second" in told[-1].message
    assert "left" in told[-1].message


def test_a_line_per_photograph_is_there_for_who_asks_by_ids_of_ours(
    few: Photographed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="fm_migration.thumbnails"):
        few.make(choice=Choice(limit=5))
    assert len(caplog.messages) == 5
    assert any(" → " in line and line.endswith(" KB") for line in caplog.messages)
    assert not any("/" in line.split(" ")[0] for line in caplog.messages)


def test_the_contact_sheet_is_a_file_for_its_owner_only(few: Photographed, tmp_path: Path) -> None:
    sheet = tmp_path / "sheets" / "run.html"
    few.make(choice=Choice(limit=12), contact_sheet=sheet)
    text = sheet.read_text(encoding="utf-8")
    assert text.count("<figure>") == 12
    assert all(str(row.clinic_image) in text for row in few.states().values())
    assert "data:image/jpeg;base64," in text
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    assert not (tmp_path / "contact-sheets").exists()


def test_batches_are_small_and_their_size_does_not_matter(few: Photographed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "BATCH", 1)
    monkeypatch.setattr(making, "PAGE", 3)
    report = few.make()
    assert report.done == len(few.shown())
    assert len(few.rows("select id from fm_migration.link_plan where kind = 'thumbnails'")) == 1
    assert few.make().done == 0


# --- the clinic's own thumbnails --------------------------------------------------------------------------------------


def test_a_faithful_thumbnail_of_the_clinic_is_adopted_and_no_other(
    photographed: Callable[..., Photographed],
) -> None:
    clinic = photographed("imported")
    theirs = {f["recid"]: f for f in clinic.truth["objects"] if f["class"] == "thumbnail"}
    shown_before = {key: image.s3_thumbnail_key for key, image in clinic.shown().items()}
    clinic.make()
    states, shown = clinic.states(), clinic.shown()
    adopted = {key for key, row in states.items() if row.state == "adopted"}
    sideways = set()
    for key, facts in clinic.objects().items():
        own = theirs.get(facts["recid"])
        if own is None or not facts["readable"]:
            assert key not in adopted
        elif key in adopted:
            assert facts["orientation"] in (None, 1), "a sideways thumbnail was adopted"
            assert shown[key].s3_thumbnail_key == own["key"]
            assert shown[key].thumbnail_size == own["bytes"]
        elif facts["orientation"] not in (None, 1):
            sideways.add(key)
    assert adopted
    assert sideways
    for key in sideways:
        assert shown_before[key].startswith(DUMP)
        assert shown[key].s3_thumbnail_key.startswith("thumbnails/")
    assert all(facts["key"] in clinic.keys(DUMP) for facts in theirs.values())


def test_a_thumbnail_that_is_not_there_is_made(photographed: Callable[..., Photographed]) -> None:
    clinic = photographed("imported")
    shown, objects = clinic.shown(), clinic.objects()
    key = next(key for key, image in shown.items() if image.s3_thumbnail_key and objects[key]["readable"])
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=shown[key].s3_thumbnail_key)
    clinic.make()
    assert clinic.states()[key].state == "current"
    assert clinic.body(clinic.shown()[key].s3_thumbnail_key)


def test_the_states_are_those_that_the_table_allows() -> None:
    assert {state.value for state in ThumbnailState} == {
        "current", "adopted", "partial", "unreadable", "not_an_image", "unavailable",
    }  # fmt: skip
    assert all(state.meaning and state.remedy for state in ThumbnailState)
