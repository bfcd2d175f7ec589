"""The span of a load: who asks for it, when it begins, and what came of it.

A load is a batch with all parts that split off from it: they have one span, which ends when the last of them
has landed. None of this is in the way of a cache without tracing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.spans import current
from async_backfill._loading.failures import GivenUpError
from async_backfill._loading.load_trace import LoadTrace
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import OpenSpan, Tracer

_LOAD: Final = "load"


class LoadTraces(Generic[K, V]):
    """Makes the spans of the loads of the cache ``name``, with ``tracer``."""

    def __init__(self, tracer: Tracer, name: str | None) -> None:
        self.tracer = tracer
        self._collects = tracer.collects
        self._name = name

    def note(self, batch: Batch[K, V], *, waits: bool = True) -> None:
        """Take note that the running context is that of a caller of ``batch``, who may wait for it."""
        if not self._collects() or (caller := self.tracer.caller()) is None or batch.is_landed:
            return
        trace = batch.trace
        if trace is None:
            trace = batch.trace = LoadTrace()
        if trace.callers.add(caller, waits=waits) and trace.span is not None:
            trace.span.link(caller)

    def begin(self, batch: Batch[K, V]) -> OpenSpan | None:
        """Return the span of the load that ``batch`` belongs to, which begins now or has begun."""
        trace = batch.trace
        if trace is None:
            if batch.is_landed or not self._collects():
                return None
            trace = LoadTrace()
        if trace.span is None:
            facts = {"cache": self._name, "cause": batch.cause.value, "keys": batch.keys}
            callers = trace.callers
            trace.span = self.tracer.begin(_LOAD, facts, callers=callers.waiting(), links=callers.watching())
            batch.trace = None if trace.span is None else trace
        return trace.span

    def begin_lone(self, batch: Batch[K, V], context: Context) -> None:
        """Begin the load of ``batch``, whose only caller runs now, for a source call in ``context``."""
        if self._collects():
            self.note(batch)
            if (span := self.begin(batch)) is not None:
                context.run(span.enter)

    def call(self, batch: Batch[K, V], keys: object) -> OpenSpan | None:
        """Begin the span of a source call of its own, below that of the load."""
        if batch.trace is None or batch.trace.span is None:
            return None
        with current(batch.trace.span):
            above = self.tracer.caller()
            callers = () if above is None else (above,)
            return self.tracer.begin("source call", {"cache": self._name, "keys": keys}, callers=callers)

    def landing(
        self, landed: Callable[[Batch[K, V], list[K]], None]
    ) -> Callable[[Batch[K, V], list[K]], None]:
        """Return ``landed``, which is called with each batch that has landed, inside the span of the load."""

        def traced(batch: Batch[K, V], keys: list[K]) -> None:
            trace = batch.trace
            if trace is None:
                landed(batch, keys)
                return
            error = batch.error
            if trace.span is None and error is not None and not isinstance(error, GivenUpError):
                self.begin(batch)  # its callers are told, so is the trace
            try:
                with current(trace.span):
                    landed(batch, keys)
            finally:
                trace.landed(batch.found, error, len(batch.copies))

        return traced


async def in_trace(batch: Batch[K, V], work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()`` inside the span of the load that ``batch`` belongs to, if there is one."""
    with current(None if batch.trace is None else batch.trace.span):
        await work()
