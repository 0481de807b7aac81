"""Whether what a certificate says still holds: compared with the bucket and the database, and told by our own ids.

Belongs here: the comparison. Does not belong here: the file itself (`certificate.py`), and judging what is new: a
certificate knows nothing of what came after it, so that is counted and no difference.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy import Connection, Engine, RowMapping, text

from fm_migration.certificate import sql
from fm_migration.certificate.issuing import PAGE, Certificate, OnProgress, as_line, originals_of
from fm_migration.clinic import contract
from fm_migration.ledger import schema
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.sql import Script
from fm_migration.objects import listing
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.hashing import Hashed, Wanted, hash_objects
from fm_migration.objects.keys import KeyKind, KeyLayout, classify
from fm_migration.objects.store import ObjectStore
from fm_migration.settings import Settings

_SQL = Script(sql.__name__, "certificate")
_IMAGES = {
    "gone": "is no longer in the app",
    "other_object": "shows another object",
    "no_batch": "hangs on no batch of a patient",
    "no_patient": "hangs on a batch whose patient does not exist",
}
_TROUBLES = {
    "gone": "is not in the bucket any more",
    "changed": "changed while it was read",
    "refused": "could not be read",
}


@dataclass(frozen=True)
class Deviation:
    """Something that was so when it was certified, and is not now."""

    subject: str
    said: str

    def __str__(self) -> str:
        return f"{self.subject} {self.said}"


@dataclass
class Compared:
    """What was looked at, filled while the differences are read."""

    originals: int = 0
    images: int = 0
    #: Originals whose bytes were read again and were the same.
    read_again: int = 0
    #: Originals that came later.
    new_objects: int = 0
    #: What could not be compared, and why.
    left_out: tuple[str, ...] = ()


def differences(
    certificate: Certificate,
    engine: Engine,
    settings: Settings,
    store: ObjectStore,
    compared: Compared,
    *,
    read_all: bool = False,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Iterator[Deviation]:
    """Every difference, as it is found. With `read_all`, every original that has a hash is read to its end again."""
    with tempfile.TemporaryFile() as spool:
        with engine.connect() as connection:
            schema.require_current(connection)
            contract.verify(connection)
            yield from _of_rows(connection, certificate, compared)
            yield from _of_images(connection, certificate, compared)
            yield from _of_bucket(connection, certificate, settings, store, compared, bytes_decide=read_all)
            total = _spool_hashes(connection, spool) if read_all else 0
        # Outside of the transaction, because this may take hours.
        if read_all:
            yield from _of_bytes(store, compared, spool, total, on_progress)


def _of_rows(connection: Connection, certificate: Certificate, compared: Compared) -> Iterator[Deviation]:
    basis = _SQL.ask(connection, "basis")
    then = certificate.head
    if basis["export_read"] != then["export"]["id"] or basis["export_sha256"] != then["export"]["sha256"]:
        compared.left_out += ("the rows: another export was read since",)
        return
    if basis["rows_read"] != sum(basis["states"].values()):
        yield Deviation("rows of the export", "do not add up to the sum of their states")
    before: Mapping[str, int] = then["rows"]["states"]
    for state in sorted({*before, *basis["states"]}):
        was, now = before.get(state, 0), basis["states"].get(state, 0)
        if was != now:
            yield Deviation(f"state {state}", f"had {was:,} rows and has {now:,}")


def _of_images(connection: Connection, certificate: Certificate, compared: Compared) -> Iterator[Deviation]:
    _do(connection, "prepare")
    rows = ((one.key, one.bytes, one.etag, one.sha256, one.image) for one in originals_of(certificate.path))
    compared.originals = copy_rows(connection, "certified", ("key", "bytes", "etag", "sha256", "image"), rows)
    _do(connection, "analyze")
    compared.images = int(connection.execute(text("select count(image) from certified")).scalar_one())
    for row in _pages(connection, "images", content_type=contract.patient_content_type_id(connection)):
        yield Deviation(f"image {row['image']}", _IMAGES[row["what"]])


def _of_bucket(
    connection: Connection,
    certificate: Certificate,
    settings: Settings,
    store: ObjectStore,
    compared: Compared,
    *,
    bytes_decide: bool,
) -> Iterator[Deviation]:
    of_then = certificate.head["listing"]
    if of_then["bucket"] != store.bucket:
        compared.left_out += (f"that the bucket is the same one: it was {of_then['bucket']} and is {store.bucket}",)
    _do(connection, "prepare_bucket")
    pages = (page for prefix in _outermost(of_then["prefixes"]) for page in listing.list_pages(store, prefix))
    layout = KeyLayout(settings.dump_prefixes, settings.exports_prefixes)
    rows = (_row(facts, layout) for page in pages for facts in page)
    copy_rows(connection, "in_bucket", ("key", "bytes", "etag", "is_original"), rows)
    _do(connection, "analyze_bucket")
    for row in _pages(connection, "gone"):
        yield Deviation(f"object {row['key']}", _TROUBLES["gone"])
    for row in _pages(connection, "changed", bytes_decide=bytes_decide):
        what = "is another one under the same key"
        if row["bytes_then"] != row["bytes_now"]:
            what += f": it had {row['bytes_then']:,} bytes and has {row['bytes_now']:,}"
        yield Deviation(f"object {row['key']}", what)
    new = _SQL.ask(connection, "new_objects")
    compared.new_objects = int(new["objects"])


def _row(facts: ObjectFacts, layout: KeyLayout) -> tuple[object, ...]:
    is_original = classify(facts.key, layout).kind is KeyKind.ORIGINAL
    return (facts.key.replace("\0", "\u2400"), facts.size, facts.etag, is_original)


def _spool_hashes(connection: Connection, spool: IO[bytes]) -> int:
    """What is to be read again, with the hash that it should have; how many there are."""
    count = 0
    for row in _pages(connection, "to_read"):
        spool.write(as_line(dict(row)) + b"\n")
        count += 1
    return count


def _of_bytes(
    store: ObjectStore, compared: Compared, spool: IO[bytes], total: int, on_progress: OnProgress
) -> Iterator[Deviation]:
    expected: deque[str] = deque()
    spool.seek(0)

    def wanted() -> Iterator[Wanted]:
        for line in spool:
            facts = json.loads(line)
            expected.append(facts["sha256"])
            yield Wanted(facts["key"], None)

    for done, hashed in enumerate(hash_objects(store, wanted()), start=1):
        on_progress("originals read again", done, total)
        said = _trouble_of(hashed, expected.popleft())
        if said:
            yield Deviation(f"object {hashed.key}", said)
        else:
            compared.read_again += 1


def _trouble_of(hashed: Hashed, sha256: str) -> str:
    if hashed.trouble:
        return _TROUBLES[hashed.trouble]
    return "" if hashed.sha256 == sha256 else "has other bytes than were certified"


def _outermost(prefixes: list[str]) -> list[str]:
    """One that lies inside another would list its objects twice."""
    return [one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)]


def _do(connection: Connection, step: str) -> None:
    _SQL.run(connection, None, step)


def _pages(connection: Connection, step: str, **parameters: Any) -> Iterator[RowMapping]:
    """The rows of a statement, a few thousand at a time whatever their number."""
    query = _SQL[step]
    options = {"stream_results": True, "yield_per": PAGE}
    yield from connection.execute(query, parameters, execution_options=options).mappings()
