"""A hash table in arrays: numbered places, found by the hash of the key that has them."""

from __future__ import annotations

from array import array
from random import getrandbits
from typing import Final

_FIRST_BUCKETS: Final = 8
_A_BUCKET: Final = 2
_UNSIGNED: Final = "I"
IN_TABLE: Final = 0xFFFF_FFFF
"""The bits of a hash that the table has; who needs to be surer than that compares more."""


class HashedPlaces:
    """Places for keys, ten bytes each: the bits of a hash, the next of its chain, half the head of a chain.

    A bucket is the head of a chain of places, two as a rule. The table grows by one bucket at a time (linear
    hashing: Litwin, VLDB 1980), so no operation takes long, however many keys there are. The hash is salted,
    or a client that chooses its keys well could make one long chain of them. See decision 79 in notes.md.

    Places are numbered from 1; place 0 is no key's, and ends each chain. A subclass keeps what else there is
    to know of a place, and looks keys up by itself, because that must be quick.
    """

    __slots__ = ("_chained", "_free", "_hashes", "_heads", "_mask", "_salt")

    def __init__(self) -> None:
        self._salt = getrandbits(60)
        self._empty()

    def _empty(self) -> None:
        self._hashes = array(_UNSIGNED, (0,))
        self._chained = array(_UNSIGNED, (0,))
        self._heads = array(_UNSIGNED, [0] * _FIRST_BUCKETS)
        self._mask = 2 * _FIRST_BUCKETS - 1
        self._free = 0  # the first of the places without a key, chained

    def _new_place(self) -> int:
        """Return a place without a key: a free one, or one that is added at the end."""
        place = self._free
        if place:
            self._free = self._chained[place]
            return place
        place = len(self._hashes)
        self._hashes.append(0)
        self._chained.append(0)
        if place > _A_BUCKET * len(self._heads):
            self._split()
        return place

    def _free_place(self, place: int) -> None:
        """Let another key have ``place``, which is in no chain any more."""
        self._chained[place] = self._free
        self._free = place

    def _link(self, place: int, hashed: int) -> None:
        """Let keys of the hash ``hashed`` find ``place``, after those that are there longer."""
        heads, chained, bucket = self._heads, self._chained, hashed & self._mask
        if bucket >= len(heads):
            bucket &= self._mask >> 1
        self._hashes[place] = hashed
        chained[place] = 0
        last = heads[bucket]
        if not last:
            heads[bucket] = place
            return
        while after := chained[last]:
            last = after
        chained[last] = place

    def _unlink(self, place: int) -> None:
        """Let no key find ``place`` any more."""
        heads, bucket = self._heads, self._hashes[place] & self._mask
        if bucket >= len(heads):
            bucket &= self._mask >> 1
        if heads[bucket] == place:
            heads[bucket] = self._chained[place]
        else:
            self._unchain(heads[bucket], place)

    def _unchain(self, before: int, place: int) -> None:
        chained = self._chained
        while (after := chained[before]) != place:
            before = after
        chained[before] = chained[place]

    def _split(self) -> None:
        """Add a bucket, and move those that belong into it out of the bucket that they have shared."""
        hashes, chained, heads = self._hashes, self._chained, self._heads
        mask, new = self._mask, len(heads)
        old = new & (mask >> 1)
        place, stay, move = heads[old], 0, 0
        while place:
            after = chained[place]
            if hashes[place] & mask == new:
                chained[place], move = move, place
            else:
                chained[place], stay = stay, place
            place = after
        heads[old] = stay
        heads.append(move)
        if new == mask:
            self._mask = 2 * mask + 1
