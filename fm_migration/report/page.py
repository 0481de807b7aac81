"""The page: a report as one HTML file that needs nothing but a browser.

Belongs here: what stands where and in which words. How it looks is in `templates/page.css`, how its list of findings is
searched in `templates/page.js`; both are put into the file. A Content-Security-Policy in its head lets exactly these
two run and forbids everything else, so that no text out of a table or a bucket can become a program or a request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from fm_migration.linking.states import PhotographState
from fm_migration.report import charts
from fm_migration.report.charts import Chart
from fm_migration.report.classes import FindingClass, Severity
from fm_migration.report.reading import ClassSummary, Finding, ReportData, Status

#: How many findings the page itself can hold: some five megabytes, which a telephone still opens at once.
ROOM = 20_000

_SEVERITY_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "good to know"}
_LEVELS = {
    "doubt": "Looks like our mistake",
    "bad": "Photographs are missing from view",
    "look": "A person should look",
    "good": "All is well",
}
_REASONS = {
    "without_batch": "hangs on no batch of a patient",
    "without_patient": "its batch's patient does not exist",
    "without_object": "its object is not in the bucket",
}
#: In a <script>, text must not close it, and old engines took these two separators for the end of a line.
_IN_SCRIPT = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class ReportPage:
    """A page that can be written to several places; the pictures are drawn and the findings packed only once."""

    data: ReportData
    zone: tzinfo
    pictures: Mapping[str, Chart]
    packed: str
    shown: int

    def text(self, beside: str = "") -> str:
        """The HTML. `beside` is the way from the page to the folder of the other files, with a slash at its end."""
        style, program = _part("page.css"), _part("page.js")
        return (
            _environment(self.zone)
            .get_template("page.html")
            .render(
                data=self.data,
                pictures=self.pictures,
                packed=Markup(self.packed),  # noqa: S704  made of JSON by `_pack`, with nothing that HTML would read
                shown=self.shown,
                beside=beside,
                style=Markup(style),  # noqa: S704  our own file
                program=Markup(program),  # noqa: S704  our own file
                policy=_policy(style, program),
                level=_level(self.data),
                levels=_LEVELS,
                untroubled=_untroubled(self.data),
                severities=list(Severity),
                summaries=_worst_first(self.data),
                states=_told_states(self.data.totals.states),
                hidden=_told_states(self.data.totals.hidden),
                invisible=_told_reasons(self.data.totals.images_invisible),
            )
        )


def make_page(data: ReportData, findings: Iterable[Finding], zone: tzinfo) -> ReportPage:
    """Draw the pictures and pack the findings, which are read once and not kept."""
    packed, shown = _pack(findings, zone)
    return ReportPage(data, zone, charts.draw(data, zone), packed, shown)


def title_of(kind: FindingClass) -> str:
    """The class in words: `row_without_object` as Row without object."""
    return kind.value.replace("_", " ").capitalize()


def format_duration(duration: timedelta) -> str:
    """How long something took: 0.4 s, 12 s, 3 min 20 s, 40 min, 5 h 10 min, 2 d 3 h."""
    seconds = duration.total_seconds()
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _pack(findings: Iterable[Finding], zone: tzinfo) -> tuple[str, int]:
    """The findings as JSON in which what repeats stands once and rows refer to it by number, and how many there are."""
    kinds, statuses = list(FindingClass), list(Status)
    fields: dict[str, int] = {}
    reasons: dict[str, int] = {}
    times: dict[datetime, int] = {}
    rows: list[list[Any]] = []
    for finding in findings:
        evidence: list[Any] = []
        for name, value in finding.evidence.items():
            evidence += [fields.setdefault(name, len(fields)), value]
        rows.append(
            [
                kinds.index(finding.kind),
                statuses.index(finding.status),
                times.setdefault(finding.first_seen, len(times)),
                times.setdefault(finding.last_seen, len(times)),
                -1 if finding.waiver is None else reasons.setdefault(finding.waiver, len(reasons)),
                finding.subject,
                evidence,
            ]
        )
    order = list(Severity)
    rows.sort(key=lambda row: (order.index(kinds[row[0]].severity), row[0]))
    content = {
        "classes": [
            {"id": kind.value, "title": title_of(kind), "severity": kind.severity.value, "about": kind.meaning}
            for kind in kinds
        ],
        "statuses": [status.value for status in statuses],
        "fields": list(fields),
        "reasons": list(reasons),
        "times": [[round(time.timestamp()), _day(time, zone), _moment(time, zone)] for time in times],
        "rows": rows,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).translate(_IN_SCRIPT), len(rows)


def _level(data: ReportData) -> str:
    """How the verdict is dressed: by whether it can be trusted, then by the worst that is open."""
    # Thumbnails that are not made yet put nothing else in doubt.
    if any(summary.kind is not FindingClass.THUMBNAIL_MISSING for summary in data.withheld):
        return "doubt"
    if data.of_severity(Severity.ERROR):
        return "bad"
    return "look" if data.of_severity(Severity.WARNING) else "good"


def _untroubled(data: ReportData) -> list[FindingClass]:
    """The classes that were looked for and hold nothing."""
    troubled = {summary.kind for summary in data.classes if summary.open or summary.withheld}
    return [kind for kind in FindingClass if kind not in troubled]


def _worst_first(data: ReportData) -> list[ClassSummary]:
    """By severity, and within it in the order of the report."""
    order = list(Severity)
    return sorted(data.classes, key=lambda summary: order.index(summary.kind.severity))


def _told_states(states: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """States of rows, the most frequent first, with what each means where we know it."""
    known = {state.value: state.meaning for state in PhotographState}
    found = sorted(states.items(), key=lambda item: (-item[1], item[0]))
    return [(state.replace("_", " "), known.get(state, ""), count) for state, count in found if count]


def _told_reasons(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    found = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [(_REASONS.get(reason, reason.replace("_", " ")), count) for reason, count in found if count]


def _policy(style: str, program: str) -> str:
    """No request to anywhere; of styles and programs only the two that were put in."""
    sources = f"style-src {_source(style)}; script-src {_source(program)}; img-src data:"
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"


@cache
def _part(name: str) -> str:
    return files("fm_migration.report").joinpath("templates", name).read_text(encoding="utf-8")


def _environment(zone: tzinfo) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=lambda value: f"{value:,}",
        percent=_percent,
        bytes=_bytes,
        day=lambda value: _day(value, zone),
        moment=lambda value: _moment(value, zone),
        format_duration=format_duration,
        title_of=title_of,
        severity=_SEVERITY_WORDS.__getitem__,
        sentence=_sentence,
        code=_with_code,
        drawn=_drawn,
        sparkline=lambda summary: charts.sparkline(summary.history) if isinstance(summary, ClassSummary) else "",
    )
    return environment


def _percent(share: float) -> str:
    """A share that is not the whole never reads as 100 %, nor one that is not nothing as 0 %."""
    percent = share * 100
    if 99.9 < percent < 100:
        return "99.9+ %"
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def _bytes(size: int) -> str:
    amount, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def _day(time: datetime, zone: tzinfo) -> str:
    local = time.astimezone(zone)
    return f"{local.day} {local:%b %Y}"


def _moment(time: datetime, zone: tzinfo) -> str:
    return f"{_day(time, zone)}, {time.astimezone(zone):%H:%M}"


def _sentence(text: str) -> str:
    """The words as a sentence of their own: a capital in front, a full stop behind."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _with_code(text: str) -> Markup:
    """Backquotes as code; everything else escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped first


def _drawn(picture: str) -> Markup:
    return Markup(picture)  # noqa: S704  SVG that vl-convert has made, whose texts it escapes
