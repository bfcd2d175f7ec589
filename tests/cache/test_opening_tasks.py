"""Opened by one task and closed by another, as fixtures and frameworks do, twice, and never."""

from __future__ import annotations

import asyncio
import gc
from functools import partial

import pytest
from anyio import CancelScope, create_task_group, get_current_task, sleep, wait_all_tasks_blocked
from anyio.from_thread import start_blocking_portal

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheClosedError,
    FarTier,
    FreshnessPolicy,
    LoadError,
    MappingSource,
)
from async_backfill.testing import GatedSource, MemoryFarStore
from tests.cache.uses import ROWS, new_cache
from tests.callers import PENDING, run, start

pytestmark = pytest.mark.anyio

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio", "asyncio+uvloop"], indirect=True)


async def in_a_task(function, *args):
    """Call ``function`` in a task of its own, and return what it returns."""
    done = []

    async def call():
        done.append(await function(*args))

    async with create_task_group() as tasks:
        tasks.start_soon(call)
    return done[0]


async def close(cache):
    return await cache.__aexit__(None, None, None)


@on_asyncio
async def test_on_asyncio_one_task_opens_and_another_closes():
    before = asyncio.all_tasks()
    cache = new_cache()
    await in_a_task(cache.__aenter__)

    assert await in_a_task(cache.get, "a") == 1

    await in_a_task(close, cache)
    with pytest.raises(CacheClosedError):
        await cache.get("a")
    assert asyncio.all_tasks() == before


@on_asyncio
async def test_loads_under_way_end_when_another_task_closes():
    source = GatedSource(ROWS)
    cache = new_cache(source)
    await in_a_task(cache.__aenter__)
    async with create_task_group() as tasks:
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        await in_a_task(close, cache)

    assert isinstance(caller.outcome, CacheClosedError)
    assert source.cancelled == [("a",)]


@on_asyncio
async def test_the_end_of_the_task_that_opened_it_or_its_cancellation_ends_nothing():
    cache = new_cache()
    with CancelScope() as scope:
        await cache.__aenter__()
        scope.cancel()
        await sleep(1)

    assert await cache.get("a") == 1
    await in_a_task(close, cache)


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_on_trio_another_task_is_told_that_it_cannot_close():
    async with new_cache() as cache:
        refused = await in_a_task(refusal_of, partial(close, cache))

        assert type(refused) is RuntimeError
        assert "trio" in str(refused)
        assert "async with" in str(refused)
        assert await cache.get("a") == 1


def forget(dropped):
    dropped.clear()
    gc.collect()


async def refusal_of(function):
    with pytest.raises(RuntimeError) as raised:
        await function()
    return raised.value


async def test_closing_a_closed_cache_or_one_that_was_never_opened_does_nothing():
    cache = new_cache()
    await close(cache)
    async with cache:
        pass
    await close(cache)

    async with cache:
        assert await cache.get("a") == 1


@on_asyncio
async def test_who_closes_second_waits_for_the_first():
    class Slow:
        async def write(self, _):
            await sleep(2)

    cache = new_cache(audit_sink=Slow())
    await cache.__aenter__()
    await cache.force_backfill()
    async with create_task_group() as tasks:
        first = start(tasks, close, cache)
        second = start(tasks, close, cache)
        await sleep(1)

        assert (first.outcome, second.outcome) == (PENDING, PENDING)
        with pytest.raises(RuntimeError, match="being closed"):
            await cache.__aenter__()
    assert (first.outcome, second.outcome) == (False, False)


class SlowJournal:
    async def load(self):
        await sleep(2)

    async def save(self, _):
        """Keep nothing."""


@on_asyncio
async def test_closed_while_it_is_being_opened_it_is_not_open():
    before = asyncio.all_tasks()
    cache = new_cache(journal=SlowJournal())
    async with create_task_group() as tasks:
        opened = start(tasks, cache.__aenter__)
        await sleep(1)
        with pytest.raises(CacheClosedError):
            await cache.get("a")
        await close(cache)

    assert isinstance(opened.outcome, CacheClosedError)
    assert "while it was being opened" in str(opened.outcome)
    await wait_all_tasks_blocked()
    assert asyncio.all_tasks() == before
    async with cache:
        assert await cache.get("a") == 1


async def test_two_tasks_cannot_open_one_cache_at_the_same_time():
    cache = new_cache(journal=SlowJournal())

    async def own():
        async with cache:
            await sleep(10)

    async with create_task_group() as tasks:
        tasks.start_soon(own)
        await sleep(1)
        with pytest.raises(RuntimeError, match="already open"):
            await cache.__aenter__()
        await sleep(2)

        assert await cache.get("a") == 1


async def test_who_is_cancelled_while_he_opens_leaves_a_cache_that_can_be_opened():
    cache = new_cache(journal=SlowJournal())
    with CancelScope() as scope:
        scope.deadline = 0
        await cache.__aenter__()

    assert scope.cancelled_caught
    async with cache:
        assert await cache.get("a") == 1


@on_asyncio
async def test_a_cache_that_is_dropped_while_open_ends_its_tasks_and_says_so():
    before = asyncio.all_tasks()
    store = MemoryFarStore()
    far = FarTier(store=store, invalidations=store.invalidations)
    cache = new_cache(far=far, name="prices", freshness=FreshnessPolicy(ttl=60), journal=SlowJournal())
    await cache.__aenter__()
    await cache.get("a")
    dropped, cache = [cache], None
    with pytest.warns(ResourceWarning, match=r"dropped.*'prices'"):
        forget(dropped)
    await sleep(1)

    assert asyncio.all_tasks() == before


@on_asyncio
async def test_who_waits_for_a_value_keeps_a_cache_from_being_dropped():
    source = GatedSource(ROWS)
    cache = new_cache(source)
    await cache.__aenter__()
    async with create_task_group() as tasks:
        callers = [start(tasks, vars(cache)["get"], "a")]
        del cache
        await wait_all_tasks_blocked()
        gc.collect()
        source.open()
        await sleep(1)

    assert callers[0].outcome == 1


@on_asyncio
async def test_when_the_tasks_of_a_cache_are_cancelled_no_use_of_it_hangs():
    source = GatedSource(ROWS)
    before = asyncio.all_tasks()
    cache = new_cache(source)
    await cache.__aenter__()
    async with create_task_group() as tasks:
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        mine = {task for task in asyncio.all_tasks() - before if "Caller.run" not in task.get_name()}
        for task in mine:
            task.cancel()
    with pytest.raises(CacheClosedError, match="open it again"):
        await cache.get("b")

    assert isinstance(caller.outcome, CacheClosedError | LoadError)
    await close(cache)
    source.open()
    async with cache:
        assert await cache.get("b") == 2


@pytest.fixture
async def fixed():
    """A cache that the plugin of anyio opens and closes, on each backend."""
    opener = get_current_task().id
    async with new_cache() as cache:
        yield cache, opener


async def test_a_fixture_of_anyio_opens_and_closes_a_cache(fixed):
    cache, _ = fixed
    assert await cache.get("a") == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_portal_of_anyio_opens_uses_and_closes_a_cache(backend):
    with start_blocking_portal(backend) as portal, portal.wrap_async_context_manager(new_cache()) as cache:
        assert portal.call(cache.get, "a") == 1
        assert cache.peek("a") == 1


def test_a_backfill_and_a_journal_go_on_when_the_opener_has_ended():
    kept = []

    class Journal:
        async def load(self):
            return None

        async def save(self, state):
            kept.append(state)

    async def main():
        history = BackfillPolicy(selection="history")
        cache = BackfillCache(MappingSource(ROWS), journal=Journal(), backfill=history)
        await asyncio.create_task(cache.__aenter__())
        await cache.get_many("ab")
        await asyncio.create_task(close(cache))

    run(main, "asyncio")
    assert kept
