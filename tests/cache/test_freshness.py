"""Values that expire: fresh for their ttl, then loaded again, once however many ask."""

from __future__ import annotations

import itertools

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    FreshnessPolicy,
    MappingSource,
    SimulatedSource,
    each,
)
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio


def expiring(rows, **policy):
    clock = ManualClock()
    source = SimulatedSource(rows)
    cache = BackfillCache(source, clock=clock, freshness=FreshnessPolicy(**{"ttl": 10.0, **policy}))
    return cache, source, clock


async def test_a_value_is_fresh_for_its_ttl_and_not_a_moment_longer():
    cache, source, clock = expiring({"a": 1})
    async with cache:
        await cache.get("a")
        clock.advance(9.999)
        assert (await cache.get("a"), cache.peek("a"), source.calls) == (1, 1, 1)
        clock.advance(0.001)
        assert cache.peek("a") is None
        assert (await cache.get("a"), source.calls) == (1, 2)
        assert (cache.stats.hits, cache.stats.misses) == (1, 2)


async def test_a_put_is_fresh_for_the_ttl_as_well():
    cache, source, clock = expiring({"a": 1})
    async with cache:
        await cache.put("a", 2)
        clock.advance(9.0)
        assert (await cache.get("a"), source.calls) == (2, 0)
        clock.advance(1.0)
        assert (await cache.get("a"), source.calls) == (1, 1)


async def test_an_expiry_under_five_hundred_gets_makes_one_reload():
    cache, source, clock = expiring({"a": 1})
    async with cache:
        await cache.get("a")
        clock.advance(10.0)
        assert await outcomes(cache.get, *[("a",)] * 500) == [1] * 500
        assert source.calls == 2


async def test_with_jitter_values_loaded_together_expire_apart_and_never_late():
    clock = ManualClock()
    rows = {number: number for number in range(200)}
    freshness = FreshnessPolicy(ttl=10.0, jitter=0.5, seed=1)
    async with BackfillCache(MappingSource(rows), clock=clock, freshness=freshness) as cache:
        await cache.get_many(rows)
        left = []
        for _ in range(11):
            left.append(sum(cache.peek(key) is not None for key in rows))
            clock.advance(1.0)

    assert left[:6] == [200] * 6
    assert left[10] == 0
    assert all(later < earlier for earlier, later in itertools.pairwise(left[5:]))


ROWS = MappingSource({key: key for key in range(500)})


async def left_over(put, *, source=ROWS, **settings):
    """Return how many of what ``put`` puts are fresh after 94, 96, 98 and 100 % of a ttl of 100 s."""
    clock = ManualClock()
    async with BackfillCache(source, scan=ROWS, clock=clock, **settings) as cache:
        await put(cache)
        left = []
        for seconds in (94.0, 2.0, 2.0, 2.0):
            clock.advance(seconds)
            left.append(sum(key in cache for key in range(500)))
    return left


USUAL = FreshnessPolicy(ttl=100.0)
MANY = {
    "put_many": lambda cache: cache.put_many(dict.fromkeys(range(500))),
    "put_many with a ttl": lambda cache: cache.put_many(dict.fromkeys(range(500)), ttl=100.0),
    "get_many": lambda cache: cache.get_many(range(500)),
    "backfill": lambda cache: cache.force_backfill(),
}


@pytest.mark.parametrize("come", MANY)
async def test_what_comes_together_expires_apart_and_never_late_without_a_jitter_set(come):
    left = await left_over(MANY[come], freshness=USUAL, backfill_batch=500)
    assert 500 == left[0] > left[1] > left[2] > left[3] == 0


@pytest.mark.parametrize("capacity", [None, 500])
@pytest.mark.parametrize("evicts", [True, False])
async def test_a_backfill_of_one_key_a_call_expires_apart_as_well(capacity, evicts):
    async def load(key):
        return key

    backfill = BackfillPolicy(evicts=evicts)
    settings = {"source": each(load), "backfill": backfill, "backfill_batch": 500, "capacity": capacity}
    left = await left_over(MANY["backfill"], freshness=USUAL, **settings)
    assert 500 == left[0] > left[1] > left[2] > left[3] == 0


@pytest.mark.parametrize("come", MANY)
async def test_with_a_jitter_of_nothing_all_are_fresh_for_the_whole_ttl(come):
    freshness = FreshnessPolicy(ttl=100.0, jitter=0.0)
    assert await left_over(MANY[come], freshness=freshness, backfill_batch=500) == [500, 500, 500, 0]


async def test_what_comes_alone_or_has_a_ttl_of_its_own_is_fresh_for_the_whole_ttl():
    async def put_and_get(cache):
        for key in range(250):
            await cache.put(key, key)
        for key in range(250, 500):
            await cache.get(key)

    assert await left_over(put_and_get, freshness=USUAL, max_backfills=0) == [500, 500, 500, 0]
    of_each = FreshnessPolicy(ttl_of=lambda *_: 100.0)
    assert await left_over(MANY["put_many"], freshness=of_each) == [500, 500, 500, 0]


async def test_the_same_seed_draws_the_same_jitter():
    async def fresh_after(seed):
        cache, _, clock = expiring({number: number for number in range(50)}, jitter=1.0, seed=seed)
        async with cache:
            await cache.get_many(range(50))
            clock.advance(5.0)
            return [cache.peek(key) is not None for key in range(50)]

    assert await fresh_after(7) == await fresh_after(7)
    assert await fresh_after(7) != await fresh_after(8)


async def test_a_jump_of_the_wall_clock_changes_nothing():
    clock, wall = ManualClock(), [1e9]
    freshness = FreshnessPolicy(ttl=10.0)
    cache = BackfillCache(
        MappingSource({"a": 1}), clock=clock, wall_clock=lambda: wall[0], freshness=freshness
    )
    async with cache:
        await cache.get("a")
        for jump in (86_400.0, -172_800.0):
            wall[0] += jump
            assert cache.peek("a") == 1
        assert cache.stats.misses == 1


async def test_what_has_expired_leaves_the_cache_although_it_has_no_capacity():
    clock = ManualClock()
    rows = {number: number for number in range(5_000)}
    async with BackfillCache(MappingSource(rows), clock=clock, freshness=FreshnessPolicy(ttl=1.0)) as cache:
        for number in rows:
            await cache.get(number)
            clock.advance(0.1)
            assert cache.stats.size <= 11


async def test_an_expired_key_makes_room_for_a_backfill():
    clock = ManualClock()
    rows = MappingSource({"a": 1, "b": 2})
    freshness = FreshnessPolicy(ttl=10.0)
    async with BackfillCache(rows, scan=rows, capacity=2, clock=clock, freshness=freshness) as cache:
        await cache.put_many({"x": 0, "y": 0})
        assert (await cache.force_backfill()).status == "skipped"
        clock.advance(10.0)
        assert (await cache.force_backfill()).loaded == 2
        assert (cache.peek("a"), cache.peek("b"), cache.stats.evictions) == (1, 2, 0)


async def test_a_write_during_the_reload_of_an_expired_key_wins():
    clock = ManualClock()
    source = GatedSource({"a": 1})
    async with (
        BackfillCache(source, clock=clock, freshness=FreshnessPolicy(ttl=10.0)) as cache,
        create_task_group() as tasks,
    ):
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        await cache.put("a", 2)
        source.release()
        await wait_all_tasks_blocked()

        assert caller.outcome == 1
        assert await cache.get("a") == 2


async def test_the_ttl_counts_from_the_begin_of_the_load():
    clock, source = ManualClock(), GatedSource({"a": 1})
    cache = BackfillCache(source, clock=clock, freshness=FreshnessPolicy(ttl=10.0, absent_ttl=10.0))
    async with cache, create_task_group() as tasks:
        found = start(tasks, cache.get_many, ["a", "absent"])
        await wait_all_tasks_blocked()
        clock.advance(4.0)
        source.release()
        await wait_all_tasks_blocked()
        clock.advance(5.9)
        assert (found.outcome, cache.peek("a")) == ({"a": 1}, 1)
        assert await cache.get("absent") is None
        clock.advance(0.1)
        assert cache.peek("a") is None
        again = start(tasks, cache.get_many, ["a", "absent"])
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()
        assert again.outcome == {"a": 1}
        assert [set(call) for call in source.calls] == [{"a", "absent"}] * 2


async def test_a_load_that_takes_longer_than_the_ttl_answers_those_who_wait_only():
    clock, source = ManualClock(), GatedSource({"a": 1})
    async with (
        BackfillCache(source, clock=clock, freshness=FreshnessPolicy(ttl=10.0)) as cache,
        create_task_group() as tasks,
    ):
        answers = [start(tasks, cache.get, "a") for _ in range(2)]
        await wait_all_tasks_blocked()
        clock.advance(11.0)
        source.release()
        await wait_all_tasks_blocked()

        assert ([answer.outcome for answer in answers], cache.peek("a")) == ([1, 1], None)
