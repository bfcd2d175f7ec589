"""Keys that were there lately, without the keys: their hashes, in the order in which they came."""

from __future__ import annotations

from array import array
from typing import Final

from async_backfill._common.hashed_places import IN_TABLE, HashedPlaces

_PLACE: Final = "I"
_REST_AT: Final = 48
_AT_ONCE: Final = 1024
"""Keys that one addition forgets at the most, when there are suddenly far fewer to remember."""


class RecentKeys(HashedPlaces):
    """A set of keys in the order in which they came, at 20 or 21 bytes a key, whatever the keys take.

    It keeps 48 bits of the hash of a key, not the key, so two keys of one hash are one key here: one lookup
    in seventy million, with four million keys. A list goes through all places, from the oldest key to the
    youngest. See decision 79 in notes.md.
    """

    __slots__ = ("_marks", "_newer", "_older", "_rests", "_size")

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self._empty()
        self._size = 0
        # The next younger and the next older of each place: place 0 is before the oldest, after the youngest.
        self._newer = array(_PLACE, (0,))
        self._older = array(_PLACE, (0,))
        self._rests = array("h", (0,))  # the highest bits of the hash
        self._marks = bytearray()

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
        newer, older = self._newer, self._older
        for _ in range(min(_AT_ONCE, self._size - most)):
            self._remove(newer[0])
        chained, heads = self._chained, self._heads
        if self._size >= most:  # the place of the oldest is that of the youngest from now on
            place = newer[0]
            bucket = self._hashes[place] & self._mask
            if bucket >= len(heads):
                bucket &= self._mask >> 1
            if heads[bucket] == place:
                heads[bucket] = chained[place]
            else:
                self._unchain(heads[bucket], place)
            oldest = newer[0] = newer[place]
            older[oldest] = 0
        else:
            self._size += 1
            place = self._new_place()
            if place == len(newer):
                for facts in (newer, older, self._rests):
                    facts.append(0)
        youngest = older[0]
        newer[youngest] = older[0] = place
        older[place] = youngest
        newer[place] = 0
        hashed = hash((self._salt, key))
        self._rests[place] = hashed >> _REST_AT
        hashed = self._hashes[place] = hashed & IN_TABLE
        bucket = hashed & self._mask
        if bucket >= len(heads):
            bucket &= self._mask >> 1
        chained[place] = heads[bucket]
        heads[bucket] = place
        if mark or self._marks:
            self._set_mark(place, mark)

    def discard(self, key: object) -> bool:
        """Forget ``key``; return whether it was there."""
        place = self._find(key)
        if place:
            self._remove(place)
        return bool(place)

    def _set_mark(self, place: int, mark: int) -> None:
        missing = 1 + place - len(self._marks)
        if missing > 0:
            self._marks.extend(bytes(missing))
        self._marks[place] = mark

    def _find(self, key: object) -> int:
        heads, hashes, chained = self._heads, self._hashes, self._chained
        hashed = hash((self._salt, key))
        in_table = hashed & IN_TABLE
        bucket = in_table & self._mask
        place = heads[bucket if bucket < len(heads) else bucket & (self._mask >> 1)]
        while place:
            if hashes[place] == in_table and self._rests[place] == hashed >> _REST_AT:
                return place
            place = chained[place]
        return 0

    def _remove(self, place: int) -> None:
        self._unlink(place)
        younger, elder = self._newer[place], self._older[place]
        self._newer[elder], self._older[younger] = younger, elder
        self._free_place(place)
        self._size -= 1
