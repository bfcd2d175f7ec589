"""Keys with their heats, in arrays, and which of them is the coldest."""

from __future__ import annotations

import heapq
import math
from array import array
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, cast

from async_backfill._common.hashed_places import IN_TABLE, HashedPlaces
from async_backfill._common.key_size import is_long
from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    _Low: TypeAlias = tuple[float, int, int]

TOO_LARGE: Final = 1e200
"""A heat above which all are made smaller."""
_A_BLOCK: Final = 128
_MOST_OUTDATED: Final = 64
"""Blocks that one search brings up to date at the most."""
_SLACK: Final = 64
_NONE: Final = -1
_A_PIECE: Final = 4096


class HeatTable(HashedPlaces, Generic[K]):
    """At most ``size`` keys with their heats, at 28 bytes a key; one that is too many replaces the coldest.

    Heats only rise. A block is 128 places in a row, and a heap of blocks finds the coldest key: each is there
    with the lowest heat that it had when it was last looked at. A block that comes up and has a higher one by
    now goes back with that; else it is opened: its keys that are colder than the next block are replaced
    next. One search brings 64 blocks up to date at the most, then takes the coldest key that it has seen, so
    it is short however many heats have risen. Of equally cold keys the one goes that has been there longest,
    or nearly. See decision 22 in notes.md.

    ``count``
        the number of keys.
    ``heats``
        the heat of each place; infinite for a place without a key.
    """

    __slots__ = ("_keys", "_lowest", "_lows", "_open", "_opened", "_rest", "_size", "_turn", "count", "heats")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self.count = 0
        self.heats = array("d", (math.inf,))
        self._keys: list[K | Absent] = [ABSENT]
        # The lowest heat of each full block, as far as known, and the heap: that, the turn in which it was
        # found, and the block. What differs from `_lows` is no longer true.
        self._lows = array("d")
        self._lowest: list[_Low] = []
        self._turn = 0
        # The block that is open, its coldest keys, the coldest last, and the lowest heat that came since.
        self._open = _NONE
        self._opened: list[tuple[float, int]] = []
        self._rest = math.inf

    def find(self, key: K) -> int:
        """Return the place of ``key``; 0 when it is not there."""
        hashes, chained, heads = self._hashes, self._chained, self._heads
        hashed = hash((self._salt, key)) & IN_TABLE
        bucket = hashed & self._mask
        place = heads[bucket if bucket < len(heads) else bucket & (self._mask >> 1)]
        while place and not (
            hashes[place] == hashed and ((known := self._keys[place]) is key or known == key)
        ):
            place = chained[place]
        return place

    def keys(self) -> Iterator[K]:
        """Return an iterator over the keys that are there now, whatever happens afterwards."""
        return cast("Iterator[K]", filter(_is_key, self._keys[1:]))

    def all_heats(self) -> dict[K, float]:
        """Return the heat of each key."""
        return {key: heat for key, heat in zip(self._keys, self.heats, strict=True) if key is not ABSENT}

    def rise(self, keys: Iterable[K], heat: float, growth: float) -> tuple[int, float]:
        """Add ``heat`` times ``growth`` to the first of ``keys``, to each other that much more again.

        A key that is not there is added, unless it is too long. Before a heat would be too large for a float
        all are made smaller. Return the number of ``keys``, and the heat that the last got.
        """
        hashes, chained, heads, mask = self._hashes, self._chained, self._heads, self._mask
        heats, known, salt = self.heats, self._keys, self._salt
        count = 0
        for key in keys:
            count += 1
            heat *= growth
            hashed = hash((salt, key)) & IN_TABLE
            bucket = hashed & mask
            if bucket >= len(heads):
                bucket &= mask >> 1
            place = heads[bucket]
            while place:  # as in `find`: a call for each lookup would take a third longer
                if hashes[place] == hashed:
                    other = known[place]
                    if other is key or other == key:
                        heats[place] += heat
                        break
                place = chained[place]
            else:
                self.add(key, heat)
                mask = self._mask
            if heat > TOO_LARGE:
                self.scale(1.0 / heat)
                heat = 1.0
        return count, heat

    def add(self, key: K, heat: float) -> None:
        """Add ``key``, which must not be there, unless it is too long."""
        if is_long(key):
            return
        if self.count < self._size:
            self.count += 1
            place = self._new_place()
            self._put(place, key, heat)
        else:
            place = self._replace_coldest(key, heat)
        self._link(place, hash((self._salt, key)) & IN_TABLE)

    def remove(self, key: K) -> None:
        """Remove ``key``; one that is not there is ignored."""
        place = self.find(key)
        if place:
            self._unlink(place)
            self._free_place(place)
            self._keys[place] = ABSENT
            self.heats[place] = math.inf
            self.count -= 1

    def coldest_heat(self) -> float:
        """Return the heat of a coldest key of a full table."""
        return self.heats[self._coldest()]

    def scale(self, factor: float) -> None:
        """Multiply each heat by ``factor``, which must not be above 1.0."""
        heats = self.heats
        self._close()
        for start in range(0, len(heats), _A_PIECE):
            heats[start : start + _A_PIECE] = _scaled(heats[start : start + _A_PIECE], factor)
        lows = self._lows = _scaled(self._lows, factor)
        self._lowest = [(low, block, block) for block, low in enumerate(lows)]
        heapq.heapify(self._lowest)

    def copy(self) -> HeatTable[K]:
        """Return a copy in which keys can be found, and nothing be changed."""
        copied: HeatTable[K] = HeatTable(self._size)
        copied.count, copied.heats, copied._keys = self.count, self.heats[:], self._keys[:]
        copied._salt, copied._mask = self._salt, self._mask
        copied._hashes, copied._chained, copied._heads = self._hashes[:], self._chained[:], self._heads[:]
        return copied

    def _put(self, place: int, key: K, heat: float) -> None:
        """Have ``key`` in a place that had none."""
        block = place // _A_BLOCK
        if place == len(self.heats):
            self.heats.append(heat)
            self._keys.append(key)
            if place % _A_BLOCK == _A_BLOCK - 1 or place == self._size:
                self._lows.append(0.0)
                self._push(block)
            return
        self.heats[place], self._keys[place] = heat, key
        if block == self._open:
            self._rest = min(self._rest, heat)
        elif block < len(self._lows) and heat < self._lows[block]:
            self._push(block)

    def _replace_coldest(self, key: K, heat: float) -> int:
        """Have ``key`` in the place of a coldest key, and return that."""
        place = self._coldest()
        self._opened.pop()
        self._rest = min(self._rest, heat)
        self._unlink(place)
        self._keys[place] = key
        self.heats[place] = heat
        return place

    def _coldest(self) -> int:
        """Return the place of a coldest key of a full table, or nearly, the last in ``_opened``."""
        heats, opened, lowest = self.heats, self._opened, self._lowest
        while opened:
            heat, place = opened[-1]
            if heats[place] == heat:
                if heat <= self._rest and (not lowest or heat <= lowest[0][0]):
                    return place
                break
            self._rest = min(self._rest, heats[place])
            opened.pop()
        self._close()
        coldest = _NONE
        for _ in range(_MOST_OUTDATED):
            low, block = self._next_low(), self._lowest[0][2]
            known = min(heats[block * _A_BLOCK : (block + 1) * _A_BLOCK])
            if known == low:
                coldest = block
                break
            self._push(block)
            if coldest == _NONE or known < self._lows[coldest]:
                coldest = block
        return self._open_block(coldest)

    def _open_block(self, block: int) -> int:
        """Open a block, whose lowest heat is known, and return the place that has it."""
        first, low = block * _A_BLOCK, self._lows[block]
        self._open, self._rest, self._lows[block] = block, math.inf, math.nan
        limit = max(low, self._next_low())
        heats = enumerate(self.heats[first : first + _A_BLOCK], first)
        self._opened = sorted([(heat, place) for place, heat in heats if heat <= limit], reverse=True)
        return self._opened[-1][1]

    def _close(self) -> None:
        if self._open != _NONE:
            block, self._open, self._opened = self._open, _NONE, []
            self._push(block)

    def _next_low(self) -> float:
        """Return the lowest heat in the heap, once what is no longer true is off its top."""
        lowest, lows = self._lowest, self._lows
        while lowest and lowest[0][0] != lows[lowest[0][2]]:
            heapq.heappop(lowest)
        return lowest[0][0] if lowest else math.inf

    def _push(self, block: int) -> None:
        """Put a block into the heap as it is now; what the heap had of it is no longer true."""
        lows = self._lows
        low = lows[block] = min(self.heats[block * _A_BLOCK : (block + 1) * _A_BLOCK])
        self._turn += 1
        if len(self._lowest) > 2 * len(lows) + _SLACK:
            self._lowest = [known for known in self._lowest if known[0] == lows[known[2]]]
            heapq.heapify(self._lowest)
        heapq.heappush(self._lowest, (low, self._turn, block))


def _is_key(key: object) -> bool:
    return key is not ABSENT


def _scaled(heats: array[float], factor: float) -> array[float]:
    return array("d", [heat * factor if heat < math.inf else heat for heat in heats])
