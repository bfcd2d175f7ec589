"""Misses by cause, and a trigger that looks at those that a backfill cures."""

from __future__ import annotations

import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    FreshnessPolicy,
    LoadError,
    MappingSource,
    MissCause,
    Status,
)
from async_backfill.testing import ManualClock

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}
QUIET = BackfillPolicy(probation=True, min_lookups=1_000_000)


class Flaky(MappingSource):
    fails = False

    async def load_many(self, keys):
        if self.fails:
            raise ConnectionError("down")
        return await super().load_many(keys)


def causes(cache):
    found = {cause.value: count for cause, count in cache.stats.miss_causes.items() if count}
    assert sum(found.values()) == cache.stats.misses
    return found


async def test_each_miss_has_its_cause():
    clock = ManualClock()
    source = Flaky(ROWS)
    freshness = FreshnessPolicy(ttl=10.0)
    async with BackfillCache(source, capacity=3, backfill=QUIET, freshness=freshness, clock=clock) as cache:
        for key in (1, 2, 3, 4):
            await cache.get(key)
        assert causes(cache) == {"cold": 4}
        await cache.get(1)
        assert causes(cache) == {"cold": 4, "evicted": 1}
        await cache.invalidate(1)
        await cache.get(1)
        assert causes(cache) == {"cold": 4, "evicted": 1, "invalidated": 1}
        clock.advance(20.0)
        await cache.get(1)
        assert causes(cache) == {"cold": 4, "evicted": 1, "invalidated": 1, "expired": 1}
        await cache.get(1000)
        source.fails = True
        with pytest.raises(LoadError):
            await cache.get(50)

        assert causes(cache) == {
            "cold": 4,
            "evicted": 1,
            "invalidated": 1,
            "expired": 1,
            "absent": 1,
            "failed": 1,
        }


async def test_what_expired_and_was_swept_away_since_has_expired_too():
    clock = ManualClock()
    freshness = FreshnessPolicy(ttl=10.0)
    async with BackfillCache(
        MappingSource(ROWS), capacity=3, backfill=QUIET, freshness=freshness, clock=clock
    ) as cache:
        await cache.get(1)
        clock.advance(20.0)
        await cache.get(2)
        await cache.get(1)

        assert causes(cache) == {"cold": 2, "expired": 1}


async def test_after_a_flush_everything_is_cold():
    async with BackfillCache(MappingSource(ROWS), capacity=3, backfill=QUIET) as cache:
        for key in (1, 2, 3, 4):
            await cache.get(key)
        await cache.clear()
        await cache.get(1)

        assert causes(cache) == {"cold": 5}


async def test_without_probation_they_are_not_told_apart():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.get(1)

        assert cache.stats.miss_causes == {}


async def test_known_absences_count_as_absent():
    freshness = FreshnessPolicy(absent_ttl=60.0)
    async with BackfillCache(MappingSource(ROWS), backfill=QUIET, freshness=freshness) as cache:
        for _ in range(3):
            await cache.get_many([1000, 1001])

        assert causes(cache) == {"absent": 6}
        assert cache.stats.miss_causes[MissCause.COLD] == 0


@pytest.mark.parametrize("selection", ["source", "history"])
async def test_the_trigger_is_quiet_and_says_so_if_all_misses_are_evictions_or_absent(selection):
    source = MappingSource(ROWS)
    policy = BackfillPolicy(selection=selection, probation=True, inline=True, window=50)
    async with BackfillCache(source, scan=source, capacity=10, backfill=policy) as cache:
        for key in range(20):
            await cache.get(key)
        before = cache.stats.backfills
        for _ in range(20):  # twenty keys in turn through ten places: not a hit
            for key in (*range(20), 1000):
                await cache.get(key)
        last = cache.audit_log[-1]

    assert cache.stats.backfills == before
    assert last.status is Status.SKIPPED
    assert (
        last.reason
        == "no backfill cures these misses: keys that were evicted or invalidated, or do not exist"
    )
    assert last.repeats > 100
