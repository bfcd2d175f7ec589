"""One eviction from a cache with every entry hit: the worst case of an eviction order."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache
from benchmarks.scaling.floors import Echo, NaiveCache
from benchmarks.scaling.sizes import fill
from benchmarks.scaling.tails import Tail, no_collections, slowest, time_each

if TYPE_CHECKING:
    from async_backfill.stores._eviction.orders import Eviction

ALL_HIT: Final = "eviction, after every entry was hit"
_HITS_COUNTED: Final = 3
"""Hits of a key that an order counts at the most; more make no difference."""
_CHUNK: Final = 10_000
_LONE: Final = 100
"""Entries that come by a miss each, or the one miss that is timed would pay for what is done once."""


async def all_hit(order: Eviction, size: int, *, times: int) -> Tail:
    """Return the tail of evictions by an order that gives hit entries a second chance.

    :param times: evictions, each from a cache that is filled anew.
    """
    source = Echo()
    keys = list(range(size))
    naive = NaiveCache(source, size)
    costs, floors = array("q"), array("q")
    async with BackfillCache(source, capacity=size, eviction=order) as cache:
        for _ in range(times):
            naive.clear()
            await cache.clear()
            naive.fill(keys[_LONE:])
            await fill(cache, keys[_LONE:])
            for key in keys[:_LONE]:
                await naive.get(key)
                await cache.get(key)
            for _ in range(_HITS_COUNTED):
                for start in range(0, size, _CHUNK):
                    await cache.get_many(keys[start : start + _CHUNK])
            with no_collections():
                await time_each(naive.get, (size,), floors)
                await time_each(cache.get, (size,), costs)
    return Tail(ALL_HIT, order, size, slowest(costs), slowest(floors))
