"""What runs only while a cache is open: the loader, the backfiller, the audit writer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias

from anyio import move_on_after

from async_backfill.backfill.audit_writer import AuditWriter
from async_backfill.backfill.backfiller import Backfiller
from async_backfill.backfill.selection import SourceOrder
from async_backfill.contracts import K, V
from async_backfill.errors import LoadCycleError
from async_backfill.events import KeysEvicted, LoadFinished
from async_backfill.loading.circles import outer_batch
from async_backfill.loading.failures import failure_of
from async_backfill.loading.loader import Loader
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.backfill.audit import AuditLog
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.contracts import AuditSink, BoundedStore, Clock, Scan, Source, Spawn, Trigger
    from async_backfill.events import Event
    from async_backfill.loading.batch import Batch
    from async_backfill.policies import BackfillPolicy, LoadPolicy
    from async_backfill.stats import Counters

    _Board: TypeAlias = Callable[[K], tuple[Batch[K, V], bool]]

_LOGGER: Final = logging.getLogger("async_backfill")
_LAST_WRITE: Final = 5.0
_AUDIT_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Generic[K, V]):
    """What a cache keeps from one opening to the next, and its engine works with."""

    source: Source[K, V]
    scan: Scan[K] | None
    store: BoundedStore[K, V]
    load: LoadPolicy
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
    """One opening of a cache: answers misses, and runs the tasks that this takes.

    :param spawn: starts a task in the cache's task group.
    """

    def __init__(self, parts: Parts[K, V], spawn: Spawn) -> None:
        self._parts = parts
        self._store = parts.store
        self._counters = parts.counters
        self._trigger = parts.trigger
        self.loader: Loader[K, V] = Loader(
            parts.source,
            policy=parts.load,
            store=self._store_loaded,
            report=self._report_load,
            spawn=spawn,
            clock=parts.clock,
        )
        self.backfiller = None if parts.scan is None else self._make_backfiller(parts.scan, spawn)
        self.writer = (
            None
            if parts.audit_sink is None
            else AuditWriter(parts.audit_sink, interval=_AUDIT_INTERVAL, spawn=spawn)
        )

    async def miss(self, key: K) -> V | Absent:
        """Count a miss of ``key``, offer a backfill if it is time, load the key and return its value.

        :raises LoadError: when the source failed.
        :raises CacheClosedError: when the cache closes first.
        """
        counters = self._counters
        counters.misses += 1
        if self._trigger.observe_miss(counters.lookups) and await self._backfilled_inline():
            value = self._store.peek(key, ABSENT)
            if value is not ABSENT:
                return value
        outcome: V | Absent | Failed = ABSENT
        for board in self._boards():
            batch, leads = board(key)
            counters.led += leads
            await self._wait({batch: key}, 1)
            outcome = batch.outcome(key)
            if not _is_failed_backfill(batch, outcome):
                break
        return self._settled(key, outcome)

    async def miss_many(self, keys: Sequence[K]) -> dict[K, V]:
        """Do as `miss` for distinct ``keys`` at once; return those that exist, in their order.

        :raises LoadError: for the first of ``keys`` that failed, once all have ended.
        """
        counters = self._counters
        due = False
        for _ in keys:
            counters.misses += 1
            due = self._trigger.observe_miss(counters.lookups) or due
        values: dict[K, V | Absent] = dict.fromkeys(keys, ABSENT)
        if due and await self._backfilled_inline():
            values = {key: self._store.peek(key, ABSENT) for key in keys}
        left = [key for key in keys if values[key] is ABSENT]
        outcomes: dict[K, V | Absent | Failed] = {}
        for board in self._boards():
            loaded = await self._load_all(left, board)
            outcomes.update((key, outcome) for key, (_, outcome) in loaded.items())
            left = [key for key, (batch, outcome) in loaded.items() if _is_failed_backfill(batch, outcome)]
        failures: list[BaseException] = []
        for key, outcome in outcomes.items():
            try:
                values[key] = self._settled(key, outcome)
            except Exception as failure:  # noqa: BLE001 - every key is counted before one is raised
                failures.append(failure)
        if failures:
            raise failures[0]
        return {key: value for key, value in values.items() if value is not ABSENT}

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

    def evicted(self, keys: Sequence[K]) -> None:
        """Count ``keys`` as evicted and tell the observers."""
        if keys:
            self._counters.evictions += len(keys)
            self._parts.notify(KeysEvicted(keys=tuple(keys)))

    async def _backfilled_inline(self) -> bool:
        """Offer a backfill; return whether it was waited for, which a load inside a load never does."""
        episode = None if self.backfiller is None else self.backfiller.offer()
        if episode is None or not self._parts.backfill.inline or outer_batch() is not None:
            return False
        await episode.done.wait()
        return True

    def _boards(self) -> tuple[_Board[K, V], ...]:
        """Return how to load a key, and how again each time that only a backfill of it has failed.

        The last way joins no backfill, so that a caller waits for two failing ones at the most.
        """
        return self.loader.board, self.loader.board, self.loader.board_live

    async def _load_all(
        self, keys: Iterable[K], board: _Board[K, V]
    ) -> dict[K, tuple[Batch[K, V], V | Absent | Failed]]:
        boarded: dict[K, Batch[K, V]] = {}
        awaited: dict[Batch[K, V], K] = {}
        for key in keys:
            batch, leads = board(key)
            self._counters.led += leads
            boarded[key] = batch
            awaited.setdefault(batch, key)
        if awaited:
            await self._wait(awaited, len(boarded))
        return {key: (batch, batch.outcome(key)) for key, batch in boarded.items()}

    async def _wait(self, awaited: Mapping[Batch[K, V], K], lookups: int) -> None:
        try:
            await self.loader.wait(awaited)
        except LoadCycleError:
            self._counters.failed += lookups
            raise

    def _settled(self, key: K, outcome: V | Absent | Failed) -> V | Absent:
        """Count how a miss ended; return its value or its absence, or raise its failure."""
        if outcome is ABSENT:
            self._counters.absent += 1
        elif isinstance(outcome, Failed):
            self._counters.failed += 1
            raise failure_of(key, outcome.error) from outcome.error
        return outcome

    def _store_loaded(self, batch: Batch[K, V], values: dict[K, V]) -> None:
        """Store what was loaded; an unasked-for key of a backfill only where there is free room."""
        if batch.cause is LoadCause.BACKFILL and not self._parts.backfill.evicts:
            room = self._store.free_room()
            if room is not None:
                values = _fitting(values, batch.wanted, room)
        try:
            self.evicted(self._store.set_many(values))
        except Exception:
            _LOGGER.exception("%d loaded values were not stored; their callers were served", len(values))

    def _report_load(self, event: LoadFinished) -> None:
        self._counters.source_calls += 1
        self._counters.keys[event.cause] += len(event.found)
        self._parts.notify(event)

    def _make_backfiller(self, scan: Scan[K], spawn: Spawn) -> Backfiller[K]:
        parts, store = self._parts, self._store
        selection = SourceOrder(
            scan,
            is_cached=lambda key: store.peek(key, ABSENT) is not ABSENT,
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

    def _backfill_limit(self) -> int:
        """Return how many keys a backfill may load right now."""
        room = self._store.capacity if self._parts.backfill.evicts else self._store.free_room()
        return self._parts.backfill_batch if room is None else min(self._parts.backfill_batch, room)


def _is_failed_backfill(batch: Batch[K, V], outcome: object) -> bool:
    return isinstance(outcome, Failed) and batch.cause is LoadCause.BACKFILL


def _fitting(values: dict[K, V], wanted: set[K], room: int) -> dict[K, V]:
    """Return the ``values`` that fit into ``room``, and those that a live caller waits for."""
    fitting: dict[K, V] = {}
    room -= sum(key in wanted for key in values)
    for key, value in values.items():
        if key in wanted:
            fitting[key] = value
        elif room > 0:
            fitting[key] = value
            room -= 1
    return fitting
