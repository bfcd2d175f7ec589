"""What has expired leaves a cache that nobody asks, a few values at a time."""

from __future__ import annotations

import itertools
import tracemalloc

import anyio
import pytest

from async_backfill import BackfillCache, FreshnessPolicy, MappingSource, MemoryStore
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.stores._fresh import A_STEP, FreshStore
from async_backfill.testing import ManualClock

pytestmark = pytest.mark.anyio

ROWS = {number: f"row {number}" for number in range(5000)}


def cache_of(**settings):
    return BackfillCache(MappingSource(ROWS), clock=anyio.current_time, **settings)


@pytest.mark.parametrize("eviction", EVICTIONS)
async def test_expired_values_leave_although_nobody_asks(eviction):
    async with cache_of(freshness=FreshnessPolicy(ttl=60.0, jitter=0.5), eviction=eviction) as cache:
        await cache.get_many(ROWS)
        await anyio.sleep(29.0)
        assert cache.stats.size == len(ROWS)
        await anyio.sleep(45.0)

        assert (cache.stats.size, cache.stats.evictions) == (0, 0)
        assert await cache.get(1) == "row 1"


async def test_a_stale_value_stays_as_long_as_it_may_be_served():
    async with cache_of(freshness=FreshnessPolicy(ttl=10.0, stale_for=100.0)) as cache:
        await cache.get(1)
        await anyio.sleep(109.0)
        assert cache.stats.size == 1
        await anyio.sleep(12.0)

        assert cache.stats.size == 0


async def test_the_memory_of_an_idle_cache_goes_down():
    tracemalloc.start()
    try:
        rows = {str(number): "x" * 100 + str(number) for number in range(20_000)}
        before = tracemalloc.get_traced_memory()[0]

        class Rows:
            async def load_many(self, keys):
                return {key: "x" * 100 + key for key in keys}

        cache = BackfillCache(Rows(), freshness=FreshnessPolicy(ttl=60.0), clock=anyio.current_time)
        async with cache:
            for first in range(0, len(rows), 500):
                await cache.get_many([str(number) for number in range(first, first + 500)])
            full = tracemalloc.get_traced_memory()[0] - before
            await anyio.sleep(80.0)

            assert tracemalloc.get_traced_memory()[0] - before < full / 10
    finally:
        tracemalloc.stop()


async def test_it_goes_on_in_the_next_opening():
    cache = cache_of(freshness=FreshnessPolicy(ttl=60.0))
    async with cache:
        await cache.get_many(ROWS)
    async with cache:
        await anyio.sleep(75.0)

        assert cache.stats.size == 0


async def test_where_nothing_expires_no_task_runs_for_it():
    async def tasks_of(**settings):
        async with cache_of(**settings):
            await anyio.wait_all_tasks_blocked()
            return len(anyio.get_running_tasks())

    without = await tasks_of()
    assert await tasks_of(freshness=FreshnessPolicy(ttl=60.0)) == without + 1


async def test_a_store_that_fails_to_let_go_is_logged_and_breaks_nothing(caplog):
    class Stuck(MemoryStore):
        def delete_many(self, keys, /):
            raise OSError(f"stuck: {keys}")

    async with cache_of(freshness=FreshnessPolicy(ttl=10.0), store=Stuck()) as cache:
        await cache.get(1)
        await anyio.sleep(30.0)

        assert await cache.get(2) == "row 2"
    assert "stuck" in caplog.text


def test_a_step_removes_a_few_values_only_but_room_for_all_that_is_added():
    clock, many = ManualClock(), dict.fromkeys(range(10 * A_STEP))
    store = FreshStore(MemoryStore(len(many)), FreshnessPolicy(ttl=10.0), clock=clock)
    store.set_many(many)
    clock.advance(10.0)

    assert (store.sweep(), len(store)) == (0.0, 9 * A_STEP)
    assert store.set_many(dict.fromkeys(range(-5 * A_STEP, 0))) == []
    assert len(store) == 9 * A_STEP
    while store.sweep() == 0.0:
        pass
    assert len(store) == 5 * A_STEP


def test_the_times_of_a_store_that_was_cleared_are_let_go_a_few_at_a_time():
    clock, many = ManualClock(), dict.fromkeys(range(100 * A_STEP))
    store = FreshStore(MemoryStore(len(many)), FreshnessPolicy(ttl=10.0, jitter=0.0), clock=clock)
    store.set_many(many)
    store.clear()
    store.set_many({"a": 1, "b": 2})
    left = [len(store._leaving._dead)]
    while (again := store.sweep()) == 0.0:
        left.append(len(store._leaving._dead))

    assert all(0 < before - after <= 1000 for before, after in itertools.pairwise(left))
    assert (again, store.peek("a"), len(store)) == (10.0, 1, 2)
