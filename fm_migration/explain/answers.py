"""What an explanation consists of, and its form for programs. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fm_migration.explain.hops import Hop, HopName, HopWalk
from fm_migration.explain.known import Tenure
from fm_migration.explain.recognising import Subject, SubjectKind
from fm_migration.report.classes import FindingClass, Severity


@dataclass(frozen=True)
class SubjectFinding:
    """A finding that holds now. `first_seen` and `waiver` are those of the newest report, if it has it too."""

    finding: FindingClass
    subject: str
    said: str
    command: str | None
    #: Whether a person has to follow the remedy before the command is of use.
    after_remedy: bool
    first_seen: datetime | None = None
    waiver: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "class": self.finding.value,
            "severity": self.finding.severity.value,
            "subject": self.subject,
            "said": self.said,
            "meaning": self.finding.meaning,
            "remedy": self.finding.remedy,
            "command": self.command,
            "command_after_remedy": self.after_remedy,
            "first_seen": _iso(self.first_seen),
            "waiver": self.waiver,
        }


@dataclass(frozen=True)
class HiddenReason:
    """Why some of the photographs are not visible, or not as they should be: the first broken hop, and who they are."""

    hop: HopName
    finding: FindingClass | None
    because: str
    subjects: tuple[str, ...]

    @property
    def photographs(self) -> int:
        return len(self.subjects)

    def as_dict(self) -> dict[str, Any]:
        return {
            "hop": self.hop.value,
            "class": self.finding.value if self.finding else None,
            "because": self.because,
            "photographs": self.photographs,
            "subjects": list(self.subjects),
        }


@dataclass(frozen=True)
class Explanation:
    """One answer. `patients` has more than one where they share a FileMaker id, none where nobody is known."""

    asked: str
    subject: Subject
    headline: str
    patients: tuple[UUID, ...]
    walks: tuple[HopWalk, ...]
    #: Of the walks, those that show where it was asked about.
    visible: int
    reasons: tuple[HiddenReason, ...]
    #: What is the matter with those that are visible all the same.
    wrong: tuple[HiddenReason, ...]
    findings: tuple[SubjectFinding, ...]
    #: What the newest report says of the same subjects, and what does not hold (any more) as far as this can see.
    report_only: tuple[tuple[str, str], ...]
    #: Who held which FileMaker id since when, of the people in question; nothing where nobody ever changed.
    tenures: tuple[Tenure, ...]
    moments: dict[str, datetime | None]

    @property
    def photographs(self) -> int:
        return len(self.walks)

    @property
    def of_many(self) -> bool:
        """Whether it was asked about a gallery or a batch, and not about one photograph."""
        return self.subject.kind in (SubjectKind.PATIENT, SubjectKind.CONTACT, SubjectKind.BATCH)

    @property
    def first_broken(self) -> Hop | None:
        return next((hop for one in self.walks if (hop := one.first_broken) is not None), None)

    @property
    def broken(self) -> bool:
        """Whether anything does not work; what is only worth knowing is not broken."""
        hidden = any(reason.finding not in _DECIDED for reason in self.reasons)
        hops = (one.first_broken for one in self.walks)
        broken = any(hop is not None and hop.finding not in _DECIDED for hop in hops)
        return hidden or broken or any(_hurts(found.finding) for found in self._others())

    def _others(self) -> list[SubjectFinding]:
        """Findings that no hop has."""
        of_hops = {(hop.finding, hop.subject) for one in self.walks for hop in one.hops}
        return [found for found in self.findings if (found.finding, found.subject) not in of_hops]

    def as_dict(self) -> dict[str, Any]:
        """For programs: these keys stay."""
        first = self.first_broken
        return {
            "asked": self.asked,
            "kind": self.subject.kind.value,
            "subject": str(self.subject),
            "headline": self.headline,
            "broken": self.broken,
            "patients": [str(patient) for patient in self.patients],
            "photographs": self.photographs,
            "visible": self.visible,
            "first_broken_hop": first.name.value if first else None,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "wrong": [reason.as_dict() for reason in self.wrong],
            "findings": [found.as_dict() for found in self.findings],
            "report_only": [{"class": name, "subject": subject} for name, subject in self.report_only],
            "tenures": [_tenure_as_dict(one) for one in self.tenures],
            "walks": [_walk_as_dict(one) for one in self.walks],
            "as_of": {name: _iso(moment) for name, moment in self.moments.items()},
        }


#: What people have decided is not broken.
_DECIDED = (FindingClass.PLACED_BY_STAFF, FindingClass.REMOVED_BY_STAFF)


def _hurts(finding: FindingClass) -> bool:
    return finding.severity is not Severity.INFO


def _tenure_as_dict(one: Tenure) -> dict[str, Any]:
    return {
        "patient": str(one.patient_id),
        "filemaker_id": one.written or None,
        "began": _iso(one.began_at),
        "ended": _iso(one.ended_at),
        "ending": one.ending,
        "shared": one.shared,
        "recognised": one.recognised,
        "settled": str(one.settled) if one.settled else None,
    }


def _walk_as_dict(one: HopWalk) -> dict[str, Any]:
    photograph, broken = one.photograph, one.first_broken
    row, image = photograph.row, photograph.image
    return {
        "subject": one.subject,
        "row": row.row_number if row else None,
        "recid": row.recid if row else None,
        "object": photograph.key,
        "patient": str(one.patient) if one.patient else None,
        "batch": str(image.batch) if image else None,
        "image": str(image.id) if image else None,
        "thumbnail": image.thumbnail_key or None if image else None,
        "visible": one.visible,
        "first_broken_hop": broken.name.value if broken else None,
        "hops": [
            {
                "hop": hop.name.value,
                "state": hop.state.value,
                "said": hop.said,
                "class": hop.finding.value if hop.finding else None,
            }
            for hop in one.hops
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
