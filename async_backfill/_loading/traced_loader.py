"""A loader that makes a span of each load: the same parts as without, each with what a span needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic

from async_backfill._common.spans import current
from async_backfill._loading.batch_calls import BatchCalls
from async_backfill._loading.batch_queue import BatchQueue
from async_backfill._loading.loader import Loader
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from contextvars import Context

    from anyio import CancelScope

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_calls import Answer, BatchLoader
    from async_backfill._loading.load_traces import LoadTraces
    from async_backfill._loading.timed_call import Ended
    from async_backfill.contracts import OpenSpan
    from async_backfill.records import CircuitState


class TracedQueue(BatchQueue[K, V]):
    """A queue that takes note of the span of each caller."""

    def __init__(self, traces: LoadTraces[K, V], **settings: Any) -> None:
        super().__init__(**settings)
        self.traces = traces
        self.note = traces.note

    def join(self, key: K) -> tuple[Batch[K, V], bool]:
        """See `BatchQueue.join`."""
        joined = super().join(key)
        self.traces.note(joined[0])
        return joined

    def join_live(self, key: K) -> tuple[Batch[K, V], bool]:
        """See `BatchQueue.join_live`."""
        joined = super().join_live(key)
        self.traces.note(joined[0])
        return joined

    def join_refresh(self, key: K) -> Batch[K, V]:
        """See `BatchQueue.join_refresh`."""
        batch = super().join_refresh(key)
        self.traces.note(batch, waits=False)
        return batch

    def enqueue_along(self, batch: Batch[K, V], keys: Iterable[K]) -> None:
        """See `BatchQueue.enqueue_along`."""
        keys = tuple(keys)
        super().enqueue_along(batch, keys)
        for key in keys:
            apart = self.locks.holders.get(key)
            if apart is not None and key in apart.along:
                self.traces.note(apart, waits=False)


class TracedBatchCalls(BatchCalls[K, V]):
    """Source calls that run inside the span of their load.

    The first has no span of its own, because it is as long as the load; those of a search for a bad key have
    one, and so has each behind a far tier.

    :param is_behind: whether something is asked before the source.
    """

    def __init__(self, traces: LoadTraces[K, V], *args: Any, is_behind: bool, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._is_behind = is_behind
        self.traces = traces
        self.begin_lone = traces.begin_lone
        self._spans: dict[Batch[K, V], OpenSpan] = {}

    def abandoned(self, batch: Batch[K, V]) -> None:
        """See `BatchCalls.abandoned`."""
        super().abandoned(batch)
        if (span := self._spans.pop(batch, None)) is not None:
            span.end({"abandoned": True}, TimeoutError())

    def _context_for(self, batch: Batch[K, V]) -> Context:
        context = super()._context_for(batch)
        span = self._spans.get(batch)
        if span is None and batch.trace is not None:
            span = batch.trace.span
        if span is not None:
            context.run(span.enter)
        return context

    def _ask(
        self, batch: Batch[K, V], keys: Sequence[K], scope: CancelScope
    ) -> Coroutine[Any, Any, Ended[K, V]]:
        trace = batch.trace
        if trace is None or not (self._is_behind or trace.has_called):
            if trace is not None:
                trace.has_called = True
            return super()._ask(batch, keys, scope)
        return self._ask_in_a_span(batch, keys, scope)

    async def _ask_in_a_span(self, batch: Batch[K, V], keys: Sequence[K], scope: CancelScope) -> Ended[K, V]:
        span = self.traces.call(batch, keys)
        if span is None:
            return await super()._ask(batch, keys, scope)
        self._spans[batch] = span
        try:
            ended = await super()._ask(batch, keys, scope)
        except BaseException as error:
            span.end({}, error)
            raise
        finally:
            self._spans.pop(batch, None)
        span.end({"found": len(ended.delivered)}, ended.reason)
        return ended


class TracedLoads(Generic[K, V]):
    """Loads batches with ``inner``, each inside the span of its load."""

    def __init__(self, inner: BatchLoader[K, V], traces: LoadTraces[K, V]) -> None:
        self._inner = inner
        self._traces = traces

    @property
    def circuit(self) -> CircuitState | None:
        """See `BatchCalls.circuit`."""
        return self._inner.circuit

    async def load(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        """See `BatchCalls.load`."""
        with current(self._traces.begin(batch)):
            return await self._inner.load(batch, scope)


class TracedLoader(Loader[K, V]):
    """A loader whose loads are spans, made by ``traces``; see `Loader`."""

    def __init__(
        self,
        *args: Any,
        traces: LoadTraces[K, V],
        landed: Callable[[Batch[K, V], list[K]], None],
        **parts: Any,
    ) -> None:
        self._traces = traces
        self._new_queue = partial(TracedQueue, traces)
        self._new_calls = partial(TracedBatchCalls, traces, is_behind=parts.get("before") is not None)
        super().__init__(*args, landed=traces.landing(landed), **parts)
        self.calling = TracedLoads(self.calling, traces)

    async def wait(self, awaited: Mapping[Batch[K, V], K]) -> None:
        """See `Loader.wait`."""
        for batch in awaited:
            self._traces.note(batch)
        await super().wait(awaited)
