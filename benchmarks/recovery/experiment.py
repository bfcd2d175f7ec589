"""Replay a trace with a restart half way, for each way of backfilling."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import anyio

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource
from async_backfill.contracts import Heats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.stores._eviction.orders import Eviction
    from benchmarks.hit_ratios.replay import Trace

Way: TypeAlias = Literal["never restarted", "no backfill", "source order", "history"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
MOMENTS: Final = (1_000, 5_000, 20_000)
FRACTIONS: Final = (0.1, 0.01)
THRESHOLD: Final = 0.3
BATCH: Final = 500
CALL_SECONDS: Final = 0.02
HELPS: Final = 0.9
"""A cache helps where one that was never restarted makes at most this share of a cold one's calls."""
GOAL: Final = 1.05
STRIDE: Final = 500
SHOWN: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way's result for a trace: calls and hit rate at several moments after the restart.

    ``p99`` is the simulated latency, in seconds, of the lookups between two moments, where a source
    call takes 20 ms and a hit nothing. ``hit_rates`` are those of each 500 lookups from 5,000 before the
    restart on.
    """

    way: Way
    calls: dict[int, int]
    hits: dict[int, float]
    p99: dict[int, float]
    backfills: int
    keys: int
    hit_rates: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The results of all ways for one trace, capacity and eviction order."""

    trace: str
    fraction: float
    capacity: int
    eviction: Eviction
    runs: Sequence[Run]

    def run(self, way: Way) -> Run:
        """Return the run of ``way``."""
        return next(run for run in self.runs if run.way == way)

    def times(self, way: Way, moment: int = 5_000) -> float | None:
        """Return the calls of ``way`` as a multiple of those without a restart."""
        calls, base = self.run(way).calls, self.run("never restarted").calls
        return calls[moment] / base[moment] if base.get(moment) else None

    @property
    def helps(self) -> bool:
        """Whether a warm cache needs clearly fewer calls than a cold one."""
        never, cold = self.run("never restarted").calls, self.run("no backfill").calls
        return never.get(5_000, 1) <= HELPS * cold.get(5_000, 0)


class _MemoryJournal:
    """A journal in memory, passed from one process to the next."""

    def __init__(self) -> None:
        self.heats: Heats[str] | None = None

    async def load(self) -> Heats[str] | None:
        return self.heats

    async def save(self, heats: Heats[str], /) -> None:
        self.heats = Heats(keys=dict(heats.keys), hit_rate=heats.hit_rate)


def restart(trace: Trace, fraction: float, eviction: Eviction) -> Restart:
    """Return the results of all ways for ``trace``; the same arguments give the same result."""
    capacity = max(1, int(trace.unique * fraction))
    runs = [anyio.run(partial(_run, trace, capacity, eviction, way)) for way in WAYS]
    return Restart(trace=trace.name, fraction=fraction, capacity=capacity, eviction=eviction, runs=runs)


async def _run(trace: Trace, capacity: int, eviction: Eviction, way: Way) -> Run:
    half = len(trace.requests) // 2
    before, after = trace.requests[:half], trace.requests[half : half + SHOWN]
    table = sorted(set(trace.requests))
    random.Random(1).shuffle(table)  # an order of the source that knows nothing of the requests
    source = MappingSource(dict.fromkeys(table, True))
    journal = _MemoryJournal()
    make = partial(_make_cache, source, capacity, eviction, way, journal)
    meter = _Meter()
    async with make() as cache:
        await meter.replay(cache, before)
        if way == "never restarted":
            return await meter.measure(way, cache, after)
    async with make() as cache:
        return await meter.measure(way, cache, after)


def _make_cache(
    source: MappingSource[str, bool], capacity: int, eviction: Eviction, way: Way, journal: _MemoryJournal
) -> BackfillCache[str, bool]:
    backfills = way in {"source order", "history"}
    return BackfillCache(
        source,
        scan=source,
        capacity=capacity,
        eviction=eviction,
        miss_threshold=THRESHOLD,
        backfill_batch=BATCH,
        max_backfills=None if backfills else 0,
        load=LoadPolicy(max_batch=BATCH),
        backfill=BackfillPolicy(inline=True, selection="history" if way == "history" else "source"),
        journal=journal if way == "history" else None,
    )


class _Meter:
    """Looks up keys one after another, and records the outcomes."""

    def __init__(self) -> None:
        self._lately: deque[bool] = deque(maxlen=10 * STRIDE)

    async def replay(self, cache: BackfillCache[str, bool], keys: Sequence[str]) -> None:
        """Look up ``keys``."""
        early = len(keys) - 10 * STRIDE
        for place, key in enumerate(keys):
            if place < early:
                await cache.get(key)
            else:
                hits = cache.stats.hits
                await cache.get(key)
                self._lately.append(cache.stats.hits > hits)

    async def measure(self, way: Way, cache: BackfillCache[str, bool], keys: Sequence[str]) -> Run:
        """Look up ``keys``, and return the run of ``way``."""
        begin = last = cache.stats
        rates = [sum(self._at(start)) / STRIDE for start in range(0, len(self._lately) - STRIDE + 1, STRIDE)]
        calls: dict[int, int] = {}
        hits: dict[int, float] = {}
        p99: dict[int, float] = {}
        latencies: list[float] = []
        lately = 0
        for number, key in enumerate(keys, start=1):
            await cache.get(key)
            stats = cache.stats
            latencies.append((stats.source_calls - last.source_calls) * CALL_SECONDS)
            lately += stats.hits - last.hits
            last = stats
            if number % STRIDE == 0:
                rates.append(lately / STRIDE)
                lately = 0
            if number in MOMENTS:
                calls[number] = stats.source_calls - begin.source_calls
                hits[number] = (stats.hits - begin.hits) / number
                p99[number] = sorted(latencies)[int(0.99 * len(latencies))]
                latencies.clear()
        return Run(
            way=way,
            calls=calls,
            hits=hits,
            p99=p99,
            backfills=last.backfills - begin.backfills,
            keys=last.source_keys - begin.source_keys,
            hit_rates=rates,
        )

    def _at(self, start: int) -> list[bool]:
        return list(self._lately)[start : start + STRIDE]
