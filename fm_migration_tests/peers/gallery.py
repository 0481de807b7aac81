"""The clinic's app as its users meet it: the gallery that patients' photographs show in, and what staff do.

Belongs here: starting the Django project in a process of its own, and asking it. Does not belong here: any
expectation of what it should show, which is the tests' to have, and any reading of the tables past the app.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from fm_migration_tests.waiting import STOP_SECONDS

SITE = Path(__file__).parent / "clinic_site"


@dataclass(frozen=True)
class Store:
    """Where the app finds the objects that it presigns URLs for."""

    endpoint_url: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    def as_environment(self) -> dict[str, str]:
        return {
            "CLINIC_S3_ENDPOINT_URL": self.endpoint_url,
            "CLINIC_S3_BUCKET": self.bucket,
            "CLINIC_S3_ACCESS_KEY_ID": self.access_key_id,
            "CLINIC_S3_SECRET_ACCESS_KEY": self.secret_access_key,
            "CLINIC_S3_REGION": self.region,
        }


@dataclass(frozen=True)
class ShownImage:
    """A photograph as the gallery shows it. The URLs are plain keys when the app has no store."""

    id: UUID
    url: str
    thumbnail_url: str | None
    category: str
    caption: str
    order: int


@dataclass(frozen=True)
class ShownBatch:
    """A batch on a patient's page, opened: its number is the cached count, its images are the real ones."""

    id: UUID
    name: str
    uploaded_at: datetime
    image_count: int
    cover: ShownImage | None
    images: tuple[ShownImage, ...]


class RefusedError(Exception):
    """The app would not do it. `kind` is the name of its own exception, such as ProtectedError."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {why}")


def manage(database_url: str, *arguments: str) -> str:
    """Run `manage.py` with these arguments against the database, and return what it printed."""
    finished = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=SITE,
        env=_environment(database_url, None),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"manage.py {' '.join(arguments)} failed:\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def migrate(database_url: str) -> None:
    """Make the clinic's tables, or bring them up to date, with the migrations of its Django app."""
    manage(database_url, "migrate", "--verbosity=0")


@contextmanager
def open_gallery(database_url: str, store: Store | None = None) -> Iterator[Gallery]:
    """A gallery on any PostgreSQL, for as long as the block lasts."""
    with subprocess.Popen(
        [sys.executable, "desk.py"],
        cwd=SITE,
        env=_environment(database_url, store),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as desk:
        try:
            yield Gallery(desk)
        finally:
            # The desk ends with its input; leaving the Popen block then closes the pipes.
            if desk.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    desk.stdin.close()
            _end(desk)


class Gallery:
    """The app's pages and its staff. Made by `open_gallery`; not for several threads at once."""

    def __init__(self, desk: subprocess.Popen[str]) -> None:
        self._desk = desk

    def visible(self, patient_ids: Iterable[UUID] | None = None) -> dict[UUID, list[ShownBatch]]:
        """What each patient's page shows, batch by batch, in the page's own order.

        Every id asked for is a key. A patient who does not exist has no page, so shows nothing, even when
        batches still point there. None asks for all the patients that there are.
        """
        asked = None if patient_ids is None else list(patient_ids)
        pages = self._do("visible", patients=_texts(asked))
        shown: dict[UUID, list[ShownBatch]] = {patient_id: [] for patient_id in asked or ()}
        return shown | {UUID(key): [_batch(batch) for batch in page] for key, page in pages.items()}

    def badges(self, patient_ids: Iterable[UUID] | None = None) -> dict[UUID, int]:
        """The number on each patient's gallery button: the sum of the cached counts. No page, no badge."""
        asked = None if patient_ids is None else list(patient_ids)
        return {UUID(key): badge for key, badge in self._do("badges", patients=_texts(asked)).items()}

    def get(self, address: str, **query: str) -> tuple[int, Any]:
        """The HTTP status and the JSON (or the text) of one address of the app."""
        answer = self._do("get", address=address, query=query)
        try:
            return answer["status"], json.loads(answer["body"])
        except json.JSONDecodeError:
            return answer["status"], answer["body"]

    def create_patient(self, first_name: str, last_name: str, filemaker_id: str | None = None) -> UUID:
        return UUID(self._do("create_patient", first_name=first_name, last_name=last_name, filemaker_id=filemaker_id))

    def delete_patient(self, patient_id: UUID) -> dict[str, int]:
        """Delete through the ORM, with its cascades: rows deleted by model. Of a protected patient: RefusedError."""
        deleted: dict[str, int] = self._do("delete_patient", patient=str(patient_id))
        return deleted

    def book_appointment(self, patient_id: UUID) -> UUID:
        return UUID(self._do("book_appointment", patient=str(patient_id)))

    def write_note(self, patient_id: UUID, body: str = "Seen today.") -> UUID:
        return UUID(self._do("write_note", patient=str(patient_id), body=body))

    def upload_batch(self, patient_id: UUID, name: str, keys: Sequence[str]) -> UUID:
        """A batch made by hand, with one image per key and no FileMaker id anywhere."""
        return UUID(self._do("upload_batch", patient=str(patient_id), name=name, keys=list(keys)))

    def attach_document(self, patient_id: UUID, key: str) -> UUID:
        return UUID(self._do("attach_document", patient=str(patient_id), key=key))

    def document_owner(self, document_id: UUID) -> UUID | None:
        """The patient that the document's generic link leads to, or None when it leads nowhere."""
        owner = self._do("document_owner", document=str(document_id))
        return None if owner is None else UUID(owner)

    def relate(self, patient_id: UUID, to: UUID, relationship: str = "mother of") -> UUID:
        """Two patients belong together: a row with a generic link to each."""
        return UUID(self._do("relate", patient=str(patient_id), to=str(to), relationship=relationship))

    def related(self, relationship_id: UUID) -> list[UUID | None]:
        """What the two links of a relationship lead to, or None where one leads nowhere."""
        ends = self._do("related", relationship=str(relationship_id))
        return [None if end is None else UUID(end) for end in ends]

    def edit_image(
        self,
        image_id: UUID,
        *,
        category: str | None = None,
        caption: str | None = None,
        order: int | None = None,
    ) -> None:
        """Change what is given, leave the rest."""
        given = {"category": category, "caption": caption, "order": order}
        changes = {field: value for field, value in given.items() if value is not None}
        self._do("edit_image", image=str(image_id), changes=changes)

    def rename_batch(self, batch_id: UUID, name: str) -> None:
        self._do("rename_batch", batch=str(batch_id), name=name)

    def delete_batch(self, batch_id: UUID) -> dict[str, int]:
        """Delete through the ORM: the batch's images go with it. Rows deleted by model."""
        deleted: dict[str, int] = self._do("delete_batch", batch=str(batch_id))
        return deleted

    def _do(self, task: str, **arguments: object) -> Any:
        if self._desk.stdin is None or self._desk.stdout is None:
            raise RuntimeError("the front desk was started without pipes")
        self._desk.stdin.write(json.dumps({"do": task, **arguments}) + "\n")
        self._desk.stdin.flush()
        line = self._desk.stdout.readline()
        if not line:
            raise RuntimeError(f"the front desk went away during {task}, exit code {self._desk.wait(STOP_SECONDS)}")
        answer = json.loads(line)
        if "refused" in answer:
            raise RefusedError(answer["refused"], answer["why"])
        return answer["done"]


def _end(desk: subprocess.Popen[str]) -> None:
    try:
        desk.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        desk.kill()


def _environment(database_url: str, store: Store | None) -> Mapping[str, str]:
    """Ours without any CLINIC_* or Django variable of the caller's, and with those of this clinic."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CLINIC_", "DJANGO_"))}
    return ours | {"CLINIC_DATABASE_URL": database_url} | (store.as_environment() if store else {})


def _texts(ids: Iterable[UUID] | None) -> list[str] | None:
    return None if ids is None else [str(id_) for id_ in ids]


def _batch(answer: Mapping[str, Any]) -> ShownBatch:
    return ShownBatch(
        id=UUID(answer["id"]),
        name=answer["name"],
        uploaded_at=datetime.fromisoformat(answer["uploaded_at"]),
        image_count=answer["image_count"],
        cover=None if answer["cover"] is None else _image(answer["cover"]),
        images=tuple(_image(image) for image in answer["images"]),
    )


def _image(answer: Mapping[str, Any]) -> ShownImage:
    return ShownImage(
        id=UUID(answer["id"]),
        url=answer["url"],
        thumbnail_url=answer["thumbnail_url"],
        category=answer["category"],
        caption=answer["caption"],
        order=answer["order"],
    )
