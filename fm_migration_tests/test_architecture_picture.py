"""The picture of docs/architecture.md is that of the import graph as it is."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT / "scripts" / "architecture.py"))


def test_the_committed_picture_is_the_present_import_graph(script: dict[str, Any]) -> None:
    drawn = script["picture"]()
    remedy = "run `python scripts/architecture.py`"
    assert (PROJECT / "docs" / "architecture.svg").read_text(encoding="utf-8") == drawn, remedy
    texts = {element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    rooms = {path.parent.name for path in (PROJECT / "fm_migration").glob("*/__init__.py")}
    assert rooms <= texts


def test_an_arrow_that_follows_from_others_is_left_out(script: dict[str, Any]) -> None:
    imports = {"a": {"b", "c", "errors"}, "b": {"c"}, "c": set(), "errors": set()}
    assert script["reduced"](imports) == {"a": {"b"}, "b": {"c"}, "c": set(), "errors": set()}
