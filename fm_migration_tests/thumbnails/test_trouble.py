"""What goes wrong with a bucket, a picture or a person between two runs, and what becomes of it."""

from __future__ import annotations

import io
import threading
from collections import Counter
from mmap import mmap
from typing import Any

import pytest
from PIL import Image

from fm_migration import plans
from fm_migration.errors import ObjectStoreError, TransientError
from fm_migration.images.recipe import Recipe
from fm_migration.objects.store import ObjectStore
from fm_migration.thumbnails import making, reading
from fm_migration.thumbnails.thumbnailing import Choice
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

    def put(self, key: str, body: bytes | mmap, content_type: str, **options: Any) -> str:
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


def test_a_busy_store_is_asked_again(few: Photographed) -> None:
    store = TroubledStore(few.store, lambda _what, _key, time, _total: _busy() if time == 1 else None)
    report = few.make(store=store)
    assert report.done == len(few.shown())
    assert {row.state for row in few.states().values()} <= {"current", "adopted", "unreadable"}


def test_a_store_that_stays_away_ends_the_run_and_the_next_goes_on(
    few: Photographed,
) -> None:
    store = TroubledStore(few.store, lambda _what, _key, _time, total: _busy() if total > 30 else None)
    with pytest.raises(TransientError, match="SlowDown"):
        few.make(store=store)
    done = len(few.states())
    assert 0 < done < len(few.shown())
    assert few.make().done == len(few.shown()) - done


def test_an_object_that_is_refused_costs_itself_and_is_tried_after_the_next_listing(few: Photographed) -> None:
    refused = _a_photograph(few)
    few.make(store=TroubledStore(few.store, lambda _w, key, *_: _denied() if key == refused else None))
    row = few.states()[refused]
    assert (row.state, row.reason) == ("unavailable", "access denied")
    assert len(few.states()) == len(few.shown())
    assert few.make().done == 0
    few.list_again()
    assert few.make().done == 1
    assert few.states()[refused].state == "current"


def test_a_store_that_refuses_everything_is_an_error_and_no_state(few: Photographed) -> None:
    store = TroubledStore(few.store, lambda what, *_: _denied() if what == "read" else None)
    with pytest.raises(ObjectStoreError, match=r"access denied \(and it gave us none\)"):
        few.make(store=store)
    assert len(few.states()) < making.REFUSALS


def test_a_prefix_that_may_not_be_written_is_an_error_before_any_row_names_what_is_not_there(few: Photographed) -> None:
    """What the clinic had made itself needs no writing, so it is adopted all the same."""
    with pytest.raises(ObjectStoreError, match="access denied"):
        few.make(store=TroubledStore(few.store, lambda what, *_: _denied() if what == "put" else None))
    assert {row.state for row in few.states().values()} <= {"adopted"}
    assert {image.s3_thumbnail_key for image in few.shown().values()} - {""} <= few.keys()


def test_an_object_that_vanishes_between_listing_and_reading_is_a_state(few: Photographed) -> None:
    gone = _a_photograph(few)
    content = few.body(gone)
    few.bucket.client.delete_object(Bucket=few.bucket.name, Key=gone)
    few.make()
    assert few.states()[gone].state == "unavailable"
    assert few.shown()[gone].s3_thumbnail_key == ""
    few.list_again()
    assert few.make().done == 0, "what the listing does not know is not asked for again"
    few.bucket.put(gone, content)
    few.list_again()
    assert few.make().done == 1
    assert few.shown()[gone].s3_thumbnail_key


def test_another_object_than_was_listed_is_not_taken_for_it(few: Photographed) -> None:
    key = _a_photograph(few)
    few.bucket.put(key, _jpeg())
    few.make()
    assert few.states()[key].state == "unavailable"
    few.list_again()
    assert few.make().done == 1
    assert few.states()[key].state == "current"


def test_a_changed_original_is_made_again_and_an_unchanged_one_is_not(few: Photographed) -> None:
    few.make()
    key = _a_photograph(few, 5)
    before = few.shown()[key]
    few.bucket.put(key, _jpeg())
    assert few.make().done == 0, "nobody knows yet"
    few.list_again()
    report = few.make()
    after = few.shown()[key]
    assert (report.done, report.rows) == (1, 1)
    assert after.s3_thumbnail_key != before.s3_thumbnail_key
    assert (after.width, after.height) == (640, 480)
    assert few.states()[key].attempts == 1


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


def test_a_truncated_original_shows_what_is_left(few: Photographed) -> None:
    key, lost = _a_photograph(few), _a_photograph(few, 1)
    whole = _jpeg()
    few.bucket.put(key, whole[: len(whole) * 7 // 10])
    few.bucket.put(lost, whole[:300])
    few.list_again()
    few.make()
    row = few.states()[key]
    assert row.state == "partial"
    assert row.reason.endswith("% of the picture can be seen")
    assert (row.width, row.height) == (640, 480)
    assert few.body(few.shown()[key].s3_thumbnail_key)
    assert few.states()[lost].state == "unreadable"


def test_a_thumbnail_of_ours_never_shows_another_picture(few: Photographed) -> None:
    """The original is replaced by something that cannot be shown: the old picture must not stay under the new name."""
    few.make()
    key = _a_photograph(few)
    few.bucket.put(key, b"<html><body>Please log in</body></html>")
    few.list_again()
    few.make()
    row, image = few.states()[key], few.shown()[key]
    assert (row.state, row.reason) == ("not_an_image", "not a picture but text/html")
    assert (image.s3_thumbnail_key, image.thumbnail_size, image.width) == ("", None, None)
    assert few.make().done == 0


def test_a_file_that_is_too_large_is_not_even_read(few: Photographed) -> None:
    key = _a_photograph(few)
    few.execute("update fm_migration.s3_inventory set size = 900000000 where key = :key", key=key)
    store = TroubledStore(few.store, lambda *_: None)
    few.make(store=store)
    assert store.calls["read", key] == 0
    assert few.states()[key].state == "unreadable"
    assert "too large" in few.states()[key].reason


def test_an_original_outside_the_listing_is_found_by_asking(few: Photographed) -> None:
    key = _a_photograph(few)
    few.execute("delete from fm_migration.s3_inventory where key = :key", key=key)
    few.make()
    assert few.states()[key].state == "current"
    assert few.make().done == 0


def test_our_thumbnails_that_somebody_deletes_are_made_again(few: Photographed) -> None:
    few.make()
    key = next(image.s3_thumbnail_key for k, image in few.shown().items() if few.states()[k].state == "current")
    few.bucket.client.delete_object(Bucket=few.bucket.name, Key=key)
    few.list_again()  # its first sight of our thumbnails: what is not there was never seen
    few.bucket.put(key, b"x")
    few.list_again()
    few.bucket.client.delete_object(Bucket=few.bucket.name, Key=key)
    few.list_again()
    report = few.make()
    assert (report.done, report.rows) == (1, 0)
    assert len(few.body(key)) > 1000
    assert few.make().done == 0


# --- people -----------------------------------------------------------------------------------------------------------


def test_undo_puts_every_row_back_and_stays_undone(few: Photographed) -> None:
    before = few.images()
    report = few.make()
    assert report.plan is not None
    assert few.images() != before
    undone = few.undo(report.plan)
    assert (undone.restored, undone.left) == (report.rows, ())
    assert few.images() == before
    assert few.undo(report.plan).restored == 0
    assert few.make().done == 0, "a person did not want it"
    assert few.make(choice=Choice(force=True)).rows == report.rows


def test_undo_leaves_what_somebody_has_changed_since(few: Photographed) -> None:
    report = few.make()
    key = _a_photograph(few)
    image = few.shown()[key]
    few.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where id = :id", id=image.id)
    assert report.plan is not None
    undone = few.undo(report.plan)
    assert undone.left == (f"images_image {image.id}",)
    assert undone.restored == report.rows - 1
    assert few.shown()[key].s3_thumbnail_key == "theirs.jpg"


def test_a_thumbnail_that_somebody_put_in_the_place_of_ours_stays(few: Photographed) -> None:
    few.make()
    key = _a_photograph(few)
    few.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where s3_key = :key", key=key)
    few.make()
    few.make(choice=Choice(force=True))
    few.make(recipe=Recipe(side=120))
    assert few.shown()[key].s3_thumbnail_key == "theirs.jpg"


def test_a_row_that_changes_while_its_thumbnail_is_made_stays(few: Photographed) -> None:
    key = _a_photograph(few)

    def rule(what: str, read: str, *_: object) -> None:
        if (what, read) == ("read", key):
            few.execute("update images_image set s3_thumbnail_key = 'theirs.jpg' where s3_key = :key", key=key)

    few.make(store=TroubledStore(few.store, rule))
    assert few.shown()[key].s3_thumbnail_key == "theirs.jpg"
    assert few.make().done == 0


def test_captions_categories_and_orders_are_nobodys_business_here(few: Photographed) -> None:
    few.execute("update images_image set caption = 'Seen', category = 'wound', \"order\" = 42")
    few.make()
    ours = {"s3_thumbnail_key", "thumbnail_size", "width", "height", "mime_type"}
    for image in few.images().values():
        assert (image["caption"], image["category"], image["order"]) == ("Seen", "wound", 42)
    (found,) = few.rows(
        "select array_agg(distinct name) as names from fm_migration.journal, jsonb_object_keys(after) as name "
        "where kind = 'thumbnails'"
    )
    assert set(found.names) == ours


def test_images_that_were_unlinked_and_linked_again_show_their_thumbnails(clinic: Photographed) -> None:
    (linked,) = clinic.rows("select id from fm_migration.link_plan where kind = 'photographs'")
    first = clinic.make()
    with clinic.places.engine.begin() as connection:
        plans.undo(connection, linked.id)
    assert len(clinic.shown()) < first.done
    clinic.link()
    again = clinic.make()
    assert again.done > 0
    assert {key for key, image in clinic.shown().items() if not image.s3_thumbnail_key} == {
        key for key, row in clinic.states().items() if row.state == "unreadable"
    }
    assert clinic.make().done == 0


def test_every_change_is_in_the_journal_with_its_reason(few: Photographed) -> None:
    report = few.make(run_id="run-1")
    journal = few.rows("select * from fm_migration.journal where kind = 'thumbnails'")
    assert len(journal) == report.rows
    assert {row.reason for row in journal} == {"a thumbnail was made", "the clinic's thumbnail is faithful"}
    assert {row.run_id for row in journal} == {"run-1"}
    assert all(row.before["s3_thumbnail_key"] == "" for row in journal)
    (plan,) = few.rows("select * from fm_migration.link_plan where kind = 'thumbnails'")
    assert plan.counts == {"changes": report.rows}
    assert plan.applied_at is not None
    assert plan.hash
