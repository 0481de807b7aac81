"""The inventory: complete listings only, no write for what stops changing, nothing ever removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fm_migration.errors import ImplausibleInputError, ObjectStoreError
from fm_migration.ledger import inventory
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.keys import KeyLayout

DUMP = "filemaker-import/images-bulk-dump/"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAYOUT = KeyLayout(dump=(DUMP,), exports=("exports/",), thumbnails=("thumbnails/",), quarantine=("own/quarantine/",))


def _object(name: str, etag: str = "e1", size: int = 10, prefix: str = DUMP) -> ObjectFacts:
    return ObjectFacts(prefix + name, etag, size, NOW - timedelta(days=1), "STANDARD")


def _update(engine: Engine, listing: Any, **options: Any) -> inventory.InventoryUpdate:
    given = {
        "layout": LAYOUT,
        "bucket": "clinic",
        "prefixes": [DUMP, "exports/", "thumbnails/"],
        "started_at": NOW,
        "source": "listing",
        "tolerated_shrinkage": 0.1,
        **options,
    }
    with engine.begin() as connection:
        return inventory.update_inventory(connection, listing, **given)


def _rows(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return {row.key: row for row in connection.execute(text("select *, xmin from fm_migration.s3_inventory"))}


def test_each_kind_of_key_is_told_from_the_others(engine: Engine) -> None:
    names = ["1000.jpg", "1000_thumb.jpg", "0077.JPG", "1001", "5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c11.png", "notes.txt"]
    claimed = ObjectFacts(
        "exports/p-12/2016-10-18/5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c12.jpg", "e", 5, NOW - timedelta(1), "STANDARD"
    )
    update = _update(engine, [[_object(name) for name in names], [claimed]])
    assert (update.originals, update.thumbnails, update.others, update.objects) == (5, 1, 1, 7)
    rows = _rows(engine)
    assert rows[f"{DUMP}0077.JPG"].recid == "0077"
    assert str(rows[f"{DUMP}5f1b7a52-0c4e-4c57-9a77-0d1e5b0a2c11.png"].image_id).startswith("5f1b7a52")
    assert (rows[claimed.key].path_contact, rows[claimed.key].path_date) == ("p-12", "2016-10-18")


def test_the_clinics_thumbnails_do_not_double_the_originals(engine: Engine) -> None:
    """Failure catalogue 14: `_thumb` objects taken for originals."""
    originals = [_object(f"{recid}.jpg") for recid in range(50)]
    thumbnails = [_object(f"{recid}_thumb.jpg") for recid in range(50)]
    assert _update(engine, [originals]).originals == 50
    update = _update(engine, [originals, thumbnails])
    assert (update.originals, update.thumbnails) == (50, 50)


def test_unchanged_objects_cost_no_write(engine: Engine) -> None:
    listing = [[_object("1.jpg"), _object("2.jpg")]]
    first = _update(engine, listing)
    written = {key: row.xmin for key, row in _rows(engine).items()}
    second = _update(engine, listing)
    assert (second.appeared, second.changed, second.vanished) == (0, 0, 0)
    assert second.data_version == first.data_version
    assert {key: row.xmin for key, row in _rows(engine).items()} == written


def test_a_changed_a_vanished_and_a_new_object_are_each_marked_with_the_snapshot(engine: Engine) -> None:
    stay = [_object(f"{recid}.jpg") for recid in range(20)]
    first = _update(engine, [[*stay, _object("100.jpg"), _object("101.jpg")]])
    second = _update(engine, [[*stay, _object("100.jpg", etag="e2"), _object("102.jpg")]])
    assert (second.appeared, second.changed, second.vanished) == (1, 1, 1)
    rows = _rows(engine)
    assert rows[f"{DUMP}101.jpg"].vanished == second.snapshot
    assert rows[f"{DUMP}100.jpg"].changed == second.snapshot
    assert rows[f"{DUMP}100.jpg"].first_seen == first.snapshot
    third = _update(engine, [[*stay, _object("100.jpg", etag="e2"), _object("101.jpg"), _object("102.jpg")]])
    assert third.changed == 1
    assert _rows(engine)[f"{DUMP}101.jpg"].vanished is None


def test_a_listing_that_breaks_off_changes_nothing(engine: Engine) -> None:
    _update(engine, [[_object("1.jpg"), _object("2.jpg")]])
    before = _rows(engine)

    def broken() -> Iterator[Sequence[ObjectFacts]]:
        yield [_object("1.jpg")]
        raise ObjectStoreError("listing", DUMP, "the server hung up", "Run again")

    with pytest.raises(ObjectStoreError, match="hung up"):
        _update(engine, broken())
    assert _rows(engine) == before


@pytest.mark.parametrize("left", [0, 8])
def test_a_listing_that_has_lost_too_much_is_refused(engine: Engine, left: int) -> None:
    """Failure catalogue 1: an empty listing; and a listing that forgot to page looks like lost uploads."""
    originals = [_object(f"{recid}.jpg") for recid in range(10)]
    _update(engine, [originals])
    before = _rows(engine)
    with pytest.raises(ImplausibleInputError, match=rf"{left} originals, and the last good reading had 10"):
        _update(engine, [originals[:left]])
    assert _rows(engine) == before
    if left:
        assert _update(engine, [originals[:left]], accept_fewer=True).vanished == 2


def test_what_lies_outside_the_listed_prefixes_cannot_vanish(engine: Engine) -> None:
    _update(engine, [[_object("1.jpg"), _object("a.jpg", prefix="thumbnails/")]])
    update = _update(engine, [[_object("1.jpg")]], prefixes=[DUMP])
    assert update.vanished == 0


def test_odd_keys_are_kept_as_they_are(engine: Engine) -> None:
    names = ["größe 1.jpg", "tab\there.jpg", "back\\slash.jpg", "new\nline.jpg", "percent%20.jpg", "\x01", "nul\0.jpg"]
    assert _update(engine, [[_object("1.jpg"), *map(_object, names)]]).objects == 8
    assert {DUMP + name.replace("\0", "\u2400") for name in names} <= set(_rows(engine))
