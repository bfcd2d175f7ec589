"""Each kind of cache has a ``get`` of its own; whoever calls it, and when, sees no difference."""

from __future__ import annotations

import inspect

import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheClosedError,
    FreshnessPolicy,
    MappingSource,
    MemoryStore,
)
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import ManualClock

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdef"}
KINDS = {
    **{eviction: {"eviction": eviction} for eviction in EVICTIONS},
    "ttl": {"freshness": FreshnessPolicy(ttl=60)},
    "ttl, lru": {"freshness": FreshnessPolicy(ttl=60), "eviction": "lru"},
    "early": {"freshness": FreshnessPolicy(ttl=60, early=1.0)},
    "history": {"backfill": BackfillPolicy(selection="history")},
    "history, s3-fifo": {"backfill": BackfillPolicy(selection="history"), "eviction": "s3-fifo"},
    "successors": {"backfill": BackfillPolicy(successors=2)},
}
every_kind = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)


@every_kind
async def test_a_hit_is_found_and_counted_and_a_miss_is_loaded(settings):
    async with BackfillCache(MappingSource(ROWS), capacity=4, **settings) as cache:
        assert [await cache.get(key) for key in "abab"] == ["A", "B", "A", "B"]
        assert await cache.get("nobody", "default") == "default"
        assert await cache.get("nobody") is None
        assert (cache.stats.hits, cache.stats.misses) == (2, 4)


@every_kind
async def test_a_get_taken_before_the_cache_opened_works_as_long_as_it_is_open(settings):
    cache = BackfillCache(MappingSource(ROWS), capacity=4, **settings)
    get = cache.get
    with pytest.raises(CacheClosedError):
        await get("a")
    async with cache:
        assert [await get("a"), await get("a")] == ["A", "A"]
    with pytest.raises(CacheClosedError):
        await get("a")
    async with cache:
        assert await get("a") == "A"
        assert cache.stats.source_calls == 1


@every_kind
async def test_a_subclass_that_overrides_it_keeps_its_own(settings):
    class Loud(BackfillCache):
        async def get(self, key, default=None):
            return f"{await super().get(key, default)}!"

    async with Loud(MappingSource(ROWS), capacity=4, **settings) as cache:
        assert [await cache.get("a"), await cache.get("a"), await cache.get("x", "?")] == ["A!", "A!", "?!"]
        assert cache.stats.hits == 1


@every_kind
async def test_a_key_that_cannot_be_one_is_a_type_error(settings):
    async with BackfillCache(MappingSource(ROWS), capacity=4, **settings) as cache:
        with pytest.raises(TypeError):
            await cache.get(["a"])


def test_each_kind_takes_the_arguments_that_the_documentation_names():
    for settings in KINDS.values():
        cache = BackfillCache(MappingSource(ROWS), **settings)

        assert list(inspect.signature(cache.get).parameters) == ["key", "default"]
        assert inspect.iscoroutinefunction(cache.get)


@pytest.mark.parametrize("eviction", ["lru", "sieve", "s3-fifo"])
async def test_hits_keep_a_key_in_a_full_cache(eviction):
    async with BackfillCache(MappingSource(ROWS), capacity=3, eviction=eviction) as cache:
        for key in "abc":
            await cache.get(key)
        for _ in range(3):
            await cache.get("a")
        for key in "de":
            await cache.get(key)

        assert cache.peek("a") == "A"


async def test_a_value_is_no_hit_from_the_moment_on_that_it_expires():
    clock = ManualClock()
    freshness = FreshnessPolicy(ttl=60)
    async with BackfillCache(MappingSource(ROWS), freshness=freshness, clock=clock) as cache:
        await cache.get("a")
        clock.advance(59.999)
        await cache.get("a")
        assert cache.stats.hits == 1
        clock.advance(0.001)
        await cache.get("a")

        assert (cache.stats.hits, cache.stats.misses) == (1, 2)


async def test_what_a_store_held_before_has_no_time_and_so_is_no_hit_where_values_expire():
    store = MemoryStore(4)
    store.set_many({"a": "old"})
    async with BackfillCache(MappingSource(ROWS), store=store, freshness=FreshnessPolicy(ttl=60)) as cache:
        assert await cache.get("a") == "A"

        assert (cache.stats.hits, cache.stats.misses) == (0, 1)
