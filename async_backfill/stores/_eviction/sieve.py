"""SIEVE: a hand moves over the queue from old to new and spares the keys that were hit."""

from __future__ import annotations

from collections import deque
from typing import Generic

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._eviction.places import Place, Places


class SieveOrder(Generic[K]):
    """Evicts the first key that the hand reaches and that was not hit since the hand last passed it.

    Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024, algorithm 1. The
    queue is two queues, cut at the hand: ``_passed`` has the older keys, which the hand has spared,
    ``_ahead`` the others up to the newest. So the hand moves by moving a key from one to the other, and
    no linked list is needed: decision 17 in notes.md.
    """

    __slots__ = ("_ahead", "_hit", "_passed", "_places", "entries", "hit_counts", "touch")

    def __init__(self) -> None:
        self.entries = None
        self.hit_counts = None
        self._ahead: deque[Place[K]] = deque()
        self._passed: deque[Place[K]] = deque()
        self._places: Places[K] = Places()
        self._hit: set[K] = set()
        self.touch = self._hit.add

    def add(self, key: K, /, *, proven: bool = False) -> None:
        """Add ``key`` as the youngest; it counts as hit only if it is ``proven``."""
        self._place_hand()
        self._ahead.append(self._places.new(key))
        if proven:
            self._hit.add(key)

    def discard(self, key: K, /) -> None:
        """Remove ``key`` from the order."""
        self._hit.discard(key)
        self._places.discard(key)
        self._places.tidy(self._passed, self._ahead)

    def evict(self) -> K:
        """Move the hand to the next key that was not hit; remove and return it. `LookupError` when empty."""
        hit = self._hit
        while (place := self._place_hand()) is not ABSENT:
            key = self._places.key(place)
            self._ahead.popleft()
            if key not in hit:
                self._places.leave(key)
                return key
            hit.remove(key)
            self._passed.append(place)
        raise LookupError("nothing to evict")

    def clear(self) -> None:
        """Forget all keys."""
        self._ahead.clear()
        self._passed.clear()
        self._hit.clear()
        self._places.clear()

    def _place_hand(self) -> Place[K] | Absent:
        """Return the place of the next living key before the hand; `ABSENT` when there is none.

        A hand that has passed the newest key starts at the oldest again, even if newer keys are added
        later: that is why the hand is placed before a key is added.
        """
        for _ in range(2):
            while self._ahead:
                place = self._ahead[0]
                if self._places.lives(place):
                    return place
                self._places.bury(self._ahead.popleft())
            self._ahead, self._passed = self._passed, self._ahead
        return ABSENT
