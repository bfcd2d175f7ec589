"""First in, first out: the order in which keys were added, as a queue with lazy removal."""

from __future__ import annotations

from collections import deque
from typing import Generic

from async_backfill.contracts import K

_SLACK = 64


class FifoOrder(Generic[K]):
    """Evicts the key that was added first; replacing a value does not make its key younger.

    A key that was removed stays in the queue as a dead place, counted in ``_dead`` and skipped when
    it comes up; once more than half of the places are dead the queue is rebuilt. So every method
    is O(1) amortised. (Taking ``next(iter(dict))`` instead is not: a dict that lost its first
    million keys walks over a million holes.)
    """

    __slots__ = ("_dead", "_dead_places", "_queue")

    def __init__(self) -> None:
        self._queue: deque[K] = deque()
        self._dead: dict[K, int] = {}
        self._dead_places = 0

    def add(self, key: K, /) -> None:
        """Put ``key`` at the young end."""
        self._queue.append(key)

    def discard(self, key: K, /) -> None:
        """Take ``key``, which must be alive in the queue, out of the order."""
        self._dead[key] = self._dead.get(key, 0) + 1
        self._dead_places += 1
        if self._dead_places > _SLACK and self._dead_places * 2 > len(self._queue):
            self._queue = deque(self._living())
            self._dead.clear()
            self._dead_places = 0

    def evict(self) -> K:
        """Remove and return the oldest living key; `LookupError` when there is none."""
        while self._queue:
            key = self._queue.popleft()
            if not self._dead_places or not self._bury(key):
                return key
        raise LookupError("nothing to evict")

    def clear(self) -> None:
        """Forget all keys."""
        self._queue.clear()
        self._dead.clear()
        self._dead_places = 0

    def _bury(self, key: K) -> bool:
        """Return whether this place of ``key`` is dead, and stop counting it if so.

        A key removed and added again has several places; the dead ones are the oldest.
        """
        count = self._dead.get(key, 0)
        if not count:
            return False
        if count == 1:
            del self._dead[key]
        else:
            self._dead[key] = count - 1
        self._dead_places -= 1
        return True

    def _living(self) -> list[K]:
        dead = dict(self._dead)
        living = []
        for key in self._queue:
            if dead.get(key):
                dead[key] -= 1
            else:
                living.append(key)
        return living
