"""DOMAIN.md section 5: what the keys of the bucket look like, and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.objects.keys import KeyFacts, KeyKind, KeyLayout, PathClaim, classify, shown_key

DUMP = "filemaker-import/images-bulk-dump/"
LAYOUT = KeyLayout(
    dump=(DUMP,),
    exports=("exports/",),
    thumbnails=("thumbnails/",),
    quarantine=("fm-migration/quarantine/", DUMP + "quarantine/"),
)
IMAGE = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
CONTACT = "7F3E2D1C-0B9A-4887-A6B5-C4D3E2F1A0B9"
RANDOM = "11111111-2222-4333-8444-555555555555"

ORIGINAL, THUMBNAIL = KeyKind.ORIGINAL, KeyKind.THUMBNAIL


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1204.jpg", KeyFacts(ORIGINAL, recid="1204", extension="jpg")),
        ("1204.JPG", KeyFacts(ORIGINAL, recid="1204", extension="jpg")),
        ("1204.heic", KeyFacts(ORIGINAL, recid="1204", extension="heic")),
        ("1204.pdf", KeyFacts(ORIGINAL, recid="1204", extension="pdf")),
        ("1204", KeyFacts(ORIGINAL, recid="1204")),
        ("1204.", KeyFacts(ORIGINAL, recid="1204")),
        ("0077.jpg", KeyFacts(ORIGINAL, recid="0077", extension="jpg")),
        (f"{IMAGE}.jpg", KeyFacts(ORIGINAL, image_id=IMAGE, extension="jpg")),
        (f"{IMAGE.upper()}.PNG", KeyFacts(ORIGINAL, image_id=IMAGE, extension="png")),
        (f"1204.jpg/{RANDOM}.jpg", KeyFacts(ORIGINAL, recid="1204", extension="jpg")),
        (f"{IMAGE}.jpg/{RANDOM}.png", KeyFacts(ORIGINAL, image_id=IMAGE, extension="png")),
        ("1204_thumb.jpg", KeyFacts(THUMBNAIL, recid="1204", extension="jpg")),
        ("1204_thumb", KeyFacts(THUMBNAIL, recid="1204")),
        (f"{IMAGE}_thumb.jpg", KeyFacts(THUMBNAIL, image_id=IMAGE, extension="jpg")),
        (f"1204.jpg/{RANDOM}_thumb.jpg", KeyFacts(THUMBNAIL, recid="1204", extension="jpg")),
        (f"1204_thumb.jpg/{RANDOM}.jpg", KeyFacts(THUMBNAIL, recid="1204", extension="jpg")),
    ],
)
def test_names_in_the_dump(name: str, expected: KeyFacts) -> None:
    assert classify(DUMP + name, LAYOUT) == expected


@pytest.mark.parametrize(
    "key",
    [
        DUMP,
        DUMP + "1204/",
        DUMP + "1204.jpg/",
        DUMP + "1204_$folder$",
        DUMP + "1204.jpg.part",
        DUMP + "IMG_0042.jpg",
        DUMP + "Image_dataV9.csv",
        DUMP + "2016/1204.jpg",
        DUMP + "1204.jpg/1205.jpg",
        DUMP + f"1204.jpg/{RANDOM}/{RANDOM}.jpg",
        DUMP + "١٢٠٤.jpg",
        DUMP + " 1204.jpg",
        DUMP + "_thumb.jpg",
        DUMP.rstrip("/"),
        "somewhere/else/1204.jpg",
        "1204.jpg",
        "",
    ],
)
def test_folders_and_strangers_are_nobodys_photograph(key: str) -> None:
    assert classify(key, LAYOUT) == KeyFacts(KeyKind.OTHER)


def test_the_thumbnails_of_the_clinics_command_do_not_double_the_originals() -> None:
    """Catalogue 14: the next listing had 12,980 "images"."""
    originals = [f"{DUMP}{recid}.jpg" for recid in range(1, 101)]
    after_thumbnails = originals + [key.replace(".jpg", "_thumb.jpg") for key in originals]
    kinds = [classify(key, LAYOUT).kind for key in after_thumbnails]
    assert (kinds.count(ORIGINAL), kinds.count(THUMBNAIL)) == (100, 100)


def test_the_path_of_an_export_is_a_claim_and_no_identity() -> None:
    """Catalogue 17: the folder may be the patient's app UUID, which a re-import makes stale."""
    facts = classify(f"exports/{CONTACT}/2016-10-18/{IMAGE}.jpg", LAYOUT)
    assert facts.claim == PathClaim(contact=CONTACT, date="2016-10-18")
    assert (facts.kind, facts.image_id, facts.recid) == (ORIGINAL, IMAGE, None)
    assert "contact" not in KeyFacts._fields


@pytest.mark.parametrize(
    "key", [f"exports/{IMAGE}.jpg", f"exports/{CONTACT}/{IMAGE}.jpg", f"exports/a/b/c/{IMAGE}.jpg", "exports//x/1.jpg"]
)
def test_other_depths_of_the_export_layout_claim_nothing(key: str) -> None:
    assert classify(key, LAYOUT) == KeyFacts(KeyKind.OTHER)


def test_thumbnails_beside_exported_photographs() -> None:
    facts = classify(f"exports/{CONTACT}/2016-10-18/{IMAGE}_thumb.jpg", LAYOUT)
    assert (facts.kind, facts.image_id) == (THUMBNAIL, IMAGE)


def test_our_own_prefixes_decide_whatever_the_name() -> None:
    assert classify("thumbnails/1204.jpg", LAYOUT) == KeyFacts(THUMBNAIL, recid="1204", extension="jpg")
    assert classify("thumbnails/ab/recipe-of-ours.webp", LAYOUT) == KeyFacts(THUMBNAIL, extension="webp")
    assert classify("fm-migration/quarantine/1204_thumb.jpg", LAYOUT).kind is KeyKind.QUARANTINE


def test_the_longest_prefix_decides() -> None:
    """A quarantine inside the dump is not a second copy of its originals."""
    assert classify(DUMP + "quarantine/1204.jpg", LAYOUT).kind is KeyKind.QUARANTINE


def test_a_dump_at_the_root_of_the_bucket() -> None:
    root = KeyLayout(dump=("",), thumbnails=("thumbnails/",))
    assert classify("1204.jpg", root).recid == "1204"
    assert classify("thumbnails/1204.jpg", root).kind is THUMBNAIL


@given(st.text() | st.text(st.sampled_from("0123456789abcdef-_./thumbj")))
def test_any_text_has_an_answer_that_fits_together(name: str) -> None:
    for prefix in ("", DUMP, "exports/", "thumbnails/", "fm-migration/quarantine/"):
        facts = classify(prefix + name, LAYOUT)
        assert not (facts.recid and facts.image_id)
        if facts.kind is ORIGINAL:
            assert facts.recid or facts.image_id
        if facts.kind is KeyKind.OTHER:
            assert facts == KeyFacts(KeyKind.OTHER)


@given(st.integers(0, 10**9), st.sampled_from(["jpg", "jpeg", "png", "pdf", "heic", "tif", "gif", "bmp", "webp"]))
def test_a_recid_comes_back_out_of_its_key(recid: int, extension: str) -> None:
    assert classify(f"{DUMP}{recid}.{extension}", LAYOUT) == KeyFacts(ORIGINAL, recid=str(recid), extension=extension)


def test_messages_show_our_ids_and_no_folders() -> None:
    assert shown_key(f"{DUMP}1204.jpg") == "1204.jpg"
    assert shown_key(f"exports/{CONTACT}/2016-10-18/{IMAGE}.jpg") == f"{IMAGE}.jpg"
    for key in ("documents/Xaver Canary referral.pdf", f"documents/{CONTACT}/letter.pdf", "\ud800"):
        shown = shown_key(key)
        assert shown.startswith("object #")
        assert not any(part in shown for part in ("Canary", CONTACT, "letter"))
