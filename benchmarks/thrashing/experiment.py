"""Replay one stream through a cold cache, once for each threshold and rule of eviction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, SimulatedSource
from async_backfill.outcomes import ABSENT
from async_backfill.testing import ManualClock
from benchmarks.thrashing.trigger import EveryMiss
from benchmarks.thrashing.usefulness import Usefulness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.contracts import Page, Scan
    from benchmarks.thrashing.streams import Stream

THRESHOLDS: Final = (0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0)
_MILLISECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of all runs.

    ``capacity_share``
        keys that the cache holds, as a share of the table.
    ``latency``, ``key_latency``
        seconds that a call of the source takes, and each key in it on top; a page of a scan takes
        ``latency``.
    """

    capacity_share: float = 0.1
    backfill_batch: int = 100
    window: int = 1000
    min_lookups: int = 3
    latency: float = 0.005
    key_latency: float = 0.00005

    def capacity(self, stream: Stream) -> int:
        """Return the capacity of the cache for ``stream``."""
        return max(1, int(len(stream.table) * self.capacity_share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The settings of one run; with ``threshold`` ``None`` it is the baseline, without backfills."""

    threshold: float | None
    evicts: bool = False


BASELINE: Final = Case(threshold=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one run.

    ``scan_pages`` are calls of the source, too, to list keys; they are not in ``source_calls``.
    ``evicted_by_backfill`` are keys pushed out by backfills. Latencies are those of all lookups,
    hits included, in milliseconds of simulated time.
    """

    case: Case
    hit_rate: float
    backfills: int
    backfilled_keys: int
    useful_share: float | None
    evicted_by_backfill: int
    source_calls: int
    scan_pages: int
    source_keys: int
    latency_p50: float
    latency_p99: float
    latency_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The results of all runs of one stream; those with backfills are in the order of the runs."""

    stream: Stream
    capacity: int
    baseline: Result
    evicting: Sequence[Result]
    in_free_room: Sequence[Result]


async def compare(stream: Stream, settings: Settings, thresholds: Sequence[float] = THRESHOLDS) -> Comparison:
    """Measure ``stream`` without backfills, and at each threshold under both rules of eviction."""

    async def measured(*, evicts: bool) -> Sequence[Result]:
        return [
            await measure(stream, Case(threshold=threshold, evicts=evicts), settings)
            for threshold in thresholds
        ]

    return Comparison(
        stream=stream,
        capacity=settings.capacity(stream),
        baseline=await measure(stream, BASELINE, settings),
        evicting=await measured(evicts=True),
        in_free_room=await measured(evicts=False),
    )


async def measure(stream: Stream, case: Case, settings: Settings) -> Result:
    """Replay ``stream`` through a cold cache, one lookup after another, in simulated time."""
    clock = ManualClock()
    source = SimulatedSource(
        stream.table, latency=settings.latency, key_latency=settings.key_latency, sleep=clock.sleep
    )
    scan = _CountedScan(source)
    usefulness = Usefulness()
    cache = BackfillCache(
        source,
        scan=None if case.threshold is None else scan,
        capacity=settings.capacity(stream),
        # The trigger takes the place of the threshold, which the library would refuse to be 0.
        miss_threshold=case.threshold or 1.0,
        trigger=EveryMiss() if case.threshold == 0.0 else None,
        backfill_batch=settings.backfill_batch,
        load=LoadPolicy(max_batch=max(500, settings.backfill_batch)),
        backfill=BackfillPolicy(
            window=settings.window, min_lookups=settings.min_lookups, evicts=case.evicts, inline=True
        ),
        observers=[usefulness],
        clock=clock,
        wall_clock=clock,
    )
    waits: list[float] = []
    async with cache:
        for key in stream.lookups:
            if cache.peek(key, ABSENT) is not ABSENT:
                usefulness.hit(key)
            started = clock()
            await cache.get(key)
            waits.append(clock() - started)
    stats = cache.stats
    waits.sort()
    return Result(
        case=case,
        hit_rate=stats.hit_rate,
        backfills=stats.backfills,
        backfilled_keys=stats.backfill_keys,
        useful_share=usefulness.share,
        evicted_by_backfill=usefulness.evicted,
        source_calls=stats.source_calls,
        scan_pages=scan.pages,
        source_keys=stats.source_keys,
        latency_p50=_percentile(waits, 0.50) * _MILLISECONDS,
        latency_p99=_percentile(waits, 0.99) * _MILLISECONDS,
        latency_mean=math.fsum(waits) / len(waits) * _MILLISECONDS,
    )


class _CountedScan:
    """A scan that counts its pages."""

    def __init__(self, scan: Scan[str]) -> None:
        self._scan = scan
        self.pages = 0

    async def scan(self, cursor: object | None, limit: int, /) -> Page[str]:
        self.pages += 1
        return await self._scan.scan(cursor, limit)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of the values at ``share``."""
    return ordered[math.ceil(share * len(ordered)) - 1]
