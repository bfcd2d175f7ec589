"""What a cache has in common with a dict: `len`, `in`, a `repr`; and many keys removed at once."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, CacheClosedError, FarTier, FreshnessPolicy, MappingSource
from async_backfill.testing import ManualClock
from tests.far.shared import Shared

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": None, "c": 3}


async def test_in_tells_what_is_cached_and_fresh_and_counts_nothing():
    clock = ManualClock()
    async with BackfillCache(
        MappingSource(ROWS), capacity=3, eviction="lru", freshness=FreshnessPolicy(ttl=9.0), clock=clock
    ) as cache:
        await cache.get_many(ROWS)
        before = cache.stats
        assert ["a" in cache, "b" in cache, "x" in cache] == [True, True, False]
        assert cache.stats == before
        clock.advance(9.0)
        assert "a" not in cache
        assert cache.evict_oldest() == "a"
    with pytest.raises(CacheClosedError):
        "a" in cache  # noqa: B015 - it raises


async def test_len_is_what_is_held_and_an_empty_cache_is_true():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert (len(cache), bool(cache)) == (0, True)
        await cache.get_many(ROWS)
        assert len(cache) == 3 == cache.stats.size
    assert len(cache) == 3


async def test_its_repr_tells_how_it_is():
    async with BackfillCache(MappingSource(ROWS), capacity=10) as cache:
        await cache.get_many(["a", "b", "c"])
        await cache.get("a")
        assert repr(cache) == "<BackfillCache: 3 of 10 keys, open, hit rate 0.2500>"
    assert repr(cache) == "<BackfillCache: 3 of 10 keys, closed, hit rate 0.2500>"
    assert repr(BackfillCache(MappingSource(ROWS))) == "<BackfillCache: 0 keys, closed, hit rate 0.0000>"


async def test_many_keys_are_removed_here_and_in_the_far_tier_with_one_call():
    shared = Shared()
    async with BackfillCache(MappingSource(ROWS), far=FarTier(store=shared)) as cache:
        await cache.get_many(ROWS)
        await cache.settle()
        await cache.invalidate_many(iter(["a", "b", "a", "unknown"]))

        assert [key for key in ROWS if key in cache] == ["c"]
        assert shared.calls_of("delete") == [("a", "b", "unknown")]
        await cache.invalidate_many([])
        assert len(shared.calls_of("delete")) == 1
