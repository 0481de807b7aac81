"""The certificate: what was migrated, original by original, in one file that nobody can alter unnoticed.

Belongs here: the form of the file, making it, and checking it by itself. Does not belong here: comparing it with the
database and the bucket (`verifying.py`).

The file is JSON Lines in ASCII, each line ended by a newline: a head (what was read, when, by which versions), a line
for each waiver, a line for each original in the order of the keys' bytes, and a seal. The lines of the originals, as
they stand and without their newlines, are the leaves of the Merkle tree of `merkle.py`. The seal says how many there
are, the tree's root, and the SHA-256 of all bytes before it; nothing in it is free, so that a change of any byte of
the file shows. Whoever forges a file whole can forge a seal too: keep the hash of the file somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine

import fm_migration
from fm_migration.certificate import sql
from fm_migration.certificate.merkle import MerkleTree
from fm_migration.clinic import contract
from fm_migration.errors import FmMigrationError
from fm_migration.ledger import schema
from fm_migration.ledger.sql import Script
from fm_migration.linking import applying
from fm_migration.objects.hashing import Hashed, Wanted, hash_objects
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "certificate")
FORMAT = "fm_migration certificate 1"
#: Rows that are fetched at a time.
PAGE = 5_000
#: No line of ours comes near: a key has 1,024 bytes at most. The head may list a few thousand prefixes.
LONGEST_LINE = 1 << 20
#: Why an original has no hash: nobody has read it, or it could not be had when it was to be read.
NEVER_READ = "never"

OnProgress = Callable[[str, int, int], None]


class CertificateError(FmMigrationError):
    """A certificate that cannot be made, or a file that is none, or not as it was written."""


@dataclass(frozen=True)
class CertifiedWaiver:
    """A finding that the clinic accepts."""

    finding_class: str
    subject: str
    reason: str
    date: str | None = None


@dataclass(frozen=True)
class Certificate:
    """What a file certifies. The originals themselves are read from it line by line (`originals_of`)."""

    path: Path
    head: Mapping[str, Any]
    waivers: int
    originals: int
    bytes: int
    #: Originals whose bytes were read, and whose SHA-256 is in the file.
    read: int
    bytes_read: int
    #: The others, by why.
    unread: Mapping[str, int]
    merkle_root: str
    #: Of the whole file: what `sha256sum` says.
    sha256: str

    @property
    def complete(self) -> bool:
        return self.read == self.originals


@dataclass(frozen=True, slots=True)
class CertifiedOriginal:
    """A line of the file."""

    key: str
    bytes: int
    etag: str
    #: None when nobody has read its bytes; `unread` then says why.
    sha256: str | None
    unread: str | None
    recid: str | None
    state: str | None
    #: The image that showed it on a living patient's record.
    image: str | None


@dataclass
class _Sums:
    """What the seal says, added up line by line."""

    tree: MerkleTree = field(default_factory=MerkleTree)
    all_bytes: int = 0
    read: int = 0
    bytes_read: int = 0
    unread: dict[str, int] = field(default_factory=dict)

    def add(self, line: bytes, original: CertifiedOriginal) -> None:
        self.tree.add(line)
        self.all_bytes += original.bytes
        if original.sha256 is None:
            why = original.unread or NEVER_READ
            self.unread[why] = self.unread.get(why, 0) + 1
        else:
            self.read += 1
            self.bytes_read += original.bytes

    def seal(self, body_sha256: str) -> dict[str, Any]:
        return {
            "kind": "seal",
            "originals": self.tree.leaves,
            "bytes": self.all_bytes,
            "read": self.read,
            "bytes_read": self.bytes_read,
            "unread": dict(sorted(self.unread.items())),
            "merkle_root": self.tree.root().hex(),
            "sha256_before_seal": body_sha256,
        }


def certify(
    engine: Engine,
    settings: Settings,
    path: Path,
    store: ObjectStore | None = None,
    *,
    waivers: Iterable[CertifiedWaiver] | None = None,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Certificate:
    """Write a certificate of what is there now. With a store, every original is read to its end first.

    `waivers` are by default those of the newest report. Nothing is overwritten, and the file appears when it is whole.
    """
    if path.exists():
        raise CertificateError("writing", str(path), "there is such a file", "Choose another name with --output")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    try:
        with tempfile.TemporaryFile() as spool, draft.open("wb") as file:
            head, given = _read_database(engine, settings, spool, waivers, read_all=store is not None)
            _write(file, head, given, _originals(spool, store, head["listing"]["originals"], on_progress))
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return check_file(path)


def check_file(path: Path) -> Certificate:
    """Read a file to its end and compare every hash in it; CertificateError where one byte is not as it was."""
    return _Reading(path).run()


def originals_of(path: Path) -> Iterator[CertifiedOriginal]:
    """The originals of a file that was checked."""
    with path.open("rb") as file:
        for line in file:
            facts = json.loads(line)
            if facts["kind"] == "original":
                yield _as_original(facts)


def as_line(facts: Mapping[str, Any]) -> bytes:
    """The one way to write a line: ASCII, no blanks, no newline."""
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=True).encode("ascii")


# --- making ------------------------------------------------------------------------------------------------------


def _read_database(
    engine: Engine, settings: Settings, spool: IO[bytes], waivers: Iterable[CertifiedWaiver] | None, *, read_all: bool
) -> tuple[dict[str, Any], list[CertifiedWaiver]]:
    """The head, the waivers, and every original into the spool, all as of one moment.

    The bytes are read after this: that may take hours, and nobody wants a transaction of hours in their database.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        schema.require_current(connection)
        contract.verify(connection)
        head = _head(connection, settings, read_all=read_all)
        given = _waivers_of(connection) if waivers is None else list(waivers)
        query = _SQL["originals"]
        parameters = {"content_type": contract.patient_content_type_id(connection)}
        count = 0
        streaming = connection.execution_options(stream_results=True, yield_per=PAGE)
        for row in streaming.execute(query, parameters).mappings():
            spool.write(as_line(dict(row)) + b"\n")
            count += 1
    head["listing"]["originals"] = count
    return head, given


def _head(connection: Connection, settings: Settings, *, read_all: bool) -> dict[str, Any]:
    basis = _SQL.ask(connection, "basis")
    for name, asset in (("export_read", "csv_metadata"), ("snapshot", "s3_inventory"), ("plan", "link_plan")):
        if basis[name] is None:
            raise CertificateError("certifying", asset, "it was never made", "Run the job import_photographs first")
    states = dict(sorted(basis["states"].items()))
    counted = sum(states.values())
    if counted != basis["rows_read"]:
        raise CertificateError(
            "certifying",
            "the rows of the export",
            f"{basis['rows_read']:,} rows were read, and the plan gives {counted:,} rows a state",
            "Materialize link_plan: it is of an older export than the one that was read last",
        )
    return {
        "kind": "head",
        "format": FORMAT,
        "made_at": _iso(datetime.now(UTC)),
        "rows": {"read": basis["rows_read"], "refused": basis["rows_refused"], "states": states},
        "export": {
            "id": basis["export_read"],
            "read_at": _iso(basis["read_at"]),
            "sha256": basis["export_sha256"],
            "bytes": basis["export_bytes"],
        },
        "listing": {
            "id": basis["snapshot"],
            "started_at": _iso(basis["listed_at"]),
            "bucket": basis["bucket"],
            "prefixes": list(settings.original_prefixes),
        },
        "plan": {
            "id": basis["plan"],
            "hash": basis["plan_hash"],
            "made_at": _iso(basis["planned_at"]),
            "applied_at": _iso(basis["applied_at"]),
        },
        "patients_read": basis["patient_read"],
        "report": basis["report"],
        "images_visible": applying.visible_images(connection),
        "every_original_was_to_be_read": read_all,
        "versions": {
            "fm_migration": fm_migration.__version__,
            "schema": schema.current_revision(connection),
        },
    }


def _waivers_of(connection: Connection) -> list[CertifiedWaiver]:
    rows = connection.execute(_SQL["waivers"])
    return [CertifiedWaiver(row[0], row.subject, row.reason) for row in rows]


def _originals(
    spool: IO[bytes], store: ObjectStore | None, total: int, on_progress: OnProgress
) -> Iterator[dict[str, Any]]:
    if store is None:
        yield from _spooled(spool)
        return
    # One pass asks, the other takes what was read: both in the same order, so neither has to wait in memory.
    hashes = hash_objects(store, (Wanted(facts["key"], facts["etag"]) for facts in _spooled(spool)))
    with tempfile.TemporaryFile() as read:
        for done, hashed in enumerate(hashes, start=1):
            read.write(as_line(hashed._asdict()) + b"\n")
            on_progress("originals read", done, total)
        for facts, line in zip(_spooled(spool), _lines(read), strict=True):
            yield _with_hash(facts, Hashed(**json.loads(line)))


def _with_hash(facts: dict[str, Any], hashed: Hashed) -> dict[str, Any]:
    # What is longer or shorter than it was listed is another object, whatever its ETag says.
    trouble = hashed.trouble or ("changed" if hashed.bytes != facts["bytes"] else "")
    return {**facts, "sha256": None if trouble else hashed.sha256, "unread": trouble or None}


def _spooled(spool: IO[bytes]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in _lines(spool))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from file


def _write(
    file: IO[bytes], head: Mapping[str, Any], waivers: Sequence[CertifiedWaiver], originals: Iterable[Mapping[str, Any]]
) -> None:
    body, sums = hashlib.sha256(), _Sums()

    def put(facts: Mapping[str, Any]) -> bytes:
        line = as_line(facts)
        body.update(line + b"\n")
        file.write(line + b"\n")
        return line

    put(head)
    for waiver in waivers:
        put({"kind": "waiver", **{"class" if n == "finding_class" else n: v for n, v in vars(waiver).items()}})
    for facts in originals:
        original = _as_original(facts)
        sums.add(put(_facts_of(original)), original)
    file.write(as_line(sums.seal(body.hexdigest())) + b"\n")


def _as_original(facts: Mapping[str, Any]) -> CertifiedOriginal:
    unread = facts.get("unread")
    sha256 = facts["sha256"]
    return CertifiedOriginal(
        key=facts["key"],
        bytes=facts["bytes"],
        etag=facts["etag"],
        sha256=sha256,
        unread=None if sha256 is not None else unread or NEVER_READ,
        recid=facts["recid"],
        state=facts["state"],
        image=facts["image"],
    )


def _facts_of(original: CertifiedOriginal) -> dict[str, Any]:
    return {"kind": "original", **{name: getattr(original, name) for name in CertifiedOriginal.__slots__}}


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


# --- checking the file by itself ---------------------------------------------------------------------------------


class _Reading:
    """One reading of a file, from its first byte to its last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: Mapping[str, Any] | None = None
        self._waivers = 0
        self._sums = _Sums()
        self._last_key: bytes | None = None
        self._number = 0

    def run(self) -> Certificate:
        body = hashlib.sha256()
        with self._opened() as file:
            line = self._next(file)
            while following := self._next(file):
                body.update(line)
                self._take(line)
                line = following
        whole = body.copy()
        whole.update(line)
        seal = self._sums.seal(body.hexdigest())
        if self._head is None or line != as_line(seal) + b"\n":
            raise self._broken("it is not as it was written, or its end is missing")
        return Certificate(
            path=self._path,
            head=self._head,
            waivers=self._waivers,
            originals=seal["originals"],
            bytes=seal["bytes"],
            read=seal["read"],
            bytes_read=seal["bytes_read"],
            unread=seal["unread"],
            merkle_root=seal["merkle_root"],
            sha256=whole.hexdigest(),
        )

    def _opened(self) -> IO[bytes]:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise CertificateError(
                "reading", str(self._path), f"it cannot be opened ({error.strerror})", "Name the file of a certificate"
            ) from None

    def _next(self, file: IO[bytes]) -> bytes:
        line = file.readline(LONGEST_LINE)
        self._number += 1
        if line and not line.endswith(b"\n"):
            raise self._broken(f"line {self._number:,} does not end as it should")
        return line

    def _take(self, line: bytes) -> None:
        """Everything but the seal. Which line is wrong is a help only: the hashes decide."""
        try:
            taken = self._took(line[:-1], json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            taken = False
        if not taken:
            raise self._broken(f"line {self._number - 1:,} is not as it was written")

    def _took(self, line: bytes, facts: Any) -> bool:
        """Whether a line is one of ours in its place."""
        if line != as_line(facts):
            return False
        kind = facts["kind"]
        if self._head is None:
            self._take_head(kind, facts)
        elif kind == "waiver" and self._last_key is None:
            self._waivers += 1
        elif kind == "original":
            return self._took_original(line, _as_original(facts))
        else:
            return False
        return True

    def _take_head(self, kind: str, facts: Mapping[str, Any]) -> None:
        if kind != "head" or facts["format"] != FORMAT:
            raise self._broken(f"it does not begin as a file of the format {FORMAT!r}")
        self._head = facts

    def _took_original(self, line: bytes, original: CertifiedOriginal) -> bool:
        key = original.key.encode("utf-8", "surrogatepass")
        if self._last_key is not None and key <= self._last_key:
            return False
        self._last_key = key
        self._sums.add(line, original)
        return True

    def _broken(self, found: str) -> CertificateError:
        return CertificateError(
            "checking", str(self._path), found, "Take the copy that you keep elsewhere; this one proves nothing"
        )
