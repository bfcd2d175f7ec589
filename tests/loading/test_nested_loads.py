"""Loads that ask the cache for other keys while others load too: places are lent, and given back."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, fail_after, wait_all_tasks_blocked

from async_backfill import BackfillCache, LoadCycleError, LoadError, LoadPolicy
from async_backfill.testing import GatedSource
from tests.callers import FOR_EVER, outcomes, start

pytestmark = pytest.mark.anyio

ONE_PLACE = LoadPolicy(timeout=None, concurrency=1, max_batch=1)


class CountingSource:
    """Asks for ``"inner"`` when it loads ``"outer"``; notes how many calls run at once."""

    def __init__(self):
        self.gate = GatedSource({})
        self.running = 0
        self.most_running = 0

    async def load_many(self, keys):
        if "outer" in keys:
            return {"outer": await self.cache.get("inner")}
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.gate.load_many(keys)
        self.running -= 1
        return dict.fromkeys(keys, "value")


async def test_after_nested_loads_no_more_calls_run_at_once_than_before():
    source = CountingSource()
    source.gate.open()
    async with BackfillCache(source, load=ONE_PLACE) as source.cache:
        for _ in range(5):
            assert await source.cache.get("outer") == "value"
            await source.cache.clear()
        source.gate = GatedSource({})
        async with create_task_group() as tasks:
            for key in range(10):
                start(tasks, source.cache.get, key)
            await wait_all_tasks_blocked()
            source.gate.open()

        assert source.most_running == 1


async def test_after_a_nested_load_failed_no_more_calls_run_at_once_than_before():
    source = CountingSource()
    async with BackfillCache(source, load=ONE_PLACE) as source.cache:
        async with create_task_group() as tasks:
            caller = start(tasks, source.cache.get, "outer")
            await wait_all_tasks_blocked()
            source.gate.release(ConnectionError("down"))
            source.running = 0
        assert isinstance(caller.outcome, LoadError)
        async with create_task_group() as tasks:
            for key in range(10):
                start(tasks, source.cache.get, key)
            await wait_all_tasks_blocked()
            source.gate.open()

        assert source.most_running == 1


async def test_a_task_that_a_load_left_behind_lends_no_place_when_it_waits():
    gate = GatedSource({})
    left_behind = []
    landed = Event()

    class Source:
        async def load_many(self, keys):
            if keys == ("a",):
                left_behind.append(start(tasks, read_later))
            else:
                await gate.load_many(keys)
            return dict.fromkeys(keys, "value")

    async def read_later():
        await landed.wait()
        return await cache.get("c")

    async with create_task_group() as tasks, BackfillCache(Source(), load=ONE_PLACE) as cache:
        await cache.get("a")
        start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        landed.set()
        await wait_all_tasks_blocked()

        assert gate.calls == [("b",)]
        gate.open()
        await wait_all_tasks_blocked()
        assert left_behind[0].outcome == "value"


@pytest.mark.parametrize("other_ends_first", [False, True])
async def test_a_cycle_is_found_also_through_the_first_of_the_keys_a_load_waits_for(
    other_ends_first,
):
    may_ask = Event()
    gate = GatedSource({})
    refused = []

    class Source:
        async def load_many(self, keys):
            if keys == ("a",):
                async with create_task_group() as parts:
                    parts.start_soon(cache.get, "b")
                    await wait_all_tasks_blocked()
                    parts.start_soon(cache.get, "c")
            elif keys == ("b",):
                await may_ask.wait()
                with pytest.raises(LoadCycleError) as refusal:
                    await cache.get("a")
                refused.append(refusal.value.cycle)
            else:
                await gate.load_many(keys)
            return dict.fromkeys(keys, "value")

    async with BackfillCache(Source(), load=LoadPolicy(timeout=None)) as cache:
        with fail_after(FOR_EVER):
            async with create_task_group() as tasks:
                caller = start(tasks, cache.get, "a")
                await wait_all_tasks_blocked()
                if other_ends_first:
                    gate.open()
                    await wait_all_tasks_blocked()
                may_ask.set()
                await wait_all_tasks_blocked()
                gate.open()

        assert refused == [("a", "b", "a")]
        assert caller.outcome == "value"


async def test_a_load_lends_one_place_however_many_keys_it_waits_for():
    gate = GatedSource({})

    class Source:
        async def load_many(self, keys):
            if keys == ("a",):
                await outcomes(cache.get, ("b",), ("c",), ("d",))
            else:
                await gate.load_many(keys)
            return dict.fromkeys(keys, "value")

    async with BackfillCache(Source(), load=ONE_PLACE) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

        assert gate.waiting == 1
        gate.open()
        await wait_all_tasks_blocked()
        assert caller.outcome == "value"
