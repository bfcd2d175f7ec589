"""Writing while loads wait, or while there is more under way than the key that is written."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, LoadPolicy, MappingSource, Status
from async_backfill.testing import GatedSource
from tests.cache.writes import PUTS, clear, gated, invalidate, reader, write
from tests.callers import start

pytestmark = pytest.mark.anyio


async def test_a_write_of_one_key_leaves_the_other_keys_of_the_same_call_alone():
    source = GatedSource({"a": "A", "b": "B"})
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get_many, "ab")
        await wait_all_tasks_blocked()
        await invalidate(cache)
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert caller.outcome == {"a": "A", "b": "B"}
        assert (cache.peek("a"), cache.peek("b")) == (None, "B")


@write
async def test_a_write_while_the_load_waits_for_a_place_wins_as_well(write):
    source = GatedSource({"a": "old"})
    load = LoadPolicy(concurrency=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        start(tasks, cache.get, "other")
        await wait_all_tasks_blocked()
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        await write(cache)
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert caller.outcome == "old"
        assert cache.peek("a") == ("put" if write in PUTS else None)


async def test_a_get_after_an_invalidate_reads_what_the_source_holds_also_from_a_queue():
    source = GatedSource({"a": "old"})
    load = LoadPolicy(concurrency=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        start(tasks, cache.get, "other")
        await wait_all_tasks_blocked()
        before = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.rows = {"a": "new"}
        await cache.invalidate("a")
        after = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert (before.outcome, after.outcome, cache.peek("a")) == ("new", "new", "new")


@write
async def test_a_backfill_goes_on_when_one_of_its_keys_is_written(write):
    rows = {"a": "old", "b": "B", "c": "C"}
    source = GatedSource(rows)
    async with BackfillCache(source, scan=MappingSource(rows)) as cache, create_task_group() as tasks:
        backfill = start(tasks, cache.force_backfill)
        await wait_all_tasks_blocked()
        await write(cache)
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert backfill.outcome.status is Status.COMPLETED
        assert cache.peek("a") == ("put" if write in PUTS else None)
        assert cache.peek("b") == (None if write is clear else "B")


async def test_evict_oldest_during_a_load_takes_what_is_cached_and_leaves_the_load():
    async with gated() as rig:
        await rig.cache.put_many({"x": 1, "y": 2})
        caller = await rig.begin("get")

        assert rig.cache.evict_oldest() == "x"
        await rig.end_oldest()
        assert caller.outcome == "old"
        assert (rig.cache.peek("a"), rig.cache.peek("y")) == ("old", 2)


@reader
async def test_a_load_into_a_cache_that_filled_up_since_stays_within_the_capacity(read):
    rows = dict.fromkeys(range(10), "row")
    source = GatedSource(rows)
    cache = BackfillCache(source, scan=MappingSource(rows), capacity=5)
    async with cache, create_task_group() as tasks:
        call = (cache.get_many, range(5)) if read == "get" else (cache.force_backfill,)
        start(tasks, *call)
        await wait_all_tasks_blocked()
        await cache.put_many({f"put {number}": "put" for number in range(3)})
        source.open()
        await cache.settle()

        assert cache.stats.size == 5
        still_put = sum(cache.peek(f"put {number}") == "put" for number in range(3))
        assert still_put == (3 if read == "force_backfill" else 0)
