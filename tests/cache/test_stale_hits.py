"""A value that is served stale was read: for the eviction order, for receipts and for the heat of its key."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, FreshnessPolicy, LoadPolicy, MappingSource, Status
from async_backfill.contracts import Heats
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import ManualClock

ROWS = {f"k{number}": number for number in range(40)}
reads = st.lists(st.tuples(st.sampled_from(sorted(ROWS)[:8]), st.booleans()), max_size=60)


async def read_and_empty(reads, eviction, freshness, many):
    """Read in turn, time passing where ``reads`` say so; return the order in which everything leaves."""
    clock, left = ManualClock(), []
    cache = BackfillCache(
        MappingSource(ROWS), capacity=4, eviction=eviction, freshness=freshness, clock=clock
    )
    async with cache:
        for key, passes in reads:
            clock.advance(10.0 * passes)
            await (cache.get_many([key]) if many else cache.get(key))
            await cache.settle()
            clock.advance(0.001)
        left = [cache.evict_oldest() for _ in range(cache.stats.size)]
        return left, cache.stats.hits, cache.stats.evictions


@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
@pytest.mark.parametrize("eviction", EVICTIONS)
@settings(max_examples=60)
@given(reads=reads, early=st.sampled_from([0.0, 1.0]))
def test_where_stale_values_are_served_keys_leave_as_if_nothing_expired(eviction, many, reads, early):
    async def main() -> None:
        policy = FreshnessPolicy(ttl=10.0, stale_for=math.nextafter(1e9, 0), early=early, seed=1)
        never = await read_and_empty(reads, eviction, None, many)
        assert await read_and_empty(reads, eviction, policy, many) == never

    anyio.run(main)


@pytest.mark.anyio
@pytest.mark.parametrize("eviction", ["lru", "sieve"])
async def test_a_read_that_waited_for_the_new_value_counts_as_use_of_the_key(eviction):
    clock = ManualClock()
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, stale_wait=None)
    async with BackfillCache(
        MappingSource(ROWS), capacity=4, eviction=eviction, freshness=freshness, clock=clock
    ) as cache:
        await cache.get_many(["k1", "k2"])
        clock.advance(10.0)
        await cache.get("k1")

        assert cache.evict_oldest() == "k2"


@pytest.mark.anyio
async def test_a_peek_at_a_stale_value_counts_as_nothing():
    clock = ManualClock()
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0)
    async with BackfillCache(
        MappingSource(ROWS), capacity=4, eviction="lru", freshness=freshness, clock=clock
    ) as cache:
        await cache.get_many(["k1", "k2"])
        clock.advance(10.0)
        before = cache.stats

        assert cache.peek("k1") is None
        assert cache.stats == before
        assert cache.evict_oldest() == "k1"


@pytest.mark.anyio
@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
async def test_a_backfilled_key_that_is_read_while_stale_was_read_for_the_receipt(many):
    clock, source = ManualClock(), MappingSource(ROWS)
    cache = BackfillCache(
        source,
        scan=source,
        capacity=30,
        backfill_batch=6,
        max_backfills=1,
        freshness=FreshnessPolicy(ttl=10.0, stale_for=1000.0),
        backfill=BackfillPolicy(probation=True, inline=True, min_lookups=1, window=20),
        clock=clock,
    )
    async with cache:
        await cache.get("k39")
        clock.advance(10.0)
        stale = ["k0", "k1", "k2"]
        if many:
            await cache.get_many(stale)
        for key in () if many else stale:
            await cache.get(key)
        await cache.settle()
        assert cache.stats.stale == 3
        await cache.clear()
        await cache.get("k39")

    [receipt] = [record for record in cache.audit_log if record.status is Status.RECEIPT]
    assert (receipt.loaded, receipt.read) == (6, 3)


class Shelf:
    """A journal in memory."""

    def __init__(self):
        self.heats = None

    async def load(self):
        return self.heats

    async def save(self, heats):
        self.heats = Heats(keys=dict(heats.keys), hit_rate=heats.hit_rate)


def with_journal(source, shelf, clock, **freshness):
    return BackfillCache(
        source,
        capacity=20,
        journal=shelf,
        freshness=FreshnessPolicy(**freshness),
        backfill=BackfillPolicy(selection="history"),
        clock=clock,
    )


@pytest.mark.anyio
@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
async def test_a_key_that_is_read_while_stale_is_hot(many):
    shelf, clock = Shelf(), ManualClock()
    async with with_journal(MappingSource(ROWS), shelf, clock, ttl=10.0, stale_for=1000.0) as cache:
        await cache.get_many(["k1", "k2"])
        for _ in range(20):
            clock.advance(10.0)
            await (cache.get_many(["k2"]) if many else cache.get("k2"))
            await cache.settle()

    assert shelf.heats.keys["k2"] > 10 * shelf.heats.keys["k1"]


@pytest.mark.anyio
@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
async def test_a_key_known_to_be_absent_is_not_hot(many):
    shelf, clock = Shelf(), ManualClock()
    async with with_journal(MappingSource(ROWS), shelf, clock, absent_ttl=100.0) as cache:
        for _ in range(20):
            await (cache.get_many(["gone", "k1"]) if many else cache.get("gone"))
        await cache.get("k1")

    assert set(shelf.heats.keys) == {"k1"}


@pytest.mark.anyio
@pytest.mark.parametrize("stale_wait", [0.0, None])
async def test_a_key_whose_refresh_finds_it_gone_is_hot_no_longer(stale_wait):
    shelf, clock, rows = Shelf(), ManualClock(), dict(ROWS)
    freshness = {"ttl": 10.0, "stale_for": 100.0, "stale_wait": stale_wait, "absent_ttl": 100.0}
    async with with_journal(MappingSource(rows), shelf, clock, **freshness) as cache:
        for _ in range(20):
            await cache.get_many(["k1", "k2"])
        del rows["k1"]
        clock.advance(10.0)
        await cache.get("k1")
        await cache.settle()
        assert await cache.get("k1") is None

    assert set(shelf.heats.keys) == {"k2"}


class Counting(MappingSource):
    calls = 0

    async def load_many(self, keys, /):
        self.calls += 1
        return await super().load_many(keys)


@pytest.mark.anyio
@pytest.mark.parametrize("early", [0.0, 1000.0])
async def test_refreshes_wait_for_company_as_misses_do(early):
    source = Counting(ROWS)
    freshness = FreshnessPolicy(ttl=60.0, stale_for=3600.0, early=early, seed=1)
    cache = BackfillCache(source, load=LoadPolicy(linger=0.2), freshness=freshness, clock=anyio.current_time)
    async with cache:
        await cache.get_many(ROWS)
        await anyio.sleep(61.0)
        source.calls = 0
        for number in range(25):
            await cache.get(f"k{number}")
            await anyio.sleep(0.004)
        await cache.settle()

        assert source.calls == 1
        assert cache.stats.stale == cache.stats.refresh_keys == 25


@pytest.mark.anyio
async def test_a_refresh_that_waits_for_company_keeps_no_place_from_a_live_miss():
    load = LoadPolicy(linger=10.0, concurrency=1, max_batch=2)
    cache = BackfillCache(
        MappingSource(ROWS),
        load=load,
        freshness=FreshnessPolicy(ttl=60.0, stale_for=3600.0),
        clock=anyio.current_time,
    )
    async with cache:
        await cache.get_many(["k1", "k2"])
        await anyio.sleep(61.0)
        before = anyio.current_time()
        await cache.get("k1")
        await anyio.sleep(1.0)
        await cache.get_many(["k3", "k4"])

        assert anyio.current_time() == pytest.approx(before + 1.0)
