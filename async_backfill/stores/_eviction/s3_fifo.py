"""S3-FIFO: three queues, so that keys that are used once are evicted soon, before the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.recent_keys import RecentKeys
from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._eviction.places import Again, Places, Queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_HITS: Final = 3
"""The most hits of a key that count; a hit path may count them itself, in `S3FifoOrder.hit_counts`."""
MOST_SPARED: Final = 1024
"""Keys that one eviction spares at the most: half a millisecond."""
SPARED_AGAIN: Final = 8
"""Keys more that each further eviction of the same step may spare: a page of 500 takes two milliseconds."""
_HITS_TO_STAY: Final = 2
_SMALL_SHARE: Final = 10


class S3FifoOrder(Generic[K]):
    """Evicts from a small queue of newcomers first, and moves those that were hit twice to the main queue.

    Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023,
    algorithm 1. The small queue holds a tenth of the keys. The ghost queue remembers evicted newcomers,
    their hashes alone, as many as the main queue has room for (nine tenths); a key that comes back while
    it is remembered goes to the main queue at once. Unlike in the paper, an eviction that has spared
    ``MOST_SPARED`` keys takes the next one, so that it does not hold the event loop up; several of one step
    share this, with ``SPARED_AGAIN`` more for each.
    """

    __slots__ = (
        "_ghost",
        "_has_evicted",
        "_left",
        "_main",
        "_main_size",
        "_newcomers",
        "_places",
        "_small",
        "_small_limit",
        "entries",
        "hit_counts",
    )

    def __init__(self, capacity: int | None = None) -> None:
        self.entries = None
        self._small_limit = None if capacity is None else max(1, capacity // _SMALL_SHARE)
        self._has_evicted = False
        self._left = MOST_SPARED
        self._small: Queue[K] = Queue()
        self._main: Queue[K] = Queue()
        self._places: Places[K] = Places()
        self._newcomers: set[K] = set()
        self._main_size = 0
        self._ghost = RecentKeys()
        self.hit_counts: dict[K, int] = {}

    def touch(self, key: K, /) -> None:
        """Count a hit of ``key``, up to three."""
        hits = self.hit_counts.get(key, 0)
        if hits < MOST_HITS:
            self.hit_counts[key] = hits + 1

    def add(self, key: K, /, *, proven: bool = False) -> None:
        """Put ``key`` into the small queue; into the main queue if it is ``proven`` or was evicted lately."""
        proven = self._ghost.discard(key) or proven
        place = key if self._places.are_keys else self._places.new(key)
        # Until the first eviction the main queue fills up as well, as in the authors' simulator:
        # decision 16 in notes.md.
        fills = not self._has_evicted and self._small_limit is not None
        if proven or (fills and len(self._newcomers) >= (self._small_limit or 0)):
            self._main.append(place)
            self._main_size += 1
        else:
            self._small.append(place)
            self._newcomers.add(key)

    def discard(self, key: K, /) -> None:
        """Remove ``key`` from its queue."""
        self.hit_counts.pop(key, None)
        if key in self._newcomers:
            self._newcomers.remove(key)
        else:
            self._main_size -= 1
        self._places.discard(key)
        self._places.tidy(self._small, self._main)

    def evict(self, *, again: bool = False) -> K:
        """Remove and return the key to evict; `LookupError` when there is none."""
        self._left = min(self._left + SPARED_AGAIN, MOST_SPARED) if again else MOST_SPARED
        while keys := len(self._newcomers) + self._main_size:
            if not self._main_size or len(self._newcomers) >= (keys // _SMALL_SHARE or 1):
                evicted = self._evict_newcomer(keys)
            else:
                evicted = self._evict_main()
            if evicted is not ABSENT:
                self._has_evicted = True
                if not self._places.are_keys:
                    self._places.leave(evicted)
                return evicted
        raise LookupError("nothing to evict")

    def queues(self) -> Sequence[Iterable[K]]:
        """Return the keys of the main queue, then those of the small one, each youngest first."""
        return (self._places.youngest_first(self._main), self._places.youngest_first(self._small))

    def hits(self, key: K, /) -> int:
        """Return the hits of ``key`` that count."""
        return self.hit_counts.get(key, 0)

    def remembers(self, key: K, /) -> bool:
        """Return whether ``key`` is in the ghost queue."""
        return key in self._ghost

    def resume(self, key: K, queue: int, hits: int, /) -> None:
        """Add ``key`` as the oldest of the main queue (0) or of the small one (1)."""
        place = self._places.new(key)
        if queue:
            self._small.appendleft(place)
            self._newcomers.add(key)
        else:
            self._main.appendleft(place)
            self._main_size += 1
        if hits > 0:
            self.hit_counts[key] = min(hits, MOST_HITS)

    def remember(self, keys: Iterable[K], /) -> None:
        """Put ``keys`` into the ghost queue."""
        for key in keys:
            self._has_evicted = True
            living = len(self._newcomers) + self._main_size
            self._ghost.discard(key)
            self._ghost.add(key, max(1, living - living // _SMALL_SHARE))

    def clear(self) -> None:
        """Forget all keys, also those in the ghost queue."""
        self._small.clear()
        self._main.clear()
        self._places.clear()
        self._newcomers.clear()
        self._main_size = 0
        self._ghost.clear()
        self.hit_counts.clear()
        self._has_evicted = False

    def _evict_newcomer(self, keys: int) -> K | Absent:
        """Return the oldest newcomer that was hit less than twice; those before it move to the main queue."""
        while (place := self._places.pop(self._small)) is not ABSENT:
            key = place.key if isinstance(place, Again) else place
            self._newcomers.remove(key)
            if self.hit_counts.pop(key, 0) >= _HITS_TO_STAY and self._left:
                self._left -= 1
                self._main.append(place)
                self._main_size += 1
            else:
                self._ghost.add(key, keys - keys // _SMALL_SHARE)
                return key
        return ABSENT

    def _evict_main(self) -> K | Absent:
        """Return the oldest key of the main queue without hits; each key before it loses one hit."""
        while (place := self._places.pop(self._main)) is not ABSENT:
            key = place.key if isinstance(place, Again) else place
            hits = self.hit_counts.pop(key, 0)
            if not (hits and self._left):
                self._main_size -= 1
                return key
            self._left -= 1
            if hits > 1:
                self.hit_counts[key] = hits - 1
            self._main.append(place)
        return ABSENT
