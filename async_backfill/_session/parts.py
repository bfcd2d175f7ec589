"""Build the long-lived parts of a cache from its settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.weak_calls import weakly
from async_backfill._far.guarded_calls import GuardedCalls
from async_backfill._far.traced_calls import TracedCalls
from async_backfill._lookup.counters import Counters
from async_backfill._lookup.hit import make_hit_path
from async_backfill._lookup.near_tier import NearTier
from async_backfill._lookup.noted_tier import NotedTier
from async_backfill._session.control.standing import Standing
from async_backfill._session.reports import Reports
from async_backfill.backfill._audit.log import AuditLog
from async_backfill.backfill._counted_scan import CountedScan
from async_backfill.backfill._fleet_budget import FleetBudget
from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill._history.recorder import HeatRecorder
from async_backfill.backfill._receipts.usefulness import Usefulness
from async_backfill.backfill._successors import Successors
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.backfill.trigger import MissRateTrigger
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import MissCause
from async_backfill.stores._probation import ProbationStore
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.weighed import WeighedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._lookup.hit_path import HitPath
    from async_backfill._session.settings import Settings
    from async_backfill._session.snapshots.snapshots import Snapshots
    from async_backfill.contracts import BoundedStore, Trigger

_MISSES_REMEMBERED: Final = 8
"""Misses that successors remember, in capacities: of the lengths tried, the shortest that gained most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Generic[K, V]):
    """What a cache keeps from one opening to the next.

    ``trigger``, ``every_miss``
        the trigger that starts backfills, and with probation one of the same threshold that sees
        all misses; ``by_rate`` are those of the two that measure the miss rate.
    ``usefulness``
        accounts of what backfills were good for; ``None`` without probation.
    ``probation``
        the backfilled keys that nobody has read yet; ``None`` without probation.
    ``hot``, ``heat``
        which keys are hot, and what records it; ``None`` without history.
    ``scan``
        the scan of the source's keys, counted; ``None`` without one.
    ``far_calls``
        the calls of the far tier (L2); ``None`` without one.
    ``fleet``
        the budget, where a fleet shares it; ``None`` where this process has its own.
    ``snapshots``
        restores and saves the snapshot; ``None`` without one.
    ``standing``
        what people have ordered.
    """

    settings: Settings[K, V]
    counters: Counters
    reports: Reports
    audit: AuditLog
    near: NearTier[K, V]
    hit_path: HitPath[K, V]
    trigger: Trigger
    every_miss: Trigger | None
    by_rate: tuple[MissRateTrigger, ...]
    usefulness: Usefulness[K] | None
    probation: ProbationStore[K, V] | None
    hot: HotKeys[K] | None
    heat: HeatRecorder[K] | None
    far_calls: GuardedCalls | None
    scan: CountedScan[K] | None
    successors: Successors[K] | None
    budget: BackfillBudget | FleetBudget
    fleet: FleetBudget | None
    snapshots: Snapshots[K, V] | None
    standing: Standing


def build_parts(settings: Settings[K, V]) -> Parts[K, V]:
    """Return the parts of a cache with ``settings``.

    :raises ConfigurationError: when a setting is outside what is allowed.
    """
    counters = Counters()
    reports = Reports(settings, counters)
    audit = AuditLog(
        keep=settings.audit_keep,
        wall_clock=settings.wall_clock,
        report=reports.audited,
        process=lambda: f"{gethostname()}:{os.getpid()}",
        cache=settings.name,
    )
    store = settings.store
    if store is None:
        store = MemoryStore(settings.capacity, eviction=settings.eviction)
    by_rate, every_miss = _miss_rate_trigger(settings), _miss_rate_trigger(settings)
    usefulness: Usefulness[K] | None = None
    probation: ProbationStore[K, V] | None = None
    if settings.backfill.has_probation and store.capacity != 0:
        counters.causes = dict.fromkeys(MissCause, 0)
        usefulness = Usefulness(
            capacity=store.capacity,
            window=settings.backfill.window,
            audit=audit,
            lookups=lambda: counters.lookups,
        )
        probation = ProbationStore(_plain(store), resolved=usefulness.resolved)
    tier: type[NearTier[K, V]] = NearTier if settings.snapshot is None else NotedTier
    near = tier(
        store,
        settings.freshness,
        backfill=settings.backfill,
        usefulness=usefulness,
        probation=probation,
        counters=counters,
        notify=reports.notify,
        clock=settings.clock,
        cache=settings.name,
    )
    keeps_heat = settings.backfill.selection == "history" or settings.journal is not None
    hit_path: HitPath[K, V] = make_hit_path(
        fresh_until=near.fresh_until,
        hit_counts=None if keeps_heat else near.hit_counts,
        touches=near.touch is not None or keeps_heat,
        clock=settings.clock,
        counters=counters,
        copy=settings.copy,
    )
    if near.fresh is not None and hit_path.use_soonest is not None:
        near.fresh.tell_soonest = hit_path.use_soonest
    hot: HotKeys[K] | None = None
    heat: HeatRecorder[K] | None = None
    if keeps_heat:
        history = settings.history
        hot = HotKeys(history.size_for(store.capacity or None), history.half_life_for(store.capacity or None))
        heat = HeatRecorder(
            hot,
            touch=near.touch,
            use=weakly(hit_path.listen),
            hits=lambda: counters.hits,
            lookups=lambda: counters.lookups,
        )
    own_trigger = settings.trigger
    fleet: FleetBudget | None = None
    if settings.permits is not None:
        fleet = FleetBudget(settings.permits, clock=settings.clock, cache=settings.name)
    budget: BackfillBudget | FleetBudget = fleet or BackfillBudget(settings.max_backfills)
    budget.changed = reports.budget_changed
    return Parts(
        settings=settings,
        counters=counters,
        reports=reports,
        audit=audit,
        near=near,
        hit_path=hit_path,
        trigger=by_rate if own_trigger is None else own_trigger,
        every_miss=every_miss if usefulness is not None and own_trigger is None else None,
        by_rate=(by_rate, every_miss) if own_trigger is None else (),
        usefulness=usefulness,
        probation=probation,
        hot=hot,
        heat=heat,
        far_calls=_far_calls(settings, reports),
        scan=None if settings.scan is None else CountedScan(settings.scan),
        successors=_successors(settings, near),
        budget=budget,
        fleet=fleet,
        snapshots=_snapshots(settings, near, store, reports),
        standing=Standing(threshold=settings.miss_threshold, batch=settings.backfill_batch),
    )


def _miss_rate_trigger(settings: Settings[K, V]) -> MissRateTrigger:
    policy = settings.backfill
    return MissRateTrigger(settings.miss_threshold, window=policy.window, min_lookups=policy.min_lookups)


def _successors(settings: Settings[K, V], near: NearTier[K, V]) -> Successors[K] | None:
    if not settings.backfill.successors:
        return None
    remembered = _MISSES_REMEMBERED * (near.store.capacity or settings.history.size_for(None))
    return Successors(settings.backfill.successors, remembered, is_missing=lambda key: not near.knows(key))


def _far_calls(settings: Settings[K, V], reports: Reports) -> GuardedCalls | None:
    far = settings.far
    if far is None:
        return None
    kind: Callable[..., GuardedCalls] = GuardedCalls
    if settings.tracing is not None:
        kind = partial(TracedCalls, settings.tracing, settings.name)
    return kind(
        timeout=far.timeout,
        circuit=far.circuit,
        clock=settings.clock,
        notify=reports.far_failed,
        circuit_changed=reports.far_circuit,
    )


def _snapshots(
    settings: Settings[K, V], near: NearTier[K, V], store: BoundedStore[K, V], reports: Reports
) -> Snapshots[K, V] | None:
    if settings.snapshot is None or not isinstance(near, NotedTier):
        return None
    if not isinstance(store, MemoryStore):
        raise ConfigurationError("snapshot", "needs a MemoryStore or a WeighedStore: it lists all keys")
    from async_backfill._session.snapshots.snapshots import (  # noqa: PLC0415 - loads a library that others need not
        Snapshots,
    )

    came = None if reports.recent is None else partial(reports.recent.arrived, "snapshot")
    return Snapshots(settings.snapshot, settings, near, store, notify=reports.notify, came=came)


def _plain(store: BoundedStore[K, V]) -> MemoryStore[K, V]:
    if isinstance(store, WeighedStore) or not isinstance(store, MemoryStore):
        problem = "needs a MemoryStore; pass capacity in place of store, or BackfillPolicy(probation=False)"
        raise ConfigurationError("probation", problem)
    return store
