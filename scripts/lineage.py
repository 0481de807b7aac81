"""Draws docs/lineage.svg, the picture of the README, from the assets themselves: `python scripts/lineage.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURE = Path(__file__).parent.parent / "docs" / "lineage.svg"

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, HEAD = 168, 44, 64, 22, 20, 30
#: Readable on white and on black: the picture stands in pages of both kinds.
COLOURS = {"source": "#7a8699", "intake": "#6b63b5", "staging": "#2f7fb8", "clinic": "#2e8b57", "assurance": "#b8772f"}


@dataclass(frozen=True)
class Box:
    """One asset, with where it goes in the grid."""

    name: str
    group: str
    column: int
    row: int

    @property
    def x(self) -> int:
        return MARGIN + self.column * (WIDTH + GAP_X)

    @property
    def y(self) -> int:
        return MARGIN + HEAD + self.row * (HEIGHT + GAP_Y)


def read_graph() -> tuple[dict[str, str], dict[str, set[str]]]:
    """Group and parents of every asset."""
    from fm_migration.definitions import defs

    graph = defs().resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    groups = {name: node.group_name for name, node in nodes.items()}
    parents = {name: {key.to_user_string() for key in node.parent_keys} for name, node in nodes.items()}
    return groups, parents


def arrange(groups: Mapping[str, str], parents: Mapping[str, set[str]]) -> list[Box]:
    """An asset stands in the column after its last parent, below its neighbours in the order of their parents."""
    columns: dict[str, int] = {}

    def column(name: str) -> int:
        if name not in columns:
            columns[name] = 1 + max((column(parent) for parent in parents[name]), default=-1)
        return columns[name]

    rows: dict[str, int] = {}
    boxes = []
    for number in range(1 + max(column(name) for name in groups)):
        members = [name for name in groups if column(name) == number]
        members.sort(key=lambda name: (sum(rows[p] for p in parents[name]) / max(1, len(parents[name])), name))
        for row, name in enumerate(members):
            rows[name] = row
            boxes.append(Box(name, groups[name], number, row))
    return boxes


def draw(boxes: list[Box], parents: Mapping[str, set[str]]) -> str:
    by_name = {box.name: box for box in boxes}
    width = max(box.x for box in boxes) + WIDTH + MARGIN
    height = max(box.y for box in boxes) + HEIGHT + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
            '  font-family="system-ui, sans-serif" font-size="14" role="img">',
            "<title>The assets of fm_migration and what each is made from</title>",
            *_legend(boxes),
            *(_arrow(by_name[parent], box) for box in boxes for parent in sorted(parents[box.name])),
            *(_box(box) for box in boxes),
            "</svg>",
            "",
        ]
    )


def _legend(boxes: list[Box]) -> Iterator[str]:
    present = [group for group in COLOURS if group in {box.group for box in boxes}]
    for number, group in enumerate(present):
        x = MARGIN + number * 120
        yield f'<rect x="{x}" y="{MARGIN - 8}" width="14" height="14" rx="3" fill="{COLOURS[group]}"/>'
        yield f'<text x="{x + 20}" y="{MARGIN + 4}" fill="#7a8699">{group}</text>'


def _box(box: Box) -> str:
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{COLOURS[box.group]}"/>'
        f'<text x="{box.x + WIDTH // 2}" y="{box.y + HEIGHT // 2 + 5}" text-anchor="middle" fill="#ffffff">'
        f"{escape(box.name)}</text>"
    )


def _arrow(parent: Box, child: Box) -> str:
    x1, y1 = parent.x + WIDTH, parent.y + HEIGHT // 2
    x2, y2 = child.x, child.y + HEIGHT // 2
    middle = (x1 + x2) // 2
    return (
        f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2 - 7} {y2}" fill="none" stroke="#7a8699" '
        f'stroke-width="1.6"/><path d="M{x2 - 8} {y2 - 4} L{x2} {y2} L{x2 - 8} {y2 + 4} Z" fill="#7a8699"/>'
    )


def picture() -> str:
    groups, parents = read_graph()
    return draw(arrange(groups, parents), parents)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(Path.cwd())}\n")
