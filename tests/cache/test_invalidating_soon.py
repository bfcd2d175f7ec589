"""Invalidation without waiting: at once here, in the background in the far tier, from any thread."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, to_thread, wait_all_tasks_blocked

from async_backfill import BackfillCache, CacheClosedError, FarTier, MappingSource
from async_backfill.testing import GatedSource, MemoryFarStore
from tests.callers import start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("keys", [["a"], None], ids=["keys", "all"])
async def test_it_is_done_at_once_and_wins_over_a_load_that_has_read_the_old_value(keys):
    source = GatedSource({"a": "old"})
    async with BackfillCache(source) as cache, create_task_group() as group:
        await cache.put("b", "kept")
        caller = start(group, cache.get, "a")
        await wait_all_tasks_blocked()
        cache.invalidate_soon(keys)
        assert ("b" in cache) == (keys is not None)
        source.open()
        await wait_all_tasks_blocked()

        assert caller.outcome == "old"
        assert "a" not in cache


@pytest.mark.parametrize("keys", [["a", "a"], None], ids=["keys", "all"])
async def test_the_far_tier_is_told_and_is_not_read_before(keys):
    store = MemoryFarStore()
    rows = {"a": "old"}
    async with BackfillCache(MappingSource(rows), far=FarTier(store=store)) as cache:
        await cache.get("a")
        await cache.settle()
        rows["a"] = "new"
        cache.invalidate_soon(keys)
        assert await cache.get("a") == "new"
        await cache.settle()
        async with BackfillCache(MappingSource({}), far=FarTier(store=store)) as other:
            assert await other.get("a") in {"new", None}


async def test_closing_waits_until_the_far_tier_was_told():
    store = MemoryFarStore()
    async with BackfillCache(MappingSource({"a": 1}), far=FarTier(store=store)) as cache:
        await cache.put("a", 1)
        cache.invalidate_soon(["a"])

    async with BackfillCache(MappingSource({}), far=FarTier(store=store)) as other:
        assert await other.get("a") is None


async def test_another_thread_may_ask_and_what_it_asks_for_next_comes_after():
    async with BackfillCache(MappingSource({"a": 1})) as cache:
        await cache.get("a")

        def work():
            cache.invalidate_soon(["a"])
            return anyio.from_thread.run_sync(cache.__contains__, "a")

        assert await to_thread.run_sync(work) is False


def test_a_thread_that_asks_as_the_cache_closes_is_told_of_in_the_log(caplog):
    cache = BackfillCache(MappingSource({"a": 1}))
    cache._invalidate_late(("a", "b"))
    cache._invalidate_late(None)
    assert caplog.messages[-2:] == [
        "2 keys were not invalidated: the cache was closed meanwhile",
        "all keys were not invalidated: the cache was closed meanwhile",
    ]


async def test_a_cache_that_is_closed_refuses_it():
    cache = BackfillCache(MappingSource({}))
    with pytest.raises(CacheClosedError):
        cache.invalidate_soon(["a"])
    async with cache:
        pass
    with pytest.raises(CacheClosedError):
        cache.invalidate_soon(None)


def test_a_cache_whose_event_loop_has_ended_refuses_it():
    cache = BackfillCache(MappingSource({}))

    async def leave_it_open():
        await cache.__aenter__()

    anyio.run(leave_it_open)
    with pytest.raises(CacheClosedError):
        cache.invalidate_soon(["a"])
