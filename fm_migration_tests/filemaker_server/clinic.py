"""The records: computed from their number when they are asked for, so that any number of them costs next to nothing.

Everything in them is invented. The fields are those of the clinic's layout `API_Images`, and calculation fields with
the checksum of what is in each container beside them.

Belongs here: tables, fields, layouts, and what is in which container. Does not belong here: what a client sees of a
container (`streaming.py`), and finding (`queries.py`).
"""

from __future__ import annotations

import hashlib
import uuid
from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from fm_migration_tests.filemaker_server.pictures import CONTENT_TYPES, Format, heic_can_be_made, picture
from fm_migration_tests.filemaker_server.settings import CONTAINERS, DeadKind, ServerSettings

Result = Literal["text", "number", "date", "time", "timeStamp", "container"]
#: What a field holds: text, a number, a date, a moment, what is in a container, or repetitions of one of these.
Value = Any

#: Wide enough for any record's number, so that (recid, number) is one sortable integer.
_SHIFT = 1 << 40


@dataclass(frozen=True)
class Field:
    """A column. A calculation is computed by the server and cannot be written."""

    name: str
    result: Result = "text"
    repetitions: int = 1
    calculated: bool = False

    def metadata(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": "calculation" if self.calculated else "normal",
            "displayType": "editText",
            "result": self.result,
            "global": False,
            "autoEnter": self.calculated,
            "fourDigitYear": False,
            "maxRepeat": self.repetitions,
            "maxCharacters": 0,
            "notEmpty": False,
            "numeric": False,
            "timeOfDay": False,
            "repetitionStart": 1,
            "repetitionEnd": self.repetitions,
        }


@dataclass(frozen=True)
class Holding:
    """What is in a container: a sound picture, or what keeps it from ever arriving."""

    record: int
    container: str
    form: Format = "jpg"
    dead: DeadKind | None = None

    @property
    def empty(self) -> bool:
        return self.dead in ("empty", "question")

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.form]


@dataclass(frozen=True)
class Upload:
    """What a client has put into a container."""

    data: bytes
    content_type: str
    name: str


@dataclass
class Layout:
    """Which fields of which table a client sees, and the portals on it."""

    name: str
    table: str
    fields: Sequence[Field]
    portals: Mapping[str, Sequence[Field]] = field(default_factory=dict)
    value_lists: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        lists = [
            {"name": name, "type": "customList", "values": [{"displayValue": one, "value": one} for one in values]}
            for name, values in self.value_lists.items()
        ]
        return {
            "fieldMetaData": [one.metadata() for one in self.fields],
            "portalMetaData": {name: [one.metadata() for one in fields] for name, fields in self.portals.items()},
            "valueLists": lists,
        }

    def field(self, name: str) -> Field | None:
        return next((one for one in self.fields if one.name == name), None)


class Table:
    """Records by their number, in the order in which they were made."""

    def __init__(self, name: str, numbers: Sequence[int], compute: Callable[[int], dict[str, Value]]) -> None:
        self.name = name
        self._compute = compute
        self._numbers = array("q", numbers)
        self._changed: dict[int, dict[str, Value]] = {}
        self._versions: dict[int, int] = {}
        #: Another one after each change, so that what was found before is not served again.
        self.version = 0
        self.added: list[int] = []
        self.removed: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number

    def numbers(self) -> Sequence[int]:
        return self._numbers

    def values(self, number: int) -> dict[str, Value]:
        values = self._compute(number)
        if number in self._changed:
            values |= self._changed[number]
        return values

    def changed(self, number: int) -> Mapping[str, Value]:
        """What clients have written into a record."""
        return self._changed.get(number, {})

    def modification(self, number: int) -> int:
        return 1 + number % 3 + self._versions.get(number, 0)

    def add(self, values: Mapping[str, Value] | None = None) -> int:
        number = (self._numbers[-1] if self._numbers else 0) + 1
        number = max(number, max(self.removed, default=0) + 1)
        self._numbers.append(number)
        if values:
            self._changed[number] = dict(values)
        self.added.append(number)
        self.version += 1
        return number

    def change(self, number: int, values: Mapping[str, Value]) -> int:
        self._changed.setdefault(number, {}).update(values)
        self._versions[number] = self._versions.get(number, 0) + 1
        self.version += 1
        return self.modification(number)

    def remove(self, number: int) -> bool:
        if number not in self:
            return False
        self._numbers.pop(bisect_left(self._numbers, number))
        self.removed.append(number)
        self.version += 1
        return True


_IMAGE = [
    Field("id"),
    Field("id_Contact"),
    Field("date", "date"),
    Field("Type"),
    *(Field(name, "container") for name in CONTAINERS),
    Field("recid", "number"),
    Field("Name of file"),
]
_IMAGE_MORE = [
    Field("fileNane"),
    Field("filesize"),
    Field("NexusExportDate"),
    Field("Keyword", repetitions=3),
    Field("AgeInDays", "number", calculated=True),
    Field("modified", "timeStamp", calculated=True),
]
_PROOFS = [
    Field(f"{name}_{what}", "number" if what == "fileSize" else "text", calculated=True)
    for name in CONTAINERS
    for what in ("MD5", "fileSize", "filename")
]
_CONTACT = [Field("id"), Field("recid", "number"), Field("Images::Count", "number", calculated=True)]
_RELATED = [Field("Images::id"), Field("Images::recid", "number"), Field("Images::date", "date")]
TYPES = ("Photo", "Scan", "Before After")

LAYOUTS = [
    Layout("API_Images", "Images", [*_IMAGE, *_IMAGE_MORE], value_lists={"Type": TYPES}),
    Layout("API_Images_Lean", "Images", _IMAGE),
    Layout("API_Images_Proof", "Images", [*_IMAGE, *_PROOFS]),
    # What a layout looks like on which somebody has moved things: no date, and a container as text.
    Layout(
        "API_Images_Moved",
        "Images",
        [Field(one.name) if one.name == "image_large" else one for one in _IMAGE if one.name != "date"],
    ),
    Layout("API Contacts", "Contacts", _CONTACT, portals={"Images": _RELATED}),
    Layout("API_Empty", "Empty", [Field("id"), Field("recid", "number")]),
]


class Clinic:
    """The database: its tables, its layouts, and what is in the containers of each photograph."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._key = str(settings.seed).encode()
        self._birth = date(2005, 1, 1)
        self._heic = settings.heic_share > 0 and heic_can_be_made()
        self.images = Table("Images", self._first_numbers(), self._image)
        self.contacts = Table("Contacts", range(1, settings.contacts + 1), self._contact)
        self.tables = {
            "Images": self.images,
            "Contacts": self.contacts,
            "Empty": Table("Empty", [], lambda number: {"id": "", "recid": number}),
        }
        self.layouts = {layout.name: layout for layout in LAYOUTS}
        self._by_recid = array("q")
        self._recid_version: int | None = None
        self._of_contact: tuple[int, dict[int, list[int]]] | None = None
        self._digest = lru_cache(maxsize=4096)(self._seeded)

    def _first_numbers(self) -> Sequence[int]:
        first, wanted, gap = self.settings.first_recid, self.settings.records, self.settings.gap_every
        if not gap:
            return range(first, first + wanted)
        gap = max(2, gap)
        return [first + place + place // (gap - 1) for place in range(wanted)]

    # --- what is in a record ---

    def _seeded(self, what: str, number: int) -> bytes:
        return hashlib.blake2b(f"{what}:{number}".encode(), key=self._key, digest_size=48).digest()

    def _chance(self, number: int, place: int) -> float:
        """A number below 1 that belongs to this record; each place of the digest gives another."""
        digest = self._digest("image", number)
        return (digest[place] << 8 | digest[place + 1]) / 65536

    def recid(self, number: int) -> int:
        """The field, which is the record's own number unless the options say otherwise."""
        own = number
        if self.settings.duplicate_recids and self._chance(number, 22) < self.settings.duplicate_recids:
            own = number - 1 if number > self.settings.first_recid else number
        return own + self.settings.recid_shift

    def contact_of(self, number: int) -> int:
        return 1 + int.from_bytes(self._digest("image", number)[16:20]) % self.settings.contacts

    def _image(self, number: int) -> dict[str, Value]:
        digest = self._digest("image", number)
        recid: Value = self.recid(number)
        if self.settings.text_recids and self._chance(number, 24) < self.settings.text_recids:
            recid = f"{recid} (old)"
        taken = self._birth + timedelta(days=int.from_bytes(digest[20:22]) % 7000)
        values: dict[str, Value] = {
            "id": _uuid(digest),
            "id_Contact": self.contact_id(self.contact_of(number)),
            "date": "" if digest[28] < 5 else taken,
            "Type": TYPES[digest[29] % len(TYPES)],
            "recid": recid,
            "Name of file": f"IMG_{number:05d}.JPG",
            "fileNane": f"IMG_{number:05d}",
            "filesize": f".{1 + digest[30] % 9:02d} MB",
            "NexusExportDate": ("", "1", f"{taken:%m/%d/%Y} 10:00:00", taken.isoformat())[digest[31] % 4],
            "Keyword": [TYPES[digest[32] % len(TYPES)].lower(), "", "left" if digest[33] % 2 else ""],
            "AgeInDays": (date(2024, 1, 1) - taken).days,
            "modified": datetime(taken.year, taken.month, taken.day, digest[34] % 24, digest[35] % 60),  # noqa: DTZ001
        }
        values |= {name: self.holding(number, name) for name in CONTAINERS}
        return values

    def image_id(self, number: int) -> str:
        return str(self.images.changed(number).get("id", _uuid(self._digest("image", number))))

    def contact_id(self, contact: int) -> str:
        return _uuid(self._digest("contact", contact))

    def _contact(self, number: int) -> dict[str, Value]:
        return {"id": self.contact_id(number), "recid": number, "Images::Count": len(self.images_of(number))}

    def images_of(self, contact: int) -> list[int]:
        """The records of one contact; whoever asks first waits until all of them were looked at."""
        if self._of_contact is None or self._of_contact[0] != self.images.version:
            found: dict[int, list[int]] = {}
            for number in self.images.numbers():
                found.setdefault(self.contact_of(number), []).append(number)
            self._of_contact = (self.images.version, found)
        return self._of_contact[1].get(contact, [])

    # --- containers ---

    def in_container(self, number: int, container: str) -> Value:
        """What a record has in a container: a holding, or what a client has put there."""
        return self.images.changed(number).get(container) or self.holding(number, container)

    def holding(self, number: int, container: str) -> Holding:
        """What is in one container of one photograph."""
        settings = self.settings
        step = CONTAINERS.index(container)
        form = self._form(number)
        if settings.dead_share and self._chance(number, 36) < settings.dead_share:
            kinds = settings.dead_kinds
            return Holding(number, container, form, kinds[self._digest("image", number)[38] % len(kinds)])
        first = self._first_filled(number)
        if step < first:
            return Holding(
                number, container, form, "question" if self._digest("image", number)[39] % 4 == 0 else "empty"
            )
        if step == first and settings.broken_largest and self._chance(number, 40) < settings.broken_largest:
            return Holding(number, container, form, "broken" if first < len(CONTAINERS) - 1 else None)
        return Holding(number, container, form)

    def _form(self, number: int) -> Format:
        chance = self._chance(number, 42)
        if chance < self.settings.png_share:
            return "png"
        return "heic" if self._heic and chance < self.settings.png_share + self.settings.heic_share else "jpg"

    def _first_filled(self, number: int) -> int:
        if self._chance(number, 44) >= self.settings.smaller_share:
            return 0
        return 1 + self._digest("image", number)[46] % (len(CONTAINERS) - 1)

    def content(self, holding: Holding) -> bytes:
        """The bytes in a container, sound or not."""
        sound = picture(holding.container, holding.form, holding.record, self.settings.picture_bytes)
        if holding.dead == "broken":
            # Long enough for its header, too short to be decoded.
            return sound[: len(sound) // 2]
        if holding.dead == "garbage":
            return hashlib.shake_128(f"{holding.record}{holding.container}".encode()).digest(2_000)
        if holding.dead is not None:
            return b""
        return sound

    def proof(self, value: Value, name: str) -> dict[str, Value]:
        """What GetContainerAttribute says of a container."""
        if isinstance(value, Holding) and not value.empty:
            data, file_name = self.content(value), f"IMG_{value.record:05d}.{value.form.upper()}"
        elif isinstance(value, Upload):
            data, file_name = value.data, value.name
        else:
            return {f"{name}_{what}": "" for what in ("MD5", "fileSize", "filename")}
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
        return {f"{name}_MD5": digest, f"{name}_fileSize": len(data), f"{name}_filename": file_name}

    def truth(self) -> Iterator[dict[str, Any]]:
        """For the judge: each photograph, where its best picture is and which bytes those are, or why there is none."""
        for number in self.images.numbers():
            values = self.images.values(number)
            row: dict[str, Any] = {"record": number, "recid": values["recid"], "id": values["id"], "container": None}
            row["id_Contact"] = values["id_Contact"]
            row["date"] = str(values["date"])
            row["dead"] = next((one.dead for name in CONTAINERS if isinstance(one := values[name], Holding)), None)
            for name in CONTAINERS:
                data, form = self._sound(values[name])
                if data is not None:
                    row |= {"container": name, "dead": None, "bytes": len(data), "extension": form}
                    row["sha256"] = hashlib.sha256(data).hexdigest()
                    row["md5"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
                    break
            yield row

    def _sound(self, value: Value) -> tuple[bytes | None, str]:
        if isinstance(value, Upload):
            return value.data, value.name.rpartition(".")[2].lower()
        if isinstance(value, Holding) and value.dead is None:
            return self.content(value), value.form
        return None, ""

    # --- by recid ---

    def in_recid_order(self) -> array[int]:
        """(recid, record) as one integer each, sorted; `record_of` takes them apart."""
        if self._recid_version != self.images.version:
            self._by_recid = array("q", sorted(self._key_of(number) for number in self.images.numbers()))
            self._recid_version = self.images.version
        return self._by_recid

    def _key_of(self, number: int) -> int:
        recid = self.images.changed(number).get("recid", self.recid(number))
        return (int(recid) if isinstance(recid, int | float) else 0) * _SHIFT + number

    def add_image(self, values: Mapping[str, Value] | None = None) -> int:
        """A new photograph; cheap also among many."""
        order = self.in_recid_order()
        number = self.images.add(values)
        insort(order, self._key_of(number))
        self._recid_version = self.images.version
        return number

    def remove_image(self, number: int) -> bool:
        order = self.in_recid_order()
        key = self._key_of(number)
        if not self.images.remove(number):
            return False
        order.pop(bisect_left(order, key))
        self._recid_version = self.images.version
        return True


def record_of(key: int) -> int:
    return key % _SHIFT


def recid_key(recid: float) -> int:
    """Where the records with this recid begin in the order."""
    return int(recid) * _SHIFT


def _uuid(digest: bytes) -> str:
    return str(uuid.UUID(bytes=digest[:16], version=4)).upper()
