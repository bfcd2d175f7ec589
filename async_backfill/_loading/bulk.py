"""Bulk loads: those that no caller has missed, in calls below the live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._loading.failures import GivenUpError, failure_of
from async_backfill.outcomes import ELSEWHERE, LoadCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_queue import BatchQueue
    from async_backfill.contracts import K, V
    from async_backfill.outcomes import Elsewhere, Failed


class BulkPlaces:
    """Counts the running loads that no caller has missed, of which ``most`` may run at once.

    A load that waits for another one holds no place, as everywhere.
    """

    __slots__ = ("_most", "_running")

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[Batch[Any, Any]] = set()

    def is_free(self) -> bool:
        """Return whether one more may begin."""
        running = len(self._running)
        return running < self._most or running - sum(bool(one.needs) for one in self._running) < self._most

    def begun(self, batch: Batch[Any, Any]) -> None:
        """Take note that ``batch`` is being loaded."""
        if batch.cause is not LoadCause.MISS:
            self._running.add(batch)

    def ended(self, batch: Batch[Any, Any]) -> None:
        """Take note that ``batch`` is not being loaded any more."""
        self._running.discard(batch)


async def load_bulk(
    keys: Sequence[K],
    batch_queue: BatchQueue[K, V],
    wait: Callable[[Mapping[Batch[K, V], K]], Awaitable[None]],
) -> Mapping[K, V | Failed | Elsewhere]:
    """Load ``keys`` as a backfill does; see `Loader.load_many`.

    :param wait: waits until batches have landed.
    """
    awaited = batch_queue.enqueue_backfill(keys)
    answers: dict[K, V | Failed | Elsewhere] = dict.fromkeys(keys, ELSEWHERE)
    failed: tuple[K, BaseException] | None = None
    while awaited:
        await wait(awaited)
        for batch, key in awaited.items():
            if isinstance(batch.error, GivenUpError):  # a part that a live caller came for, and left
                continue
            if batch.error is not None:
                failed = failed or (key, batch.error)
            for asked in batch.keys:
                del answers[asked]
            answers.update(batch.answers())
        awaited = {part: key for batch in awaited for key, part in (batch.moved or {}).items()}
    if failed is not None:
        raise failure_of(*failed) from failed[1]
    return answers
