"""Which way of bringing the photographs takes how long, costs what and risks what: the advice before an intake. Pure.

Every figure is an assumption or comes from one, and says so. What was measured elsewhere stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

GIGA = 1_000_000_000
_MINUTES_A_DAY = 1_440
_RUNS_A_DAY = 4
_PAGE = 100
#: A container is a redirection with a cookie, and then the bytes.
_REQUESTS_A_CONTAINER = 2
#: How often a container is asked for before it is taken for broken for ever, in calm weather.
_TRIES = 5


@dataclass(frozen=True)
class Assumptions:
    """What a plan is made from. The defaults are the clinic's own figures."""

    photographs: int = 6_664
    mean_bytes: float = 1_800_000
    #: Bytes of answers for a record, of a lean layout.
    record_bytes: float = 1_400
    #: Which share never arrives.
    dead_share: float = 0.09
    a_minute: float = 12
    every_six_hours: int = 250
    #: Photographs a second of FileMaker Pro's export on a desktop, and megabits a second of its line to the bucket.
    desktop_a_second: float = 2
    upload_megabits: float = 20
    yearly_gb: float = 144
    used_gb: float | None = None
    #: Which bytes count towards the yearly limit: all, json or containers.
    counts: str = "all"

    @property
    def alive(self) -> int:
        return round(self.photographs * (1 - self.dead_share))


@dataclass(frozen=True)
class Way:
    """One way, in figures."""

    name: str
    days: float
    gigabytes: float
    counted_gigabytes: float
    requests: int
    risks: str


def compare_ways(given: Assumptions) -> list[Way]:
    """The ways in the order in which a clinic should look at them."""
    pages = math.ceil(given.photographs / _PAGE)
    dead = given.photographs - given.alive
    by_api = pages + (given.alive + dead * _TRIES) * _REQUESTS_A_CONTAINER
    by_odata = pages + given.alive + dead * _TRIES
    containers = given.alive * given.mean_bytes / GIGA
    answers = given.photographs * given.record_bytes / GIGA
    counted = {"json": answers, "containers": containers}.get(given.counts, answers + containers)
    together = answers + containers
    upload = containers * GIGA * 8 / (given.upload_megabits * 1e6) / 86_400
    desktop = given.photographs / given.desktop_a_second / 86_400 + upload
    steady = given.photographs / (given.a_minute * _MINUTES_A_DAY)
    return [
        Way(
            "desktop export",
            desktop,
            containers,
            0.0,
            0,
            "a person at FileMaker Pro starts the script; it was not tried in your FileMaker; an export that is "
            "stopped begins anew, the upload does not",
        ),
        Way(
            "slow and steady",
            steady,
            together,
            counted,
            by_api,
            "the engine may die under it (502) and is then waited for; other users of the server feel it",
        ),
        Way(
            "scheduled",
            given.photographs / (given.every_six_hours * _RUNS_A_DAY),
            together,
            counted,
            by_api + pages * _RUNS_A_DAY,
            "takes longest; a change in FileMaker meanwhile is met by a later run",
        ),
        Way(
            "OData",
            steady,
            together,
            counted,
            by_odata,
            "HEIC and BMP are uncertain; the account goes with each request; the same limit; its engine is another "
            "one, so it may live when the Data API's is dead",
        ),
    ]


def assumptions_in_words(given: Assumptions) -> Iterator[str]:
    """What the figures rest on, each in a sentence."""
    yield (
        f"{given.photographs:,} photographs of {given.mean_bytes / 1e6:.1f} MB on average, of which "
        f"{given.dead_share:.0%} never arrive (what the clinic met) and are asked for {_TRIES} times each"
    )
    yield f"{given.record_bytes:,.0f} bytes of answers for a record, as of a lean layout; a wide one has ten times that"
    yield f"slow and steady: {given.a_minute:g} a minute around the clock; the clinic once met 48 a minute"
    yield f"scheduled: {given.every_six_hours:,} every six hours"
    yield (
        f"desktop export: {given.desktop_a_second:g} a second in FileMaker Pro, and an upload of "
        f"{given.upload_megabits:g} megabits a second; neither was measured in a clinic"
    )
    counted = {"json": "only answers count", "containers": "only containers count"}.get(given.counts, "all bytes count")
    yield f"of {given.yearly_gb:g} GB a year, {counted} (FM_FILEMAKER_COUNTS); the clinic's console counted less"
    if given.used_gb is None:
        yield "how much of it is used, only the server's console knows: set FM_FILEMAKER_USED_GB to what it shows"
    else:
        yield f"the console shows {given.used_gb:g} GB as used (FM_FILEMAKER_USED_GB)"


def advice(given: Assumptions) -> str:
    """In a sentence, what the figures speak for."""
    if given.photographs == 0:
        return "Nothing is left to bring."
    desktop, steady, *_ = compare_ways(given)
    room = given.yearly_gb - (given.used_gb or 0.0)
    if steady.counted_gigabytes > room:
        return (
            f"The desktop export: by the server {steady.counted_gigabytes:,.1f} GB would count, and "
            f"{max(room, 0):,.1f} GB are left of the year's limit."
        )
    if steady.days > 14:
        return f"The desktop export: by the server it takes {steady.days:,.0f} days at this pace."
    return (
        f"If somebody can start a script in FileMaker Pro, the desktop export ({desktop.days * 24:,.0f} hours, and "
        f"nothing of the year's limit); what it lacks, and what comes later, slow and steady from the server "
        f"({steady.days:,.1f} days for everything, {steady.counted_gigabytes / given.yearly_gb:.0%} of the limit). "
        "Both may be mixed: what is here is not fetched."
    )
