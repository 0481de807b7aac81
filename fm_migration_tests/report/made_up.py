"""Reports made up row by row, for what reads them: the tables are real, what they say is invented.

Belongs here: writing rows of `report`, `finding` and what they rest on. Does not belong here: any expectation.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from fm_migration.report.classes import FindingClass

DUMP = "filemaker-import/images-bulk-dump/"
START = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)

_EXPORT = text("""
insert into fm_migration.export_read
    (read_at, source, sha256, bytes, dialect, rows_present, rows_read, rows_refused, problems, data_version)
values (:at, :source, repeat('5a', 32), 1, '{}', 6502, 6490, 12, '{}', 'v') returning id
""")
_SNAPSHOT = text("""
insert into fm_migration.inventory_snapshot
    (started_at, finished_at, source, bucket, prefixes, objects, bytes)
values (:at, :at, 'listing', 'clinic', :prefixes, 12980, 11682000000) returning id
""")
_PATIENTS = text("""
insert into fm_migration.patient_read
    (read_at, fingerprint, data_version, patients, with_filemaker_id, known, known_present)
values (:at, :fingerprint, 'v', 1661, 1660, 1660, 1660) returning id
""")
_PLAN = text("""
insert into fm_migration.link_plan (kind, made_at, hash, patient_read_id, inputs, counts, doubts, applied_at)
values (:kind, :at, 'h', :patients, 'i', '{}', '{}', :applied_at) returning id
""")
_REPORT = text("""
insert into fm_migration.report
    (made_at, run_id, export_read_id, snapshot_id, patient_read_id, plan_id, verdict, totals, counts, waived, withheld,
     data_version)
values (:at, 'run-of-the-night', :export, :snapshot, :patients, :plan, :verdict, cast(:totals as jsonb),
        cast(:counts as jsonb), cast(:waived as jsonb), cast(:withheld as jsonb), '9f2c41d07b')
returning id
""")
_FINDING = text("""
insert into fm_migration.finding
    (class, subject, severity, evidence, first_report, last_report, first_seen, last_seen, waiver)
values (:class, :subject, :severity, cast(:evidence as jsonb), :first, :last,
        (select made_at from fm_migration.report where id = :first),
        (select made_at from fm_migration.report where id = :last), :waiver)
""")
_MANY = text("""
insert into fm_migration.finding
    (class, subject, severity, evidence, first_report, last_report, first_seen, last_seen)
select :class, 'recid ' || number, :severity,
       jsonb_build_object(
           'row', number, 'recid', number::text, 'image', gen_random_uuid(), 'patient', gen_random_uuid()),
       :report, :report, :at, :at
from generate_series(1, :count) as number
""")
_GONE = text("""
update fm_migration.patient_identity set ended = :reading, ending = 'gone'
where filemaker_id = any (:people) and ended is null
""")
_ARRIVED = text("""
insert into fm_migration.patient_identity (filemaker_id, patient_id, began, written)
values (cast(:filemaker_id as uuid), gen_random_uuid(), :reading, upper(cast(:filemaker_id as text)))
""")

TOTALS: dict[str, Any] = {
    "rows": 6490,
    "objects": 12980,
    "bytes": 11_682_000_000,
    "bytes_by_kind": {"original": 11_490_000_000, "thumbnail": 192_000_000},
    "objects_by_kind": {"original": 6484, "thumbnail": 6496},
    "states": {"linked": 6401, "no_object": 43, "no_patient": 21, "malformed_contact": 15, "duplicate_recid": 10},
    "patients": 1661,
    "patients_with_photographs": 1648,
    "images": 6437,
    "images_visible": 6401,
    "images_invisible": {"without_patient": 24, "without_object": 12},
    "hidden": {"no_patient": 21, "malformed_contact": 14, "duplicate_recid": 10},
    "waterfall": [
        ["rows of the export", 6490],
        ["no original in the bucket", -43],
        ["no patient of that id", -21],
        ["names no patient, or by no UUID", -15],
        ["recid twice", -10],
        ["visible photographs", 6401],
    ],
    "thumbnails": {"current": 6377, "missing": 18, "stale": 6},
}


@dataclass
class Reports:
    """A database to which reports are added, each with its findings."""

    engine: Engine
    made: list[int] = field(default_factory=list)
    patients: int = 0

    def read_patients(self, at: datetime, fingerprint: str) -> int:
        with self.engine.begin() as connection:
            facts = {"at": at, "fingerprint": fingerprint}
            self.patients = connection.execute(_PATIENTS, facts).scalar_one()
        return self.patients

    def learn(self, people: Sequence[uuid.UUID]) -> None:
        """The newest reading has found that these people have another UUID than before."""
        with self.engine.begin() as connection:
            connection.execute(_GONE, {"reading": self.patients, "people": list(people)})
            connection.execute(_ARRIVED, [{"filemaker_id": person, "reading": self.patients} for person in people])

    def plan(self, at: datetime, *, kind: str = "photographs", applied_at: datetime | None = None) -> int:
        facts = {"kind": kind, "at": at, "patients": self.patients, "applied_at": applied_at}
        with self.engine.begin() as connection:
            return int(connection.execute(_PLAN, facts).scalar_one())

    def add(
        self,
        counts: Mapping[FindingClass, int] | None = None,
        *,
        waived: Mapping[FindingClass, int] | None = None,
        withheld: Mapping[FindingClass, Any] | None = None,
        totals: Mapping[str, Any] | None = None,
        verdict: str = "36 of 6,437 photographs are not visible, and 245 findings are open",
        source: str = "/exports/Image_dataV9.csv",
        prefixes: Sequence[str] = (DUMP, "thumbnails/"),
    ) -> int:
        """A report a day after the one before; its number."""
        at = START + DAY * len(self.made)
        if not self.patients:
            self.read_patients(at - timedelta(minutes=10), "first")
        plan = self.plan(at - timedelta(minutes=5))
        with self.engine.begin() as connection:
            facts = {
                "at": at,
                "export": connection.execute(_EXPORT, {"at": at, "source": source}).scalar_one(),
                "snapshot": connection.execute(_SNAPSHOT, {"at": at, "prefixes": list(prefixes)}).scalar_one(),
                "patients": self.patients,
                "plan": plan,
                "verdict": verdict,
                "totals": json.dumps({**TOTALS, **(totals or {})}),
                "counts": json.dumps(counts or {}),
                "waived": json.dumps(waived or {}),
                "withheld": json.dumps(withheld or {}),
            }
            report: int = connection.execute(_REPORT, facts).scalar_one()
        self.made.append(report)
        return report

    def find(
        self,
        kind: FindingClass,
        subject: str,
        evidence: Mapping[str, Any] | None = None,
        *,
        first: int | None = None,
        last: int | None = None,
        waiver: str | None = None,
    ) -> None:
        """A finding of the newest report, or one that was seen from the report `first` until `last`."""
        facts = {
            "class": kind.value,
            "subject": subject,
            "severity": kind.severity.value,
            "evidence": json.dumps(evidence or {}),
            "first": first or self.made[-1],
            "last": last or self.made[-1],
            "waiver": waiver,
        }
        with self.engine.begin() as connection:
            connection.execute(_FINDING, facts)

    def find_many(self, kind: FindingClass, count: int) -> None:
        report = self.made[-1]
        facts = {"class": kind.value, "severity": kind.severity.value, "report": report, "count": count, "at": START}
        with self.engine.begin() as connection:
            connection.execute(_MANY, facts)


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid5(uuid.NAMESPACE_OID, f"made up {number}") for number in range(count)]
