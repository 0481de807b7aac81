"""The front desk: a process that does what staff do in the app, one JSON line in and one JSON line out.

A request is {"do": <name of a task>, ...its arguments}; the answer is {"done": <result>} or, when the app
refuses, {"refused": <kind>, "why": <message>}. The process ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

# Models can be imported only after Django is set up.
from appointments.models import Appointment  # noqa: E402
from contacts.models import ContactRelationship  # noqa: E402
from django.core.handlers.base import BaseHandler  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.utils import timezone  # noqa: E402
from documents.models import Document  # noqa: E402
from images.models import Image, ImageBatch  # noqa: E402
from notes.models import Note  # noqa: E402
from patients.models import Patient  # noqa: E402

BATCHES = "/api/images/batches/"

# The app's own routing and views, without a server and without the bookkeeping of Django's test client,
# which costs more than the views do.
app = BaseHandler()
app.load_middleware()
requests = RequestFactory()


def _get(address: str, **query: str) -> Any:
    answer = app.get_response(requests.get(address, query))
    if answer.status_code != 200:
        raise LookupError(f"{address} answered {answer.status_code}: {answer.content.decode()}")
    return json.loads(answer.content)


def _live(patient_ids: Sequence[str] | None) -> list[str]:
    """The ids of those patients whose page can be opened at all. None asks for everybody."""
    patients = Patient.objects.all() if patient_ids is None else Patient.objects.filter(id__in=patient_ids)
    return [str(patient_id) for patient_id in patients.values_list("id", flat=True)]


def get(address: str, query: dict[str, str]) -> dict[str, Any]:
    answer = app.get_response(requests.get(address, query))
    return {"status": answer.status_code, "body": answer.content.decode()}


def visible(patients: Sequence[str] | None) -> dict[str, list[dict[str, Any]]]:
    """Open each patient's page, then each of the batches on it."""
    pages = {}
    for patient_id in _live(patients):
        batches = _get(BATCHES, patient_id=patient_id)["batches"]
        pages[patient_id] = [batch | {"images": _get(f"{BATCHES}{batch['id']}/")["images"]} for batch in batches]
    return pages


def badges(patients: Sequence[str] | None) -> dict[str, int]:
    return {patient_id: _get(BATCHES, patient_id=patient_id)["badge"] for patient_id in _live(patients)}


def create_patient(first_name: str, last_name: str, filemaker_id: str | None) -> str:
    metadata = None if filemaker_id is None else {"filemaker_id": filemaker_id}
    patient = Patient.objects.create(first_name=first_name, last_name=last_name, filemaker_metadata=metadata)
    return str(patient.id)


def delete_patient(patient: str) -> dict[str, int]:
    return Patient.objects.get(id=patient).delete()[1]


def book_appointment(patient: str) -> str:
    starts_at = timezone.now() + timedelta(days=7)
    return str(Appointment.objects.create(patient_id=patient, starts_at=starts_at, kind="Review").id)


def write_note(patient: str, body: str) -> str:
    return str(Note.objects.create(patient_id=patient, body=body).id)


@transaction.atomic
def upload_batch(patient: str, name: str, keys: Sequence[str]) -> str:
    batch = ImageBatch.objects.create(content_object=Patient.objects.get(id=patient), name=name, image_count=len(keys))
    for order, key in enumerate(keys):
        Image.objects.create(
            batch=batch,
            s3_key=key,
            original_name=key.rpartition("/")[2],
            file_size=0,
            mime_type="image/jpeg",
            order=order,
        )
    return str(batch.id)


def attach_document(patient: str, key: str) -> str:
    name = key.rpartition("/")[2]
    document = Document.objects.create(
        content_object=Patient.objects.get(id=patient),
        s3_key=key,
        file_name=name,
        original_name=name,
        file_size=0,
        mime_type="application/pdf",
    )
    return str(document.id)


def document_owner(document: str) -> str | None:
    """The patient that the generic link leads to, or None when it leads nowhere."""
    owner = Document.objects.get(id=document).content_object
    return None if owner is None else str(owner.id)


def relate(patient: str, to: str, relationship: str) -> str:
    """Two patients belong together; `to` is the other one."""
    row = ContactRelationship.objects.create(
        from_object=Patient.objects.get(id=patient),
        to_object=Patient.objects.get(id=to),
        relationship=relationship,
    )
    return str(row.id)


def related(relationship: str) -> list[str | None]:
    """What the two generic links lead to, or None where one leads nowhere."""
    row = ContactRelationship.objects.get(id=relationship)
    return [None if end is None else str(end.pk) for end in (row.from_object, row.to_object)]


def edit_image(image: str, changes: dict[str, Any]) -> None:
    row = Image.objects.get(id=image)
    for field, value in changes.items():
        setattr(row, field, value)
    row.save(update_fields=list(changes))


def rename_batch(batch: str, name: str) -> None:
    row = ImageBatch.objects.get(id=batch)
    row.name = name
    row.save(update_fields=["name"])


def delete_batch(batch: str) -> dict[str, int]:
    return ImageBatch.objects.get(id=batch).delete()[1]


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        get,
        visible,
        badges,
        create_patient,
        delete_patient,
        book_appointment,
        write_note,
        upload_batch,
        attach_document,
        document_owner,
        relate,
        related,
        edit_image,
        rename_batch,
        delete_batch,
    )
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one task. Whatever the app raises is its refusal, and for the asker to judge."""
    task = TASKS[request.pop("do")]
    try:
        return {"done": task(**request)}
    except Exception as refusal:
        return {"refused": type(refusal).__name__, "why": str(refusal)}
    finally:
        # An idle connection would stand in the way of whoever drops or copies the database next.
        connections.close_all()


def main() -> None:
    # Answers own the standard output; whatever else prints goes to the log.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
