"""The page as text: what stands in it, that it can be read, and that no text out of a table becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from fm_migration.report import page
from fm_migration.report.classes import FindingClass as Kind
from fm_migration.report.page import format_duration, make_page
from fm_migration.report.reading import read_report, shown_findings
from fm_migration_tests.report.made_up import Reports
from fm_migration_tests.report.nights import ACCEPTED, GONE, OPEN, some_weeks

ZONE = ZoneInfo("Australia/Melbourne")
HOSTILE = "</script><script>alert(1)</script><!-- \" ' & \u2028 \u202e \U0001f600 {{ 7919 * 7919 }} `x`"


@pytest.fixture
def reports(engine: Engine) -> Reports:
    return Reports(engine)


def render(reports: Reports, room: int = 20_000, beside: str = "") -> str:
    with reports.engine.begin() as connection:
        data = read_report(connection)
        return make_page(data, shown_findings(connection, data, room), ZONE).text(beside)


class _Text(HTMLParser):
    """The words that a person reads, the attributes, and the content of the elements that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.message: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in ("script", "style") else ""
        if self._open:
            self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, _tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open][-1] += data
        elif data.strip():
            self.message.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.message)


def parse(html: str) -> _Text:
    parsed = _Text()
    parsed.feed(html)
    return parsed


def test_the_page_tells_what_the_report_found(reports: Reports) -> None:
    some_weeks(reports)
    parsed = parse(render(reports))
    assert "36 of 6,437 photographs whose row, file and patient are known do not show;" in parsed.text
    assert "Photographs are missing from view" in parsed.text
    for kind, count in OPEN.items():
        assert kind.meaning[1:] in parsed.text
        assert any(attributes.get("data-class") == kind for _, attributes in parsed.tags)
        assert f"{count:,}" in parsed.message
    assert f"{sum(OPEN.values())} open findings: 80 where somebody does not see a photograph" in parsed.text
    assert "6 new, 5 gone" in parsed.text
    assert "scanned before dates were kept (2026-03-02)" in parsed.text
    for words in ("7.4 s", "21 min", "not yet healed", "1,656 of 1,661"):
        assert words in parsed.text
    assert "17 Mar 2026, 02:00" in parsed.text, "the clinic's time, not UTC"
    rows = json.loads(parsed.inside["script"][0])["rows"]
    assert len(rows) == sum(OPEN.values()) + GONE + ACCEPTED


def test_nothing_outside_the_file_is_asked_for(reports: Reports) -> None:
    some_weeks(reports)
    parsed = parse(render(reports, beside="16/"))
    links = {value for _, attributes in parsed.tags for name in ("src", "href") if (value := attributes.get(name))}
    beside = {link for link in links if not link.startswith(("#", "data:"))}
    assert beside == {"16/findings.csv", "16/findings.parquet"}
    style = "".join(parsed.inside["style"])
    assert re.findall(r"url\(|@import|@font-face", style) == []


def test_the_policy_allows_the_two_parts_and_nothing_else(reports: Reports) -> None:
    reports.add()
    parsed = parse(render(reports))
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in parsed.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    (style,), (_, program) = parsed.inside["style"], parsed.inside["script"]
    for name, content in (("style-src", style), ("script-src", program)):
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert not any("style" in attributes or "onclick" in attributes for _, attributes in parsed.tags)


def test_hostile_texts_are_harmless(reports: Reports) -> None:
    reports.add(verdict=HOSTILE, source=HOSTILE.replace("/", "∕"))
    reports.add(
        {Kind.ROW_WITHOUT_OBJECT: 1}, waived={Kind.UNDATED: 1}, verdict=HOSTILE, totals={"states": {HOSTILE: 3}}
    )
    reports.find(Kind.ROW_WITHOUT_OBJECT, f"recid {HOSTILE}", {"recid": HOSTILE, "says": HOSTILE, HOSTILE: HOSTILE})
    reports.find(Kind.UNDATED, "recid 1", waiver=HOSTILE)
    html = render(reports)
    parsed = parse(html)
    assert [tag for tag, _ in parsed.tags].count("script") == 2, "the data and the program"
    assert "alert(1)" not in parsed.inside["script"][1]
    packed = parsed.inside["script"][0]
    assert re.findall(r"[<>&\u2028\u2029]", packed) == []
    content = json.loads(packed)
    assert f"recid {HOSTILE}" in [row[5] for row in content["rows"]]
    assert HOSTILE in content["reasons"]
    assert "62710561" not in parsed.text


def test_ids_are_unique_and_the_labels_lead_somewhere(reports: Reports) -> None:
    some_weeks(reports)
    parsed = parse(render(reports))
    ids = [value for _, attributes in parsed.tags if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    targets = [
        target
        for _, attributes in parsed.tags
        for name in ("aria-labelledby", "aria-describedby")
        for target in (attributes.get(name) or "").split()
    ]
    anchors = [link[1:] for _, attributes in parsed.tags if (link := attributes.get("href") or "").startswith("#")]
    assert targets
    assert set(targets) | set(anchors) <= set(ids)


def test_a_withheld_class_is_called_our_mistake(reports: Reports) -> None:
    reports.add({Kind.ROW_WITHOUT_OBJECT: 3})
    reports.add(withheld={Kind.ROW_WITHOUT_OBJECT: {"count": 6_102, "of": 6_377}}, verdict="This report is in doubt.")
    parsed = parse(render(reports))
    assert "This looks like our mistake" in parsed.text
    assert "6,102 of 6,377 would be listed, which is 95.7 %" in parsed.text
    assert "Looks like our mistake" in parsed.text
    assert not any(attributes.get("data-class") for _, attributes in parsed.tags)


def test_an_empty_clinic_has_a_page_too(reports: Reports) -> None:
    nothing = {"images": 0, "images_visible": 0, "rows": 0, "states": {}, "images_invisible": {}, "waterfall": []}
    reports.add(totals={**nothing, "hidden": {}, "thumbnails": {}, "bytes_by_kind": {}}, verdict="Nothing was found")
    parsed = parse(render(reports))
    assert "All is well" in parsed.text
    assert "This is the first report" in parsed.text
    assert "Nothing is open." in parsed.text
    assert "None was ever seen." in parsed.text


def test_a_page_without_room_says_where_the_rest_is(reports: Reports) -> None:
    reports.add({Kind.ROW_WITHOUT_OBJECT: 100})
    reports.find_many(Kind.ROW_WITHOUT_OBJECT, 100)
    assert "This page has room for 40 of 100 findings" in parse(render(reports, room=40)).text
    assert "has room for" not in parse(render(reports, room=100)).text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (9.96, "10 s"), (99, "99 s"), (200, "3 min 20 s"), (2_460, "41 min"), (18_600, "5 h 10 min"),
     (183_600, "2 d 3 h")],
)  # fmt: skip
def test_durations_are_spelled_for_people(seconds: float, words: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == words


# --- can it be read ---------------------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    parts = [int(colour[position : position + 2], 16) / 255 for position in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(scheme: int) -> None:
    """WCAG AA: 4.5 for text, 3 for what a picture is painted with."""
    style = page._part("page.css")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", style.split(":root {")[scheme + 1].split("}")[0]))
    texts = [(text, ground) for text in ("ink", "muted", "link", "lost") for ground in ("card", "ground")]
    texts += [(tone, f"{tone}-soft") for tone in ("error", "warning", "info", "good")]
    texts += [(tone, "card") for tone in ("error", "warning", "info")]
    texts += [("card", tone) for tone in ("error", "warning", "good")]
    assert [pair for pair in texts if _contrast(colours[pair[0]], colours[pair[1]]) < 4.5] == []
    fills = ("good", "lost", "fill-error", "fill-info", "fill-warning")
    assert [fill for fill in fills if _contrast(colours[fill], colours["card"]) < 2.8] == []
