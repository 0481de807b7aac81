"""A clinic to report about: the one of `linking/world.py`, whose bucket is listed whole and now, and its report.

Belongs here: what happens before a report, in one line each, and what a report has found in terms that a test can
compare. Does not belong here: any expectation.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from fm_migration.embedded.sample import build
from fm_migration.embedded.sample import export as sample_export
from fm_migration.embedded.sample.model import Clinic
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.report.classes import FindingClass
from fm_migration.report.findings import Report, make_report, one_moment
from fm_migration_tests.linking.world import DUMP, World

#: When the objects of these tests were written: long before anything was listed.
WRITTEN = datetime(2025, 1, 7, tzinfo=UTC)

Findings = dict[str, set[str]]


def stored(key: str, *, etag: str | None = None, size: int = 1000, at: datetime = WRITTEN) -> ObjectFacts:
    """An object of the bucket, of a content of its own."""
    return ObjectFacts(key, etag or etag_of(key), size, at, STANDARD)


def etag_of(key: str) -> str:
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


class Reported(World):
    """A clinic and its reports."""

    def objects(self, *names: str) -> None:
        self.list_now(*(stored(DUMP + name) for name in names))

    def list_now(self, *facts: ObjectFacts, at: datetime | None = None) -> None:
        """A complete listing of everything that we look at."""
        settings = self.settings
        prefixes = [*settings.original_prefixes, settings.thumbnail_prefix, settings.quarantine_prefix]
        self.list_facts(facts, started_at=at or datetime.now(UTC), prefixes=prefixes)

    def report(self, accept: Sequence[str] = (), **settings: Any) -> Report:
        with one_moment(self.engine) as connection:
            return make_report(connection, self.settings.model_copy(update=settings), accept=accept)

    def open(self) -> Findings:
        """What the newest report has found, by class."""
        found: Findings = {}
        for row in self.rows("select class, subject from fm_migration.open_finding"):
            found.setdefault(row[0], set()).add(row.subject)
        return found

    def find(self, accept: Sequence[str] = ()) -> Findings:
        """Make a report and say what it has found."""
        self.report(accept)
        return self.open()

    def evidence(self, finding_class: FindingClass, subject: str) -> dict[str, Any]:
        query = "select evidence from fm_migration.finding where class = :class and subject = :subject"
        evidence: dict[str, Any] = self.one(query, **{"class": finding_class.value, "subject": subject})
        return evidence

    def image_id(self, name: str) -> uuid.UUID:
        found: uuid.UUID = self.image(name).id
        return found

    def thumbnail(self, name: str, state: str = "current", **values: Any) -> None:
        """What the thumbnails have made of the image with this object."""
        image = self.image(name)
        row = {
            "clinic_image": image.id,
            "source_key": image.s3_key,
            "source_etag": etag_of(image.s3_key),
            "recipe": "r",
            "state": state,
            "reason": "",
            "key": f"thumbnails/{image.id}.jpg" if state in ("current", "adopted", "partial") else None,
            "mime_type": "image/jpeg",
            "original_sha256": "",
            "mean_colour": "",
            "mirrored_side": False,
            "attempts": 1,
            "made_at": WRITTEN,
            **values,
        }
        columns, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        self.do(f"insert into fm_migration.thumbnail ({columns}) values ({places})", **row)
        if row["key"]:
            self.do("update images_image set s3_thumbnail_key = :key where id = :id", key=row["key"], id=image.id)

    def thumbnails(self, *names: str) -> tuple[ObjectFacts, ...]:
        """Current thumbnails of these photographs; the objects of them, to be listed."""
        for name in names:
            self.thumbnail(name)
        return tuple(stored(f"thumbnails/{self.image_id(name)}.jpg") for name in names)


def furnish(world: Reported, clinic: Clinic, **more: ObjectFacts) -> None:
    """The rows, the export and the listing of a designed clinic. No picture is drawn."""
    sizes = {one.key: 1000 for one in (*clinic.objects, *clinic.uploads)}
    with psycopg.connect(world.url) as connection:
        build._load(clinic, connection, "clinic", sizes, build._nothing)
    path = world.folder / "sample.csv"
    path.write_bytes(sample_export.csv_bytes(clinic.rows))
    world.read_export(path)
    world.list_now(*(stored(one.key) for one in clinic.objects), *more.values())


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)
