"""A clinic small enough to be told in a test, and the steps from its files to its galleries.

Belongs here: patients, exports, listings and what staff do, said in one line each, in front of the real staging,
planning and applying. Does not belong here: any expectation.
"""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, Row, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.embedded.sample import build
from fm_migration.embedded.sample import export as sample_export
from fm_migration.embedded.sample.leftovers import IMPORT_DESCRIPTION
from fm_migration.embedded.sample.model import Clinic
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.ledger import identity, inventory
from fm_migration.linking import applying, decisions, following, placing
from fm_migration.linking.applying import AppliedLinks
from fm_migration.linking.following import LinksUpdate
from fm_migration.linking.placing import Plan
from fm_migration.objects.facts import STANDARD, ObjectFacts
from fm_migration.objects.store import ObjectsLocation
from fm_migration.operations import staging
from fm_migration.places import Places
from fm_migration.plans import Undone
from fm_migration.settings import Settings, load_settings
from fm_migration.sources import bucket as bucket_source

DUMP = "filemaker-import/images-bulk-dump/"
LISTED_AT = datetime(2025, 11, 18, 9, tzinfo=UTC)
DAY = "10/18/2016"

#: What staff write by hand, with the columns that the app fills.
_INSERT_BATCH = text("""
insert into images_batch (id, content_type_id, object_id, name, description, uploaded_by_id, uploaded_at, image_count)
values (:id, :content_type, :patient, :name, :description, :person, :at, :count)
""")
_INSERT_IMAGE = text("""
insert into images_image
    (id, batch_id, s3_key, s3_thumbnail_key, original_name, file_size, mime_type, category, caption, date_taken,
     uploaded_by_id, uploaded_at, filemaker_id, "order")
values (:id, :batch, :key, :thumbnail, :name, 1, 'image/jpeg', :category, :caption, :taken, :person, :at,
        :filemaker_id, :order)
""")
_INSERT_PATIENT = text("""
insert into patients (id, first_name, last_name, archived, created_at, updated_at, mrn, filemaker_metadata)
values (:id, 'Test', 'Person', false, now(), now(), :mrn, cast(:metadata as jsonb))
""")
_INSERT_PERSON = text("""
insert into auth_user (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined)
values ('clinician', '!', false, '', '', '', false, true, now())
on conflict (username) do update set is_staff = false returning id
""")
_INSERT_DOCUMENT = text("""
insert into documents_document
    (id, content_type_id, object_id, s3_key, file_name, original_name, file_size, mime_type, s3_bucket, s3_url,
     category, description, tags, uploaded_by, uploaded_at, updated_at, is_active)
values (:id, :content_type, :patient, :key, 'letter.pdf', 'letter.pdf', 1, 'application/pdf', 'clinic', '', 'letter',
        '', '[]', 'import', now(), now(), true)
""")
_INSERT_RELATIONSHIP = text("""
insert into contact_relationships
    (id, from_content_type_id, from_object_id, to_content_type_id, to_object_id, relationship, created_at)
select :id, of_start.id, :start, of_end.id, :to, 'mother of', now()
from django_content_type as of_start, django_content_type as of_end
where of_start.model = 'patient' and of_end.model = :model
""")
_GALLERIES = text("""
select patients.id as patient, image.s3_key as key
from patients
join images_batch as batch on batch.object_id = patients.id and batch.content_type_id = :content_type
join images_image as image on image.batch_id = batch.id
order by batch.uploaded_at, batch.id, image."order", image.uploaded_at
""")
_WRONG_COUNTS = text("""
select batch.id from images_batch as batch
where image_count <> (select count(*) from images_image where images_image.batch_id = batch.id)
""")
#: Everything that the clinic owns and that a plan may touch.
SNAPSHOT = {
    "images_batch": "select to_jsonb(t) from images_batch as t order by id",
    "images_image": "select to_jsonb(t) from images_image as t order by id",
    "documents_document": "select to_jsonb(t) from documents_document as t order by id",
    "contact_relationships": "select to_jsonb(t) from contact_relationships as t order by id",
    "patients": "select to_jsonb(t) from patients as t order by id",
}

#: Every table that holds rows of a test, in an order in which they can be emptied.
OURS_AND_THEIRS = (
    *(
        f"fm_migration.{table}"
        for table in (
            "finding", "report", "thumbnail", "consumed", "last_written", "planned_change", "photo",
            "recognition", "decision", "settlement", "placement",
            "link_plan",
            "export_read_source", "export_read", "source_row", "csv_metadata", "s3_inventory", "inventory_snapshot",
            "patient_read", "patient_identity",
        )
    ),
    "images_image", "images_batch", "documents_document", "contact_relationships", "notes_note", "patients",
    "auth_user",
)  # fmt: skip


def filemaker_id(number: int | str) -> str:
    """The FileMaker id of a made-up person, in upper case as FileMaker writes it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"person {number}")).upper()


def image_id(recid: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"photograph {recid}")).upper()


ANNA, BERT, CARA = (filemaker_id(name) for name in ("Anna", "Bert", "Cara"))


@dataclass(frozen=True)
class Photograph:
    """A row of the export. The image id follows from the recid when it is not given; "" leaves the cell empty."""

    recid: str
    contact: str
    date: str = DAY
    type: str = "Dorsal"
    image_id: str | None = None

    def cells(self) -> tuple[str, ...]:
        own_id = image_id(self.recid) if self.image_id is None else self.image_id
        return (self.date, "", own_id, self.contact, "", "", self.recid, self.type)


@dataclass
class World:
    """A clinic's database with our schema, and the files that its photographs come from."""

    engine: Engine
    folder: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    generation: int = 1

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.folder, **self.overrides)

    @property
    def url(self) -> str:
        return self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def empty(self) -> None:
        with self.engine.begin() as connection:
            for table in OURS_AND_THEIRS:
                connection.execute(text(f"delete from {table}"))

    # --- what the clinic has ------------------------------------------------------------------------------------

    def patient(
        self, filemaker: str | None, *, as_written: str | None = None, metadata: str | None = None
    ) -> uuid.UUID:
        """Add a patient; `as_written` is how the app spells the FileMaker id, `metadata` the whole JSON."""
        with self.engine.begin() as connection:
            mrn = f"M{connection.execute(text('select count(*) from patients')).scalar_one() + 1:04d}"
            patient = uuid.uuid5(uuid.NAMESPACE_OID, f"{mrn} {filemaker} {self.generation} {uuid.uuid4()}")
            if metadata is None and filemaker is not None:
                metadata = json.dumps({"filemaker_id": as_written or filemaker})
            connection.execute(_INSERT_PATIENT, {"id": patient, "mrn": mrn, "metadata": metadata})
        return patient

    def reimport(self, *, only: Iterable[str] | None = None) -> None:
        """Delete everybody whom FileMaker knows and create them again under new UUIDs, or only some of them."""
        kept = None if only is None else {contact.lower() for contact in only}
        with self.engine.begin() as connection:
            people = connection.execute(
                text("delete from patients where filemaker_metadata is not null returning mrn, filemaker_metadata")
            ).all()
            for mrn, metadata in people:
                if kept is None or metadata["filemaker_id"].lower() in kept:
                    again = {"id": uuid.uuid4(), "mrn": mrn, "metadata": json.dumps(metadata)}
                    connection.execute(_INSERT_PATIENT, again)
        self.generation += 1

    def patients(self) -> dict[str, uuid.UUID]:
        """The present UUID by FileMaker id in upper case; one of them where several share it."""
        rows = self.rows("select upper(filemaker_metadata ->> 'filemaker_id') as person, id from patients order by mrn")
        return {row.person: row.id for row in rows if row.person}

    def batch(
        self,
        patient: uuid.UUID,
        name: str,
        keys: Sequence[str] = (),
        *,
        by_hand: bool = True,
        count: int | None = None,
        filemaker_ids: Mapping[str, str] | None = None,
        caption: str = "",
        category: str = "other",
        thumbnail: str = "",
    ) -> uuid.UUID:
        """A batch as staff upload it, or not `by_hand` as the clinic's own command makes it."""
        batch = uuid.uuid4()
        at = datetime(2025, 3, 9, 12, tzinfo=UTC)
        with self.engine.begin() as connection:
            facts = {
                "person": connection.execute(_INSERT_PERSON).scalar_one() if by_hand else None,
                "content_type": contract.patient_content_type_id(connection),
                "at": at,
                "description": "" if by_hand else IMPORT_DESCRIPTION,
            }
            size = len(keys) if count is None else count
            connection.execute(_INSERT_BATCH, {**facts, "id": batch, "patient": patient, "name": name, "count": size})
            for order, key in enumerate(keys, start=1):
                image = {
                    "id": uuid.uuid4(),
                    "batch": batch,
                    "key": key,
                    "thumbnail": thumbnail,
                    "name": key.rpartition("/")[2],
                    "category": category,
                    "caption": caption,
                    "taken": None,
                    "filemaker_id": (filemaker_ids or {}).get(key),
                    "order": order,
                }
                connection.execute(_INSERT_IMAGE, {**facts, **image})
        return batch

    def document(self, patient: uuid.UUID | None, key: str = "documents/letter.pdf") -> uuid.UUID:
        document = uuid.uuid4()
        with self.engine.begin() as connection:
            content_type = contract.patient_content_type_id(connection) if patient else None
            connection.execute(
                _INSERT_DOCUMENT, {"id": document, "content_type": content_type, "patient": patient, "key": key}
            )
        return document

    def relationship(self, start: uuid.UUID, to: uuid.UUID, model: str = "patient") -> uuid.UUID:
        """A patient belongs to another patient, or to something of another model."""
        relationship = uuid.uuid4()
        row = {"id": relationship, "start": start, "to": to, "model": model}
        with self.engine.begin() as connection:
            connection.execute(_INSERT_RELATIONSHIP, row)
        return relationship

    def do(self, statement: str, **parameters: Any) -> int:
        """What somebody does in the app, as SQL; how many rows it concerned."""
        with self.engine.begin() as connection:
            return connection.execute(text(statement), parameters).rowcount

    # --- what we read -------------------------------------------------------------------------------------------

    def export(self, *photographs: Photograph) -> None:
        """FileMaker exports these rows, and we read them."""
        path = self.folder / "export.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ("date", "fileNane", "id", "id_Contact", "Name of file", "NexusExportDate", "recid", "Type")
            )
            writer.writerows(photograph.cells() for photograph in photographs)
        self.read_export(path)

    def read_export(self, path: Path) -> None:
        places = Places(self.settings, "", ObjectsLocation.parse("s3://nowhere"), str(path), embedded=False)
        with self.engine.begin() as connection:
            staging.stage_export(connection, places, accept_fewer=True)

    def objects(self, *names: str) -> None:
        """The bucket holds objects of these names under the dump's prefix, and we have listed them."""
        self.list_facts([ObjectFacts(DUMP + name, f"etag-{name}", 1000, LISTED_AT, STANDARD) for name in names])

    def list_facts(
        self,
        facts: Sequence[ObjectFacts],
        source: str = "listing",
        *,
        started_at: datetime = LISTED_AT,
        prefixes: Sequence[str] = (),
    ) -> None:
        with self.engine.begin() as connection:
            inventory.update_inventory(
                connection,
                [facts],
                layout=bucket_source.key_layout(self.settings),
                bucket="clinic",
                prefixes=list(prefixes or self.settings.original_prefixes),
                started_at=started_at,
                source=source,
                tolerated_shrinkage=0,
                accept_fewer=True,
            )

    def photographs(self, *photographs: Photograph) -> None:
        """An export of these rows, and a bucket with the object of each."""
        self.export(*photographs)
        self.objects(*dict.fromkeys(f"{photograph.recid}.jpg" for photograph in photographs))

    def read_patients(self) -> identity.IdentityUpdate:
        with self.engine.begin() as connection:
            return staging.stage_patients(connection)

    # --- what we do ---------------------------------------------------------------------------------------------

    def plan(self, limit: int | None = None, *, full: bool = False) -> Plan:
        with self.engine.begin() as connection:
            return placing.make_plan(connection, self.settings, limit=limit, full=full)

    def apply(self, plan: Plan | int, *, approve: str | None = None) -> AppliedLinks:
        with self.engine.begin() as connection:
            return applying.apply_plan(connection, plan if isinstance(plan, int) else plan.id, approve=approve)

    def follow(self, *named: str) -> LinksUpdate:
        """Lead links to their patients, by the patients as they were read last."""
        with self.engine.begin() as connection:
            return following.follow(connection, named=named)

    def settle(self, former: uuid.UUID, patient: uuid.UUID) -> plans.Applied:
        with self.engine.begin() as connection:
            return decisions.settle(connection, former, patient)

    def restore(self, *recids: str) -> Plan:
        self.read_patients()
        with self.engine.begin() as connection:
            plan = decisions.plan_restoring(connection, self.settings, recids)
            plans.apply(connection, plan.id, approve=plan.hash)
        return plan

    def undo(self, plan: Plan | int) -> Undone:
        with self.engine.begin() as connection:
            return plans.undo(connection, plan if isinstance(plan, int) else plan.id)

    def link(self, *, approved: bool = False) -> Plan:
        """Read the patients, follow, plan and apply: what an import and a healing run have in common."""
        self.read_patients()
        self.follow()
        plan = self.plan()
        self.apply(plan, approve=plan.hash if approved else None)
        return plan

    # --- what there is to see -----------------------------------------------------------------------------------

    def rows(self, query: str, **parameters: Any) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def one(self, query: str, **parameters: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).scalar_one()

    def galleries(self) -> dict[uuid.UUID, list[str]]:
        """What each living patient's gallery shows: names of objects, in its order. Nobody without images."""
        shown: dict[uuid.UUID, list[str]] = {}
        with self.engine.connect() as connection:
            content_type = contract.patient_content_type_id(connection)
            for row in connection.execute(_GALLERIES, {"content_type": content_type}):
                shown.setdefault(row.patient, []).append(row.key.removeprefix(DUMP))
        return shown

    def gallery(self, person: str) -> list[str]:
        """What the gallery of the one patient with this FileMaker id shows."""
        return self.galleries().get(self.patients()[person.upper()], [])

    def states(self) -> dict[str, str]:
        """The state of every row of the export by its recid; of rows that share one, that of the last."""
        rows = self.rows(
            "select recid, state from fm_migration.photo_status where row_number is not null order by row_number"
        )
        return {row.recid: row.state for row in rows}

    def wrong_counts(self) -> list[uuid.UUID]:
        with self.engine.connect() as connection:
            return list(connection.execute(_WRONG_COUNTS).scalars())

    def image(self, name: str) -> Row[Any]:
        """The one image with this object."""
        (row,) = self.rows("select * from images_image where s3_key = :key", key=DUMP + name)
        return row

    def batch_of(self, name: str) -> Row[Any]:
        """The batch that the one image with this object hangs on."""
        (row,) = self.rows("select * from images_batch where id = :id", id=self.image(name).batch_id)
        return row

    def snapshot(self) -> dict[str, list[Any]]:
        """Every row that the clinic owns."""
        with self.engine.connect() as connection:
            return {table: list(connection.execute(text(query)).scalars()) for table, query in SNAPSHOT.items()}

    def journal(self, plan: Plan | int) -> list[Row[Any]]:
        number = plan if isinstance(plan, int) else plan.id
        return list(self.rows("select * from fm_migration.journal where plan_id = :plan order by id", plan=number))


def furnish(world: World, clinic: Clinic) -> None:
    """The rows and the export of a designed clinic, and a listing of its objects, of which none is drawn."""
    sizes = {stored.key: 1000 for stored in (*clinic.objects, *clinic.uploads)}
    with psycopg.connect(world.url) as connection:
        build._load(clinic, connection, "clinic", sizes, build._nothing)
    path = world.folder / "sample.csv"
    path.write_bytes(sample_export.csv_bytes(clinic.rows))
    world.read_export(path)
    facts = [ObjectFacts(o.key, f"etag-{o.key}", 1000, LISTED_AT, STANDARD) for o in clinic.objects]
    world.list_facts(facts)


def reimport_sample(world: World, clinic: Clinic) -> None:
    """What the clinic's script does, without its pauses."""
    with psycopg.connect(world.url) as connection:
        for _step in play_reimport(connection, seed=clinic.seed, batch=1000):
            pass
