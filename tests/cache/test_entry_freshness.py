"""How fresh the value of one key is, without loading, counting or using it."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, CacheClosedError, FarTier, FreshnessPolicy, MappingSource
from async_backfill.stats import EntryFreshness
from async_backfill.testing import ManualClock, MemoryFarStore

pytestmark = pytest.mark.anyio

ROWS = dict(zip("abcdef", range(6), strict=True))


def expiring(capacity=None, rows=ROWS, **policy):
    clock = ManualClock()
    freshness = FreshnessPolicy(**policy)
    return BackfillCache(MappingSource(rows), capacity=capacity, clock=clock, freshness=freshness), clock


async def test_it_tells_the_age_and_what_is_left_of_the_ttl():
    cache, clock = expiring(ttl=10.0, stale_for=30.0)
    async with cache:
        await cache.get("a")
        clock.advance(4.0)
        fresh = cache.freshness_of("a")
        clock.advance(8.0)
        stale = cache.freshness_of("a")
        clock.advance(28.0)

        windows = {"stale_while_revalidate": 30.0, "stale_if_error": 30.0}
        assert fresh == EntryFreshness(age=4.0, expires_in=6.0, is_stale=False, **windows)
        assert stale == EntryFreshness(age=12.0, expires_in=-2.0, is_stale=True, **windows)
        assert cache.freshness_of("a") is None


async def test_a_cache_that_waits_for_the_load_is_stale_after_an_error_only():
    cache, _ = expiring(ttl=10.0, stale_for=30.0, stale_wait=None)
    async with cache:
        await cache.get("a")
        found = cache.freshness_of("a")

        assert (found.stale_while_revalidate, found.stale_if_error) == (0.0, 30.0)


async def test_what_never_expires_has_no_age_and_nothing_is_left_of_it():
    for policy in ({}, {"ttl_of": lambda *_: None}):
        cache, _ = expiring(**policy)
        async with cache:
            await cache.get("a")
            found = cache.freshness_of("a")
            assert (found.age, found.expires_in, found.is_stale) == (None, None, False)


async def test_a_key_that_is_not_here_or_does_not_exist_has_none():
    cache, _ = expiring(ttl=10.0, absent_ttl=10.0)
    async with cache:
        assert await cache.get("none") is None
        assert (cache.freshness_of("none"), cache.freshness_of("a")) == (None, None)


async def test_a_ttl_of_its_own_counts_until_the_key_is_loaded_again():
    cache, clock = expiring(ttl=10.0)
    async with cache:
        await cache.put("a", 1, ttl=100.0)
        clock.advance(25.0)
        put = cache.freshness_of("a")
        await cache.refresh("a")
        clock.advance(1.0)
        loaded = cache.freshness_of("a")

        assert (put.age, put.expires_in) == (25.0, 75.0)
        assert (loaded.age, loaded.expires_in) == (1.0, 9.0)


async def test_own_ttls_of_keys_that_have_left_are_forgotten():
    cache, _ = expiring(capacity=2, ttl=10.0)
    async with cache:
        await cache.put_many(dict.fromkeys("abc", 1), ttl=5.0)
        await cache.invalidate("b")
        assert list(cache._near.fresh.ages.own) == ["c"]
        await cache.clear()
        assert cache._near.fresh.ages.own == {}


async def test_the_age_of_a_value_whose_ttl_is_worked_out_is_known():
    cache, clock = expiring(ttl_of=lambda _, value: value * 10.0, rows={"a": 2})
    async with cache:
        await cache.get("a")
        clock.advance(5.0)
        found = cache.freshness_of("a")

        assert (found.age, found.expires_in) == (5.0, 15.0)


@pytest.mark.parametrize("later", [ValueError("no"), 0.0, "long"], ids=repr)
async def test_a_function_that_no_longer_tells_the_ttl_costs_the_age_only(later):
    answers = [10.0, later]

    def ttl_of(*_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache, _ = expiring(ttl_of=ttl_of)
    async with cache:
        await cache.get("a")
        found = cache.freshness_of("a")

        assert (found.age, found.expires_in) == (None, 10.0)


async def test_a_copy_from_the_far_tier_is_as_old_as_its_load():
    clock = ManualClock()
    store = MemoryFarStore(clock=clock)

    def cache():
        far, policy = FarTier(store=store), FreshnessPolicy(ttl=10.0, jitter=0.0)
        return BackfillCache(MappingSource(ROWS), far=far, clock=clock, freshness=policy)

    async with cache() as first, cache() as second:
        await first.get("a")
        await first.settle()
        clock.advance(4.0)
        await second.get("a")
        clock.advance(1.0)
        found = second.freshness_of("a")

        assert (found.age, found.expires_in) == pytest.approx((5.0, 5.0))


async def test_a_closed_cache_refuses_it():
    cache, _ = expiring(ttl=10.0)
    with pytest.raises(CacheClosedError):
        cache.freshness_of("a")


STEPS = st.lists(st.tuples(st.sampled_from(["get", "put", "wait", "drop"]), st.sampled_from("abcdef")))


@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve", "s3-fifo"])
@settings(max_examples=30)
@given(steps=STEPS, policy=st.sampled_from([{}, {"ttl": 3.0}, {"ttl": 3.0, "stale_for": 2.0}]))
def test_it_agrees_with_peek_and_changes_nothing_that_is_held_counted_or_evicted(eviction, steps, policy):
    async def held(*, asked: bool) -> list[object]:
        clock, seen = ManualClock(), []
        freshness = FreshnessPolicy(jitter=0.0 if policy else None, seed=1, **policy)
        source = MappingSource(ROWS)
        async with BackfillCache(
            source, capacity=3, eviction=eviction, clock=clock, freshness=freshness
        ) as it:
            for step, key in steps:
                if step == "get":
                    await it.get(key)
                elif step == "put":
                    await it.put(key, 7)
                elif step == "drop":
                    await it.invalidate(key)
                clock.advance(float(step == "wait"))
                await it.settle()
                for one in ROWS if asked else ():
                    found = it.freshness_of(one)
                    assert (found is not None and not found.is_stale) == (one in it)
                seen.append((sorted(key for key in ROWS if key in it), it.stats.lookups, it.stats.hits))
        return seen

    assert anyio.run(lambda: held(asked=True)) == anyio.run(lambda: held(asked=False))
