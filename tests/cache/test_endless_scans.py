"""Scans and permits that do not end when they are cancelled: who waits for a backfill is freed."""

from __future__ import annotations

import pytest
from anyio import CancelScope, current_time, fail_after, sleep

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource, Status, StoreError
from async_backfill.contracts import Page
from async_backfill.testing import MemoryPermits

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(100)}
TIMEOUT, PERMITS_TIMEOUT, AGES = 2.0, 1.0, 500.0


async def shielded(seconds):
    with CancelScope(shield=True):
        await sleep(seconds)


class EndlessScan:
    """A scan that ignores its cancellation as often as ``times`` says."""

    def __init__(self, times=1):
        self.times = times
        self.calls = 0

    async def scan(self, cursor, limit, /):  # noqa: ARG002 - it has one page
        self.calls += 1
        if self.calls <= self.times:
            await shielded(AGES)
        return Page(list(ROWS), None)


def cache_of(scan, **settings):
    return BackfillCache(
        MappingSource(ROWS),
        scan=scan,
        miss_threshold=0.01,
        load=LoadPolicy(timeout=TIMEOUT),
        clock=current_time,
        **{"backfill": BackfillPolicy(inline=True, min_lookups=1), **settings},
    )


async def seconds_of(call, *args, **named):
    began = current_time()
    result = await call(*args, **named)
    return current_time() - began, result


async def test_a_miss_that_waits_for_its_backfill_is_freed_at_the_timeout():
    async with cache_of(EndlessScan()) as cache:
        assert await seconds_of(cache.get, "k1") == (pytest.approx(TIMEOUT), 1)
        record = cache.audit_log[-1]

        assert (record.status, cache.stats.backfills) == (Status.FAILED, 1)
        assert record.error == f"TimeoutError: the selection took longer than {TIMEOUT} s"
        assert await seconds_of(cache.get, "k2") == (0.0, 2)
        assert await seconds_of(cache.settle) == (0.0, None)
        await sleep(AGES)


async def test_what_comes_of_it_at_last_is_dropped_and_the_next_backfill_works():
    scan = EndlessScan()
    async with cache_of(scan, max_backfills=3) as cache:
        await cache.get("k1")
        await sleep(AGES)
        assert (cache.stats.size, len(cache.audit_log)) == (1, 1)
        await cache.get("k2")

        assert cache.audit_log[-1].status is Status.COMPLETED
        assert cache.stats.permits_left == 1


async def test_a_person_who_waits_for_a_backfill_is_freed_at_the_timeout():
    async with cache_of(EndlessScan(2)) as cache:
        waited, record = await seconds_of(cache.force_backfill, by="ada", reason="why")
        assert (waited, record.status) == (pytest.approx(TIMEOUT), Status.FAILED)
        waited, record = await seconds_of(cache.force_backfill)
        assert (waited, record.status) == (pytest.approx(TIMEOUT), Status.FAILED)
        await sleep(2 * AGES)


async def test_a_cache_whose_scan_goes_on_closes_in_time():
    with fail_after(TIMEOUT + 30):
        async with cache_of(EndlessScan()) as cache:
            await cache.get("k1")


class EndlessPermits(MemoryPermits):
    """Permits of which one kind of call ignores its cancellation."""

    def __init__(self, kind):
        super().__init__(0 if kind == "left" else 5)
        self.kind = None
        self.bad = kind

    async def acquire(self):
        await self._wait("acquire")
        return await super().acquire()

    async def left(self):
        await self._wait("left")
        return await super().left()

    async def approve(self, permits, /, *, by, reason):
        await self._wait("approve")
        return await super().approve(permits, by=by, reason=reason)

    async def _wait(self, kind):
        if self.kind == kind:
            await shielded(AGES)


@pytest.mark.parametrize("kind", ["acquire", "left"])
async def test_a_miss_waits_a_second_for_permits_that_do_not_answer(kind):
    permits = EndlessPermits(kind)
    async with cache_of(MappingSource(ROWS), permits=permits) as cache:
        permits.kind = kind
        await sleep(PERMITS_TIMEOUT + 0.5)

        waited, found = await seconds_of(cache.get, "k1")
        assert (waited <= 2 * PERMITS_TIMEOUT, found) == (True, 1)
        assert cache.audit_log[-1].status is Status.DENIED
        permits.kind = None
        await sleep(AGES)


async def test_an_approval_waits_a_second_for_permits_that_do_not_answer():
    permits = EndlessPermits("approve")
    async with cache_of(MappingSource(ROWS), permits=permits) as cache:
        permits.kind = "approve"
        began = current_time()
        with pytest.raises(StoreError, match=r"TimeoutError: no answer within 1\.0 s"):
            await cache.approve_backfills(1, by="ada", reason="why")

        assert current_time() - began == pytest.approx(PERMITS_TIMEOUT)
        await sleep(AGES)
