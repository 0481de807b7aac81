"""Draws docs/architecture.svg: the rooms of the house and who imports whom, from the import graph itself.

`python scripts/architecture.py` writes it. The rows are the layers of .importlinter. An arrow that follows from two
others is left out, and so are the arrows to what everybody may use (the lowest rows).
"""

from __future__ import annotations

import configparser
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

PROJECT = Path(__file__).parent.parent
PICTURE = PROJECT / "docs" / "architecture.svg"

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 124, 36, 22, 44, 20
#: By what a room is there for. Readable on white and on black, as in docs/lineage.svg.
KINDS = {
    "doors": ("#6b63b5", {"cli", "definitions", "defs", "instance"}),
    "use cases": ("#b8772f", {"operations", "watching", "explain", "certificate", "report", "repairs"}),
    "domains": ("#2e8b57", {"linking", "thumbnails", "plans", "clinic", "ledger", "sessions"}),
    "sources": ("#2f7fb8", {"sources", "intake", "filemaker", "objects", "images"}),
    "base": ("#7a8699", set[str]()),
}
#: Used by nearly every room: their arrows would hide the others.
EVERYBODYS = {"settings", "errors", "retrying", "database"}


@dataclass(frozen=True)
class Room:
    """One package or module at the top, with its place in the picture."""

    name: str
    x: int
    y: int

    @property
    def colour(self) -> str:
        return next((colour for colour, names in KINDS.values() if self.name in names), KINDS["base"][0])


def read_layers() -> list[list[str]]:
    """The rows of the picture, the highest first."""
    contracts = configparser.ConfigParser()
    contracts.read(PROJECT / ".importlinter")
    rows = contracts["importlinter:contract:layers"]["layers"].strip().splitlines()
    named = [[name.strip(" ()") for name in row.split("|")] for row in rows]
    present = {path.stem for path in (PROJECT / "fm_migration").iterdir()}
    return [row for names in named if (row := [name for name in names if name in present])]


def read_imports(rooms: set[str]) -> dict[str, set[str]]:
    """Which rooms each room imports from directly."""
    graph = grimp.build_graph("fm_migration", cache_dir=None)
    imports: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        importer = _room_of(module)
        imported = {_room_of(name) for name in graph.find_modules_directly_imported_by(module)}
        if importer in rooms:
            imports[importer] |= (imported & rooms) - {importer}
    return imports


def _room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def reduced(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others; there is no circle, import-linter sees to that."""
    below: dict[str, set[str]] = {}

    def reach(room: str) -> set[str]:
        if room not in below:
            below[room] = set().union(*({one} | reach(one) for one in imports[room])) if imports[room] else set()
        return below[room]

    return {
        room: {one for one in direct if not any(one in reach(other) for other in direct if other != one)} - EVERYBODYS
        for room, direct in imports.items()
    }


def arrange(layers: list[list[str]]) -> list[Room]:
    """Each layer is a row, in the middle."""
    widest = max(len(row) for row in layers)
    rooms = []
    for number, row in enumerate(layers):
        left = MARGIN + (widest - len(row)) * (WIDTH + GAP_X) // 2
        top = MARGIN + 30 + number * (HEIGHT + GAP_Y)
        rooms += [Room(name, left + at * (WIDTH + GAP_X), top) for at, name in enumerate(row)]
    return rooms


def draw(rooms: list[Room], imports: Mapping[str, set[str]]) -> str:
    by_name = {room.name: room for room in rooms}
    width = max(room.x for room in rooms) + WIDTH + MARGIN
    height = max(room.y for room in rooms) + HEIGHT + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
            '  font-family="system-ui, sans-serif" font-size="14" role="img">',
            "<title>The rooms of fm_migration and who imports whom</title>",
            *_legend(),
            *(_arrow(room, by_name[one]) for room in rooms for one in sorted(imports[room.name])),
            *(_box(room) for room in rooms),
            "</svg>",
            "",
        ]
    )


def _legend() -> Iterator[str]:
    for number, (kind, (colour, _)) in enumerate(KINDS.items()):
        x = MARGIN + number * 110
        yield f'<rect x="{x}" y="{MARGIN - 8}" width="14" height="14" rx="3" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="{MARGIN + 4}" fill="#7a8699">{kind}</text>'


def _box(room: Room) -> str:
    return (
        f'<rect x="{room.x}" y="{room.y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{room.colour}"/>'
        f'<text x="{room.x + WIDTH // 2}" y="{room.y + HEIGHT // 2 + 5}" text-anchor="middle" fill="#ffffff">'
        f"{escape(room.name)}</text>"
    )


def _arrow(importer: Room, imported: Room) -> str:
    x1, y1 = importer.x + WIDTH // 2, importer.y + HEIGHT
    x2, y2 = imported.x + WIDTH // 2, imported.y
    return (
        f'<path d="M{x1} {y1} C{x1} {y1 + GAP_Y} {x2} {y2 - GAP_Y} {x2} {y2 - 7}" fill="none" stroke="#7a8699" '
        f'stroke-width="1.4"/><path d="M{x2 - 4} {y2 - 8} L{x2} {y2} L{x2 + 4} {y2 - 8} Z" fill="#7a8699"/>'
    )


def picture() -> str:
    layers = read_layers()
    return draw(arrange(layers), reduced(read_imports({name for row in layers for name in row})))


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(Path.cwd())}\n")
