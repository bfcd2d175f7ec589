"""The loader: turns many waiting callers into few ``load_many`` calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._loading.batch import Batch, BatchState
from async_backfill._loading.batch_calls import BatchCalls
from async_backfill._loading.batch_queue import BatchQueue
from async_backfill._loading.bulk import BulkPlaces, load_bulk
from async_backfill._loading.eager_step import eager_steps, running_task
from async_backfill._loading.failures import CLOSED, ClosingError, GivenUpError
from async_backfill._loading.limits import limits_of, no_place
from async_backfill._loading.lone_load import make_lone_load
from async_backfill._loading.overdue import Overdue
from async_backfill._loading.parts import BatchParts
from async_backfill._loading.signals import loop_time, signals
from async_backfill._loading.timed_call import Ended, linger, stop_reason
from async_backfill._loading.waiting import wait_for
from async_backfill._loading.workers import Workers
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anyio import CancelScope

    from async_backfill._common.bulk_course import BulkCourse
    from async_backfill._loading.batch_calls import Answer, BatchLoader
    from async_backfill._loading.bulk import BulkAnswers
    from async_backfill._loading.key_locks import KeyLocks
    from async_backfill._loading.lone_load import KeepOne, LoneLoad
    from async_backfill.contracts import Clock, Source, Spawn
    from async_backfill.outcomes import Failed
    from async_backfill.policies import LoadPolicy
    from async_backfill.records import CircuitState


class Loader(Generic[K, V]):
    """Calls the source for the batches of its queue, and hands each outcome to its waiters.

    :param policy: how the source is called.
    :param landed: called with a batch that has landed and those of its keys whose lock it still holds;
        only these may be stored. No other code runs between the landing and this call.
    :param report: called with each source call that has ended.
    :param spawn: starts a task that the cache owns.
    :param clock: a monotonic clock, in seconds.
    :param before: returns what loads the batches, given what calls the source and what splits a batch;
        ``None`` for the former.
    :param keep_one: see `make_lone_load`.
    :param circuit_changed: see `Circuit`.
    """

    _new_queue: Callable[..., BatchQueue[K, V]] = BatchQueue
    _new_calls: Callable[..., BatchCalls[K, V]] = BatchCalls

    def __init__(  # noqa: PLR0913 - each is a part of its own; the cache puts them together once
        self,
        source: Source[K, V],
        *,
        policy: LoadPolicy,
        landed: Callable[[Batch[K, V], list[K]], None],
        report: Callable[[Ended[K, V]], None],
        spawn: Spawn,
        clock: Clock,
        before: Callable[[BatchCalls[K, V], BatchParts[K, V]], BatchLoader[K, V]] | None = None,
        keep_one: KeepOne[K, V] | None = None,
        circuit_changed: Callable[[CircuitState, int], object] = lambda *_: None,
        cache: str | None = None,
    ) -> None:
        self._policy = policy
        self._signal, self._now = signals(), loop_time()
        self._landed, self._report = landed, report
        self._loading: dict[Batch[K, V], None] = {}  # in the order they began
        self._limits = limits = limits_of(source, policy)
        self._bulk = BulkPlaces(limits.bulk)
        self._workers: Workers[Batch[K, V]] = Workers(
            take=self._take,
            run=self._run,
            limit=limits.concurrency,
            spawn=spawn,
            signal=self._signal,
            running_task=running_task,
        )
        # What is before the source may take more keys at once, and splits its batches.
        self._max_batch = limits.max_batch if before is None else policy.max_batch
        self._linger = policy.linger if self._max_batch > 1 else 0.0
        self.batch_queue: BatchQueue[K, V] = self._new_queue(
            max_batch=self._max_batch,
            signal=self._signal,
            workers=self._workers,
            limits=limits,
            now=self._now,
            keeps_context=policy.context == "caller",
        )
        self.locks: KeyLocks[K, V] = self.batch_queue.locks
        parts = BatchParts(self.batch_queue, self._loading, signal=self._signal, land=self._land)
        self.overdue: Overdue[K, V] = Overdue(
            limit=limits.concurrency,
            timeout=policy.timeout,
            abandon=self._abandon,
            spawn=spawn,
            now=self._now,
            clock=clock,
            cache=cache,
        )
        self._source_calls = calls = self._new_calls(
            source,
            policy,
            max_batch=limits.max_batch,
            clock=clock,
            overdue=self.overdue,
            circuit_changed=circuit_changed,
        )
        self.calling: BatchLoader[K, V] = calls if before is None else before(calls, parts)
        self.eager_steps = eager_steps()
        self.lone_load = self._make_lone_load(keep_one)

    def _make_lone_load(self, keep_one: KeepOne[K, V] | None) -> LoneLoad[K] | None:
        """Return what loads a key at once; ``None`` where a load must wait, or something must be asked first.

        That is with ``linger``, with a circuit breaker, with what is before the source, and on trio.
        """
        calls, steps = self._source_calls, self.eager_steps
        if steps is None or self._linger or self.calling is not calls or not calls.may_begin:
            return None
        return make_lone_load(
            calls,
            steps,
            queue=self.batch_queue,
            workers=self._workers,
            loading=self._loading,
            land=self._land,
            report=self._report,
            keep_one=keep_one,
        )

    async def wait(self, awaited: Mapping[Batch[K, V], K]) -> None:
        """Wait until all batches of ``awaited`` have landed; see `wait_for`."""
        await wait_for(awaited, self.give_up)

    async def load_many(self, keys: Sequence[K], course: BulkCourse | None = None, /) -> BulkAnswers[K, V]:
        """Load ``keys`` below live misses, as `load_bulk` does; so a loader is a `Source` itself."""
        return await load_bulk(keys, self.batch_queue, self.wait, course)

    def stop(self) -> None:
        """End every batch with `CacheClosedError` and refuse new keys."""
        closed = ClosingError(CLOSED)
        for batch in (*self.batch_queue.close(), *self._loading):
            self._land(batch, {}, closed)
            if batch.scope is not None:
                batch.scope.cancel()

    @property
    def busy(self) -> bool:
        """Whether anything is queued or being loaded."""
        return bool(self._loading or self.batch_queue.queued)

    async def quiet(self) -> None:
        """Wait until nothing is queued or being loaded."""
        while self.busy:
            await self._workers.idle()
            for batch in tuple(self._loading):  # no worker runs these: they wait for other processes
                await batch.wait()

    def _take(self) -> Batch[K, V] | None:
        batch = self.batch_queue.take(may_take_bulk=self._bulk.is_free)
        if batch is not None:
            self._loading[batch] = None
            self._bulk.begun(batch)
            if self.eager_steps is not None:
                self.eager_steps.loads(len(batch.keys))
        return batch

    async def _run(self, batch: Batch[K, V], scope: CancelScope) -> bool:
        """Load ``batch`` and land it; return whether the worker may run another one."""
        try:
            if self._linger:
                await linger(batch, self._linger, self._max_batch, self._signal)
            if batch.is_landed and batch.begun is None:
                return True
            overdue = batch.due is not None and self._now() >= batch.due
            if not batch.keys or overdue:  # a live caller took the last key over while it lingered
                self._land(batch, {}, no_place(self._limits) if overdue else None)
                return True
            answer = await self.calling.load(batch, scope)
            if batch in self.overdue.abandoned:
                self._outlived(batch, answer)
                return False
            batch.seconds = answer.seconds
            self._land(batch, answer.found, answer.error)
            for call in answer.calls:
                self._report(call)
        except BaseException:  # only a cancellation of the whole cache gets here
            self._land(batch, {}, ClosingError(CLOSED))
            raise
        finally:
            self._loading.pop(batch, None)
            self._bulk.ended(batch)
            self.batch_queue.landed(batch)
            if batch in self.overdue.abandoned:  # by closing
                self._outlived(batch, None)
        if isinstance(answer.error, (KeyboardInterrupt, SystemExit)):
            raise answer.error
        # A task whose load was cancelled may have been cancelled itself, and on asyncio the two cannot
        # be told apart, so the task ends: decision 12 in notes.md.
        return not (answer.must_stop or answer.stopped)

    def _abandon(self, batch: Batch[K, V], asked: tuple[K, ...]) -> None:
        """Land ``batch``, whose call goes on after its timeout, and give its place to other loads."""
        self._source_calls.abandoned(batch)
        error, timeout = stop_reason(batch, self._policy.timeout), self._policy.timeout
        batch.lend = lambda _: None  # a nested load that it waits for must not take the place back
        self._workers.abandon(is_lent=bool(batch.needs))
        self._loading.pop(batch, None)
        self._bulk.ended(batch)
        if batch.scope is not None:
            batch.scope.cancel()
        self._land(batch, {}, error)
        self._report(Ended(batch, asked, {}, error, False, True, timeout or 0.0))

    def _outlived(self, batch: Batch[K, V], answer: Answer[K, V] | Ended[K, V] | None) -> None:
        """Take note that the call of ``batch``, which was abandoned, has ended; its answer is dropped."""
        calls = () if answer is None else answer.calls
        self.overdue.outlived(batch, calls[-1].error if calls else None)
        self._workers.outlived()
        for call in calls[:-1]:
            self._report(call)

    def _land(self, batch: Batch[K, V], found: Mapping[K, V | Failed], error: BaseException | None) -> None:
        """Hand out the outcome, store the values, release the locks, in this order and without an await."""
        if batch.state is BatchState.LANDED:
            return
        # So no key is ever neither locked nor stored, and no caller must look twice: decision 2 in notes.md.
        batch.land(found, error)
        held = self.locks.held(batch)
        try:
            self._landed(batch, held)
        finally:
            if self.locks.release(batch, held) < len(batch.keys):
                self.locks.forget(batch)

    def give_up(self, batch: Batch[K, V]) -> None:
        """End the load of ``batch``, which no caller waits for any more.

        One that is still queued is removed with its keys; see `BatchQueue.give_up`.
        """
        self.locks.release(batch, batch.keys)  # first, because what was not found out must not be kept
        if batch.state is BatchState.QUEUED and batch not in self._loading:
            self.batch_queue.give_up(batch)
            return
        self._land(batch, {}, GivenUpError())
        if self.batch_queue.drop(batch):
            self._loading.pop(batch, None)
        if batch.full is not None:
            batch.full.set()
        if batch.scope is not None:
            batch.scope.cancel()
