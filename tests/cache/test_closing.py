"""Closing a cache: every wait ends, every load ends, nothing is left and nothing begins."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest
from anyio import (
    CancelScope,
    create_task_group,
    current_time,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    LoadPolicy,
    MappingSource,
)
from async_backfill.contracts import Page
from async_backfill.testing import GatedSource
from tests.cache.uses import ROWS, USES, new_cache
from tests.callers import run, start

pytestmark = pytest.mark.anyio


async def test_closing_ends_every_wait_and_every_load_at_once():
    source = GatedSource(dict.fromkeys(range(100)))
    load = LoadPolicy(max_batch=5, concurrency=3)
    async with create_task_group() as tasks:
        cache = new_cache(source, load=load, backfill_batch=20)
        async with cache:
            callers = [start(tasks, cache.get, number) for number in range(50)]
            many = start(tasks, cache.get_many, range(40, 60))
            await wait_all_tasks_blocked()
            backfill = start(tasks, cache.force_backfill)
            await wait_all_tasks_blocked()
            before = current_time()
        closed = current_time()
        await wait_all_tasks_blocked()

    assert closed == before
    assert [type(caller.outcome) for caller in (*callers, many)] == [CacheClosedError] * 51
    assert backfill.outcome.status.value == "cancelled"
    assert len(source.cancelled) == 3
    assert (cache.stats.in_flight, cache.stats.size) == (0, 0)


async def test_closing_leaves_every_caller_an_exception_of_its_own():
    async with create_task_group() as tasks, new_cache(GatedSource(ROWS)) as cache:
        callers = [start(tasks, cache.get, "a") for _ in range(10)]
        await wait_all_tasks_blocked()

    assert len({id(caller.outcome) for caller in callers}) == 10
    assert "'a'" in str(callers[0].outcome)


def test_closing_leaves_no_task_behind():
    async def main():
        source = GatedSource(dict.fromkeys(range(100)))
        before = asyncio.all_tasks()
        cache = new_cache(source, load=LoadPolicy(max_batch=5))
        async with cache:
            gets = [asyncio.create_task(cache.get(number)) for number in range(50)]
            backfill = asyncio.create_task(cache.force_backfill())
            await wait_all_tasks_blocked()
            during = asyncio.all_tasks() - before - {*gets, backfill}
        after = asyncio.all_tasks() - {*gets, backfill}
        await asyncio.gather(*gets, backfill, return_exceptions=True)
        return before, during, after

    before, during, after = run(main, "asyncio")

    assert len(during) == 11 + 2  # who keeps the tasks, and who watches the calls
    assert after == before


async def test_closing_waits_for_a_source_that_cleans_up():
    cleaned = []

    class Source:
        async def load_many(self, keys):
            try:
                await sleep_forever()
            finally:
                with CancelScope(shield=True):
                    await sleep(3)
                cleaned.append(keys)

    async with create_task_group() as tasks:
        async with new_cache(Source()) as cache:
            start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()

        assert cleaned == [("a",)]


async def test_a_cache_that_is_closing_takes_no_more_callers():
    refused = []

    class Source:
        async def load_many(self, _):
            try:
                await sleep_forever()
            finally:
                for use in USES.values():
                    with pytest.raises(CacheClosedError):
                        await use(cache)
                    refused.append(use)

    async with create_task_group() as tasks, new_cache(Source()) as cache:
        await cache.put("b", 2)
        start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

    assert refused == list(USES.values())


async def test_settle_ends_when_the_cache_closes():
    load = LoadPolicy(max_batch=1, concurrency=1)
    async with create_task_group() as tasks:
        async with new_cache(GatedSource(ROWS), load=load) as cache:
            start(tasks, cache.get_many, "ab")
            await wait_all_tasks_blocked()
            settled = start(tasks, cache.settle)
            await wait_all_tasks_blocked()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        ended = settled.outcome
        tasks.cancel_scope.cancel()

    assert ended is None or isinstance(ended, CacheClosedError)


async def test_a_forced_backfill_that_waits_for_another_does_not_begin_at_the_close():
    class Scan:
        scans = 0

        async def scan(self, cursor, limit):
            self.scans += 1
            await sleep(3600)
            return Page((cursor, limit), None)

    scan = Scan()
    async with create_task_group() as tasks:
        async with BackfillCache(MappingSource(ROWS), scan=scan) as cache:
            backfills = [start(tasks, cache.force_backfill) for _ in range(3)]
            await wait_all_tasks_blocked()
            before = current_time()
        closed = current_time()

    assert closed == before
    assert scan.scans == 1
    assert [type(backfill.outcome) for backfill in backfills] == [CacheClosedError] * 3
    assert cache.stats.backfills == 0


async def test_a_load_that_the_closing_ended_is_not_reported_as_a_timeout():
    events = []
    cache = new_cache(GatedSource(ROWS), observers=[events.append])
    async with create_task_group() as tasks, cache:
        start(tasks, cache.get, "a")
        start(tasks, cache.force_backfill)
        await wait_all_tasks_blocked()

    assert [event for event in events if isinstance(getattr(event, "error", None), TimeoutError)] == []


async def test_an_error_of_the_body_comes_out_as_it_is():
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:  # noqa: PT012 - the body is what is tested
        async with new_cache() as cache:
            await cache.get("a")
            raise error

    assert raised.value is error


async def test_an_error_of_the_body_comes_out_as_it_is_although_loads_are_under_way():
    error = ExceptionGroup("mine", [ValueError()])
    async with create_task_group() as tasks:
        with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 - the body is what is tested
            async with new_cache(GatedSource(ROWS)) as cache:
                caller = start(tasks, cache.get, "a")
                await wait_all_tasks_blocked()
                raise error

    assert raised.value is error
    assert isinstance(caller.outcome, CacheClosedError)


async def test_a_cancelled_body_closes_the_cache_and_is_cancelled():
    source = GatedSource(ROWS)
    cache = new_cache(source)
    with move_on_after(10) as around:
        async with cache:
            await cache.get("a")

    assert around.cancelled_caught
    assert source.cancelled == [("a",)]
    with pytest.raises(CacheClosedError):
        cache.peek("a")


def test_a_task_that_is_cancelled_at_any_step_of_closing_leaves_no_task_behind():
    class Source(GatedSource):
        async def load_many(self, keys):
            try:
                return await super().load_many(keys)
            finally:
                with CancelScope(shield=True):
                    await sleep(1)

    async def main(steps):
        source = Source(dict.fromkeys(range(100)))

        async def own():
            async with new_cache(source) as cache:
                callers.extend(asyncio.create_task(use) for use in (cache.get(1), cache.force_backfill()))
                await leaves.wait()

        callers, leaves = [], asyncio.Event()
        mine = {asyncio.current_task(), owner := asyncio.create_task(own())}
        await wait_all_tasks_blocked()
        leaves.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        owner.cancel()
        await asyncio.wait([owner])
        left = asyncio.all_tasks() - mine - set(callers)
        await asyncio.gather(*callers, return_exceptions=True)
        return left, source.waiting

    for steps in range(20):
        assert run(partial(main, steps), "asyncio") == (set(), 0)
