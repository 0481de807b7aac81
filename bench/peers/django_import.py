"""An import by Django's ORM as the clinic's command is described: queries per photograph, a transaction per batch.

Belongs here: the straightforward way, written as one would write it first (DOMAIN.md sections 1 and 10), on the
models of the small clinic in `fm_migration_tests/peers`. Our own writing, not the clinic's. Where the description
leaves a choice, the faster one was taken: the listing of the bucket is read from a file, nothing is printed, and
commits need not wait for the disk.
"""

from __future__ import annotations

import csv
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from bench.peers.clinic_data import EXPORT_FILE, LISTING_FILE

SITE = Path(__file__).resolve().parents[2] / "fm_migration_tests" / "peers" / "clinic_site"

#: The first key that the Type contains decides; what contains none is `other`.
_CATEGORIES = (
    ("l-brannock", "l_brannock"), ("r-brannock", "r_brannock"), ("planter", "plantar"), ("plantar", "plantar"),
    ("dorsal", "dorsal"), ("posterior", "posterior"), ("anterior", "anterior"), ("medial", "medial"),
    ("lat", "lateral"), ("wound", "wound"), ("shoe", "shoe"), ("afo", "afo"), ("cmo", "cmo"), ("cast", "casts"),
)  # fmt: skip


@dataclass(frozen=True)
class App:
    """The models, and a connection that is open."""

    patient: Any
    batch: Any
    image: Any


@dataclass(frozen=True)
class Photograph:
    """An object of the dump with its row of the export."""

    key: str
    size: int
    image_id: str
    type_text: str


def open_app(url: str, **_arguments: object) -> App:
    """Set Django up on a database. Once a process, because Django's settings are."""
    os.environ["CLINIC_DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    sys.path.insert(0, str(SITE))
    import django
    from django.apps import apps
    from django.db import connection

    django.setup()
    connection.ensure_connection()
    return App(apps.get_model("patients", "Patient"), *(apps.get_model("images", n) for n in ("ImageBatch", "Image")))


def import_photographs(app: App, folder: str, dry_run: bool = False, **_arguments: object) -> None:
    """The command: match, find the patients, group, and write batch by batch what is not there yet."""
    for (patient_id, day), photographs in _grouped(app, Path(folder)).items():
        if dry_run:
            _count_new(app, photographs)
        else:
            _import_batch(app, patient_id, day, photographs)


def repair(app: App, folder: str, **_arguments: object) -> None:
    """The documented fix: delete every batch, and with it every image; import again; count again."""
    app.batch.objects.all().delete()
    import_photographs(app, folder)
    for batch in app.batch.objects.all():
        batch.image_count = batch.images.count()
        batch.save(update_fields=["image_count"])


def _grouped(app: App, folder: Path) -> dict[tuple[Any, date], list[Photograph]]:
    with (folder / EXPORT_FILE).open(encoding="utf-8", newline="") as file:
        rows = {row["recid"]: row for row in csv.DictReader(file)}
    groups: dict[tuple[Any, date], list[Photograph]] = defaultdict(list)
    for key, size in _listed(folder):
        row = rows.get(key.rpartition("/")[2].partition(".")[0])
        if row is None or not row["date"]:
            continue
        patient = app.patient.objects.filter(filemaker_metadata__filemaker_id=row["id_Contact"]).first()
        if patient is not None:
            day = datetime.strptime(row["date"], "%m/%d/%Y").date()  # noqa: DTZ007  a day has no time zone
            groups[patient.id, day].append(Photograph(key, size, row["id"], row["Type"]))
    return groups


def _listed(folder: Path) -> Iterator[tuple[str, int]]:
    with (folder / LISTING_FILE).open(encoding="utf-8", newline="") as file:
        for key, _etag, size in csv.reader(file):
            yield key, int(size)


def _count_new(app: App, photographs: list[Photograph]) -> int:
    return sum(not app.image.objects.filter(s3_key=photograph.key).exists() for photograph in photographs)


def _import_batch(app: App, patient_id: Any, day: date, photographs: list[Photograph]) -> None:
    from django.contrib.contenttypes.models import ContentType
    from django.db import transaction

    with transaction.atomic():
        batch, _ = app.batch.objects.get_or_create(
            content_type=ContentType.objects.get_for_model(app.patient),
            object_id=patient_id,
            name=f"{day:%d %b %Y} (FileMaker Import)",
            defaults={"description": "Imported from FileMaker"},
        )
        for order, photograph in enumerate(photographs):
            if not app.image.objects.filter(s3_key=photograph.key).exists():
                app.image.objects.create(
                    batch=batch,
                    s3_key=photograph.key,
                    original_name=photograph.key.rpartition("/")[2],
                    file_size=photograph.size,
                    mime_type="image/jpeg",
                    category=_category(photograph.type_text),
                    caption=photograph.type_text,
                    date_taken=day,
                    filemaker_id=photograph.image_id,
                    order=order,
                )
        batch.image_count = batch.images.count()
        batch.save(update_fields=["image_count"])


def _category(type_text: str) -> str:
    return next((category for key, category in _CATEGORIES if key in type_text.lower()), "other")
