"""SIEVE: a hand moves over the queue from old to new and spares the keys that were hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._eviction.places import Place, Places, Queue
from async_backfill.stores._eviction.plain import PlainOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_SPARED: Final = 1024
"""Keys that one eviction spares at the most: half a millisecond."""
SPARED_AGAIN: Final = 8
"""Keys more that each further eviction of the same step may spare: a page of 500 takes two milliseconds."""


class SieveOrder(PlainOrder[K]):
    """Evicts the first key that the hand reaches and that was not hit since the hand last passed it.

    Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024, algorithm 1. The
    queue is two queues, cut at the hand: ``_passed`` has the older keys, which the hand has spared,
    ``_ahead`` the others up to the newest. So the hand moves by moving a key from one to the other, and
    no linked list is needed: decision 17 in notes.md. Unlike in the paper, a hand that has spared
    ``MOST_SPARED`` keys takes the next one although it was hit, so that no eviction holds the event loop up;
    several of one step share this, with ``SPARED_AGAIN`` more for each.
    """

    __slots__ = ("_ahead", "_hit", "_left", "_passed", "_places", "entries", "hit_counts", "touch")

    def __init__(self) -> None:
        self.entries = None
        self.hit_counts = None
        self._ahead: Queue[K] = Queue()
        self._passed: Queue[K] = Queue()
        self._places: Places[K] = Places()
        self._hit: set[K] = set()
        self._left = MOST_SPARED
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

    def evict(self, *, again: bool = False) -> K:
        """Move the hand to the next key that was not hit; remove and return it. `LookupError` when empty."""
        hit = self._hit
        left = min(self._left + SPARED_AGAIN, MOST_SPARED) if again else MOST_SPARED
        while (place := self._place_hand()) is not ABSENT:
            key = self._places.key(place)
            self._ahead.popleft()
            if key not in hit or not left:
                hit.discard(key)
                self._places.leave(key)
                self._left = left
                return key
            left -= 1
            hit.remove(key)
            self._passed.append(place)
        raise LookupError("nothing to evict")

    def queues(self) -> Sequence[Iterable[K]]:
        """Return the keys that the hand has passed, then the others, each youngest first."""
        return (self._places.youngest_first(self._passed), self._places.youngest_first(self._ahead))

    def hits(self, key: K, /) -> int:
        """Return 1 for a key that was hit since the hand last passed it, else 0."""
        return int(key in self._hit)

    def resume(self, key: K, queue: int, hits: int, /) -> None:
        """Add ``key`` as the oldest of those that the hand has passed (0), or has not (1)."""
        (self._ahead if queue else self._passed).appendleft(self._places.new(key))
        if hits:
            self._hit.add(key)

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
            ahead = self._ahead
            while part := ahead.front or ahead.back:
                place = part[0]
                if self._places.lives(place):
                    return place
                self._places.bury(part.popleft())
            self._ahead, self._passed = self._passed, self._ahead
        return ABSENT
