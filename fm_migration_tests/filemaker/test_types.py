"""Types to categories: whole words, known misspellings, and never a side that the text does not name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fm_migration.errors import SettingsError
from fm_migration.filemaker.types import (
    CATEGORIES,
    LEFT_CATEGORIES,
    RIGHT_CATEGORIES,
    built_in_types,
    load_types,
)

#: The frequent Types of a real export, with how many rows have each.
WEIGHTED = {
    "Dorsal": 1225, "Posterior": 995, "Planter": 870, "R-Brannock": 826, "L-Brannock": 814, "Plantar": 411,
    "Right Lat": 96, "Left Lat": 92, "Medial": 63, "Shoe": 58, "": 53, "R-Shoe": 38, "Lateral": 36, "CMO": 35,
    "iPad Left Bottom": 30, "iPad Left Lateral": 30, "iPad Left Top": 30, "iPad Left Medial": 30,
    "iPad Right Bottom": 30, "iPad Right Lateral": 30, "iPad Right Top": 30, "iPad Right Medial": 30,
    "Anterior": 27, "R-MFoot": 23, "Wound": 23, "L-MFoot": 22, "L-Shoe": 20, "Pension Card": 19, "PodBox": 18,
    "Boots": 15, "AFO": 15, "Medicare Card": 15, "Casts": 14, "Right Leg": 11, "Left Medial": 8, "Left Dorsal": 6,
    "X-Ray": 6,
}  # fmt: skip

EXPECTED = {
    "Dorsal": "dorsal",
    "Posterior": "posterior",
    "Planter": "plantar",
    "Plantar": "plantar",
    "Planter Left": "plantar",
    "R-Brannock": "r_brannock",
    "L-Brannock": "l_brannock",
    "l brannock": "l_brannock",
    "RBrannock": "r_brannock",
    "Brannock": "other",
    "L & R Brannock": "other",
    "Right Lat": "right_lat",
    "Left lat": "left_lat",
    "Right lateral": "right_lat",
    "Lat (R)": "right_lat",
    "Lateral": "lateral",
    "Both Lateral": "lateral",
    "iPad Left Lateral": "left_lat",
    "iPad Right Bottom": "plantar",
    "iPad Left Top": "dorsal",
    "iPad Right Medial": "medial",
    "Left Medial": "medial",
    "AFO Left": "afo",
    "Shoe": "shoe",
    "Boots": "shoe",
    "R-Shoe": "r_shoe",
    "Left shoe, lateral": "l_shoe",
    "R-MFoot": "r_mfoot_length",
    "L-MFoot Width": "l_mfoot_width",
    "Wound": "wound",
    "wound plantar left": "wound",
    "Right Leg": "right_leg",
    "Leg": "other",
    "Pension Card": "pension_card",
    "Medicare Card": "medicare_card",
    "PodBox": "podbox",
    "Casts": "casts",
    "CMO": "cmo",
    "X-Ray": "xray",
    "xray": "xray",
    "X-ray report": "x_ray_doc",
    "Medical": "medical",
    "Toe (R)": "other",
    "Left\x0bLateral": "left_lat",
    "": "other",
    "NA": "other",
    # No word of these is in the table, whatever letters they hold.
    "flatter": "other",
    "Shoelace": "other",
    "Alright lat": "lateral",
    "Leftover lat": "lateral",
}


@pytest.mark.parametrize(("text", "category"), EXPECTED.items())
def test_a_type_that_clinicians_write(text: str, category: str) -> None:
    assert built_in_types().classify(text).category == category


@pytest.mark.parametrize("change", [str, str.lower, str.upper, lambda text: f"  {text}\u00a0"])
def test_at_most_three_in_a_hundred_real_rows_become_other(change: type[str]) -> None:
    lost = sum(rows for text, rows in WEIGHTED.items() if built_in_types().classify(change(text)).category == "other")
    assert lost <= 0.03 * sum(WEIGHTED.values())


def test_every_category_of_the_table_is_one_of_the_apps_dialog_and_most_can_be_reached() -> None:
    reached = {built_in_types().classify(text).category for text in EXPECTED}
    assert reached <= CATEGORIES
    assert len(CATEGORIES) == 37


_LEFT_WORDS = ("L", "left", "LEFT", "Lt", "lft")
_RIGHT_WORDS = ("R", "right", "Right", "rt", "RHS")
_OTHER_WORDS = (
    "Brannock",
    "lat",
    "Lateral",
    "MFoot",
    "shoe",
    "leg",
    "Dorsal",
    "Planter",
    "iPad",
    "width",
    "toe",
    "5",
    "é",
)
_JOINTS = st.sampled_from([" ", "-", "_", ", ", "/", " (", ")", "\x0b", "\x1d", "."])


@st.composite
def _texts(draw: st.DrawFn, *words: str) -> str:
    chosen = draw(st.lists(st.sampled_from(words), min_size=1, max_size=7))
    return "".join(word + draw(_JOINTS) for word in chosen)


@settings(deadline=None)
@given(text=_texts(*_RIGHT_WORDS, *_OTHER_WORDS))
def test_a_text_that_names_no_left_never_becomes_left(text: str) -> None:
    assert built_in_types().classify(text).category not in LEFT_CATEGORIES


@settings(deadline=None)
@given(text=_texts(*_LEFT_WORDS, *_OTHER_WORDS))
def test_a_text_that_names_no_right_never_becomes_right(text: str) -> None:
    assert built_in_types().classify(text).category not in RIGHT_CATEGORIES


@settings(deadline=None)
@given(
    left=st.sampled_from(_LEFT_WORDS), right=st.sampled_from(_RIGHT_WORDS), text=_texts(*_OTHER_WORDS), joint=_JOINTS
)
def test_a_text_that_names_both_sides_becomes_neither(left: str, right: str, text: str, joint: str) -> None:
    for both in (f"{left} {text}{right}", f"{right}{joint}{left} {text}"):
        assert built_in_types().classify(both).category not in LEFT_CATEGORIES | RIGHT_CATEGORIES


@settings(deadline=None)
@given(text=st.text(max_size=40) | _texts(*_LEFT_WORDS, *_RIGHT_WORDS, *_OTHER_WORDS))
def test_whatever_the_text_a_category_of_one_side_has_its_word_in_the_text(text: str) -> None:
    category = built_in_types().classify(text).category
    words = re.findall(r"[a-z]+", text.casefold())
    if category in LEFT_CATEGORIES:
        assert any(word.startswith("l") for word in words)
        assert not {"r", "right", "rt", "rhs"} & set(re.findall(r"[^\W_]+", text.casefold()))
    if category in RIGHT_CATEGORIES:
        assert any(word.startswith("r") for word in words)
        assert not {"l", "left", "lt", "lft"} & set(re.findall(r"[^\W_]+", text.casefold()))


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_classifying_is_total(text: str) -> None:
    assert built_in_types().classify(text).category in CATEGORIES


def test_a_clinics_own_table_comes_before_ours(tmp_path: Path) -> None:
    path = tmp_path / "types.csv"
    path.write_text("words,category,left,right\ngait lab,medical\nlat,,l_shoe,r_shoe\nsinister,side:left,,\n", "utf-8")
    table = load_types(path)
    assert table.classify("Gait Lab 3").category == "medical"
    assert table.classify("Sinister lat").category == "l_shoe"
    assert table.classify("lat").category == "lateral"
    assert table.classify("Dorsal").category == "dorsal"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "first line"),
        ("word,category\nx,dorsal\n", "first line"),
        ("words,category\nx,nonsense\n", "not a category"),
        ("words,category,left,right\nx,,r_shoe,l_shoe\n", "one side"),
        ("words,category\nx,l_shoe\n", "one side"),
        ("words,category\n--,dorsal\n", "no words"),
        ("words,category\nx,side:up\n", "side:left"),
        ("words,category,left,right\nx,,,\n", "names no category"),
        ("words,category\nx,dorsal,1,2\n", "more cells"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "types.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=found) as caught:
        load_types(path)
    assert "types.csv" in caught.value.subject
