"""The state of a prefix in one word: equal fingerprints mean equal keys with equal contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from fm_migration.objects.facts import ObjectFacts

_WIDTH = 16


@dataclass(frozen=True)
class ListingState:
    """How many objects a listing held, how large they are together, and their fingerprint."""

    objects: int
    bytes: int
    fingerprint: str


def state_of(listing: Iterable[ObjectFacts]) -> ListingState:
    """The order of the listing does not matter: the hashes are added up, so parallel listings agree."""
    objects = total = sum_of_hashes = 0
    for facts in listing:
        objects += 1
        total += facts.size
        digest = hashlib.blake2b(f"{facts.key}\0{facts.etag}\0{facts.size}".encode(), digest_size=_WIDTH).digest()
        sum_of_hashes = (sum_of_hashes + int.from_bytes(digest)) % (1 << 8 * _WIDTH)
    return ListingState(objects, total, f"{objects}-{sum_of_hashes:032x}")
