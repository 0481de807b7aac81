"""Failure catalogue 12: truncated and empty files. What a person still recognises is shown, the rest has a reason."""

from __future__ import annotations

import pytest

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Made, Partial, RefusalReason, Unreadable
from fm_migration_tests.images import pictures

# Pillow warns of what it finds in damaged files; the workers do not listen to it either.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SOURCE = pictures.noisy()


def cut(data: bytes, share: float) -> bytes:
    return data[: round(len(data) * share)]


RESCUABLE = {
    "jpeg": pictures.file(SOURCE, "JPEG"),
    "png": pictures.file(SOURCE, "PNG"),
    "bmp": pictures.file(SOURCE, "BMP"),
    "tiff": pictures.file(SOURCE, "TIFF"),
    "tiff, lzw": pictures.file(SOURCE, "TIFF", compression="tiff_lzw"),
    "gif": pictures.file(SOURCE.quantize(255), "GIF", interlace=0),
}


@pytest.mark.parametrize("name", RESCUABLE)
def test_a_picture_of_which_most_is_there_is_shown(name: str) -> None:
    outcome = make_thumbnail(cut(RESCUABLE[name], 0.8))
    if name == "tiff, lzw":
        # Written with its directory at the end, a TIFF that is cut off has lost the way to its pixels.
        assert isinstance(outcome, Unreadable)
        return
    assert type(outcome) is Partial, outcome
    assert 0.7 < outcome.recognisable < 0.9
    assert (outcome.width, outcome.height) == (480, 360)
    there = slice(60, 225) if name == "bmp" else slice(0, 165)
    truth = pictures.pixels(SOURCE.resize((300, 225)))
    assert abs(pictures.pixels(outcome.thumbnail)[there] - truth[there]).mean() < 12


@pytest.mark.parametrize("name", RESCUABLE)
def test_a_picture_of_which_little_is_there_is_not(name: str) -> None:
    outcome = make_thumbnail(cut(RESCUABLE[name], 0.3))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.DAMAGED


@pytest.mark.parametrize("name", RESCUABLE)
def test_every_cut_has_an_answer(name: str) -> None:
    data = RESCUABLE[name]
    for share in range(0, 100, 7):
        assert isinstance(make_thumbnail(cut(data, share / 100)), Partial | Unreadable) or share == 0


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF"])
def test_formats_that_decode_as_a_whole_or_not_at_all(kind: str) -> None:
    outcome = make_thumbnail(cut(pictures.file(SOURCE, kind), 0.8))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is RefusalReason.DAMAGED


def test_a_progressive_jpeg_is_coarse_rather_than_short() -> None:
    outcome = make_thumbnail(cut(pictures.file(SOURCE, "JPEG", progressive=True), 0.6))
    assert type(outcome) is Partial, outcome
    assert outcome.recognisable == 1.0
    assert pictures.difference(outcome.thumbnail, SOURCE) < 12


def test_interlaced_pictures_that_break_off_have_gaps_instead_of_an_end() -> None:
    whole = pictures.interlaced_png(SOURCE)
    assert type(make_thumbnail(whole)) is Made
    assert isinstance(make_thumbnail(cut(whole, 0.8)), Unreadable)
    gif = pictures.file(SOURCE.quantize(255), "GIF", interlace=1)
    assert type(make_thumbnail(gif)) is Made
    assert isinstance(make_thumbnail(cut(gif, 0.8)), Unreadable)


def test_zeros_instead_of_the_rest() -> None:
    """A transfer that reserves the space first and breaks off: the size is right, and decoders say nothing."""
    data = pictures.file(SOURCE, "JPEG")
    for share, kind in ((0.8, Partial), (0.3, Unreadable)):
        there = cut(data, share)
        assert type(make_thumbnail(there + bytes(len(data) - len(there)))) is kind


def test_a_camera_s_padding_behind_the_end_is_no_damage() -> None:
    assert type(make_thumbnail(pictures.file(SOURCE, "JPEG") + bytes(4096))) is Made


def test_a_missing_end_marker_alone_is_no_damage() -> None:
    assert isinstance(make_thumbnail(pictures.file(SOURCE, "JPEG")[:-2]), Made)


def test_empty_files() -> None:
    for data in (b"", bytes(10_000)):
        outcome = make_thumbnail(data)
        assert isinstance(outcome, Unreadable)
        assert outcome.reason is RefusalReason.EMPTY


@pytest.mark.parametrize("kind", pictures.DECODED)
def test_a_head_without_a_body(kind: str) -> None:
    for length in (20, 40, 100):
        assert isinstance(make_thumbnail(pictures.file(SOURCE, kind)[:length]), Unreadable)


def test_a_wrong_checksum_does_not_cost_the_picture_above_it() -> None:
    """One flipped bit late in a PNG."""
    data = bytearray(pictures.file(SOURCE, "PNG"))
    data[len(data) * 9 // 10] ^= 0x10
    assert isinstance(make_thumbnail(bytes(data)), Partial | Made)


def test_the_reason_quotes_nothing_of_the_file() -> None:
    """A decoder's own words may: a tag, a chunk, a comment."""
    data = pictures.file(SOURCE, "PNG")
    bad = data[:33] + pictures.chunk(b"tEXt", b"Author\0" + pictures.SECRET.encode())[:-1] + b"!" + data[33:]
    outcome = make_thumbnail(bad[:400])
    assert isinstance(outcome, Unreadable)
    assert pictures.SECRET.split()[0] not in repr(outcome)
