"""The cost of a hit, of a single miss into free room, and of one that evicts, at a given size."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache
from benchmarks.scaling.floors import Echo, NaiveCache, bare
from benchmarks.scaling.rounds import Point, compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill.stores._eviction.orders import Eviction

HIT: Final = "hit"
FREE: Final = "miss into free room"
FULL: Final = "miss that evicts"
_CHUNK: Final = 10_000


@dataclass(slots=True)
class _Fresh:
    """A generator of new keys."""

    following: int

    def take(self, count: int) -> range:
        self.following += count
        return range(self.following - count, self.following)


async def at_size(order: Eviction, size: int, *, rounds: int, hits: int, misses: int) -> list[Point]:
    """Return the three costs in a cache of ``size`` entries.

    Misses into free room fill the last tenth of it: a dict does not grow there at a power of ten.

    :param hits: lookups in a round.
    :param misses: in a round, but never more than there is room for.
    """
    keys, source = list(range(size)), Echo()
    base = keys[: size - size // 10]
    misses = min(misses, size - len(base))
    fresh = _Fresh(size)
    naive = NaiveCache(source, size)
    async with BackfillCache(source, capacity=size, eviction=order) as cache:

        async def lone_miss() -> float:
            return await _each(cache.get, fresh.take(misses))

        async def naive_miss() -> float:
            return await _each(naive.get, fresh.take(misses))

        async def miss_with_room() -> float:
            if cache.stats.size + misses > size:
                await cache.clear()
                await fill(cache, base)
            return await lone_miss()

        async def naive_miss_with_room() -> float:
            if len(naive) + misses > size:
                naive.clear()
                naive.fill(base)
            return await naive_miss()

        await fill(cache, keys)
        draws = random.Random(f"{order} {size}")
        get = bare(dict(zip(keys, keys, strict=True)))
        hit = await compare(
            lambda: _each(cache.get, draws.choices(keys, k=hits)),
            lambda: _each(get, draws.choices(keys, k=hits)),
            rounds,
        )
        naive.fill(keys)
        free = await compare(miss_with_room, naive_miss_with_room, rounds)
        naive.fill(fresh.take(size - len(naive)))
        await fill(cache, fresh.take(size - cache.stats.size))
        full = await compare(lone_miss, naive_miss, rounds)
    return [Point(what, order, size, *costs) for what, costs in ((HIT, hit), (FREE, free), (FULL, full))]


async def fill(cache: BackfillCache[int, int], keys: Sequence[int]) -> None:
    """Put ``keys`` into ``cache``, each as its own value, without a second copy of them all."""
    for start in range(0, len(keys), _CHUNK):
        await cache.put_many({key: key for key in keys[start : start + _CHUNK]})


async def _each(get: Callable[[int], Awaitable[object]], keys: Sequence[int]) -> float:
    """Return the nanoseconds for each of ``keys``."""
    began = time.perf_counter_ns()
    for key in keys:
        await get(key)
    return (time.perf_counter_ns() - began) / len(keys)
