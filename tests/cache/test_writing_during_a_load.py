"""Writing while a load is under way: the write wins, and no older load touches what is newer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import permutations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, LoadError, LoadPolicy, MappingSource, Status
from async_backfill.testing import GatedSource
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio


async def put(cache):
    await cache.put("a", "put")


async def put_many(cache):
    await cache.put_many({"a": "put"})


async def invalidate(cache):
    await cache.invalidate("a")


async def clear(cache):
    await cache.clear()


async def put_and_invalidate(cache):
    await cache.put("a", "put")
    await cache.invalidate("a")


async def put_and_evict(cache):
    await cache.put("a", "put")
    cache.evict_oldest()


PUTS = [put, put_many]
REMOVALS = [invalidate, clear, put_and_invalidate, put_and_evict]
WRITES = [*PUTS, *REMOVALS]
FAILURES = [None, ConnectionError("the older load failed")]

reader = pytest.mark.parametrize("read", ["get", "force_backfill"])
write = pytest.mark.parametrize("write", WRITES)
failure = pytest.mark.parametrize("failure", FAILURES, ids=["good", "bad"])


class Rig:
    """A cache, its gated source, and reads that wait in a load of the key ``a``."""

    def __init__(self, tasks, source, cache):
        self.source = source
        self.cache = cache
        self._tasks = tasks

    async def begin(self, read):
        call = (self.cache.get, "a") if read == "get" else (self.cache.force_backfill,)
        caller = start(self._tasks, *call)
        await wait_all_tasks_blocked()
        return caller

    async def end_oldest(self, error=None):
        self.source.release(error)
        await wait_all_tasks_blocked()


@asynccontextmanager
async def gated():
    rows = {"a": "old"}
    source = GatedSource(rows)
    async with create_task_group() as tasks, BackfillCache(source, scan=MappingSource(rows)) as cache:
        yield Rig(tasks, source, cache)
        tasks.cancel_scope.cancel()


@reader
@pytest.mark.parametrize("write", PUTS)
@failure
async def test_a_put_wins_over_the_load_under_way_however_that_ends(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.end_oldest(failure)

        assert rig.cache.peek("a") == "put"


@reader
@pytest.mark.parametrize("write", REMOVALS)
async def test_a_load_is_not_stored_when_its_key_was_removed_since(read, write):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.end_oldest()

        assert rig.cache.peek("a") is None
        assert rig.cache.stats.size == 0


@write
async def test_who_waited_before_the_write_is_served_by_the_load_it_waited_for(write):
    async with gated() as rig:
        caller = await rig.begin("get")
        await write(rig.cache)
        await wait_all_tasks_blocked()
        assert caller.outcome is PENDING
        await rig.end_oldest()

        assert caller.outcome == "old"


@reader
@pytest.mark.parametrize("write", REMOVALS)
async def test_a_get_begun_after_a_removal_never_joins_the_older_load(read, write):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        later = await rig.begin("get")
        await rig.end_oldest()
        assert later.outcome is PENDING
        rig.source.rows = {"a": "new"}
        await rig.end_oldest()

        assert later.outcome == "new"
        assert rig.cache.peek("a") == "new"
        assert rig.source.calls == [("a",), ("a",)]


@reader
@pytest.mark.parametrize("write", REMOVALS)
@failure
async def test_the_end_of_an_older_load_does_not_touch_a_newer_value(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.cache.put("a", "newer")
        await rig.end_oldest(failure)

        assert rig.cache.peek("a") == "newer"


@reader
@pytest.mark.parametrize("write", REMOVALS)
@failure
async def test_the_end_of_an_older_load_does_not_touch_a_newer_load(read, write, failure):
    async with gated() as rig:
        await rig.begin(read)
        await write(rig.cache)
        await rig.begin("get")
        await rig.end_oldest(failure)
        await rig.begin("get")

        assert len(rig.source.calls) == 2
        assert rig.cache.stats.in_flight == 1


@pytest.mark.parametrize("write", REMOVALS)
async def test_an_older_load_that_ends_last_is_not_stored_over_the_newer_one(write):
    async with gated() as rig:
        older = await rig.begin("get")
        await write(rig.cache)
        newer = await rig.begin("get")
        rig.source._waiting.reverse()
        rig.source.rows = {"a": "new"}
        await rig.end_oldest()
        rig.source.rows = {"a": "old"}
        await rig.end_oldest()

        assert (older.outcome, newer.outcome) == ("old", "new")
        assert rig.cache.peek("a") == "new"


@pytest.mark.parametrize("write", REMOVALS)
async def test_cancelling_who_waits_for_the_older_load_does_not_touch_the_newer_one(write):
    async with gated() as rig:
        older = await rig.begin("get")
        await write(rig.cache)
        newer = await rig.begin("get")
        older.cancel()
        await wait_all_tasks_blocked()
        await rig.end_oldest()

        assert newer.outcome == "old"
        assert rig.cache.peek("a") == "old"
        assert rig.source.cancelled == [("a",)]


async def test_a_failed_older_load_fails_those_who_waited_for_it_and_nobody_else():
    async with gated() as rig:
        older = await rig.begin("get")
        await invalidate(rig.cache)
        newer = await rig.begin("get")
        await rig.end_oldest(ConnectionError("down"))
        await rig.end_oldest()

        assert isinstance(older.outcome, LoadError)
        assert newer.outcome == "old"


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


async def test_a_get_after_an_invalidate_reads_what_the_source_holds_then_also_from_a_queue():
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


@pytest.mark.parametrize("writes", list(permutations([put, invalidate, clear])))
async def test_of_several_writes_during_one_load_the_last_one_counts(writes):
    async with gated() as rig:
        await rig.begin("get")
        for one in writes:
            await one(rig.cache)
        await rig.end_oldest()

        assert rig.cache.peek("a") == ("put" if writes[-1] is put else None)
