"""When nobody can reach a value any more, the cache holds neither it nor a frame of its load.

The garbage collector is off: what is let go of is gone at once, without a cycle that waits for it.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import trio
from anyio import create_task_group, fail_after, get_cancelled_exc_class, sleep
from anyio.lowlevel import checkpoint

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    each,
)
from async_backfill.testing import ManualClock
from tests.callers import CANCELLED, start

pytestmark = pytest.mark.anyio


class Value:
    pass


class Local:
    """A local variable of a load: it lives as long as a frame of the load."""


class Loads:
    """A source that remembers weakly what it has returned, and a local variable of each of its frames."""

    def __init__(self, turns=0, seconds=0.0, error=None):
        self.turns, self.seconds, self.error = turns, seconds, error
        self.seen = []

    async def load_many(self, keys):
        local = Local()
        self.seen.append(weakref.ref(local))
        with fail_after(1e4):  # leaves a timer behind, with the context of the load
            for _ in range(self.turns):
                await checkpoint()
            if self.seconds:
                await sleep(self.seconds)
        if self.error is not None:
            raise self.error(keys)
        values = {key: Value() for key in keys}
        self.seen.extend(map(weakref.ref, values.values()))
        return values

    @property
    def alive(self):
        return sum(one() is not None for one in self.seen)


@pytest.fixture(autouse=True)
def _without_the_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def turns():
    """What ends in this turn of the event loop, and in the next ones, has ended."""
    for _ in range(5):
        await checkpoint()


def cancelled():
    """What was cancelled is let go of: on trio a cancellation and a frame of trio itself hold each other."""
    if get_cancelled_exc_class() is trio.Cancelled:
        gc.collect()


SOURCES = pytest.mark.parametrize("count", [0, 1, 3])


def each_of(loads):
    async def load(key):
        return (await loads.load_many((key,)))[key]

    return each(load)


KINDS = pytest.mark.parametrize("kind", [lambda loads: loads, each_of], ids=["batch", "each"])


async def _refused(cache):
    with pytest.raises(CacheClosedError):
        await cache.get("a")


async def _get(cache, *keys):
    for key in keys:
        await cache.get(key)


@SOURCES
@KINDS
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("leave", ["clear", "invalidate", "evict", "put"])
async def test_of_what_left_the_cache_it_holds_nothing(count, kind, many, leave):
    loads = Loads(count)
    async with BackfillCache(kind(loads), capacity=3) as cache:
        if many:
            await cache.get_many(range(3))
        else:
            await _get(cache, *range(3))
        await turns()
        assert loads.alive == 3

        if leave == "clear":
            await cache.clear()
        elif leave == "invalidate":
            await cache.invalidate_many(range(3))
        elif leave == "evict":
            for _ in range(3):
                cache.evict_oldest()
        else:
            await cache.put_many(dict.fromkeys(range(3), "other"))
        assert loads.alive == 0


@SOURCES
async def test_of_what_has_expired_and_was_swept_it_holds_nothing(count):
    loads, clock = Loads(count), ManualClock()
    async with BackfillCache(loads, freshness=FreshnessPolicy(ttl=10.0), clock=clock) as cache:
        await cache.get("a")
        clock.advance(11.0)
        await sleep(1000)
        await turns()
        assert loads.alive == 0


@SOURCES
@KINDS
async def test_of_a_load_that_failed_it_holds_nothing_once_its_callers_have_let_go(count, kind):
    loads = Loads(count, error=ValueError)
    async with BackfillCache(kind(loads)) as cache:
        for _ in range(3):
            with pytest.raises(LoadError):
                await cache.get("a")
            with pytest.raises(LoadError):
                await cache.get_many("bc")
        await turns()
        assert loads.alive == 0


@SOURCES
async def test_of_a_load_that_all_callers_left_it_holds_nothing(count):
    loads = Loads(count, seconds=10)
    async with BackfillCache(loads) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in "ab"]
        await sleep(1)
        for caller in callers:
            caller.cancel()
        await sleep(1)
        assert [caller.outcome for caller in callers] == [CANCELLED] * 2
        cancelled()
        assert loads.alive == 0


@SOURCES
async def test_of_a_load_that_took_too_long_it_holds_nothing(count):
    loads = Loads(count, seconds=10)
    async with BackfillCache(loads, load=LoadPolicy(timeout=5)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")
        await turns()
        assert loads.alive == 0


@SOURCES
async def test_of_a_load_that_a_put_overtook_it_holds_nothing(count):
    loads = Loads(count, seconds=10)
    async with BackfillCache(loads) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get, "a")
        await sleep(1)
        await cache.put("a", "put")
        await sleep(10)
        assert isinstance(caller.outcome, Value)
        del caller
        await turns()
        assert loads.alive == 0


@SOURCES
async def test_after_closing_it_holds_nothing_of_the_loads_that_it_ended(count):
    loads = Loads(count, seconds=10)
    async with create_task_group() as tasks:
        async with BackfillCache(loads) as cache:
            tasks.start_soon(_refused, cache)
            await sleep(1)
        await turns()
        cancelled()
        assert cache.stats.size == loads.alive == 0


@SOURCES
async def test_a_closed_cache_that_nobody_has_any_more_is_gone(count):
    loads = Loads(count)
    async with BackfillCache(loads) as cache:
        await cache.get("a")
        await cache.get_many("bc")
    del cache
    await turns()
    gc.collect()  # the parts of a cache refer to each other
    assert loads.alive == 0


async def test_a_task_that_a_load_left_running_does_not_keep_its_values():
    loads = Loads()

    async def load(key):
        tasks.start_soon(sleep, 1e4)
        return (await loads.load_many((key,)))[key]

    async with create_task_group() as tasks, BackfillCache(each(load)) as cache:
        await cache.get("a")
        await cache.clear()
        await turns()
        assert loads.alive == 0
        tasks.cancel_scope.cancel()
