"""Writing to the cache while nothing is loaded: put, put_many, invalidate, clear, evict_oldest."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, KeyNotFoundError, MappingSource
from async_backfill.events import KeysEvicted
from async_backfill.testing import GatedSource

pytestmark = pytest.mark.anyio


async def test_a_value_that_was_put_is_a_hit_and_the_source_is_not_asked():
    source = GatedSource({})
    async with BackfillCache(source) as cache:
        await cache.put("a", 1)

        assert await cache.get("a") == 1
        assert (source.calls, cache.stats.hits, cache.stats.misses) == ([], 1, 0)


async def test_none_can_be_put():
    async with BackfillCache(GatedSource({})) as cache:
        await cache.put("a", None)

        assert await cache.get("a", "absent") is None
        assert cache.stats.hits == 1


async def test_put_replaces_what_was_there():
    async with BackfillCache(MappingSource({"a": "old"})) as cache:
        await cache.get("a")
        await cache.put("a", "new")

        assert await cache.get("a") == "new"
        assert cache.stats.size == 1


async def test_writing_counts_no_lookup_and_reads_nothing_from_the_source():
    source = GatedSource({})
    async with BackfillCache(source) as cache:
        await cache.put("a", 1)
        await cache.put_many({"b": 2})
        await cache.invalidate("a")
        await cache.clear()

        assert (cache.stats.lookups, source.calls) == (0, [])


async def test_put_into_a_full_cache_evicts_the_key_that_was_added_first():
    async with BackfillCache(GatedSource({}), capacity=2) as cache:
        for key in "abc":
            await cache.put(key, key)

        assert [cache.peek(key) for key in "abc"] == [None, "b", "c"]
        assert (cache.stats.size, cache.stats.evictions) == (2, 1)


async def test_replacing_a_value_in_a_full_cache_evicts_nothing_and_keeps_its_age():
    async with BackfillCache(GatedSource({}), capacity=2) as cache:
        await cache.put_many({"a": 1, "b": 2})
        await cache.put("a", 3)
        assert cache.stats.evictions == 0
        await cache.put("c", 4)

        assert [cache.peek(key) for key in "abc"] == [None, 2, 4]


async def test_put_many_adds_in_its_order():
    async with BackfillCache(GatedSource({}), capacity=3) as cache:
        await cache.put_many({"c": 1, "a": 2, "b": 3})

        assert [cache.evict_oldest() for _ in range(3)] == ["c", "a", "b"]


async def test_put_many_of_more_than_fits_keeps_the_last():
    events = []
    async with BackfillCache(GatedSource({}), capacity=2, observers=[events.append]) as cache:
        await cache.put_many({number: number for number in range(5)})

        assert [cache.peek(number) for number in range(5)] == [None, None, None, 3, 4]
        assert KeysEvicted(keys=(0, 1, 2)) in events


async def test_put_many_of_nothing_changes_nothing():
    async with BackfillCache(GatedSource({})) as cache:
        before = cache.stats
        await cache.put_many({})

        assert cache.stats == before


async def test_an_invalidated_key_is_read_from_the_source_again():
    rows = {"a": "old", "b": "other"}
    async with BackfillCache(MappingSource(rows)) as cache:
        await cache.get_many("ab")
        rows["a"] = "new"
        await cache.invalidate("a")

        assert cache.peek("a") is None
        assert cache.peek("b") == "other"
        assert await cache.get("a") == "new"


async def test_invalidating_a_key_that_is_not_cached_changes_nothing():
    async with BackfillCache(GatedSource({})) as cache:
        await cache.put("a", 1)
        before = cache.stats
        await cache.invalidate("b")

        assert cache.stats == before


async def test_clear_removes_everything_and_counts_no_eviction():
    async with BackfillCache(MappingSource({"a": 1, "b": 2})) as cache:
        await cache.get_many("ab")
        await cache.clear()

        assert [cache.peek(key) for key in "ab"] == [None, None]
        assert (cache.stats.size, cache.stats.evictions) == (0, 0)
        assert await cache.get_many("ab") == {"a": 1, "b": 2}


async def test_evict_oldest_removes_and_returns_the_least_recently_added_key():
    events = []
    async with BackfillCache(GatedSource({}), observers=[events.append]) as cache:
        await cache.put_many({"a": 1, "b": 2})
        await cache.get("a")

        assert cache.evict_oldest() == "a"
        assert [cache.peek(key) for key in "ab"] == [None, 2]
        assert cache.stats.evictions == 1
        assert events[1:] == [KeysEvicted(keys=("a",))]


async def test_evict_oldest_of_an_empty_cache_is_refused_and_counts_nothing():
    async with BackfillCache(GatedSource({})) as cache:
        with pytest.raises(KeyNotFoundError, match="empty"):
            cache.evict_oldest()

        assert cache.stats.evictions == 0


async def test_a_key_that_was_removed_and_added_again_is_the_youngest():
    async with BackfillCache(GatedSource({})) as cache:
        await cache.put_many({"a": 1, "b": 2})
        await cache.invalidate("a")
        await cache.put("a", 3)

        assert [cache.evict_oldest() for _ in range(2)] == ["b", "a"]


async def test_a_key_that_cannot_be_hashed_is_refused_and_changes_nothing():
    async with BackfillCache(GatedSource({})) as cache:
        with pytest.raises(TypeError, match="unhashable"):
            await cache.put(["a"], 1)
        with pytest.raises(TypeError, match="unhashable"):
            await cache.invalidate(["a"])

        assert cache.stats.size == 0
