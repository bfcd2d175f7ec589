"""From what a user asked for to the parts that a cache keeps from one opening to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._common.validation import whole
from async_backfill._far.guarded_calls import GuardedCalls
from async_backfill._lookup.near_tier import NearTier
from async_backfill._session.engine import Parts
from async_backfill.backfill._fleet_budget import FleetBudget
from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill._history.recorder import HeatRecorder
from async_backfill.backfill._receipts.usefulness import Usefulness
from async_backfill.backfill._successors import Successors
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.backfill.trigger import MissRateTrigger
from async_backfill.errors import ConfigurationError
from async_backfill.events import FarStoreFailed
from async_backfill.outcomes import MissCause
from async_backfill.stores._probation import ProbationStore
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.weighed import WeighedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill._audit.log import AuditLog
    from async_backfill.contracts import (
        AuditSink,
        BoundedStore,
        Clock,
        Journal,
        K,
        Permits,
        Scan,
        Source,
        Trigger,
        V,
    )
    from async_backfill.errors import StoreError
    from async_backfill.events import Event
    from async_backfill.far_tier import FarTier
    from async_backfill.policies import BackfillPolicy, FreshnessPolicy, HistoryPolicy, LoadPolicy
    from async_backfill.stats import Counters

_MISSES_REMEMBERED: Final = 8
"""Misses that successors remember, in capacities: of the lengths tried, the shortest that gained most."""


def assemble(  # noqa: PLR0913 - the settings of a cache, handed on once
    source: Source[K, V],
    *,
    scan: Scan[K] | None,
    store: BoundedStore[K, V],
    load: LoadPolicy,
    freshness: FreshnessPolicy,
    backfill: BackfillPolicy,
    history: HistoryPolicy,
    far: FarTier[K, V] | None,
    journal: Journal[K] | None,
    miss_threshold: float,
    backfill_batch: int,
    max_backfills: int | None,
    permits: Permits | None,
    trigger: Trigger | None,
    audit: AuditLog,
    audit_sink: AuditSink | None,
    counters: Counters,
    notify: Callable[[Event], None] | None,
    use: Callable[[Callable[[K], object] | None], None],
    clock: Clock,
) -> Parts[K, V]:
    """Return the parts of a cache in front of ``source``.

    :param use: is given what to tell of a hit from now on.
    :raises ConfigurationError: when a setting is outside what is allowed.
    """
    by_rate, every_miss = (
        MissRateTrigger(miss_threshold, window=backfill.window, min_lookups=backfill.min_lookups)
        for _ in range(2)
    )
    usefulness: Usefulness[K] | None = None
    probation: ProbationStore[K, V] | None = None
    if backfill.is_guarded:
        counters.causes = dict.fromkeys(MissCause, 0)
        usefulness = Usefulness(
            capacity=store.capacity, window=backfill.window, audit=audit, lookups=lambda: counters.lookups
        )
        probation = ProbationStore(_plain(store), resolved=usefulness.resolved)
    near: NearTier[K, V] = NearTier(
        store,
        freshness,
        backfill=backfill,
        usefulness=usefulness,
        probation=probation,
        counters=counters,
        notify=notify,
        clock=clock,
    )
    hot: HotKeys[K] | None = None
    heat: HeatRecorder[K] | None = None
    if backfill.selection == "history" or journal is not None:
        hot = HotKeys(history.size_for(store.capacity), history.half_life_for(store.capacity))
        heat = HeatRecorder(
            hot, touch=near.touch, use=use, hits=lambda: counters.hits, lookups=lambda: counters.lookups
        )
    successors: Successors[K] | None = None
    if backfill.successors:
        successors = Successors(
            backfill.successors,
            _MISSES_REMEMBERED * (store.capacity or history.size_for(None)),
            is_missing=lambda key: not near.knows(key),
        )
    return Parts(
        source=source,
        scan=scan,
        near=near,
        load=load,
        freshness=freshness,
        backfill=backfill,
        backfill_batch=whole("backfill_batch", backfill_batch, least=1),
        trigger=by_rate if trigger is None else trigger,
        every_miss=every_miss if usefulness is not None and trigger is None else None,
        by_rate=(by_rate, every_miss) if trigger is None else (),
        usefulness=usefulness,
        hot=hot,
        heat=heat,
        far=far,
        far_calls=None if far is None else _far_calls(far, notify, clock),
        journal=journal,
        save_every=history.save_every,
        successors=successors,
        budget=BackfillBudget(max_backfills) if permits is None else FleetBudget(permits, clock=clock),
        audit=audit,
        audit_sink=audit_sink,
        counters=counters,
        notify=notify,
        clock=clock,
    )


def _far_calls(far: FarTier[K, V], notify: Callable[[Event], None] | None, clock: Clock) -> GuardedCalls:
    def failed(error: StoreError) -> None:
        if notify is not None:
            notify(FarStoreFailed(error=error))

    return GuardedCalls(timeout=far.timeout, circuit=far.circuit, clock=clock, notify=failed)


def _plain(store: BoundedStore[K, V]) -> MemoryStore[K, V]:
    if isinstance(store, WeighedStore) or not isinstance(store, MemoryStore):
        problem = "needs a MemoryStore; pass capacity in place of store, or BackfillPolicy(probation=False)"
        raise ConfigurationError("probation", problem)
    return store
