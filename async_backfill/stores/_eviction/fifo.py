"""First in, first out: the key that was added first is evicted first."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.places import Places, Queue
from async_backfill.stores._eviction.plain import PlainOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class FifoOrder(PlainOrder[K]):
    """Evicts the key that was added first; neither a hit nor a new value makes a key younger.

    A queue with dead places, because ``next(iter(dict))`` would be quadratic: decision 6 in notes.md.
    """

    __slots__ = ("_places", "_queue", "entries", "hit_counts", "touch")

    def __init__(self) -> None:
        self.entries = None
        self.hit_counts = None
        self.touch = None
        self._queue: Queue[K] = Queue()
        self._places: Places[K] = Places()

    def add(self, key: K, /, *, proven: bool = False) -> None:  # noqa: ARG002 - all are equal here
        """Add ``key`` as the youngest."""
        self._queue.append(key if self._places.are_keys else self._places.new(key))

    def discard(self, key: K, /) -> None:
        """Remove ``key`` from the order."""
        self._places.discard(key)
        self._places.tidy(self._queue)

    def evict(self, *, again: bool = False) -> K:  # noqa: ARG002 - it never does much
        """Remove and return the oldest key; `LookupError` when there is none."""
        queue = self._queue
        if self._places.are_keys and queue.back and not queue.front:
            return cast("K", queue.back.popleft())
        place = self._places.pop(queue)
        if place is ABSENT:
            raise LookupError("nothing to evict")
        key = self._places.key(place)
        self._places.leave(key)
        return key

    def queues(self) -> Sequence[Iterable[K]]:
        """Return the keys, youngest first."""
        return (self._places.youngest_first(self._queue),)

    def resume(self, key: K, queue: int, hits: int, /) -> None:  # noqa: ARG002 - there is one queue
        """Add ``key`` as the oldest."""
        self._queue.appendleft(self._places.new(key))

    def clear(self) -> None:
        """Forget all keys."""
        self._queue.clear()
        self._places.clear()
