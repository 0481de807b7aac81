"""The page docs/report.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from fm_migration.defs.assets.assurance import orphan_report
from fm_migration.repairs.repairing import REPAIRABLE
from fm_migration.report.classes import FindingClass
from fm_migration.report.waivers import parse_waivers

PATH = Path(__file__).parents[2] / "docs/report.md"
CLASSES = re.compile(r"(<!-- classes: .*? -->\n\n(?:\|.*\n){2})((?:\|.*\n)*)(<!-- end -->)")


def as_table() -> str:
    """The classes as the rows of the page's table; `python -m fm_migration_tests.report.test_report_page` writes it."""
    rows = (f"| `{name}` | {name.severity} | {name.meaning} | {name.remedy} |\n" for name in FindingClass)
    return "".join(rows)


def test_the_classes_are_those_of_the_code() -> None:
    found = CLASSES.search(PATH.read_text("utf-8"))
    assert found, "docs/report.md has lost its table of classes"
    assert found[2] == as_table(), "run `python -m fm_migration_tests.report.test_report_page`"


def test_the_example_of_waivers_can_be_read() -> None:
    example = re.search(r'``` csv title="waivers.csv"\n(.*?)```', PATH.read_text("utf-8"), re.DOTALL)
    assert example
    assert [waiver.subject for waiver in parse_waivers(example[1], "waivers.csv")] == ["recid 4711", "*"]


def test_checks_and_repairs_are_those_of_the_code() -> None:
    page = PATH.read_text("utf-8")
    for check in orphan_report.check_specs:
        assert f"\n| `{check.name}` |" in page
    repairs = page.partition("## Repairs")[2]
    assert re.findall(r"^\| `(\w+)` \|", repairs, re.MULTILINE) == list(REPAIRABLE)


if __name__ == "__main__":
    text = PATH.read_text("utf-8")
    PATH.write_text(CLASSES.sub(lambda found: found[1] + as_table() + found[3], text), "utf-8")
