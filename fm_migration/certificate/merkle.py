"""The Merkle tree of RFC 6962 over any number of leaves, one at a time: it holds one hash for each bit of their count.

    hash of a leaf   SHA-256(0x00 | the leaf's bytes)
    hash of a node   SHA-256(0x01 | hash of its left part | hash of its right part)

The left part is the largest power of two that is smaller than the number of leaves. The two first bytes differ, so
that no node can be passed off as a leaf. The root of no leaves is SHA-256 of nothing.
"""

from __future__ import annotations

import hashlib


class MerkleTree:
    """Leaves in, root out."""

    def __init__(self) -> None:
        #: Roots of complete parts from left to right, each with the number of its leaves, which get smaller.
        self._parts: list[tuple[int, bytes]] = []
        self.leaves = 0

    def add(self, leaf: bytes) -> None:
        self.leaves += 1
        part = (1, hashlib.sha256(b"\x00" + leaf).digest())
        while self._parts and self._parts[-1][0] == part[0]:
            leaves, left = self._parts.pop()
            part = (2 * leaves, _node(left, part[1]))
        self._parts.append(part)

    def root(self) -> bytes:
        if not self._parts:
            return hashlib.sha256(b"").digest()
        root = self._parts[-1][1]
        for _, left in reversed(self._parts[:-1]):
            root = _node(left, root)
        return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
