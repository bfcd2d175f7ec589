"""Callers who leave at any moment: nothing breaks, whichever turn of the event loop it is."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, LoadPolicy
from tests.callers import CANCELLED, Caller, run, start

pytestmark = pytest.mark.anyio


ROWS = {key: key.upper() for key in "abcdef"}


STEPS = 48


class SlowSource:
    """Answers after some turns of the event loop, and takes some to give up."""

    def __init__(self):
        self.calls = []
        self.running = 0

    async def load_many(self, keys):
        self.calls.append(keys)
        self.running += 1
        try:
            for _ in range(12):
                await checkpoint()
            return {key: ROWS[key] for key in keys if key in ROWS}
        finally:
            self.running -= 1


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_cancelling_a_caller_after_any_step_breaks_nothing_for_the_others(leaver):
    for steps in range(STEPS):
        source = SlowSource()
        async with BackfillCache(source) as cache, create_task_group() as tasks:
            callers = [start(tasks, cache.get, "a") for _ in range(3)]
            other = start(tasks, cache.get, "b")
            for _ in range(steps):
                await checkpoint()
            callers[leaver].cancel()
            await cache.settle()
            await wait_all_tasks_blocked()

            stayed = [caller.outcome for caller in callers if caller is not callers[leaver]]
            assert (stayed, other.outcome) == (["A", "A"], "B")
            assert callers[leaver].outcome in (CANCELLED, "A")
            assert len(source.calls) == 1
            assert cache.stats.in_flight == 0


async def test_cancelling_all_callers_after_any_step_leaves_a_cache_that_works():
    for steps in range(STEPS):
        source = SlowSource()
        async with BackfillCache(source) as cache:
            async with create_task_group() as tasks:
                for key in "aab":
                    tasks.start_soon(cache.get, key)
                for _ in range(steps):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            await cache.settle()

            assert (source.running, cache.stats.in_flight) == (0, 0)
            assert await cache.get_many("ab") == {"a": "A", "b": "B"}


async def test_callers_who_come_and_go_at_every_step_leave_nothing_behind():
    source = SlowSource()
    async with BackfillCache(source, load=LoadPolicy(concurrency=2, max_batch=2)) as cache:
        async with create_task_group() as tasks:
            for number in range(200):
                caller = Caller(cache.get, "abcdef"[number % 6])
                tasks.start_soon(caller.run)
                await checkpoint()
                if number % 3:
                    caller.cancel()
                if number % 7 == 0:
                    await cache.invalidate("abcdef"[number % 5])
        await cache.settle()

        assert (source.running, cache.stats.in_flight) == (0, 0)
        assert await cache.get_many("abcdef") == ROWS


def test_cancelling_a_task_of_asyncio_after_any_step_breaks_nothing_for_others():
    async def main(steps):
        source = SlowSource()
        async with BackfillCache(source) as cache:
            tasks = [asyncio.create_task(cache.get("a")) for _ in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0)
            tasks[0].cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert ends[1:] == ["A", "A"]
            assert ends[0] == "A" or isinstance(ends[0], asyncio.CancelledError)
            assert source.calls == [("a",)]

    for steps in range(STEPS):
        run(partial(main, steps), "asyncio")
