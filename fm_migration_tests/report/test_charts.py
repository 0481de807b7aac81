"""The pictures: sums that add up, no colour that only one scheme has, nothing fetched, small enough for an event."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import Engine

from fm_migration.report.charts import LARGEST_PNG, draw, metadata_pictures, sparkline, waterfall_steps
from fm_migration.report.classes import FindingClass as Kind
from fm_migration.report.reading import ReportData, read_report
from fm_migration_tests.report.made_up import Reports
from fm_migration_tests.report.nights import some_weeks


@pytest.fixture
def data(engine: Engine) -> ReportData:
    some_weeks(Reports(engine))
    with engine.connect() as connection:
        return read_report(connection)


@pytest.mark.parametrize("between", [[-3, -2], [3, 2], [97, 95]], ids=["with a sign", "as losses", "what is left"])
def test_a_waterfall_is_read_by_the_sums_at_its_ends(between: list[int]) -> None:
    steps = waterfall_steps([("rows", 100), ("no object", between[0]), ("no patient", between[1]), ("visible", 95)])
    assert [step.change for step in steps] == [100, -3, -2, 95]
    assert [step.caption for step in steps] == ["100", "−3", "−2", "95"]


def test_a_waterfall_may_be_empty_or_have_one_sum() -> None:
    assert waterfall_steps([]) == []
    assert [step.change for step in waterfall_steps([("rows", 7)])] == [7]


@given(st.integers(0, 10_000), st.lists(st.integers(1, 50), max_size=8))
def test_every_bar_begins_where_the_one_before_it_ended(start: int, losses: list[int]) -> None:
    levels = [("rows", start + sum(losses)), *(("loss", -loss) for loss in losses), ("visible", start)]
    steps = waterfall_steps(levels)
    assert all(before.end == after.start for before, after in pairwise(steps[:-1]))
    assert steps[-2].end == steps[-1].end == start


def test_the_pictures_take_their_colours_from_the_page(data: ReportData) -> None:
    pictures = draw(data)
    assert set(pictures) == {"waterfall", "findings", "visible"}
    for picture in pictures.values():
        for svg in (picture.wide, picture.narrow):
            ElementTree.fromstring(svg)
            assert "var(--" in svg
            assert re.findall(r'(?:fill|stroke)="#[0-9a-f]{3,6}"', svg) == []
            # The page's policy would refuse a style, and ids would collide with those of the next picture.
            assert re.findall(r"\s(?:style|id)=", svg) == []
            assert "http" not in svg.replace("http://www.w3.org/", "")


def test_the_pictures_say_what_they_show(data: ReportData) -> None:
    words = draw(data)["waterfall"].caption
    assert words.startswith("6,490 rows of the export, 6,401 visible photographs: no original in the bucket −43")


def test_with_one_report_there_is_no_trend(engine: Engine) -> None:
    reports = Reports(engine)
    reports.add({Kind.UNDATED: 1})
    with engine.connect() as connection:
        assert set(draw(read_report(connection))) == {"waterfall"}


def test_hostile_labels_are_text(data: ReportData) -> None:
    label = "<script>alert('x')</script> & \"more\""
    totals = replace(data.totals, waterfall=((label, 3), ("visible", 3)))
    svg = draw(replace(data, totals=totals))["waterfall"].wide
    assert "<script" not in svg
    assert label in "".join(ElementTree.fromstring(svg).itertext())


def test_the_pictures_of_the_metadata_are_small(data: ReportData) -> None:
    """Also after a year: sixty reports, and a waterfall with every state in it."""
    runs = tuple(
        replace(data.runs[-1], report=number, made_at=data.made_at + timedelta(days=number)) for number in range(60)
    )
    waterfall = (("rows", 6_490), *((f"a state with a long name, number {n}", -n) for n in range(14)), ("left", 6_399))
    crowded = replace(data, runs=runs, totals=replace(data.totals, waterfall=waterfall))
    for one in (data, crowded):
        pictures = metadata_pictures(one)
        assert set(pictures) == {"from_rows_to_photographs", "open_findings"}
        for markdown in pictures.values():
            assert len(markdown) < LARGEST_PNG
            found = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
            assert found is not None
            with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
                colours = picture.convert("RGB").getcolors(4096)
            assert colours is not None
            assert len(colours) > 4, "an empty picture"


def test_a_sparkline_needs_two_points_and_stays_in_its_box() -> None:
    assert sparkline([]) == sparkline([5]) == ""
    for history in ([0, 0], [0, 7], [9, 3, 1_000_000]):
        points = [tuple(map(float, point.split(","))) for point in sparkline(history).split()]
        assert len(points) == len(history)
        assert all(0 <= x <= 96 and 0 <= y <= 24 for x, y in points)
