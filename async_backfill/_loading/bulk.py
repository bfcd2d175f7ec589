"""Bulk loads: those that no caller has missed, in calls below the live ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from async_backfill._common.bulk_course import BulkCourse
from async_backfill._loading.failures import GivenUpError, failure_of
from async_backfill.outcomes import ELSEWHERE, LoadCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_queue import BatchQueue
    from async_backfill.contracts import K, V
    from async_backfill.outcomes import Elsewhere, Failed

    BulkAnswers: TypeAlias = Mapping[K, V | Failed | Elsewhere]


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
    course: BulkCourse | None = None,
) -> BulkAnswers[K, V]:
    """Load ``keys`` with a lower priority than live misses, as a backfill does.

    The answer is `ELSEWHERE` for a key that is already in flight, or that a live caller takes over while this
    load is queued.

    :param wait: waits until batches have landed.
    :param course: when it ends, what has landed is returned; what nobody else waits for is given up.
    :raises LoadError: when a source call failed as a whole, after all of them have ended.
    """
    course = course or BulkCourse()
    awaited = batch_queue.enqueue_backfill(keys)
    answers: dict[K, V | Failed | Elsewhere] = dict.fromkeys(keys, ELSEWHERE)
    failed: tuple[K, BaseException] | None = None
    while awaited:
        course.arrived = partial(_arrived, tuple(awaited))
        with course.waiting():
            await wait(awaited)
        for batch, key in awaited.items():
            course.calls += batch.calls
            # A part that a live caller came for, and left; or what had not come when this was ended.
            if isinstance(batch.error, GivenUpError) or not batch.is_landed:
                continue
            if batch.error is not None:
                failed = failed or (key, batch.error)
            for asked in batch.keys:
                del answers[asked]
            answers.update(batch.answers())
        if course.is_ended:
            break
        awaited = {part: key for batch in awaited for key, part in (batch.moved or {}).items()}
    if failed is not None:
        raise failure_of(*failed) from failed[1]
    return answers


def _arrived(batches: Iterable[Batch[K, V]]) -> int:
    return sum(len(batch.found) for batch in batches if batch.is_landed)
