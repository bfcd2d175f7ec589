"""Keys that were there lately, without the keys: their hashes, in the order in which they came."""

from __future__ import annotations

from array import array
from random import getrandbits
from typing import Final

_BUCKETS: Final = 8
_PLACE: Final = "I"
_AT_ONCE: Final = 1024
"""Keys that one addition forgets at the most, when there are suddenly far fewer to remember."""


class RecentKeys:
    """A set of keys in the order in which they came, at 26 bytes a key, whatever the keys themselves take.

    It keeps the hash of a key, not the key, so two keys of one hash (64 bits) are one key here. A hash table
    in arrays: a bucket is the head of a chain of places, and a list goes through all places from the oldest
    key to the youngest. It grows by one bucket at a time (linear hashing: Litwin, VLDB 1980), so no operation
    takes long, however many keys there are. The hash is salted, or a client that chooses its keys well could
    make one long chain of them. See decision 79 in notes.md.
    """

    __slots__ = ("_arrays", "_free", "_marks", "_mask", "_salt", "_size")

    def __init__(self) -> None:
        self._salt = getrandbits(60)
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self._size = 0
        self._marks = bytearray()
        self._mask = 2 * _BUCKETS - 1
        self._free = 0  # the first of the places without a key, chained
        # The hash of each place, the next of its chain, the next younger and the next older; the heads of
        # the chains. Place 0 is no key's: it is before the oldest, after the youngest, and ends each chain.
        ends = [array(_PLACE, (0,)) for _ in range(3)]
        self._arrays = (array("q", (0,)), *ends, array(_PLACE, [0] * _BUCKETS))

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: object) -> bool:
        return bool(self._find(key))

    def mark(self, key: object) -> int | None:
        """Return what ``key`` was marked with; ``None`` when it is not there."""
        place = self._find(key)
        if not place:
            return None
        return self._marks[place] if place < len(self._marks) else 0

    def add(self, key: object, most: int, mark: int = 0) -> None:
        """Add ``key``, which must not be there, as the youngest; keep the ``most`` youngest, 1 or more.

        A mark is a number below 256; where one is above 0, all take a byte.
        Of far too many it forgets 1,024 at a time, half a millisecond.
        """
        hashes, chained, newer, older, heads = self._arrays
        mask = self._mask
        for _ in range(min(_AT_ONCE, self._size - most)):
            self._remove(newer[0])
        hashed = hash((self._salt, key))
        if self._size >= most:  # the place of the oldest is that of the youngest from now on
            place = newer[0]
            bucket = hashes[place] & mask
            if bucket >= len(heads):
                bucket &= mask >> 1
            if heads[bucket] == place:
                heads[bucket] = chained[place]
            else:
                self._unchain(heads[bucket], place)
            oldest = newer[0] = newer[place]
            older[oldest] = 0
            hashes[place] = hashed
        else:
            self._size += 1
            if self._size > len(heads):
                self._split()
                mask = self._mask
            place = self._free
            if place:
                self._free = chained[place]
                hashes[place] = hashed
            else:
                place = len(hashes)
                hashes.append(hashed)
                for links in (chained, newer, older):
                    links.append(0)
        youngest = older[0]
        newer[youngest] = older[0] = place
        older[place] = youngest
        newer[place] = 0
        bucket = hashed & mask
        if bucket >= len(heads):
            bucket &= mask >> 1
        chained[place] = heads[bucket]
        heads[bucket] = place
        if mark or self._marks:
            self._set_mark(place, mark)

    def discard(self, key: object) -> bool:
        """Forget ``key``; return whether it was there."""
        if not self._size:
            return False
        hashes, chained, _, _, heads = self._arrays
        hashed = hash((self._salt, key))
        bucket = hashed & self._mask
        place = heads[bucket if bucket < len(heads) else bucket & (self._mask >> 1)]
        while place:
            if hashes[place] == hashed:
                self._remove(place)
                return True
            place = chained[place]
        return False

    def _set_mark(self, place: int, mark: int) -> None:
        missing = 1 + place - len(self._marks)
        if missing > 0:
            self._marks.extend(bytes(missing))
        self._marks[place] = mark

    def _find(self, key: object) -> int:
        hashes, chained, _, _, heads = self._arrays
        hashed = hash((self._salt, key))
        bucket = hashed & self._mask
        place = heads[bucket if bucket < len(heads) else bucket & (self._mask >> 1)]
        while place and hashes[place] != hashed:
            place = chained[place]
        return place

    def _remove(self, place: int) -> None:
        hashes, chained, newer, older, heads = self._arrays
        bucket = hashes[place] & self._mask
        if bucket >= len(heads):
            bucket &= self._mask >> 1
        if heads[bucket] == place:
            heads[bucket] = chained[place]
        else:
            self._unchain(heads[bucket], place)
        younger, elder = newer[place], older[place]
        newer[elder], older[younger] = younger, elder
        chained[place] = self._free
        self._free = place
        self._size -= 1

    def _unchain(self, before: int, place: int) -> None:
        chained = self._arrays[1]
        while (after := chained[before]) != place:
            before = after
        chained[before] = chained[place]

    def _split(self) -> None:
        """Add a bucket, and move those that belong into it out of the bucket that they have shared."""
        hashes, chained, _, _, heads = self._arrays
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
