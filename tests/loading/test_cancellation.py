"""Callers who leave: a load belongs to none of them, and ends when the last one is gone."""

from __future__ import annotations

import asyncio

import pytest
from anyio import create_task_group, move_on_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, LoadPolicy, MappingSource
from async_backfill.testing import GatedSource
from tests.callers import CANCELLED, PENDING, run, start

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdef"}


async def test_when_the_first_caller_is_cancelled_the_others_get_the_value_of_its_load():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        first, *others = [start(tasks, cache.get, "a") for _ in range(100)]
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert first.outcome is CANCELLED
        assert [other.outcome for other in others] == ["A"] * 99
        assert source.calls == [("a",)]


async def test_a_cancelled_follower_disturbs_nobody():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, "a") for _ in range(3)]
        await wait_all_tasks_blocked()
        callers[1].cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert [caller.outcome for caller in callers] == ["A", CANCELLED, "A"]
        assert source.calls == [("a",)]
        assert source.cancelled == []


async def test_when_all_callers_are_cancelled_the_load_is_cancelled():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in "aaabbb"]
        await wait_all_tasks_blocked()
        for caller in callers:
            caller.cancel()
        await wait_all_tasks_blocked()

        assert [set(keys) for keys in source.cancelled] == [{"a", "b"}]
        assert (cache.stats.in_flight, cache.stats.size) == (0, 0)


async def test_after_a_load_was_cancelled_the_next_get_loads_again():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache:
        with move_on_after(1):
            await cache.get("a")
        source.open()

        assert await cache.get("a") == "A"
        assert source.calls == [("a",), ("a",)]


async def test_a_get_right_after_the_last_caller_left_does_not_share_its_fate():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        leaver = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        leaver.cancel()
        source.open()
        while leaver.outcome is PENDING:
            await checkpoint()

        assert await cache.get("a") == "A"


async def test_a_caller_of_another_key_keeps_the_call_of_both_alive():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        left, stays = start(tasks, cache.get, "a"), start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        left.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert (left.outcome, stays.outcome) == (CANCELLED, "B")
        assert len(source.calls) == 1
        assert cache.peek("a") == "A"


async def test_a_load_that_waits_for_a_place_is_never_made_when_its_callers_left():
    source = GatedSource(ROWS)
    load = LoadPolicy(concurrency=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        stays = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        left = start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        left.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert source.calls == [("a",)]
        assert stays.outcome == "A"


async def test_a_cancelled_get_many_leaves_only_the_loads_that_others_wait_for():
    source = GatedSource(ROWS)
    load = LoadPolicy(max_batch=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        many, one = start(tasks, cache.get_many, "abc"), start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        many.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert (many.outcome, one.outcome) == (CANCELLED, "B")
        assert sorted(source.cancelled) == [("a",), ("c",)]


async def test_cancelling_who_asked_for_a_load_cancels_the_loads_that_it_asked_for():
    class Source:
        async def load_many(self, keys):
            if keys == ("outer",):
                return {"outer": await cache.get("inner")}
            return await gated.load_many(keys)

    gated = GatedSource({"inner": 1})
    async with BackfillCache(Source()) as cache:
        with move_on_after(1):
            await cache.get("outer")
        await wait_all_tasks_blocked()

        assert gated.cancelled == [("inner",)]
        assert cache.stats.in_flight == 0


async def test_a_nested_load_that_another_caller_waits_for_outlives_who_asked_first():
    class Source:
        async def load_many(self, keys):
            if keys == ("outer",):
                return {"outer": await cache.get("inner")}
            return await gated.load_many(keys)

    gated = GatedSource({"inner": 1})
    async with BackfillCache(Source()) as cache, create_task_group() as tasks:
        outer = start(tasks, cache.get, "outer")
        await wait_all_tasks_blocked()
        inner = start(tasks, cache.get, "inner")
        await wait_all_tasks_blocked()
        outer.cancel()
        await wait_all_tasks_blocked()
        gated.open()
        await wait_all_tasks_blocked()

        assert (outer.outcome, inner.outcome) == (CANCELLED, 1)
        assert gated.calls == [("inner",)]


async def test_a_live_caller_who_leaves_a_backfill_does_not_end_it():
    source = GatedSource(ROWS)
    async with BackfillCache(source, scan=MappingSource(ROWS)) as cache, create_task_group() as tasks:
        backfill = start(tasks, cache.force_backfill)
        await wait_all_tasks_blocked()
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        caller.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert caller.outcome is CANCELLED
        assert backfill.outcome.loaded == len(ROWS)
        assert source.cancelled == []


def test_a_deadline_of_asyncio_itself_ends_only_the_wait_of_its_caller():
    async def main():
        source = GatedSource(ROWS)
        async with BackfillCache(source) as cache, create_task_group() as tasks:
            caller = start(tasks, cache.get, "a")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await cache.get("a")
            source.open()
        return caller.outcome, source.calls

    assert run(main, "asyncio") == ("A", [("a",)])
