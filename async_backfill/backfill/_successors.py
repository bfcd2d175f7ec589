"""Successors: the keys that usually miss right after a key, to load them in the same source call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._common.key_size import is_long
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Successors(Generic[K]):
    """A log of the latest misses, with the last position of each key in it.

    The keys that missed right after a key's previous miss are likely to be needed right after this one:
    the digram rule of prefetching (Griffioen and Appleton, "Reducing File System Latency using a
    Predictive Approach", USENIX Summer 1994), over misses only and with a window of one occurrence.

    :param most: the largest number of successors of one miss.
    :param size: the number of misses remembered, 1 or more.
    :param is_missing: returns whether a key is neither cached nor in flight nor known to be absent.
    """

    def __init__(self, most: int, size: int, *, is_missing: Callable[[K], bool]) -> None:
        self._most = most
        self._size = size
        self._is_missing = is_missing
        self._log: list[K] = []
        self._positions: dict[K, int] = {}
        self._misses = 0

    def __len__(self) -> int:
        return len(self._log)

    def missed(self, key: K) -> Sequence[K]:
        """Record that ``key`` missed, unless it is too long; return the keys to load with it."""
        if is_long(key):
            return ()
        follow: dict[K, None] = {}
        before = self._positions.get(key)
        if before is not None:
            for position in range(before + 1, min(before + 1 + self._most, self._misses)):
                other = self._log[position % self._size]
                if other != key and self._is_missing(other):
                    follow[other] = None
        self._append(key)
        return tuple(follow)

    def _append(self, key: K) -> None:
        place = self._misses % self._size
        if place == len(self._log):
            self._log.append(key)
        else:
            oldest, self._log[place] = self._log[place], key
            if self._positions[oldest] == self._misses - self._size:
                del self._positions[oldest]
        self._positions[key] = self._misses
        self._misses += 1
