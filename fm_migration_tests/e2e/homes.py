"""Whose each photograph and document is, and who is related: told by the record number, which no re-import changes.

Read from the clinic's own tables alone: what our schema believes plays no part in it.
"""

from __future__ import annotations

from typing import Any

import psycopg

# People who share a FileMaker id are left out: after a re-import nobody can tell which of them a link meant.
_HOMES = """
with person as (
    select id, coalesce(mrn, id::text) as record_number, upper(substring(
        filemaker_metadata::text from 'filemaker_id\\\\?"\\s*:\\s*\\\\?"\\s*([^"\\\\]*)')) as filemaker_id
    from patients
), single as (
    select * from person where filemaker_id is null or filemaker_id not in (
        select filemaker_id from person where filemaker_id is not null group by 1 having count(*) > 1)
)
select 'image ' || image.id, single.record_number
from images_image as image
join images_batch as batch on batch.id = image.batch_id
join django_content_type as type on type.id = batch.content_type_id
join single on single.id = batch.object_id
where (type.app_label, type.model) = ('patients', 'patient')
union all
select 'document ' || document.id, single.record_number
from documents_document as document
join django_content_type as type on type.id = document.content_type_id
join single on single.id = document.object_id
where (type.app_label, type.model) = ('patients', 'patient')
union all
select 'relationship ' || link.id || link.end, single.record_number
from (
    select id, ' from' as end, from_content_type_id as type_id, from_object_id as object_id from contact_relationships
    union all
    select id, ' to', to_content_type_id, to_object_id from contact_relationships
) as link
join django_content_type as type on type.id = link.type_id
join single on single.id = link.object_id
where (type.app_label, type.model) = ('patients', 'patient')
"""

_SHOWN = """
select upper(image.filemaker_id::text), image.original_name, patients.filemaker_metadata::text
from images_image as image
join images_batch as batch on batch.id = image.batch_id
join patients on patients.id = batch.object_id
where image.filemaker_id is not null
"""


def homes(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The record number that every image, document and end of a relationship leads to, where it leads anywhere."""
    return dict(connection.execute(_HOMES).fetchall())


def misplaced(connection: psycopg.Connection[Any], truth: dict[str, Any]) -> int:
    """How many imported photographs hang on somebody else than the truth file says, or on nobody."""
    shown = {image: metadata.upper() for image, _, metadata in connection.execute(_SHOWN)}
    owners = {image: person for person, gallery in truth["patients"].items() for image in gallery["image_ids"]}
    return sum(person.upper() not in shown.get(image.upper(), "") for image, person in owners.items())


def visible(homes_now: dict[str, str]) -> int:
    """How many photographs some gallery shows."""
    return sum(link.startswith("image ") for link in homes_now)
