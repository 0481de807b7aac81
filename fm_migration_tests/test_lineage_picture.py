"""The README's picture is that of the assets as they are."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_the_committed_picture_is_the_present_lineage() -> None:
    script = runpy.run_path(str(PROJECT / "scripts" / "lineage.py"))
    drawn = script["picture"]()
    assert (PROJECT / "docs" / "lineage.svg").read_text(encoding="utf-8") == drawn, "run `python scripts/lineage.py`"
    texts = {element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert {"filemaker_export", "bulk_dump", "patients"} <= texts
