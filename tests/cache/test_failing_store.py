"""A store that fails: who waits for a load is served all the same, who writes is told."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, MappingSource, MemoryStore, Status
from tests.callers import outcomes

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2}


class FullDisk(MemoryStore):
    """A store that takes nothing until it is mended."""

    def __init__(self):
        super().__init__()
        self.is_mended = False

    def set_many(self, items, *, evict=True):
        if not self.is_mended:
            raise OSError("no space left on device")
        return super().set_many(items, evict=evict)


async def test_who_waits_for_a_load_is_served_and_the_failure_is_logged(caplog):
    async with BackfillCache(MappingSource(ROWS), store=FullDisk()) as cache:
        assert await outcomes(cache.get, ("a",), ("a",), ("b",), ("c",)) == [1, 1, 2, None]
        assert (cache.stats.size, cache.stats.in_flight, cache.stats.source_keys) == (0, 0, 2)

    assert "no space left on device" in caplog.text


async def test_the_next_get_loads_again_and_is_stored_once_the_store_is_mended():
    store = FullDisk()
    async with BackfillCache(MappingSource(ROWS), store=store) as cache:
        await cache.get("a")
        store.is_mended = True
        await cache.get("a")

        assert (await cache.get("a"), cache.stats.hits, cache.stats.misses) == (1, 1, 2)


async def test_who_puts_is_told():
    async with BackfillCache(MappingSource(ROWS), store=FullDisk()) as cache:
        with pytest.raises(OSError, match="no space left"):
            await cache.put("a", 1)

        assert await cache.get("a") == 1


async def test_a_backfill_into_it_ends_and_the_cache_goes_on():
    async with BackfillCache(MappingSource(ROWS), scan=MappingSource(ROWS), store=FullDisk()) as cache:
        record = await cache.force_backfill()

        assert (record.status, record.loaded) == (Status.COMPLETED, 2)
        assert await cache.get_many("ab") == ROWS
