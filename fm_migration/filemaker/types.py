"""From the clinicians' free-text Type to a category of the app's dialog.

Belongs here: whole words, sides, and reading the table `types.csv` that holds all of them. Does not belong
here: the words themselves, or keeping the text (the row does).

No side is ever invented or swapped: a category of one side is only given to a text that names that side and
not the other. Everything that the table does not know is `other`.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from fm_migration.errors import SettingsError

Side = Literal["left", "right", "both"]
_SIDES: tuple[Side, ...] = ("left", "right", "both")

#: What the app's dialog offers. Other texts of up to 100 characters can be stored, but not chosen there.
_SINGLE = (
    "dorsal plantar posterior anterior medial lateral wound casts shoe afo cmo last_design podbox xray x_ray_doc "
    "pension_card medicare_card medical prescription referral consent insurance invoice quote other"
)
_OF_THE_LEFT = "left_lat left_leg l_brannock l_mfoot_length l_mfoot_width l_shoe"
_OF_THE_RIGHT = "right_lat right_leg r_brannock r_mfoot_length r_mfoot_width r_shoe"
LEFT_CATEGORIES = frozenset(_OF_THE_LEFT.split())
RIGHT_CATEGORIES = frozenset(_OF_THE_RIGHT.split())
CATEGORIES = frozenset(_SINGLE.split()) | LEFT_CATEGORIES | RIGHT_CATEGORIES
OTHER = "other"

_COLUMNS = ["words", "category", "left", "right", "why"]
_WORD = re.compile(r"[^\W_]+")


class Classified(NamedTuple):
    """What a Type says. `known` is False when its category is `other` for want of a better one."""

    category: str
    side: Side | None
    known: bool


class _Rule(NamedTuple):
    phrases: tuple[str, ...]
    category: str
    left: str
    right: str

    def category_for(self, side: Side | None) -> str:
        """The category for a side; empty if the rule has none for it."""
        sided = self.left if side == "left" else self.right if side == "right" else ""
        return sided or self.category


class TypeTable:
    """The table of types, ready to classify."""

    def __init__(self, rules: Sequence[_Rule], sides: dict[Side, frozenset[str]]) -> None:
        self._rules = rules
        self._sides = sides
        self._vocabulary = frozenset(
            phrase for rule in rules for phrase in rule.phrases if " " not in phrase and len(phrase) > 2
        )
        # Longest first, so that "left" is tried before "l".
        self._prefixes = [
            (word, side) for side in ("left", "right") for word in sorted((side, side[0]), key=len, reverse=True)
        ]

    def classify(self, text: str) -> Classified:
        """The category and the side of a Type."""
        words = [part for word in words_of(text) for part in self._parted(word)]
        side = self._side(words)
        padded = f" {' '.join(words)} "
        for rule in self._rules:
            if any(f" {phrase} " in padded for phrase in rule.phrases) and (category := rule.category_for(side)):
                return Classified(category, side, known=True)
        return Classified(OTHER, side, known=False)

    def _parted(self, word: str) -> list[str]:
        """A side that is glued to a known word, parted from it: "rbrannock" is "r brannock"."""
        if word not in self._vocabulary:
            for prefix, side in self._prefixes:
                if word.startswith(prefix) and word[len(prefix) :] in self._vocabulary:
                    return [side, word[len(prefix) :]]
        return [word]

    def _side(self, words: Sequence[str]) -> Side | None:
        padded = f" {' '.join(words)} "
        left, right, both = (any(f" {phrase} " in padded for phrase in self._sides[side]) for side in _SIDES)
        if both or (left and right):
            return "both"
        return "left" if left else "right" if right else None


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; whatever is not a letter or digit parts them."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@cache
def built_in_types() -> TypeTable:
    """The table that comes with us."""
    return _table([_built_in_rows()])


def load_types(path: Path | None = None) -> TypeTable:
    """The built-in table, and before it the rows of a clinic's own file."""
    if path is None:
        return built_in_types()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_table(path.name, f"it cannot be read ({type(error).__name__})") from error
    return _table([_rows(text, path.name), _built_in_rows()])


def _built_in_rows() -> list[tuple[str, dict[str, str]]]:
    return _rows(resources.files(__package__).joinpath("types.csv").read_text("utf-8"), "types.csv")


def _rows(text: str, source: str) -> list[tuple[str, dict[str, str]]]:
    """The rows of a table with the place of each, for messages."""
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    if not {"words", "category"} <= set(header) <= set(_COLUMNS):
        raise _bad_table(source, f"its first line must name the columns {', '.join(_COLUMNS)}")
    rows = []
    for cells in reader:
        if not any(cells) or cells[0].lstrip().startswith("#"):
            continue
        if len(cells) > len(header):
            raise _bad_table(source, f"line {reader.line_num} has more cells than columns")
        padded = [*cells, *[""] * (len(header) - len(cells))]
        rows.append((f"{source} line {reader.line_num}", {k: v.strip() for k, v in zip(header, padded, strict=True)}))
    return rows


def _table(tables: Iterable[list[tuple[str, dict[str, str]]]]) -> TypeTable:
    rules: list[_Rule] = []
    sides: dict[Side, set[str]] = {"left": set(), "right": set(), "both": set()}
    for place, row in (row for table in tables for row in table):
        phrases = tuple(" ".join(words_of(phrase)) for phrase in row["words"].split("|") if words_of(phrase))
        if not phrases:
            raise _bad_table(place, "it has no words")
        if row["category"].startswith("side:"):
            sides[_side_named(row["category"], place)].update(phrases)
        else:
            rules.append(_rule(phrases, row, place))
    return TypeTable(rules, {side: frozenset(phrases) for side, phrases in sides.items()})


def _side_named(category: str, place: str) -> Side:
    named = category.removeprefix("side:")
    for side in _SIDES:
        if named == side:
            return side
    raise _bad_table(place, f"{category} is none of side:left, side:right, side:both")


def _rule(phrases: tuple[str, ...], row: dict[str, str], place: str) -> _Rule:
    category, left, right = row["category"], row.get("left", ""), row.get("right", "")
    if unknown := {category, left, right} - CATEGORIES - {""}:
        raise _bad_table(place, f"{', '.join(sorted(unknown))} is not a category of the app")
    if not (category or left or right):
        raise _bad_table(place, "it names no category")
    if category in LEFT_CATEGORIES | RIGHT_CATEGORIES or left in RIGHT_CATEGORIES or right in LEFT_CATEGORIES:
        raise _bad_table(place, "a category of one side stands in the column of another")
    return _Rule(phrases, category, left, right)


def _bad_table(place: str, found: str) -> SettingsError:
    return SettingsError(
        "reading the table of types",
        place,
        found,
        "Correct the file that FM_EXPORT_TYPES names; the columns are words, category, left, right, why",
    )
