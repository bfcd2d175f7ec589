"""What is loaded is written behind the callers' backs; what is changed, before they go on."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from async_backfill import CacheClosedError, FreshnessPolicy
from async_backfill.testing import GatedSource
from tests.callers import PENDING, start
from tests.far.shared import Shared
from tests.far.test_reading import ROWS, CountedSource, cache_of

pytestmark = pytest.mark.anyio


async def test_a_caller_does_not_wait_for_the_store_to_be_written():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get("k1")
        written = shared.value("k1")
        await cache.settle()

        assert written is None
        assert shared.value("k1") == 1


async def test_what_was_read_from_the_store_is_not_written_to_it_again():
    shared = Shared()
    await shared.set_many({"k1": 1})
    shared.calls.clear()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get_many(["k1", "k2"])
        await cache.settle()

        assert shared.calls_of("set") == [("k2",)]


async def test_values_are_written_with_the_ttl_that_they_have_in_memory():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared, freshness=FreshnessPolicy(ttl=60.0)) as cache:
        await cache.get("k1")
        await cache.settle()
        await anyio.sleep(59.0)
        assert shared.value("k1") == 1
        await anyio.sleep(2.0)
        assert shared.value("k1") is None


async def test_a_put_and_an_invalidation_are_written_when_they_return():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.put_many({"a": 1, "b": 2})
        assert (shared.value("a"), shared.value("b")) == (1, 2)
        await cache.invalidate("a")
        assert shared.value("a") is None


async def test_a_clear_empties_the_store():
    shared = Shared()
    await shared.set_many({"other": 1})
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get("k1")
        await cache.clear()
        await cache.settle()

        assert shared.entries == {}


async def test_what_was_loaded_before_a_put_is_not_written_after_it():
    shared, source = Shared(), GatedSource({"k1": "old"})
    async with cache_of(source, shared) as cache, anyio.create_task_group() as tasks:
        start(tasks, cache.get, "k1")
        await wait_all_tasks_blocked()
        await cache.put("k1", "new")
        source.release()
        await cache.settle()

        assert shared.value("k1") == "new"


async def test_puts_of_one_key_are_written_in_their_order():
    shared = Shared()
    shared.delay = 0.01
    async with cache_of(CountedSource(ROWS), shared) as cache, anyio.create_task_group() as tasks:
        for value in range(5):
            start(tasks, cache.put, "k1", value)
            await wait_all_tasks_blocked()
        await cache.settle()

        assert shared.value("k1") == 4


async def test_a_put_whose_caller_left_is_written_all_the_same():
    shared = Shared()
    shared.delay = 0.01
    async with cache_of(CountedSource(ROWS), shared) as cache:
        with anyio.move_on_after(0.001):
            await cache.put("k1", "new")
        await cache.settle()

        assert shared.value("k1") == "new"


async def test_more_than_may_wait_is_not_written():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared, max_queued=4) as cache:
        await cache.get_many(ROWS)
        await cache.settle()

        assert len(shared.entries) == 4
        assert cache.stats.far.written == 4
        assert cache.stats.far.unwritten == 6


async def test_nobody_waits_for_ever_when_the_cache_closes_during_a_put():
    shared = Shared()
    shared.delay = 3600.0
    cache = cache_of(CountedSource(ROWS), shared, timeout=1000.0)
    async with anyio.create_task_group() as tasks, cache:
        caller = start(tasks, cache.put, "k1", "new")
        await wait_all_tasks_blocked()
        assert caller.outcome is PENDING
    assert isinstance(caller.outcome, CacheClosedError)


async def test_nobody_waits_for_ever_when_the_task_of_the_cache_is_cancelled_during_a_put():
    shared = Shared()
    shared.delay = 3600.0
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with cache_of(CountedSource(ROWS), shared, timeout=1000.0) as cache:
                caller = start(tasks, cache.put, "k1", "new")
                await wait_all_tasks_blocked()
                scope.cancel()
                await anyio.sleep_forever()
    assert isinstance(caller.outcome, CacheClosedError)
