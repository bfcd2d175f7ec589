"""A source that works key by key: a slow key delays no other, and its limits hold over all loads."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    Failed,
    FarTier,
    FreshnessPolicy,
    LoadPolicy,
    LoadTimeoutError,
    cached,
    each,
)
from async_backfill.contracts import CallLimits, LimitedSource, Page
from async_backfill.sources.retrying import RetryingSource
from async_backfill.sources.typed import TypedKey, TypedSource
from tests.callers import CANCELLED, outcomes, start
from tests.far.shared import Leases, Shared

pytestmark = pytest.mark.anyio

SLOW = 1000


class Slow:
    """A function that takes a second for each key, or what ``seconds`` says of it."""

    def __init__(self, seconds=()):
        self.seconds = dict(seconds)
        self.calls = []
        self.running = self.most = self.cancelled = 0

    async def __call__(self, key):
        self.calls.append(key)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await sleep(self.seconds.get(key, 1))
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return key


async def timed(get, key):
    began = current_time()
    await get(key)
    return current_time() - began


async def waits(get, keys):
    return await outcomes(lambda key: timed(get, key), *[(key,) for key in keys])


@pytest.mark.parametrize("wrap", [lambda source: source, lambda source: RetryingSource(source, on=OSError)])
async def test_one_slow_key_delays_none_of_those_that_missed_in_its_turn(wrap):
    source = wrap(each(Slow({0: SLOW})))
    async with BackfillCache(source, load=LoadPolicy(timeout=None)) as cache:
        assert await waits(cache.get, range(100)) == pytest.approx([SLOW, *[1] * 99])


async def test_nor_does_a_slow_call_of_a_cached_function():
    slow = Slow({0: SLOW})

    @cached(load=LoadPolicy(timeout=None))
    async def function(key):
        return await slow(key)

    async with function.cache:
        assert await waits(function, range(100)) == pytest.approx([SLOW, *[1] * 99])


async def test_nor_does_a_slow_typed_key():
    keys = [TypedKey(0), TypedKey(False), TypedKey(1)]
    async with BackfillCache(TypedSource(each(Slow({0: 10})))) as cache:
        assert await waits(cache.get, keys) == pytest.approx([10, 10, 1])


@settings(deadline=None)
@given(
    seconds=st.lists(st.integers(0, 50), min_size=1, max_size=30),
    places=st.integers(1, 5),
    allowed=st.none() | st.integers(1, 5),
    has_far=st.booleans(),
)
async def test_every_key_is_asked_once_and_never_more_at_once_than_allowed(seconds, places, allowed, has_far):
    slow = Slow(enumerate(seconds))
    far = FarTier(store=Shared()) if has_far else None
    load = LoadPolicy(concurrency=allowed, timeout=None)
    async with BackfillCache(each(slow, concurrency=places), load=load, far=far) as cache:
        half = len(seconds) // 2
        async with create_task_group() as tasks:
            start(tasks, cache.get_many, range(half))
            callers = [start(tasks, cache.get, key) for key in range(half, len(seconds))]

        assert [caller.outcome for caller in callers] == list(range(half, len(seconds)))
        assert sorted(slow.calls) == list(range(len(seconds)))
        assert slow.most <= min(places, allowed or places)


async def test_a_key_that_hangs_has_a_timeout_of_its_own():
    async with BackfillCache(each(Slow({0: SLOW})), load=LoadPolicy(timeout=5)) as cache:
        ended = await outcomes(cache.get, *[(key,) for key in range(10)])

    assert isinstance(ended[0], LoadTimeoutError)
    assert ended[1:] == list(range(1, 10))


async def test_behind_calls_that_hang_nobody_waits_for_one_timeout_after_another():
    slow = Slow(dict.fromkeys(range(20), SLOW))
    async with BackfillCache(each(slow, concurrency=2), load=LoadPolicy(timeout=5)) as cache:
        began = current_time()
        ended = await outcomes(cache.get, *[(key,) for key in range(20)])

        assert all(isinstance(error, LoadTimeoutError) for error in ended)
        assert sum("none of 2 calls ended within the timeout of 5.0 s" in str(error) for error in ended) == 18
        assert current_time() - began <= 2 * 5
        assert await cache.get(99) == 99


async def test_who_comes_after_one_who_left_the_queue_waits_as_long_as_others():
    async with BackfillCache(
        each(Slow({0: SLOW, 1: SLOW}), concurrency=1), load=LoadPolicy(timeout=5)
    ) as cache:
        async with create_task_group() as tasks:
            for key in (0, 1, 2):  # the second has the place from 5 to 10 s
                caller = start(tasks, cache.get, key)
                await sleep(0.5)
            caller.cancel()
            await sleep(7.0)
            late = [start(tasks, cache.get, key) for key in (3, 4)]

        assert [caller.outcome for caller in late] == [3, 4]


async def test_the_last_caller_of_a_key_who_leaves_cancels_the_call_of_that_key_alone():
    slow = Slow(dict.fromkeys(range(3), 5))
    async with BackfillCache(each(slow)) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in range(3)]
        await wait_all_tasks_blocked()
        callers[1].cancel()
        await sleep(6)

    assert [caller.outcome for caller in callers] == [0, CANCELLED, 2]
    assert slow.cancelled == 1


async def test_a_put_during_the_load_of_its_key_wins_and_the_others_are_kept():
    async with BackfillCache(each(Slow())) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get_many, range(3))
        await wait_all_tasks_blocked()
        await cache.put(1, "put")
        await cache.invalidate(2)
        await sleep(2)

        assert caller.outcome == {0: 0, 1: 1, 2: 2}
        assert [cache.peek(key) for key in range(3)] == [0, "put", None]


async def test_loads_inside_loads_do_not_starve_at_a_single_place():
    async def load(key):
        return key if key == 0 else await cache.get(key - 1) + 1

    async with BackfillCache(each(load, concurrency=1)) as cache:
        assert await outcomes(cache.get, *[(key,) for key in range(10)]) == list(range(10))


class Keys:
    async def scan(self, cursor, _):
        return Page(tuple(range(100)) if cursor is None else (), None)


@pytest.mark.parametrize("has_far", [False, True])
async def test_a_backfill_leaves_half_of_the_places_to_live_misses(has_far):
    slow = Slow()
    far = FarTier(store=Shared()) if has_far else None
    cache = BackfillCache(each(slow, concurrency=4), scan=Keys(), backfill_batch=100, far=far)
    async with cache, create_task_group() as tasks:
        backfill = start(tasks, cache.force_backfill)
        await sleep(0.5)
        assert slow.running == 2
        assert await waits(cache.get, ["live", "also"]) == pytest.approx([1, 1])
        assert await timed(cache.get, 99) <= 2  # it waits in the backfill, and is taken out of it
        await cache.settle()
        await wait_all_tasks_blocked()

        assert backfill.outcome.error is None
        assert cache.stats.size == len(slow.calls) == 102


async def test_refreshes_leave_half_of_the_places_to_live_misses():
    slow = Slow()
    cache = BackfillCache(
        each(slow, concurrency=4),
        freshness=FreshnessPolicy(ttl=10.0, stale_for=1000.0),
        clock=current_time,
    )
    async with cache:
        await cache.get_many(range(20))
        await sleep(20)
        assert await waits(cache.get, range(20)) == pytest.approx([0] * 20)
        assert await timed(cache.get, "live") == pytest.approx(1)
        await cache.settle()


async def test_the_far_tier_is_asked_for_all_keys_at_once_and_a_slow_one_delays_none():
    shared = Shared()
    shared.entries = {1: ("far", 0.0, 1e9)}
    slow = Slow({0: SLOW})
    load = LoadPolicy(timeout=None)
    async with BackfillCache(each(slow), far=FarTier(store=shared), load=load) as cache:
        assert await waits(cache.get, range(100)) == pytest.approx([SLOW, 0, *[1] * 98])
        await cache.settle()

    assert [sorted(keys) for keys in shared.calls_of("get")] == [[*range(100)]]
    assert all(shared.value(key) == key for key in range(100) if key != 1)


async def test_each_key_ends_its_own_lease_when_it_lands():
    shared, shared.lease_seconds = Shared(), 1e6
    far = FarTier(store=shared, leases=Leases(shared))
    load = LoadPolicy(timeout=None)

    async def fail(key):
        await Slow({0: SLOW})(key)
        return Failed(OSError()) if key == 1 else key

    async with BackfillCache(each(fail), far=far, load=load) as cache, create_task_group() as tasks:
        start(tasks, cache.get_many, range(5))
        await sleep(2)
        assert list(shared.leases) == [0]
        await sleep(SLOW)
        await cache.settle()

    assert shared.leases == {}


async def test_stale_copies_of_the_far_tier_answer_for_the_keys_that_fail():
    shared = Shared()
    shared.entries = {key: ("old", current_time() - 20.0, 1e9) for key in range(4)}

    async def load(key):
        if key % 2:
            raise OSError
        return "new"

    freshness = FreshnessPolicy(ttl=10.0, stale_for=1000.0)
    far = FarTier(store=shared)
    async with BackfillCache(each(load), far=far, freshness=freshness, clock=current_time) as cache:
        assert await cache.get_many(range(4)) == {0: "new", 1: "old", 2: "new", 3: "old"}


async def test_successors_are_loaded_too_and_delay_nobody():
    slow = Slow({"b": 500})
    policy = BackfillPolicy(successors=1)
    async with BackfillCache(
        each(slow), backfill=policy, capacity=10, load=LoadPolicy(timeout=None)
    ) as cache:
        for key in ("a", "b"):
            await cache.get(key)
        await cache.clear()

        assert await timed(cache.get, "a") == pytest.approx(1)
        await cache.settle()
        assert slow.calls == ["a", "b", "a", "b"]
        assert await timed(cache.get, "b") == 0


async def test_a_source_of_ones_own_can_say_how_it_wants_to_be_called():
    class Pairs(LimitedSource):
        call_limits = CallLimits(max_batch=2, concurrency=3)
        calls, running = [], 0

        async def load_many(self, keys):
            self.calls.append((len(keys), self.running))
            self.running += 1
            await sleep(1)
            self.running -= 1
            return dict.fromkeys(keys, "value")

    async with BackfillCache(Pairs(), load=LoadPolicy(concurrency=50)) as cache:
        assert len(await cache.get_many(range(20))) == 20

    assert {size for size, _ in Pairs.calls} == {2}
    assert max(running for _, running in Pairs.calls) == 2
