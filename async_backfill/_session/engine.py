"""What runs only while a cache is open: the loader, the backfiller, the audit writer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from anyio import move_on_after

from async_backfill._far.open_tier import OpenTier
from async_backfill._loading.loader import Loader
from async_backfill._lookup.miss import Misses
from async_backfill._lookup.miss_watch import MissWatch
from async_backfill._lookup.misses import ManyMisses
from async_backfill._lookup.revalidation import Revalidation
from async_backfill.backfill._audit.writer import AuditWriter
from async_backfill.backfill._backfiller import Backfiller
from async_backfill.backfill._history.readiness import Readiness
from async_backfill.backfill._history.selection import HottestFirst
from async_backfill.backfill._history.writer import JournalWriter
from async_backfill.backfill._source_order import SourceOrder
from async_backfill.contracts import K, V
from async_backfill.outcomes import LoadCause
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._loading.batch import Batch
    from async_backfill._loading.timed_call import Ended
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill.backfill._audit.log import AuditLog
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill._history.hot_keys import HotKeys
    from async_backfill.backfill._history.recorder import HeatRecorder
    from async_backfill.backfill._receipts.usefulness import Usefulness
    from async_backfill.backfill._successors import Successors
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.backfill.trigger import MissRateTrigger
    from async_backfill.contracts import AuditSink, Clock, Journal, Scan, Selection, Source, Spawn, Trigger
    from async_backfill.events import Event
    from async_backfill.far_tier import FarTier
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy, LoadPolicy
    from async_backfill.stats import Counters

_LOGGER: Final = logging.getLogger("async_backfill.journal")
_LAST_WRITE: Final = 5.0
_AUDIT_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Generic[K, V]):
    """What a cache keeps from one opening to the next, and its engine works with."""

    source: Source[K, V]
    scan: Scan[K] | None
    near: NearTier[K, V]
    load: LoadPolicy
    freshness: FreshnessPolicy
    backfill: BackfillPolicy
    backfill_batch: int
    trigger: Trigger
    every_miss: Trigger | None
    by_rate: tuple[MissRateTrigger, ...]
    usefulness: Usefulness[K] | None
    hot: HotKeys[K] | None
    heat: HeatRecorder[K] | None
    far: FarTier[K, V] | None
    far_calls: GuardedCalls | None
    journal: Journal[K] | None
    save_every: float
    successors: Successors[K] | None
    budget: BackfillBudget | FleetBudget
    audit: AuditLog
    audit_sink: AuditSink | None
    counters: Counters
    notify: Callable[[Event], None] | None
    clock: Clock


class Engine(Generic[K, V]):
    """One opening of a cache: puts together what answers misses, and ends it.

    :param spawn: starts a task in the cache's task group.
    """

    def __init__(self, parts: Parts[K, V], spawn: Spawn) -> None:
        self._parts = parts
        self._spawn = spawn
        self._journal_writer: JournalWriter[K] | None = None
        self._hottest: HottestFirst[K] | None = None
        self.far = self._make_far(spawn)
        self.loader: Loader[K, V] = Loader(
            parts.source,
            policy=parts.load,
            landed=parts.near.keep if self.far is None else self._keep,
            report=self._report_load,
            spawn=spawn,
            clock=parts.clock,
            before=(lambda calling: calling) if self.far is None else self.far.before,
        )
        self.backfiller = self._make_backfiller(spawn)
        self.misses, self.many_misses = self._make_misses()
        self.readiness: Readiness[K] = Readiness(
            parts.hot,
            self.backfiller,
            parts.budget,
            capacity=parts.near.store.capacity,
            is_known=parts.near.knows,
        )
        self.writer = (
            None
            if parts.audit_sink is None
            else AuditWriter(parts.audit_sink, interval=_AUDIT_INTERVAL, spawn=spawn)
        )

    async def start(self) -> None:
        """Read the journal, if there is one and nothing is known yet; one that is damaged is reported.

        Backfills that were at rest get another chance.
        """
        if self.far is not None:
            self.far.listen(self._forget)
        await self._parts.budget.refresh()
        if self._parts.usefulness is not None:
            self._parts.usefulness.receipts.wake()
        journal, heat = self._parts.journal, self._parts.heat
        if journal is None or heat is None:
            return
        if heat.is_blank:
            try:
                heats = await journal.load()
            except Exception as error:  # noqa: BLE001 - a cache without history is better than none
                _LOGGER.warning("the journal of hot keys is ignored: %s: %s", type(error).__name__, error)
            else:
                if heats is not None:
                    heat.restore(heats)
        self._journal_writer = JournalWriter(
            journal, heat.changed_heats, interval=self._parts.save_every, spawn=self._spawn
        )

    async def close(self) -> None:
        """End every load with `CacheClosedError`, then give audit sink and journal a last chance to write."""
        if self._parts.usefulness is not None:
            self._parts.usefulness.write_receipts()
        self.loader.stop()
        self.readiness.stop()
        if self.backfiller is not None:
            self.backfiller.stop()
        if self.far is not None:
            await self.far.close(_LAST_WRITE)
        with move_on_after(_LAST_WRITE, shield=True):
            if self.backfiller is not None:
                await self.backfiller.quiet()
            if self.writer is not None:
                await self.writer.flush()
        if self._journal_writer is not None:
            with move_on_after(_LAST_WRITE, shield=True):
                await self._journal_writer.flush()

    def flushed(self) -> None:
        """Take note that the cache was emptied, so that what was true before is not held against it."""
        for trigger in self._parts.by_rate:
            trigger.start_again(self._parts.counters.lookups)
        if self._parts.heat is not None:
            self._parts.heat.flushed()
        if self._hottest is not None:
            self._hottest.start_again()
        self.readiness.flushed()

    async def settle(self) -> None:
        """Wait until nothing is loading and nothing backfills, and the audit is written."""
        far = self.far
        while (
            self.loader.busy
            or (self.backfiller is not None and self.backfiller.busy)
            or (far is not None and far.writes.busy)
        ):
            await self.loader.quiet()
            if self.backfiller is not None:
                await self.backfiller.quiet()
            if far is not None:
                await far.writes.quiet()
        if self.writer is not None:
            await self.writer.flush()

    def _make_far(self, spawn: Spawn) -> OpenTier[K, V] | None:
        parts, fresh = self._parts, self._parts.near.fresh
        if parts.far is None or parts.far_calls is None:
            return None
        return OpenTier(
            parts.far,
            parts.far_calls,
            ttl=parts.freshness.ttl,
            seconds_left=None if fresh is None else fresh.seconds_left,
            patience=parts.load.timeout,
            spawn=spawn,
        )

    def _keep(self, batch: Batch[K, V], keys: list[K]) -> None:
        self._parts.near.keep(batch, keys)
        if self.far is not None:
            self.far.writes.landed(batch, keys)

    def _forget(self, keys: Sequence[K] | None) -> None:
        """Forget what another process changed: ``keys``, or everything."""
        near, locks = self._parts.near, self.loader.locks
        if self.far is not None:
            self.far.writes.forget(keys)
        if keys is not None:
            locks.revoke(keys)
            near.delete_many(keys)
        elif len(near.store) or locks:
            locks.revoke_all()
            near.clear()
            self.flushed()

    def _report_load(self, call: Ended[K, V]) -> None:
        counters, delivered, batch = self._parts.counters, call.delivered, call.batch
        counters.source_calls += 1
        counters.keys[batch.cause] += len(delivered)
        if batch.along:
            guessed = sum(key in batch.along for key in delivered)
            counters.keys[batch.cause] -= guessed
            counters.keys[LoadCause.BACKFILL] += guessed
        if self._parts.notify is not None:
            self._parts.notify(call.event())

    def _make_backfiller(self, spawn: Spawn) -> Backfiller[K] | None:
        parts = self._parts
        selection = self._make_selection()
        if selection is None:
            return None
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
            goes_on=self._is_below_normal,
            receipts=None if parts.usefulness is None else parts.usefulness.receipts,
        )

    def _make_selection(self) -> Selection[K] | None:
        parts, store = self._parts, self._parts.near.store
        known, loading = parts.near.knows, self.loader.locks.__contains__
        in_order = None
        if parts.scan is not None:
            in_order = SourceOrder(
                parts.scan, is_cached=known, is_loading=loading, removals=lambda: store.removals
            )
        hot, heat = parts.hot, parts.heat
        if parts.backfill.selection == "source" or hot is None or heat is None:
            return in_order
        self._hottest = HottestFirst(
            hot,
            in_order,
            has_history=lambda: heat.has_history,
            is_cached=known,
            is_loading=loading,
            removals=lambda: store.removals,
        )
        return self._hottest

    def _is_below_normal(self, asked: int) -> bool:
        """Return whether the hit rate has not come back yet to what it was before the cache went cold.

        Not for ever: after as many keys as could be there, what is missing would push out the rest.
        """
        parts = self._parts
        if parts.heat is None or not parts.hot or not parts.heat.has_history:
            return False
        if asked >= min(len(parts.hot), parts.near.store.capacity or len(parts.hot)):
            return False
        normal = parts.heat.hit_rate
        misses, lookups = parts.trigger.reading()
        return normal is None or lookups - misses < normal * lookups

    def _companions(self, key: K) -> Sequence[K]:
        parts = self._parts
        if parts.successors is None or parts.usefulness is None:
            return ()
        keys = parts.successors.missed(key)
        return keys if keys and parts.usefulness.gate.lets_through() else ()

    def _make_misses(self) -> tuple[Misses[K, V], ManyMisses[K, V]]:
        parts, near = self._parts, self._parts.near
        known = None
        if near.fresh is not None or near.absent is not None:
            known = Revalidation(
                near,
                self.loader,
                trigger=parts.trigger,
                counters=parts.counters,
                stale_wait=parts.freshness.stale_wait,
            )
        miss_watch = MissWatch(
            parts.trigger,
            self.backfiller,
            counters=parts.counters,
            inline=parts.backfill.inline,
            usefulness=parts.usefulness,
            every_miss=parts.every_miss,
        )
        companions = None if parts.successors is None else self._companions
        misses = Misses(
            near,
            self.loader,
            known,
            miss_watch=miss_watch,
            counters=parts.counters,
            heat=parts.heat,
            companions=companions,
        )
        many = ManyMisses(
            misses,
            near,
            self.loader,
            known,
            miss_watch=miss_watch,
            counters=parts.counters,
            companions=companions,
        )
        return misses, many

    def _backfill_limit(self) -> int:
        """Return how many keys a backfill may load right now: none of a source that is left alone."""
        if self.loader.calling.circuit not in {None, CircuitState.CLOSED}:
            return 0
        store = self._parts.near.store
        room = store.capacity if self._parts.backfill.evicts else store.free_room()
        return self._parts.backfill_batch if room is None else min(self._parts.backfill_batch, room)
