"""Waiting for what goes on in the background: inline backfills, and settle."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    LoadPolicy,
    MappingSource,
    SimulatedSource,
    Status,
)
from tests.callers import PENDING, outcomes, start

pytestmark = pytest.mark.anyio


ROWS = {key: key.upper() for key in "abcdef"}


async def test_by_default_the_miss_that_starts_a_backfill_does_not_wait_for_it():
    source = SimulatedSource(ROWS, latency=1.0, key_latency=10.0)
    policy = BackfillPolicy(min_lookups=1)
    async with BackfillCache(source, scan=MappingSource(ROWS), backfill=policy) as cache:
        before = current_time()
        await cache.get("a")

        assert current_time() == pytest.approx(before + 11)
        assert cache.stats.backfills == 1


async def test_an_inline_backfill_is_waited_for_and_serves_the_miss_that_started_it():
    source = SimulatedSource(ROWS, latency=1.0)
    policy = BackfillPolicy(min_lookups=1, inline=True)
    async with BackfillCache(source, scan=MappingSource(ROWS), backfill=policy) as cache:
        assert await cache.get("a") == "A"
        assert source.calls == 1
        assert (cache.stats.backfill_keys, cache.stats.joined, cache.stats.size) == (6, 1, 6)


async def test_inline_backfills_do_not_block_loads_that_ask_the_cache_for_more():
    class Source:
        async def load_many(self, keys):
            return {key: [key, await cache.get(key - 1)] if key else [key] for key in keys}

    policy = BackfillPolicy(min_lookups=1, inline=True)
    scan = MappingSource(dict.fromkeys((4, 3, 2, 1, 0)))
    cache = BackfillCache(
        Source(), scan=scan, backfill=policy, load=LoadPolicy(timeout=None, max_batch=1, concurrency=1)
    )
    async with cache:
        assert await outcomes(cache.get, (4,), (2,)) == [
            [4, [3, [2, [1, [0]]]]],
            [2, [1, [0]]],
        ]


async def test_settle_waits_for_loads_and_backfills():
    source = SimulatedSource(ROWS, latency=10)
    async with BackfillCache(source, scan=source) as cache, create_task_group() as tasks:
        live, backfill = start(tasks, cache.get, "x"), start(tasks, cache.force_backfill)
        await sleep(1)
        await cache.settle()

        assert cache.stats.in_flight == 0
        assert cache.stats.size == 6
        await wait_all_tasks_blocked()
        assert (live.outcome, backfill.outcome.status) == (None, Status.COMPLETED)


async def test_settle_waits_for_a_backfill_that_begins_while_it_waits():
    policy = BackfillPolicy(min_lookups=2)
    source = SimulatedSource(ROWS, latency=10)
    async with BackfillCache(source, scan=source, backfill=policy) as cache, create_task_group() as tasks:
        start(tasks, cache.get, "x")
        await sleep(1)
        settled = start(tasks, cache.settle)
        await sleep(1)
        start(tasks, cache.get, "y")
        await sleep(15)
        assert settled.outcome is PENDING
        await sleep(15)

        assert settled.outcome is None
        assert cache.stats.size == 6


async def test_settle_waits_for_a_load_that_begins_while_it_waits_for_a_backfill():
    source = SimulatedSource(ROWS, latency=10)
    async with BackfillCache(source, scan=source) as cache, create_task_group() as tasks:
        start(tasks, cache.force_backfill)
        await sleep(1)
        settled = start(tasks, cache.settle)
        await sleep(15)
        start(tasks, cache.get, "x")
        await sleep(6)
        assert (cache.stats.backfill_keys, settled.outcome) == (6, PENDING)
        await sleep(6)

        assert settled.outcome is None


async def test_settle_returns_at_once_when_nothing_is_under_way():
    async with BackfillCache(MappingSource(ROWS), scan=MappingSource(ROWS)) as cache:
        await cache.get("a")
        before = current_time()
        await cache.settle()

        assert current_time() == before
