"""Make what brings a cache back after it was emptied: the recovery, its selection and its backfills."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._loading.limits import limits_of
from async_backfill.backfill._backfiller import Backfiller
from async_backfill.backfill._bulk_load import BulkLoad
from async_backfill.backfill._free_scan import FreeScan
from async_backfill.backfill._history.readiness import Warming
from async_backfill.backfill._history.recovery import FIRST_STEP, Recovery, StepReads
from async_backfill.backfill._history.selection import HottestFirst
from async_backfill.backfill._pace import Pace
from async_backfill.backfill._receipts.receipts import Receipts
from async_backfill.backfill._source_order import SourceOrder
from async_backfill.backfill._traced_backfiller import TracedBackfiller
from async_backfill.outcomes import ABSENT
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._loading.loader import Loader
    from async_backfill._session.parts import Parts
    from async_backfill.contracts import K, Selection, Spawn, V

_A_BATCH: Final = 10
_PAGES_OF_A_FREE_SCAN: Final[Mapping[str, Any]] = MappingProxyType(
    {"first_page": 1000, "wrap_after": math.inf}  # what is held in memory does not change
)


def make_recovery(parts: Parts[K, V]) -> Recovery:
    """Return what says how far backfills from history go; where there is none, it holds nothing back."""
    settings, counters, hot, heat = parts.settings, parts.counters, parts.hot, parts.heat
    capacity = parts.near.store.capacity
    limits, batch = limits_of(settings.source, settings.load), _batch_from_history(parts)

    def most() -> int:
        known = 0 if hot is None else len(hot)
        return min(known, capacity or known)

    reads: StepReads = Receipts(window=1, report=lambda *_: None) if heat is None else heat
    if parts.usefulness is not None:
        reads = parts.usefulness.receipts
    return Recovery(
        # Where each key is a call, a step costs as many calls as keys.
        first_step=batch if limits.max_batch == 1 else max(batch, FIRST_STEP),
        a_call=limits.max_batch,
        most=most,
        patience=settings.backfill.window,
        reads=reads,
        wanted=lambda: 0 if heat is None else heat.wanted,
        lookups=lambda: counters.lookups,
        usual=lambda: None if heat is None else heat.hit_rate,
        reading=parts.trigger.reading,
    )


def _batch_from_history(parts: Parts[K, V]) -> int:
    """Return how many keys a backfill from history loads: as few calls as there may be at once."""
    settings = parts.settings
    if settings.backfill_batch is not None:
        return settings.backfill_batch
    limits = limits_of(settings.source, settings.load)
    return min(settings.load.max_batch, limits.max_batch * min(limits.bulk, limits.concurrency))


def make_selection(parts: Parts[K, V], loader: Loader[K, V]) -> Selection[K] | None:
    """Return what chooses the keys of a backfill; ``None`` when there are none to choose from."""
    settings, store, loading = parts.settings, parts.near.store, loader.locks.__contains__
    known = _known(parts)
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
        cache=settings.name,
    )


def _known(parts: Parts[K, V]) -> Callable[[K], bool]:
    """Return what says whether a key has a fresh value or is known to be absent."""
    near = parts.near
    # Asked of thousands of keys for each backfill that is offered, so where it will do by the dict itself.
    return near.entries.__contains__ if near.is_plain and isinstance(near.entries, Mapping) else near.knows


def make_backfiller(
    parts: Parts[K, V],
    loader: Loader[K, V],
    selection: Selection[K] | None,
    recovery: Recovery,
    spawn: Spawn,
) -> Backfiller[K] | None:
    """Return what runs backfills of the keys of ``selection``; ``None`` without one."""
    if selection is None:
        return None
    settings, from_history = parts.settings, _batch_from_history(parts)

    def limit() -> int:
        """Return how many keys a backfill may load right now: none while the source is not called."""
        if loader.overdue.is_full or loader.calling.circuit not in {None, CircuitState.CLOSED}:
            return 0
        store, most = parts.near.store, parts.standing.batch
        if most is None:
            recovers = (
                isinstance(selection, HottestFirst) and parts.heat is not None and parts.heat.has_history
            )
            most = from_history if recovers else _A_BATCH
        room = store.capacity if parts.settings.backfill.evicts else store.free_room()
        return most if room is None else min(most, room)

    receipts = None if parts.usefulness is None else parts.usefulness.receipts
    pace = Pace(lambda: parts.standing.rate)
    kind: Callable[..., Backfiller[K]] = Backfiller
    if settings.tracing is not None:
        kind = partial(TracedBackfiller, settings.tracing, settings.name)
    return kind(
        selection=selection,
        bulk=BulkLoad(
            loader,
            selection,
            receipts,
            lookups=lambda: parts.counters.lookups,
            pace=pace,
            is_cached=_known(parts),
        ),
        budget=parts.budget,
        audit=parts.audit,
        limit=limit,
        concurrent=parts.settings.backfill.concurrent,
        timeout=parts.settings.load.timeout,
        lookups=lambda: parts.counters.lookups,
        reading=parts.trigger.reading,
        recovery=recovery,
        spawn=spawn,
        scans_freely=isinstance(parts.settings.scan, FreeScan),
        receipts=receipts,
        halted=parts.standing.why_no_backfill,
    )


def make_warming(
    parts: Parts[K, V],
    backfiller: Backfiller[K] | None,
    selection: Selection[K] | None,
    recovery: Recovery,
    spawn: Spawn,
) -> Warming[K]:
    """Return what warms the cache, and knows whether it is warm."""
    near, heat, evicts, reports = parts.near, parts.heat, parts.settings.backfill.evicts, parts.reports
    hottest_first = selection if isinstance(selection, HottestFirst) else None

    async def ranking() -> Sequence[K]:
        return () if hottest_first is None else await hottest_first.ranking()

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
        ranking=ranking,
        why_nothing_is_hot=reports.why_nothing_is_hot,
        is_read=lambda: recovery.is_read,
        spawn=spawn,
        changed=reports.readiness,
    )
