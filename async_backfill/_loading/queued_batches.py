"""The batches that wait for a worker, in the order of their priority."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._loading.batch import Batch


class QueuedBatches(Generic[K, V]):
    """One queue for each cause: live misses go before refreshes, and these before backfills."""

    __slots__ = ("_queues", "queues")

    def __init__(self) -> None:
        self._queues: dict[LoadCause, OrderedDict[Batch[K, V], None]] = {
            cause: OrderedDict() for cause in LoadCause
        }
        self.queues = tuple(self._queues.values())

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return any(self.queues)

    def add(self, batch: Batch[K, V]) -> None:
        """Queue ``batch`` behind those of its cause."""
        self._queues[batch.cause][batch] = None

    def add_first(self, batch: Batch[K, V]) -> None:
        """Queue ``batch`` before all others."""
        queue = self._queues[LoadCause.MISS]
        queue[batch] = None
        queue.move_to_end(batch, last=False)

    def remove(self, batch: Batch[K, V]) -> bool:
        """Remove ``batch``, if it is queued; return whether it was."""
        return any(queue.pop(batch, self) is None for queue in self._queues.values())

    def promote(self, batch: Batch[K, V]) -> bool:
        """Queue ``batch``, if it is queued at all, behind the live misses; return whether it was."""
        if self._queues[batch.cause].pop(batch, self) is not None:
            return False
        self._queues[LoadCause.MISS][batch] = None
        return True

    def take(self, may_take_bulk: Callable[[], bool]) -> Batch[K, V] | None:
        """Remove and return the next batch to load; ``None`` when there is none.

        :param may_take_bulk: whether it may be one that no caller has missed.
        """
        for cause, queue in self._queues.items():
            if queue and cause is not LoadCause.MISS and not may_take_bulk():
                return None
            while queue:
                batch, _ = queue.popitem(last=False)
                if batch.keys:
                    return batch
                batch.land({}, None)  # all taken over by live callers, or given up
        return None

    def drain(self) -> list[Batch[K, V]]:
        """Remove and return all batches."""
        queued = list(chain.from_iterable(self._queues.values()))
        for queue in self._queues.values():
            queue.clear()
        return queued
