"""What the clinic accepts is counted apart; a file of waivers that cannot be read without guessing stops the report."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fm_migration.errors import SettingsError
from fm_migration.report.classes import FindingClass
from fm_migration.report.waivers import Waiver, parse_waivers, read_waivers
from fm_migration_tests.linking.world import ANNA, Photograph
from fm_migration_tests.report.reporting import Reported

HEAD = "class,subject,reason,date\n"


def test_lines_in_any_order_of_columns_with_comments_and_blank_lines() -> None:
    text = 'date,class,reason,subject\n\n# lost in 2019\n2026-01-31,row_without_object,"lost, asked Dr X",recid 77\n'
    assert parse_waivers(text, "w.csv") == (
        Waiver(FindingClass.ROW_WITHOUT_OBJECT, "recid 77", "lost, asked Dr X", date(2026, 1, 31)),
    )


def test_no_file_no_waivers(tmp_path: Path) -> None:
    assert read_waivers(None) == ()
    empty = tmp_path / "waivers.csv"
    empty.write_text("\ufeff" + HEAD, encoding="utf-8")
    assert read_waivers(empty) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "w.csv line 1: it names the columns of nothing"),
        ("class,subject\n", "w.csv line 1: it names the columns class, subject"),
        (HEAD + "row_without_object,recid 1,,2026-01-31\n", "w.csv line 2, field reason: it is empty"),
        (HEAD + "row_without_object,recid 1,lost\n", "w.csv line 2, field date: it is empty"),
        (HEAD + "\nrow_lost,recid 1,lost,2026-01-31\n", "w.csv line 3, field class: there is no such class"),
        (HEAD + "undated,*,known,31.1.2026\n", "w.csv line 2, field date: it is not a date like 2026-01-31"),
        (HEAD + "undated,*,lost, asked,2026-01-31\n", "w.csv line 2: it has more cells than columns"),
        (
            HEAD + "undated,*,a,2026-01-31\nundated,*,b,2026-01-31\n",
            "w.csv line 3, field subject: line 2 says so already",
        ),
        (HEAD + 'undated,*,"a,2026-01-31\n', "w.csv line 2: it is not a line of CSV"),
    ],
)
def test_a_malformed_line_is_named_with_its_field_and_the_remedy(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_waivers(text, "w.csv")
    assert message in str(caught.value)
    assert "Correct the file that FM_WAIVERS names" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"w\.csv: it cannot be read \(FileNotFoundError\)"):
        read_waivers(tmp_path / "w.csv")


def test_waived_findings_are_counted_apart_and_keep_their_reason(world: Reported, tmp_path: Path) -> None:
    patient = world.patient(ANNA)
    world.photographs(Photograph("1", ANNA), Photograph("2", ANNA, date=""), Photograph("3", ANNA, date=""))
    world.link()
    batches = [world.batch(patient, f"Fitting {number}") for number in range(2)]
    path = tmp_path / "waivers.csv"
    path.write_text(
        HEAD + "undated,recid 2,the very one,2026-01-31\nundated,*,never dated,2026-02-28\n"
        f"batch_empty,batch {batches[0]},made by mistake,2026-01-31\nimage_doubled,*,none of them,2026-01-31\n",
        encoding="utf-8",
    )
    plain = world.report(["thumbnail_missing"])
    report = world.report(["thumbnail_missing"], waivers=path)
    assert report.counts[FindingClass.BATCH_EMPTY] == 1
    assert report.waived == {FindingClass.BATCH_EMPTY: 1, FindingClass.UNDATED: 2}
    assert world.open()["batch_empty"] == {f"batch {batches[1]}"}
    assert "undated" not in world.open()
    query = "select subject, waiver from fm_migration.finding where class = 'undated'"
    assert {row.subject: row.waiver for row in world.rows(query)} == {
        "recid 2": "the very one (2026-01-31)",
        "recid 3": "never dated (2026-02-28)",
    }
    assert report.data_version != plain.data_version
    assert world.report(["thumbnail_missing"]).counts == plain.counts, "without the file they count again"


def test_accepted_losses_are_no_part_of_an_implausible_share(world: Reported, tmp_path: Path) -> None:
    world.patient(ANNA)
    world.export(*(Photograph(str(recid), ANNA) for recid in range(1, 61)))
    world.objects(*(f"{recid}.jpg" for recid in range(1, 31)))
    world.link()
    path = tmp_path / "waivers.csv"
    path.write_text(HEAD + "row_without_object,*,never dumped,2026-01-31\n", encoding="utf-8")
    report = world.report(waivers=path)
    assert FindingClass.ROW_WITHOUT_OBJECT not in report.withheld
    assert report.waived[FindingClass.ROW_WITHOUT_OBJECT] == 30
