"""Permits that a fleet shares: spent by all, and by nobody when they cannot be asked for."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    BudgetState,
    ConfigurationError,
    MappingSource,
    StoreError,
)
from async_backfill.backfill._fleet_budget import FleetBudget

pytestmark = pytest.mark.anyio

ROWS = {f"k{n}": n for n in range(100)}


class SharedPermits:
    """The permits of a fleet, in this process; ``error`` and ``delay`` are the network's."""

    def __init__(self, left):
        self.count = left
        self.looks = 0
        self.error = None
        self.delay = 0.0

    async def _network(self):
        await anyio.sleep(self.delay)
        if self.error is not None:
            raise self.error

    async def acquire(self):
        await self._network()
        spent = self.count > 0
        self.count -= spent
        return spent, self.count

    async def approve(self, permits, /):
        await self._network()
        self.count += permits
        return self.count

    async def left(self):
        self.looks += 1
        await self._network()
        return self.count


def cache_of(permits):
    source = MappingSource(ROWS)
    return BackfillCache(
        source,
        scan=source,
        permits=permits,
        miss_threshold=0.01,
        backfill_batch=1,
        backfill=BackfillPolicy(inline=True, min_lookups=1),
        clock=anyio.current_time,
    )


async def test_all_caches_together_start_as_many_backfills_as_there_are_permits():
    permits = SharedPermits(3)
    async with cache_of(permits) as first, cache_of(permits) as second:
        for n in range(5):
            await first.get(f"k{99 - n}")
            await second.get(f"k{99 - n}")

        assert first.stats.backfills + second.stats.backfills == 3
        assert first.stats.backfills_denied + second.stats.backfills_denied == 7
        assert first.stats.budget is BudgetState.NEEDS_APPROVAL


async def test_what_is_approved_in_one_cache_another_one_uses_within_a_second():
    permits = SharedPermits(0)
    async with cache_of(permits) as first, cache_of(permits) as second:
        await first.get("k99")
        record = await second.approve_backfills(1, by="ada", reason="after the deploy")
        assert record.permits_left == 1
        await anyio.sleep(1.0)
        await first.get("k98")

        assert (first.stats.backfills, permits.count) == (1, 0)


async def test_while_none_is_left_they_are_looked_for_once_a_second():
    permits = SharedPermits(0)
    async with cache_of(permits) as cache:
        for n in range(50):
            await cache.get(f"k{99 - n}")
            await anyio.sleep(0.1)

        assert permits.looks in {5, 6}


@pytest.mark.parametrize(
    "faults", [{"error": ConnectionError("gone")}, {"delay": 3600.0}], ids=["gone", "hangs"]
)
async def test_no_backfill_starts_while_the_permits_cannot_be_asked_for(faults):
    permits = SharedPermits(5)
    async with cache_of(permits) as cache:
        vars(permits).update(faults)
        assert await cache.get("k99") == 99

        assert (cache.stats.backfills, cache.stats.backfills_denied) == (0, 1)


async def test_an_approval_that_may_be_lost_says_so():
    permits = SharedPermits(0)
    async with cache_of(permits) as cache:
        permits.error = ConnectionError("gone")
        with pytest.raises(StoreError, match="the permits of the fleet are not available: Conn"):
            await cache.approve_backfills(1, by="ada", reason="after the deploy")

        assert cache.audit_log == ()


async def test_a_cache_opens_while_the_permits_cannot_be_asked_for():
    permits = SharedPermits(5)
    permits.error = ConnectionError("gone")
    async with cache_of(permits) as cache:
        assert await cache.get("k99") == 99


async def test_at_least_one_permit_is_approved():
    with pytest.raises(ConfigurationError, match="less than 1"):
        await FleetBudget(SharedPermits(0), clock=anyio.current_time).grant(0)


async def test_a_number_of_its_own_beside_the_permits_of_the_fleet_is_refused():
    with pytest.raises(ConfigurationError, match="belongs to the permits"):
        BackfillCache(MappingSource(ROWS), permits=SharedPermits(1), max_backfills=1)
