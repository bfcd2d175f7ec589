"""The queue of batches: a missed key joins a load in progress, or is queued for the next one."""

from __future__ import annotations

from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._loading.batch import Batch, BatchState
from async_backfill._loading.key_locks import KeyLocks
from async_backfill._loading.queued_batches import QueuedBatches
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from async_backfill._loading.limits import Limits
    from async_backfill._loading.signals import Signal
    from async_backfill._loading.workers import Workers

_MISS: Final = LoadCause.MISS
_QUEUED: Final = BatchState.QUEUED


class BatchQueue(Generic[K, V]):
    """Collects keys into batches of at most ``max_batch`` and queues the batches for the workers.

    Live misses go before backfills: a backfill batch starts only when no live batch is queued, and a
    live caller takes its key out of a backfill batch that has not started.

    :param max_batch: keys in a batch at the most.
    :param signal: returns a new signal.
    :param workers: the workers; one is woken for each new batch.
    :param limits: the limits of the source calls.
    :param now: returns the time of the event loop.
    :param keeps_context: whether a batch keeps the context of its first caller.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        signal: Callable[[], Signal],
        workers: Workers[Batch[K, V]],
        limits: Limits,
        now: Callable[[], float],
        keeps_context: bool,
    ) -> None:
        self._patience = limits.patience
        self._keeps_along_apart = max_batch == 1 and limits.are_of_source
        self._now = now
        self._keeps_context = keeps_context
        self.locks: KeyLocks[K, V] = KeyLocks()
        self.max_batch = max_batch
        self.signal = signal
        self._workers = workers
        self.is_closed = False
        self.filling: dict[LoadCause, Batch[K, V]] = {}
        self.queued: QueuedBatches[K, V] = QueuedBatches()
        self.note: Callable[[Batch[K, V]], None] | None = None  # called with what a caller joins elsewhere

    def join(self, key: K) -> tuple[Batch[K, V], bool]:
        """Join the batch that holds the lock of ``key``, or take the lock and queue the key.

        Returns the batch, and whether the lock was taken: whether this caller leads the load.
        """
        if self.is_closed:
            self.require_open()
        batch = self.locks.holders.get(key)
        if batch is None:
            return self._lead(key, _MISS), True
        if batch.cause is not _MISS:
            # A live miss never waits behind bulk loads that have not started: decision 8 in notes.md.
            if batch.state is _QUEUED:
                return self._take_over(key, batch), True
            batch.want(key)
            if self.queued.promote(batch):  # a part of a bulk load that still waits for a worker
                self._workers.wake()
        elif batch.along:
            batch.along.discard(key)
        return batch, False

    def join_many(self, keys: Sequence[K]) -> tuple[list[tuple[Batch[K, V], Sequence[K]]], Sequence[K]]:
        """Do what `join` does, for distinct ``keys``.

        Returns the batches, each with the ``keys`` that it loads, and the keys whose locks were taken.
        """
        self.require_open()
        locks = self.locks
        free = [key for key in keys if key not in locks]
        joined: list[tuple[Batch[K, V], Sequence[K]]] = []
        left = 0
        while left < len(free):
            batch = self._fill(_MISS)
            page = free[left : left + self.max_batch - len(batch.keys)]
            size = len(batch.keys)
            try:
                batch.keys.update(dict.fromkeys(page))
                locks.take_many(page, batch)
            except Exception:  # as in `_lead`
                batch.leave_out_after(size)
                locks.forget(batch)
                raise
            self._tell_if_full(batch)
            joined.append((batch, page))
            left += len(page)
        if len(free) == len(keys):
            return joined, free
        led = list(free)
        taken = set(free)
        for key in keys:
            if key not in taken:
                batch, leads = self.join(key)
                joined.append((batch, (key,)))
                if leads:
                    led.append(key)
        return joined, led

    def enqueue_along(self, batch: Batch[K, V], keys: Iterable[K]) -> None:
        """Add ``keys``, which no caller asked for, to a live ``batch`` while it is queued and has room.

        Where the source takes one key a call, each of them has a batch of its own.
        """
        for key in keys:
            apart = self._keeps_along_apart
            if not apart and (batch.state is not _QUEUED or len(batch.keys) >= self.max_batch):
                return
            if key not in self.locks:
                if apart:
                    batch = self._fill(_MISS)
                    batch.waiters = 1  # it belongs to the cache, and goes on when no caller waits for it
                batch.bring_along(key)
                self.locks.take(key, batch)

    def join_live(self, key: K) -> tuple[Batch[K, V], bool]:
        """Do what `join` does, but never join a backfill: its failure must not fail a caller."""
        self.require_open()
        batch = self.locks.holders.get(key)
        if batch is None:
            return self._lead(key, _MISS), True
        if batch.cause is LoadCause.BACKFILL:
            return self._take_over(key, batch), True
        return batch, False

    def join_refresh(self, key: K) -> Batch[K, V]:
        """Join the batch that holds the lock of ``key``, or queue the key behind the live misses.

        The refresh belongs to the cache and goes on when no caller waits for it.
        """
        self.require_open()
        batch = self.locks.holders.get(key)
        return self._lead(key, LoadCause.REFRESH) if batch is None else batch

    def enqueue_backfill(self, keys: Iterable[K]) -> dict[Batch[K, V], K]:
        """Queue those of ``keys`` that are not in flight; return the batches, each with one of its keys."""
        self.require_open()
        wanted = iter([key for key in dict.fromkeys(keys) if key not in self.locks])
        joined: dict[Batch[K, V], K] = {}
        while page := tuple(islice(wanted, self.max_batch)):
            batch: Batch[K, V] = Batch(LoadCause.BACKFILL, self.signal, self._workers.lend)
            batch.keys.update(dict.fromkeys(page))
            self.locks.take_many(page, batch)
            self._queue(batch)
            joined[batch] = page[0]
        return joined

    def take(self, *, may_take_bulk: Callable[[], bool] = lambda: True) -> Batch[K, V] | None:
        """Remove and return the next batch to load, live ones first; ``None`` when there is none.

        :param may_take_bulk: whether it may be one that no caller has missed.
        """
        return self.queued.take(may_take_bulk)

    def go_on(self, part: Batch[K, V]) -> None:
        """Queue ``part``, the rest of a batch that was being loaded, before all others."""
        self.queued.add_first(part)
        self._workers.wake()

    def enqueue_parts(self, parts: Iterable[Batch[K, V]]) -> None:
        """Queue ``parts``, which a batch that was being loaded has been split into."""
        for part in parts:
            self._queue(part)

    def landed(self, batch: Batch[K, V]) -> None:
        """Forget ``batch``, which has landed or was given up: nobody fills it any more."""
        if self.filling.get(batch.cause) is batch:
            del self.filling[batch.cause]

    def drop(self, part: Batch[K, V]) -> bool:
        """Remove ``part``, which was given up, if it is queued; return whether it was."""
        return self.queued.remove(part)

    def give_up(self, batch: Batch[K, V]) -> None:
        """Remove a queued ``batch``, and its keys, that no caller waits for any more."""
        # Also the one that is being filled: the next callers have all the time of theirs for a place, and
        # while a source hangs and callers come and go, dead batches must not pile up.
        batch.keys.clear()
        self.queued.remove(batch)
        self.landed(batch)

    def close(self) -> list[Batch[K, V]]:
        """Refuse new keys from now on, and return the batches that were queued."""
        self.is_closed = True
        return self.queued.drain()

    def require_open(self) -> None:
        """Raise `CacheClosedError` if the queue is closed."""
        if self.is_closed:
            raise CacheClosedError("the cache is closed; open it again with 'async with cache:'")

    def _lead(self, key: K, cause: LoadCause) -> Batch[K, V]:
        batch = self._fill(cause)
        size = len(batch.keys)
        batch.keys[key] = None
        try:
            self.locks.holders[key] = batch
        except Exception:  # the hash or == of the key: nobody else's load may ask for it
            batch.leave_out_after(size)
            raise
        if batch.full is not None:
            self._tell_if_full(batch)
        return batch

    def _fill(self, cause: LoadCause) -> Batch[K, V]:
        """Return the batch that is being filled; a new one when it is full or has started."""
        batch = self.filling.get(cause)
        if batch is None or batch.state is not _QUEUED or len(batch.keys) >= self.max_batch:
            batch = self._start(cause)
        if self._keeps_context and not batch.keys:
            batch.context = copy_context()
        return batch

    def _start(self, cause: LoadCause) -> Batch[K, V]:
        batch: Batch[K, V] = Batch(cause, self.signal, self._workers.lend)
        batch.waiters = 1 if cause is LoadCause.REFRESH else 0
        self.filling[cause] = batch
        self._queue(batch)
        return batch

    def _queue(self, batch: Batch[K, V]) -> None:
        self.queued.add(batch)
        if self._workers.wake() or batch.cause is not _MISS:
            return
        if self._patience is not None and batch.cause is _MISS:
            batch.due = self._now() + self._patience
        # A refresh that only waits for company must not keep the place that a live miss needs.
        refresh = self.filling.get(LoadCause.REFRESH)
        if refresh is not None and refresh.full is not None:
            refresh.full.set()

    def _tell_if_full(self, batch: Batch[K, V]) -> None:
        if batch.full is not None and len(batch.keys) >= self.max_batch:
            batch.full.set()

    def _take_over(self, key: K, batch: Batch[K, V]) -> Batch[K, V]:
        if batch.state is _QUEUED:
            del batch.keys[key]
        return self._lead(key, _MISS)
