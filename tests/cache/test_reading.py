"""Reading through the cache: get, fetch, get_many and peek."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, KeyNotFoundError, LoadError, LoadPolicy, MappingSource
from async_backfill.testing import GatedSource
from tests.callers import start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2, "none": None, "zero": 0, "empty": ""}


class CountingSource(MappingSource):
    def __init__(self, rows):
        super().__init__(rows)
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        return await super().load_many(keys)


async def test_get_returns_the_value_of_the_source():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert await cache.get("a") == 1


async def test_a_value_is_read_from_the_source_once():
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        assert [await cache.get("a") for _ in range(3)] == [1, 1, 1]
        assert source.calls == [("a",)]
        assert (cache.stats.hits, cache.stats.misses) == (2, 1)


async def test_a_hit_does_not_yield_to_the_event_loop():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.get("a")
        with pytest.raises(StopIteration) as returned:
            cache.get("a").send(None)

        assert returned.value.value == 1


@pytest.mark.parametrize("key", ["none", "zero", "empty"])
async def test_a_value_that_is_false_is_cached_like_any_other(key):
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        assert [await cache.get(key, "absent") for _ in range(2)] == [ROWS[key]] * 2
        assert await cache.fetch(key) == ROWS[key]
        assert cache.peek(key, "not cached") == ROWS[key]
        assert source.calls == [(key,)]
        assert (cache.stats.hits, cache.stats.absent) == (2, 0)


async def test_get_returns_the_default_for_a_key_that_the_source_has_not():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert await cache.get("unknown") is None
        assert await cache.get("unknown", "default") == "default"


async def test_an_absent_key_is_not_cached_and_never_a_hit():
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        for _ in range(3):
            await cache.get("unknown")

        assert source.calls == [("unknown",)] * 3
        assert (cache.stats.hits, cache.stats.misses, cache.stats.absent, cache.stats.size) == (0, 3, 3, 0)


async def test_a_key_that_comes_to_exist_is_found_by_the_next_get():
    rows = dict(ROWS)
    async with BackfillCache(MappingSource(rows)) as cache:
        assert await cache.get("new") is None
        rows["new"] = 3

        assert await cache.get("new") == 3


async def test_fetch_raises_for_a_key_that_the_source_has_not_and_names_it():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        with pytest.raises(KeyNotFoundError, match="'unknown'") as missing:
            await cache.fetch("unknown")

        assert missing.value.key == "unknown"
        assert isinstance(missing.value, LookupError)


async def test_get_many_returns_what_exists_in_the_order_of_the_keys():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.get("b")
        found = await cache.get_many(["none", "unknown", "b", "a"])

        assert list(found.items()) == [("none", None), ("b", 2), ("a", 1)]


async def test_get_many_asks_only_for_what_is_not_cached_and_for_each_key_once():
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        await cache.get("a")
        await cache.get_many(["a", "b", "b", "none", "a"])

        assert source.calls == [("a",), ("b", "none")]


async def test_get_many_counts_each_distinct_key_as_one_lookup():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.get("a")
        await cache.get_many(["a", "a", "b", "unknown", "b"])

        assert (cache.stats.hits, cache.stats.misses, cache.stats.absent) == (1, 3, 1)


async def test_get_many_of_nothing_is_nothing():
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        assert await cache.get_many([]) == {}
        assert (source.calls, cache.stats.lookups) == ([], 0)


async def test_get_many_takes_any_iterable_of_keys():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert await cache.get_many(key for key in "ab") == {"a": 1, "b": 2}


async def test_get_many_with_a_key_that_fails_raises_for_it_and_caches_the_others():
    source = GatedSource(ROWS)
    load = LoadPolicy(max_batch=1, concurrency=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get_many, ["a", "b"])
        await wait_all_tasks_blocked()
        source.release(ConnectionError("down"))
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert isinstance(caller.outcome, LoadError)
        assert caller.outcome.key == "a"
        assert (cache.peek("a"), cache.peek("b")) == (None, 2)


async def test_get_many_of_more_keys_than_the_cache_may_hold_returns_them_all():
    rows = dict.fromkeys(range(50), "value")
    async with BackfillCache(MappingSource(rows), capacity=10, load=LoadPolicy(max_batch=7)) as cache:
        assert await cache.get_many(range(50)) == rows
        assert (cache.stats.size, cache.stats.evictions) == (10, 40)


async def test_peek_returns_what_is_cached_and_loads_and_counts_nothing():
    source = CountingSource(ROWS)
    async with BackfillCache(source) as cache:
        await cache.get("a")
        before = cache.stats

        assert (cache.peek("a"), cache.peek("b"), cache.peek("b", "default")) == (1, None, "default")
        assert cache.stats == before
        assert source.calls == [("a",)]


async def test_peek_does_not_see_a_load_in_flight():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

        assert cache.peek("a", "not cached") == "not cached"
        source.open()


async def test_a_key_that_cannot_be_hashed_is_refused_and_counts_nothing():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        for refused in (cache.get, cache.fetch, lambda key: cache.get_many([key])):
            with pytest.raises(TypeError, match="unhashable"):
                await refused(["a"])
        with pytest.raises(TypeError, match="unhashable"):
            cache.peek(["a"])

        assert cache.stats.lookups == 0


async def test_keys_are_told_apart_as_in_any_dict():
    source = CountingSource({1: "number", "1": "text", (1,): "tuple"})
    async with BackfillCache(source) as cache:
        assert [await cache.get(key) for key in (1, "1", (1,), True, 1.0)] == [
            "number",
            "text",
            "tuple",
            "number",
            "number",
        ]
        assert source.calls == [(1,), ("1",), ((1,),)]
