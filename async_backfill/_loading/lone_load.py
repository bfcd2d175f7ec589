"""The load of one key that nobody else can join: begun in the turn of its caller, and often ended there.

What `BatchQueue.join`, a worker and `Loader` do for any load, for this one in a single function, because each
call would show in the cost of a lone miss. All that is not the usual case it hands back to them: a load that
goes on after its first step to the worker, what has no value, or no lock any more, to `Loader`. See decision
33 in notes.md.
"""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias
from weakref import ref

from async_backfill._loading.batch import Batch, BatchState
from async_backfill._loading.timed_call import Ended, answers_of
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backfill._loading.batch_calls import BatchCalls
    from async_backfill._loading.batch_queue import BatchQueue
    from async_backfill._loading.eager_step import EagerSteps
    from async_backfill._loading.workers import Workers

    LoneLoad: TypeAlias = Callable[[K], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOne(Generic[K, V]):
    """How the one value of a lone load is kept.

    ``keep``
        keeps and counts the value of a key that a batch has found, with its lock still held.
    ``sees_batch``
        whether that looks at the batch: at what it has found, and its times.
    """

    keep: Callable[[Batch[K, V], K, V], None]
    sees_batch: bool


NOT_NOW: Final = object()
"""What a lone load returns in place of a value where others may join, and so nothing was begun."""


def make_lone_load(  # noqa: C901, PLR0915 - see above
    calls: BatchCalls[K, V],
    steps: EagerSteps,
    *,
    queue: BatchQueue[K, V],
    workers: Workers[Batch[K, V]],
    loading: dict[Batch[K, V], None],
    land: Callable[[Batch[K, V], Mapping[K, V | Failed], BaseException | None], None],
    report: Callable[[Ended[K, V]], None],
    keep_one: KeepOne[K, V] | None,
) -> LoneLoad[K]:
    """Return a function that loads a key now, if nobody else can join that load.

    It returns the value, `NOT_NOW`, or the batch: one that was begun and goes on, or one that has landed
    without a value. Not for a load inside a load: a chain of them, each in the first step of the one before,
    would be a recursion.

    :param keep_one: how a value is kept; with ``None`` all loads end with ``land`` and ``report``.
    """
    source, clock = calls.source, calls.clock
    in_context, of_caller = calls.context, calls.in_context_of_caller
    may_take_one, take = steps.may_take_one, steps.take
    borrow, give_back, assign, lend = workers.borrow, workers.give_back, workers.assign, workers.lend
    trace = calls.begin_lone
    locks, holders, signal = queue.locks, queue.locks.holders, queue.signal
    live, refreshes, backfills = queue.queued.queues
    miss, being_loaded, landed = LoadCause.MISS, BatchState.LOADING, BatchState.LANDED
    keep = None if keep_one is None else keep_one.keep
    sees_batch = keep_one is None or keep_one.sees_batch

    def load(key: K) -> Any:  # noqa: C901, PLR0912, PLR0915 - as above
        if key in holders or live or refreshes or backfills or queue.is_closed or not may_take_one():
            return NOT_NOW
        worker = borrow()
        if worker is None:
            return NOT_NOW
        batch: Batch[K, V] = Batch(miss, signal, lend)
        batch.keys[key] = None
        batch.state = being_loaded
        try:
            holders[key] = batch
        except BaseException:  # the == of the key
            give_back(worker)
            raise
        loading[batch] = None
        steps.left -= 1
        if sees_batch:
            batch.since = clock()
        context, asked = copy_context() if of_caller else in_context.copy(), (key,)
        if trace is not None:
            trace(batch, context)
        found: Any = take(answers_of(source, asked, ref(batch)), worker.task, context)
        if type(found) is not dict:  # it goes on, or has failed
            batch.begun, batch.scope = found, worker.scope
            assign(worker, batch, found.interrupt)
            return batch
        give_back(worker)
        del loading[batch]
        if sees_batch and batch.since is not None:
            batch.seconds = clock() - batch.since
        if keep is not None and found and not batch.is_landed:
            value: Any = ABSENT
            try:
                if holders[key] is batch:
                    value = found[key]
            except Exception:  # noqa: BLE001, S110 - a lock that was revoked, or the code of a key
                pass
            if value is not ABSENT and type(value) is not Failed:
                # The same steps as in `Loader._land`: no key is ever neither locked nor stored.
                if sees_batch or batch.done is not None:
                    batch.land(found, None)
                else:
                    batch.state, batch.is_landed = landed, True
                try:
                    keep(batch, key, value)
                finally:
                    if trace is not None and batch.trace is not None:
                        batch.trace.landed(found, None, 0)
                    try:
                        if holders.get(key) is batch:
                            del holders[key]
                    except Exception:  # noqa: BLE001 - the code of the key
                        locks.release(batch, asked)
                return value
        land(batch, found, None)
        report(Ended(batch, asked, found, None, False, False, batch.seconds))
        return batch

    return load
