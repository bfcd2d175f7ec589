"""A value that cannot be weighed, or that the store refuses, costs itself and no other value of its call."""

from __future__ import annotations

import logging

import anyio
import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    MappingSource,
    MemoryStore,
    WeighedStore,
)
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import ManualClock
from tests.far.shared import Shared

pytestmark = pytest.mark.anyio

ROWS = {"a": "1", "bad": 2, "c": "3", "d": "4"}
GOOD = {"a": "1", "c": "3", "d": "4"}


def weighed(**settings):
    """A store that can weigh text only."""
    return WeighedStore(100, lambda _, value: len(value), **settings)


class Picky(MemoryStore):
    """A store that refuses some values only once others of the same call were added."""

    def set_many(self, items, /, *, evict=True):
        for key, value in items.items():
            if not isinstance(value, str):
                raise TypeError("no text")
            super().set_many({key: value}, evict=evict)
        return []


every_store = pytest.mark.parametrize(
    "store", [*(lambda order=order: weighed(eviction=order) for order in EVICTIONS), Picky]
)
every_freshness = pytest.mark.parametrize(
    "freshness",
    [None, FreshnessPolicy(ttl=60.0, absent_ttl=9.0), FreshnessPolicy(absent_ttl=9.0)],
    ids=["for ever", "ttl", "absence"],
)


@every_store
@every_freshness
async def test_what_was_loaded_with_it_is_kept(store, freshness, caplog):
    async with BackfillCache(MappingSource(ROWS), store=store(), freshness=freshness) as cache:
        assert await cache.get_many([*ROWS, "none"]) == ROWS
        before = cache.stats
        assert {key: cache.peek(key) for key in ROWS} == {**GOOD, "bad": None}
        assert await cache.get_many(GOOD) == GOOD

        assert (before.size, before.unkept) == (3, 1)
        assert cache.stats.source_calls == before.source_calls
    assert "the value of 'bad' was not kept in memory" in caplog.text


@every_store
async def test_what_was_backfilled_with_it_is_kept(store):
    source = MappingSource(ROWS)
    cache = BackfillCache(source, scan=source, store=store(), backfill=BackfillPolicy(probation=False))
    async with cache:
        await cache.force_backfill()

        assert await cache.get_many(GOOD) == GOOD
        assert (cache.stats.unkept, cache.stats.misses) == (1, 0)


@every_store
@every_freshness
async def test_what_was_put_with_it_is_kept_and_the_caller_is_told(store, freshness):
    async with BackfillCache(MappingSource(ROWS), store=store(), freshness=freshness) as cache:
        await cache.put("bad", "old")
        with pytest.raises((TypeError, ConfigurationError)):
            await cache.put_many({**ROWS, "bad": 2})

        assert {key: cache.peek(key) for key in ROWS} == {**GOOD, "bad": None}


async def test_it_does_not_leave_its_old_value_behind():
    clock, rows = ManualClock(), dict(GOOD)
    freshness = FreshnessPolicy(ttl=10.0, stale_for=1000.0)
    async with BackfillCache(MappingSource(rows), store=weighed(), freshness=freshness, clock=clock) as cache:
        await cache.get_many(rows)
        rows["a"] = 2
        clock.advance(10.0)
        assert await cache.get("a") == "1"
        await cache.settle()

        assert await cache.get("a") == 2
        assert cache.stats.size == 2


async def test_a_put_that_memory_refuses_reaches_the_far_tier():
    shared = Shared()
    shared.entries["bad"] = ("old", anyio.current_time(), float("inf"))
    async with BackfillCache(MappingSource({}), store=weighed(), far=FarTier(store=shared)) as cache:
        with pytest.raises(TypeError):
            await cache.put_many({"a": "1", "bad": 2})

        assert (shared.value("a"), shared.value("bad")) == ("1", 2)
        assert await cache.get("bad") == 2


async def test_it_is_said_once_a_second_at_the_most(caplog):
    clock = ManualClock()
    rows = dict.fromkeys(range(100), 0)
    async with BackfillCache(MappingSource(rows), store=weighed(), clock=clock) as cache:
        with caplog.at_level(logging.WARNING):
            await cache.get_many(rows)
            clock.advance(1.0)
            await cache.get(0)

        assert cache.stats.unkept == 101
    first, second = [record.getMessage() for record in caplog.records]
    assert "more since the last line" not in first
    assert second.endswith("(99 more since the last line)")
