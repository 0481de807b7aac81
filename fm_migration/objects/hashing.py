"""SHA-256 of objects, read piece by piece, a few objects at a time: memory is bounded whatever their number and size.

Belongs here: reading to the end, trying again, and which failure is the object's own. Does not belong here: what a
hash is compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from fm_migration.errors import ObjectStoreError
from fm_migration.objects.ahead import read_ahead
from fm_migration.objects.failures import ObjectChangedError, ObjectMissingError
from fm_migration.objects.store import ObjectStore
from fm_migration.retrying import retry

THREADS = 2
#: Objects that are being read or wait for their turn: one large object does not keep the other thread idle.
AHEAD = 16
#: Beyond the client's own tries within seconds: for a store that is away for a minute.
ATTEMPTS = 5
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0


class Wanted(NamedTuple):
    """An object to read; with an ETag exactly that version of it."""

    key: str
    etag: str | None


class Hashed(NamedTuple):
    """What was read, or why it could not be: `gone`, `changed` or `refused`."""

    key: str
    bytes: int
    sha256: str
    trouble: str = ""


def hash_objects(store: ObjectStore, wanted: Iterable[Wanted], *, threads: int = THREADS) -> Iterator[Hashed]:
    """The hash of each object, in the order in which they were asked for."""
    with ThreadPoolExecutor(threads, thread_name_prefix="hash") as pool:
        yield from read_ahead(pool, wanted, partial(hash_object, store), most=AHEAD)


def hash_object(store: ObjectStore, wanted: Wanted) -> Hashed:
    """Read one object to its end. Raises only what is not this object's own trouble."""
    try:
        return _read(store, wanted)
    except ObjectMissingError:
        return Hashed(wanted.key, 0, "", "gone")
    except ObjectChangedError:
        return Hashed(wanted.key, 0, "", "changed")
    except ObjectStoreError:
        return Hashed(wanted.key, 0, "", "refused")


def _read(store: ObjectStore, wanted: Wanted) -> Hashed:
    def once() -> Hashed:
        digest, size = hashlib.sha256(), 0
        for piece in store.stream(wanted.key, etag=wanted.etag or None):
            digest.update(piece)
            size += len(piece)
        return Hashed(wanted.key, size, digest.hexdigest())

    return retry(once, attempts=ATTEMPTS, first_wait=FIRST_WAIT, longest_wait=LONGEST_WAIT)
