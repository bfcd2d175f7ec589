"""A hit, a lone miss into free room, and one that evicts, in a cache of some size."""

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

    from async_backfill.stores.orders import Eviction

HIT: Final = "hit"
FREE: Final = "miss into free room"
FULL: Final = "miss that evicts"
_CHUNK: Final = 10_000


@dataclass(slots=True)
class _Fresh:
    """Hands out keys that were never asked for."""

    following: int

    def take(self, count: int) -> range:
        self.following += count
        return range(self.following - count, self.following)


async def at_size(order: Eviction, size: int, *, rounds: int, hits: int, misses: int) -> list[Point]:
    """Return what the three cost in a cache of ``size`` entries, with room for a tenth more.

    :param hits: lookups in a round.
    :param misses: in a round, but never more than there is room for.
    """
    room = size // 10
    misses = min(misses, room)
    keys, source = list(range(size)), Echo()
    naive = NaiveCache(source, size + room)
    points: list[Point] = []
    async with BackfillCache(source, capacity=size + room, eviction=order) as cache:
        fresh = _Fresh(size)

        async def refill() -> None:
            naive.clear()
            await cache.clear()
            naive.fill(keys)
            await fill(cache, keys)

        async def free() -> None:
            """Make room again, where a round leaves none for the next."""
            if cache.stats.size + 2 * misses > size + room:
                await refill()

        await refill()
        draws = random.Random(f"{order} {size}")
        bare_get = bare(dict(zip(keys, keys, strict=True)))
        points.append(
            Point(
                HIT,
                order,
                size,
                *await compare(
                    lambda: _each(cache.get, draws.choices(keys, k=hits)),
                    lambda: _each(bare_get, draws.choices(keys, k=hits)),
                    rounds,
                ),
            )
        )

        async def into_room() -> float:
            await free()
            return await _each(cache.get, fresh.take(misses))

        async def naive_into_room() -> float:
            await free()
            return await _each(naive.get, fresh.take(misses))

        points.append(Point(FREE, order, size, *await compare(into_room, naive_into_room, rounds)))
        rest = fresh.take(room)
        naive.fill(rest)
        await fill(cache, rest)
        points.append(
            Point(
                FULL,
                order,
                size,
                *await compare(
                    lambda: _each(cache.get, fresh.take(misses)),
                    lambda: _each(naive.get, fresh.take(misses)),
                    rounds,
                ),
            )
        )
    return points


async def fill(cache: BackfillCache[int, int], keys: Sequence[int]) -> None:
    """Put ``keys`` into ``cache``, each as its own value, without a second copy of them all."""
    for start in range(0, len(keys), _CHUNK):
        await cache.put_many({key: key for key in keys[start : start + _CHUNK]})


async def _each(get: Callable[[int], Awaitable[object]], keys: Sequence[int]) -> float:
    """Return the nanoseconds that each of ``keys`` took."""
    began = time.perf_counter_ns()
    for key in keys:
        await get(key)
    return (time.perf_counter_ns() - began) / len(keys)
