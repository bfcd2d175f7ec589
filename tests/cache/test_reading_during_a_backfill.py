"""Live reads while a backfill is under way: they share its loads, never its failures, and never its queue."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    Failed,
    LoadError,
    LoadPolicy,
    MappingSource,
    SimulatedSource,
    Status,
)
from async_backfill.testing import GatedSource
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdef"}


@asynccontextmanager
async def gated(**settings):
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        async with BackfillCache(source, scan=MappingSource(ROWS), **settings) as cache:
            yield cache, source, tasks
        tasks.cancel_scope.cancel()


async def begin(tasks, call, *args):
    caller = start(tasks, call, *args)
    await wait_all_tasks_blocked()
    return caller


async def end(cache, source):
    source.open()
    await cache.settle()
    await wait_all_tasks_blocked()


async def test_a_get_joins_the_backfill_that_is_loading_its_key():
    async with gated() as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "a")
        await end(cache, source)

        assert caller.outcome == "A"
        assert source.calls == [tuple("abcdef")]
        assert (cache.stats.led, cache.stats.joined) == (0, 1)
        assert (cache.stats.backfill_keys, cache.stats.miss_keys) == (6, 0)


async def test_a_get_takes_its_key_out_of_a_backfill_that_has_not_begun_to_load():
    async with gated(load=LoadPolicy(concurrency=1)) as (cache, source, tasks):
        await begin(tasks, cache.get, "other")
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "c")
        source.release()
        await wait_all_tasks_blocked()
        assert source.calls[1:] == [("c",)]
        await end(cache, source)

        assert caller.outcome == "C"
        assert source.calls[2:] == [tuple("abdef")]
        assert (cache.stats.backfill_keys, cache.stats.miss_keys) == (5, 1)


async def test_live_misses_go_before_all_batches_of_a_backfill_that_wait():
    load = LoadPolicy(concurrency=1, max_batch=2)
    async with gated(load=load) as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        for key in ("x", "y", "z"):
            await begin(tasks, cache.get, key)
        await end(cache, source)

        assert source.calls == [("a", "b"), ("x", "y"), ("z",), ("c", "d"), ("e", "f")]


async def test_a_failing_backfill_does_not_fail_a_get_that_joined_it():
    async with gated() as (cache, source, tasks):
        backfill = await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "a")
        source.release(ConnectionError("the bulk query is too large"))
        await end(cache, source)

        assert backfill.outcome.status is Status.FAILED
        assert caller.outcome == "A"
        assert source.calls[1:] == [("a",)]
        assert (cache.stats.led, cache.stats.joined, cache.stats.failed) == (1, 0, 0)


async def test_gets_that_joined_a_failing_backfill_share_one_load_of_their_own():
    async with gated() as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        callers = [start(tasks, cache.get, "a") for _ in range(100)]
        await wait_all_tasks_blocked()
        source.release(ConnectionError("the bulk query is too large"))
        await end(cache, source)

        assert [caller.outcome for caller in callers] == ["A"] * 100
        assert source.calls[1:] == [("a",)]


async def test_a_get_many_that_joined_a_failing_backfill_loads_its_keys_itself():
    async with gated() as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get_many, "axb")
        source.release(ConnectionError("the bulk query is too large"))
        await end(cache, source)

        assert list(caller.outcome.items()) == [("a", "A"), ("b", "B")]


async def test_a_get_many_whose_backfill_failed_joins_the_next_one_that_loads_its_key():
    source = GatedSource(ROWS)
    load = LoadPolicy(max_batch=1)
    scan = MappingSource({"b": "B"})
    async with BackfillCache(source, scan=scan, load=load) as cache, create_task_group() as tasks:
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get_many, "ab")
        source.release(ConnectionError("the bulk query is too large"))
        await begin(tasks, cache.force_backfill)
        source.release()
        await wait_all_tasks_blocked()

        assert source.calls == [("b",), ("a",), ("b",)]
        source.release()
        await wait_all_tasks_blocked()
        assert caller.outcome == {"a": "A", "b": "B"}


async def test_a_key_that_failed_alone_in_a_backfill_is_loaded_again_for_who_waits():
    async with gated() as (cache, source, tasks):
        source.rows = {**ROWS, "a": Failed(ConnectionError("down"))}
        await begin(tasks, cache.force_backfill)
        callers = [await begin(tasks, cache.get, key) for key in "ab"]
        source.release()
        await wait_all_tasks_blocked()
        source.rows = ROWS
        await end(cache, source)

        assert [caller.outcome for caller in callers] == ["A", "B"]
        assert source.calls[1:] == [("a",)]


async def test_a_get_fails_only_when_its_own_load_fails_too():
    async with gated() as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "a")
        source.release(ConnectionError("first"))
        await wait_all_tasks_blocked()
        assert caller.outcome is PENDING
        source.release(ConnectionError("second"))
        await wait_all_tasks_blocked()

        assert isinstance(caller.outcome, LoadError)
        assert str(caller.outcome.__cause__) == "second"
        assert cache.stats.failed == 1


async def test_a_backfill_that_takes_too_long_does_not_fail_a_get_that_joined_it():
    async with gated(load=LoadPolicy(timeout=30)) as (cache, source, tasks):
        backfill = await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "a")
        await sleep(31)
        await end(cache, source)

        assert backfill.outcome.status is Status.FAILED
        assert caller.outcome == "A"


async def test_a_key_that_the_backfill_did_not_find_is_absent_for_who_waits():
    async with gated() as (cache, source, tasks):
        source.rows = {}
        await begin(tasks, cache.force_backfill)
        caller = await begin(tasks, cache.get, "a", "absent")
        await end(cache, source)

        assert caller.outcome == "absent"
        assert (len(source.calls), cache.stats.absent) == (1, 1)


async def test_a_backfilled_key_a_live_caller_waits_for_is_stored_though_there_is_no_room():
    async with gated(capacity=6) as (cache, source, tasks):
        await begin(tasks, cache.force_backfill)
        await begin(tasks, cache.get, "f")
        await cache.put_many({number: number for number in range(6)})
        await end(cache, source)

        assert [key for key in ROWS if cache.peek(key)] == ["f"]
        assert cache.stats.size == 6


async def test_a_backfill_does_not_ask_for_what_is_in_flight():
    async with gated() as (cache, source, tasks):
        await begin(tasks, cache.get_many, "bd")
        backfill = await begin(tasks, cache.force_backfill)
        await end(cache, source)

        assert source.calls == [("b", "d"), tuple("acef")]
        assert backfill.outcome.keys == 4


async def test_reads_go_on_while_a_backfill_waits_for_its_scan():
    scan = SimulatedSource(ROWS, latency=3600)
    async with BackfillCache(MappingSource(ROWS), scan=scan) as cache, create_task_group() as tasks:
        backfill = await begin(tasks, cache.force_backfill)
        before = current_time()

        assert await cache.get("a") == "A"
        assert current_time() == before
        assert backfill.outcome is PENDING
        tasks.cancel_scope.cancel()
