"""What a worker says is believed only as far as it makes sense."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.images import wire
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import NotAnImage, Outcome, Partial, RefusalReason, Unreadable
from fm_migration_tests.images import pictures


def through(packed: bytes) -> Outcome:
    facts, thumbnail = wire.lengths(packed[: wire.LENGTHS.size])
    rest = packed[wire.LENGTHS.size :]
    assert len(rest) == facts + thumbnail
    return wire.unpack(rest[:facts], rest[facts:])


JPEG = pictures.file(pictures.noisy(), "JPEG")


@pytest.mark.parametrize("data", [JPEG, JPEG[: len(JPEG) * 3 // 4], b"", b"<html>", pictures.pdf()])
def test_every_kind_of_outcome_arrives_as_it_left(data: bytes) -> None:
    outcome = make_thumbnail(data)
    arrived = through(wire.pack(outcome))
    assert arrived == outcome
    assert type(arrived) is type(outcome)


def test_the_cases_above_cover_a_part_too() -> None:
    assert type(make_thumbnail(JPEG[: len(JPEG) * 3 // 4])) is Partial


@given(st.text(), st.sampled_from(RefusalReason))
def test_any_words_arrive(text: str, reason: RefusalReason) -> None:
    text = text.encode("utf-8", "ignore").decode()
    for outcome in (Unreadable(reason, "image/jpeg", "00", text), NotAnImage(text, "00")):
        assert through(wire.pack(outcome)) == outcome


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_understood(words: bytes) -> None:
    with pytest.raises(wire.GarbledError):
        wire.unpack(words, b"")


HONEST = json.loads(wire.pack(make_thumbnail(JPEG))[wire.LENGTHS.size :].split(b"}")[0] + b"}")


@pytest.mark.parametrize(
    "lie",
    [
        {"outcome": "Unlink"},
        {"outcome": None},
        {"width": "480"},
        {"width": True},
        {"mean_colour": 5},
        {"surplus": 1},
        {"has_metadata": 1},
        {"outcome": "Partial", "recognisable": "all"},
        {"outcome": "Unreadable"},
    ],
)
def test_an_answer_that_is_nearly_right_is_refused(lie: dict[str, object]) -> None:
    wire.unpack(json.dumps(HONEST).encode(), b"x")
    with pytest.raises(wire.GarbledError):
        wire.unpack(json.dumps({**HONEST, **lie}).encode(), b"x")


def test_implausible_lengths_are_refused_before_anything_is_read() -> None:
    for facts, thumbnail in ((wire.MOST_FACTS + 1, 0), (10, wire.MOST_THUMBNAIL + 1)):
        with pytest.raises(wire.GarbledError):
            wire.lengths(wire.LENGTHS.pack(facts, thumbnail))
