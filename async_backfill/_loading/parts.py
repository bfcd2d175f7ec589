"""Parts of a batch: keys that have to wait longer than the others move on to a batch of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._loading.batch import Batch, BatchState
from async_backfill._loading.failures import CLOSED, ClosingError
from async_backfill.contracts import K, V
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from async_backfill._loading.batch_queue import BatchQueue
    from async_backfill._loading.signals import Signal
    from async_backfill.outcomes import Failed


class BatchParts(Generic[K, V]):
    """Splits batches that are being loaded, so that each key lands when its own answer comes.

    A key that moves on stays locked all the time: its lock goes from the batch to the part, in one step.
    Those who wait for the batch wake when it lands, and follow the key to its part.

    :param loading: the batches that are being loaded, in the order in which they began.
    :param land: hands out the outcome of a batch.
    """

    def __init__(
        self,
        batch_queue: BatchQueue[K, V],
        loading: dict[Batch[K, V], None],
        *,
        signal: Callable[[], Signal],
        land: Callable[[Batch[K, V], Mapping[K, V | Failed], BaseException | None], None],
    ) -> None:
        self._batch_queue = batch_queue
        self._loading = loading
        self._signal = signal
        self._land = land

    def split(self, batch: Batch[K, V], keys: Iterable[K]) -> Batch[K, V]:
        """Move ``keys`` from ``batch``, which has not landed, to a new batch, and return that."""
        part: Batch[K, V] = Batch(batch.cause, self._signal, batch.lend)
        part.state = BatchState.LOADING
        part.context = batch.context
        part.waiters = 1 if batch.cause is LoadCause.REFRESH else 0  # a refresh belongs to the cache
        part.trace = None if batch.trace is None else batch.trace.shared()
        part.keys = dict.fromkeys(keys)
        holders = self._batch_queue.locks.holders
        for key in part.keys:
            del batch.keys[key]
            if holders.get(key) is batch:
                holders[key] = part
        part.wanted, part.along = batch.wanted & part.keys.keys(), batch.along & part.keys.keys()
        batch.wanted -= part.wanted
        batch.along -= part.along
        if batch.moved is None:
            batch.moved = {}
        batch.moved.update(dict.fromkeys(part.keys, part))
        self._loading[part] = None
        return part

    def go_on(self, part: Batch[K, V]) -> None:
        """Let a worker load ``part``, before all that is queued."""
        self._batch_queue.go_on(part)

    def split_up(self, batch: Batch[K, V], most: int) -> Iterator[tuple[Batch[K, V], Sequence[K]]]:
        """Split ``batch``, which is being loaded, into parts of ``most`` keys, and queue them.

        Yields each part with its keys, before it is queued.
        """
        keys, parts = tuple(batch.keys), []
        for start in range(0, len(keys), most):
            page = keys[start : start + most]
            parts.append(self.split(batch, page))
            yield parts[-1], page
        self._batch_queue.enqueue_parts(parts)

    def land(self, part: Batch[K, V], found: Mapping[K, V | Failed]) -> None:
        """Hand out what was ``found`` of ``part``, which no worker runs; what is missing is absent."""
        self._land(part, found, None)
        self._loading.pop(part, None)

    def abandon(self, part: Batch[K, V]) -> None:
        """End ``part``, which no worker runs, because the whole cache is cancelled."""
        self._land(part, {}, ClosingError(CLOSED))
        self._loading.pop(part, None)

    def ended(self, part: Batch[K, V]) -> None:
        """Forget ``part``, which has landed and which no worker runs."""
        self._loading.pop(part, None)
