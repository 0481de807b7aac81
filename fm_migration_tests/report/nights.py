"""A clinic's reports over some weeks, as they would be in life: with every kind of thing that the page can show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fm_migration.report.classes import FindingClass as Kind
from fm_migration_tests.report.made_up import DAY, DUMP, START, TOTALS, Reports, ids

#: Open findings of the last report, without the accepted ones.
OPEN = {
    Kind.ROW_WITHOUT_OBJECT: 43,
    Kind.ROW_WITHOUT_PATIENT: 21,
    Kind.AMBIGUOUS_PATIENT: 4,
    Kind.OBJECT_WITHOUT_ROW: 17,
    Kind.IMAGE_WITHOUT_OBJECT: 12,
    Kind.IMAGE_DOUBLED: 96,
    Kind.COUNT_WRONG: 31,
    Kind.THUMBNAIL_MISSING: 18,
    Kind.MIRRORED_SIDE: 3,
    Kind.FILE_NOT_AN_IMAGE: 9,
    Kind.UNDATED: 28,
    Kind.TOO_NEW: 2,
}
NEW = 6
GONE = 5
ACCEPTED = 7
NIGHTS = 16


def some_weeks(reports: Reports) -> None:
    """Sixteen nightly reports with two re-imports between them, the second one still open."""
    people = ids(1_661)
    reports.read_patients(START - DAY, "before")
    reports.learn(people)
    for night in range(NIGHTS - 1):
        _reimport_after(reports, night, people)
        reports.add(_counts_of(night), totals=_totals_of(night))
    last = reports.add(
        OPEN,
        waived={Kind.UNDATED: 4, Kind.FILE_NOT_AN_IMAGE: 3},
        verdict="36 of 6,437 photographs whose row, file and patient are known do not show; 80 findings keep others "
        "from showing, and 204 more are worth a look",
    )
    _fill(reports, last)


def _reimport_after(reports: Reports, night: int, people: list[Any]) -> None:
    took = {4: timedelta(seconds=7.4), 9: timedelta(minutes=21), 14: None}
    if night not in took:
        return
    at = START + DAY * night - timedelta(hours=5)
    reports.read_patients(at, f"re-import of night {night}")
    reports.learn(people[: 1_660 - night])
    healed_after = took[night]
    if healed_after is not None:
        reports.plan(at, applied_at=at + healed_after)
        reports.plan(at, kind="links", applied_at=at + healed_after + timedelta(seconds=1))


def _counts_of(night: int) -> dict[Kind, int]:
    if night == 9:
        return {**OPEN, Kind.BATCH_WITHOUT_PATIENT: 214}
    return {kind: round(count * (1 + (NIGHTS - night) * 0.09)) for kind, count in OPEN.items()}


def _totals_of(night: int) -> dict[str, Any]:
    visible = 5_204 if night == 9 else TOTALS["images_visible"] - 11 * (NIGHTS - night)
    return {"images_visible": visible}


def _fill(reports: Reports, last: int) -> None:
    uuids = [str(one) for one in ids(400)]
    number = 0
    for kind, count in OPEN.items():
        for position in range(count):
            number += 1
            recid = str(1_000 + number)
            subject, evidence = _told(kind, recid, uuids[number])
            first = last if kind is Kind.ROW_WITHOUT_OBJECT and position < NEW else reports.made[number % 12]
            reports.find(kind, subject, evidence, first=first)
    for position in range(GONE):
        recid = str(3_000 + position)
        reports.find(
            Kind.THUMBNAIL_MISSING, f"image {uuids[-1 - position]}", {"image": uuids[-1 - position], "recid": recid},
            first=reports.made[2], last=reports.made[-2],
        )  # fmt: skip
    for position in range(ACCEPTED):
        kind = Kind.UNDATED if position < 4 else Kind.FILE_NOT_AN_IMAGE
        words = "scanned before dates were kept (2026-03-02)" if position < 4 else "pension cards (2026-03-02)"
        reports.find(kind, f"recid {4_000 + position}", {"row": position, "recid": str(4_000 + position)}, waiver=words)


def _told(kind: Kind, recid: str, image: str) -> tuple[str, dict[str, Any]]:
    by_recid = {"row": int(recid) - 900, "recid": recid, "filemaker_id": image}
    by_image = {"image": image, "key": f"{DUMP}{recid}.jpg", "recid": recid}
    batch = {"batch": image, "patient": image[::-1].replace("-", "0")[:8] + image[8:], "says": 5, "has": 4}
    return {
        Kind.ROW_WITHOUT_OBJECT: (f"recid {recid}", {**by_recid, "state": "no_object"}),
        Kind.ROW_WITHOUT_PATIENT: (f"recid {recid}", {**by_recid, "state": "no_patient"}),
        Kind.AMBIGUOUS_PATIENT: (f"recid {recid}", {**by_recid, "state": "ambiguous_patient"}),
        Kind.OBJECT_WITHOUT_ROW: (
            f"object {DUMP}{recid}.jpg",
            {"key": f"{DUMP}{recid}.jpg", "recid": recid, "size": int(recid) * 997},
        ),
        Kind.COUNT_WRONG: (f"batch {image}", batch),
        Kind.UNDATED: (f"recid {recid}", {"row": int(recid) - 900, "recid": recid, "image": image}),
    }.get(kind, (f"image {image}", by_image))
