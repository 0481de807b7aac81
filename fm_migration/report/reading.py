"""The newest report as the page and the files show it: read from our own tables, nothing computed anew.

Belongs here: what a report says, how it compares with those before it, and how the last re-imports were healed. Does
not belong here: finding anything (`findings.py`), or how it looks (`page.py`).

The tables of a report hold our own ids only. A key of the bucket may have a part that somebody named, and people name
folders after patients: such a part is shown as a hash, and whoever may read the database can read it there.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text

from fm_migration.errors import DatabaseError
from fm_migration.report.classes import FindingClass, Severity

#: How far back the trend goes, and how many re-imports are told.
RUNS = 60
REIMPORTS = 10
#: Rows fetched at a time from a query that is streamed.
AT_ONCE = 5_000

_NEWEST = text("select * from fm_migration.report order by id desc limit 1")
_INPUTS = text("""
select export_read.source as export_source, export_read.sha256 as export_sha256, export_read.read_at as export_read_at,
       rows_present, rows_read, rows_refused, snapshot.started_at as listed_from, snapshot.finished_at as listed_until,
       snapshot.bucket, snapshot.prefixes, snapshot.objects, snapshot.bytes,
       patient_read.read_at as patients_read_at, patient_read.patients
from fm_migration.report
join fm_migration.export_read on export_read.id = export_read_id
join fm_migration.inventory_snapshot as snapshot on snapshot.id = snapshot_id
join fm_migration.patient_read on patient_read.id = patient_read_id
where report.id = :report
""")
_RUNS = text("""
select id, made_at, counts, totals, withheld from fm_migration.report where id <= :report order by id desc limit :runs
""")
#: Open and waived findings of the report, and those of the report before it that are gone.
_CLASSES = text("""
select class, last_report = :report as present, waiver is not null as waived, count(*) as findings,
       count(*) filter (where first_report = :report) as fresh, min(first_seen) as oldest
from fm_migration.finding where last_report in (:report, :before) group by 1, 2, 3
""")
_WAIVERS = text("""
select class, waiver, count(*) as findings, min(first_seen) as oldest
from fm_migration.finding where last_report = :report and waiver is not null
group by 1, 2 order by 3 desc, 1, 2 limit :limit
""")
#: A re-import changes the fingerprint of the patients and gives people whom we know another UUID, or a former one
#: again. It is healed when the first plan made from it was applied; a run that failed may have read the same patients
#: several times before.
_REIMPORTS = text("""
with reading as (
    select id, read_at, fingerprint, patients, lag(fingerprint) over (order by id) as former
    from fm_migration.patient_read
), changed as (
    select *, lead(id) over (order by id) as next_id from reading where former is distinct from fingerprint
), moved as (
    select arrival.began, count(distinct filemaker_id) as people
    from fm_migration.patient_identity as arrival
    where arrival.began in (select id from changed where former is not null)
      and exists (select from fm_migration.patient_identity as former
                  where former.filemaker_id = arrival.filemaker_id and former.patient_id <> arrival.patient_id
                    and former.began < arrival.began)
    group by 1
)
select changed.id, changed.read_at, changed.patients, moved.people, changed.next_id is not null as superseded,
       (select min(applied_at) from fm_migration.link_plan
        where kind in ('photographs', 'links') and applied_at is not null and patient_read_id >= changed.id
          and (changed.next_id is null or patient_read_id < changed.next_id)) as healed_at
from changed join moved on moved.began = changed.id
where changed.former is not null
order by changed.id desc limit :limit
""")
_FINDINGS = text("""
select class, subject, severity, evidence, first_report, last_report, first_seen, last_seen, waiver
from fm_migration.finding where last_report = :report
order by waiver is not null, class, first_report desc, id
""")
#: The same for a page that has room for so many of each class, and of each of the three groups.
_SHOWN = text("""
select class, subject, severity, evidence, first_report, last_report, first_seen, last_seen, waiver
from (
    select finding.*, row_number() over (
               partition by class, last_report, waiver is not null order by first_report desc, id) as number
    from fm_migration.finding where last_report in (:report, :before)
) as numbered
where number <= case when last_report <> :report then :of_each_gone
                     when waiver is not null then :of_each_waived else :of_each_open end
  and not (last_report = :before and (waiver is not null or class = any(:withheld)))
order by class, last_report desc, waiver is not null, number
""")

_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
#: Parts of a key that are ids, dates or hashes, perhaps marked as a thumbnail, perhaps with an extension.
_OWN_PART = re.compile(
    rf"(?:[0-9]+(?:-[0-9]+)*|{_UUID}|[0-9a-f]{{12}}-[0-9a-f]{{12}})(?:_thumb)?(?:\.[a-z0-9]{{1,5}})*", re.IGNORECASE
)
_SUBJECTS_WITH_KEY = ("object ", "thumbnail ")
#: Evidence that may be a key; `of` is the twin, whatever that is.
_KEYS = ("key", "of")
#: Evidence that may be the name of a photograph, which may be that of its object.
_PHOTOS = ("shows", "contradicts")


class Status(StrEnum):
    """What became of a finding since the report before: in the order in which the page offers them."""

    STAYED = "stayed"
    NEW = "new"
    GONE = "gone"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the subject's kind and id, and what else it touches."""

    kind: FindingClass
    subject: str
    severity: Severity
    evidence: Mapping[str, Any]
    status: Status
    first_seen: datetime
    last_seen: datetime
    waiver: str | None


@dataclass(frozen=True)
class Totals:
    """What adds up. What a report of an earlier version did not count is zero or empty."""

    rows: int = 0
    objects: int = 0
    bytes: int = 0
    patients: int = 0
    patients_with_photographs: int = 0
    images: int = 0
    images_visible: int = 0
    images_invisible: Mapping[str, int] = field(default_factory=dict)
    hidden: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    originals: Mapping[str, int] = field(default_factory=dict)
    objects_by_kind: Mapping[str, int] = field(default_factory=dict)
    bytes_by_kind: Mapping[str, int] = field(default_factory=dict)
    thumbnails: Mapping[str, int] = field(default_factory=dict)
    waterfall: Sequence[tuple[str, int]] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Totals:
        known = {name: content[name] for name in cls.__dataclass_fields__ if content.get(name) is not None}
        return cls(**{**known, "waterfall": tuple((str(label), int(n)) for label, n in known.get("waterfall", ()))})

    @property
    def invisible(self) -> int:
        return max(0, self.images - self.images_visible)

    @property
    def visible_share(self) -> float | None:
        return self.images_visible / self.images if self.images else None


@dataclass(frozen=True)
class Inputs:
    """What the report was computed from."""

    export_file: str
    export_sha256: str
    export_read_at: datetime
    rows_present: int
    rows_read: int
    rows_refused: int
    listed_from: datetime
    listed_until: datetime
    bucket: str
    prefixes: tuple[str, ...]
    objects: int
    bytes: int
    patients_read_at: datetime
    patients: int


@dataclass(frozen=True)
class WithheldClass:
    """A class that is not listed, because the share that it would hold cannot be true."""

    findings: int
    of: int


@dataclass(frozen=True)
class ClassSummary:
    """One class of findings in this report, and how many it held in those before, the oldest first."""

    kind: FindingClass
    open: int
    new: int
    gone: int
    waived: int
    withheld: WithheldClass | None
    oldest: datetime | None
    history: tuple[int, ...]


@dataclass(frozen=True)
class WaivedGroup:
    """Findings of one class that the clinic accepts for one reason."""

    kind: FindingClass
    reason: str
    findings: int
    oldest: datetime


@dataclass(frozen=True)
class Run:
    """One report of the trend."""

    report: int
    made_at: datetime
    by_severity: Mapping[Severity, int]
    images_visible: int
    images: int

    @property
    def open(self) -> int:
        return sum(self.by_severity.values())


@dataclass(frozen=True)
class Reimport:
    """People who came back under other UUIDs, and when their links were made again."""

    noticed_at: datetime
    patients: int
    people: int
    healed_at: datetime | None
    superseded: bool

    @property
    def took(self) -> timedelta | None:
        return self.healed_at - self.noticed_at if self.healed_at else None


@dataclass(frozen=True)
class ReportData:
    """The newest report and what stands beside it. The findings themselves are streamed, for there may be many."""

    report: int
    before: int | None
    #: Classes of which nobody can say what is new: they are too young to be judged, or were withheld the time before.
    ageless: frozenset[FindingClass]
    made_at: datetime
    run_id: str | None
    plan: int
    data_version: str
    verdict: str
    totals: Totals
    inputs: Inputs
    classes: tuple[ClassSummary, ...]
    waived: tuple[WaivedGroup, ...]
    runs: tuple[Run, ...]
    reimports: tuple[Reimport, ...]

    @property
    def open(self) -> int:
        return sum(summary.open for summary in self.classes)

    @property
    def new(self) -> int:
        return sum(summary.new for summary in self.classes)

    @property
    def gone(self) -> int:
        return sum(summary.gone for summary in self.classes)

    @property
    def accepted(self) -> int:
        return sum(summary.waived for summary in self.classes)

    @property
    def withheld(self) -> tuple[ClassSummary, ...]:
        return tuple(summary for summary in self.classes if summary.withheld)

    def of_severity(self, severity: Severity) -> int:
        return sum(summary.open for summary in self.classes if summary.kind.severity == severity)


def read_report(connection: Connection) -> ReportData:
    """The newest report. Read in the caller's transaction, so that what belongs together is read together."""
    newest = connection.execute(_NEWEST).one_or_none()
    if newest is None:
        raise DatabaseError("reading", "the report", "none was ever made", "Materialize orphan_report first")
    rows = connection.execute(_RUNS, {"report": newest.id, "runs": RUNS}).all()[::-1]
    before = rows[-2] if len(rows) > 1 else None
    ageless = frozenset({FindingClass.TOO_NEW, *map(FindingClass, before.withheld if before else ())})
    return ReportData(
        report=newest.id,
        before=before.id if before else None,
        ageless=ageless,
        made_at=newest.made_at,
        run_id=newest.run_id,
        plan=newest.plan_id,
        data_version=newest.data_version,
        verdict=newest.verdict,
        totals=Totals.from_json(newest.totals),
        inputs=_inputs(connection, newest.id),
        classes=_classes(connection, newest, rows, ageless),
        waived=_waived(connection, newest.id),
        runs=tuple(_run(row) for row in rows),
        reimports=_reimports(connection),
    )


def stream_findings(connection: Connection, data: ReportData) -> Iterator[Finding]:
    """Every finding of the report, the accepted ones last; a few thousand at a time are in memory."""
    yield from _stream(connection, _FINDINGS, {"report": data.report}, data)


def shown_findings(connection: Connection, data: ReportData, room: int) -> Iterator[Finding]:
    """As many findings as a page has room for, of every class some, and those that are gone or accepted beside them.

    A class that fits is shown in full before a larger one gets more.
    """
    parameters = {
        "report": data.report,
        "before": data.before or 0,
        "of_each_open": fair_share((summary.open for summary in data.classes), room),
        "of_each_gone": fair_share((summary.gone for summary in data.classes), room // 10),
        "of_each_waived": fair_share((summary.waived for summary in data.classes), room // 10),
        "withheld": [summary.kind.value for summary in data.withheld],
    }
    yield from _stream(connection, _SHOWN, parameters, data)


def fair_share(counts: Iterator[int] | Sequence[int], room: int) -> int:
    """The largest number of each that fits into the room when smaller ones leave what they do not need. Pure."""
    sizes = sorted(counts)
    for position, size in enumerate(sizes):
        others = len(sizes) - position
        if size * others > room:
            return room // others
        room -= size
    return sizes[-1] if sizes else 0


def shown_key(key: str, prefixes: Sequence[str]) -> str:
    """A key with every part hidden behind a hash that is neither in a configured prefix nor an id or a date of ours."""
    known = max((prefix for prefix in prefixes if key.startswith(prefix)), key=len, default="")
    parts = key[len(known) :].split("/")
    return known + "/".join(part if not part or _OWN_PART.fullmatch(part) else _hashed(part) for part in parts)


def _hashed(part: str) -> str:
    return f"#{hashlib.sha256(part.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _stream(connection: Connection, query: Any, parameters: Mapping[str, Any], data: ReportData) -> Iterator[Finding]:
    options = {"stream_results": True, "yield_per": AT_ONCE}
    for row in connection.execute(query, parameters, execution_options=options):
        yield _finding(row, data)


def _finding(row: Row[Any], data: ReportData) -> Finding:
    prefixes = data.inputs.prefixes
    evidence = row.evidence
    keys = {
        name: shown_key(str(value), prefixes) for name, value in evidence.items() if name in _KEYS and "/" in str(value)
    }
    keys |= {name: _shown_subject(evidence[name], prefixes) for name in _PHOTOS if name in evidence}
    return Finding(
        kind=FindingClass(row[0]),
        subject=_shown_subject(row.subject, prefixes),
        severity=Severity(row.severity),
        evidence={**evidence, **keys},
        status=_status(row, data),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        waiver=row.waiver,
    )


def _shown_subject(subject: str, prefixes: Sequence[str]) -> str:
    for kind in _SUBJECTS_WITH_KEY:
        if subject.startswith(kind):
            return kind + shown_key(subject.removeprefix(kind), prefixes)
    return subject


def _status(row: Row[Any], data: ReportData) -> Status:
    if row.last_report != data.report:
        return Status.GONE
    if row.waiver is not None:
        return Status.ACCEPTED
    fresh = data.before is not None and row.first_report == data.report and row[0] not in data.ageless
    return Status.NEW if fresh else Status.STAYED


def _inputs(connection: Connection, report: int) -> Inputs:
    found = dict(connection.execute(_INPUTS, {"report": report}).mappings().one())
    # The folder is the machine's business; the name tells which export it was.
    export_file = found.pop("export_source").replace("\\", "/").rstrip("/").rpartition("/")[2]
    return Inputs(**{**found, "prefixes": tuple(found["prefixes"])}, export_file=export_file)


def _classes(
    connection: Connection, newest: Row[Any], runs: Sequence[Row[Any]], ageless: Collection[FindingClass]
) -> tuple[ClassSummary, ...]:
    """The classes that hold something, or held something last time, in the order of the report."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"new": 0, "gone": 0, "oldest": None})
    before = runs[-2].id if len(runs) > 1 else 0
    for row in connection.execute(_CLASSES, {"report": newest.id, "before": before}):
        facts = found[row[0]]
        if row.waived:
            continue
        if not row.present:
            facts["gone"] += row.findings
        else:
            facts.update(new=row.fresh if before and row[0] not in ageless else 0, oldest=row.oldest)
    withheld = {kind: WithheldClass(facts["count"], facts["of"]) for kind, facts in newest.withheld.items()}
    summaries = (
        ClassSummary(
            kind=kind,
            open=0 if kind in withheld else int(newest.counts.get(kind, 0)),
            new=found[kind]["new"],
            gone=0 if kind in withheld else found[kind]["gone"],
            waived=int(newest.waived.get(kind, 0)),
            withheld=withheld.get(kind),
            oldest=found[kind]["oldest"],
            history=tuple(int(run.counts.get(kind, 0)) for run in runs),
        )
        for kind in FindingClass
    )
    return tuple(one for one in summaries if one.open or one.gone or one.waived or one.withheld)


def _waived(connection: Connection, report: int) -> tuple[WaivedGroup, ...]:
    rows = connection.execute(_WAIVERS, {"report": report, "limit": 100})
    return tuple(WaivedGroup(FindingClass(row[0]), row.waiver, row.findings, row.oldest) for row in rows)


def _run(row: Row[Any]) -> Run:
    by_severity = dict.fromkeys(Severity, 0)
    for kind in FindingClass:
        by_severity[kind.severity] += int(row.counts.get(kind, 0))
    totals = Totals.from_json(row.totals)
    return Run(row.id, row.made_at, by_severity, totals.images_visible, totals.images)


def _reimports(connection: Connection) -> tuple[Reimport, ...]:
    return tuple(
        Reimport(row.read_at, row.patients, row.people, row.healed_at, row.superseded)
        for row in connection.execute(_REIMPORTS, {"limit": REIMPORTS})
    )
