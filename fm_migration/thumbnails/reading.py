"""Originals read from the store, a few ahead of whoever takes them.

Belongs here: bounds, retries, and which failure is the object's and which is the store's. Does not belong here: what
the bytes are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fm_migration.errors import ObjectStoreError
from fm_migration.objects.failures import ObjectChangedError, ObjectMissingError
from fm_migration.objects.store import ObjectStore
from fm_migration.retrying import retry
from fm_migration.thumbnails.thumbnailing import Pending

#: The client itself tries five times within seconds; these cover a store that is away for a minute or two.
ATTEMPTS = 5
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
THREADS = 4
#: Bytes of originals that may be held at a time, by their listed size; a larger one is held alone.
READ_AHEAD_BYTES = 64 * 1024 * 1024
#: Of an original that the listing does not know.
_SUPPOSED_BYTES = 4 * 1024 * 1024

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class FetchedOriginal:
    """An original as it was read, or why it could not be had."""

    pending: Pending
    etag: str
    data: bytes | None
    #: The clinic's own thumbnail of it, if there is one.
    existing: bytes | None = None
    trouble: str = ""
    #: Whether the trouble is the object's size.
    too_large: bool = False
    #: Whether the store refused, rather than missed, the object.
    refused: bool = False


def read_original(store: ObjectStore, pending: Pending, largest: int) -> FetchedOriginal:
    """Read what was listed, and nothing else. Raises only what is not this object's own trouble."""
    etag = pending.etag or ""
    if pending.size is not None and pending.size > largest:
        return FetchedOriginal(pending, etag, None, trouble="too large a file", too_large=True)
    try:
        if pending.etag is None:
            etag = with_retries(lambda: store.head(pending.source_key).etag)
        data = with_retries(lambda: store.read(pending.source_key, etag=etag or None, max_bytes=largest))
    except (ObjectMissingError, ObjectChangedError) as error:
        return FetchedOriginal(pending, etag, None, trouble=error.found)
    except ObjectStoreError as error:
        return FetchedOriginal(pending, etag, None, trouble=error.found, refused=True)
    return FetchedOriginal(pending, etag, data, _read_existing(store, pending.existing_key, largest))


def _read_existing(store: ObjectStore, key: str | None, largest: int) -> bytes | None:
    """A thumbnail that cannot be had is none."""
    if not key:
        return None
    try:
        return with_retries(lambda: store.read(key, max_bytes=largest))
    except ObjectStoreError:
        return None


def with_retries(call: Callable[[], Answer]) -> Answer:
    """Call, and again after a pause as long as the failure may go away by itself."""
    return retry(call, attempts=ATTEMPTS, first_wait=FIRST_WAIT, longest_wait=LONGEST_WAIT)


def size_of(pending: Pending) -> int:
    """Roughly what it takes to hold an original."""
    return _SUPPOSED_BYTES if pending.size is None else pending.size
