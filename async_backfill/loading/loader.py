"""Many waiting callers, few ``load_many`` calls."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError
from async_backfill.loading.batch import Batch, BatchState
from async_backfill.loading.call import Ended, linger
from async_backfill.loading.calling import Calling
from async_backfill.loading.failures import ClosingError, failure_of
from async_backfill.loading.first_step import first_steps, running_task
from async_backfill.loading.key_locks import KeyLocks
from async_backfill.loading.signals import signals
from async_backfill.loading.waiting import wait_for
from async_backfill.loading.workers import Workers
from async_backfill.outcomes import ELSEWHERE, Elsewhere, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from anyio import CancelScope

    from async_backfill.contracts import Clock, Source, Spawn
    from async_backfill.policies import LoadPolicy

_CLOSED: Final = "the cache closed before the load ended"


class Loader(Generic[K, V]):
    """Collects keys into batches, calls the source for them, and lands what it answers.

    Live misses go before backfills: a queued backfill batch is taken up only when no live one waits,
    and a live caller takes a key out of a backfill batch that has not started.

    :param landed: is called with a batch, and those of its keys whose outcome it may keep, in one
        indivisible step with the landing.
    :param report: is told of every finished source call.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(
        self,
        source: Source[K, V],
        *,
        policy: LoadPolicy,
        landed: Callable[[Batch[K, V], list[K]], None],
        report: Callable[[Ended[K, V]], None],
        spawn: Spawn,
        clock: Clock,
    ) -> None:
        self.locks: KeyLocks[K, V] = KeyLocks()
        self.calling: Calling[K, V] = Calling(source, policy, clock=clock)
        self._policy = policy
        self._signal = signals()
        # Who lingers waits for others, whatever happens in this turn.
        self._first_steps = first_steps() if self.calling.may_begin and not policy.linger else None
        self._landed = landed
        self._report = report
        self._filling: dict[LoadCause, Batch[K, V]] = {}
        # In the order in which they are worked off: live misses, refreshes, backfills.
        self._queues: dict[LoadCause, deque[Batch[K, V]]] = {cause: deque() for cause in LoadCause}
        self._loading: dict[Batch[K, V], None] = {}  # in the order they began
        self._closed: ClosingError | None = None
        self._workers: Workers[Batch[K, V]] = Workers(
            take=self._take,
            run=self._run,
            limit=policy.concurrency,
            spawn=spawn,
            signal=self._signal,
            running_task=running_task,
        )

    def board(self, key: K) -> tuple[Batch[K, V], bool]:
        """Join the batch that holds the lock of ``key``, or take the lock and queue the key.

        Returns the batch, and whether the lock was taken: whether this caller leads the load.
        """
        self._require_open()
        batch = self.locks.holder(key)
        if batch is None:
            return self._lead(key, LoadCause.MISS), True
        if batch.cause is not LoadCause.MISS:
            if batch.state is BatchState.QUEUED:
                return self._take_over(key, batch), True
            batch.wanted.add(key)
        elif batch.along:
            batch.along.discard(key)
        return batch, False

    def board_at_once(self, key: K) -> tuple[Batch[K, V], bool]:
        """Do as `board`, but where nobody else can join the load in this turn, begin it in this turn.

        So the batch may have landed already. Not for a load that asks for another key: it must be known who
        waits for whom before a load begins, or a circle of them would hang.
        """
        self._require_open()
        worker = None
        if self._first_steps is not None and key not in self.locks and not any(self._queues.values()):
            worker = self._workers.borrow() if self._first_steps.may_take_one() else None
        if worker is None or self._first_steps is None:
            return self.board(key)
        batch: Batch[K, V] = Batch(LoadCause.MISS, self._signal(), self._workers.lend)
        batch.keys[key] = None
        batch.state = BatchState.LOADING
        self.locks.take(key, batch)
        self._loading[batch] = None
        call = self.calling.begin(batch, worker, self._first_steps)
        if isinstance(call, Ended):
            self._workers.give_back(worker)
            del self._loading[batch]
            batch.seconds = call.seconds
            self._land(batch, call.found, None)
            self._report(call)
        else:
            batch.begun, batch.scope = call, worker.scope
            self._workers.assign(worker, batch, call.interrupt)
        return batch, True

    def board_many(self, keys: Sequence[K]) -> tuple[list[tuple[Batch[K, V], Sequence[K]]], Sequence[K]]:
        """Do as `board` for distinct ``keys``.

        Returns batches, each with those of the keys that it loads, and the keys whose locks were taken.
        """
        self._require_open()
        locks = self.locks
        free = [key for key in keys if key not in locks]
        boarded: list[tuple[Batch[K, V], Sequence[K]]] = []
        left = 0
        while left < len(free):
            batch = self._fill(LoadCause.MISS)
            page = free[left : left + self._policy.max_batch - len(batch.keys)]
            batch.keys.update(dict.fromkeys(page))
            locks.take_many(page, batch)
            self._tell_if_full(batch)
            boarded.append((batch, page))
            left += len(page)
        if len(free) == len(keys):
            return boarded, free
        led = list(free)
        taken = set(free)
        for key in keys:
            if key not in taken:
                batch, leads = self.board(key)
                boarded.append((batch, (key,)))
                if leads:
                    led.append(key)
        return boarded, led

    def board_along(self, batch: Batch[K, V], keys: Iterable[K]) -> None:
        """Add ``keys``, which nobody asked for, to a live ``batch`` as far as it has room and waits."""
        for key in keys:
            if batch.state is not BatchState.QUEUED or len(batch.keys) >= self._policy.max_batch:
                return
            if key not in self.locks:
                batch.keys[key] = None
                batch.along.add(key)
                self.locks.take(key, batch)

    def board_live(self, key: K) -> tuple[Batch[K, V], bool]:
        """Do as `board`, but join no backfill: its failure must not fail a caller."""
        self._require_open()
        batch = self.locks.holder(key)
        if batch is None:
            return self._lead(key, LoadCause.MISS), True
        if batch.cause is LoadCause.BACKFILL:
            return self._take_over(key, batch), True
        return batch, False

    def board_refresh(self, key: K) -> Batch[K, V]:
        """Join the batch that holds the lock of ``key``, or queue the key behind the live misses.

        A refresh belongs to the cache: it goes on when nobody waits for it.
        """
        self._require_open()
        batch = self.locks.holder(key)
        return self._lead(key, LoadCause.REFRESH) if batch is None else batch

    async def wait(self, awaited: Mapping[Batch[K, V], K]) -> None:
        """Wait until every batch of ``awaited`` has landed; see `wait_for`."""
        await wait_for(awaited, self.give_up)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed | Elsewhere]:
        """Load ``keys`` below live misses in priority; this is a `Source`.

        The answer is `ELSEWHERE` for a key that is in flight already, or that a live caller takes
        over while this load waits.

        :raises LoadError: when a source call failed as a whole, after all of them have ended.
        """
        self._require_open()
        wanted = iter([key for key in dict.fromkeys(keys) if key not in self.locks])
        awaited: dict[Batch[K, V], K] = {}
        while page := tuple(islice(wanted, self._policy.max_batch)):
            batch: Batch[K, V] = Batch(LoadCause.BACKFILL, self._signal(), self._workers.lend)
            for key in page:
                batch.keys[key] = None
                self.locks.take(key, batch)
            self._queues[LoadCause.BACKFILL].append(batch)
            self._workers.wake()
            awaited[batch] = page[0]
        await self.wait(awaited)
        answers: dict[K, V | Failed | Elsewhere] = dict.fromkeys(keys, ELSEWHERE)
        for batch, key in awaited.items():
            if batch.error is not None:
                raise failure_of(key, batch.error) from batch.error
            for asked in batch.keys:
                del answers[asked]
            answers.update(batch.answers())
        return answers

    def stop(self) -> None:
        """End every batch with `CacheClosedError` and refuse new ones."""
        self._closed = ClosingError(_CLOSED)
        for batch in (*chain.from_iterable(self._queues.values()), *self._loading):
            self._land(batch, {}, self._closed)
            if batch.scope is not None:
                batch.scope.cancel()
        for queue in self._queues.values():
            queue.clear()

    @property
    def busy(self) -> bool:
        """Whether anything is queued or being loaded."""
        return bool(self._loading) or any(self._queues.values())

    async def quiet(self) -> None:
        """Wait until nothing is queued or being loaded."""
        while self.busy:
            await self._workers.idle()

    def _require_open(self) -> None:
        if self._closed is not None:
            raise CacheClosedError("the cache is closed; open it again with 'async with cache:'")

    def _lead(self, key: K, cause: LoadCause) -> Batch[K, V]:
        batch = self._fill(cause)
        batch.keys[key] = None
        self.locks.take(key, batch)
        if batch.full is not None:
            self._tell_if_full(batch)
        return batch

    def _fill(self, cause: LoadCause) -> Batch[K, V]:
        """Return the batch that waits for its next key, a new one if need be."""
        batch = self._filling.get(cause)
        if batch is None or batch.state is not BatchState.QUEUED or len(batch.keys) >= self._policy.max_batch:
            batch = self._filling[cause] = Batch(cause, self._signal(), self._workers.lend)
            batch.waiters = 1 if cause is LoadCause.REFRESH else 0
            self._queues[cause].append(batch)
            self._workers.wake()
        return batch

    def _tell_if_full(self, batch: Batch[K, V]) -> None:
        if batch.full is not None and len(batch.keys) >= self._policy.max_batch:
            batch.full.set()

    def _take_over(self, key: K, batch: Batch[K, V]) -> Batch[K, V]:
        if batch.state is BatchState.QUEUED:
            del batch.keys[key]
        return self._lead(key, LoadCause.MISS)

    def _take(self) -> Batch[K, V] | None:
        """Return the next batch to load, live ones first."""
        for queue in self._queues.values():
            while queue:
                batch = queue.popleft()
                if not batch.keys:  # all taken over by live callers, or given up
                    batch.land({}, None)
                elif batch.state is BatchState.QUEUED:
                    self._loading[batch] = None
                    return batch
        return None

    async def _run(self, batch: Batch[K, V], scope: CancelScope) -> bool:
        """Load ``batch`` and land it; return whether the worker may go on to the next one."""
        try:
            if self._policy.linger:
                await linger(batch, self._policy, self._signal)
            if batch.is_landed and batch.begun is None:
                return True
            if not batch.keys:  # taken over by a live caller at the last moment
                self._land(batch, {}, None)
                return True
            answer = await self.calling.load(batch, scope)
            batch.seconds = answer.seconds
            self._land(batch, answer.found, answer.error)
            for call in answer.calls:
                self._report(call)
        except BaseException:  # only a cancellation of the whole cache gets here
            self._land(batch, {}, ClosingError(_CLOSED))
            raise
        finally:
            self._loading.pop(batch, None)
        if isinstance(answer.error, (KeyboardInterrupt, SystemExit)):
            raise answer.error
        # A task whose load was cancelled may have been cancelled itself, which the two cannot tell
        # apart: it must not go on.
        return not (answer.must_stop or answer.stopped)

    def _land(self, batch: Batch[K, V], found: Mapping[K, V | Failed], error: BaseException | None) -> None:
        """Land, store, release: no caller waits for the store, and no key is neither locked nor stored."""
        if batch.state is BatchState.LANDED:
            return
        batch.land(found, error)
        held = self.locks.held(batch)
        try:
            self._landed(batch, held)
        finally:
            self.locks.release(batch, held)

    def give_up(self, batch: Batch[K, V]) -> None:
        """End a load that nobody waits for any more.

        A batch still in the queue only loses its keys and serves the next callers: a source that
        hangs while callers come and go must not pile up dead batches.
        """
        self.locks.release(batch, batch.keys)  # first, because what was not found out must not be kept
        if batch.state is BatchState.QUEUED and batch not in self._loading:
            batch.keys.clear()
            if batch is not self._filling.get(batch.cause):
                self._queues[batch.cause].remove(batch)
            return
        self._land(batch, {}, None)
        if batch.full is not None:
            batch.full.set()
        if batch.scope is not None:
            batch.scope.cancel()
