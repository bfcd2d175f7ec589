"""From opening to closing: what a cache refuses before and after, and what it leaves behind."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial

import pytest
from anyio import (
    create_task_group,
    move_on_after,
    wait_all_tasks_blocked,
)

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    LoadPolicy,
    SimulatedSource,
)
from async_backfill.contracts import Page
from async_backfill.testing import GatedSource
from tests.cache.uses import ROWS, USES, new_cache
from tests.callers import CANCELLED, outcomes, run, start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("use", USES)
async def test_a_cache_that_was_never_opened_refuses_to_work_and_says_what_to_do(use):
    cache = new_cache()
    with pytest.raises(CacheClosedError, match="async with"):
        await USES[use](cache)

    assert cache.stats.lookups == 0


@pytest.mark.parametrize("use", USES)
async def test_a_closed_cache_refuses_to_work_also_for_what_it_holds(use):
    async with new_cache() as cache:
        await cache.get_many("ab")
    before = cache.stats
    with pytest.raises(CacheClosedError, match="async with"):
        await USES[use](cache)

    assert cache.stats == before


async def test_peek_and_evict_oldest_are_refused_before_opening_and_after_closing():
    cache = new_cache()
    for _ in range(2):
        with pytest.raises(CacheClosedError):
            cache.peek("a")
        with pytest.raises(CacheClosedError):
            cache.evict_oldest()
        async with cache:
            await cache.get("a")


async def test_a_closed_cache_still_tells_its_numbers_and_its_audit_log():
    async with new_cache() as cache:
        await cache.get("a")
        await cache.force_backfill()

    assert (cache.stats.misses, cache.stats.size, cache.stats.backfills) == (1, 2, 1)
    assert [record.status.value for record in cache.audit_log] == ["started", "completed"]


async def test_an_open_cache_cannot_be_opened_again():
    async with new_cache() as cache:
        with pytest.raises(RuntimeError, match="already open"):
            await cache.__aenter__()

        assert await cache.get("a") == 1


async def test_a_cache_opened_again_keeps_what_it_holds_and_what_it_counted():
    cache = new_cache()
    async with cache:
        await cache.get("a")
    async with cache:
        await cache.get("a")

        assert (cache.stats.hits, cache.stats.misses) == (1, 1)


async def test_loads_do_not_inherit_the_context_of_the_caller_who_happened_to_be_first():
    request = ContextVar("request", default="none")
    seen = []

    class Source:
        async def load_many(self, keys):
            seen.append(request.get())
            return dict.fromkeys(keys, 1)

        async def scan(self, cursor, limit):
            seen.append(request.get())
            return Page(("x",), cursor if limit < 0 else None)

    async def ask(number):
        request.set(f"request {number}")
        await cache.get(number)
        await cache.force_backfill()

    request.set("opening")
    source = Source()
    async with BackfillCache(source, scan=source, load=LoadPolicy(max_batch=1)) as cache:
        request.set("body")
        await outcomes(ask, *[(number,) for number in range(5)])

    assert set(seen) == {"opening"}


async def test_a_cancelled_caller_who_was_the_first_does_not_take_the_workers_along():
    source = SimulatedSource(ROWS, latency=1)
    async with create_task_group() as tasks, new_cache(source) as cache:
        with move_on_after(10):
            first = start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()
            first.cancel()
            await wait_all_tasks_blocked()

        assert first.outcome is CANCELLED
        assert await cache.get("b") == 2


@pytest.mark.parametrize(
    "backends", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio"), ("trio", "asyncio")]
)
def test_a_cache_can_be_opened_again_in_another_event_loop(backends):
    cache = new_cache(SimulatedSource(ROWS, latency=0.001))

    async def main():
        async with cache:
            await cache.force_backfill()
            return await outcomes(cache.get, ("a",), ("unknown",), ("a",))

    assert [run(main, backend) for backend in backends] == [[1, None, 1]] * 2
    assert cache.stats.misses == 2


async def left_open_with_a_load_under_way(cache):
    await cache.__aenter__()
    waiting = asyncio.create_task(cache.get("a"))
    await wait_all_tasks_blocked()
    return waiting, asyncio.get_running_loop()


def test_a_cache_whose_event_loop_ended_during_a_load_can_be_opened_in_another():
    source = GatedSource(ROWS)
    cache = new_cache(source)

    async def again():
        source.open()
        async with cache:
            return await cache.get("a"), cache.stats.in_flight

    waiting, _ = run(partial(left_open_with_a_load_under_way, cache), "asyncio")

    assert waiting.cancelled()
    assert run(again, "asyncio") == (1, 0)


def test_an_event_loop_that_ends_with_a_load_under_way_ends_the_tasks_of_the_cache():
    for _ in range(20):  # asyncio cancels its tasks in an order of its own
        cache = new_cache(GatedSource(ROWS))
        _, loop = run(partial(left_open_with_a_load_under_way, cache), "asyncio")

        assert asyncio.all_tasks(loop) == set()
