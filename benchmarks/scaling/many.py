"""The cost of ``get_many`` for few and for many keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache
from benchmarks.scaling.floors import Echo, NaiveCache
from benchmarks.scaling.rounds import Point, compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COLD: Final = "get_many, all missing"
WARM: Final = "get_many, all cached"
_BATCH: Final = 500
"""Keys in a source call: what ``LoadPolicy.max_batch`` is by default."""


async def many(size: int, *, rounds: int) -> list[Point]:
    """Return the cost of each of ``size`` keys in one ``get_many``, missing and cached.

    The floor is a naive cache that calls the source for as many keys at once.
    """
    source = Echo()
    keys = range(size)
    naive = NaiveCache(source, size)
    async with BackfillCache(source, capacity=size) as cache:

        async def cold() -> float:
            await cache.clear()
            return await warm()

        async def warm() -> float:
            return await _timed(lambda: cache.get_many(keys), size)

        async def naive_cold() -> float:
            naive.clear()
            return await naive_warm()

        async def naive_warm() -> float:
            return await _timed(lambda: naive.get_many(keys, _BATCH), size)

        return [
            Point(COLD, "cache", size, *await compare(cold, naive_cold, rounds)),
            Point(WARM, "cache", size, *await compare(warm, naive_warm, rounds)),
        ]


async def _timed(get_many: Callable[[], Awaitable[object]], size: int) -> float:
    """Return the nanoseconds for each of ``size`` keys."""
    began = time.perf_counter_ns()
    await get_many()
    return (time.perf_counter_ns() - began) / size
