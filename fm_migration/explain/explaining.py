"""Why a patient, a batch, a photograph or an object shows or does not: the answer to "why 0 images?".

Belongs here: putting the ways of the photographs together into one answer, its first sentence, the findings and the
commands that heal them. Does not belong here: asking (`gathering.py`), what a hop means (`hops.py`), how it is said
(`wording.py`), and printing.

The answer is about the world as it is now, so it needs no report; where there is one, it adds since when a finding is
known, and whether the clinic accepts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fm_migration.clinic import contract
from fm_migration.explain import wording
from fm_migration.explain.answers import Explanation, HiddenReason, SubjectFinding
from fm_migration.explain.gathering import WAYS, ClinicRecords
from fm_migration.explain.hops import GONE, HopWalk, finding_of_gone, said_of_gone, walk
from fm_migration.explain.known import Home, Tenure
from fm_migration.explain.recognising import Subject, SubjectKind, recognise
from fm_migration.ledger import schema
from fm_migration.objects.store import ObjectStore
from fm_migration.report.classes import FindingClass, Severity
from fm_migration.settings import Settings


def explain(connection: Connection, settings: Settings, asked: str, store: ObjectStore | None = None) -> Explanation:
    """The answer about what is `asked`; UnknownSubjectError where it is nothing or could be several things.

    With a store, the bucket is asked too whether it has the objects now, and not only its newest listing.
    """
    schema.require_current(connection)
    contract.verify(connection)
    records = ClinicRecords(connection, settings)
    subject = recognise(asked, records)
    explaining = _Explaining(records, asked, subject, store)
    return {
        SubjectKind.PATIENT: explaining.person,
        SubjectKind.CONTACT: explaining.person,
        SubjectKind.BATCH: explaining.batch,
        SubjectKind.IMAGE: explaining.image,
        SubjectKind.PHOTOGRAPH: explaining.rows,
        SubjectKind.RECID: explaining.rows,
        SubjectKind.ROW: explaining.rows,
        SubjectKind.OBJECT: explaining.object,
        SubjectKind.THUMBNAIL: explaining.thumbnail,
        SubjectKind.LINK: explaining.link,
    }[subject.kind]()


def names_of(connection: Connection, settings: Settings, patients: Sequence[UUID]) -> list[str]:
    """The names of patients, for the eyes of a person at a terminal and for nothing else."""
    records = ClinicRecords(connection, settings)
    if not patients or not records.ask("may_read_names")[0]["allowed"]:
        return []
    return [row["name"] for row in records.ask("names", ids=patients)]


class _Explaining:
    """One question and its answer."""

    def __init__(self, records: ClinicRecords, asked: str, subject: Subject, store: ObjectStore | None) -> None:
        self._records = records
        self._asked = asked
        self._subject = subject
        self._store = store

    # --- of a person -------------------------------------------------------------------------------------------

    def person(self) -> Explanation:
        one = self._subject.uuid
        ways = ("filemaker_id", "uuid", "history") if self._subject.kind is SubjectKind.CONTACT else WAYS
        home = self._records.homes([one], ways)[one]
        ids = [row["id"] for row in self._records.ask("person", ids=[one, *home.patients])]
        rows = [row["row_number"] for row in self._records.ask("rows_of_person", ids=ids, patients=home.patients)]
        images = [row["id"] for row in self._records.ask("images_of_person", ids=ids)]
        walks = _once_each(self._walks(rows=rows, images=images))
        shown = [one_walk for one_walk in walks if wording.shows_at(one_walk, home.patients)]
        reasons = wording.reasons(walks, home.patients)
        batches = self._records.ask("batches_of_person", ids=ids)[0]["batches"]
        headline = self._headline_of_person(home, walks, len(shown), reasons, batches)
        return self._answer(
            headline,
            walks,
            patients=home.patients,
            visible=len(shown),
            reasons=reasons,
            tenures=_changes(self._records.tenures(ids)),
        )

    def _headline_of_person(
        self, home: Home, walks: Sequence[HopWalk], shown: int, reasons: Sequence[HiddenReason], batches: int
    ) -> str:
        who = self._who(home)
        said = "; ".join(
            f"{reason.because} ({reason.photographs:,} of {len(walks):,} photographs)" for reason in reasons
        )
        if not walks:
            why = "no row of the export names them, and no batch is theirs"
            if batches:
                empty = f"their {batches:,} batches are empty" if batches > 1 else "their one batch is empty"
                why = f"no row of the export names them, and {empty}"
            return f"{who} 0 images: {why}."
        if not shown:
            return f"{who} 0 images: {said}."
        if reasons:
            return f"{who} {shown:,} of {len(walks):,} photographs; not visible: {said}."
        return f"{who} all {shown:,} photographs of theirs." if shown > 1 else f"{who} the one photograph of theirs."

    def _who(self, home: Home) -> str:
        name, patients, way = self._subject.name, home.patients, home.way
        if not patients and self._records.world.reimport is not None:
            present, known = self._records.world.reimport
            some = f"{present:,} of {known:,} patients are there, and this one is not"
            return f"A re-import is under way, or patients were removed ({some}), so {name} shows"
        if not patients and home.why in ("without_id", "shared", "passed"):
            return f"No patient of the app has the id {name}, {GONE[home.why]}, so it shows"
        if not patients and home.known:
            return f"The app had a patient of the id {name} and has none now, so it shows"
        if not patients:
            return f"No patient of the app has the id {name}, so it shows"
        if len(patients) > 1:
            return f"{name} leads to {len(patients)} patients of the app, who together show"
        if way == "history":
            return f"{name} is a former UUID of patient {patients[0]}, who shows"
        if way == "filemaker_id":
            return f"Patient {patients[0]}, whose FileMaker id is {name}, shows"
        return f"Patient {patients[0]} shows"

    # --- of a batch --------------------------------------------------------------------------------------------

    def batch(self) -> Explanation:
        (facts,) = self._records.ask("batch", id=self._subject.uuid)
        found = self._records.images(batches=[self._subject.uuid])
        walks = self._walks(images=[image.id for image in found])
        home = self._records.homes([facts["owner"]])[facts["owner"]]
        shown = sum(one.visible for one in walks)
        reasons = wording.reasons(walks, None)
        findings = list(self._findings_of_batch(facts, home, walks))
        said = wording.describe_batch(dict(facts), home, self._records.world, shown, reasons)
        headline = f"Batch {self._subject.name} {said}"
        patients = home.patients if facts["of_patients"] else ()
        tenures = () if home.way == "uuid" or not facts["of_patients"] else self._tenures_of(facts["owner"], home)
        return self._answer(
            headline, walks, patients=patients, visible=shown, reasons=reasons, further=findings, tenures=tenures
        )

    def _tenures_of(self, former: UUID, home: Home) -> tuple[Tenure, ...]:
        """What is known of a former patient: who held the same ids since when."""
        ids = [row["id"] for row in self._records.ask("person", ids=[former, *home.patients])]
        return self._records.tenures(ids)

    def _findings_of_batch(self, facts: Any, home: Home, walks: Sequence[HopWalk]) -> Iterable[SubjectFinding]:
        subject, has, says = str(self._subject), facts["has"], facts["says"]
        lives = home.way == "uuid" or self._records.world.reimport is not None
        # As in the report: an empty batch of nobody hides nothing.
        if facts["of_patients"] and has and not lives:
            said = f"it belongs to {facts['owner']}, {said_of_gone(home)}"
            led = home.one or any(one.photograph.contact.one for one in walks)
            yield self._found(finding_of_gone(home, facts["given"]), subject, said, after_remedy=not led)
        if says != has:
            yield self._found(FindingClass.COUNT_WRONG, subject, f"it says {says:,} images and has {has:,}")
        if not has:
            yield self._found(FindingClass.BATCH_EMPTY, subject, "it has no image")
        elif facts["namesakes"] and not facts["by_hand"]:
            said = f"its patient has {facts['namesakes']:,} further imported batches of the same day"
            yield self._found(FindingClass.BATCH_DOUBLED, subject, said)

    # --- of one photograph -------------------------------------------------------------------------------------

    def image(self) -> Explanation:
        return self._of_photographs(self._walks(images=[self._subject.uuid]))

    def rows(self) -> Explanation:
        kind, name = self._subject.kind, self._subject.name
        asked: dict[str, list[Any]] = {"recids": [], "rows": [], "image_ids": []}
        wanted = {SubjectKind.RECID: "recids", SubjectKind.ROW: "rows", SubjectKind.PHOTOGRAPH: "image_ids"}[kind]
        asked[wanted] = [{SubjectKind.RECID: str, SubjectKind.ROW: int, SubjectKind.PHOTOGRAPH: UUID}[kind](name)]
        numbers = [row["row_number"] for row in self._records.ask("rows_named", **asked)]
        if kind is SubjectKind.PHOTOGRAPH and not numbers:
            return self._without_rows()
        walks = self._walks(rows=numbers)
        return self._of_photographs(walks if kind is SubjectKind.ROW else _once_each(walks))

    def _without_rows(self) -> Explanation:
        """A photograph's FileMaker UUID that no row of the export has (any more)."""
        images = self._records.images(filemaker_ids=[self._subject.uuid])
        keys = self._records.ask("keys_named", image_ids=[self._subject.uuid], keys=(), recids=())
        keys_of_images = {image.key for image in images}
        further = [row["key"] for row in keys if row["kind"] == "original" and row["key"] not in keys_of_images]
        return self._of_photographs(self._walks(images=[image.id for image in images], keys=further))

    def _of_photographs(self, walks: Sequence[HopWalk], further: Iterable[SubjectFinding] = ()) -> Explanation:
        shown = sum(one.visible for one in walks)
        patients = tuple(dict.fromkeys(one.patient for one in walks if one.patient))
        headline = " ".join(map(wording.headline_of, walks[:3]))
        if len(walks) > 3:
            headline += f" And {len(walks) - 3:,} more."
        return self._answer(
            headline, walks, patients=patients, visible=shown, reasons=wording.reasons(walks, None), further=further
        )

    # --- of an object ------------------------------------------------------------------------------------------

    def object(self) -> Explanation:
        key = self._subject.name
        stored = self._records.objects([key]).get(key)
        images = self._records.images(keys=[key])
        rows = self._rows_of_object(key)
        using = [number for number, original in rows.items() if original == key]
        if images:
            return self._of_photographs(self._walks(images=[image.id for image in images]))
        if using:
            return self._of_photographs(_once_each(self._walks(rows=using)))
        if stored is not None and stored.kind != "original":
            return self._answer(f"Object {key} is not an original, and no image shows it.", ())
        if rows:
            number, original = next(iter(rows.items()))
            walks = self._walks(rows=[number])
            headline = (
                f"Object {key} is a further file of a photograph that uses {original}. {wording.headline_of(walks[0])}"
            )
            said = f"{original} is the one that is shown"
            second = self._found(FindingClass.SECOND_ORIGINAL, f"object {key}", said)
            return self._answer(
                headline,
                walks,
                visible=sum(one.visible for one in walks),
                reasons=wording.reasons(walks, None),
                further=[second] if stored is not None else (),
            )
        return self._of_photographs(self._walks(keys=[key]))

    def _rows_of_object(self, key: str) -> dict[int, str | None]:
        """The rows that an object's name belongs to, with the original that each of them uses."""
        stored = self._records.objects([key]).get(key)
        if stored is None or stored.kind != "original":
            return {}
        recids = [stored.recid] if stored.recid else []
        image_ids = [stored.image_id] if stored.image_id else []
        found = self._records.ask("rows_named", recids=recids, image_ids=image_ids, rows=())
        rows = self._records.rows([row["row_number"] for row in found])
        return {number: row.original for number, row in rows.items()}

    def thumbnail(self) -> Explanation:
        key = self._subject.name
        images = self._records.images(thumbnail_keys=[key])
        if images:
            return self._of_photographs(self._walks(images=[image.id for image in images]))
        said = "no image of the app shows it"
        finding = self._found(FindingClass.THUMBNAIL_WITHOUT_IMAGE, str(self._subject), said)
        return self._answer(f"Thumbnail {key} is shown by no image.", (), further=[finding])

    # --- of a link of another table ----------------------------------------------------------------------------

    def link(self) -> Explanation:
        column, points_at = self._records.link(self._subject.name) or ("", None)
        if points_at is None:
            return self._answer(f"The link {self._subject.name} points at nobody, and need not.", ())
        home = self._records.homes([points_at])[points_at]
        where = f"The link {self._subject.name} points at"
        if home.way == "uuid":
            return self._answer(f"{where} patient {points_at}, who is in the app.", (), patients=home.patients)
        who = f"{points_at}, who is not in the app: it is {said_of_gone(home)}"
        kind = FindingClass.LINK_AMBIGUOUS if home.ambiguous else FindingClass.LINK_WITHOUT_PATIENT
        finding = self._found(kind, str(self._subject), f"{column} is {who}", after_remedy=home.one is None)
        tenures = self._tenures_of(points_at, home)
        return self._answer(f"{where} {who}.", (), patients=home.patients, further=[finding], tenures=tenures)

    # --- all of them -------------------------------------------------------------------------------------------

    def _walks(
        self, rows: Sequence[int] = (), images: Sequence[UUID] = (), keys: Sequence[str] = ()
    ) -> tuple[HopWalk, ...]:
        return tuple(map(walk, self._records.photographs(rows, images, keys, self._store)))

    def _answer(
        self,
        headline: str,
        walks: Sequence[HopWalk],
        *,
        patients: Sequence[UUID] = (),
        visible: int = 0,
        reasons: Sequence[HiddenReason] = (),
        further: Iterable[SubjectFinding] = (),
        tenures: Sequence[Tenure] = (),
    ) -> Explanation:
        found = self._findings(walks, further)
        recorded = self._recorded(walks, found, patients)
        seen = {(one.finding.value, one.subject) for one in found}
        moments = self._records.moments
        return Explanation(
            asked=self._asked,
            subject=self._subject,
            headline=headline,
            patients=tuple(patients),
            walks=tuple(walks),
            visible=visible,
            reasons=tuple(reasons),
            wrong=tuple(
                wording.wrong(
                    walks, patients if self._subject.kind in (SubjectKind.PATIENT, SubjectKind.CONTACT) else None
                )
            ),
            findings=tuple(_with_report(one, recorded) for one in found),
            report_only=tuple(pair for pair in recorded if pair not in seen),
            tenures=tuple(tenures),
            moments={
                "export_read": moments["export_read_at"],
                "listed": moments["listed_at"],
                "patients_read": moments["patients_read_at"],
                "report": moments["report_made_at"],
            },
        )

    def _findings(self, walks: Sequence[HopWalk], further: Iterable[SubjectFinding]) -> list[SubjectFinding]:
        """Each once: what hides something first, then by how bad it is."""
        found = {(one.finding, one.subject): one for one in further}
        for one in walks:
            for hop in sorted(one.hops, key=lambda hop: not hop.hides):
                if hop.finding is not None and hop.subject is not None:
                    finding = self._found(hop.finding, hop.subject, hop.said, one.month, after_remedy=hop.after_remedy)
                    found.setdefault((hop.finding, hop.subject), finding)
        order = list(Severity)
        return sorted(found.values(), key=lambda one: order.index(one.finding.severity))

    def _found(
        self, finding: FindingClass, subject: str, said: str, month: str = "undated", *, after_remedy: bool = False
    ) -> SubjectFinding:
        command = wording.command(finding, self._records.world, month)
        return SubjectFinding(
            finding, subject, said, command, after_remedy=after_remedy or finding in wording.INGESTED_BY
        )

    def _recorded(
        self, walks: Sequence[HopWalk], found: Sequence[SubjectFinding], patients: Sequence[UUID]
    ) -> dict[tuple[str, str], Any]:
        subjects = {str(self._subject), *(one.subject for one in found), *(f"patient {one}" for one in patients)}
        for one in walks:
            subjects.update(_subjects_of(one))
        rows = self._records.ask("recorded", subjects=subjects)
        return {(row["class"], row["subject"]): row for row in rows}


def _changes(tenures: Sequence[Tenure]) -> Sequence[Tenure]:
    """There is nothing to say about somebody who always was the same."""
    return tenures if len(tenures) > 1 or any(one.ended_at or one.settled for one in tenures) else ()


def _once_each(walks: Iterable[HopWalk]) -> list[HopWalk]:
    """A further row that says the same as the first of its recid is no further photograph."""
    return [one for one in walks if not (row := one.photograph.row) or row.contradicted or not row.repeated]


def _subjects_of(one: HopWalk) -> Iterable[str]:
    photograph = one.photograph
    row, image = photograph.row, photograph.image
    if row is not None:
        yield f"row {row.row_number}"
        yield f"recid {row.recid}"
    if photograph.key:
        yield f"object {photograph.key}"
    if image is not None:
        yield from (f"image {image.id}", f"batch {image.batch}", f"thumbnail {image.thumbnail_key}")


def _with_report(found: SubjectFinding, recorded: dict[tuple[str, str], Any]) -> SubjectFinding:
    row = recorded.get((found.finding.value, found.subject))
    return found if row is None else replace(found, first_seen=row["first_seen"], waiver=row["waiver"])
