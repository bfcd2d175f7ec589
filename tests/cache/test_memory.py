"""Bounded memory, in every eviction order: never above the capacity, and nothing is left of what left."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import anyio
import pytest
import trio
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource
from async_backfill._loading.batch import Batch
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import GatedSource
from tests.callers import start

every_order = pytest.mark.parametrize("eviction", EVICTIONS)


class Key(int):
    """A key that the garbage collector knows of, so that those still held can be counted."""


class Echo:
    async def load_many(self, keys):
        return dict.fromkeys(keys, True)


def kinds():
    gc.collect()
    return Counter(type(thing) for thing in gc.get_objects() if not is_deadline_of_trio(thing))


def is_deadline_of_trio(thing):
    """Whether ``thing`` is a deadline that was met in time: trio lets a thousand of them go at once."""
    return type(thing) is tuple and len(thing) == 3 and isinstance(thing[2], trio.CancelScope)


@pytest.mark.anyio
@every_order
async def test_after_two_hundred_thousand_keys_nothing_is_left_of_those_that_left(eviction, request):
    # An order knows nothing of the loop: on the others a quarter of the keys, in as many calls.
    is_asyncio = request.node.callspec.params["anyio_backend"] == "asyncio"
    step = 500 if is_asyncio else 125
    before = kinds()  # the error of another test may keep a batch
    async with BackfillCache(Echo(), capacity=1000, eviction=eviction) as cache:
        counts = []
        for number in range(0, 400 * step, step):
            await cache.get_many(Key(each) for each in range(number, number + step))
            if number in (200 * step, 399 * step):
                await cache.settle()
                counts.append(kinds())
        halfway, end = counts
        if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
            # trio keeps up to 1,000 deadlines that are over behind one that is not.
            del halfway[tuple], end[tuple]

        assert (cache.stats.size, cache.stats.in_flight, cache.stats.evictions) == (
            1000,
            0,
            400 * step - 1000,
        )
        # S3-FIFO remembers nine tenths as many that left.
        assert 1000 <= end[Key] <= 2000
        assert end[Key] == halfway[Key]
        assert end[Batch] - before[Batch] <= 1  # the one that was filled last
        # asyncio lets a hundred cancelled timers go at once, each with a context; there are 200 calls.
        assert {kind: end[kind] - halfway[kind] for kind in end if end[kind] > halfway[kind] + 120} == {}
        assert end.total() < halfway.total() + 600
        still_there = [asyncio.Future, asyncio.Task, asyncio.Lock, asyncio.Event, anyio.Event]
        assert [end[kind] - halfway[kind] for kind in still_there] == [0] * 5


@pytest.mark.anyio
@every_order
async def test_single_keys_leave_no_task_behind(eviction):
    async with BackfillCache(Echo(), capacity=10, eviction=eviction) as cache:
        before = None
        for number in range(2000):
            await cache.get(number)
            if number == 1000:
                before = kinds()
        assert abs(kinds().total() - before.total()) < 100


@every_order
@settings(deadline=None, max_examples=25)
@given(
    capacity=st.integers(1, 5),
    calls=st.lists(
        st.tuples(st.sampled_from(["get", "put", "invalidate", "force"]), st.integers(0, 12)), max_size=30
    ),
    evicts=st.booleans(),
)
def test_nobody_ever_makes_it_hold_more_than_its_capacity(eviction, capacity, calls, evicts):
    rows = {number: number for number in range(10)}
    seen = []

    class Watching(MappingSource):
        async def load_many(self, keys):
            seen.append(cache.stats.size)
            await checkpoint()
            seen.append(cache.stats.size)
            return await super().load_many(keys)

    source = Watching(rows)
    cache = BackfillCache(
        source,
        scan=source,
        capacity=capacity,
        eviction=eviction,
        backfill_batch=4,
        backfill=BackfillPolicy(evicts=evicts),
        load=LoadPolicy(max_batch=3),
        observers=[lambda _: seen.append(cache.stats.size)],
    )

    async def call(name, key):
        match name:
            case "get":
                assert await cache.get(key) in (rows.get(key), "put")
            case "put":
                await cache.put(key, "put")
            case "invalidate":
                await cache.invalidate(key)
            case "force":
                await cache.force_backfill()
        seen.append(cache.stats.size)

    async def main():
        async with cache:
            async with create_task_group() as tasks:
                for name, key in calls:
                    tasks.start_soon(call, name, key)
            await cache.settle()
            return cache.stats

    stats = anyio.run(main)
    assert max(seen, default=0) <= capacity
    assert (stats.in_flight, stats.size <= capacity) == (0, True)


@pytest.mark.anyio
@every_order
async def test_eviction_never_breaks_a_load_under_way(eviction):
    source = GatedSource({"a": 1})
    async with (
        BackfillCache(source, capacity=1, eviction=eviction) as cache,
        create_task_group() as tasks,
    ):
        first = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        for number in range(50):
            await cache.put(number, number)
        cache.evict_oldest()
        second = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        assert (source.calls, cache.stats.in_flight) == ([("a",)], 1)
        source.open()
        await wait_all_tasks_blocked()

        assert (first.outcome, second.outcome) == (1, 1)
        assert (cache.stats.led, cache.stats.joined, cache.stats.in_flight) == (1, 1, 0)


@pytest.mark.anyio
@every_order
async def test_callers_of_a_batch_that_does_not_fit_are_all_served(eviction):
    rows = {number: f"row {number}" for number in range(50)}
    async with BackfillCache(MappingSource(rows), capacity=1, eviction=eviction) as cache:
        assert await cache.get_many(rows) == rows
        assert (cache.stats.size, cache.stats.source_calls) == (1, 1)
