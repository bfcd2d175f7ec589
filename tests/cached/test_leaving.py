"""Callers of a cached function who leave while it runs."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill import cached
from tests.callers import start

pytestmark = pytest.mark.anyio


async def test_a_call_of_the_function_ends_when_the_last_caller_leaves():
    ended = []

    @cached
    async def ask(number):
        try:
            await sleep(3600)
        finally:
            ended.append(number)

    async with ask.cache as cache, create_task_group() as tasks:
        callers = [start(tasks, ask, 1) for _ in range(3)]
        await wait_all_tasks_blocked()
        for caller in callers:
            assert ended == []
            caller.cancel()
            await wait_all_tasks_blocked()

        assert ended == [1]
        assert cache.stats.in_flight == 0


async def test_a_cache_that_gives_copies_or_knows_what_is_hot_is_looked_up_whole():
    made = []

    @cached(copy=lambda value: made.append(value) or list(value))
    async def ask(number):
        return [number]

    async with ask.cache as cache:
        first, second = await ask(1), await ask(1)

    assert first == second == [1]
    assert first is not second
    assert (cache.stats.hits, cache.stats.misses, len(made)) == (1, 1, 2)
