"""When links follow: whether the patients have changed since the links were made, and whether to begin now.

Pure: what is observed goes in, a decision with its reason comes out. A sensor compares two states at each tick, so a
tick that did not happen delays a healing and cannot lose one.

A table that half a re-import has filled is not a reason to wait for long: following only turns dead links into living
ones, so whoever is back is healed while others are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fm_migration.watching.backoff import Failures
from fm_migration.watching.decision import RUN_IS_ACTIVE

#: While patients are missing and the table keeps changing, healing begins after this time all the same.
LONGEST_WAIT = timedelta(minutes=1)


@dataclass(frozen=True)
class Patients:
    """The patients as they are, and the state of them that the links were last made from."""

    fingerprint: str
    consumed: str | None
    known: int = 0
    known_present: int = 0
    #: All that has changed is new patients whom no link and no row of the export waits for.
    concerns_nobody: bool = False
    #: The plan of links that a person has undone, for these patients.
    undone_plan: int | None = None

    @property
    def missing(self) -> int:
        return self.known - self.known_present

    @property
    def differ(self) -> bool:
        return self.consumed is not None and self.fingerprint != self.consumed


@dataclass(frozen=True)
class PatientsObservation:
    """What is remembered from tick to tick: since when the table has stopped changing, and since when it differs."""

    fingerprint: str
    since: datetime
    differs_since: datetime | None = None
    #: Whether a person was told that it takes long.
    alarmed: bool = False

    def as_dict(self) -> dict[str, Any]:
        differs = self.differs_since.isoformat() if self.differs_since else None
        return {
            "fingerprint": self.fingerprint,
            "since": self.since.isoformat(),
            "differs_since": differs,
            "alarmed": self.alarmed,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PatientsObservation:
        differs = stored.get("differs_since")
        return cls(
            stored["fingerprint"],
            datetime.fromisoformat(stored["since"]),
            datetime.fromisoformat(differs) if differs else None,
            bool(stored.get("alarmed")),
        )


@dataclass(frozen=True)
class HealingDecision:
    """Start a run or not, the reason, what to remember until the next tick, and whether a person must be told."""

    start: bool
    reason: str
    observation: PatientsObservation
    alarm: bool = False


def observe(last: PatientsObservation | None, patients: Patients, now: datetime) -> PatientsObservation:
    """What is observed now, with the times at which it began."""
    same = last is not None and last.fingerprint == patients.fingerprint
    since = last.since if last is not None and same else now
    if not patients.differ or patients.undone_plan is not None:
        return PatientsObservation(patients.fingerprint, since)
    differs = last.differs_since if last is not None and last.differs_since else now
    return PatientsObservation(patients.fingerprint, since, differs, bool(last and last.alarmed and last.differs_since))


def decide(
    patients: Patients,
    last: PatientsObservation | None,
    now: datetime,
    *,
    run_is_active: bool,
    failures: Failures | None,
    settle: timedelta,
    alert_after: timedelta,
) -> HealingDecision:
    """Whether to start a healing run now."""
    observation = observe(last, patients, now)
    reason = _reason_to_wait(patients, observation, now, run_is_active, failures, settle)
    if reason is None:
        return HealingDecision(True, "the patients have changed since the links were made", observation)
    waited = now - observation.differs_since if observation.differs_since else timedelta()
    alarm = waited >= alert_after and not observation.alarmed and not patients.concerns_nobody
    return HealingDecision(False, reason, replace(observation, alarmed=observation.alarmed or alarm), alarm)


def _reason_to_wait(
    patients: Patients,
    observation: PatientsObservation,
    now: datetime,
    run_is_active: bool,
    failures: Failures | None,
    settle: timedelta,
) -> str | None:
    if patients.consumed is None:
        return "nothing was linked yet: run import_photographs first"
    if patients.undone_plan is not None and patients.fingerprint == patients.consumed:
        return (
            f"plan {patients.undone_plan} has led the links to these patients, and a person has undone it. They follow "
            "again when the patients change, or when somebody runs heal_links (fm-migration heal)"
        )
    if not patients.differ:
        return "the links were made from the patients as they are"
    if patients.concerns_nobody:
        return "new patients were registered; no link and no photograph waits for them"
    if run_is_active:
        return RUN_IS_ACTIVE
    if patients.missing and not _is_stable(observation, now, settle):
        return (
            f"{patients.missing:,} of {patients.known:,} known patients are missing; waiting until the table has not "
            f"changed for {settle}, at most {LONGEST_WAIT}"
        )
    if failures is not None and now < failures.pause_ends():
        return (
            f"healing has failed {failures.count} times for this state; the failed run says what to do. "
            f"{failures.next_try()}"
        )
    return None


def _is_stable(observation: PatientsObservation, now: datetime, settle: timedelta) -> bool:
    if now - observation.since >= settle:
        return True
    return observation.differs_since is not None and now - observation.differs_since >= LONGEST_WAIT
