"""Stale values: served while the key is loaded again, and while it cannot be."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill import BackfillCache, CacheClosedError, FreshnessPolicy, LoadError, LoadPolicy
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import CANCELLED, PENDING, outcomes, start

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def with_stale_key(*, load=None, **policy):
    """A cache whose key ``a`` is stale with the value 1, where the source has 2 by now."""
    clock = ManualClock()
    source = GatedSource({"a": 1, "b": 10})
    freshness = FreshnessPolicy(**{"ttl": 10.0, "stale_for": 100.0, "retry_after": 5.0, **policy})
    async with (
        BackfillCache(source, clock=clock, freshness=freshness, load=load) as cache,
        create_task_group() as tasks,
    ):
        start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.release()
        await cache.settle()
        source.rows = {"a": 2, "b": 10}
        clock.advance(10.0)
        yield cache, source, clock, tasks
        tasks.cancel_scope.cancel()


async def end_refresh(cache, source, error=None):
    source.release(error)
    await cache.settle()


async def test_a_stale_value_is_served_at_once_while_one_refresh_runs():
    async with with_stale_key() as (cache, source, _, _tasks):
        assert await outcomes(cache.get, *[("a",)] * 500) == [1] * 500
        assert await cache.get_many("a") == {"a": 1}
        await wait_all_tasks_blocked()
        assert source.calls == [("a",)] * 2
        await end_refresh(cache, source)

        assert await cache.get("a") == 2
        assert source.calls == [("a",)] * 2
        assert (cache.stats.stale, cache.stats.hits, cache.stats.misses) == (501, 502, 1)
        assert (cache.stats.refresh_keys, cache.stats.miss_keys, cache.stats.source_keys) == (1, 1, 2)


async def test_when_the_source_fails_the_stale_value_is_served_and_it_is_left_alone():
    async with with_stale_key() as (cache, source, clock, _tasks):
        for failures in (1, 2, 3):
            assert await cache.get("a") == 1
            await wait_all_tasks_blocked()
            await end_refresh(cache, source, ConnectionError("down"))
            for _ in range(10):
                clock.advance(0.499)
                assert await cache.get("a") == 1
                assert await cache.get_many("a") == {"a": 1}
            await wait_all_tasks_blocked()
            assert len(source.calls) == 1 + failures
            clock.advance(0.02)
        assert cache.stats.failed == 0


async def test_when_a_stale_value_is_too_old_a_failure_reaches_the_caller():
    async with with_stale_key() as (cache, source, clock, tasks):
        clock.advance(100.0)
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.release(ConnectionError("down"))
        await wait_all_tasks_blocked()

        assert isinstance(caller.outcome, LoadError)


async def test_a_waiting_caller_takes_the_stale_value_in_time_while_the_load_goes_on():
    async with with_stale_key(stale_wait=3.0) as (cache, source, _, tasks):
        caller = start(tasks, cache.get, "a")
        await sleep(2.9)
        assert caller.outcome == PENDING
        await sleep(0.2)
        assert caller.outcome == 1
        assert source.waiting == 1
        await end_refresh(cache, source)
        assert cache.peek("a") == 2


async def test_a_caller_who_waits_gets_the_new_value_when_it_comes_in_time():
    async with with_stale_key(stale_wait=3.0) as (cache, source, _, tasks):
        caller = start(tasks, cache.get, "a")
        await sleep(1.0)
        await end_refresh(cache, source)
        await wait_all_tasks_blocked()

        assert caller.outcome == 2
        assert (cache.stats.misses, cache.stats.stale) == (2, 0)


async def test_a_caller_who_waits_for_the_end_takes_the_stale_value_only_of_a_failed_load():
    async with with_stale_key(stale_wait=None) as (cache, source, _, tasks):
        caller = start(tasks, cache.get, "a")
        await sleep(20.0)
        assert caller.outcome == PENDING
        await end_refresh(cache, source, ConnectionError("down"))
        await wait_all_tasks_blocked()

        assert caller.outcome == 1
        assert cache.stats.stale == 1


async def test_a_refresh_goes_on_when_everybody_who_waited_for_it_was_cancelled():
    async with with_stale_key(stale_wait=None) as (cache, source, _, tasks):
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        caller.cancel()
        await wait_all_tasks_blocked()
        assert (caller.outcome, source.cancelled) == (CANCELLED, [])
        await end_refresh(cache, source)

        assert cache.peek("a") == 2


@pytest.mark.parametrize("write", ["put", "invalidate", "clear"])
async def test_a_write_during_a_refresh_wins(write):
    async with with_stale_key() as (cache, source, _, _tasks):
        await cache.get("a")
        await wait_all_tasks_blocked()
        await {
            "put": lambda: cache.put("a", 3),
            "invalidate": lambda: cache.invalidate("a"),
            "clear": cache.clear,
        }[write]()
        await end_refresh(cache, source)

        assert cache.peek("a") == (3 if write == "put" else None)


async def test_after_an_invalidate_the_stale_value_is_gone():
    async with with_stale_key() as (cache, source, _, tasks):
        await cache.invalidate("a")
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        assert caller.outcome == PENDING
        await end_refresh(cache, source)
        await wait_all_tasks_blocked()

        assert caller.outcome == 2


async def test_what_the_source_no_longer_has_leaves_the_cache_with_the_refresh():
    async with with_stale_key() as (cache, source, _, tasks):
        source.rows = {}
        assert await cache.get("a") == 1
        await wait_all_tasks_blocked()
        await end_refresh(cache, source)
        assert cache.stats.size == 0
        caller = start(tasks, cache.get, "a", "gone")
        await wait_all_tasks_blocked()
        await end_refresh(cache, source)
        await wait_all_tasks_blocked()

        assert caller.outcome == "gone"


async def test_a_live_miss_goes_before_a_refresh_that_waits_for_a_place():
    async with with_stale_key(load=LoadPolicy(concurrency=1)) as (cache, source, _, tasks):
        for key in ("slow", "a", "b"):
            start(tasks, cache.get, key)
            await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()

        assert source.calls[1:] == [("slow",), ("b",), ("a",)]


async def test_closing_during_a_refresh_hangs_nobody_and_serves_the_stale_value():
    clock = ManualClock()
    source = GatedSource({"a": 1})
    freshness = FreshnessPolicy(ttl=1.0, stale_for=9.0, stale_wait=None)
    async with create_task_group() as tasks:
        async with BackfillCache(source, clock=clock, freshness=freshness) as cache:
            await cache.put("a", 1)
            clock.advance(1.0)
            caller = start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()

    assert caller.outcome == 1 or isinstance(caller.outcome, CacheClosedError)
    assert source.cancelled == [("a",)]
    assert cache.stats.in_flight == 0


@pytest.mark.parametrize("patience", [None, 1000.0])
async def test_who_waits_for_a_refresh_gets_what_a_live_caller_loads_who_took_the_key_over(patience):
    load = LoadPolicy(concurrency=1)
    async with with_stale_key(load=load, stale_wait=patience) as (cache, source, _, tasks):
        start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        waits = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        cache.evict_oldest()
        live = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert (waits.outcome, live.outcome) == (2, 2)
        assert source.calls == [("a",), ("b",), ("a",)]


async def test_who_waits_for_a_refresh_that_another_took_over_waits_no_longer():
    load = LoadPolicy(concurrency=1)
    async with with_stale_key(load=load, stale_wait=5.0) as (cache, source, _, tasks):
        start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        waits = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        cache.evict_oldest()
        start(tasks, cache.get, "a")
        await sleep(4.9)
        source.release()
        assert waits.outcome is PENDING
        await sleep(0.2)

        assert waits.outcome == 1
