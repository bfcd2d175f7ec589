"""The orders that a person gives a running cache."""

from __future__ import annotations

from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from async_backfill._common.validation import text, whole, whole_or_none
from async_backfill._session.control.explaining import explain
from async_backfill._session.control.orders import checked
from async_backfill._session.control.values import ControlStatus, RunningBackfill
from async_backfill.contracts import ControlOrder, K, V
from async_backfill.errors import ConfigurationError
from async_backfill.records import BudgetState, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._session.control.values import Explanation
    from async_backfill._session.engine import Engine
    from async_backfill._session.parts import Parts
    from async_backfill.contracts import ControlVerb
    from async_backfill.records import AuditRecord

Unchanged: TypeAlias = EllipsisType


class Control(Generic[K, V]):
    """Orders to a running cache; each says ``by`` whom it is and for what ``reason``.

    Each goes into the audit log, to the observers (`async_backfill.events.ControlChanged`) and into the log.
    What stands, stands until another order, also when the cache is closed and opened again. With the setting
    ``control`` each order reaches all caches of a fleet, and what stands holds for those that open later.

    :raises ConfigurationError: when ``by`` or ``reason`` is empty.
    :raises CacheClosedError: when the cache is not open.
    :raises StoreError: when the channel of the fleet did not take it; it was carried out in this process.
    """

    def __init__(self, parts: Parts[K, V], engine: Callable[[], Engine[K, V]]) -> None:
        self._parts = parts
        self._engine = engine

    @property
    def status(self) -> ControlStatus:
        """What was ordered, and what the cache does; also after it was closed."""
        parts, standing = self._parts, self._parts.standing
        return ControlStatus(
            is_off=standing.is_off,
            is_paused=standing.is_paused,
            threshold=parts.by_rate[0].threshold if parts.by_rate else None,
            batch=standing.batch,
            rate=standing.rate,
            permits_left=parts.budget.permits_left,
            needs_approval=parts.budget.state is BudgetState.NEEDS_APPROVAL,
            running=self._running(),
            is_shared=parts.settings.control is not None,
            channel_error=standing.channel_error,
            channel_failures=standing.channel_failures,
            orders=MappingProxyType(dict(standing.orders)),
        )

    async def pause(self, *, by: str, reason: str) -> None:
        """Start no backfill by itself any more; the one that runs goes on, and misses are loaded as ever.

        What a person forces starts nevertheless.
        """
        await self._order("pause", by, reason)

    async def resume(self, *, by: str, reason: str) -> None:
        """Let backfills start by themselves again."""
        await self._order("resume", by, reason)

    async def cancel(self, *, by: str, reason: str) -> bool:
        """End the backfills that run; return whether there was one.

        What has come stays, and so does what callers wait for: it goes on. The permit is spent. Others may
        start at once: `pause` first, where none should.
        """
        return bool(await self._order("cancel", by, reason))

    async def approve(self, n: int, *, by: str, reason: str) -> AuditRecord:
        """Allow ``n`` more automatic backfills; the same as ``approve_backfills`` of the cache.

        :raises ConfigurationError: when ``n`` is below 1, or there is no ``max_backfills``.
        :raises StoreError: when the permits of a fleet cannot be reached.
        """
        self._require_limit()
        record: AuditRecord = await self._order("approve", by, reason, permits=whole("n", n, least=1))
        return record

    async def revoke(self, n: int | None = None, *, by: str, reason: str) -> int:
        """Take up to ``n`` permits back that are not used, ``None`` for all; return how many.

        :raises ConfigurationError: when ``n`` is below 1, or there is no ``max_backfills``.
        :raises StoreError: when the permits of a fleet cannot be reached.
        """
        self._require_limit()
        taken: int = await self._order("revoke", by, reason, permits=whole_or_none("n", n, least=1))
        return taken

    async def off(self, *, by: str, reason: str) -> None:
        """Answer each read from the source, and keep nothing, until `on`; the memory is emptied.

        Reads of one key at once still share a load. No backfill starts, and one that runs is ended. A put
        and an invalidation remove what the far tier (L2) has, which is not read meanwhile.
        """
        await self._order("off", by, reason)

    async def on(self, *, by: str, reason: str) -> None:
        """Keep values again; the memory is empty at first."""
        await self._order("on", by, reason)

    async def invalidate(self, key: K, *, by: str, reason: str) -> None:
        """Remove ``key``, as ``invalidate`` of the cache does.

        :raises StoreError: when it was removed here, but maybe not from the far tier (L2).
        """
        await self._order("invalidate", by, reason, key)

    async def retune(
        self,
        *,
        threshold: float | Unchanged | None = ...,
        batch: int | Unchanged | None = ...,
        rate: float | Unchanged | None = ...,
        by: str,
        reason: str,
    ) -> None:
        """Change what is given, from the next decision on; ``None`` is what the cache was made with.

        :param threshold: the share of misses that starts a backfill, 0.01 to 1.0.
        :param batch: keys of one backfill at the most, 1 or more.
        :param rate: keys a second that backfills may ask for, 0.01 or more; ``None`` for no limit.
        :raises ConfigurationError: when one is outside what is allowed, or none is given.
        """
        self._engine()
        details = checked(self._parts, threshold=threshold, batch=batch, rate=rate)
        await self._order("retune", by, reason, **details)

    async def explain(self, key: K) -> Explanation[K]:
        """Return what is known of ``key``; nothing is loaded or counted, and it does not count as used."""
        return await explain(key, self._parts, self._engine())

    async def _order(self, verb: ControlVerb, by: str, reason: str, key: Any = None, **details: Any) -> Any:
        engine = self._engine()
        order = ControlOrder(
            verb=verb,
            by=text("by", by),
            reason=text("reason", reason),
            time=self._parts.settings.wall_clock(),
            details=MappingProxyType(details),
            key=key,
        )
        return await engine.give(order)

    def _require_limit(self) -> None:
        self._engine()
        if self._parts.budget.permits_left is None:
            problem = "is None: there is no limit, so there are no permits; pause stops all backfills"
            raise ConfigurationError("max_backfills", problem)

    def _running(self) -> RunningBackfill | None:
        for episode in self._parts.standing.running or ():
            record, course = episode.record, episode.course
            if record is not None and record.status is Status.STARTED and record.cause is not None:
                return RunningBackfill(
                    number=record.backfill or 0,
                    cause=record.cause.value,
                    keys=record.keys,
                    loaded=course.loaded + course.arrived(),
                    since=record.time,
                )
        return None
