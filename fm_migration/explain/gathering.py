"""What is known of photographs, gathered from the database and, where it is at hand, from the bucket.

Belongs here: the questions, which are in `sql/explaining.sql`, and putting the answers together. A fixed number of
statements whatever the number of photographs; nothing is written. Does not belong here: what it means (`hops.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Text, cast, column, select, text

from fm_migration.clinic import contract
from fm_migration.clinic.link_columns import find_link_columns
from fm_migration.errors import FmMigrationError
from fm_migration.explain import sql
from fm_migration.explain.known import (
    Home,
    KnownClinic,
    KnownImage,
    KnownPhotograph,
    KnownRow,
    Presence,
    Stored,
    Tenure,
)
from fm_migration.ledger import identity
from fm_migration.ledger.sql import Script
from fm_migration.linking import following
from fm_migration.objects.failures import ObjectMissingError
from fm_migration.objects.keys import KeyKind, KeyLayout, classify
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "explaining")
#: The bucket is asked itself about so many objects at most; beyond that its newest listing has to do.
MOST_ASKED = 400
THREADS = 8
#: An id, and how it is written where it stands, if that is known.
Contact = tuple[UUID, str | None]
#: How an id leads to a patient, the surest first.
WAYS = ("uuid", "filemaker_id", "history")


class ClinicRecords:
    """The database, asked one question at a time."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    @cached_property
    def content_type(self) -> int:
        return contract.patient_content_type_id(self._connection)

    @cached_property
    def moments(self) -> RowMapping:
        return self.ask("moments")[0]

    @cached_property
    def world(self) -> KnownClinic:
        moments = self.moments
        return KnownClinic(
            export_read_at=moments["export_read_at"],
            listed_at=moments["listed_at"],
            prefixes=tuple(moments["prefixes"]),
            plan=moments["plan"],
            plan_applied=moments["plan_applied_at"] is not None,
            plan_doubts=tuple(moments["plan_doubts"]),
            reimport=self._reimport(),
        )

    def _reimport(self) -> tuple[int, int] | None:
        """Known people are missing from the table: it is being made anew, or its rows were really removed."""
        known, present = identity.read_presence(self._connection)
        if known - present <= known * self._settings.tolerated_missing:
            return None
        return present, known

    def ask(self, step: str, **parameters: Any) -> Sequence[RowMapping]:
        body = _SQL.body(step)
        if "patient_now" in body:
            body = f"with patient_now as (\n{identity.patients_query()}\n)\n{body}"
        used = {name: _listed(value) for name, value in parameters.items()}
        if ":content_type" in body:
            used["content_type"] = self.content_type
        return self._connection.execute(text(body), used).mappings().all()

    def _do(self, step: str, **parameters: Any) -> None:
        """A step that fills a table of this transaction's own."""
        self._connection.execute(_SQL[step], parameters)

    # --- ids ---------------------------------------------------------------------------------------------------

    def homes(self, ids: Iterable[UUID | None], ways: Sequence[str] = WAYS) -> dict[UUID, Home]:
        """Where ids lead. The surest way counts alone: a present UUID, then a FileMaker id, then the history."""
        found = self.homes_as_written(((one, None) for one in ids if one is not None), ways)
        return {one: home for (one, _), home in found.items()}

    def homes_as_written(self, asked: Iterable[Contact], ways: Sequence[str] = WAYS) -> dict[Contact, Home]:
        """The same of ids as they are written somewhere; where that is not known, of every way to write them."""
        pairs = list(dict.fromkeys(asked))
        if not pairs:
            return {}
        ids = [one for one, _ in pairs]
        self._do("former", ids=ids)
        following.find_successors(self._connection)
        led: dict[Contact, dict[str, list[RowMapping]]] = defaultdict(lambda: defaultdict(list))
        for row in self.ask("homes", ids=ids, written=[written for _, written in pairs]):
            led[row["id"], row["written"]][row["way"]].append(row)
        whys = {row["id"]: row for row in self.ask("whys")}
        following.drop_successors(self._connection)
        known = {row["id"] for row in self.ask("known_before", ids=ids)}
        return {pair: _home(led[pair], ways, whys[pair[0]], pair[0] in known) for pair in pairs}

    def tenures(self, ids: Collection[UUID]) -> tuple[Tenure, ...]:
        """Who held which id since when: these patients, and whoever held these FileMaker ids."""
        return tuple(Tenure(**row) for row in self.ask("tenures", ids=ids)) if ids else ()

    def archived(self, ids: Collection[UUID]) -> frozenset[UUID]:
        return frozenset(row["id"] for row in self.ask("archived", ids=ids)) if ids else frozenset()

    def link(self, name: str) -> tuple[str, UUID | None] | None:
        """Where a link of another table points, by `table.column row`: None when there is no such row."""
        column_name, _, row_id = name.partition(" ")
        for link in find_link_columns(self._connection, self._settings.link_columns):
            if f"{link.table}.{link.column}" == column_name:
                # Both names come out of the catalogue, the table's with the quotation marks that it needs.
                query = (
                    select(cast(column(link.column), Text))
                    .select_from(text(link.table))
                    .where(cast(column(link.key), Text) == row_id)
                )
                found = self._connection.execute(query).one_or_none()
                return None if found is None else (column_name, UUID(found[0]) if found[0] else None)
        return None

    # --- photographs ---------------------------------------------------------------------------------------------

    def rows(self, numbers: Collection[int]) -> dict[int, KnownRow]:
        if not numbers:
            return {}
        return {row["row_number"]: KnownRow(**row) for row in self.ask("rows", rows=numbers)}

    def images(
        self,
        *,
        ids: Collection[UUID] = (),
        filemaker_ids: Collection[UUID] = (),
        keys: Collection[str] = (),
        batches: Collection[UUID] = (),
        thumbnail_keys: Collection[str] = (),
        photos: Collection[str] = (),
    ) -> list[KnownImage]:
        """Every image that any of these names, the best first: on a living patient's record, with a thumbnail."""
        asked = {
            "ids": ids, "filemaker_ids": filemaker_ids, "keys": keys, "batches": batches,
            "thumbnail_keys": thumbnail_keys, "photos": photos,
        }  # fmt: skip
        if not any(asked.values()):
            return []
        return [KnownImage(**row) for row in self.ask("images", **asked)]

    def objects(self, keys: Iterable[str | None]) -> dict[str, Stored]:
        asked = {key for key in keys if key}
        return {row["key"]: Stored(**row) for row in self.ask("objects", keys=asked)} if asked else {}

    def rows_of(self, images: Sequence[KnownImage]) -> dict[UUID, int]:
        """The row of the export that each image shows, as it was recognised.

        One that no plan has seen yet: by its FileMaker UUID, or by its key's recid. What somebody uploaded by hand
        shows no row then, whatever its key looks like.
        """
        found = {image.id: image.photo_row for image in images if image.photo_row is not None}
        others = [image for image in images if image.photo is None and image.id not in found and not image.by_hand]
        if not others:
            return found
        stored = self.objects(image.key for image in others)
        recids = {one.recid for one in stored.values() if one.recid}
        image_ids = {image.filemaker_id for image in others if image.filemaker_id}
        by_recid: dict[str, int] = {}
        by_image_id: dict[UUID, int] = {}
        for row in self.ask("rows_named", recids=recids, rows=(), image_ids=image_ids):
            by_recid.setdefault(row["recid"], row["row_number"])
            by_image_id.setdefault(row["image_id"], row["row_number"])
        for image in others:
            named = stored[image.key].recid if image.key in stored else None
            number = by_image_id.get(image.filemaker_id) if image.filemaker_id else None
            number = number or (by_recid.get(named) if named else None)
            if number is not None:
                found[image.id] = number
        return found

    def photographs(
        self,
        rows: Collection[int] = (),
        images: Collection[UUID] = (),
        keys: Collection[str] = (),
        store: ObjectStore | None = None,
    ) -> list[KnownPhotograph]:
        """One photograph for each row, for each image that shows none of these rows, and for each further object.

        Doubles of an image that shows one of the rows do not count again.
        """
        found = _Gathering(self, rows, images, keys).run()
        return _Asking(store, self._settings).refine(found) if store is not None else found


class _Gathering:
    """One gathering of photographs."""

    def __init__(
        self, records: ClinicRecords, rows: Collection[int], images: Collection[UUID], keys: Collection[str]
    ) -> None:
        self._records = records
        self._asked_rows = rows
        self._asked_images = images
        self._asked_keys = keys
        asked = records.images(ids=images)
        self._row_of = records.rows_of(asked)
        self._rows = records.rows({*rows, *self._row_of.values()})
        self._by_id = {image.id: image for image in (*asked, *self._candidates())}
        self._by_key: dict[str, list[KnownImage]] = defaultdict(list)
        self._by_photo: dict[str, list[KnownImage]] = defaultdict(list)
        missing_keys = {image.key for image in self._by_id.values()}
        photos = {image.photo for image in self._by_id.values() if image.photo}
        for image in records.images(keys=missing_keys, photos=photos):
            self._by_id[image.id] = image
            self._by_key[image.key].append(image)
            if image.photo:
                self._by_photo[image.photo].append(image)

    def _candidates(self) -> list[KnownImage]:
        rows = self._rows.values()
        return self._records.images(
            ids={row.planned_image for row in rows if row.planned_image},
            filemaker_ids={row.image_id for row in rows if row.image_id},
            keys={key for key in (*(row.original for row in rows), *self._asked_keys) if key},
        )

    def run(self) -> list[KnownPhotograph]:
        photographs = [self._of_row(self._rows[number]) for number in self._asked_rows if number in self._rows]
        photographs += self._of_images({p.image.id for p in photographs if p.image})
        shown_keys = {photograph.key for photograph in photographs}
        photographs += [
            KnownPhotograph(self._records.world, key=key) for key in self._asked_keys if key not in shown_keys
        ]
        return self._completed(photographs)

    def _of_row(self, row: KnownRow) -> KnownPhotograph:
        image = self._image_of(row)
        return KnownPhotograph(self._records.world, row=row, image=image, key=image.key if image else row.original)

    def _image_of(self, row: KnownRow) -> KnownImage | None:
        """The image that shows a row: the plan's; of those that no plan has seen, by FileMaker UUID, or by key."""
        if row.repeated:
            return None
        if row.planned_image in self._by_id:
            return self._by_id[row.planned_image]
        if row.image_id is not None:
            for image in self._by_id.values():
                if image.filemaker_id == row.image_id and image.photo is None:
                    return image
        same_key = [
            image for image in self._by_key.get(row.original or "", ()) if not image.by_hand and image.photo is None
        ]
        return same_key[0] if same_key else None

    def _of_images(self, shown: set[UUID]) -> list[KnownPhotograph]:
        """Images that none of the rows shows: of other rows, uploaded by hand, left by earlier runs, or doubles."""
        found = []
        for image in (self._by_id[one] for one in self._asked_images if one in self._by_id):
            number = self._row_of.get(image.id)
            row = self._rows.get(number) if number is not None else None
            own = self._image_of(row) if row else None
            double_of = own.id if own is not None and own.id != image.id else None
            if image.id not in shown and double_of not in shown:
                found.append(
                    KnownPhotograph(self._records.world, row=row, image=image, key=image.key, double_of=double_of)
                )
        return found

    def _completed(self, photographs: list[KnownPhotograph]) -> list[KnownPhotograph]:
        """With what only the ids of all of them together can be asked for."""
        records = self._records
        owners = [p.image.owner for p in photographs if p.image and p.image.of_patients and not p.image.owner_lives]
        contacts = [(p.row.contact, p.row.written) for p in photographs if p.row and p.row.contact]
        homes = records.homes_as_written([*((owner, None) for owner in owners if owner), *contacts])
        objects = records.objects(
            key for p in photographs for key in (p.key, p.image.thumbnail_key if p.image else None)
        )
        living = {one for home in homes.values() for one in home.patients}
        living |= {p.image.owner for p in photographs if p.image and p.image.owner}
        world = replace(records.world, archived=records.archived(living))
        return [self._complete(photograph, world, homes, objects) for photograph in photographs]

    def _complete(
        self, photograph: KnownPhotograph, world: KnownClinic, homes: dict[Contact, Home], objects: dict[str, Stored]
    ) -> KnownPhotograph:
        image, row = photograph.image, photograph.row
        contact = homes.get((row.contact, row.written), Home()) if row and row.contact else Home()
        owner = homes.get((image.owner, None), Home()) if image and image.owner else Home()
        others = self._doubles_of(image) if image else []
        thumbnail_key = image.thumbnail_key if image else ""
        return replace(
            photograph,
            world=world,
            contact=contact,
            owner=owner,
            stored=objects.get(photograph.key or ""),
            presence=_presence(photograph.key, objects, world, image),
            thumbnail=objects.get(thumbnail_key),
            thumbnail_presence=_presence(thumbnail_key, objects, world),
            doubles=tuple(one.id for one in others),
        )

    def _doubles_of(self, image: KnownImage) -> list[KnownImage]:
        """Other images of the same photograph; of those that no plan has seen, of the same object."""
        same = [*self._by_photo.get(image.photo or "", ())]
        same += [one for one in self._by_key.get(image.key, ()) if one.photo is None or image.photo is None]
        return [one for one in same if one.id != image.id and not one.by_hand]


def _presence(
    key: str | None, objects: dict[str, Stored], world: KnownClinic, image: KnownImage | None = None
) -> Presence:
    """By the newest listing. What it could not have seen yet, and what it does not look at, is unknown."""
    stored = objects.get(key or "")
    if stored is not None:
        return Presence.THERE if stored.missed_at is None else Presence.GONE
    if not key or not world.lists(key):
        return Presence.UNKNOWN
    too_new = image is not None and world.listed_at is not None and image.uploaded_at > world.listed_at
    return Presence.UNKNOWN if too_new and image is not None and image.by_hand else Presence.GONE


class _Asking:
    """Asks the bucket itself what a listing may have missed."""

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store = store
        self._layout = KeyLayout(settings.dump_prefixes, settings.exports_prefixes)
        self._dump_prefixes = settings.dump_prefixes

    def refine(self, photographs: list[KnownPhotograph]) -> list[KnownPhotograph]:
        keys = {key for p in photographs for key in (p.key, p.image.thumbnail_key if p.image else None) if key}
        if len(keys) > MOST_ASKED or len(photographs) > MOST_ASKED:
            return photographs
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                there = dict(zip(keys, pool.map(self._has, keys), strict=True))
                return list(pool.map(lambda one: self._refined(one, there), photographs))
        except FmMigrationError:
            # A bucket that cannot be reached is told by the doctor; here its newest listing has to do.
            return photographs

    def _has(self, key: str) -> Presence:
        try:
            self._store.head(key)
        except ObjectMissingError:
            return Presence.GONE
        return Presence.THERE

    def _refined(self, photograph: KnownPhotograph, there: dict[str, Presence]) -> KnownPhotograph:
        row, image = photograph.row, photograph.image
        unlisted = None
        if photograph.key is None and row is not None and row.recid is not None:
            unlisted = self._original_of(row.recid)
        return replace(
            photograph,
            unlisted=unlisted,
            presence=there.get(photograph.key or "", photograph.presence),
            thumbnail_presence=there.get(image.thumbnail_key if image else "", photograph.thumbnail_presence),
        )

    def _original_of(self, recid: str) -> str | None:
        """An original that was put into the dump after the newest listing."""
        for prefix in self._dump_prefixes:
            for facts in self._store.list(f"{prefix}{recid}.", threads=1):
                if classify(facts.key, self._layout).kind is KeyKind.ORIGINAL:
                    return facts.key
            if self._has(prefix + recid) is Presence.THERE:
                return prefix + recid
        return None


def _home(led: dict[str, list[RowMapping]], ways: Sequence[str], why: RowMapping, known: bool) -> Home:
    for way in ways:
        if way in led:
            patients = tuple(sorted({row["patient_id"] for row in led[way]}))
            doubt = next((row["doubt"] for row in led[way] if row["doubt"]), "")
            return Home(patients, way, known, doubt=doubt, settled=why["settled"])
    return Home(known=known, why=why["why"] or "", settled=why["settled"])


def _listed(value: object) -> object:
    return list(value) if isinstance(value, set | frozenset | tuple) else value
