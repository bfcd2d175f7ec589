"""Calls of the far tier (L2) that are spans, below the span of who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from async_backfill._common.spans import current
from async_backfill._far.guarded_calls import GuardedCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Tracer

T = TypeVar("T")


class TracedCalls(GuardedCalls):
    """Makes a span of each call, with ``tracer``, for the cache ``name``; see `GuardedCalls`."""

    def __init__(self, tracer: Tracer, name: str | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.tracer = tracer
        self.name = name

    async def call(self, what: str, call: Callable[[], Awaitable[T]], *, within: float | None = None) -> T:
        """See `GuardedCalls.call`."""
        above = self.tracer.caller()
        callers = () if above is None else (above,)
        span = self.tracer.begin(f"far tier {what}", {"cache": self.name}, callers=callers)
        if span is None:
            return await super().call(what, call, within=within)

        async def traced() -> T:
            with current(span):  # in the task that makes the call
                return await call()

        try:
            result = await super().call(what, traced, within=within)
        except BaseException as error:
            span.end({}, error.__cause__ or error)
            raise
        span.end({})
        return result
