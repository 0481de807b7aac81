"""The driver's own disturbances do what they say: a killed process is dead, and staff really write in the middle."""

from __future__ import annotations

import pytest

from fm_migration_tests.linking.world import Photograph
from fm_migration_tests.model.people import OWN_ID
from fm_migration_tests.model.play import Play
from fm_migration_tests.model.things import IMAGES, Cell

ANNA, BERT = OWN_ID["Anna"], OWN_ID["Bert"]


@pytest.fixture
def planned(play: Play) -> tuple[Play, int]:
    """Anna's photograph is on her page and may now go to Bert's; the plan says so."""
    play.patient("Anna")
    play.patient("Bert")
    play.photographs(Photograph("101", ANNA))
    play.heal()
    play.photographs(Photograph("101", BERT), Photograph("102", BERT))
    return play, play.plan().number


@pytest.mark.parametrize("statement", [1, 5, 9])
def test_a_process_killed_in_the_middle_has_done_nothing_and_the_next_finishes(
    planned: tuple[Play, int], statement: int
) -> None:
    play, plan = planned
    assert play.killed("apply", statement, plan)
    assert play.page(play.now("Anna")) == ["101.jpg"]
    play.heal()
    assert play.page(play.now("Bert")) == ["101.jpg", "102.jpg"]


def test_a_process_that_comes_to_its_end_has_done_all(planned: tuple[Play, int]) -> None:
    play, plan = planned
    assert not play.killed("apply", 1000, plan)
    assert play.page(play.now("Bert")) == ["101.jpg", "102.jpg"]


def test_staff_write_in_the_middle_and_it_is_seen_as_theirs(planned: tuple[Play, int]) -> None:
    play, plan = planned
    image = play.image("101.jpg")
    change = ("update images_image set caption = 'theirs' where id = :id", {"id": image})
    play.disturbed_apply(plan, 1, [change], [Cell(IMAGES, image, "caption")])
    assert play.view[IMAGES][image]["caption"] == "theirs"
    assert play.things.edited == {Cell(IMAGES, image, "caption"): "theirs"}


def test_two_runs_at_once_both_come_to_an_end(planned: tuple[Play, int]) -> None:
    play, _ = planned
    play.at_once(10)
    play.heal()
    assert play.page(play.now("Bert")) == ["101.jpg", "102.jpg"]
