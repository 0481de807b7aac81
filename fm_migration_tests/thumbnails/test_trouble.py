"""What goes wrong with a bucket, a picture or a person between two runs, and what becomes of it."""

from __future__ import annotations

import io
import threading
from collections import Counter
from typing import Any

import pytest
from PIL import Image

from fm_migration.clinic import applying
from fm_migration.clinic.thumbnailing import Choice
from fm_migration.errors import ObjectStoreError, TransientError
from fm_migration.images.recipe import Recipe
from fm_migration.objects.store import ObjectStore
from fm_migration.thumbnails import making, reading
from fm_migration_tests.thumbnails.conftest import Photographed


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(reading, "LONGEST_WAIT", 0.02)


class TroubledStore(ObjectStore):
    """The real store, whose calls fail as a test says: given the call's number for this key, an error or None."""

    def __init__(self, store: ObjectStore, rule: Any) -> None:
        super().__init__(store.client, store.bucket, writable_prefixes=store.writable_prefixes)
        self.rule = rule
        self.calls: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def read(self, key: str, **options: Any) -> bytes:
        self._suffer("read", key)
        return super().read(key, **options)

    def put(self, key: str, body: bytes, content_type: str, **options: Any) -> str:
        self._suffer("put", key)
        return super().put(key, body, content_type, **options)

    def _suffer(self, what: str, key: str) -> None:
        with self._lock:
            self.calls[what, key] += 1
            error = self.rule(what, key, self.calls[what, key], self.calls.total())
        if error is not None:
            raise error


def _busy() -> TransientError:
    return TransientError("reading", "an object", "the server says SlowDown", "Run again")


def _denied() -> ObjectStoreError:
    return ObjectStoreError("reading", "an object", "access denied", "Grant s3:GetObject")


def _jpeg(colour: str = "teal") -> bytes:
    target = io.BytesIO()
    image = Image.effect_noise((640, 480), 60).convert("RGB")
    image.paste(colour, (40, 40, 200, 300))
    image.save(target, "JPEG", quality=90)
    return target.getvalue()


def _a_photograph(clinic: Photographed, number: int = 0) -> str:
    plain = [k for k, facts in clinic.objects().items() if facts["readable"] and facts["mime"] == "image/jpeg"]
    return sorted(plain)[number]


# --- the bucket -------------------------------------------------------------------------------------------------------


def test_a_busy_store_is_asked_again(clinic: Photographed) -> None:
    store = TroubledStore(clinic.store, lambda _what, _key, time, _total: _busy() if time == 1 else None)
    report = clinic.make(store=store)
    assert report.done == len(clinic.shown())
    assert {row.state for row in clinic.states().values()} <= {"current", "adopted", "unreadable"}


def test_a_store_that_stays_away_ends_the_run_and_the_next_goes_on(
    clinic: Photographed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 10)
    store = TroubledStore(clinic.store, lambda _what, _key, _time, total: _busy() if total > 80 else None)
    with pytest.raises(TransientError, match="SlowDown"):
        clinic.make(store=store)
    done = len(clinic.states())
    assert 0 < done < len(clinic.shown())
    assert clinic.make().done == len(clinic.shown()) - done


def test_an_object_that_is_refused_costs_itself_and_is_tried_after_the_next_listing(clinic: Photographed) -> None:
    refused = _a_photograph(clinic)
    clinic.make(store=TroubledStore(clinic.store, lambda _w, key, *_: _denied() if key == refused else None))
    row = clinic.states()[refused]
    assert (row.state, row.reason) == ("unavailable", "access denied")
    assert len(clinic.states()) == len(clinic.shown())
    assert clinic.make().done == 0
    clinic.list_again()
    assert clinic.make().done == 1
    assert clinic.states()[refused].state == "current"


def test_a_store_that_refuses_everything_is_an_error_and_no_state(clinic: Photographed) -> None:
    store = TroubledStore(clinic.store, lambda what, *_: _denied() if what == "read" else None)
    with pytest.raises(ObjectStoreError, match=r"access denied \(and it gave us none\)"):
        clinic.make(store=store)
    assert len(clinic.states()) < making.REFUSALS


def test_a_prefix_that_may_not_be_written_is_an_error_before_any_row_names_a_thumbnail(clinic: Photographed) -> None:
    before = clinic.images()
    with pytest.raises(ObjectStoreError, match="access denied"):
        clinic.make(store=TroubledStore(clinic.store, lambda what, *_: _denied() if what == "put" else None))
    assert clinic.images() == before
    assert clinic.states() == {}


def test_an_object_that_vanishes_between_listing_and_reading_is_a_state(clinic: Photographed) -> None:
    gone = _a_photograph(clinic)
    content = clinic.body(gone)
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=gone)
    clinic.make()
    assert clinic.states()[gone].state == "unavailable"
    assert clinic.shown()[gone].s3_thumbnail_key == ""
    clinic.list_again()
    assert clinic.make().done == 0, "what the listing does not know is not asked for again"
    clinic.bucket.put(gone, content)
    clinic.list_again()
    assert clinic.make().done == 1
    assert clinic.shown()[gone].s3_thumbnail_key


def test_another_object_than_was_listed_is_not_taken_for_it(clinic: Photographed) -> None:
    key = _a_photograph(clinic)
    clinic.bucket.put(key, _jpeg())
    clinic.make()
    assert clinic.states()[key].state == "unavailable"
    clinic.list_again()
    assert clinic.make().done == 1
    assert clinic.states()[key].state == "current"


def test_a_changed_original_is_made_again_and_an_unchanged_one_is_not(clinic: Photographed) -> None:
    clinic.make()
    key = _a_photograph(clinic, 5)
    before = clinic.shown()[key]
    clinic.bucket.put(key, _jpeg())
    assert clinic.make().done == 0, "nobody knows yet"
    clinic.list_again()
    report = clinic.make()
    after = clinic.shown()[key]
    assert (report.done, report.rows) == (1, 1)
    assert after.s3_thumbnail_key != before.s3_thumbnail_key
    assert (after.width, after.height) == (640, 480)
    assert clinic.states()[key].attempts == 1


def test_a_failed_photograph_is_tried_again_only_when_its_object_changes(clinic: Photographed) -> None:
    clinic.make()
    key = next(key for key, facts in clinic.objects().items() if facts["why_not"] == "zero_byte")
    clinic.list_again()
    assert clinic.make().done == 0
    assert clinic.make(choice=Choice(only_missing=True, force=True)).done == 2, "both that have none"
    assert clinic.states()[key].attempts == 2
    clinic.bucket.put(key, _jpeg())
    clinic.list_again()
    assert clinic.make().done == 1
    assert clinic.states()[key].state == "current"
    assert clinic.states()[key].attempts == 1


def test_a_truncated_original_shows_what_is_left(clinic: Photographed) -> None:
    key, lost = _a_photograph(clinic), _a_photograph(clinic, 1)
    whole = _jpeg()
    clinic.bucket.put(key, whole[: len(whole) * 7 // 10])
    clinic.bucket.put(lost, whole[:300])
    clinic.list_again()
    clinic.make()
    row = clinic.states()[key]
    assert row.state == "partial"
    assert row.reason.endswith("% of the picture can be seen")
    assert (row.width, row.height) == (640, 480)
    assert clinic.body(clinic.shown()[key].s3_thumbnail_key)
    assert clinic.states()[lost].state == "unreadable"


def test_a_thumbnail_of_ours_never_shows_another_picture(clinic: Photographed) -> None:
    """The original is replaced by something that cannot be shown: the old picture must not stay under the new name."""
    clinic.make()
    key = _a_photograph(clinic)
    clinic.bucket.put(key, b"<html><body>Please log in</body></html>")
    clinic.list_again()
    clinic.make()
    row, image = clinic.states()[key], clinic.shown()[key]
    assert (row.state, row.reason) == ("not_an_image", "not a picture but text/html")
    assert (image.s3_thumbnail_key, image.thumbnail_size, image.width) == ("", None, None)
    assert clinic.make().done == 0


def test_a_file_that_is_too_large_is_not_even_read(clinic: Photographed) -> None:
    key = _a_photograph(clinic)
    clinic.execute("update fm_migration.s3_inventory set size = 900000000 where key = :key", key=key)
    store = TroubledStore(clinic.store, lambda *_: None)
    clinic.make(store=store)
    assert store.calls["read", key] == 0
    assert clinic.states()[key].state == "unreadable"
    assert "too large" in clinic.states()[key].reason


def test_an_original_outside_the_listing_is_found_by_asking(clinic: Photographed) -> None:
    key = _a_photograph(clinic)
    clinic.execute("delete from fm_migration.s3_inventory where key = :key", key=key)
    clinic.make()
    assert clinic.states()[key].state == "current"
    assert clinic.make().done == 0


def test_our_thumbnails_that_somebody_deletes_are_made_again(clinic: Photographed) -> None:
    clinic.make()
    key = next(image.s3_thumbnail_key for k, image in clinic.shown().items() if clinic.states()[k].state == "current")
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=key)
    clinic.list_again()  # its first sight of our thumbnails: what is not there was never seen
    clinic.bucket.put(key, b"x")
    clinic.list_again()
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=key)
    clinic.list_again()
    report = clinic.make()
    assert (report.done, report.rows) == (1, 0)
    assert len(clinic.body(key)) > 1000
    assert clinic.make().done == 0


# --- people -----------------------------------------------------------------------------------------------------------


def test_undo_puts_every_row_back_and_stays_undone(clinic: Photographed) -> None:
    before = clinic.images()
    report = clinic.make()
    assert report.plan is not None
    assert clinic.images() != before
    undone = clinic.undo(report.plan)
    assert (undone.restored, undone.left) == (report.rows, ())
    assert clinic.images() == before
    assert clinic.undo(report.plan).restored == 0
    assert clinic.make().done == 0, "a person did not want it"
    assert clinic.make(choice=Choice(force=True)).rows == report.rows


def test_undo_leaves_what_somebody_has_changed_since(clinic: Photographed) -> None:
    report = clinic.make()
    key = _a_photograph(clinic)
    image = clinic.shown()[key]
    clinic.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where id = :id", id=image.id)
    assert report.plan is not None
    undone = clinic.undo(report.plan)
    assert undone.left == (f"images_image {image.id}",)
    assert undone.restored == report.rows - 1
    assert clinic.shown()[key].s3_thumbnail_key == "theirs.jpg"


def test_a_thumbnail_that_somebody_put_in_the_place_of_ours_stays(clinic: Photographed) -> None:
    clinic.make()
    key = _a_photograph(clinic)
    clinic.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where s3_key = :key", key=key)
    clinic.make()
    clinic.make(choice=Choice(force=True))
    clinic.make(recipe=Recipe(side=120))
    assert clinic.shown()[key].s3_thumbnail_key == "theirs.jpg"


def test_a_row_that_changes_while_its_thumbnail_is_made_stays(clinic: Photographed) -> None:
    key = _a_photograph(clinic)

    def rule(what: str, read: str, *_: object) -> None:
        if (what, read) == ("read", key):
            clinic.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where s3_key = :key", key=key)

    clinic.make(store=TroubledStore(clinic.store, rule))
    assert clinic.shown()[key].s3_thumbnail_key == "theirs.jpg"
    assert clinic.make().done == 0


def test_captions_categories_and_orders_are_nobodys_business_here(clinic: Photographed) -> None:
    clinic.execute("update images_image set caption = 'Seen', category = 'wound', \"order\" = 42")
    clinic.make()
    ours = {"s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type"}
    for image in clinic.images().values():
        assert (image["caption"], image["category"], image["order"]) == ("Seen", "wound", 42)
    (found,) = clinic.rows(
        "select array_agg(distinct name) as names from fm_migration.journal, jsonb_object_keys(after) as name "
        "where kind = 'thumbnails'"
    )
    assert set(found.names) == ours


def test_images_that_were_unlinked_and_linked_again_show_their_thumbnails(clinic: Photographed) -> None:
    first = clinic.make()
    with clinic.places.engine.begin() as connection:
        applying.undo_plan(connection, 1)
    assert len(clinic.shown()) < first.done
    clinic.link()
    again = clinic.make()
    assert again.done > 0
    assert {key for key, image in clinic.shown().items() if not image.s3_thumbnail_key} == {
        key for key, row in clinic.states().items() if row.state == "unreadable"
    }
    assert clinic.make().done == 0


def test_every_change_is_in_the_journal_with_its_reason(clinic: Photographed) -> None:
    report = clinic.make(run_id="run-1")
    journal = clinic.rows("select * from fm_migration.journal where kind = 'thumbnails'")
    assert len(journal) == report.rows
    assert {row.reason for row in journal} == {"a thumbnail was made", "the clinic's thumbnail is faithful"}
    assert {row.run_id for row in journal} == {"run-1"}
    assert all(row.before["s3_thumbnail_key"] == "" for row in journal)
    (plan,) = clinic.rows("select * from fm_migration.link_plan where kind = 'thumbnails'")
    assert plan.counts == {"changes": report.rows}
    assert plan.applied_at is not None
    assert plan.hash
