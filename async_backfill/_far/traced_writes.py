"""Writes of the far tier (L2) that are spans: each group of changes, with links to those who made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.callers import Callers
from async_backfill._common.spans import ending
from async_backfill._far.writes import FarWrites
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._far.changes import Confirmation, PendingChanges
    from async_backfill._far.traced_calls import TracedCalls
    from async_backfill.far_tier import FarTier


class TracedWrites(FarWrites[K, V]):
    """Makes a span of each group of changes that is written, as ``calls`` make theirs; see `FarWrites`."""

    def __init__(self, tier: FarTier[K, V], calls: TracedCalls, **parts: Any) -> None:
        super().__init__(tier, calls, **parts)
        self._traced = calls
        self._callers = Callers()

    def _note(self, *, waits: bool) -> None:
        if (caller := self._traced.tracer.caller()) is not None:
            self._callers.add(caller, waits=waits)

    def _keep(self, pending: PendingChanges[K, V]) -> None:
        if pending:
            self._note(waits=False)
        super()._keep(pending)

    def _tell(self, pending: PendingChanges[K, V]) -> Confirmation:
        self._note(waits=True)
        return super()._tell(pending)

    def clear(self) -> Confirmation:
        """See `FarWrites.clear`."""
        self._note(waits=True)
        return super().clear()

    async def _write_some(self) -> None:
        await self._in_a_span(super()._write_some)

    async def _clear(self) -> None:
        await self._in_a_span(super()._clear)

    async def _in_a_span(self, write: Callable[[], Awaitable[None]]) -> None:
        callers, self._callers = self._callers, Callers()
        span = self._traced.tracer.begin(
            "far tier write",
            {"cache": self._traced.name},
            callers=callers.waiting(),
            links=callers.watching(),
        )
        with ending(span, {}):
            await write()
