"""How one of many who miss in one turn of the event loop joins a batch: by one call, where that is plain."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from async_backfill._loading.batch import BatchState
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_queue import BatchQueue
    from async_backfill._lookup.counters import Counters
    from async_backfill.contracts import K, V

    Board: TypeAlias = Callable[[K], Batch[K, V] | None]


def make_board(queue: BatchQueue[K, V], counters: Counters) -> Board[K, V]:
    """Return a function that counts a caller among the waiters of the live batch with a key.

    It does what `BatchQueue.join` does where a live batch has the key, or one that others wait for has room
    for it; elsewhere it does nothing and returns ``None``.
    """
    holders, filling, most = queue.locks.holders, queue.filling, queue.max_batch
    miss, queued = LoadCause.MISS, BatchState.QUEUED

    def board(key: K) -> Batch[K, V] | None:
        batch = holders.get(key)
        if batch is None:
            batch = filling.get(miss)
            if batch is None or batch.state is not queued or batch.full is not None:
                return None
            keys = batch.keys
            size = len(keys)
            if not 0 < size < most:  # an empty one has no context yet
                return None
            keys[key] = None
            try:
                holders[key] = batch
            except Exception:  # the hash or == of the key: nobody else's load may ask for it
                batch.leave_out_after(size)
                raise
            counters.led += 1
        elif batch.cause is not miss or batch.along or batch.is_landed:
            return None
        batch.waiters += 1
        return batch

    note = queue.note
    if note is None:
        return board

    def noted(key: K) -> Batch[K, V] | None:
        batch = board(key)
        if batch is not None:
            note(batch)
        return batch

    return noted
