"""What runs only while a cache is open: the loader, the backfiller, the audit writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from anyio import move_on_after

from async_backfill.backfill.audit_writer import AuditWriter
from async_backfill.backfill.backfiller import Backfiller
from async_backfill.backfill.selection import SourceOrder
from async_backfill.contracts import K, V
from async_backfill.loading.loader import Loader
from async_backfill.misses import Misses
from async_backfill.records import CircuitState
from async_backfill.revalidation import Revalidation

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill.audit import AuditLog
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.contracts import AuditSink, Clock, Scan, Source, Spawn, Trigger
    from async_backfill.events import Event, LoadFinished
    from async_backfill.holdings import Holdings
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy, LoadPolicy
    from async_backfill.stats import Counters

_LAST_WRITE: Final = 5.0
_AUDIT_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Generic[K, V]):
    """What a cache keeps from one opening to the next, and its engine works with."""

    source: Source[K, V]
    scan: Scan[K] | None
    holdings: Holdings[K, V]
    load: LoadPolicy
    freshness: FreshnessPolicy
    backfill: BackfillPolicy
    backfill_batch: int
    trigger: Trigger
    budget: BackfillBudget
    audit: AuditLog
    audit_sink: AuditSink | None
    counters: Counters
    notify: Callable[[Event], None]
    clock: Clock


class Engine(Generic[K, V]):
    """One opening of a cache: puts together what answers misses, and ends it.

    :param spawn: starts a task in the cache's task group.
    """

    def __init__(self, parts: Parts[K, V], spawn: Spawn) -> None:
        self._parts = parts
        self.loader: Loader[K, V] = Loader(
            parts.source,
            policy=parts.load,
            landed=parts.holdings.keep,
            report=self._report_load,
            spawn=spawn,
            clock=parts.clock,
        )
        self.backfiller = None if parts.scan is None else self._make_backfiller(parts.scan, spawn)
        self.misses = self._make_misses()
        self.writer = (
            None
            if parts.audit_sink is None
            else AuditWriter(parts.audit_sink, interval=_AUDIT_INTERVAL, spawn=spawn)
        )

    async def close(self) -> None:
        """End every load with `CacheClosedError`, then give the audit sink a last chance to write."""
        self.loader.stop()
        if self.backfiller is not None:
            self.backfiller.stop()
        with move_on_after(_LAST_WRITE, shield=True):
            if self.backfiller is not None:
                await self.backfiller.quiet()
            if self.writer is not None:
                await self.writer.flush()

    async def settle(self) -> None:
        """Wait until nothing is loading and nothing backfills, and the audit is written."""
        while self.loader.busy or (self.backfiller is not None and self.backfiller.busy):
            await self.loader.quiet()
            if self.backfiller is not None:
                await self.backfiller.quiet()
        if self.writer is not None:
            await self.writer.flush()

    def _report_load(self, event: LoadFinished) -> None:
        self._parts.counters.source_calls += 1
        self._parts.counters.keys[event.cause] += len(event.found)
        self._parts.notify(event)

    def _make_backfiller(self, scan: Scan[K], spawn: Spawn) -> Backfiller[K]:
        parts, store = self._parts, self._parts.holdings.store
        selection = SourceOrder(
            scan,
            is_cached=parts.holdings.knows,
            is_loading=self.loader.locks.__contains__,
            removals=lambda: store.removals,
        )
        return Backfiller(
            selection=selection,
            load=self.loader,
            budget=parts.budget,
            audit=parts.audit,
            limit=self._backfill_limit,
            concurrent=parts.backfill.concurrent,
            timeout=parts.load.timeout,
            lookups=lambda: parts.counters.lookups,
            reading=parts.trigger.reading,
            spawn=spawn,
        )

    def _make_misses(self) -> Misses[K, V]:
        parts, holdings = self._parts, self._parts.holdings
        known = None
        if holdings.fresh is not None or holdings.absent is not None:
            known = Revalidation(
                holdings,
                self.loader,
                trigger=parts.trigger,
                counters=parts.counters,
                stale_wait=parts.freshness.stale_wait,
            )
        return Misses(
            holdings,
            self.loader,
            self.backfiller,
            known,
            trigger=parts.trigger,
            counters=parts.counters,
            inline=parts.backfill.inline,
        )

    def _backfill_limit(self) -> int:
        """Return how many keys a backfill may load right now: none of a source that is left alone."""
        if self.loader.calling.circuit not in {None, CircuitState.CLOSED}:
            return 0
        store = self._parts.holdings.store
        room = store.capacity if self._parts.backfill.evicts else store.free_room()
        return self._parts.backfill_batch if room is None else min(self._parts.backfill_batch, room)
