"""Replay a trace without a restart, with each way of loading more keys than asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import anyio

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.stores._eviction.orders import Eviction
    from benchmarks.hit_ratios.replay import Trace

Way: TypeAlias = Literal["nothing", "successors", "source order", "history"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
ORDERS: Final[tuple[Eviction, ...]] = ("fifo", "lru", "s3-fifo")
FRACTIONS: Final = (0.1, 0.01)
SUCCESSORS: Final = 8
MOST_LOSS: Final = 0.015
MOST_READS: Final = 1.2

_POLICIES: Final[dict[Way, BackfillPolicy]] = {
    "nothing": BackfillPolicy(),
    "successors": BackfillPolicy(successors=SUCCESSORS),
    "source order": BackfillPolicy(inline=True, probation=True),
    "history": BackfillPolicy(inline=True, selection="history"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way's result for a trace; ``late`` is the hit ratio of the second half, ``keys`` the keys read."""

    way: Way
    hit_ratio: float
    late: float
    keys: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The results of all ways for one trace, capacity and eviction order; the first loads no more keys."""

    trace: str
    fraction: float
    capacity: int
    eviction: Eviction
    runs: Sequence[Run]

    def harms(self, run: Run) -> bool:
        """Return whether ``run`` loses more than allowed, or reads more keys without a gain."""
        nothing = self.runs[0]
        gain = run.hit_ratio - nothing.hit_ratio
        return gain < -MOST_LOSS or (gain <= 0.0 and run.keys > MOST_READS * nothing.keys)


def steady(trace: Trace, fraction: float, eviction: Eviction) -> Steady:
    """Return the results of all ways for ``trace``; the same arguments give the same result."""
    capacity = max(1, int(trace.unique * fraction))
    runs = [anyio.run(partial(_run, trace, capacity, eviction, way)) for way in WAYS]
    return Steady(trace=trace.name, fraction=fraction, capacity=capacity, eviction=eviction, runs=runs)


async def _run(trace: Trace, capacity: int, eviction: Eviction, way: Way) -> Run:
    table = sorted(set(trace.requests))
    random.Random(1).shuffle(table)  # an order of the source that knows nothing of the requests
    source = MappingSource(dict.fromkeys(table, True))
    cache = BackfillCache(
        source,
        scan=source,
        capacity=capacity,
        eviction=eviction,
        miss_threshold=0.3,
        backfill_batch=500,
        max_backfills=None if way in {"source order", "history"} else 0,
        load=LoadPolicy(max_batch=500),
        backfill=_POLICIES[way],
    )
    half = len(trace.requests) // 2
    async with cache:
        for key in trace.requests[:half]:
            await cache.get(key)
        early = cache.stats.hits
        for key in trace.requests[half:]:
            await cache.get(key)
        stats = cache.stats
    return Run(
        way=way,
        hit_ratio=stats.hit_rate,
        late=(stats.hits - early) / max(1, len(trace.requests) - half),
        keys=stats.source_keys,
        calls=stats.source_calls,
    )
