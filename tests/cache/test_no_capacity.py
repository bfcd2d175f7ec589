"""A capacity of 0 switches the memory off: nothing is kept, and callers still share their loads."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, BackfillPolicy, FreshnessPolicy, LoadPolicy, MappingSource
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import GatedSource
from tests.callers import outcomes

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(10)}
each_setting = pytest.mark.parametrize(
    "settings",
    [
        *({"eviction": eviction} for eviction in EVICTIONS),
        {"freshness": FreshnessPolicy(ttl=60.0, stale_for=60.0, absent_ttl=60.0)},
        {"freshness": FreshnessPolicy(ttl=60.0, early=1.0)},
        {"backfill": BackfillPolicy(selection="history", successors=3, min_lookups=1)},
        {"backfill": BackfillPolicy(evicts=True, inline=True, min_lookups=1)},
        {"backfill": BackfillPolicy(probation=True, min_lookups=1)},
    ],
    ids=str,
)


@each_setting
async def test_nothing_is_kept_or_backfilled(settings):
    source = MappingSource(ROWS)
    async with BackfillCache(source, scan=source, capacity=0, **settings) as cache:
        for _ in range(3):
            assert await cache.get_many([*ROWS, "gone"]) == ROWS
            assert (await cache.get("k1"), await cache.get("gone", "absent")) == (1, "absent")
            await cache.put("k1", "other")
            assert await cache.refresh("k2") == 2
            await cache.settle()

        record = await cache.force_backfill()
        stats = cache.stats
        assert (len(cache), stats.hits, stats.evictions, stats.backfills, record.loaded) == (0, 0, 0, 0, 0)
        await cache.invalidate("k1")
        await cache.clear()


@each_setting
async def test_callers_still_share_their_loads_and_calls(settings):
    source = GatedSource(ROWS)
    source.open()
    load = LoadPolicy(max_batch=100)
    async with BackfillCache(source, capacity=0, load=load, **settings) as cache:
        assert await outcomes(cache.get, *[(key,) for key in ROWS] * 50) == [*ROWS.values()] * 50

        assert len(source.calls) == 1
