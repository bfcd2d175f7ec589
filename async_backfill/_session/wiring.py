"""Make what runs while a cache is open: loader, backfiller, misses and the open far tier (L2)."""

from __future__ import annotations

import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._far.call_tasks import CallTasks
from async_backfill._far.open_tier import OpenTier
from async_backfill._loading.loader import Loader
from async_backfill._loading.signals import signals
from async_backfill._lookup.miss import Misses
from async_backfill._lookup.miss_watch import MissWatch
from async_backfill._lookup.misses import ManyMisses
from async_backfill._lookup.revalidation import Revalidation
from async_backfill._lookup.slow_paths import SlowPaths
from async_backfill.backfill._backfiller import Backfiller
from async_backfill.backfill._free_scan import FreeScan
from async_backfill.backfill._history.readiness import Warming
from async_backfill.backfill._history.selection import HottestFirst
from async_backfill.backfill._source_order import SourceOrder
from async_backfill.outcomes import ABSENT, LoadCause
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.timed_call import Ended
    from async_backfill._session.opened_in import OpenedIn
    from async_backfill._session.parts import Parts
    from async_backfill.contracts import K, Selection, Spawn, V

_LOGGER: Final = logging.getLogger("async_backfill.far")
_A_BATCH: Final = 10
_PAGES_OF_A_FREE_SCAN: Final[Mapping[str, Any]] = MappingProxyType(
    {"first_page": 1000, "wrap_after": math.inf}  # what is held in memory does not change
)


def open_far(parts: Parts[K, V], spawn: Spawn) -> OpenTier[K, V] | None:
    """Return the open far tier (L2); ``None`` without one."""
    settings, fresh = parts.settings, parts.near.fresh
    if settings.far is None or parts.far_calls is None:
        return None
    parts.far_calls.run_in(CallTasks(spawn, signals()))
    return OpenTier(
        settings.far,
        parts.far_calls,
        ttl=settings.freshness.ttl,
        stale_for=settings.freshness.stale_for,
        seconds_left=None if fresh is None else fresh.seconds_left,
        patience=settings.load.timeout,
        spawn=spawn,
    )


def make_loader(parts: Parts[K, V], far: OpenTier[K, V] | None, spawn: Spawn) -> Loader[K, V]:
    """Return the loader; it reads through ``far``, and what it lands goes to the near tier and there."""
    # Its tasks must not hold `parts`, or a cache that is dropped while it is open would never be let go.
    near, counters, reports = parts.near, parts.counters, parts.reports

    def landed(batch: Batch[K, V], keys: list[K]) -> None:
        near.keep(batch, keys)
        if far is not None:
            try:
                far.landed(batch, keys)
            except Exception:  # the code of a key raised: it costs a copy, never the cache
                _LOGGER.exception("what a load of %s keys brought is not written to the far tier", len(keys))

    def report(call: Ended[K, V]) -> None:
        delivered, batch = call.delivered, call.batch
        counters.source_calls += 1
        counters.keys[batch.cause] += len(delivered)
        if batch.along:
            guessed = sum(key in batch.along for key in delivered)
            counters.keys[batch.cause] -= guessed
            counters.keys[LoadCause.BACKFILL] += guessed
        if reports.notify is not None:
            reports.notify(call.event())

    return Loader(
        parts.settings.source,
        policy=parts.settings.load,
        landed=near.keep if far is None else landed,
        report=report,
        spawn=spawn,
        clock=parts.settings.clock,
        before=None if far is None else far.before,
    )


def make_selection(parts: Parts[K, V], loader: Loader[K, V]) -> Selection[K] | None:
    """Return what chooses the keys of a backfill; ``None`` when there are none to choose from."""
    settings, store = parts.settings, parts.near.store
    known, loading = parts.near.knows, loader.locks.__contains__
    in_order = None
    if parts.scan is not None:
        in_order = SourceOrder(
            parts.scan,
            is_cached=known,
            is_loading=loading,
            removals=lambda: store.removals,
            **_PAGES_OF_A_FREE_SCAN if isinstance(settings.scan, FreeScan) else {},
        )
    hot, heat = parts.hot, parts.heat
    if settings.backfill.selection == "source" or hot is None or heat is None:
        return in_order
    return HottestFirst(
        hot,
        in_order,
        has_history=lambda: heat.has_history,
        is_cached=known,
        is_loading=loading,
        removals=lambda: store.removals,
    )


def make_backfiller(
    parts: Parts[K, V], loader: Loader[K, V], selection: Selection[K] | None, spawn: Spawn
) -> Backfiller[K] | None:
    """Return what runs backfills of the keys of ``selection``; ``None`` without one."""
    if selection is None:
        return None

    def limit() -> int:
        """Return how many keys a backfill may load right now: none while the source is not called."""
        if loader.overdue.is_full or loader.calling.circuit not in {None, CircuitState.CLOSED}:
            return 0
        store, most = parts.near.store, parts.settings.backfill_batch
        if most is None:
            # A recovery in many small calls would cost more of them than it saves.
            recovers = (
                isinstance(selection, HottestFirst) and parts.heat is not None and parts.heat.has_history
            )
            most = parts.settings.load.max_batch if recovers else _A_BATCH
        room = store.capacity if parts.settings.backfill.evicts else store.free_room()
        return most if room is None else min(most, room)

    return Backfiller(
        selection=selection,
        load=loader,
        budget=parts.budget,
        audit=parts.audit,
        limit=limit,
        concurrent=parts.settings.backfill.concurrent,
        timeout=parts.settings.load.timeout,
        lookups=lambda: parts.counters.lookups,
        reading=parts.trigger.reading,
        spawn=spawn,
        scans_freely=isinstance(parts.settings.scan, FreeScan),
        goes_on=lambda asked: _is_below_normal(parts, asked),
        receipts=None if parts.usefulness is None else parts.usefulness.receipts,
    )


def make_misses(
    parts: Parts[K, V], loader: Loader[K, V], backfiller: Backfiller[K] | None, opened_in: OpenedIn
) -> tuple[Misses[K, V], ManyMisses[K, V]]:
    """Return what answers a miss of one key, and the misses of several keys at once."""
    settings, near = parts.settings, parts.near
    known = None
    if near.fresh is not None or near.absent is not None:
        known = Revalidation(
            near,
            loader,
            trigger=parts.trigger,
            counters=parts.counters,
            heat=parts.heat,
            stale_wait=settings.freshness.stale_wait,
        )
    watch = MissWatch(
        parts.trigger,
        backfiller,
        counters=parts.counters,
        inline=settings.backfill.inline,
        usefulness=parts.usefulness,
        every_miss=parts.every_miss,
    )
    paths = SlowPaths(near, loader, known, counters=parts.counters, heat=parts.heat)

    def companions(key: K) -> Sequence[K]:
        if parts.successors is None or parts.usefulness is None:
            return ()
        keys = parts.successors.missed(key)
        return keys if keys and parts.usefulness.gate.lets_through() else ()

    along = None if parts.successors is None else companions
    return (
        Misses(
            paths,
            loader,
            miss_watch=watch,
            counters=parts.counters,
            heat=parts.heat,
            companions=along,
            opened_in=opened_in,
        ),
        ManyMisses(paths, loader, miss_watch=watch, counters=parts.counters, companions=along),
    )


def make_warming(
    parts: Parts[K, V], backfiller: Backfiller[K] | None, selection: Selection[K] | None, spawn: Spawn
) -> Warming[K]:
    """Return what warms the cache, and knows whether it is warm."""
    near, heat, evicts, reports = parts.near, parts.heat, parts.settings.backfill.evicts, parts.reports
    hottest_first = selection if isinstance(selection, HottestFirst) else None
    return Warming(
        parts.settings.readiness,
        None if hottest_first is None else parts.hot,
        backfiller,
        parts.budget,
        capacity=near.store.capacity,
        has_history=lambda: heat is not None and heat.has_history,
        has_value=lambda key: near.peek(key, ABSENT) is not ABSENT,
        is_absent=near.knows,
        is_full=lambda: not evicts and near.store.free_room() == 0,
        use_ranking=lambda ranking: None if hottest_first is None else hottest_first.use(ranking),
        why_nothing_is_hot=reports.why_nothing_is_hot,
        spawn=spawn,
    )


def _is_below_normal(parts: Parts[K, V], asked: int) -> bool:
    """Return whether the hit rate has not come back yet to what it was before the cache went cold.

    Not for ever: after as many keys as could be there, what is missing would push out the rest.
    """
    if parts.heat is None or not parts.hot or not parts.heat.has_history:
        return False
    if asked >= min(len(parts.hot), parts.near.store.capacity or len(parts.hot)):
        return False
    normal = parts.heat.hit_rate
    misses, lookups = parts.trigger.reading()
    return normal is None or lookups - misses < normal * lookups
