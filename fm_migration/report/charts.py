"""The pictures of the report: Vega-Lite specifications, drawn by vl-convert without browser or network.

The page gets SVG whose colours are the names of the page's own, so that one drawing suits light, dark and paper; every
picture comes wide and narrow, because text that is scaled down to a phone cannot be read. The asset's metadata gets
PNG, small enough to be stored with an event.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from typing import Any

import vl_convert
from PIL import Image

from fm_migration.report.classes import Severity
from fm_migration.report.reading import ReportData, Run

#: A picture of an event's metadata is kept for ever and fetched with every look at the event.
LARGEST_PNG = 40_000
_PNG_SCALE = 1.6
_PNG_COLOURS = 48

_FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
#: Two reports are not a reason for two walls.
_FEW_RUNS, _WIDEST_BAR = 8, 30
_MOST_LABELS = {"wide": 6, "narrow": 4}

Spec = dict[str, Any]


@dataclass(frozen=True)
class Colours:
    """What a picture is painted with."""

    ink: str
    muted: str
    line: str
    good: str
    lost: str
    error: str
    warning: str
    info: str
    ground: str | None = None


#: Colours that no picture would use by itself; `_for_page` replaces them by the page's variables.
_MARKERS = Colours(*(f"#fe01{number:02x}" for number in range(8)))
#: As page.css calls them.
_VARIABLES = {
    "ink": "ink", "muted": "muted", "line": "line", "good": "good", "lost": "lost", "error": "fill-error",
    "warning": "fill-warning", "info": "fill-info",
}  # fmt: skip
_PAPER = Colours(
    ink="#1a2127", muted="#566270", line="#dde2e7", good="#0f766e", lost="#c2410c", error="#c43a2f", warning="#d08a1d",
    info="#6d8db8", ground="#ffffff",
)  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """One picture for the page in two widths, and what it shows in a sentence for who cannot see it."""

    wide: str
    narrow: str
    caption: str


@dataclass(frozen=True)
class WaterfallStep:
    """One bar of the waterfall: from where to where, and whether it is a sum or a change."""

    label: str
    start: int
    end: int
    total: bool

    @property
    def change(self) -> int:
        return self.end if self.total else self.end - self.start

    @property
    def caption(self) -> str:
        return f"{self.end:,}" if self.total else f"{self.change:+,}".replace("-", "−")


def draw(data: ReportData, zone: tzinfo = UTC) -> dict[str, Chart]:
    """The pictures of the page by their names; those for which there is nothing to show yet are missing."""
    pictures: dict[str, Chart] = {}
    steps = waterfall_steps(data.totals.waterfall)
    if steps:
        pictures["waterfall"] = Chart(
            _for_page(_waterfall_wide(steps, _MARKERS)), _for_page(_waterfall_narrow(steps, _MARKERS)), _told(steps)
        )
    if len(data.runs) > 1:
        first, last = data.runs[0], data.runs[-1]
        caption = f"Open findings: {first.open:,} in the first report shown, {last.open:,} in this one."
        pictures["findings"] = _trend(data.runs, zone, _SEVERITIES, caption)
        caption = f"Visible: {first.images_visible:,} in the first report shown, {last.images_visible:,} in this one."
        pictures["visible"] = _trend(data.runs, zone, _VISIBILITY, caption)
    return pictures


def metadata_pictures(data: ReportData, zone: tzinfo = UTC) -> dict[str, str]:
    """Pictures for the asset's metadata, each as markdown with the picture inside it; counts only."""
    pictures: dict[str, tuple[str, Spec]] = {}
    steps = waterfall_steps(data.totals.waterfall)
    if steps:
        pictures["from_rows_to_photographs"] = _told(steps), _waterfall_wide(steps, _PAPER)
    if len(data.runs) > 1:
        pictures["open_findings"] = (
            "Open findings over the reports",
            _stack(data.runs, zone, _PAPER, "wide", _SEVERITIES),
        )
    return {name: f"![{caption}](data:image/png;base64,{_png(spec)})" for name, (caption, spec) in pictures.items()}


def progress_picture(words: str, points: Sequence[tuple[date, int, bool]]) -> str:
    """How many photographs are here day by day, and how it would go on, as markdown with the picture inside it."""
    if not points:
        return words
    values = [
        {"day": day.isoformat(), "number": number, "part": "expected" if expected else "here"}
        for day, number, expected in points
    ]
    palette = {"domain": ["here", "expected"], "range": [_PAPER.good, _PAPER.info]}
    spec: Spec = {
        "width": 440,
        "height": 190,
        "data": {"values": values},
        "mark": {"type": "line", "point": True, "strokeWidth": 2.5},
        "encoding": {
            "x": {"field": "day", "type": "temporal", "axis": {"title": None, "grid": False, "tickCount": 5}},
            "y": {"field": "number", "type": "quantitative", "axis": {"title": None, "tickCount": 4, "format": ",d"}},
            "color": {"field": "part", "type": "nominal", "scale": palette},
        },
        "config": _config(_PAPER),
    }
    return f"![{words}](data:image/png;base64,{_png(spec)})"


def waterfall_steps(levels: Sequence[tuple[str, int]]) -> list[WaterfallStep]:
    """The bars of a waterfall that begins and ends with a sum. Pure.

    What stands between may be changes with a sign, losses without one, or what is left after each loss: only one of
    these readings ends at the last sum.
    """
    if len(levels) < 2:
        return [WaterfallStep(label, 0, number, total=True) for label, number in levels]
    (_, start), *between, (_, end) = levels
    numbers = [number for _, number in between]
    if start + sum(numbers) == end:
        changes = numbers
    elif start - sum(numbers) == end:
        changes = [-number for number in numbers]
    else:
        changes = [after - before for before, after in zip([start, *numbers], numbers, strict=False)]
    steps = [WaterfallStep(levels[0][0], 0, start, total=True)]
    for (label, _), change in zip(between, changes, strict=True):
        steps.append(WaterfallStep(label, steps[-1].end, steps[-1].end + change, total=False))
    return [*steps, WaterfallStep(levels[-1][0], 0, end, total=True)]


def sparkline(history: Sequence[int], width: int = 96, height: int = 24) -> str:
    """The points of a small line over the last reports, for an SVG polyline; empty where there is no line to draw."""
    if len(history) < 2:
        return ""
    top = max(max(history), 1)
    step = (width - 4) / (len(history) - 1)
    return " ".join(
        f"{2 + number * step:.1f},{height - 3 - value / top * (height - 6):.1f}" for number, value in enumerate(history)
    )


def _told(steps: Sequence[WaterfallStep]) -> str:
    losses = "; ".join(f"{step.label} {step.caption}" for step in steps if not step.total and step.change)
    ends = f"{steps[0].caption} {steps[0].label}, {steps[-1].caption} {steps[-1].label}"
    return f"{ends}: {losses}" if losses else ends


def _trend(runs: Sequence[Run], zone: tzinfo, parts: Sequence[Part], caption: str) -> Chart:
    wide, narrow = (_for_page(_stack(runs, zone, _MARKERS, size, parts)) for size in ("wide", "narrow"))
    return Chart(wide, narrow, caption)


def _for_page(spec: Spec) -> str:
    svg: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    for name, variable in _VARIABLES.items():
        svg = svg.replace(getattr(_MARKERS, name), f"var(--{variable})")
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _png(spec: Spec) -> str:
    """A PNG with a palette: a third of the bytes, and the eye sees no difference in flat colours."""
    drawn: bytes = vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE, allowed_base_urls=[])
    for colours in (_PNG_COLOURS, 16, 8):
        small = io.BytesIO()
        with Image.open(io.BytesIO(drawn)) as picture:
            picture.convert("RGB").quantize(colours).save(small, "PNG", optimize=True)
        if small.tell() * 4 // 3 < LARGEST_PNG:
            break
    return base64.b64encode(small.getvalue()).decode("ascii")


def _config(colours: Colours) -> Spec:
    return {
        "background": colours.ground,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            "domain": False, "ticks": False, "gridColor": colours.line, "labelColor": colours.muted,
            "labelFontSize": 12, "labelPadding": 8, "titleColor": colours.muted,
        },
        "legend": {
            "labelColor": colours.ink, "labelFontSize": 12, "symbolType": "square", "symbolSize": 90,
            "orient": "top", "title": None, "offset": 12, "columnPadding": 16,
        },
        "padding": 4 if colours.ground is None else 16,
    }  # fmt: skip


def _waterfall_values(steps: Sequence[WaterfallStep]) -> list[Spec]:
    return [
        {
            "order": number,
            "next": min(number + 1, len(steps) - 1),
            "label": step.label,
            "start": step.start,
            "end": step.end,
            "kind": "sum" if step.total else "more" if step.change > 0 else "less",
            "value": step.caption,
        }
        for number, step in enumerate(steps)
    ]


def _waterfall_layers(colours: Colours, bar: Spec, label: Spec, label_x: int, value_x: int) -> list[Spec]:
    """Lines that lead the eye, bars, words on the left, numbers on the right."""
    kinds = {"domain": ["sum", "less", "more"], "range": [colours.good, colours.lost, colours.info]}
    return [
        {
            "mark": {"type": "rule", "color": colours.line, "strokeWidth": 1, "yOffset": bar.get("yOffset", 0),
                     "y2Offset": bar.get("yOffset", 0)},
            "encoding": {"x": {"field": "end", "type": "quantitative"}, "y2": {"field": "next"}},
        },
        {
            # The outline gives a loss of few photographs among many a width that the eye can find.
            "mark": {"type": "bar", "cornerRadius": 2, "strokeWidth": 2.5, "strokeJoin": "round", **bar},
            "encoding": {
                "x": {"field": "start", "type": "quantitative"},
                "x2": {"field": "end"},
                "color": {"field": "kind", "type": "nominal", "scale": kinds, "legend": None},
                "stroke": {"field": "kind", "type": "nominal", "scale": kinds, "legend": None},
            },
        },
        {
            "mark": {"type": "text", "align": "left", "baseline": "middle", "color": colours.ink, **label},
            "encoding": {"x": {"value": label_x}, "text": {"field": "label"}},
        },
        {
            "mark": {"type": "text", "align": "right", "baseline": "middle", "fontSize": 13, "fontWeight": 600,
                     "color": colours.ink, "dy": label.get("dy", 0)},
            "encoding": {"x": {"value": value_x}, "text": {"field": "value"}},
        },
    ]  # fmt: skip


def _waterfall(
    steps: Sequence[WaterfallStep], colours: Colours, width: int, step_height: int, layers: list[Spec]
) -> Spec:
    top = max(max(step.start, step.end) for step in steps)
    return {
        "width": width,
        "height": {"step": step_height},
        "data": {"values": _waterfall_values(steps)},
        "encoding": {
            "x": {"scale": {"domain": [0, max(top, 1)]}, "axis": None},
            "y": {"field": "order", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0, "paddingOuter": 0}},
        },
        "layer": layers,
        "config": _config(colours),
    }


def _waterfall_wide(steps: Sequence[WaterfallStep], colours: Colours) -> Spec:
    label: Spec = {"fontSize": 13, "limit": 320}
    layers = _waterfall_layers(colours, {"height": 16}, label, label_x=-340, value_x=660)
    return _waterfall(steps, colours, 580, 32, layers)


def _waterfall_narrow(steps: Sequence[WaterfallStep], colours: Colours) -> Spec:
    label: Spec = {"fontSize": 13, "limit": 260, "dy": -9}
    layers = _waterfall_layers(colours, {"height": 10, "yOffset": 8}, label, label_x=0, value_x=330)
    return _waterfall(steps, colours, 330, 46, layers)


def _stack(runs: Sequence[Run], zone: tzinfo, colours: Colours, size: str, parts: Sequence[Part]) -> Spec:
    """One bar for each report, stacked of parts that keep their order and their colour."""
    labels = _run_labels(runs, zone)
    every = max(1, -(-len(labels) // _MOST_LABELS[size]))
    values = [
        {"run": label, "part": name, "order": order, "number": count(run)}
        for label, run in zip(labels, runs, strict=True)
        for order, (name, _, count) in enumerate(parts)
    ]
    palette = {"domain": [name for name, _, _ in parts], "range": [getattr(colours, colour) for _, colour, _ in parts]}
    shown = {"values": labels[::-1][::every], "labelExpr": "split(datum.label, '|')[0]", "labelAngle": 0, "grid": False}
    counted = {"title": None, "tickCount": 4, "tickMinStep": 1, "format": ",d", "minExtent": 46}
    return {
        "width": 440 if size == "wide" else 290,
        "height": 190,
        "data": {"values": values},
        # Without round corners: Vega clips them with ids that several pictures on a page would share.
        "mark": {"type": "bar", **({"width": _WIDEST_BAR} if len(runs) <= _FEW_RUNS else {})},
        "encoding": {
            "x": {"field": "run", "type": "ordinal", "sort": None, "axis": {"title": None, **shown}},
            "y": {"field": "number", "type": "quantitative", "axis": counted},
            "color": {"field": "part", "type": "nominal", "scale": palette},
            "order": {"field": "order"},
        },
        "config": _config(colours),
    }


def _run_labels(runs: Sequence[Run], zone: tzinfo) -> list[str]:
    """A name for each run that no other has; what stands before the bar is shown."""
    times = [run.made_at.astimezone(zone) for run in runs]
    if times[-1] - times[0] < timedelta(days=1):
        return [f"{time:%H:%M}|{run.report}" for time, run in zip(times, runs, strict=True)]
    return [f"{time.day} {time:%b}|{run.report}" for time, run in zip(times, runs, strict=True)]


#: The name of a part, its colour's name, and how many of it a report has.
Part = tuple[str, str, Callable[[Run], int]]

_SEVERITIES: tuple[Part, ...] = (
    ("errors", "error", lambda run: run.by_severity[Severity.ERROR]),
    ("warnings", "warning", lambda run: run.by_severity[Severity.WARNING]),
    ("good to know", "info", lambda run: run.by_severity[Severity.INFO]),
)
_VISIBILITY: tuple[Part, ...] = (
    ("can be seen", "good", lambda run: run.images_visible),
    ("cannot", "lost", lambda run: max(0, run.images - run.images_visible)),
)
