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
    Status,
    StoreError,
)
from async_backfill.backfill._fleet_budget import FleetBudget
from async_backfill.contracts import Approval, Heats

pytestmark = pytest.mark.anyio

ROWS = {f"k{n}": n for n in range(100)}


class SharedPermits:
    """The permits of a fleet, in this process; ``error`` and ``delay`` are the network's."""

    def __init__(self, left):
        self.count = left
        self.looks = 0
        self.error = None
        self.delay = 0.0
        self.given = []

    async def _network(self):
        await anyio.sleep(self.delay)
        if self.error is not None:
            raise self.error

    async def acquire(self):
        await self._network()
        spent = self.count > 0
        self.count -= spent
        return spent, self.count

    async def approve(self, permits, /, *, by, reason):
        await self._network()
        self.count += permits
        number = len(self.given) + 1
        self.given.append(Approval(number=number, permits=permits, by=by, reason=reason, time=0.0))
        return self.count

    async def revoke(self, permits, /, *, by, reason):
        await self._network()
        taken = self.count if permits is None else min(permits, self.count)
        self.count -= taken
        if taken:
            number = len(self.given) + 1
            self.given.append(Approval(number=number, permits=-taken, by=by, reason=reason, time=0.0))
        return taken, self.count

    async def approvals(self):
        await self._network()
        return self.given[-100:]

    async def left(self):
        self.looks += 1
        await self._network()
        return self.count


def cache_of(permits, **changes):
    source = MappingSource(ROWS)
    settings = {
        "miss_threshold": 0.01,
        "backfill_batch": 1,
        "backfill": BackfillPolicy(inline=True, min_lookups=1),
        "clock": anyio.current_time,
    }
    return BackfillCache(source, scan=source, permits=permits, **(settings | changes))


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


def approvals(cache):
    return [(record.by, record.reason) for record in cache.audit_log if record.status is Status.APPROVED]


async def test_an_approval_is_in_the_audit_log_of_every_cache_of_the_fleet_once():
    permits = SharedPermits(0)
    async with cache_of(permits) as first, cache_of(permits) as second:
        for reason in ("after the deploy", "after the deploy", "and once more"):
            await first.approve_backfills(1, by="ada", reason=reason)
        await anyio.sleep(11.0)

        expected = [("ada", "after the deploy")] * 2 + [("ada", "and once more")]
        assert (approvals(first), approvals(second)) == (expected, expected)
        assert second.stats.permits_left == 3


async def test_what_was_approved_before_a_cache_was_opened_is_not_told_as_new():
    permits = SharedPermits(0)
    await permits.approve(1, by="ada", reason="yesterday")
    async with cache_of(permits) as cache:
        await anyio.sleep(11.0)
        assert approvals(cache) == []


async def test_a_fleet_without_a_permit_lists_nothing():
    permits = SharedPermits(0)
    async with cache_of(permits) as cache:
        for n in range(10):
            await cache.get(f"k{n}")
            await anyio.sleep(2.0)

        assert (cache.stats.backfills_denied, cache.stats.scans) == (10, 0)


async def test_an_approval_elsewhere_wakes_a_cache_at_rest():
    permits = SharedPermits(10)
    settings = {"backfill": BackfillPolicy(inline=True, min_lookups=1, probation=True, window=2)}
    async with cache_of(permits, **settings) as tired, cache_of(permits) as other:
        for n in range(20):
            await tired.get(f"k{99 - n}")
        assert "at rest" in tired.audit_log[-1].reason
        before = tired.stats.backfills
        await other.approve_backfills(1, by="ada", reason="it was a bad day")
        await anyio.sleep(6.0)
        await tired.get("k70")

        assert tired.stats.backfills == before + 1


async def test_an_approval_elsewhere_goes_on_with_warming_where_it_gave_up():
    class Shelf:
        async def load(self):
            return Heats({f"k{n}": 1.0 for n in range(9)}, 0.9)

        async def save(self, heats):
            pass

    permits = SharedPermits(0)
    settings = {"backfill": BackfillPolicy(selection="history"), "journal": Shelf(), "backfill_batch": 9}
    async with cache_of(permits, **settings) as cold, cache_of(permits) as other:
        await cold.ready()
        assert cold.readiness.state == "gave_up"
        await other.approve_backfills(1, by="ada", reason="go on")
        await anyio.sleep(6.0)

        assert (cold.readiness.state, cold.stats.size) == ("ready", 9)


async def test_warming_waits_while_the_permits_cannot_be_asked_for():
    class Shelf:
        async def load(self):
            return Heats({"k1": 1.0}, 0.9)

        async def save(self, heats):
            pass

    permits = SharedPermits(1)
    permits.error = ConnectionError("gone")
    async with cache_of(permits, backfill=BackfillPolicy(selection="history"), journal=Shelf()) as cache:
        assert not cache.is_ready()
        await anyio.sleep(20.0)
        assert cache.readiness.state == "warming"
        permits.error = None
        await anyio.sleep(6.0)

        assert cache.readiness.state == "ready"


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
        await FleetBudget(SharedPermits(0), clock=anyio.current_time).grant(0, by="ada", reason="why")


def test_a_number_of_its_own_beside_the_permits_of_the_fleet_is_refused():
    with pytest.raises(ConfigurationError, match="belongs to the permits"):
        BackfillCache(MappingSource(ROWS), permits=SharedPermits(1), max_backfills=1)


async def test_who_took_permits_back_is_audited_by_every_process():
    permits = SharedPermits(5)
    fleet = [BackfillCache(MappingSource(ROWS), permits=permits) for _ in range(2)]
    async with fleet[0], fleet[1]:
        await anyio.sleep(6.0)
        assert await fleet[0].control.revoke(2, by="ada", reason="why") == 2
        await anyio.sleep(12.0)
        for cache in fleet:
            (record,) = cache.audit_log
            assert (record.verb, record.by, record.details) == ("revoke", "ada", "permits=2")
            assert cache.stats.permits_left == 3


async def test_permits_that_cannot_be_reached_are_not_taken_back():
    permits = SharedPermits(5)
    async with BackfillCache(MappingSource(ROWS), permits=permits) as cache:
        permits.error = ConnectionError("down")
        with pytest.raises(StoreError, match="down"):
            await cache.control.revoke(by="ada", reason="why")
        assert permits.count == 5
        assert cache.audit_log == ()
