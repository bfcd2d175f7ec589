"""Absence that is remembered: for a while, up to a number, and never taken for a value."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, FreshnessPolicy, MappingSource, SimulatedSource
from async_backfill.testing import ManualClock

pytestmark = pytest.mark.anyio


def remembering(rows, **policy):
    clock = ManualClock()
    source = SimulatedSource(rows)
    freshness = FreshnessPolicy(**{"absent_ttl": 10.0, **policy})
    return BackfillCache(source, clock=clock, freshness=freshness), source, clock


async def test_a_key_that_does_not_exist_is_asked_for_once_in_its_time():
    cache, source, clock = remembering({})
    async with cache:
        assert [await cache.get("a", "none") for _ in range(5)] == ["none"] * 5
        assert await cache.get_many("a") == {}
        assert source.calls == 1
        clock.advance(10.0)
        await cache.get("a")

        assert source.calls == 2
        assert (cache.stats.hits, cache.stats.misses, cache.stats.absent, cache.stats.led) == (0, 7, 7, 2)


async def test_absence_is_not_remembered_unless_asked_for():
    source = SimulatedSource({})
    async with BackfillCache(source) as cache:
        await cache.get("a")
        await cache.get("a")

    assert source.calls == 2


@pytest.mark.parametrize("value", [None, 0, "", False])
async def test_a_value_that_is_false_and_an_absent_key_are_never_confused(value):
    cache, source, _ = remembering({"there": value})
    async with cache:
        for _ in range(3):
            assert await cache.get("there", "default") == value
            assert await cache.get("missing", "default") == "default"

    assert source.keys == 2


async def test_a_put_makes_an_absent_key_known():
    cache, source, _ = remembering({})
    async with cache:
        await cache.get("a")
        await cache.put("a", None)
        assert await cache.get("a", "default") is None
        await cache.invalidate("a")
        assert await cache.get("a", "default") == "default"

    assert source.calls == 2


@pytest.mark.parametrize("write", ["put", "load"])
async def test_a_key_that_came_to_exist_and_was_evicted_since_is_not_taken_for_absent(write):
    rows = {}
    clock = ManualClock()
    source = MappingSource(rows)
    freshness = FreshnessPolicy(absent_ttl=10.0)
    async with BackfillCache(source, scan=source, capacity=1, clock=clock, freshness=freshness) as cache:
        await cache.get("a")
        rows["a"] = 1
        if write == "put":
            await cache.put("a", 1)
        else:
            clock.advance(10.0)
            assert await cache.get("a") == 1
        await cache.put("b", 2)

        assert await cache.get("a") == 1


@pytest.mark.parametrize("forget", ["invalidate", "clear"])
async def test_what_forgets_values_forgets_absence(forget):
    rows = {}
    cache, _, _ = remembering(rows)
    async with cache:
        await cache.get("a")
        rows["a"] = 1
        await (cache.invalidate("a") if forget == "invalidate" else cache.clear())

        assert await cache.get("a") == 1


async def test_a_hundred_thousand_keys_made_up_by_a_client_push_nothing_out():
    cache, _, _ = remembering({"a": 1}, absent_capacity=100)
    async with cache:
        await cache.get("a")
        for batch in range(100):
            await cache.get_many(range(batch * 1000, batch * 1000 + 1000))
            assert len(cache._near.absent) <= 100

        assert (cache.peek("a"), cache.stats.size) == (1, 1)


async def test_a_known_absence_starts_no_backfill():
    clock = ManualClock()
    rows = MappingSource({number: number for number in range(100)})
    freshness = FreshnessPolicy(absent_ttl=1000.0)
    async with BackfillCache(rows, scan=rows, clock=clock, freshness=freshness) as cache:
        await cache.get("missing")
        for _ in range(100):
            await cache.get("missing")
        await cache.settle()

        assert (cache.stats.backfills, cache.stats.misses) == (0, 101)


async def test_a_backfill_leaves_out_what_is_known_to_be_absent():
    listed = MappingSource({"gone": 0, "a": 1})
    source = SimulatedSource({"a": 1})
    freshness = FreshnessPolicy(absent_ttl=1000.0)
    async with BackfillCache(source, scan=listed, freshness=freshness) as cache:
        await cache.get("gone")
        record = await cache.force_backfill()

        assert (record.keys, record.loaded) == (1, 1)
