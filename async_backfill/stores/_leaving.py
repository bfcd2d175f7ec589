"""When values leave: a heap of times that never holds the event loop up, however many values there are."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Final, Generic, TypeAlias

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable

    _Leaves: TypeAlias = tuple[float, int, K]

_SLACK: Final = 64
_MOVED: Final = 8
_LET_GO: Final = 1000


class LeavingTimes(Generic[K]):
    """Knows which keys leave next; a key that gets another time leaves its old one behind, as a dead one.

    When more than half of the times are dead, a new heap is begun, and each `add` moves a few living ones
    over: a heap of a million times, made anew at once, would hold the event loop for most of a second.

    :param leaves_at: returns when a key leaves; ``None`` when it has left already.
    """

    def __init__(self, leaves_at: Callable[[K], float | None]) -> None:
        self._leaves_at = leaves_at
        self._heap: list[_Leaves[K]] = []
        self._old: list[_Leaves[K]] = []
        self._dead: list[_Leaves[K]] = []  # of a store that was cleared, let go a few at a time
        self._added = 0

    def __len__(self) -> int:
        return len(self._heap) + len(self._old)

    def add(self, key: K, when: float, living: int) -> None:
        """Record that ``key`` leaves at ``when``; ``living`` keys have not left yet."""
        self._added += 1
        heapq.heappush(self._heap, (when, self._added, key))
        if self._dead:
            del self._dead[-_LET_GO:]
        if self._old:
            self._move()
        elif len(self._heap) > 2 * living + _SLACK:
            self._old, self._heap = self._heap, self._old

    def due(self, now: float, most: int) -> list[K]:
        """Take out and return keys that leave at ``now`` or before; look at ``most`` times at the most."""
        keys = []
        del self._dead[-_LET_GO:]
        for heap in (self._heap, self._old):
            while most > 0 and heap and heap[0][0] <= now:
                most -= 1
                when, _, key = heapq.heappop(heap)
                if self._leaves_at(key) == when:
                    keys.append(key)
        return keys

    def next(self) -> float | None:
        """Return the first time at which `due` has something to do; ``None`` when there is none."""
        if self._dead:
            return -math.inf
        return min((heap[0][0] for heap in (self._heap, self._old) if heap), default=None)

    def clear(self) -> None:
        """Forget all times; a million are let go by later calls, because at once it would take long."""
        for heap in (self._heap, self._old):
            self._dead += heap
        self._heap, self._old = [], []

    def _move(self) -> None:
        old = self._old
        for _ in range(min(_MOVED, len(old))):
            item = old.pop()  # a heap without its last item is still a heap
            if self._leaves_at(item[2]) == item[0]:
                heapq.heappush(self._heap, item)
