"""The plain-SQL floor: what the same rows cost when everything is known already.

COPY of batches and images with ready-made ids, and one UPDATE by a ready-made table of who each former UUID is now.
Nothing is looked up, decided, checked, journalled or recognised; nobody could work like that, and nothing that does
the work in PostgreSQL can be faster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from bench.peers import clinic_data

_RELINK = """
update images_batch set object_id = former.patient_id
from bench.former_patient as former, django_content_type as kind
where images_batch.object_id = former.former_id
  and kind.id = images_batch.content_type_id and kind.app_label = 'patients' and kind.model = 'patient'
"""

# An import that has nothing to do has to find at least that: no original that a row names lacks its image on the
# record of the patient whom the row names.
_ANYTHING_NEW = """
select count(*)
from fm_migration.csv_metadata as csv
join fm_migration.s3_inventory as object on object.recid = csv.recid and object.kind = 'original'
join fm_migration.patient_identity as known on known.filemaker_id = csv.contact and known.ended is null
where not exists (
    select from images_image as image join images_batch as batch on batch.id = image.batch_id
    where image.filemaker_id = csv.image_id and batch.object_id = known.patient_id
)
"""


def connect(url: str, **_arguments: object) -> psycopg.Connection[Any]:
    return psycopg.connect(url)


def import_photographs(connection: psycopg.Connection[Any], folder: str, **_arguments: object) -> None:
    with connection.transaction():
        clinic_data.copy_in(
            connection, "images_batch", clinic_data.BATCH_COLUMNS, Path(folder, clinic_data.BATCHES_FILE)
        )
        clinic_data.copy_in(
            connection, "images_image", clinic_data.IMAGE_COLUMNS, Path(folder, clinic_data.IMAGES_FILE)
        )


def import_with_journal(connection: psycopg.Connection[Any], folder: str, **_arguments: object) -> None:
    """The same, and our own tables filled with the very rows that our import leaves there."""
    with connection.transaction():
        for table in clinic_data.JOURNAL:
            clinic_data.copy_in(connection, table, (), Path(folder, clinic_data.journal_file(table)))
        import_photographs(connection, folder)


def relink(connection: psycopg.Connection[Any], **_arguments: object) -> None:
    with connection.transaction():
        connection.execute(_RELINK)


def find_nothing_new(connection: psycopg.Connection[Any], **_arguments: object) -> None:
    with connection.transaction():
        found = connection.execute(_ANYTHING_NEW).fetchone()
    if found != (0,):
        raise AssertionError(f"{found} photographs were not imported")
