"""Repairs: what broken runs have left goes, what a person has made stays, and an undo brings all of it back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.embedded.sample.leftovers import IMPORT_DESCRIPTION
from fm_migration.embedded.sample.plan import design_clinic
from fm_migration.errors import DatabaseError, ObjectStoreError, SettingsError
from fm_migration.linking.placing import Plan
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration.operations import undoing
from fm_migration.plans import StalePlanError, Undone
from fm_migration.repairs import quarantine, repairing
from fm_migration.repairs.repairing import REPAIRABLE, Repaired
from fm_migration.report.classes import FindingClass
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.linking.world import ANNA, BERT, DUMP, Photograph
from fm_migration_tests.report.reporting import Reported, etag_of, furnish, stored
from fm_migration_tests.thumbnails.conftest import Photographed

DAY_NAME = "18 Oct 2016 (FileMaker Import)"


class Repairer:
    """A clinic, its bucket, and repairs of what the report finds."""

    def __init__(self, world: Reported, store: ObjectStore) -> None:
        self.world = world
        self.store = store

    def plan(self, *classes: str, report: bool = True) -> Plan:
        if report:
            self.world.report()
        with self.world.engine.begin() as connection:
            return repairing.plan_repair(connection, self.world.settings, classes)

    def apply(self, plan: Plan) -> Repaired:
        return repairing.apply_repair(self.world.engine, self.store, plan.id)

    def repair(self, *classes: str) -> Repaired:
        return self.apply(self.plan(*classes))

    def undo(self, plan: Plan) -> Undone:
        return undoing.undo(self.world.engine, self.store, plan.id)


@pytest.fixture
def repairer(world: Reported, bucket: Bucket) -> Repairer:
    """Anna's photographs 1 and 2, Bert's 3, linked."""
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("1", ANNA), Photograph("2", ANNA), Photograph("3", BERT))
    world.link()
    return Repairer(world, _store(bucket))


def _store(bucket: Bucket) -> ObjectStore:
    location = ObjectsLocation.parse(bucket.url, bucket.access_key, bucket.secret_key)
    return open_store(location, writable_prefixes=("thumbnails/", "fm-migration/"), protected_prefixes=(DUMP,))


def _double(world: Reported, key: str, **values: Any) -> tuple[uuid.UUID, uuid.UUID]:
    """A second batch of Anna's day with a second image of this object: the batch and the image."""
    batch = world.batch(world.patients()[ANNA], DAY_NAME, [DUMP + key], by_hand=False, **values)
    (image,) = world.rows("select id from images_image where batch_id = :batch", batch=batch)
    # A plan recognises what it shows; a plan that was made and not applied makes nothing else of it.
    world.plan()
    return batch, image.id


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_doubled_image_goes_and_the_one_of_the_export_stays(repairer: Repairer) -> None:
    world = repairer.world
    kept = world.image_id("1.jpg")
    batch, twin = _double(world, "1.jpg", caption="Dorsal", category="dorsal")
    before = world.snapshot()
    plan = repairer.plan("image_doubled")
    assert world.snapshot() == before, "a plan changes nothing"
    assert plan.counts == {"changes": 2, "findings/image_doubled": 1, "repaired/image_doubled": 1}
    assert repairer.apply(plan) == Repaired(plan.id, 2, 0, 0, ())
    assert {row.id for row in world.rows("select id from images_image where s3_key = :key", key=DUMP + "1.jpg")} == {
        kept
    }
    assert world.wrong_counts() == []
    found = world.find()
    assert found.pop("thumbnail_missing"), "which is of no concern here"
    assert found == {"batch_empty": {f"batch {batch}"}}
    undone = repairer.undo(plan)
    assert (undone.restored, undone.left) == (2, ())
    assert world.snapshot() == before
    assert repairer.undo(plan).restored == 0
    assert {row.id for row in world.rows("select id from images_image where id = :id", id=twin)} == {twin}


@pytest.mark.parametrize(
    "edit",
    [
        "update images_image set caption = 'Seen with the patient' where id = :image",
        "update images_image set category = 'wound' where id = :image",
        "update images_image set date_taken = '2001-01-01' where id = :image",
        "update images_image set uploaded_by_id = (select min(id) from auth_user) where id = :image",
    ],
)
def test_a_double_on_which_staff_have_written_stays(repairer: Repairer, edit: str) -> None:
    """Before the plan; and between plan and apply, where the rest of the plan is done all the same."""
    world = repairer.world
    world.batch(world.patients()[BERT], "Fitting", ["images/1.jpg"])
    _, image = _double(world, "1.jpg", caption="Dorsal")
    plan = repairer.plan("image_doubled")
    world.do(edit, image=image)
    assert repairer.plan("image_doubled", report=False).counts["repaired/image_doubled"] == 0
    done = repairer.apply(plan)
    assert done.overtaken_rows == (f"images_image {image}",)
    assert world.one("select count(*) from images_image where id = :image", image=image) == 1
    assert world.wrong_counts() == []


def test_what_staff_have_written_on_the_kept_one_stays(repairer: Repairer) -> None:
    world = repairer.world
    _double(world, "1.jpg", caption="Dorsal", category="dorsal")
    kept = world.one("select clinic_image from fm_migration.photo where recid = '1'")
    world.do("update images_image set category = 'wound', caption = 'Better' where id = :kept", kept=kept)
    repairer.repair("image_doubled")
    image = world.image("1.jpg")
    assert (image.category, image.caption) == ("wound", "Better")


def test_a_double_whose_twin_is_gone_by_then_stays(repairer: Repairer) -> None:
    world = repairer.world
    kept = world.image_id("1.jpg")
    _, twin = _double(world, "1.jpg")
    plan = repairer.plan("image_doubled")
    world.do("delete from images_image where id = :kept", kept=kept)
    assert repairer.apply(plan).overtaken_rows == (f"images_image {twin}",)
    assert world.image("1.jpg").id == twin


def test_a_row_that_other_tables_refer_to_stays(own_world: Reported, bucket: Bucket) -> None:
    """By a foreign key, or by a generic link to images or batches; also when the reference came after the plan."""
    world = own_world
    anna = world.patient(ANNA)
    world.photographs(*(Photograph(recid, ANNA) for recid in "1234"))
    world.link()
    doubles = [_double(world, f"{recid}.jpg") for recid in "1234"]
    empty = [world.batch(anna, f"0{day} Jan 2020 (FileMaker Import)", by_hand=False) for day in (1, 2)]
    world.do("create table remark (id int primary key, image_id uuid references images_image (id))")
    world.do("create table label (id int primary key, content_type_id int, object_id varchar(40))")
    kind = "(select id from django_content_type where app_label = 'images' and model = '{}')"
    world.do("insert into remark values (1, :image)", image=doubles[0][1])
    world.do(f"insert into label values (1, {kind.format('image')}, upper(:image))", image=str(doubles[1][1]))
    world.do(f"insert into label values (2, {kind.format('imagebatch')}, :batch)", batch=str(empty[0]))
    repairer = Repairer(world, _store(bucket))
    plan = repairer.plan("image_doubled", "batch_empty")
    assert (plan.counts["repaired/image_doubled"], plan.counts["repaired/batch_empty"]) == (2, 1)
    world.do("insert into remark values (2, :image)", image=doubles[2][1])
    assert repairer.apply(plan).overtaken_rows == (f"images_image {doubles[2][1]}",)
    left = {row.id for row in world.rows("select id from images_image")}
    assert {image for _, image in doubles[:3]} <= left
    assert doubles[3][1] not in left
    assert empty[0] in {row.id for row in world.rows("select id from images_batch")}
    assert empty[1] not in {row.id for row in world.rows("select id from images_batch")}


def test_doubled_batches_are_merged(repairer: Repairer) -> None:
    world = repairer.world
    first = world.batch_of("1.jpg").id
    second = world.batch(world.patients()[ANNA], DAY_NAME, [DUMP + "old/7.jpg"], by_hand=False)
    third = world.batch(world.patients()[ANNA], DAY_NAME, [DUMP + "old/8.jpg"], by_hand=False)
    world.do("update images_batch set description = 'as discussed' where id = :id", id=third)
    world.list_now(*(stored(DUMP + name) for name in ("1.jpg", "2.jpg", "3.jpg", "old/7.jpg", "old/8.jpg")))
    world.plan()
    before = world.snapshot()
    plan = repairer.plan("batch_doubled")
    repairer.apply(plan)
    assert world.batch_of("old/7.jpg").id == world.batch_of("old/8.jpg").id == first
    assert world.batch_of("old/7.jpg").image_count == 4
    batches = {row.id for row in world.rows("select id from images_batch")}
    assert second not in batches
    assert third in batches, "somebody has written on it; it is empty now"
    assert world.wrong_counts() == []
    assert "batch_doubled" not in world.find()
    undone = repairer.undo(plan)
    assert undone.left == ()
    assert world.snapshot() == before


def test_a_batch_that_staff_have_given_to_somebody_else_is_not_merged(repairer: Repairer) -> None:
    world = repairer.world
    batch = world.batch(world.patients()[ANNA], DAY_NAME, [DUMP + "old/7.jpg"], by_hand=False)
    plan = repairer.plan("batch_doubled")
    world.do(
        "update images_batch set object_id = :bert where id = :first",
        bert=world.patients()[BERT], first=world.batch_of("1.jpg").id,
    )  # fmt: skip
    done = repairer.apply(plan)
    assert done.applied == 0
    assert world.batch_of("old/7.jpg").id == batch


def test_empty_batches_of_runs_go_and_those_of_people_stay(repairer: Repairer) -> None:
    world = repairer.world
    anna = world.patients()[ANNA]
    by_run = world.batch(anna, "01 Jan 2020 (FileMaker Import)", by_hand=False)
    undated = world.batch(anna, "Undated (FileMaker Import)", by_hand=False)
    stays = {
        world.batch(anna, "01 Jan 2020 (FileMaker Import)"),
        world.batch(anna, "Before surgery", by_hand=False),
        world.batch(anna, "2 Jan 2020 (FileMaker Import)", by_hand=False),
    }
    late = world.batch(anna, "3 Jan 2020 (FileMaker Import)", by_hand=False)
    world.do("update images_batch set description = 'keep' where name like '2 Jan%'")
    before = world.snapshot()
    plan = repairer.plan("batch_empty")
    assert (plan.counts["findings/batch_empty"], plan.counts["repaired/batch_empty"]) == (6, 3)
    world.do("update images_image set batch_id = :late where s3_key = :key", late=late, key=DUMP + "3.jpg")
    done = repairer.apply(plan)
    assert done.overtaken_rows == (f"images_batch {late}",)
    left = {row.id for row in world.rows("select id from images_batch")}
    assert stays | {late} <= left
    assert not {by_run, undated} & left
    home = world.one("select id from images_batch where object_id = :bert", bert=world.patients()[BERT])
    world.do("update images_image set batch_id = :home where s3_key = :key", home=home, key=DUMP + "3.jpg")
    world.do("update images_batch set image_count = 0 where id = :late", late=late)
    repairer.undo(plan)
    assert world.snapshot() == before


@pytest.mark.parametrize(
    ("text_of_it", "change", "goes"),
    [
        (IMPORT_DESCRIPTION, "name = '02 Jan 2020 (FileMaker Import)'", True),
        (IMPORT_DESCRIPTION, "name = '2 Jan 2020 (FileMaker Import)'", True),
        (IMPORT_DESCRIPTION, "uploaded_by_id = (select min(id) from auth_user)", False),
        (IMPORT_DESCRIPTION, "name = '2 Jan 2020 (FileMaker Import), retaken'", False),
        (IMPORT_DESCRIPTION, "description = 'Imported from FileMaker. Compare with June'", False),
        ("", "name = name", False),
        ("", "uploaded_at = uploaded_at - interval '1 hour'", False),
    ],
)
def test_one_mark_of_a_run_is_never_enough(repairer: Repairer, text_of_it: str, change: str, goes: bool) -> None:
    """Also when nobody has uploaded it, as after a staff account was deleted, and the name is that of an import."""
    world = repairer.world
    world.batch(world.patients()[BERT], "Fitting")
    batch = world.batch(world.patients()[ANNA], "02 Jan 2020 (FileMaker Import)", by_hand=False)
    # Of the same patient and minute, as a person makes several; a run goes on to the next patient.
    other = world.batch(world.patients()[ANNA], "03 Jan 2020 (FileMaker Import)", by_hand=False)
    world.do("update images_batch set description = :said where id in (:a, :b)", said=text_of_it, a=batch, b=other)
    world.do(f"update images_batch set {change} where id = :id", id=batch)
    repairer.repair("batch_empty")
    assert (world.one("select count(*) from images_batch where id = :id", id=batch) == 0) is goes


def test_a_run_that_wrote_no_text_is_told_by_its_other_batches(repairer: Repairer) -> None:
    """The same minute has others for other patients; one whose text somebody has cleared is not like those."""
    world = repairer.world
    people = world.patients()
    run = [world.batch(people[person], "02 Jan 2020 (FileMaker Import)", by_hand=False) for person in (ANNA, BERT)]
    world.do("update images_batch set description = '' where id = any(:run)", run=run)
    later = [world.batch(people[person], "03 Jan 2020 (FileMaker Import)", by_hand=False) for person in (ANNA, BERT)]
    world.do("update images_batch set uploaded_at = now() - interval '3 days' where id = any(:later)", later=later)
    world.do("update images_batch set description = '' where id = :cleared", cleared=later[0])
    repairer.repair("batch_empty")
    left = {row.id for row in world.rows("select id from images_batch")}
    assert not {*run, later[1]} & left
    assert later[0] in left


def test_an_empty_batch_that_we_have_made_is_known_by_the_journal(repairer: Repairer) -> None:
    world = repairer.world
    ours = world.batch_of("3.jpg")
    world.do("update images_batch set uploaded_at = now() - interval '3 days' where id = :id", id=ours.id)
    world.do("delete from images_image where batch_id = :id", id=ours.id)
    assert ours.description == ""
    repairer.repair("batch_empty")
    assert world.one("select count(*) from images_batch where id = :id", id=ours.id) == 0


@pytest.mark.parametrize("size", [0.02, pytest.param(1.0, marks=pytest.mark.long)])
def test_what_nine_failed_repairs_have_left_goes_and_nothing_of_staffs(
    world: Reported, bucket: Bucket, size: float
) -> None:
    """Eight runs after the first have left a batch for every patient and day, and not one image in them."""
    clinic = design_clinic(size, variant="stale")
    furnish(world, clinic)
    world.link(approved=True)
    filled = {image.batch_id for image in clinic.images}
    empty = [batch for batch in clinic.batches if batch.id not in filled]
    runs = [batch.id for batch in empty if not batch.uploaded_by]
    first_run = [b for b in clinic.batches if b.generation == 1 and not b.uploaded_by]
    assert len(runs) == 8 * len(first_run) == (13_288 if size == 1.0 else len(runs))
    renamed, described, with_account, without_account = runs[0], runs[1], empty[0].id, uuid.uuid4()
    assert empty[0].uploaded_by
    world.do("update images_batch set name = 'Before surgery' where id = :id", id=renamed)
    world.do("update images_batch set description = 'See letter' where id = :id", id=described)
    world.do(
        "insert into images_batch select :new, content_type_id, object_id, '05 Aug 2021 (FileMaker Import)', '', null, "
        "now() - interval '2 days', 0 from images_batch where id = :id", new=without_account, id=with_account,
    )  # fmt: skip
    of_staff = {renamed, described, without_account, *(batch.id for batch in empty if batch.uploaded_by)}
    before = world.snapshot()
    repairer = Repairer(world, _store(bucket))
    plan = repairer.plan("batch_empty")
    assert plan.counts["findings/batch_empty"] == len(empty) + 1
    done = repairer.apply(plan)
    assert (done.applied, done.overtaken) == (len(runs) - 2, 0)
    held = "select id from images_batch as b where not exists (select from images_image where batch_id = b.id)"
    assert {row.id for row in world.rows(held)} == of_staff
    assert world.snapshot()["images_image"] == before["images_image"]
    assert repairer.undo(plan).left == ()
    assert world.snapshot() == before


def test_wrong_counts_are_counted_again_as_they_are_by_then(repairer: Repairer) -> None:
    world = repairer.world
    batch = world.batch_of("3.jpg").id
    world.do("update images_batch set image_count = 7 where id = :batch", batch=batch)
    before = world.snapshot()
    plan = repairer.plan("count_wrong")
    repairer.apply(plan)
    assert world.batch_of("3.jpg").image_count == 1
    repairer.undo(plan)
    assert world.snapshot() == before
    again = repairer.plan("count_wrong")
    world.do("update images_image set batch_id = :batch where s3_key = :key", batch=batch, key=DUMP + "1.jpg")
    repairer.apply(again)
    assert world.batch_of("3.jpg").image_count == 2


def test_an_image_is_pointed_at_where_its_file_is_now(repairer: Repairer) -> None:
    world = repairer.world
    image = world.image_id("3.jpg")
    moved = stored(DUMP + "900.jpg", etag=etag_of(DUMP + "3.jpg"))
    world.list_now(stored(DUMP + "1.jpg"), stored(DUMP + "2.jpg"), moved)
    world.plan()
    before = world.snapshot()
    plan = repairer.plan("file_misplaced")
    repairer.apply(plan)
    assert world.image("900.jpg").id == image
    assert "file_misplaced" not in world.find()
    assert "row_without_object" not in world.find(), "the app shows it"
    repairer.undo(plan)
    assert world.snapshot() == before


def test_a_file_that_somebody_else_shows_by_then_is_left(repairer: Repairer) -> None:
    world = repairer.world
    moved = stored(DUMP + "900.jpg", etag=etag_of(DUMP + "3.jpg"))
    world.list_now(stored(DUMP + "1.jpg"), stored(DUMP + "2.jpg"), moved)
    world.plan()
    plan = repairer.plan("file_misplaced")
    world.batch(world.patients()[BERT], "Found it", [DUMP + "900.jpg"])
    assert repairer.apply(plan).overtaken == 1
    assert world.image("3.jpg")


def test_an_undo_leaves_what_somebody_has_changed_since(repairer: Repairer) -> None:
    world = repairer.world
    batch, twin = _double(world, "1.jpg")
    plan = repairer.plan("image_doubled")
    repairer.apply(plan)
    world.do("delete from images_batch where id = :batch", batch=batch)
    undone = repairer.undo(plan)
    assert f"images_image {twin}" in undone.left, "its batch is gone"


# --- thumbnails -------------------------------------------------------------------------------------------------------


@pytest.fixture
def orphaned(repairer: Repairer, bucket: Bucket) -> Repairer:
    """Two thumbnails under our prefix that nobody shows, and one of the clinic's in the dump."""
    for key in ("thumbnails/ab/one.jpg", "thumbnails/two.jpg", DUMP + "900_thumb.jpg"):
        bucket.put(key, key.encode())
    _list_the_bucket(repairer)
    return repairer


def _list_the_bucket(repairer: Repairer, hours_ago: int = 3) -> None:
    """As it is, but written some hours ago: what is young may be about to be shown."""
    world = repairer.world
    thumbnails = [*repairer.store.list("thumbnails/"), *repairer.store.list(DUMP)]
    written = datetime.now(UTC) - timedelta(hours=hours_ago)
    old = [stored(one.key, etag=one.etag, size=one.size, at=written) for one in thumbnails]
    world.list_now(*(stored(DUMP + name) for name in ("1.jpg", "2.jpg", "3.jpg")), *old)
    world.plan()


def _make_it_old(repairer: Repairer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects cannot be written in the past, so what the store says of them is."""
    head = ObjectStore.head

    def older(store: ObjectStore, key: str) -> Any:
        facts = head(store, key)
        return stored(key, etag=facts.etag, size=facts.size, at=facts.last_modified - timedelta(hours=3, minutes=1))

    monkeypatch.setattr(ObjectStore, "head", older)


def test_orphaned_thumbnails_go_to_the_quarantine_and_come_back(
    orphaned: Repairer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_it_old(orphaned, monkeypatch)
    before = {one.key: one.etag for one in orphaned.store.list()}
    plan = orphaned.plan("thumbnail_without_image")
    assert plan.counts["findings/thumbnail_without_image"] == 3
    assert plan.counts["repaired/thumbnail_without_image"] == 2, "nothing in the dump is ours to touch"
    assert {one.key for one in orphaned.store.list()} == before.keys()
    assert orphaned.apply(plan) == Repaired(plan.id, 2, 0, 0, ())
    quarantine = f"fm-migration/quarantine/{plan.id}/"
    assert {one.key: one.etag for one in orphaned.store.list()} == {
        f"{quarantine}thumbnails/ab/one.jpg": before["thumbnails/ab/one.jpg"],
        f"{quarantine}thumbnails/two.jpg": before["thumbnails/two.jpg"],
        DUMP + "900_thumb.jpg": before[DUMP + "900_thumb.jpg"],
    }
    assert orphaned.apply(plan).applied == 2, "a second time nothing is done"
    undone = orphaned.undo(plan)
    assert (undone.restored, undone.left) == (2, ())
    assert {one.key: one.etag for one in orphaned.store.list()} == before
    assert orphaned.undo(plan).restored == 0


def test_a_thumbnail_that_an_image_shows_by_then_stays(orphaned: Repairer, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_it_old(orphaned, monkeypatch)
    plan = orphaned.plan("thumbnail_without_image")
    orphaned.world.do(
        "update images_image set s3_thumbnail_key = 'thumbnails/two.jpg' where s3_key = :key", key=DUMP + "1.jpg"
    )
    done = orphaned.apply(plan)
    assert (done.applied, done.overtaken_rows) == (1, ("bucket thumbnails/two.jpg",))
    assert orphaned.store.head("thumbnails/two.jpg").size > 0


def test_a_thumbnail_that_was_written_anew_stays(
    orphaned: Repairer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another content; or with the same, as by a run that is about to show it."""
    plan = orphaned.plan("thumbnail_without_image")
    assert orphaned.apply(plan).overtaken == 2, "as far as the store knows, both were written hours after the listing"
    _make_it_old(orphaned, monkeypatch)
    again = orphaned.plan("thumbnail_without_image")
    bucket.put("thumbnails/two.jpg", b"another picture")
    assert orphaned.apply(again).overtaken_rows == ("bucket thumbnails/two.jpg",)
    assert bucket.client.get_object(Bucket=bucket.name, Key="thumbnails/two.jpg")["Body"].read() == b"another picture"


@pytest.mark.parametrize("fails_at", ["copy", "delete_own"])
def test_what_was_broken_off_goes_on_where_it_was(
    orphaned: Repairer, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    _make_it_old(orphaned, monkeypatch)
    plan = orphaned.plan("thumbnail_without_image")
    working = getattr(ObjectStore, fails_at)
    calls: list[str] = []

    def failing(store: ObjectStore, key: str, *rest: Any, **more: Any) -> Any:
        calls.append(key)
        if len(calls) == 2:
            raise ObjectStoreError("copying", "two.jpg", "the store went away", "Run again")
        return working(store, key, *rest, **more)

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, fails_at, failing)
        with pytest.raises(ObjectStoreError):
            orphaned.apply(plan)
    present = {one.key.rpartition("/")[2] for one in orphaned.store.list()}
    assert present == {"one.jpg", "two.jpg", "900_thumb.jpg"}, "nothing is lost in between"
    assert orphaned.apply(plan).applied == 2
    assert {one.key for one in orphaned.store.list("thumbnails/")} == set()


def test_a_copy_that_is_not_the_same_keeps_the_first_one(orphaned: Repairer, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_it_old(orphaned, monkeypatch)
    plan = orphaned.plan("thumbnail_without_image")

    def spoilt(store: ObjectStore, source: str, target: str, **_: Any) -> str:
        return store.put(target, store.read(source)[:-1] + b"?", "image/jpeg")

    monkeypatch.setattr(ObjectStore, "copy", spoilt)
    assert orphaned.apply(plan).overtaken == 2
    assert len(list(orphaned.store.list("thumbnails/"))) == 2


def test_an_undo_does_not_write_over_what_lies_there_since(
    orphaned: Repairer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_it_old(orphaned, monkeypatch)
    plan = orphaned.plan("thumbnail_without_image")
    orphaned.apply(plan)
    bucket.put("thumbnails/two.jpg", b"a new one")
    undone = orphaned.undo(plan)
    assert (undone.restored, undone.left) == (1, ("bucket thumbnails/two.jpg",))
    assert bucket.client.get_object(Bucket=bucket.name, Key="thumbnails/two.jpg")["Body"].read() == b"a new one"


# --- plans ------------------------------------------------------------------------------------------------------------


def test_everything_at_once_on_a_whole_clinic_and_back(world: Reported, bucket: Bucket) -> None:
    """Nothing is left to repair but what is a person's; every photograph shows as before; the undo is identity."""
    furnish(world, design_clinic(0.02, variant="imported"))
    world.link()
    galleries = {patient: set(keys) for patient, keys in world.galleries().items()}
    before = world.snapshot()
    repairer = Repairer(world, _store(bucket))
    first = world.find()
    plan = repairer.plan(*REPAIRABLE)
    repairer.apply(plan)
    after = world.find()
    assert {patient: set(keys) for patient, keys in world.galleries().items()} == galleries
    assert len(after.get("image_doubled", ())) < len(first["image_doubled"])
    assert "batch_doubled" not in after
    assert after.keys() - first.keys() == set()
    empty = "not exists (select from images_image where batch_id = images_batch.id)"
    left = world.rows(f"select uploaded_by_id from images_batch where {empty}")
    assert all(row.uploaded_by_id is not None for row in left), "only those that staff have made"
    assert world.wrong_counts() == []
    assert world.plan().changes == 0, "the links have nothing to do about it"
    undone = repairer.undo(plan)
    assert undone.left == ()
    assert world.snapshot() == before
    again = repairer.plan(*REPAIRABLE)
    assert again.hash == plan.hash or again.counts == plan.counts


@pytest.mark.long
def test_thirteen_thousand_empty_batches_of_a_stale_clinic(world: Reported, bucket: Bucket) -> None:
    furnish(world, design_clinic(1.0, variant="stale"))
    world.link()
    galleries = world.galleries()
    repairer = Repairer(world, _store(bucket))
    plan = repairer.plan("batch_empty", "image_doubled")
    assert plan.counts["repaired/batch_empty"] == 8 * 1_661
    done = repairer.apply(plan)
    assert done.overtaken == 0
    assert world.galleries().keys() == galleries.keys()
    left = world.find()
    assert len(left["batch_empty"]) == 4, "which staff have made"


def test_waived_findings_are_not_repaired(repairer: Repairer, tmp_path: Path) -> None:
    world = repairer.world
    world.batch(world.patients()[ANNA], "1 Jan 2020 (FileMaker Import)", by_hand=False)
    path = tmp_path / "waivers.csv"
    path.write_text("class,subject,reason,date\nbatch_empty,*,let them be,2026-01-31\n", encoding="utf-8")
    world.report(waivers=path)
    assert repairer.plan("batch_empty", report=False).changes == 0


def test_what_a_plan_refuses(repairer: Repairer) -> None:
    with pytest.raises(DatabaseError, match="orphan_report: there is none yet"):
        repairer.plan("batch_empty", report=False)
    with pytest.raises(
        SettingsError, match=r"row_without_object: no plan can repair that\. Choose among image_doubled"
    ):
        repairer.plan("batch_empty", "row_without_object")
    with pytest.raises(SettingsError, match="no class of findings was named"):
        repairer.plan()
    plan = repairer.plan("batch_empty")
    repairer.undo(plan)
    with pytest.raises(StalePlanError, match="it was undone"):
        repairer.apply(plan)
    with pytest.raises(DatabaseError, match="it is a plan of repair, not of photographs"):
        repairer.world.apply(plan)
    links = repairer.world.plan()
    with pytest.raises(DatabaseError, match="it is a plan of photographs, not of repair"):
        repairer.apply(links)


@pytest.mark.parametrize("name", REPAIRABLE)
def test_the_remedy_of_a_class_that_can_be_repaired_is_the_command(name: str) -> None:
    assert f"`fm-migration repair plan {name}`" in FindingClass(name).remedy


def test_only_these_classes_promise_a_repair() -> None:
    assert {name.value for name in FindingClass if "repair plan" in name.remedy} == set(REPAIRABLE)


def test_the_terminal_plans_applies_and_undoes(photographed: Callable[..., Photographed]) -> None:
    clinic = photographed("imported")

    def run(*arguments: str) -> str:
        outcome = CliRunner().invoke(app, list(arguments))
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    _report(clinic.places.engine, clinic)
    before = clinic.images()
    said = run("repair", "plan", "image_doubled", "count_wrong")
    number = said.partition("repair apply ")[2].partition("`")[0]
    assert int(number) > 0
    assert clinic.images() == before
    assert "changes made" in run("repair", "apply", number)
    assert len(clinic.images()) < len(before)
    assert "repair" in run("plans")
    run("undo", number)
    assert clinic.images() == before
    assert "Nothing to repair" in run("repair", "plan", "file_misplaced")


def _report(engine: Engine, clinic: Photographed) -> None:
    from fm_migration.report.findings import make_report, one_moment

    with one_moment(engine) as connection:
        make_report(connection, clinic.places.settings)
        assert connection.execute(text("select count(*) from fm_migration.open_finding")).scalar_one() > 0


def test_objects_are_moved_a_few_at_a_time(orphaned: Repairer, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_it_old(orphaned, monkeypatch)
    monkeypatch.setattr(quarantine, "OBJECTS_AT_ONCE", 1)
    plan = orphaned.plan("thumbnail_without_image")
    assert orphaned.apply(plan).applied == 2
    assert orphaned.undo(plan).restored == 2
