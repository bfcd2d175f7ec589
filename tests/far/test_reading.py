"""A missed key is read from the far tier (L2) before the source is asked."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    FarTier,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    MappingSource,
)
from async_backfill.testing import GatedSource
from tests.callers import outcomes, start
from tests.far.shared import Shared

pytestmark = pytest.mark.anyio

ROWS = {f"k{n}": n for n in range(10)}


class CountedSource:
    def __init__(self, rows):
        self.rows = rows
        self.calls = []

    async def load_many(self, keys, /):
        self.calls.append(tuple(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}


def cache_of(source, shared, *, ttl=None, freshness=None, load=None, **tier):
    return BackfillCache(
        source,
        far=FarTier(store=shared, ttl=ttl, **tier),
        freshness=freshness,
        load=load,
        clock=anyio.current_time,
    )


async def test_what_one_cache_loaded_the_next_one_reads_without_a_source_call():
    shared, source = Shared(), CountedSource(ROWS)
    async with cache_of(source, shared) as first:
        await first.get_many(["k1", "k2"])
    async with cache_of(source, shared) as second:
        found = await second.get_many(["k1", "k2"])

        assert found == {"k1": 1, "k2": 2}
        assert source.calls == [("k1", "k2")]
        assert second.stats.source_calls == 0
        assert second.stats.far.hits == 2


async def test_only_what_the_store_does_not_have_is_loaded():
    shared, source = Shared(), CountedSource(ROWS)
    await shared.set_many({"k1": 1})
    async with cache_of(source, shared) as cache:
        assert await cache.get_many(["k1", "k2", "k3"]) == {"k1": 1, "k2": 2, "k3": 3}

    assert source.calls == [("k2", "k3")]


async def test_keys_missed_at_once_make_one_read_of_the_store():
    shared, source = Shared(), CountedSource(ROWS)
    async with cache_of(source, shared) as cache:
        await outcomes(cache.get, *((key,) for key in ROWS))

        assert [sorted(keys) for keys in shared.calls_of("get")] == [sorted(ROWS)]


async def test_what_was_read_from_the_store_is_a_hit_from_then_on():
    shared = Shared()
    await shared.set_many({"k1": 1})
    async with cache_of(CountedSource({}), shared) as cache:
        await cache.get("k1")
        assert await cache.get("k1") == 1

        assert cache.peek("k1") == 1
        assert len(shared.calls_of("get")) == 1
        assert cache.stats.hits == 1


async def test_a_key_that_neither_has_is_absent():
    async with cache_of(CountedSource({}), Shared()) as cache:
        assert await cache.get("nobody") is None

        assert cache.stats.absent == 1


async def test_a_batch_may_find_fail_and_miss():
    class HalfBroken:
        async def load_many(self, keys, /):
            raise ConnectionError(keys)

    shared = Shared()
    await shared.set_many({"k1": 1})
    async with cache_of(HalfBroken(), shared) as cache:
        found, failed = await outcomes(cache.get, ("k1",), ("k2",))

        assert found == 1
        assert isinstance(failed, LoadError)
        assert cache.stats.failed == 1


async def test_a_copy_leaves_memory_when_the_value_would_have():
    shared, source = Shared(), CountedSource(ROWS)
    fresh = FreshnessPolicy(ttl=60.0)
    async with cache_of(source, shared, freshness=fresh) as first:
        await first.get("k1")
    await anyio.sleep(50.0)
    async with cache_of(source, shared, freshness=fresh) as second:
        await second.get("k1")
        await anyio.sleep(9.0)
        assert second.peek("k1") == 1
        await anyio.sleep(2.0)
        assert second.peek("k1") is None


async def test_a_copy_whose_time_is_over_for_this_cache_is_loaded_anew():
    shared, source = Shared(), CountedSource(ROWS)
    await shared.set_many({"k1": "old"})
    await anyio.sleep(5.0)
    async with cache_of(source, shared, ttl=4.0) as cache:
        assert await cache.get("k1") == 1


async def test_an_early_refresh_asks_the_source_and_not_the_store_for_the_same_copy():
    shared, source = Shared(), CountedSource(ROWS)
    fresh = FreshnessPolicy(ttl=60.0, early=1000.0, seed=1)

    class Slow(CountedSource):
        async def load_many(self, keys, /):
            await anyio.sleep(1.0)
            return await super().load_many(keys)

    source = Slow({"k1": 1})
    async with cache_of(source, shared, freshness=fresh) as cache:
        await cache.get("k1")
        source.rows["k1"] = 2
        await anyio.sleep(50.0)
        await cache.get("k1")
        await cache.settle()

        assert cache.peek("k1") == 2
        assert shared.value("k1") == 2


async def test_a_refresh_takes_the_copy_that_another_process_has_renewed():
    shared, source = Shared(), CountedSource({"k1": 1})
    fresh = FreshnessPolicy(ttl=60.0, stale_for=60.0)
    async with cache_of(source, shared, freshness=fresh) as cache:
        await cache.get("k1")
        await cache.settle()
        await anyio.sleep(70.0)
        await shared.set_many({"k1": 2}, ttl=60.0)
        assert await cache.get("k1") == 1
        await cache.settle()

        assert cache.peek("k1") == 2
        assert len(source.calls) == 1


async def test_a_backfill_reads_the_store_before_the_source():
    shared = Shared()
    await shared.set_many(ROWS)
    source = MappingSource(ROWS)
    cache = BackfillCache(source, scan=source, far=FarTier(store=shared), clock=anyio.current_time)
    async with cache:
        record = await cache.force_backfill(by="test", reason="test")

        assert record.loaded == 10
        assert cache.stats.source_keys == 0
        assert cache.stats.size == 10


async def test_a_put_during_the_read_of_the_store_wins():
    shared = Shared()
    await shared.set_many({"k1": "old"})
    shared.delay = 0.01
    async with cache_of(CountedSource({}), shared) as cache, anyio.create_task_group() as tasks:
        caller = start(tasks, cache.get, "k1")
        await anyio.sleep(0.005)
        await cache.put("k1", "new")
        await cache.settle()

        assert caller.outcome == "old"
        assert cache.peek("k1") == "new"
        assert shared.value("k1") == "new"


async def test_who_invalidates_does_not_get_the_copy_back_that_is_about_to_be_removed():
    shared = Shared()
    await shared.set_many({"k1": "old"})
    source = CountedSource({"k1": "new"})
    async with cache_of(source, shared) as cache, anyio.create_task_group() as tasks:
        assert await cache.get("k1") == "old"
        shared.delays["delete"] = 0.04
        start(tasks, cache.invalidate, "k1")
        await wait_all_tasks_blocked()
        assert await cache.get("k1") == "new"
        await cache.settle()

        assert shared.value("k1") == "new"


async def test_a_caller_who_leaves_during_the_read_of_the_store_stops_the_load():
    shared, source = Shared(), GatedSource(ROWS)
    shared.delay = 0.01
    async with cache_of(source, shared) as cache:
        with anyio.move_on_after(0.005):
            await cache.get("k1")
        await cache.settle()

        assert source.calls == []
        assert cache.stats.in_flight == 0


async def test_a_cache_that_closes_during_the_read_of_the_store_tells_its_callers():
    shared = Shared()
    shared.delay = 0.02
    async with anyio.create_task_group() as tasks, cache_of(CountedSource(ROWS), shared) as cache:
        caller = start(tasks, cache.get, "k1")
        await anyio.sleep(0.01)
    assert isinstance(caller.outcome, CacheClosedError)


async def test_the_source_may_take_its_whole_timeout_after_the_read_of_the_store():
    class Slow(CountedSource):
        async def load_many(self, keys, /):
            await anyio.sleep(0.99)
            return await super().load_many(keys)

    shared = Shared()
    shared.delay = 0.04
    async with cache_of(Slow(ROWS), shared, load=LoadPolicy(timeout=1.0)) as cache:
        assert await cache.get("k1") == 1
